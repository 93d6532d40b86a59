//! Brokers that die, and a topic that is not what it was.

use curfew_guard::Requirements;
use curfew_proto::revocation::v1::AckLevel;
use curfew_servers::Kafka;

use super::ask::{end_once, ended, opened, refreshed, refused};
use super::group::{Group, refuses, sentinels, three_brokers};
use super::process::request_id;
use super::servers::{Servers, backend, guard, readiness, until};

const TOPIC: &str = "curfew.revocations.v1";

#[tokio::test(flavor = "multi_thread")]
async fn one_broker_of_three_is_missed_by_no_revocation_whichever_it_is() {
    let mut group = Group::of(sentinels(), three_brokers());
    let ([first, second], secret) = group.nodes();
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let sample = opened(&on_first, "alice").await;
    let (guard, _running) = guard(&second, &on_second, &sample.access_token).await;
    for broker in 0..3 {
        let over = [
            opened(&on_first, &format!("before-{broker}")).await,
            opened(&on_first, &format!("during-{broker}")).await,
        ];
        ended(&on_second, &over[0].session).await;
        group.kafka.kill(broker);
        let id = request_id();
        until("a DURABLE revocation", async || {
            let level = end_once(&on_first, &over[1].session, &id).await.ok()?;
            (level == AckLevel::Durable).then_some(())
        })
        .await;
        group.kafka.restart(broker).unwrap();
        for held in &over {
            refused(&on_second, held).await;
            refuses(&guard, &held.access_token).await;
        }
    }
    refreshed(&on_first, &sample).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_broker_a_revocation_is_stored_and_delivered_when_they_are_back() {
    let mut group = Group::of(sentinels(), three_brokers());
    let ([first, second], secret) = group.nodes();
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let sample = opened(&on_first, "alice").await;
    let doomed = opened(&on_first, "bob").await;
    let (guard, _running) = guard(&second, &on_second, &sample.access_token).await;
    (0..3).for_each(|broker| group.kafka.kill(broker));
    let level = end_once(&on_first, &doomed.session, &request_id()).await.unwrap();
    assert_eq!(level, AckLevel::Stored);
    let (sample, _) = refreshed(&on_second, &sample).await.unwrap();
    refused(&on_second, &doomed).await;
    group.kafka.restart_all().unwrap();
    refuses(&guard, &doomed.access_token).await;
    for node in [&first, &second] {
        until("ready again", async || readiness(node).await.0.then_some(())).await;
    }
    refreshed(&on_first, &sample).await.unwrap();
}

/// Whatever was done to the topic: no node calls itself ready, and no guard proves anything by it.
async fn is_noticed(change: impl FnOnce(&Kafka)) {
    let servers = Servers::start();
    let ([first, second], secrets) = servers.seeded_nodes();
    let (on_first, on_second) = (
        backend(&first, &secrets.backend).await,
        backend(&second, &secrets.backend).await,
    );
    let kept = opened(&on_first, "alice").await;
    let doomed = opened(&on_first, "bob").await;
    let (guard, _running) = guard(&second, &on_second, &kept.access_token).await;
    ended(&on_first, &doomed.session).await;
    refuses(&guard, &doomed.access_token).await;
    for node in [&first, &second] {
        until("ready", async || readiness(node).await.0.then_some(())).await;
    }
    change(&servers.kafka);
    for node in [&first, &second] {
        until("not ready", async || (!readiness(node).await.0).then_some(())).await;
    }
    let route = Requirements::scope("orders.read").stale(curfew_guard::Stale::Deny);
    until("the guard proves nothing by it", async || {
        guard.check(&kept.access_token, &route).is_err().then_some(())
    })
    .await;
    // It still knows what it knew, and the store what it was told.
    refuses(&guard, &doomed.access_token).await;
    for backend in [&on_first, &on_second] {
        refused(backend, &doomed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_and_made_again_under_running_nodes_proves_nothing_to_anybody() {
    is_noticed(|kafka| {
        kafka
            .tool("kafka-topics", &["--delete", "--topic", TOPIC])
            .unwrap();
        let mut made = vec!["--create", "--topic", TOPIC, "--partitions", "8"];
        made.extend(["--replication-factor", "1"]);
        made.extend(["--config", "message.timestamp.type=LogAppendTime"]);
        kafka.tool("kafka-topics", &made).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_got_more_partitions_under_running_nodes_proves_nothing_to_anybody() {
    is_noticed(|kafka| {
        kafka
            .tool(
                "kafka-topics",
                &["--alter", "--topic", TOPIC, "--partitions", "16"],
            )
            .unwrap();
    })
    .await;
}

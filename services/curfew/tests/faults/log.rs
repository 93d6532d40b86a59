//! Brokers that die, and a topic that is not what it was.

use std::time::Duration;

use curfew_guard::{Requirements, Stale};
use curfew_proto::revocation::v1::AckLevel;
use curfew_servers::Kafka;

use super::ask::{end_once, ended, opened, refreshed, refused};
use super::group::{Group, refuses, sentinels, three_brokers};
use super::process::request_id;
use super::servers::{Servers, backend, guard, guard_that_need_not_be_ready, readiness, until};

const TOPIC: &str = "curfew.revocations.v1";
/// Longer than the staleness bound of whatever reads it.
const NOTICED: Duration = Duration::from_secs(20);
/// How often a guard that comes afterwards is asked: for longer than it takes to get ready.
const LOOKS: usize = 100;
const LOOK: Duration = Duration::from_millis(100);

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
        ended(&on_first, &over[1].session).await;
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

/// Whatever was done to the topic under running nodes: what was DURABLE holds in the store and at every guard, those
/// that were there and one that comes afterwards, which may also never get ready.
async fn holds_after(change: impl FnOnce(&Kafka)) {
    let servers = Servers::start();
    let ([first, second], secrets) = servers.seeded_nodes();
    let (on_first, on_second) = (
        backend(&first, &secrets.backend).await,
        backend(&second, &secrets.backend).await,
    );
    let kept = opened(&on_first, "alice").await;
    let doomed = opened(&on_first, "bob").await;
    let (old, _running) = guard(&second, &on_second, &kept.access_token).await;
    ended(&on_first, &doomed.session).await;
    refuses(&old, &doomed.access_token).await;

    change(&servers.kafka);
    // Long enough for every reader to have noticed, and to have found what it makes of it.
    tokio::time::sleep(NOTICED).await;
    for backend in [&on_first, &on_second] {
        refused(backend, &doomed).await;
    }
    let route = Requirements::scope("orders.read").stale(Stale::Deny);
    let came = guard_that_need_not_be_ready(&second, &on_second, &kept.access_token);
    let (came, _came_running) = came;
    for _ in 0..LOOKS {
        for guard in [&old, &came] {
            guard
                .check(&doomed.access_token, &route)
                .expect_err("a token that was revoked, DURABLE");
        }
        tokio::time::sleep(LOOK).await;
    }
    println!("ready afterwards: {} {}", old.is_ready(), came.is_ready());
    for node in [&first, &second] {
        println!("node ready afterwards: {}", readiness(node).await.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_and_made_again_under_running_nodes_loses_no_durable_revocation_at_any_guard() {
    holds_after(|kafka| {
        kafka
            .tool("kafka-topics", &["--delete", "--topic", TOPIC])
            .unwrap();
        let mut made = vec!["--create", "--topic", TOPIC, "--partitions", "8"];
        made.extend(["--replication-factor", "1"]);
        made.extend(["--config", "message.timestamp.type=LogAppendTime"]);
        // Deletion is not over when it is acknowledged.
        let again = || kafka.tool("kafka-topics", &made);
        assert!((0..20).any(|_| again().is_ok()), "the topic cannot be made again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_got_more_partitions_under_running_nodes_loses_no_durable_revocation_at_any_guard() {
    holds_after(|kafka| {
        kafka
            .tool(
                "kafka-topics",
                &["--alter", "--topic", TOPIC, "--partitions", "16"],
            )
            .unwrap();
    })
    .await;
}

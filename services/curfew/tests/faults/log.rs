//! Brokers that die, and a topic that is not what it was.

use std::time::Duration;

use curfew_guard::{Guard, Requirements, Running, Stale};
use curfew_guard_kafka::{KafkaSource, options};
use curfew_proto::revocation::v1::AckLevel;

use super::ask::{Held, end_once, ended, opened, refreshed, refused};
use super::group::{Group, refuses, sentinels, three_brokers};
use super::process::{Backend, Server, curfew_in, request_id};
use super::servers::{ROOT_KEY, Servers, backend, guard, guard_on, hub, readiness, until};

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

/// Two nodes, a token that was revoked, DURABLE, and a guard that knows.
struct Stage {
    servers: Servers,
    nodes: [Server; 2],
    on: [Backend; 2],
    kept: Held,
    doomed: Held,
    guard: (Guard, Running),
}

impl Stage {
    async fn set() -> Self {
        let servers = Servers::start();
        let (nodes, secrets) = servers.seeded_nodes();
        let on = [
            backend(&nodes[0], &secrets.backend).await,
            backend(&nodes[1], &secrets.backend).await,
        ];
        let kept = opened(&on[0], "alice").await;
        let doomed = opened(&on[0], "bob").await;
        let guard = guard(&nodes[1], &on[1], &kept.access_token).await;
        ended(&on[0], &doomed.session).await;
        refuses(&guard.0, &doomed.access_token).await;
        // What is still in an outbox would be delivered once more.
        until("the outboxes are empty", async || {
            (servers.outbox() == 0).then_some(())
        })
        .await;
        Self {
            servers,
            nodes,
            on,
            kept,
            doomed,
            guard,
        }
    }

    /// Deletes the topic and makes it again.
    async fn make_topic_again(&self) {
        let kafka = &self.servers.kafka;
        kafka
            .tool("kafka-topics", &["--delete", "--topic", TOPIC])
            .unwrap();
        let mut made = vec!["--create", "--topic", TOPIC, "--partitions", "8"];
        made.extend(["--replication-factor", "1"]);
        made.extend(["--config", "message.timestamp.type=LogAppendTime"]);
        // Deletion is not over when it is acknowledged.
        until("the topic can be made again", async || {
            kafka.tool("kafka-topics", &made).ok()
        })
        .await;
        self.noticed().await;
    }

    /// Long enough for every reader to have noticed, and to have found what it makes of it.
    async fn noticed(&self) {
        tokio::time::sleep(NOTICED).await;
        for backend in &self.on {
            refused(backend, &self.doomed).await;
        }
    }

    /// Asks for a while: each may prove nothing, and none admits what was revoked.
    async fn nobody_admits(&self, guards: &[(&str, &Guard)]) {
        let route = Requirements::scope("orders.read").stale(Stale::Deny);
        for _ in 0..LOOKS {
            for (name, guard) in guards {
                let admitted = guard.check(&self.doomed.access_token, &route).is_ok();
                assert!(!admitted, "the guard {name} admits what was revoked, DURABLE");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn of_hub(&self, node: &Server) -> (Guard, Running) {
        guard_on(node, &self.kept.access_token, hub(node, &self.on[1]))
    }

    fn of_topic(&self) -> (Guard, Running) {
        let source = KafkaSource::new(options(&self.servers.kafka.bootstrap())).unwrap();
        guard_on(&self.nodes[1], &self.kept.access_token, source.boxed())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_under_running_nodes_loses_nothing_that_they_and_their_guards_know() {
    let stage = Stage::set().await;
    stage.make_topic_again().await;
    let (of_hub, _running) = stage.of_hub(&stage.nodes[1]);
    let guards = [("there before", &stage.guard.0), ("of the hub", &of_hub)];
    stage.nobody_admits(&guards).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_under_running_nodes_proves_nothing_to_whoever_comes_afterwards() {
    let stage = Stage::set().await;
    stage.make_topic_again().await;
    let (of_topic, _topic_running) = stage.of_topic();
    stage.nobody_admits(&[("of the topic", &of_topic)]).await;
    assert!(
        !of_topic.is_ready(),
        "what lies there begins with what nobody has"
    );
    for node in &stage.nodes {
        assert!(
            !readiness(node).await.0,
            "a node whose log was lost proves nothing"
        );
    }
    // A node that is started now does not take it for its log either.
    let mut args = vec!["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let flags = stage.servers.flags();
    args.extend(flags.iter().map(String::as_str));
    let late = curfew_in(&[("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)], &args);
    assert_ne!(late.code, 0, "{}", late.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_got_more_partitions_under_running_nodes_loses_no_durable_revocation_at_any_guard() {
    let stage = Stage::set().await;
    let kafka = &stage.servers.kafka;
    let more = ["--alter", "--topic", TOPIC, "--partitions", "16"];
    kafka.tool("kafka-topics", &more).unwrap();
    stage.noticed().await;
    let (of_hub, _hub_running) = stage.of_hub(&stage.nodes[1]);
    let (of_topic, _topic_running) = stage.of_topic();
    let guards = [
        ("there before", &stage.guard.0),
        ("of the hub", &of_hub),
        ("of the topic", &of_topic),
    ];
    stage.nobody_admits(&guards).await;
    assert!(
        !of_topic.is_ready(),
        "it sees more partitions than heartbeats name"
    );
}

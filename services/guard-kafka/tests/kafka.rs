//! A guard that follows a real Kafka.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod desk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use curfew_clock::SystemClock;
use curfew_core::place::{LogIdentity, LogPartition};
use curfew_core::record::LogRecord;
use curfew_core::refusal::Reason;
use curfew_guard::Running;
use curfew_guard_kafka::{KafkaSource, Options, Sasl, Secret, Security, Topics, options};
use curfew_kafka::Kafka;
use curfew_ports::log::Log as _;
use curfew_servers::{Kafka as Server, KafkaOptions, KafkaSasl};
use desk::{Desk, HOME, until};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::task::JoinHandle;

const BOUND_MS: i64 = 5_000;
const STALE: Option<Reason> = Some(Reason::FreshnessStale);
const REVOKED: Option<Reason> = Some(Reason::TokenRevoked);

/// What starts or stops a server waits for it, on a thread that may.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// A writer of the log, of four partitions, that makes the topic.
async fn writer(mut options: Options) -> Kafka {
    options.topics = Topics::Create;
    options.partitions = Some(4);
    Kafka::open(options).await.unwrap()
}

fn desk() -> Arc<Desk> {
    Arc::new(Desk::new(Arc::new(SystemClock), BOUND_MS))
}

fn start(desk: &Desk, options: Options) -> Running {
    desk.guard.start([KafkaSource::new(options).unwrap().boxed()])
}

async fn append(log: &Kafka, record: &LogRecord) {
    log.append(HOME, record).await.unwrap();
}

/// Beats in every partition, as an authority would, until dropped. What a broker does not take is not repeated.
struct Beats(JoinHandle<()>, Arc<AtomicBool>);

impl Beats {
    fn of(log: &Kafka, identity: LogIdentity) -> Self {
        let (log, beaten) = (log.clone(), Arc::new(AtomicBool::new(false)));
        let desk = desk();
        let done = beaten.clone();
        let beats = tokio::spawn(async move {
            loop {
                for partition in identity.all() {
                    let _ = log.append(partition, &desk.beat(identity, None)).await;
                }
                done.store(true, Ordering::Release);
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
        Self(beats, beaten)
    }

    fn have_begun(&self) -> bool {
        self.1.load(Ordering::Acquire)
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_reads_the_topic_whole_denies_what_it_read_and_outlives_its_broker() {
    let broker = blocking(|| Server::start().unwrap()).await;
    let options = options(&broker.bootstrap());
    let (desk, log) = (desk(), writer(options.clone()).await);
    // Long ago, and with a heartbeat behind it: that one proves nothing to a guard that begins later.
    append(&log, &desk.revocation(1)).await;
    append(&log, &desk.beat(log.log_identity(), None)).await;
    let _running = start(&desk, options);
    until("the oldest record denies", || desk.refusal(1) == REVOKED).await;
    assert_eq!(desk.refusal(2), STALE);
    assert!(!desk.guard.is_ready());

    let _beats = Beats::of(&log, log.log_identity());
    until("heartbeats prove freshness", || desk.refusal(2).is_none()).await;
    until("every partition's", || desk.guard.is_ready()).await;
    append(&log, &desk.revocation(3)).await;
    until("what follows denies", || desk.refusal(3) == REVOKED).await;

    let mut broker = blocking(move || {
        let mut broker = broker;
        broker.kill(0);
        broker
    })
    .await;
    until("freshness ends by its age", || desk.refusal(2) == STALE).await;
    for n in [1, 3] {
        assert_eq!(desk.refusal(n), REVOKED, "{n}");
    }
    let _broker = blocking(move || {
        broker.restart(0).unwrap();
        broker
    })
    .await;
    until("it is fresh again", || desk.refusal(2).is_none()).await;
    append(&log, &desk.revocation(4)).await;
    until("what follows denies", || desk.refusal(4) == REVOKED).await;
    assert_eq!(desk.guard.metrics().reloads(), 0, "it went on where it was");
    assert_eq!(desk.guard.index_len(), 3);
}

const PASSWORD: &str = "correct-horse";

fn as_user(options: &Options, user: &str) -> Options {
    Options {
        security: Security {
            tls: None,
            sasl: Some(Sasl::Plain {
                user: user.to_owned(),
                password: Secret::new(PASSWORD.to_owned()),
            }),
        },
        ..options.clone()
    }
}

/// Its principal may read the topic and nothing else, and for a while not even that.
#[tokio::test(flavor = "multi_thread")]
async fn p10_what_was_cut_behind_a_guard_has_it_read_the_topic_again_and_its_marks_stay() {
    let broker = blocking(|| {
        let users = ["admin", "guard"].map(|name| (name.to_owned(), PASSWORD.to_owned()));
        Server::start_with(&KafkaOptions {
            sasl: Some(KafkaSasl::Plain { users: users.into() }),
            acls: true,
            lines: vec!["super.users=User:ANONYMOUS;User:admin".to_owned()],
            ..KafkaOptions::default()
        })
        .unwrap()
    })
    .await;
    let broker = Arc::new(broker);
    let options = options(&broker.bootstrap());
    let topic = options.topic_name();
    let permit = |what: &'static str| {
        let (broker, topic) = (broker.clone(), topic.clone());
        blocking(move || {
            let who = ["--allow-principal", "User:guard", "--operation", "Read"];
            let arguments = [&[what, "--force"], &who[..], &["--topic", &topic]].concat();
            broker.tool("kafka-acls", &arguments).unwrap();
        })
    };
    let (desk, log) = (desk(), writer(as_user(&options, "admin")).await);
    permit("--add").await;
    append(&log, &desk.revocation(1)).await;
    let _beats = Beats::of(&log, log.log_identity());
    let _running = start(&desk, as_user(&options, "guard"));
    until("it is fresh", || desk.refusal(2).is_none()).await;
    assert_eq!(desk.refusal(1), REVOKED);

    permit("--remove").await;
    until("it reads nothing", || desk.refusal(2) == STALE).await;
    append(&log, &desk.revocation(3)).await;
    append(&log, &desk.revocation(4)).await;
    let last = log.bounds().await.unwrap()[HOME.index()].end;
    append(&log, &desk.revocation(5)).await;
    cut(&broker, &topic, HOME, last).await;
    assert_eq!(desk.guard.metrics().reloads(), 0);
    permit("--add").await;
    until("it reads the topic again", || desk.guard.metrics().reloads() == 1).await;
    // What it knew it knows, although no topic has it any more.
    assert_eq!(desk.refusal(1), REVOKED);
    until("it is fresh", || desk.refusal(2).is_none()).await;
    for n in [1, 5] {
        assert_eq!(desk.refusal(n), REVOKED, "{n}");
    }
    assert_eq!(desk.guard.metrics().reloads(), 1);
}

/// Drops what lies before this offset, as retention does.
async fn cut(broker: &Server, topic: &str, partition: LogPartition, before: u64) {
    let mut offsets = rdkafka::TopicPartitionList::new();
    let before = rdkafka::Offset::Offset(before.try_into().unwrap());
    offsets
        .add_partition_offset(topic, partition.0.into(), before)
        .unwrap();
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("security.protocol", "SASL_PLAINTEXT")
        .set("sasl.mechanism", "PLAIN")
        .set("sasl.username", "admin")
        .set("sasl.password", PASSWORD)
        .create()
        .unwrap();
    let answer = admin.delete_records(&offsets, &AdminOptions::new()).await;
    for element in answer.unwrap().elements() {
        element.error().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_topic_that_holds_another_log_is_refused_and_one_who_knows_no_other_follows_it() {
    let broker = blocking(|| Server::start().unwrap()).await;
    let options = options(&broker.bootstrap());
    let log = writer(options.clone()).await;
    let identity = log.log_identity();
    let (known, told) = (desk(), desk());
    append(&log, &known.revocation(1)).await;
    let beats = Beats::of(&log, identity);
    let _running = start(&known, options.clone());
    until("it is fresh", || known.refusal(2).is_none()).await;
    assert_eq!(known.refusal(1), REVOKED);
    drop(beats);

    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .create()
        .unwrap();
    let topic = options.topic_name();
    let deleted = admin.delete_topics(&[&topic], &AdminOptions::new()).await;
    deleted.unwrap().remove(0).unwrap();
    while curfew_kafka::examine(&options).await.partitions.is_some() {
        tokio::task::yield_now().await;
    }
    let log = writer(options.clone()).await;
    let other = LogIdentity::new([9; 16], 4).unwrap();
    let beats = Beats::of(&log, other);
    // Whoever begins now takes the log that its heartbeats name first.
    until("the other log beats", || beats.have_begun()).await;
    let _told = start(
        &told,
        Options {
            expected: Some(identity),
            ..options.clone()
        },
    );
    let new = desk();
    let _new = start(&new, options);
    until("who knows no other follows it", || new.refusal(2).is_none()).await;
    until("freshness ends", || known.refusal(2) == STALE).await;
    append(&log, &new.revocation(3)).await;
    until("it is followed", || new.refusal(3) == REVOKED).await;
    assert_eq!(known.refusal(2), STALE, "it follows the log that it knows");
    assert_eq!(known.refusal(1), REVOKED, "and forgets nothing of it");
    assert!(!known.guard.is_ready());
    assert_eq!(told.refusal(2), STALE, "it was told which log to follow");
    assert_eq!(told.guard.index_len(), 0);
}

//! What the tests on a real broker share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use curfew_core::place::LogPartition;
use curfew_kafka::{Options, Sasl, Secret, Security, Topics};
use curfew_servers::{Kafka as Server, KafkaOptions, KafkaSasl};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// A server that tests share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    One,
    Three,
    /// One, where `curfew` may read and write topics and nothing else, and `admin` everything.
    Strict,
}

static SHARED: Mutex<Vec<(Kind, Weak<Server>)>> = Mutex::new(Vec::new());

/// One for all tests that run at the same time; it goes with the last of them.
pub(crate) async fn shared(kind: Kind) -> Arc<Server> {
    blocking(move || {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let living = shared.iter().find(|(of, _)| *of == kind);
        if let Some(server) = living.and_then(|(_, server)| server.upgrade()) {
            return server;
        }
        let server = Arc::new(start(kind));
        shared.retain(|(of, _)| *of != kind);
        shared.push((kind, Arc::downgrade(&server)));
        server
    })
    .await
}

pub(crate) async fn broker() -> Arc<Server> {
    shared(Kind::One).await
}

/// Of every user here.
pub(crate) const PASSWORD: &str = "correct-horse";

fn start(kind: Kind) -> Server {
    let one = KafkaOptions::default();
    match kind {
        Kind::One => Server::start().unwrap(),
        Kind::Three => Server::start_with(&KafkaOptions { brokers: 3, ..one }).unwrap(),
        Kind::Strict => {
            let users = ["admin", "curfew"].map(|name| (name.to_owned(), PASSWORD.to_owned()));
            let server = Server::start_with(&KafkaOptions {
                sasl: Some(KafkaSasl::Plain { users: users.into() }),
                acls: true,
                lines: vec!["super.users=User:ANONYMOUS;User:admin".to_owned()],
                ..one
            })
            .unwrap();
            let may = "--add --allow-principal User:curfew --operation Read --operation Write";
            let topics = "--resource-pattern-type prefixed --topic t";
            let arguments: Vec<_> = may.split(' ').chain(topics.split(' ')).collect();
            server.tool("kafka-acls", &arguments).unwrap();
            server
        }
    }
}

/// Who comes in with a name and the password of all.
pub(crate) fn plain(user: &str, password: &str) -> Security {
    Security {
        tls: None,
        sasl: Some(Sasl::Plain {
            user: user.to_owned(),
            password: Secret::new(password.to_owned()),
        }),
    }
}

/// What starts or stops a server waits for it, on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// A log of four partitions under a name that no other test has.
pub(crate) fn options(bootstrap: &str) -> Options {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut options = Options::new(bootstrap);
    options.prefix = format!("t{}.", NEXT.fetch_add(1, Ordering::Relaxed));
    options.partitions = Some(4);
    options
}

/// A client that may everything.
pub(crate) fn admin(options: &Options) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &options.bootstrap);
    if options.security.sasl.is_some() {
        config
            .set("security.protocol", "SASL_PLAINTEXT")
            .set("sasl.mechanism", "PLAIN")
            .set("sasl.username", "admin")
            .set("sasl.password", PASSWORD);
    }
    config.create().unwrap()
}

/// Makes the topic as somebody else would, and waits until it is there.
pub(crate) async fn make(options: &Options, partitions: i32, settings: &[(&str, &str)]) {
    let name = options.topic_name();
    let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    for (setting, value) in settings {
        topic = topic.set(setting, value);
    }
    let admin = admin(options);
    let made = admin.create_topics([&topic], &AdminOptions::new()).await;
    made.unwrap().remove(0).unwrap();
    blocking(move || {
        let is_there = || {
            let metadata = admin
                .inner()
                .fetch_metadata(Some(&name), Duration::from_secs(20))
                .unwrap();
            metadata.topics()[0].error().is_none() && !metadata.topics()[0].partitions().is_empty()
        };
        while !is_there() {
            std::thread::yield_now();
        }
    })
    .await;
}

/// Kafka's own way to drop what lies before an offset.
pub(crate) async fn delete_records(options: &Options, partition: LogPartition, before: u64) {
    let mut offsets = TopicPartitionList::new();
    let before = Offset::Offset(i64::try_from(before).unwrap());
    offsets
        .add_partition_offset(&options.topic_name(), partition.0.into(), before)
        .unwrap();
    let answer = admin(options)
        .delete_records(&offsets, &AdminOptions::new())
        .await;
    for element in answer.unwrap().elements() {
        element.error().unwrap();
    }
}

/// What a principal needs that may only read and write.
pub(crate) async fn trusted(options: &mut Options) {
    options.security = plain("curfew", PASSWORD);
    options.topics = Topics::Trust;
    make(options, 4, &[]).await;
}

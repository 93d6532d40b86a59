//! Tails on a real broker, in what the contract suite cannot make happen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    dead_code,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use common::broker;
use curfew_core::place::LogPartition;
use curfew_core::record::LogRecord;
use curfew_kafka::{Kafka, examine};
use curfew_ports::log::{Log, LogEntry, LogError, Tail, TailFrom};
use curfew_ports::testing::sample_log_records;
use curfew_servers::Kafka as Server;
use curfew_wire::encode_log;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

const FIRST: LogPartition = LogPartition(0);

fn record() -> LogRecord {
    sample_log_records().remove(0)
}

async fn read(tail: &mut dyn Tail, count: usize) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        match tail.next().await {
            Ok(batch) => entries.extend(batch),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
    entries
}

fn stranger(bootstrap: &str, settings: &[(&str, &str)]) -> FutureProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

async fn send(producer: &FutureProducer, topic: &str, value: &[u8]) {
    let message: FutureRecord<'_, str, [u8]> = FutureRecord::to(topic).partition(0).payload(value);
    producer.send(message, Duration::from_secs(10)).await.unwrap();
}

/// librdkafka #4224: a reader whose offset is gone once started at the end, and said nothing.
#[tokio::test]
async fn a_tail_of_a_topic_that_was_made_again_is_out_of_range() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let log = Kafka::open(options.clone()).await.unwrap();
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    for _ in 0..5 {
        log.append(FIRST, &record()).await.unwrap();
    }
    read(&mut *tail, 5).await;
    let admin = common::admin(&options);
    let name = options.topic_name();
    admin
        .delete_topics(&[&name], &AdminOptions::new())
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    while examine(&options).await.partitions.is_some() {
        tokio::task::yield_now().await;
    }
    let again = Kafka::open(options).await.unwrap();
    again.append(FIRST, &record()).await.unwrap();
    let told = loop {
        match tail.next().await {
            Err(error) if error.is_retryable() => {}
            other => break other,
        }
    };
    match told {
        Err(LogError::OutOfRange {
            partition: FIRST,
            asked: 5,
            start: 0,
            end: 1,
        }) => {}
        other => panic!("not told: {other:?}"),
    }
    // And it stays so: the tail never goes on by itself.
    assert!(matches!(tail.next().await, Err(LogError::OutOfRange { .. })));
}

#[tokio::test]
async fn a_tail_and_an_append_outlive_a_crash_of_the_broker() {
    let mut broker = common::blocking(|| Server::start().unwrap()).await;
    let log = Kafka::open(common::options(&broker.bootstrap())).await.unwrap();
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    log.append(FIRST, &record()).await.unwrap();
    assert_eq!(read(&mut *tail, 1).await[0].position.offset, 0);
    broker.kill(0);
    let pending = tokio::spawn({
        let log = log.clone();
        async move { log.append(FIRST, &record()).await }
    });
    while log.queue().0 == 0 {
        tokio::task::yield_now().await;
    }
    let _broker = common::blocking(move || {
        broker.restart(0).unwrap();
        broker
    })
    .await;
    assert_eq!(pending.await.unwrap().unwrap().offset, 1);
    assert_eq!(read(&mut *tail, 1).await[0].position.offset, 1);
    assert_eq!(log.bounds().await.unwrap()[0].end, 2);
}

#[tokio::test]
async fn a_strangers_open_transaction_holds_up_nothing() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let log = Kafka::open(options.clone()).await.unwrap();
    let producer = stranger(&options.bootstrap, &[("transactional.id", "stranger")]);
    let (producer, topic) = tokio::task::spawn_blocking(move || {
        producer.init_transactions(Duration::from_secs(20)).unwrap();
        producer.begin_transaction().unwrap();
        (producer, options.topic_name())
    })
    .await
    .unwrap();
    send(&producer, &topic, &encode_log(&record())).await;
    log.append(FIRST, &record()).await.unwrap();
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    assert_eq!(read(&mut *tail, 2).await[1].position.offset, 1);
    // Its end is a marker, at an offset that holds no record: the tail goes past it, once it has looked.
    tokio::task::spawn_blocking(move || producer.commit_transaction(Duration::from_secs(20)).unwrap())
        .await
        .unwrap();
    // The coordinator writes it after it has answered.
    while log.bounds().await.unwrap()[0].end < 3 {
        tokio::task::yield_now().await;
    }
    log.append(FIRST, &record()).await.unwrap();
    let entries = read(&mut *tail, 1).await;
    assert_eq!((entries[0].position.offset, &entries[0].record), (3, &record()));
}

#[tokio::test]
async fn what_others_compressed_is_read() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let log = Kafka::open(options.clone()).await.unwrap();
    // Long enough to be worth it; a value that is no record keeps its bytes.
    let value = vec![b'x'; 4_096];
    let codecs = ["gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        let producer = stranger(&options.bootstrap, &[("compression.type", codec)]);
        send(&producer, &options.topic_name(), &value).await;
    }
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    for entry in read(&mut *tail, codecs.len()).await {
        match entry.record {
            LogRecord::Unknown(unknown) => assert_eq!(*unknown.raw, *value),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_message_without_a_value_is_an_unknown_record() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let log = Kafka::open(options.clone()).await.unwrap();
    let message: FutureRecord<'_, str, [u8]> = FutureRecord::to("").partition(0).key("k");
    let (topic, producer) = (options.topic_name(), stranger(&options.bootstrap, &[]));
    producer
        .send(
            FutureRecord {
                topic: &topic,
                ..message
            },
            Duration::from_secs(10),
        )
        .await
        .unwrap();
    let entries = read(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 1).await;
    assert!(matches!(&entries[0].record, LogRecord::Unknown(unknown) if unknown.raw.is_empty()));
}

#[tokio::test]
async fn entries_bear_the_brokers_time() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let log = Kafka::open(options.clone()).await.unwrap();
    let producer = stranger(&options.bootstrap, &[]);
    let topic = options.topic_name();
    // A producer's own time is long ago, and does not count.
    let message: FutureRecord<'_, str, [u8]> = FutureRecord::to(&topic)
        .partition(0)
        .payload(b"x".as_slice())
        .timestamp(1_000);
    producer.send(message, Duration::from_secs(10)).await.unwrap();
    log.append(FIRST, &record()).await.unwrap();
    let entries = read(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 2).await;
    let apart = entries[1].appended_at.ms_since(entries[0].appended_at);
    assert!((0..60_000).contains(&apart), "{apart} ms apart");
}

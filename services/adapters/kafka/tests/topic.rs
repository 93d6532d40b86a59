//! The topic on a real broker: made, looked at, trusted; and which log it holds.
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

use std::collections::BTreeMap;
use std::sync::Arc;

use common::broker;
use curfew_core::place::{LogIdentity, LogPartition};
use curfew_core::record::{Heartbeat, LogRecord};
use curfew_kafka::{Kafka, OpenError, Options, Severity, Topics, examine};
use curfew_ports::log::{Log, LogError, TailFrom};
use curfew_ports::testing::sample_log_records;
use rdkafka::admin::{AdminOptions, ResourceSpecifier};

async fn settings(options: &Options) -> BTreeMap<String, String> {
    let name = options.topic_name();
    let admin = common::admin(options);
    let answer = admin
        .describe_configs([&ResourceSpecifier::Topic(&name)], &AdminOptions::new())
        .await;
    let entries = answer.unwrap().remove(0).unwrap().entries.into_iter();
    entries
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect()
}

fn heartbeat(log: LogIdentity) -> LogRecord {
    let beats = sample_log_records().into_iter().find_map(|record| match record {
        LogRecord::Heartbeat(beat) => Some(beat),
        _ => None,
    });
    LogRecord::Heartbeat(Heartbeat {
        log,
        ..beats.unwrap()
    })
}

#[tokio::test]
async fn a_topic_that_is_made_has_every_setting() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let log = Kafka::open(options.clone()).await.unwrap();
    assert_eq!(log.log_identity().partitions, 4);
    let settings = settings(&options).await;
    for (name, value) in [
        ("cleanup.policy", "delete"),
        ("message.timestamp.type", "LogAppendTime"),
        ("retention.ms", "604800000"),
        ("retention.bytes", "-1"),
        ("unclean.leader.election.enable", "false"),
        ("min.insync.replicas", "1"),
    ] {
        assert_eq!(settings[name], value, "{name}");
    }
    let report = examine(&options).await;
    assert!(report.is_well(), "{report:?}");
    assert_eq!((report.brokers, report.partitions), (1, Some(4)));
}

#[tokio::test]
async fn nodes_that_start_together_make_one_topic_and_agree() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let opened = (0..4).map(|_| tokio::spawn(Kafka::open(options.clone())));
    let mut identities = Vec::new();
    for node in opened.collect::<Vec<_>>() {
        identities.push(node.await.unwrap().unwrap().log_identity());
    }
    identities.dedup();
    assert_eq!(identities.len(), 1, "{identities:?}");
}

#[tokio::test]
async fn each_wrong_setting_is_named_and_its_line_mends_it() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let wrong = [
        ("cleanup.policy", "compact"),
        ("message.timestamp.type", "CreateTime"),
        ("retention.ms", "1000"),
        ("retention.bytes", "1048576"),
        ("unclean.leader.election.enable", "true"),
    ];
    common::make(&options, 4, &wrong).await;
    for topics in [Topics::Create, Topics::Verify] {
        let refused = Kafka::open(Options {
            topics,
            ..options.clone()
        })
        .await
        .unwrap_err();
        let told = refused.to_string();
        for (name, value) in wrong {
            assert!(
                told.contains(&format!("- {name}: found {value}, wanted ")),
                "{name} in:\n{told}"
            );
            assert!(
                told.contains(&format!("--add-config {name}=")),
                "{name} in:\n{told}"
            );
        }
        assert!(told.contains("kind: KafkaTopic"), "{told}");
    }
    let report = examine(&options).await;
    let named: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.what.as_str())
        .collect();
    assert_eq!(named, wrong.map(|(name, _)| name));
    // Trusted, it is taken as it is.
    let topics = Topics::Trust;
    Kafka::open(Options { topics, ..options }).await.unwrap();
}

#[tokio::test]
async fn a_missing_topic_is_refused_with_the_line_that_makes_it() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    for topics in [Topics::Verify, Topics::Trust] {
        let refused = Kafka::open(Options {
            topics,
            ..options.clone()
        })
        .await
        .unwrap_err();
        let told = refused.to_string();
        assert!(matches!(refused, OpenError::NoTopic { .. }), "{told}");
        assert!(
            told.contains("kafka-topics.sh") && told.contains(&options.topic_name()),
            "{told}"
        );
    }
    for topics in [Topics::Verify, Topics::Trust] {
        let report = examine(&Options {
            topics,
            ..options.clone()
        })
        .await;
        assert_eq!(report.findings[0].what, "topic");
        assert!(report.findings[0].mend[0].contains("--create"));
        assert!(!report.is_made_at_start);
    }
    // Where it is to be made, brokers are asked whether they would, and make nothing.
    let report = examine(&options).await;
    assert!(report.is_well() && report.is_made_at_start, "{report:?}");
    assert_eq!(report.partitions, None);
    assert!(examine(&options).await.is_made_at_start);
}

#[tokio::test]
async fn p39_another_number_of_partitions_is_refused() {
    let broker = broker().await;
    let mut options = common::options(&broker.bootstrap());
    common::make(&options, 3, &[]).await;
    options.topics = Topics::Trust;
    let refused = Kafka::open(options.clone()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Partitions {
                present: 3,
                asked: 4,
                ..
            }
        ),
        "{refused}"
    );
    options.partitions = None;
    let refused = Kafka::open(options.clone()).await.unwrap_err();
    assert!(
        matches!(refused, OpenError::NotADivisor { present: 3, .. }),
        "{refused}"
    );
    let report = examine(&options).await;
    assert!(
        report.findings.iter().any(|finding| finding.what == "partitions"),
        "{report:?}"
    );
}

#[tokio::test]
async fn p9_a_topic_that_holds_another_log_is_refused() {
    let broker = broker().await;
    let mut options = common::options(&broker.bootstrap());
    let log = Kafka::open(options.clone()).await.unwrap();
    let other = LogIdentity::new([9; 16], 4).unwrap();
    log.append(LogPartition(2), &heartbeat(other)).await.unwrap();
    // Whoever expects none takes what the heartbeats say.
    assert_eq!(Kafka::open(options.clone()).await.unwrap().log_identity(), other);
    options.expected = Some(log.log_identity());
    let refused = Kafka::open(options.clone()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::OtherLog {
                partition: LogPartition(2),
                offset: 0,
                ..
            }
        ),
        "{refused}"
    );
    options.expected = LogIdentity::new([9; 16], 8);
    let refused = Kafka::open(options.clone()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Partitions {
                present: 4,
                asked: 8,
                ..
            }
        ),
        "{refused}"
    );
    options.expected = Some(other);
    Kafka::open(options).await.unwrap();
}

#[tokio::test]
async fn a_heartbeat_is_found_behind_many_other_records() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let log = Kafka::open(options.clone()).await.unwrap();
    let other = LogIdentity::new([7; 16], 4).unwrap();
    log.append(LogPartition(1), &heartbeat(other)).await.unwrap();
    let record = Arc::new(sample_log_records().remove(0));
    let appended = (0..300).map(|_| {
        let (log, record) = (log.clone(), record.clone());
        tokio::spawn(async move { log.append(LogPartition(1), &record).await.unwrap() })
    });
    for append in appended.collect::<Vec<_>>() {
        append.await.unwrap();
    }
    assert_eq!(Kafka::open(options).await.unwrap().log_identity(), other);
}

#[tokio::test]
async fn a_topic_deleted_and_made_again_is_out_of_range_for_its_readers() {
    let broker = broker().await;
    let options = common::options(&broker.bootstrap());
    let log = Kafka::open(options.clone()).await.unwrap();
    let record = sample_log_records().remove(0);
    for _ in 0..5 {
        log.append(LogPartition(0), &record).await.unwrap();
    }
    let ends: Vec<_> = log
        .bounds()
        .await
        .unwrap()
        .iter()
        .map(|bounds| bounds.end)
        .collect();
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
    let log = Kafka::open(options).await.unwrap();
    match log.tail(TailFrom::Offsets(ends)).await {
        Err(LogError::OutOfRange { asked: 5, end: 0, .. }) => {}
        other => panic!("not told: {other:?}"),
    }
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named_with_what_to_look_at() {
    // Nothing listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut options = Options::new(&format!("127.0.0.1:{port}"));
    options.request_timeout = std::time::Duration::from_secs(1);
    let told = Kafka::open(options.clone()).await.unwrap_err().to_string();
    assert!(
        told.contains(&options.bootstrap) && told.contains("advertised.listeners"),
        "{told}"
    );
    let report = examine(&options).await;
    assert_eq!((report.brokers, report.findings.len()), (0, 1));
    assert_eq!(report.findings[0].severity, Severity::Wrong);
}

//! A topic or a store that is gone: no node takes that for a first start.

use super::process::curfew_in;
use super::servers::{ROOT_KEY, Servers};

const TOPIC: &str = "curfew.revocations.v1";

/// What a node says that does not start.
fn refused(servers: &Servers, words: &[&str]) {
    let flags = servers.flags();
    let mut args = vec!["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    args.extend(flags.iter().map(String::as_str));
    let refused = curfew_in(&[("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)], &args);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    assert!(!refused.stdout.contains("ready"), "{}", refused.stdout);
    for word in words {
        assert!(refused.stderr.contains(word), "{word} in {}", refused.stderr);
    }
}

#[test]
fn p9_a_topic_or_a_store_that_is_gone_is_told_and_not_made_anew() {
    let servers = Servers::start();
    servers.node().kill();
    servers.node().kill();

    // The store went, and the log is there.
    servers.redis.command(&["FLUSHALL"]).unwrap();
    refused(
        &servers,
        &[
            "there is no directory in Redis",
            "the store was lost",
            "redis.prefix",
        ],
    );
    assert_eq!(
        servers.redis.command(&["DBSIZE"]).unwrap().trim(),
        "0",
        "nothing was made"
    );
}

#[test]
fn p9_a_topic_that_is_gone_is_neither_made_again_nor_taken_when_somebody_else_made_it_again() {
    let servers = Servers::start();
    servers.node().kill();
    servers
        .kafka
        .tool("kafka-topics", &["--delete", "--topic", TOPIC])
        .unwrap();
    refused(&servers, &["there is no topic", TOPIC]);
    let is_there = servers.kafka.tool("kafka-topics", &["--list"]).unwrap();
    assert!(!is_there.contains(TOPIC), "it was not made: {is_there}");

    let settings = [
        "cleanup.policy=delete",
        "message.timestamp.type=LogAppendTime",
        "retention.ms=604800000",
        "retention.bytes=-1",
        "unclean.leader.election.enable=false",
    ];
    let mut made = vec![
        "--create",
        "--topic",
        TOPIC,
        "--partitions",
        "8",
        "--replication-factor",
        "1",
    ];
    for setting in &settings {
        made.extend(["--config", setting]);
    }
    servers.kafka.tool("kafka-topics", &made).unwrap();
    refused(&servers, &["names a log", TOPIC, "is empty", "lost"]);
}

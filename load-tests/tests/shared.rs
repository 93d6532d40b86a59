//! `curfew-load` against nodes that share a real Redis and a real Kafka: what is reported was measured there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::process::Command;

use common::curfew;

use curfew_servers::{Kafka, Redis};
use serde_json::Value;

/// What the harness reports of nodes on these servers. A busy machine may void a run, which is told, not hidden.
fn measure(redis: &Redis, kafka: &Kafka, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_curfew-load"))
        .args(arguments)
        .args(["--json", "--redis", &redis.url(), "--kafka", &kafka.bootstrap()])
        .arg("--curfew")
        .arg(curfew())
        // A relay looks at a thousand outboxes every five seconds: beside so few refreshes that is most of the bytes.
        .env("CURFEW_ROLES", "authority,hub,gateway")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 2)), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

fn number(report: &Value, pointer: &str) -> f64 {
    let value = report.pointer(pointer).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no {pointer} in {report}"))
}

#[test]
fn two_nodes_on_one_redis_and_one_kafka_are_measured_beside_the_limits_of_both() {
    let (redis, kafka) = (Redis::start().unwrap(), Kafka::start().unwrap());
    let load = [
        "refresh",
        "--nodes",
        "2",
        "--rate",
        "50",
        "--seconds",
        "3",
        "--warm-up",
        "1",
        "--sessions",
        "60",
        "--limits",
        "1",
    ];
    let report = measure(&redis, &kafka, &load);
    assert_eq!(report["nodes"], 2);
    // One read and one script each; the rest are both nodes' probes, once a second on each connection.
    let calls = |command: &str| number(&report, &format!("/runs/0/redis_cost/calls/{command}"));
    assert!((0.99..1.2).contains(&calls("evalsha")), "{report}");
    assert!((1.9..2.4).contains(&calls("mget")), "{report}");
    assert!((0.99..1.2).contains(&calls("set")), "one row each: {report}");
    assert!(number(&report, "/runs/0/redis_cost/total_us") > 0.0);
    assert!(number(&report, "/runs/0/kafka_cost/rss_mib") > 10.0);
    let script = "/limits/shared/script/together";
    assert!(number(&report, &format!("{script}/per_s")) > 0.0);
    assert_eq!(number(&report, &format!("{script}/conflicts")), 0.0);
    // One each, and the nodes' probes meanwhile.
    let info = number(&report, &format!("{script}/redis/calls/info"));
    assert!((1.0..1.2).contains(&info), "{report}");
    let without = "/limits/shared/script/without_info/redis/calls";
    let info = report.pointer(without).unwrap().get("info");
    assert!(info.is_none_or(|info| info.as_f64().unwrap() < 0.2), "{report}");
    // The bare script sends and is sent about what a refresh is.
    for bytes in ["input_bytes", "output_bytes"] {
        let bare = number(&report, &format!("{script}/redis/{bytes}"));
        let real = number(&report, &format!("/runs/0/redis_cost/{bytes}"));
        assert!((0.8..1.25).contains(&(bare / real)), "{bytes}: {bare} of {real}");
    }
    assert_eq!(number(&report, "/limits/shared/log/lost"), 0.0);
    assert_eq!(number(&report, "/limits/shared/log/consumed_ms/count"), 20.0);
    let parts: Vec<_> = report["parts"].as_array().unwrap().iter().collect();
    for name in ["nodes", "redis", "kafka", "generator"] {
        assert!(
            parts.iter().any(|part| part["part"] == name),
            "no {name} in {parts:?}"
        );
    }
}

#[test]
fn a_revocation_is_timed_beside_bare_records_through_the_same_kafka_and_sessions_are_weighed() {
    let (redis, kafka) = (Redis::start().unwrap(), Kafka::start().unwrap());
    let revoking = [
        "revoke-to-reject",
        "--guards",
        "2",
        "--nodes",
        "2",
        "--revocations",
        "6",
        "--rate",
        "5",
        "--time-out",
        "60",
    ];
    let report = measure(&redis, &kafka, &revoking);
    let found = "/revoke_to_reject/0";
    assert_eq!(number(&report, &format!("{found}/never")), 0.0);
    assert_eq!(number(&report, &format!("{found}/each_ms/count")), 12.0);
    assert_eq!(number(&report, &format!("{found}/bare_log/lost")), 0.0);
    assert_eq!(
        number(&report, &format!("{found}/bare_log/consumed_ms/count")),
        6.0
    );

    let report = measure(&redis, &kafka, &["capacity", "--sessions", "200"]);
    assert!(number(&report, "/capacity/redis/each_bytes") > 100.0);
    let kinds = report.pointer("/capacity/redis/kinds").unwrap();
    for letter in ["s", "g", "l"] {
        let kinds = kinds.as_array().unwrap();
        let kind = kinds.iter().find(|kind| kind["letter"] == letter);
        let kind = kind.unwrap_or_else(|| panic!("no {letter} in {kinds:?}"));
        // Callers have gates too; of the first node's six sessions nothing is met.
        let keys = kind["keys"].as_u64().unwrap();
        assert!((200..206).contains(&keys), "{kinds:?}");
        assert!(kind["value_bytes"].as_f64().unwrap() > 16.0);
    }
}

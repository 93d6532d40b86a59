//! The tables of a Redis and a Kafka that nodes share: what they allow, and what runs cost them.

use super::tables::{Table, ms, whole};
use crate::latency::Percentiles;
use crate::measure::Cost;
use crate::part::script::Scripts;
use crate::report::Report;
use crate::servers::RedisCost;

/// All of them; those without rows are left out.
pub(super) fn all(report: &Report) -> Vec<Table> {
    vec![costs(report), scripts(report), logs(report), held(report)]
}

fn costs(report: &Report) -> Table {
    let of = |name: &str, redis: Option<&RedisCost>, kafka: Option<Cost>| {
        let redis = redis?;
        let calls = |command: &str| redis.calls.get(command).copied().unwrap_or(0.0);
        Some(vec![
            name.to_owned(),
            format!("{:.1}", redis.total_us),
            format!("{:.2}", redis.cores),
            format!("{:.2}", redis.round_trips()),
            format!("{:.2}", calls("evalsha")),
            format!("{:.2}", calls("mget")),
            format!("{:.2}", calls("set")),
            whole(redis.input_bytes),
            whole(redis.output_bytes),
            kafka.map_or_else(String::new, |kafka| format!("{:.2}", kafka.cores)),
        ])
    };
    let ceilings = report
        .ceilings
        .iter()
        .map(|ceiling| of(&ceiling.name, ceiling.redis_cost.as_ref(), ceiling.kafka_cost));
    let runs = report
        .runs
        .iter()
        .map(|run| of(&run.name, run.redis_cost.as_ref(), run.kafka_cost));
    Table {
        title: "What it cost Redis and Kafka",
        note: "Of each answered request; calls within the script are counted. A round trip is a read or a script.",
        heads: vec![
            "",
            "Redis µs",
            "Redis cores",
            "round trips",
            "EVALSHA",
            "MGET",
            "SET",
            "bytes in",
            "bytes out",
            "Kafka cores",
        ],
        rows: ceilings.chain(runs).flatten().collect(),
    }
}

fn scripts(report: &Report) -> Table {
    let of = |name: &str, scripts: &Scripts| {
        vec![
            name.to_owned(),
            scripts.callers.to_string(),
            whole(scripts.per_s),
            ms(scripts.p50_ms),
            ms(scripts.p99_ms),
            format!("{:.1}", scripts.redis.total_us),
            format!("{:.1}", scripts.client_us),
            whole(scripts.redis.input_bytes),
            whole(scripts.redis.output_bytes),
            scripts.conflicts.to_string(),
        ]
    };
    let shared = report.limits.as_ref().and_then(|limits| limits.shared.as_ref());
    let rows = shared.map_or_else(Vec::new, |shared| {
        let script = &shared.script;
        vec![
            of("read and bare script", &script.alone),
            of("read and bare script", &script.together),
            of("the same without INFO", &script.without_info),
        ]
    });
    Table {
        title: "The limit of Redis",
        note: "A read and a compare-and-commit as a refresh has them, by the bare client, in a process of its own. Times in ms of both.",
        heads: vec![
            "",
            "at once",
            "a second",
            "p50",
            "p99",
            "Redis µs",
            "client µs",
            "bytes in",
            "bytes out",
            "conflicts",
        ],
        rows,
    }
}

fn logs(report: &Report) -> Table {
    let of = |name: String, told: &Percentiles, lost: u32| {
        vec![
            name,
            whole(told.count as f64),
            ms(told.p50),
            ms(told.p99),
            ms(told.p999),
            ms(told.max),
            lost.to_string(),
        ]
    };
    let shared = report.limits.as_ref().and_then(|limits| limits.shared.as_ref());
    let alone = shared.map(|shared| ("alone".to_owned(), &shared.log));
    let beside = report
        .revoke_to_reject
        .iter()
        .filter_map(|found| Some((format!("beside {}", found.guards()), found.bare_log.as_ref()?)));
    let rows = alone.into_iter().chain(beside).flat_map(|(name, log)| {
        [
            of(format!("{name}, acknowledged"), &log.acknowledged_ms, 0),
            of(format!("{name}, consumed"), &log.consumed_ms, log.lost),
        ]
    });
    Table {
        title: "The limit of Kafka",
        note: "Bare produce→consume in one process by the client library alone, acks=all, in ms from the intended send.",
        heads: vec!["", "records", "p50", "p99", "p99.9", "max", "lost"],
        rows: rows.collect(),
    }
}

fn held(report: &Report) -> Table {
    let found = report.capacity.as_ref();
    let held = found.and_then(|capacity| Some((capacity.sessions, capacity.redis.as_ref()?)));
    let rows = held.map_or_else(Vec::new, |(sessions, held)| {
        let a_session = |bytes: f64| format!("{:.1}", bytes / sessions.max(1) as f64);
        let kinds = held.kinds.iter().map(|kind| {
            vec![
                format!("keys `{}`", kind.letter),
                whole(kind.keys as f64),
                format!("{:.1}", kind.bytes_each),
                format!("{:.1}", kind.key_bytes),
                format!("{:.1}", kind.value_bytes),
                a_session(kind.bytes_each * kind.keys as f64),
            ]
        });
        let mut all = vec!["used_memory, added".to_owned(), String::new(), String::new()];
        all.extend([String::new(), String::new(), format!("{:.1}", held.each_bytes)]);
        kinds.chain([all]).collect()
    });
    Table {
        title: "What sessions weigh in Redis",
        note: "Bytes by MEMORY USAGE of a sample of each kind; tables of the keyspace and of times of collection are in used_memory alone.",
        heads: vec!["", "keys", "bytes each", "key", "value", "bytes a session"],
        rows,
    }
}

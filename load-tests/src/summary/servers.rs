//! What is told of a Redis and a Kafka, as text.

use std::fmt::Write as _;

use crate::measure::Cost;
use crate::part::pipe;
use crate::part::script::Scripts;
use crate::scenario::capacity::Held;
use crate::scenario::limits::OfShared;
use crate::servers::RedisCost;

/// What they allow.
pub(super) fn of_limits(text: &mut String, shared: &OfShared) {
    // Writing to a String cannot fail.
    let script = &shared.script;
    for (name, scripts) in [
        ("script", &script.alone),
        ("script", &script.together),
        ("script without INFO", &script.without_info),
    ] {
        of_scripts(text, name, scripts);
    }
    of_log(text, "limit: bare produce→consume", &shared.log);
}

fn of_scripts(text: &mut String, name: &str, scripts: &Scripts) {
    let _ = writeln!(
        text,
        "limit: {} callers read and commit by the bare {name}: {:.0}/s; p50 {:.2} p99 {:.2} ms; Redis {:.1} µs, \
         client {:.1} µs of processor each; {:.0} B in, {:.0} B out{}",
        scripts.callers,
        scripts.per_s,
        scripts.p50_ms,
        scripts.p99_ms,
        scripts.redis.total_us,
        scripts.client_us,
        scripts.redis.input_bytes,
        scripts.redis.output_bytes,
        if scripts.conflicts == 0 {
            String::new()
        } else {
            format!("; {} CONFLICTS", scripts.conflicts)
        }
    );
}

/// Bare records.
pub(super) fn of_log(text: &mut String, name: &str, found: &pipe::Found) {
    let _ = writeln!(
        text,
        "{name}: {} records at {}/s, {} lost",
        found.records, found.rate, found.lost
    );
    for (name, told) in [
        ("acknowledged", found.acknowledged_ms),
        ("consumed", found.consumed_ms),
    ] {
        let _ = writeln!(
            text,
            "  {name:<13} p50 {:.2} p90 {:.2} p99 {:.2} p99.9 {:.2} max {:.2} ms",
            told.p50, told.p90, told.p99, told.p999, told.max
        );
    }
}

/// What a run cost them.
pub(super) fn of_cost(text: &mut String, redis: Option<&RedisCost>, kafka: Option<Cost>) {
    if let Some(redis) = redis {
        let calls = redis.calls.iter().map(|(name, each)| format!("{name} {each:.2}"));
        let _ = writeln!(
            text,
            "  redis {:.1} µs of processor each, {:.2} cores; {:.2} round trips ({}); {:.0} B in, {:.0} B out",
            redis.total_us,
            redis.cores,
            redis.round_trips(),
            calls.collect::<Vec<_>>().join(", "),
            redis.input_bytes,
            redis.output_bytes
        );
    }
    if let Some(kafka) = kafka {
        let _ = writeln!(
            text,
            "  kafka {:.1} µs of processor each, {:.2} cores, {:.0} MiB",
            kafka.total_us, kafka.cores, kafka.rss_mib
        );
    }
}

/// What lies in Redis.
pub(super) fn of_held(text: &mut String, held: &Held, sessions: u64) {
    let _ = writeln!(
        text,
        "  redis: {:.1} bytes of used_memory each ({:.1} MiB in all)",
        held.each_bytes,
        held.full_bytes / f64::from(1 << 20)
    );
    for kind in &held.kinds {
        let _ = writeln!(
            text,
            "    {:<3} {:>10} keys, {:>6.1} bytes each (key {:.1}, value {:.1}): {:>6.1} a session",
            kind.letter,
            kind.keys,
            kind.bytes_each,
            kind.key_bytes,
            kind.value_bytes,
            kind.bytes_each * kind.keys as f64 / sessions.max(1) as f64
        );
    }
}

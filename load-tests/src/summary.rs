//! The result for people, as text.

mod servers;

use std::fmt::Write as _;

use crate::latency::Percentiles;
use crate::measure::{Ceiling, Run};
use crate::ratio;
use crate::report::Report;
use crate::scenario::capacity::Capacity;
use crate::scenario::limits::Limits;
use crate::scenario::revoke::RevokeToReject;
use crate::scenario::streams::Streams;
use crate::verdict::Verdict;

/// A report in lines.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some(limits) = &report.limits {
        of_limits(&mut text, limits);
    }
    for ceiling in &report.ceilings {
        of_ceiling(&mut text, "most of the node", ceiling);
    }
    for run in &report.runs {
        of_run(&mut text, run);
    }
    for found in &report.revoke_to_reject {
        of_guards(&mut text, found);
    }
    if let Some(streams) = &report.streams {
        of_streams(&mut text, streams);
    }
    if let Some(capacity) = &report.capacity {
        of_capacity(&mut text, capacity);
    }
    if report.limits.is_some() && !ratio::figures(report).is_empty() {
        of_ratios(&mut text, report);
    }
    text
}

fn of_times<const N: usize>(text: &mut String, lines: [(&str, Percentiles); N]) {
    for (name, told) in lines {
        let _ = writeln!(
            text,
            "  {name:<13} p50 {:.2} p90 {:.2} p99 {:.2} p99.9 {:.2} max {:.2} ms",
            told.p50, told.p90, told.p99, told.p999, told.max
        );
    }
}

fn of_streams(text: &mut String, found: &Streams) {
    let _ = writeln!(
        text,
        "{} streams of one node, {} revocations at {}/s: {} of {} never arrived",
        found.streams, found.revocations, found.rate, found.never, found.each_ms.count
    );
    of_times(
        text,
        [
            ("each stream", found.each_ms),
            ("last stream", found.last_ms),
            ("acknowledged", found.acknowledged_ms),
            ("generator lag", found.lag_ms),
        ],
    );
    let _ = writeln!(
        text,
        "  all had their snapshots after {:.2} s; a stream costs the node {:.0} KiB, a record on it {:.1} µs of processor",
        found.set_up_s, found.rss_each_kib, found.cpu_each_us
    );
}

fn of_capacity(text: &mut String, capacity: &Capacity) {
    let _ = writeln!(
        text,
        "capacity: {} sessions, opened at {:.0}/s; {:.0} bytes of disk each ({:.1} MiB in all)",
        capacity.sessions,
        capacity.opened_per_s,
        capacity.disk_each_bytes,
        capacity.disk_full_bytes as f64 / f64::from(1 << 20)
    );
    let _ = writeln!(
        text,
        "  memory {:.1} MiB idle, {:.1} MiB with all of them, {:.1} MiB after a start with all of them",
        capacity.rss_idle_mib, capacity.rss_full_mib, capacity.rss_started_mib
    );
    let _ = writeln!(
        text,
        "  ready after {:.0} ms without a session, after {:.0} ms with all of them",
        capacity.start_empty_s * 1e3,
        capacity.start_full_s * 1e3
    );
    if let Some(held) = &capacity.redis {
        servers::of_held(text, held, capacity.sessions);
    }
}

fn of_limits(text: &mut String, limits: &Limits) {
    let bare = &limits.bare;
    for commits in [bare.commits_alone, bare.commits_together] {
        let _ = writeln!(
            text,
            "limit: {} callers commit {:.0}/s with fsync; p50 {:.2} p99 {:.2} ms; {:.1} µs of processor each",
            commits.callers, commits.per_s, commits.p50_ms, commits.p99_ms, commits.cpu_us
        );
    }
    let _ = writeln!(
        text,
        "limit: one ES256 signature takes {:.1} µs",
        bare.signature_us
    );
    if let Some(shared) = &limits.shared {
        servers::of_limits(text, shared);
    }
    for echo in [&limits.echo_alone, &limits.echo_together] {
        of_ceiling(text, "limit", echo);
    }
}

fn of_ceiling(text: &mut String, what: &str, ceiling: &Ceiling) {
    let _ = writeln!(
        text,
        "{what}: {}: {:.0}/s with {} under way, p50 {:.2} p99 {:.2} ms{}; generator {:.0} µs{}",
        ceiling.name,
        ceiling.answered_per_s,
        ceiling.workers,
        ceiling.p50_ms,
        ceiling.p99_ms,
        cost(ceiling.target_cost),
        ceiling.generator_cost.total_us,
        if ceiling.failed == 0 {
            String::new()
        } else {
            format!("; {} FAILED: {:?}", ceiling.failed, ceiling.failures)
        }
    );
    servers::of_cost(text, ceiling.redis_cost.as_ref(), ceiling.kafka_cost);
}

fn of_ratios(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "times the limit {:<38} {:>10} {:>10} {:>10} {:>10}",
        "", "commit", "signature", "echo", "all three"
    );
    for figure in ratio::figures(report) {
        let Some(to) = figure.ratio else { continue };
        let _ = writeln!(
            text,
            "  {:<40} {:>11} {:>10.2} {:>10.2} {:>10.2} {:>10.2}",
            figure.name,
            format!(
                "{:.2} {}",
                figure.value,
                figure.unit.text().split(' ').next().unwrap_or_default()
            ),
            to.commit,
            to.signature,
            to.echo,
            to.all
        );
    }
}

fn of_guards(text: &mut String, found: &RevokeToReject) {
    let arrived = &found.arrived;
    let _ = writeln!(
        text,
        "revoke to reject, {}: {} revocations at {}/s, {} of {} never arrived",
        found.guards(),
        found.revocations,
        found.rate,
        arrived.never,
        arrived.each_ms.count
    );
    of_times(
        text,
        [
            ("each guard", arrived.each_ms),
            ("last guard", arrived.last_guard_ms),
            ("acknowledged", arrived.acknowledged_ms),
            ("generator lag", arrived.lag_ms),
        ],
    );
    for (reason, count) in arrived.others.iter().chain(&arrived.not_acknowledged) {
        let _ = writeln!(text, "  {count} {reason}");
    }
    if let Some(log) = &found.bare_log {
        servers::of_log(text, "  bare produce→consume beside it", log);
    }
    if let Verdict::Void(why) = &found.verdict {
        let _ = writeln!(text, "  VOID: {why}");
    }
}

fn of_run(text: &mut String, run: &Run) {
    let _ = writeln!(
        text,
        "{}: {:.0}/s intended, {:.0}/s answered{}",
        run.name,
        run.schedule.rate,
        run.answered_per_s,
        cost(run.target_cost)
    );
    for operation in &run.recorded.operations {
        let told = operation.latency_ms;
        let _ = writeln!(
            text,
            "  {:<8} {:>8} of {} answered; p50 {:.2} p90 {:.2} p99 {:.2} p99.9 {:.2} max {:.1} ms",
            operation.operation.text(),
            operation.answered,
            operation.intended,
            told.p50,
            told.p90,
            told.p99,
            told.p999,
            told.max
        );
        for (reason, count) in &operation.reasons {
            let _ = writeln!(text, "           {count} {reason}");
        }
    }
    servers::of_cost(text, run.redis_cost.as_ref(), run.kafka_cost);
    let lag = run.recorded.lag_ms;
    let _ = writeln!(
        text,
        "  generator lag p50 {:.2} p99 {:.2} max {:.1} ms",
        lag.p50, lag.p99, lag.max
    );
    if let Verdict::Void(why) = &run.verdict {
        let _ = writeln!(text, "  VOID: {why}");
    }
}

fn cost(cost: Option<crate::measure::Cost>) -> String {
    cost.map_or_else(String::new, |cost| {
        format!(
            "; node {:.0} µs of processor each, {:.2} cores",
            cost.total_us, cost.cores
        )
    })
}

//! The result for people, as text.

use std::fmt::Write as _;

use crate::measure::Run;
use crate::report::Report;
use crate::scenario::revoke::RevokeToReject;
use crate::verdict::Verdict;

/// A report in lines.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for run in &report.runs {
        of_run(&mut text, run);
    }
    for found in &report.revoke_to_reject {
        of_guards(&mut text, found);
    }
    text
}

fn of_guards(text: &mut String, found: &RevokeToReject) {
    let arrived = &found.arrived;
    let _ = writeln!(
        text,
        "revoke to reject, {} guards: {} revocations at {}/s, {} of {} never arrived",
        found.guards, found.revocations, found.rate, arrived.never, arrived.each_ms.count
    );
    let lines = [
        ("each guard", arrived.each_ms),
        ("last guard", arrived.last_guard_ms),
        ("acknowledged", arrived.acknowledged_ms),
        ("generator lag", arrived.lag_ms),
    ];
    for (name, told) in lines {
        let _ = writeln!(
            text,
            "  {name:<13} p50 {:.2} p90 {:.2} p99 {:.2} max {:.2} ms",
            told.p50, told.p90, told.p99, told.max
        );
    }
    for (reason, count) in arrived.others.iter().chain(&arrived.not_acknowledged) {
        let _ = writeln!(text, "  {count} {reason}");
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
            format!("{:?}", operation.operation).to_lowercase(),
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

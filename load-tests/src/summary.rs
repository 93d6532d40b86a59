//! The result for people, as text.

use std::fmt::Write as _;

use crate::measure::Run;
use crate::report::Report;
use crate::verdict::Verdict;

/// A report in lines.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for run in &report.runs {
        of_run(&mut text, run);
    }
    text
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

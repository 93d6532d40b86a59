//! The tables of the page: every figure of the report in words and numbers.

use super::servers;
use crate::measure::Ceiling;
use crate::part::limits::Commits;
use crate::ratio;
use crate::report::Report;
use crate::verdict::Verdict;

/// A table; the first cell of a row is its name.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    pub(super) heads: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Three significant figures, as far as times of a network have them.
pub(super) fn ms(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => whole(value),
    }
}

/// A whole number, its thousands apart.
pub(super) fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut apart = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) && !apart.ends_with('-') {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// All tables that have rows.
pub(super) fn all(report: &Report) -> Vec<Table> {
    let tables = [runs(report), arrivals(report), ceilings(report), limits(report)];
    let more = [
        ratios(report),
        streams(report),
        capacity(report),
        parts(report),
        machine(report),
    ];
    tables
        .into_iter()
        .chain(servers::all(report))
        .chain(more)
        .filter(|table| !table.rows.is_empty())
        .collect()
}

fn runs(report: &Report) -> Table {
    let mut rows = Vec::new();
    for run in &report.runs {
        for operation in &run.recorded.operations {
            let told = operation.latency_ms;
            let node = run
                .target_cost
                .map_or_else(String::new, |cost| whole(cost.total_us));
            rows.push(vec![
                format!("{}, {}", run.name, operation.operation.text()),
                whole(operation.intended as f64),
                whole(operation.answered as f64),
                whole((operation.intended - operation.answered) as f64),
                ms(told.p50),
                ms(told.p90),
                ms(told.p99),
                ms(told.p999),
                ms(told.max),
                node,
                whole(run.generator_cost.total_us),
                ms(run.recorded.lag_ms.p99),
                verdict(&run.verdict),
            ]);
        }
    }
    Table {
        title: "Open loops",
        note: "Latencies in ms, of all that were intended. Processor time in µs for each answered request of the run.",
        heads: vec![
            "",
            "intended",
            "answered",
            "not",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "node µs",
            "gene\u{ad}rator µs",
            "lag p99",
            "verdict",
        ],
        rows,
    }
}

fn verdict(verdict: &Verdict) -> String {
    let text = if verdict.is_void() { "void" } else { "valid" };
    text.to_owned()
}

fn arrivals(report: &Report) -> Table {
    let rows = report.revoke_to_reject.iter().map(|found| {
        let arrived = &found.arrived;
        vec![
            found.guards(),
            whole(f64::from(u32::try_from(found.revocations).unwrap_or(u32::MAX))),
            ms(arrived.each_ms.p50),
            ms(arrived.each_ms.p99),
            ms(arrived.each_ms.p999),
            ms(arrived.each_ms.max),
            ms(arrived.last_guard_ms.p50),
            ms(arrived.last_guard_ms.p99),
            ms(arrived.acknowledged_ms.p50),
            ms(arrived.acknowledged_ms.p99),
            ms(arrived.acknowledged_ms.max),
            whole(arrived.never as f64),
            ms(found.ask_every_ms),
            verdict(&found.verdict),
        ]
    });
    Table {
        title: "Revoke to reject",
        note: "In ms from the intended send: to the first refused request at each guard, at the last guard of each revocation, and to the acknowledgement. No time below “asked every” can be told.",
        heads: vec![
            "",
            "revo\u{ad}cations",
            "each p50",
            "each p99",
            "each p99.9",
            "each max",
            "last p50",
            "last p99",
            "acked p50",
            "acked p99",
            "acked max",
            "never",
            "asked every",
            "verdict",
        ],
        rows: rows.collect(),
    }
}

fn of_ceiling(ceiling: &Ceiling) -> Vec<String> {
    let target = ceiling
        .target_cost
        .map_or_else(String::new, |cost| whole(cost.total_us));
    vec![
        ceiling.name.clone(),
        whole(ceiling.workers as f64),
        whole(ceiling.answered_per_s),
        ms(ceiling.p50_ms),
        ms(ceiling.p99_ms),
        target,
        whole(ceiling.generator_cost.total_us),
        whole(ceiling.failed as f64),
    ]
}

const CEILING_HEADS: [&str; 8] = [
    "",
    "at once",
    "a second",
    "p50",
    "p99",
    "processor µs",
    "gene\u{ad}rator µs",
    "failed",
];

fn ceilings(report: &Report) -> Table {
    Table {
        title: "Closed loops",
        note: "How much the node does at most, beside the generator on the same machine. Times in ms under that pressure.",
        heads: CEILING_HEADS.to_vec(),
        rows: report.ceilings.iter().map(of_ceiling).collect(),
    }
}

fn limits(report: &Report) -> Table {
    let mut rows = Vec::new();
    if let Some(limits) = &report.limits {
        let bare = &limits.bare;
        let commits = |name: &str, commits: &Commits| {
            vec![
                name.to_owned(),
                commits.callers.to_string(),
                whole(commits.per_s),
                ms(commits.p50_ms),
                ms(commits.p99_ms),
                whole(commits.cpu_us),
                String::new(),
                "0".to_owned(),
            ]
        };
        rows.push(commits("bare commit with fsync", &bare.commits_alone));
        rows.push(commits("bare commits with fsync", &bare.commits_together));
        let signature = format!("{:.1}", bare.signature_us);
        rows.push(vec![
            "ES256 signature, one core".to_owned(),
            "1".to_owned(),
            whole(1e6 / bare.signature_us),
            format!("{:.3}", bare.signature_us / 1e3),
            String::new(),
            signature,
            String::new(),
            "0".to_owned(),
        ]);
        rows.push(of_ceiling(&limits.echo_alone));
        rows.push(of_ceiling(&limits.echo_together));
    }
    Table {
        title: "Physical limits",
        note: "What this machine does of the three things that a refresh cannot be without, each in a process of its own.",
        heads: CEILING_HEADS.to_vec(),
        rows,
    }
}

fn ratios(report: &Report) -> Table {
    let rows = ratio::figures(report).into_iter().filter_map(|figure| {
        let to = figure.ratio?;
        let value = match figure.unit {
            ratio::Unit::Ms => ms(figure.value),
            ratio::Unit::PerSecond | ratio::Unit::CpuUs => whole(figure.value),
        };
        let times = [to.commit, to.signature, to.echo, to.all].map(|ratio| format!("{ratio:.2}"));
        let name_and_value = [figure.name, format!("{value} {}", figure.unit.text())];
        Some(name_and_value.into_iter().chain(times).collect())
    });
    Table {
        title: "Figures as ratios to the limits",
        note: "Times the limit: for times and processor time 1 is the limit and more is worse; for rates 1 is the limit and less is worse. All three: their sum; for rates what all cores would do at nothing but the three, or what the disk takes.",
        heads: vec![
            "",
            "figure",
            "bare commit",
            "ES256 signature",
            "gRPC echo",
            "All three",
        ],
        rows: rows.collect(),
    }
}

fn streams(report: &Report) -> Table {
    let rows = report.streams.iter().map(|found| {
        vec![
            format!("{} streams", whole(found.streams as f64)),
            ms(found.each_ms.p50),
            ms(found.each_ms.p99),
            ms(found.each_ms.max),
            ms(found.last_ms.p50),
            ms(found.acknowledged_ms.p50),
            whole(found.never as f64),
            whole(found.rss_each_kib),
            ms(found.cpu_each_us),
        ]
    });
    Table {
        title: "Streams of one node",
        note: "Times in ms from the intended send of a revocation until its record is on a stream. Memory in KiB for each stream, processor time in µs for each record on each stream.",
        heads: vec![
            "",
            "p50",
            "p99",
            "max",
            "last stream p50",
            "acknowledged p50",
            "never",
            "memory each",
            "processor each",
        ],
        rows: rows.collect(),
    }
}

fn capacity(report: &Report) -> Table {
    let rows = report.capacity.iter().map(|capacity| {
        vec![
            format!("{} sessions", whole(capacity.sessions as f64)),
            whole(capacity.opened_per_s),
            whole(capacity.disk_each_bytes),
            ms(capacity.rss_idle_mib),
            ms(capacity.rss_full_mib),
            ms(capacity.rss_started_mib),
            ms(capacity.start_empty_s * 1e3),
            ms(capacity.start_full_s * 1e3),
        ]
    });
    Table {
        title: "Capacity",
        note: "Sessions with one grant each. Memory in MiB: idle, with all of them, and after a start with all of them. Start in ms until ready: without a session, and with all of them.",
        heads: vec![
            "",
            "opened a second",
            "bytes of disk each",
            "memory idle",
            "memory full",
            "memory started",
            "start empty",
            "start full",
        ],
        rows: rows.collect(),
    }
}

fn parts(report: &Report) -> Table {
    let rows = report.parts.iter().filter_map(|part| {
        let last = part.samples.last()?;
        let count = part.samples.len() as f64;
        let mean = part.samples.iter().map(|sample| sample.cores).sum::<f64>() / count;
        let of_cores = part.samples.iter().map(|sample| sample.cores).fold(0.0, f64::max);
        let of_memory = part
            .samples
            .iter()
            .map(|sample| sample.rss_mib)
            .fold(0.0, f64::max);
        Some(vec![
            part.part.clone(),
            format!("{mean:.2}"),
            format!("{of_cores:.2}"),
            ms(of_memory),
            ms(last.rss_mib),
        ])
    });
    Table {
        title: "Processor and memory of each part",
        note: "Looked at once a second from the moment a part was there; a part that ended has no memory.",
        heads: vec![
            "",
            "cores, mean",
            "cores, most",
            "memory, most MiB",
            "memory, last MiB",
        ],
        rows: rows.collect(),
    }
}

fn machine(report: &Report) -> Table {
    let (machine, versions) = (&report.machine, &report.versions);
    let [one, five, fifteen] = machine.load;
    let mut rows = vec![
        ("processor", machine.model.clone()),
        ("cores", machine.cores.to_string()),
        ("memory", format!("{} MiB", whole(machine.memory_mib as f64))),
        ("system", machine.kernel.clone()),
        (
            "load averages at the beginning",
            format!("{one:.2}, {five:.2}, {fifteen:.2}"),
        ),
        (
            "curfew-load",
            format!(
                "{}{}",
                versions.curfew_load,
                if versions.optimized { "" } else { ", not optimized" }
            ),
        ),
    ];
    if !versions.curfew.is_empty() {
        rows.push(("node", versions.curfew.clone()));
    }
    if report.nodes > 1 {
        rows.push(("nodes", report.nodes.to_string()));
    }
    if let Some(start_up_s) = report.start_up_s {
        rows.push((
            "start of the node until ready",
            format!("{} ms", ms(start_up_s * 1e3)),
        ));
    }
    Table {
        title: "Machine",
        note: "",
        heads: vec!["", ""],
        rows: rows
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value])
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_as_many_digits_as_they_have() {
        assert_eq!([ms(0.123), ms(12.34), ms(1_234.5)], ["0.12", "12.3", "1,234"]);
        assert_eq!(
            [whole(7.0), whole(999.6), whole(1_234_567.0)],
            ["7", "1,000", "1,234,567"]
        );
    }
}

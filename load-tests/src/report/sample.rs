//! A report of made-up figures, for tests of what is made from reports.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arrivals::Arrivals;
use crate::cli::{Level, Source};
use crate::clock::Mono;
use crate::measure::{Ceiling, Cost, Run};
use crate::part::limits::{Commits, Found};
use crate::recorder::{Ended, Observed, Operation, Recorder};
use crate::report::Report;
use crate::scenario::limits::Limits;
use crate::scenario::revoke::RevokeToReject;
use crate::schedule::{Schedule, Shape};
use crate::usage::{PartSamples, Sample};
use crate::verdict::Verdict;

const fn cost(total_us: f64) -> Cost {
    Cost {
        user_us: total_us / 2.0,
        system_us: total_us / 2.0,
        total_us,
        cores: 1.0,
        rss_mib: 50.0,
    }
}

fn ceiling(name: &str, answered_per_s: f64, p50_ms: f64, total_us: f64) -> Ceiling {
    Ceiling {
        name: name.to_owned(),
        workers: 1,
        answered_per_s,
        failed: 0,
        failures: BTreeMap::new(),
        p50_ms,
        p99_ms: p50_ms * 2.0,
        target_cost: Some(cost(total_us)),
        generator_cost: cost(10.0),
        redis_cost: None,
        kafka_cost: None,
    }
}

const fn commits(callers: u64, per_s: f64, p50_ms: f64, cpu_us: f64) -> Commits {
    Commits {
        callers,
        per_s,
        p50_ms,
        p99_ms: p50_ms * 2.0,
        cpu_us,
    }
}

/// A run of so many requests that took 4 ms each.
fn run(requests: u64) -> Run {
    let mut recorder = Recorder::new(Duration::ZERO, Duration::from_secs(10));
    for n in 0..requests {
        recorder.record(&Observed {
            operation: Operation::Refresh,
            intended: Duration::from_millis(n * 10),
            lag: Duration::from_micros(50),
            latency: Duration::from_millis(4),
            ended: Ended::Answered,
        });
    }
    let recorded = recorder.finish();
    Run {
        name: "refresh".to_owned(),
        schedule: Schedule {
            shape: Shape::Constant,
            rate: 100.0,
            length: Duration::from_secs(3),
            seed: 1,
            stairs: 1,
        },
        sessions: 4_000,
        in_flight_max: 1_000,
        warm_up_s: 0.0,
        measured_s: 3.0,
        answered_per_s: 100.0,
        verdict: Verdict::Valid,
        recorded,
        target_cost: Some(cost(80.0)),
        generator_cost: cost(40.0),
        redis_cost: None,
        kafka_cost: None,
    }
}

/// 20 µs a commit, 20 µs a signature, 10 µs an echo of processor; 1, 0.02 and 0.1 ms of time.
pub(crate) fn report() -> Report {
    let mut report = Report::begin("sample", None);
    report.machine.cores = 2;
    report.machine.model = "a model with <angles> & \"quotes\"".to_owned();
    report.limits = Some(Limits {
        bare: Found {
            commits_alone: commits(1, 900.0, 1.0, 60.0),
            commits_together: commits(256, 20_000.0, 8.0, 20.0),
            signature_us: 20.0,
        },
        echo_alone: ceiling("gRPC echo, one at a time", 8_000.0, 0.1, 30.0),
        echo_together: ceiling("gRPC echo, many at once", 50_000.0, 4.0, 10.0),
        shared: None,
    });
    report.ceilings = vec![ceiling("refresh", 10_000.0, 20.0, 80.0)];
    report.runs = vec![run(300)];
    let mut arrivals = Arrivals::new(vec![Mono(0), Mono(1_000_000)], 1, Duration::from_secs(10));
    arrivals.refused(0, 0, Mono(3_000_000));
    arrivals.refused(0, 1, Mono(4_000_000));
    report.revoke_to_reject = vec![RevokeToReject {
        guards: 1,
        source: Source::Hub,
        revocations: 2,
        level: Level::Durable,
        rate: 20.0,
        ask_every_ms: 0.25,
        time_out_s: 10.0,
        verdict: Verdict::Valid,
        arrived: arrivals.finish(),
        bare_log: None,
    }];
    report.parts = vec![PartSamples {
        part: "node".to_owned(),
        samples: (0_u32..4)
            .map(|n| Sample {
                at_s: f64::from(n),
                cores: 0.5,
                rss_mib: 50.0 + f64::from(n),
            })
            .collect(),
    }];
    report
}

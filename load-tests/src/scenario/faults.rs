//! `faults`: random faults into real servers and nodes, one after the other, and what holds after each.
//!
//! **Invariant:** a run in which no fault was injected, or a sentence did not hold, is no success.

use std::process::ExitCode;
use std::time::Duration;

use curfew_core::time::Clock as _;
use curfew_servers::{Kafka, KafkaOptions};
use fastrand::Rng;

use crate::cli::FaultsArgs;
use crate::clock::Mono;
use crate::failure::Failure;
use crate::faults::fault::{Bag, Topology};
use crate::faults::report::{Report, Stretch};
use crate::faults::stand::Stand;
use crate::machine::{Machine, Versions};
use crate::node;
use crate::progress::{Progress, Shown};

/// Three brokers: one may be missing.
const BROKERS: usize = 3;
/// A layout that cannot be set up so often in a row ends the run.
const TROUBLES_MAX: usize = 3;

pub(crate) fn run(args: &FaultsArgs) -> Result<ExitCode, Failure> {
    let curfew = args.curfew.clone().map_or_else(node::beside, Ok)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let begun = Mono::now();
    let until = begun.plus(Duration::from_secs_f64(args.minutes * 60.0));
    let mut report = Report {
        began_unix_ms: curfew_clock::SystemClock.now().wall.as_unix_ms(),
        machine: Machine::this(),
        versions: Versions::of(Some(&curfew)),
        seed: args.seed,
        nodes: args.nodes,
        took_s: 0.0,
        episodes: Vec::new(),
        stretches: Vec::new(),
        troubles: Vec::new(),
    };
    let mut kafka = Kafka::start_with(&KafkaOptions {
        brokers: BROKERS,
        ..KafkaOptions::default()
    })?;
    let mut rng = Rng::with_seed(args.seed);
    let shown = Progress::new().steps("faults", until.since(begun));
    let mut layouts: Vec<_> = match args.stores.as_slice() {
        [] => vec![Topology::Sentinel, Topology::Single, Topology::Cluster],
        named => named.to_vec(),
    }
    .into_iter()
    .map(|layout| (layout, Bag::of(layout, &args.faults)))
    .collect();
    let is_over = |report: &Report| {
        let many = args
            .faults_max
            .is_some_and(|max| report.episodes.len() as u64 >= max);
        many || Mono::now() > until || report.troubles.len() >= TROUBLES_MAX
    };
    let mut turn = 0_usize;
    while !is_over(&report) {
        let Some((layout, bag)) = turn.checked_rem(layouts.len()).and_then(|at| layouts.get_mut(at)) else {
            break;
        };
        turn += 1;
        let stand = Stand::set(
            *layout,
            &kafka,
            args.nodes,
            &curfew,
            runtime.handle(),
            rng.u64(..),
        )
        .and_then(|stand| stand.settle().map(|()| stand));
        let mut stand = match stand {
            Ok(stand) => stand,
            Err(trouble) => {
                report
                    .troubles
                    .push(format!("{} was not set up: {trouble}", layout.text()));
                continue;
            }
        };
        for _ in 0..args.faults_each {
            let Some(fault) = bag.draw(&mut rng).filter(|_| !is_over(&report)) else {
                break;
            };
            tell(&shown, &report, format!("{}: {}", layout.text(), fault.text()));
            match stand.episode(&mut kafka, fault, &mut rng) {
                Ok(episode) => {
                    let is_back = episode.recovery_s.is_some();
                    for violation in &episode.violations {
                        shown.note(&format!("{:?}: {}", violation.what, violation.told));
                    }
                    report.episodes.push(episode);
                    // What is not back by now is left, and another one tried.
                    if !is_back {
                        break;
                    }
                }
                Err(trouble) => {
                    report
                        .troubles
                        .push(format!("{} on {}: {trouble}", fault.text(), layout.text()));
                    break;
                }
            }
        }
        report.stretches.push(Stretch {
            store: *layout,
            seconds: stand.world.seconds(),
        });
        drop(stand);
        kafka.restart_all()?;
    }
    shown.finish();
    report.took_s = Mono::now().since(begun).as_secs_f64();
    deliver(args, &report)
}

fn tell(shown: &Shown, report: &Report, now: String) {
    let broken = report.violations().count();
    shown.say(format!(
        "{} injected, {broken} broken; {now}",
        report.episodes.len()
    ));
}

fn deliver(args: &FaultsArgs, report: &Report) -> Result<ExitCode, Failure> {
    if let Some(directory) = &args.output.report {
        for path in report.write(directory)? {
            eprintln!("report: {}", path.display());
        }
    }
    if args.output.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{}", report.text());
    }
    let is_kept = report.violations().next().is_none() && report.troubles.is_empty();
    Ok(if is_kept && !report.episodes.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

//! `quick`: everything that a node is judged by, one after the other, in one report.
//!
//! **Invariant:** loads are parts of what the same node did at most in the same run, so that a slow machine
//! is not asked for what only a fast one can do.

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{Level, OutputArgs, QuickArgs, RevokeArgs, Source};
use crate::failure::Failure;
use crate::open_loop::Bounds;
use crate::scenario::limits::CALLERS;
use crate::scenario::revoke;
use crate::scenario::stage::Stage;
use crate::schedule::{Schedule, Shape};
use crate::workload::{Mix, Workload};

/// A node of defaults lets in 1,024 calls of one caller.
const IN_FLIGHT_MAX: usize = 1_000;
const TIME_OUT: Duration = Duration::from_secs(10);
const CHANNELS: usize = 4;
/// A mixed load is this part of the most: an opening is two calls, and a revocation costs every guard.
const MIXED_LOAD: f64 = 0.25;

pub(crate) fn run(args: &QuickArgs) -> Result<ExitCode, Failure> {
    let mut stage = Stage::set("quick", &args.node, CHANNELS)?;
    stage.limits(Some(args.limits))?;
    let sessions = stage.fill(args.sessions)?;
    let workload =
        |stage: &Stage, mix| Workload::new(stage.backend.clone(), sessions.clone(), mix, args.seed);
    let length = Duration::from_secs(args.seconds);

    let most = stage.stand().closed_loop(
        "refresh, closed loop",
        workload(&stage, Mix::REFRESH),
        CALLERS,
        length,
    );
    let most_per_s = most.answered_per_s;
    stage.report.ceilings.push(most);
    if most_per_s < 1.0 {
        return Err("the node answered no refresh: there is nothing to load it with".into());
    }

    let mut loads: Vec<_> = args
        .loads
        .iter()
        .map(|load| (format!("refresh at {:.0} %", load * 100.0), Mix::REFRESH, *load))
        .collect();
    loads.push(("mixed".to_owned(), Mix::MIXED, MIXED_LOAD));
    let warm_up = Duration::from_secs((args.seconds / 5).max(1));
    for (name, mix, load) in loads {
        let schedule = Schedule {
            shape: Shape::Poisson,
            rate: most_per_s * load,
            length: warm_up + length,
            seed: args.seed,
            stairs: 1,
        };
        let bounds = Bounds {
            in_flight_max: IN_FLIGHT_MAX,
            time_out: TIME_OUT,
            warm_up,
        };
        let run = stage
            .stand()
            .open_loop(&name, workload(&stage, mix), args.sessions, &schedule, bounds);
        stage.report.runs.push(run);
    }

    let revoke_args = RevokeArgs {
        node: args.node.clone(),
        output: OutputArgs::none(),
        limits: None,
        guards: args.guards.clone(),
        source: vec![Source::Hub],
        revocations: args.revocations,
        rate: 20.0,
        level: Level::Durable,
        time_out: TIME_OUT.as_secs(),
        channels: CHANNELS,
    };
    for guards in &args.guards {
        revoke::measure(&mut stage, &revoke_args, *guards, Source::Hub)?;
    }
    stage.end(&args.output)
}

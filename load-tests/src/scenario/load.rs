//! `refresh` and `mixed`: one open loop over sessions that were opened before.

use std::process::ExitCode;

use crate::cli::LoadArgs;
use crate::failure::Failure;
use crate::scenario::stage::Stage;
use crate::workload::{Mix, Workload};

pub(crate) fn refresh(args: &LoadArgs) -> Result<ExitCode, Failure> {
    run("refresh", Mix::REFRESH, args)
}

pub(crate) fn mixed(args: &LoadArgs) -> Result<ExitCode, Failure> {
    run("mixed", Mix::MIXED, args)
}

fn run(what: &str, mix: Mix, args: &LoadArgs) -> Result<ExitCode, Failure> {
    let mut stage = Stage::set(what, &args.node, args.channels)?;
    stage.limits(args.limits)?;
    let sessions = stage.fill(args.sessions)?;
    let workload = Workload::new(stage.backend.clone(), sessions, mix, args.seed);
    let run = stage
        .stand()
        .open_loop(what, workload, args.sessions, &args.schedule(), args.bounds());
    stage.report.runs.push(run);
    stage.end(&args.output)
}

//! `cargo xtask faults`: builds a node and the load harness, and lets the harness inject faults.
//!
//! **Invariant:** what is tried was built by this very command.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::deps;
use crate::error::Failed;
use crate::program;
use crate::workspace::Workspace;

/// What is injected, and for how long.
#[derive(Args, Debug)]
pub(crate) struct Faults {
    /// No fault begins after so many minutes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Where chance begins: the same seed injects the same faults in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints JSON to standard output; everything else goes to standard error.
    #[arg(long)]
    json: bool,
    /// Built for release: more load, and other races.
    #[arg(long)]
    release: bool,
    /// Where the report goes; by default below the target directory.
    #[arg(long)]
    report: Option<PathBuf>,
    /// More for the harness, after `--`: `--stores`, `--faults`, `--nodes` and what `curfew-load faults --help` names.
    #[arg(last = true)]
    more: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, faults: &Faults) -> Result<(), Failed> {
    deps::install_what_is_missing()?;
    let mut build = vec!["build", "--package", "curfew", "--package", "curfew-load"];
    let profile = if faults.release {
        build.push("--release");
        "release"
    } else {
        "debug"
    };
    program::run_aside(&workspace.root, "cargo", &build)?;
    let reports = faults
        .report
        .clone()
        .unwrap_or_else(|| workspace.target.join("faults"));
    fs::create_dir_all(&reports).map_err(|source| Failed::Read {
        path: reports.clone(),
        source,
    })?;
    let [minutes, seed] = [faults.minutes.to_string(), faults.seed.to_string()];
    let directory = reports.display().to_string();
    let mut arguments = vec![
        "faults",
        "--minutes",
        &minutes,
        "--seed",
        &seed,
        "--report",
        &directory,
    ];
    if faults.json {
        arguments.push("--json");
    }
    arguments.extend(faults.more.iter().map(String::as_str));
    let harness = workspace.target.join(profile).join("curfew-load");
    // The harness itself names the files that it wrote, on standard error.
    program::run(&workspace.root, &harness.display().to_string(), &arguments)
}

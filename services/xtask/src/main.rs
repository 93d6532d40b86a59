//! The project's own commands: test, bench, faults, deps, deny, layers. `cargo xtask help` names them.
//!
//! **Invariant:** a command that could not judge says so and fails; silence never passes for success.

mod bench;
mod buf;
mod deny;
mod deps;
mod error;
mod faults;
mod house;
mod layers;
mod program;
mod quick;
mod tally;
mod test;
mod threats;
mod workspace;

use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand};

use crate::error::Failed;
use crate::workspace::Workspace;

#[derive(Parser, Debug)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Judges format, lints, layers, proto and supply chain, then runs every test; the last line is the total.
    Test {
        /// What is missing on this machine is a failure, not a warning.
        #[arg(long, env = "CI", value_parser = FalseyValueParser::new())]
        ci: bool,
    },
    /// Runs the criterion benches of the workspace and prints their medians.
    Bench {
        /// Prints JSON to standard output; everything else goes to standard error.
        #[arg(long)]
        json: bool,
        /// Reports what was measured last, without measuring again.
        #[arg(long)]
        no_run: bool,
        /// Measures a node instead: builds and starts one, loads it for about a minute, writes a report.
        #[arg(long, conflicts_with = "no_run")]
        quick: bool,
        #[command(flatten)]
        shared: quick::Shared,
    },
    /// Injects random faults into a real Redis, a real Kafka and nodes under load, and checks what is promised.
    Faults(faults::Faults),
    /// A real Redis and a real Kafka on this machine.
    Deps(deps::Deps),
    /// Judges what is compiled in: bans, licences, sources, and advisories where their database can be had.
    Deny,
    /// Judges who depends on whom, the form of the files, and what documents name.
    Layers,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("cargo xtask: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failed> {
    let workspace = Workspace::load()?;
    match &arguments.command {
        Command::Test { ci } => test::run(&workspace, *ci),
        Command::Bench {
            json, quick, shared, ..
        } if *quick || shared.is_asked() => quick::run(&workspace, shared, *json),
        Command::Bench { json, no_run, .. } => bench::run(&workspace, *json, *no_run),
        Command::Faults(faults) => faults::run(&workspace, faults),
        Command::Deps(deps) => deps::run(&workspace, deps),
        Command::Deny => deny::judge(&workspace),
        Command::Layers => house::judge(&workspace),
    }
}

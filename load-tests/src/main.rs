//! `curfew-load`: measures a Curfew node, and the generator that measures it.
//!
//! **Invariant:** no request waits for another: what a target makes wait is counted as its latency.

// Tests may panic: a panic is how a test speaks.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a panic is how a test speaks"
    )
)]

mod arrivals;
mod backend;
mod claims;
mod cli;
mod clock;
mod closed_loop;
mod compare;
mod failure;
mod faults;
mod fill;
mod html;
mod latency;
mod machine;
mod measure;
mod node;
mod open_loop;
mod part;
mod progress;
mod ratio;
mod recorder;
mod report;
mod scenario;
mod schedule;
mod servers;
mod sessions;
mod shared;
mod summary;
mod usage;
mod verdict;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            failure::tell(&*error);
            ExitCode::FAILURE
        }
    }
}

//! The service: configuration, wiring, serve, demo.
//!
//! **Invariant:** this is the only crate that names both a use case and an adapter.

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

mod api;
mod apply;
mod bootstrap;
mod cli;
mod client;
mod commands;
mod config;
mod demo;
mod node;
mod seeds;
mod serve;

use std::io::IsTerminal as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::parse();
    let json = cli.wants_json();
    telemetry(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::fail(&error, json),
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(code) => code,
        Err(error) => cli::fail(&*error, json),
    }
}

/// Logs go to standard error, so that standard output is what was asked for.
fn telemetry(cli: &cli::Cli) {
    let log = cli.log();
    let filter = tracing_subscriber::EnvFilter::new(&log.filter);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for people: a file or a pipe gets none.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    if log.format == "json" {
        lines.json().init();
    } else {
        lines.init();
    }
}

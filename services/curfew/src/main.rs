//! The service: configuration, wiring, serve, demo.
//!
//! **Invariant:** this is the only crate that names both a use case and an adapter.

mod api;
mod apply;
mod bootstrap;
mod cli;
mod client;
mod demo;
mod node;
mod seeds;
mod serve;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    telemetry(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::fail(&error),
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(code) => code,
        Err(error) => cli::fail(&*error),
    }
}

/// Logs go to standard error, so that standard output is what was asked for.
fn telemetry(cli: &cli::Cli) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CURFEW_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(cli.default_log()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for people: a file or a pipe gets none.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

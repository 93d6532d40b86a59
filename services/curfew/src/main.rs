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
mod doctor;
mod node;
mod restore;
mod seeds;
mod serve;
mod state;

use std::process::ExitCode;

/// A refresh allocates some hundred times; the system's allocator took a fifth of all its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One set of cryptography for the whole program; a second call would be the only error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = cli::parse();
    let json = cli.wants_json();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::fail(&error, json),
    };
    // The exporter's connection lives in the runtime.
    let installed = {
        let _within = runtime.enter();
        match curfew_telemetry::install(&cli.telemetry()) {
            Ok(installed) => installed,
            Err(error) => return cli::fail(&error, json),
        }
    };
    let code = match runtime.block_on(cli::run(cli)) {
        Ok(code) => code,
        Err(error) => cli::fail(&*error, json),
    };
    installed.stop();
    code
}

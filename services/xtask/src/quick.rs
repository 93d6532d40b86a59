//! `cargo xtask bench --quick`: builds a node and the load harness, and lets the harness measure the node.
//!
//! **Invariant:** what is measured was built for release by this very command; servers that it starts end with it.

use std::fs;

use clap::Args;

use crate::deps;
use crate::error::Failed;
use crate::program;
use crate::workspace::Workspace;

/// What is built: the node and the harness, one beside the other.
const BUILD: [&str; 6] = [
    "build",
    "--release",
    "--package",
    "curfew",
    "--package",
    "curfew-load",
];

/// Where the node's state lies.
#[derive(Args, Debug)]
pub(crate) struct Shared {
    /// As `--quick`, with the node's state on a Redis and a Kafka that are started for it.
    #[arg(long, conflicts_with_all = ["redis", "kafka", "no_run"])]
    shared: bool,
    /// As `--quick`, with the node's state on this Redis: `redis://HOST:PORT`.
    #[arg(long, requires = "kafka", conflicts_with = "no_run")]
    redis: Option<String>,
    /// And on this Kafka: `HOST:PORT`.
    #[arg(long, requires = "redis", conflicts_with = "no_run")]
    kafka: Option<String>,
}

impl Shared {
    /// Whether any of it was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.shared || self.redis.is_some()
    }
}

pub(crate) fn run(workspace: &Workspace, shared: &Shared, json: bool) -> Result<(), Failed> {
    program::run_aside(&workspace.root, "cargo", &BUILD)?;
    let reports = workspace.target.join("bench");
    fs::create_dir_all(&reports).map_err(|source| Failed::Read {
        path: reports.clone(),
        source,
    })?;
    let directory = reports.display().to_string();
    let harness = workspace.target.join("release").join("curfew-load");
    let mut arguments = vec!["quick", "--report", &directory];
    if json {
        arguments.push("--json");
    }
    // They live for as long as the harness needs them.
    let started = shared.shared.then(deps::for_a_while).transpose()?;
    let (redis, kafka) = match &started {
        Some((redis, kafka)) => (Some(redis.url()), Some(kafka.bootstrap())),
        None => (shared.redis.clone(), shared.kafka.clone()),
    };
    if let (Some(redis), Some(kafka)) = (&redis, &kafka) {
        arguments.extend(["--redis", redis, "--kafka", kafka]);
    }
    // The harness itself names the files that it wrote, on standard error.
    program::run(&workspace.root, &harness.display().to_string(), &arguments)
}

//! `cargo xtask bench --quick`: builds a node and the load harness, and lets the harness measure the node.
//!
//! **Invariant:** what is measured was built for release by this very command.

use std::fs;

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

pub(crate) fn run(workspace: &Workspace, json: bool) -> Result<(), Failed> {
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
    // The harness itself names the files that it wrote, on standard error.
    program::run(&workspace.root, &harness.display().to_string(), &arguments)
}

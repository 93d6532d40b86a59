//! Lints the .proto files with Buf.
//!
//! **Invariant:** where Buf is missing, that is said aloud; in CI it is a failure.

use std::path::PathBuf;

use crate::error::Failed;
use crate::program;
use crate::workspace::Workspace;

/// Pinned: a linter that changes by itself breaks builds by itself.
const VERSION: &str = "1.75.0";

/// Whether Buf was there.
pub(crate) enum Linted {
    Clean,
    /// Not judged, and why.
    Skipped(String),
}

/// Runs `buf lint` in `proto/`, with a Buf from npm under `target/tools`.
pub(crate) fn lint(workspace: &Workspace, ci: bool) -> Result<Linted, Failed> {
    let buf = match installed(workspace) {
        Ok(buf) => buf,
        Err(missing) if ci => {
            return Err(Failed::Said(format!(
                "no proto lint: {missing}; in CI that is a failure"
            )));
        }
        Err(missing) => return Ok(Linted::Skipped(missing.to_string())),
    };
    program::run(&workspace.root.join("proto"), &buf.to_string_lossy(), &["lint"])?;
    Ok(Linted::Clean)
}

fn installed(workspace: &Workspace) -> Result<PathBuf, Failed> {
    let tools = workspace.target.join("tools").join(format!("buf-{VERSION}"));
    let buf = tools.join("node_modules").join(".bin").join("buf");
    if buf.is_file() {
        return Ok(buf);
    }
    if !program::exists("npm") {
        return Err(Failed::Said("npm is not on PATH (install Node.js)".to_owned()));
    }
    let (prefix, package) = (tools.to_string_lossy(), format!("@bufbuild/buf@{VERSION}"));
    let arguments = [
        "install",
        "--prefix",
        &prefix,
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        &package,
    ];
    program::run(&workspace.root, "npm", &arguments)?;
    if buf.is_file() {
        Ok(buf)
    } else {
        Err(Failed::Said("npm installed no `buf` program".to_owned()))
    }
}

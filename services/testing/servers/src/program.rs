//! The programs of others: where they come from, and what they say.
//!
//! **Invariant:** a program is waited for within a limit, and killed when that is over.

use std::io;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::Error;

/// A program that must be on `PATH`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// The package of Debian that has it.
    pub(crate) package: &'static str,
}

pub(crate) const REDIS_SERVER: Program = Program {
    name: "redis-server",
    package: "redis-server",
};
pub(crate) const VALKEY_SERVER: Program = Program {
    name: "valkey-server",
    package: "valkey-server",
};
pub(crate) const REDIS_CLI: Program = Program {
    name: "redis-cli",
    package: "redis-tools",
};
pub(crate) const JAVA: Program = Program {
    name: "java",
    package: "default-jre-headless",
};
pub(crate) const MAVEN: Program = Program {
    name: "mvn",
    package: "maven",
};
pub(crate) const KCAT: Program = Program {
    name: "kcat",
    package: "kcat",
};

impl Program {
    pub(crate) fn is_on_path(self) -> bool {
        is_on_path(self.name)
    }

    /// Why it could not be started.
    pub(crate) fn not_started(self, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::NotFound {
            return Error::Missing {
                program: self.name,
                package: self.package,
            };
        }
        Error::Start {
            program: self.name.to_owned(),
            source,
        }
    }

    /// What it prints, whatever its exit status.
    pub(crate) fn output(self, limit: Duration, arrange: impl FnOnce(&mut Command)) -> Result<Output, Error> {
        let mut command = Command::new(self.name);
        arrange(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(|source| self.not_started(source))?;
        let output = output_within(child, limit).map_err(|source| self.not_started(source))?;
        output.ok_or_else(|| Error::Endless {
            command: self.name.to_owned(),
            waited_s: limit.as_secs(),
        })
    }
}

/// What the child printed; `None` where it had to be killed.
fn output_within(child: Child, limit: Duration) -> io::Result<Option<Output>> {
    let pid = pid_of(&child);
    let (done, wait) = mpsc::sync_channel(1);
    // Reads both pipes, so that a child that prints much cannot get stuck.
    let reader = thread::spawn(move || {
        // Nobody waits any more: then nobody wants it.
        let _ = done.send(child.wait_with_output());
    });
    let output = wait.recv_timeout(limit);
    if output.is_err()
        && let Some(pid) = pid
    {
        // It may have ended by itself just now.
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = reader.join();
    output.ok().transpose()
}

pub(crate) fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_missing_program_is_an_error_that_says_how_to_install_it() {
        let missing = Program {
            name: "curfew-no-such-program",
            package: "curfew-no-such-package",
        };
        assert!(!missing.is_on_path());
        let error = missing.output(LIMIT, |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`curfew-no-such-program` is not installed: run \
             `apt-get install -y --no-install-recommends curfew-no-such-package`"
        );
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let tail = Program {
            name: "tail",
            package: "coreutils",
        };
        let error = tail
            .output(Duration::from_millis(50), |tail| {
                tail.args(["-f", "/dev/null"]);
            })
            .unwrap_err();
        assert!(matches!(error, Error::Endless { .. }), "{error}");
    }

    #[test]
    fn a_program_that_says_more_than_a_pipe_holds_is_read_to_the_end() {
        let head = Program {
            name: "head",
            package: "coreutils",
        };
        let output = head.output(LIMIT, |head| {
            head.args(["-c", "1000000", "/dev/zero"]);
        });
        assert_eq!(output.unwrap().stdout.len(), 1_000_000);
    }
}

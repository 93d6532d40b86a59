//! Parts that run in processes of their own: this same program with a hidden subcommand.
//!
//! **Invariant:** a part that was started is killed when it is dropped.

pub(crate) mod echo;
pub(crate) mod guard;
pub(crate) mod limits;
pub(crate) mod pipe;
pub(crate) mod script;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::failure::Failure;

/// A part, and its standard input.
#[derive(Debug)]
pub(crate) struct Part {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Part {
    /// Starts this program again; `tell` is given each line that it prints, until it answers that it
    /// wants no more.
    pub(crate) fn start(
        arguments: &[&str],
        tell: impl Fn(String) -> bool + Send + 'static,
    ) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a part of this program: {error}"))?;
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if !tell(line) {
                        return;
                    }
                }
            });
        }
        Ok(Self { child, stdin })
    }

    /// The same, and the first line that it prints.
    pub(crate) fn hear_first(arguments: &[&str], within: Duration) -> Result<(Self, String), Failure> {
        let (tell, told) = mpsc::channel();
        let part = Self::start(arguments, move |line| {
            // Later lines are read, so that the part never waits for us, and are nobody's.
            drop(tell.send(line));
            true
        })?;
        let line = told
            .recv_timeout(within)
            .map_err(|_| "a part of this program ended, or said nothing in time")?;
        Ok((part, line))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Writes a line to it.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Failure> {
        let stdin = self.stdin.as_mut().ok_or("the part takes no input")?;
        writeln!(stdin, "{line}").map_err(|error| format!("a part of this program is gone: {error}").into())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

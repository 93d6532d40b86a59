//! Why a server is not there.
//!
//! **Invariant:** no message holds an argument of a command: it might be a password.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a server could not be started, or did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not on `PATH`.
    #[error("`{program}` is not installed: run `apt-get install -y --no-install-recommends {package}`")]
    Missing {
        /// Its name.
        program: &'static str,
        /// The package of Debian that has it.
        package: &'static str,
    },
    /// A program is there and could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A server ended instead of answering.
    #[error("{server} ended before it answered ({status}); its last lines:\n{last_lines}")]
    Ended {
        /// Which server.
        server: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        last_lines: String,
    },
    /// A server runs and does not answer, or not as it must.
    #[error("{server} did not answer within {waited_s} s: {what}; its last lines:\n{last_lines}")]
    Silent {
        /// Which server.
        server: String,
        /// How long it was waited for, in seconds.
        waited_s: u64,
        /// What was waited for.
        what: String,
        /// The end of its log.
        last_lines: String,
    },
    /// A command was answered with an error.
    #[error("`{command}` failed: {said}")]
    Refused {
        /// The command's first word.
        command: String,
        /// What it said.
        said: String,
    },
    /// A command did not end.
    #[error("`{command}` did not end within {waited_s} s")]
    Endless {
        /// The command's first word.
        command: String,
        /// How long it was waited for, in seconds.
        waited_s: u64,
    },
    /// A file or directory of ours.
    #[error("cannot {what} `{}`", path.display())]
    File {
        /// What was tried: `create`, `write` ….
        what: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No port is free.
    #[error("no free port between {first} and {last} on 127.0.0.1")]
    NoPort {
        /// The first that was looked at.
        first: u16,
        /// The last.
        last: u16,
    },
    /// Options that cannot be had.
    #[error("{0}")]
    Options(&'static str),
}

impl Error {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

//! Why a command failed, for the person who ran it.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("cannot read the workspace: {0}")]
    Metadata(#[from] cargo_metadata::Error),
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("`{command}` failed ({status})")]
    Command { command: String, status: String },
    #[error("cannot read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{}`: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}", told(.0))]
    Server(#[from] curfew_servers::Error),
    #[error("cannot understand `{}`: {what}", path.display())]
    Malformed { path: PathBuf, what: String },
    #[error("{0}")]
    Said(String),
}

/// With its cause: this is all that the person sees.
fn told(error: &curfew_servers::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

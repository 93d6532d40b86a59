//! The operator's commands: thin clients over gRPC, one file a group.
//!
//! Each parses names, asks one call or a few, and prints: a table for people, JSON for programs.
//!
//! **Invariant:** no rule of the protocol is decided here; what a command says of a token or a session, the node said.

pub(crate) mod acknowledged;
pub(crate) mod admin;
pub(crate) mod exit;
pub(crate) mod fault;
pub(crate) mod json;
pub(crate) mod key;
pub(crate) mod name;
pub(crate) mod page;
pub(crate) mod print;
pub(crate) mod progress;
pub(crate) mod revoke;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod shell;
pub(crate) mod time;
pub(crate) mod token;
pub(crate) mod watch;

use serde_json::Value;

use crate::cli::Failure;
use crate::client::connection::Connection;

/// What every command that asks a node has in common.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print JSON, with the names of the canonical mapping of the `.proto` files; errors as well.
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
}

impl Common {
    /// Prints an answer in the form that was asked for.
    pub(crate) fn show(
        &self,
        json: impl FnOnce() -> Result<Value, Failure>,
        people: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            print::json(&json()?)
        } else {
            print::text(&people())
        }
    }
}

/// A word of an enumeration, as people write it: `SESSION_STATE_ACTIVE` is `active`.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name);
    match word {
        "UNSPECIFIED" => String::new(),
        word => word.to_ascii_lowercase(),
    }
}

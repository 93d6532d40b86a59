//! The operator's commands: the real binary against a real node.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

#[path = "commands/desk.rs"]
mod desk;
mod process;

#[path = "commands/connection.rs"]
mod connection;
#[path = "commands/inspect.rs"]
mod inspect;
#[path = "commands/key.rs"]
mod key;
#[path = "commands/revoke.rs"]
mod revoke;
#[path = "commands/session.rs"]
mod session;
#[path = "commands/shell.rs"]
mod shell;
#[path = "commands/tls.rs"]
mod tls;
#[path = "commands/token.rs"]
mod token;
#[path = "commands/watch.rs"]
mod watch;

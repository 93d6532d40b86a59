//! The gRPC edge: parse, one use case, encode.
//!
//! Every call passes the [`door`] first: shed, known, permitted, bounded in time. Then one file per
//! service translates.
//!
//! **Invariant:** no protocol rule is written here; a method that the table of [`access`] does not
//! name is refused; the tenant of a request is the one in its resource name, and is demanded.

mod access;
mod admin;
mod arrival;
mod caller;
mod check;
mod convert;
mod door;
mod enforced;
mod foreign;
mod health;
mod limits;
mod metrics;
mod name;
mod observe;
mod page;
mod published;
mod revocation;
mod server;
mod session;
mod settings;
mod shared;
mod status;
mod token;
mod watch;

pub use metrics::{MethodCalls, Metrics};
pub use server::{Edge, ServeError};
pub use settings::{Rate, Serves, Settings};

#[cfg(test)]
mod tests;

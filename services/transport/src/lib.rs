//! Listeners: sockets, TLS that reloads, and the bounds of a connection's life.
//!
//! Both edges listen through here, so that a peer is bounded in the same way whatever it speaks.
//!
//! **Invariant:** no wait for a peer is without an end: its handshake, its first bytes, its silence,
//! its connection's age and the drain all have one.
//! **Invariant:** nothing of Curfew's protocol is known here.

// Tests may panic: a panic is how a test speaks.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a panic is how a test speaks"
    )
)]

mod certificate;
mod first_bytes;
mod listener;
mod peer;
mod serve;
mod settings;
mod tls;

pub use certificate::{Certificate, CertificateError};
pub use listener::{ListenError, Listener};
pub use peer::Peer;
pub use serve::serve;
pub use settings::{Protocol, Settings};
pub use tls::{ClientCertificates, Tls, TlsError, TlsFiles};

#[cfg(test)]
mod tests;

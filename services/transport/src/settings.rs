//! The bounds of a connection's life, each with its reason.

use std::time::Duration;

/// What is spoken on a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/2 alone, as gRPC demands.
    Grpc,
    /// HTTP/1.1, and HTTP/2 where TLS agrees on it.
    Http,
}

/// Bounds of the connections of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Connections at once; one more is closed at once, so that its peer tries elsewhere.
    /// An idle one costs ~30 KiB: 10,000 are 300 MiB.
    pub connections_max: usize,
    /// How long a TLS handshake may take: three round trips on a poor line.
    pub handshake_time_max: Duration,
    /// How long a peer may take for the preface of HTTP/2, or for the headers of a request of HTTP/1:
    /// hyper itself would wait for ever.
    pub header_time_max: Duration,
    /// How often a silent HTTP/2 connection is asked whether it lives.
    pub keepalive_interval: Duration,
    /// How long the answer to that may take; a dead peer is noticed after both.
    pub keepalive_timeout: Duration,
    /// A connection is told to go, in good order, after about that long, so that balancers and rotated
    /// certificates get their turn. Each has its own tenth more or less: what came together does not
    /// leave together.
    pub connection_age_max: Option<Duration>,
    /// How long the calls in progress of such a connection may take to end.
    pub connection_age_grace: Duration,
    /// How long a drain waits for connections to end.
    pub drain_time_max: Duration,
    /// Requests in progress of one HTTP/2 connection; more wait at the peer.
    pub streams_max: u32,
    /// The largest headers that are read at all, bytes: four times what the gRPC edge takes, so that most of
    /// what is too much is told so.
    pub headers_bytes_max: u32,
    /// Streams that a peer reset before they were looked at; more end the connection (CVE-2023-44487).
    pub resets_pending_max: usize,
    /// Faulty streams that the server resets; more end the connection (CVE-2025-8671).
    pub faults_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            handshake_time_max: Duration::from_secs(10),
            header_time_max: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(20),
            connection_age_max: Some(Duration::from_secs(30 * 60)),
            connection_age_grace: Duration::from_secs(30),
            drain_time_max: Duration::from_secs(10),
            streams_max: 1_000,
            headers_bytes_max: 64 << 10,
            resets_pending_max: 64,
            faults_max: 256,
        }
    }
}

impl Settings {
    /// The age at which a connection is told to go: within a tenth of the setting, by `chance` in 0..1,024.
    pub(crate) fn age_of(&self, chance: u32) -> Option<Duration> {
        let age = self.connection_age_max?;
        // 0.9 to 1.1 of the age, in steps of a 5,120th.
        Some(age.mul_f64(0.9 + 0.2 * f64::from(chance % 1_024) / 1_024.0))
    }
}

//! What the edge must be told. Every limit is here, with its reason.

use std::time::Duration;

/// Settings of the gRPC edge.
#[derive(Clone)]
pub struct Settings {
    /// Where the catalogue of reasons is served, without a trailing slash: `{help_base}/{code}`.
    pub help_base: String,
    /// The largest request, bytes: a session's claims are 4 KiB, a batch of 100 revocations ~100 KiB.
    pub request_bytes_max: usize,
    /// The largest report of a guard, bytes: 4,096 lines of activity at ~150 B.
    pub report_bytes_max: usize,
    /// The largest answer, bytes: a page of 60 sessions at ~8 KiB.
    pub response_bytes_max: usize,
    /// The largest frame of the feed, bytes, whatever a subscriber asks for.
    pub frame_bytes_max: usize,
    /// Calls in progress; beyond, calls are shed. One takes ~10 ms, so this is 100,000 a second.
    pub calls_max: usize,
    /// Calls of `WaitRevocation` in progress: they only wait, and for minutes.
    pub waits_max: usize,
    /// Subscribers of the feed; each has a queue.
    pub subscribers_max: usize,
    /// What one subscriber may be behind, bytes, beside what lies in the transport's windows.
    pub subscriber_queue_bytes: usize,
    /// How long a subscriber that does not read is waited for.
    pub subscriber_wait: Duration,
    /// How long one call may take; its outcome is unknown afterwards.
    pub call_time_max: Duration,
    /// Bounds of the connections.
    pub transport: curfew_transport::Settings,
    /// What `authorization: Curfew-Root` must prove; `None`: the first admin is made by other means.
    pub root_key_proof: Option<[u8; 16]>,
    /// The roles of this node, as `GetServerInfo` tells them.
    pub roles: Vec<String>,
}

impl Settings {
    /// The settings of an ordinary node whose catalogue is served under `help_base`.
    #[must_use]
    pub fn new(help_base: &str) -> Self {
        Self {
            help_base: help_base.trim_end_matches('/').to_owned(),
            request_bytes_max: 256 << 10,
            report_bytes_max: 1 << 20,
            response_bytes_max: 1 << 20,
            frame_bytes_max: 1 << 20,
            calls_max: 1_024,
            waits_max: 1_024,
            subscribers_max: 1_024,
            subscriber_queue_bytes: 4 << 20,
            subscriber_wait: Duration::from_secs(10),
            call_time_max: Duration::from_secs(15),
            transport: curfew_transport::Settings::default(),
            root_key_proof: None,
            roles: vec!["authority".to_owned(), "hub".to_owned()],
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("help_base", &self.help_base)
            .field("calls_max", &self.calls_max)
            .field("subscribers_max", &self.subscribers_max)
            .field("call_time_max", &self.call_time_max)
            .field("root_key_proof", &self.root_key_proof.map(|_| ".."))
            .finish_non_exhaustive()
    }
}

//! What the edge must be told. Every limit is here, with its reason.

use std::time::Duration;

use crate::access::By;

/// So many in a time, after a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// So many; 0: there is no limit.
    pub amount: u32,
    /// In this time.
    pub per: Duration,
    /// So many at once, before the rate holds; 0 is taken as 1.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const NONE: Self = Self {
        amount: 0,
        per: Duration::ZERO,
        burst: 0,
    };

    /// So many a second, a second's worth of them at once.
    #[must_use]
    pub const fn per_second(amount: u32) -> Self {
        Self {
            amount,
            per: Duration::from_secs(1),
            burst: amount,
        }
    }

    /// The time between two; `None`: there is no limit.
    pub(crate) fn gap(self) -> Option<Duration> {
        self.per.checked_div(self.amount).filter(|gap| !gap.is_zero())
    }
}

/// What a node serves (DESIGN section 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Serves {
    /// It decides and mints.
    pub authority: bool,
    /// It fans the log out.
    pub hub: bool,
}

impl Serves {
    /// The role that a node must have for this, where this one has it not.
    pub(crate) const fn lacks(self, by: By) -> Option<&'static str> {
        match by {
            By::Authority if !self.authority => Some("authority"),
            By::Hub if !self.hub => Some("hub"),
            By::Authority | By::Hub | By::Either => None,
        }
    }
}

/// Settings of the gRPC edge.
#[derive(Clone)]
pub struct Settings {
    /// What is served here; all of it, by default.
    pub serves: Serves,
    /// Where the catalogue of reasons is served, without a trailing slash: `{help_base}/{code}`.
    pub help_base: String,
    /// The largest metadata of a call, bytes (RFC 9113 section 6.5.2: 32 beside each name and value): a
    /// bearer token is ~1 KiB. Four times as much is not even read.
    pub metadata_bytes_max: usize,
    /// The largest request, bytes: a session's claims are 4 KiB, a batch of 100 revocations ~100 KiB.
    pub request_bytes_max: usize,
    /// The largest report of a guard, bytes: 4,096 lines of activity at ~150 B.
    pub report_bytes_max: usize,
    /// The largest answer, bytes: a page of 60 sessions at ~8 KiB.
    pub response_bytes_max: usize,
    /// The largest frame of the feed, bytes, whatever a subscriber asks for.
    pub frame_bytes_max: usize,
    /// Calls in progress, those that wait for a turn among them; beyond, calls are shed. At 20,000 a second
    /// and 100 ms a call 2,000 are in progress. A caller may hold as many as it leaves free: half, alone.
    pub calls_max: usize,
    /// How long a call may wait for its turn: what is admitted is begun within this.
    pub call_wait_max: Duration,
    /// How long a call should take once it has begun: where more than one in ten takes longer, fewer run at
    /// once and the others wait their turn.
    pub call_time_target: Duration,
    /// Calls of one caller. The default is twice what one node does, and stops a loop that ran away alone.
    pub caller_rate: Rate,
    /// Calls for one client: issuing, refreshing, revoking and introspecting on its behalf.
    pub client_rate: Rate,
    /// Tries with a secret, or a proof of the root key, that was never right here: of each peer for each id
    /// it claims, and of each caller for each of its clients. Twenty replicas may start at once.
    pub guess_rate: Rate,
    /// Calls of `WaitRevocation` in progress: they only wait, and for minutes.
    pub waits_max: usize,
    /// Subscribers of the feed; each has a queue. A caller may hold as many as it leaves free: half, alone.
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
            serves: Serves {
                authority: true,
                hub: true,
            },
            help_base: help_base.trim_end_matches('/').to_owned(),
            metadata_bytes_max: 16 << 10,
            request_bytes_max: 256 << 10,
            report_bytes_max: 1 << 20,
            response_bytes_max: 1 << 20,
            frame_bytes_max: 1 << 20,
            calls_max: 2_048,
            call_wait_max: Duration::from_millis(250),
            call_time_target: Duration::from_millis(100),
            caller_rate: Rate::per_second(50_000),
            client_rate: Rate::per_second(50_000),
            guess_rate: Rate {
                amount: 1,
                per: Duration::from_secs(1),
                burst: 20,
            },
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

//! What the edge counts: calls by method and code, how long they took, what was refused and why.
//!
//! **Invariant:** counting never waits; what a series is told apart by is a line of the table of methods, a
//! gRPC code, a stage or a reason, never a name that a caller chose.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use curfew_authority::Histogram;
use curfew_core::refusal::{Reason, Stage};
use tonic::Code;

use crate::access::{Pace, Rule, TABLE};
use crate::observe::{Lines, code_name};
use crate::shared::Shared;

/// The codes of gRPC: 0 to 16.
const CODES: usize = 17;
/// Every stage, in the order of the pipeline.
pub(crate) const STAGES: [Stage; 8] = [
    Stage::Request,
    Stage::PrimaryAuthentication,
    Stage::ConditionalAccess,
    Stage::AdditionalControls,
    Stage::Code,
    Stage::Issuance,
    Stage::ResourceCall,
    Stage::SilentRenewal,
];

/// One method's calls.
#[derive(Debug, Default)]
struct Calls {
    codes: [AtomicU64; CODES],
    took: Histogram,
}

/// The counters of one edge, from its start.
#[derive(Debug)]
pub(crate) struct Counters {
    // One for each line of the table, then one for whatever has none.
    methods: Vec<Calls>,
    // Stages times reasons.
    refusals: Vec<AtomicU64>,
    /// What is queued for subscribers, bytes.
    pub(crate) queued_bytes: AtomicI64,
    /// Lines about refused calls.
    pub(crate) lines: Lines,
    /// Refusals that were counted and not logged, because there were too many of them.
    pub(crate) lines_dropped: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            methods: (0..=TABLE.len()).map(|_| Calls::default()).collect(),
            refusals: (0..STAGES.len() * Reason::ALL.len())
                .map(|_| AtomicU64::default())
                .collect(),
            queued_bytes: AtomicI64::default(),
            lines: Lines::default(),
            lines_dropped: AtomicU64::default(),
        }
    }
}

impl Counters {
    /// A call ended, or its stream began.
    pub(crate) fn called(&self, rule: Option<&'static Rule>, code: Code, took: Duration) {
        let line = rule.and_then(|rule| TABLE.iter().position(|line| line.path == rule.path));
        let Some(calls) = self.methods.get(line.unwrap_or(TABLE.len())) else {
            return;
        };
        if let Some(counter) = usize::try_from(i32::from(code))
            .ok()
            .and_then(|code| calls.codes.get(code))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        // How long a stream or a wait lasts says nothing of how fast the node is.
        if rule.is_none_or(|rule| rule.pace == Pace::Call) {
            calls.took.observe(took);
        }
    }

    /// So many bytes were queued for a subscriber, or left its queue.
    pub(crate) fn queue(&self, bytes: usize, is_queued: bool) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let change = if is_queued { bytes } else { -bytes };
        self.queued_bytes.fetch_add(change, Ordering::Relaxed);
    }

    /// A call was refused.
    pub(crate) fn refused(&self, stage: Stage, reason: Reason) {
        let place = usize::from(stage.number()).saturating_sub(1) * Reason::ALL.len() + reason as usize;
        if let Some(counter) = self.refusals.get(place) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The calls of one method.
#[derive(Clone, Copy, Debug)]
pub struct MethodCalls<'a> {
    /// `package.Service/Method`; `_OTHER` for whatever this server does not know.
    pub method: &'static str,
    calls: &'a Calls,
}

impl<'a> MethodCalls<'a> {
    /// Each code that occurred, with its count.
    pub fn codes(&self) -> impl Iterator<Item = (&'static str, u64)> + 'a {
        self.calls
            .codes
            .iter()
            .zip(0..)
            .map(|(count, code)| (code_name(Code::from_i32(code)), count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    /// How long calls took; empty for methods that wait or stream.
    #[must_use]
    pub const fn took(&self) -> &'a Histogram {
        &self.calls.took
    }
}

/// What the edge counts and holds, to be read at any time. Clones read the same.
#[derive(Clone, Debug)]
pub struct Metrics(pub(crate) Arc<Shared>);

impl Metrics {
    /// Every method that was called.
    pub fn methods(&self) -> impl Iterator<Item = MethodCalls<'_>> {
        let names = TABLE.iter().map(|rule| rule.path.trim_start_matches('/'));
        names
            .chain(["_OTHER"])
            .zip(&self.0.counters.methods)
            .map(|(method, calls)| MethodCalls { method, calls })
            .filter(|calls| calls.codes().next().is_some())
    }

    /// Each refusal that occurred, with its count.
    pub fn refusals(&self) -> impl Iterator<Item = (Stage, Reason, u64)> + '_ {
        let pairs = STAGES
            .iter()
            .flat_map(|stage| Reason::ALL.iter().map(move |reason| (*stage, *reason)));
        pairs
            .zip(&self.0.counters.refusals)
            .map(|((stage, reason), count)| (stage, reason, count.load(Ordering::Relaxed)))
            .filter(|(_, _, count)| *count > 0)
    }

    /// Calls in progress, and how many there may be.
    #[must_use]
    pub fn calls(&self) -> (usize, usize) {
        self.0.limits.calls.used()
    }

    /// Waits in progress, and how many there may be.
    #[must_use]
    pub fn waits(&self) -> (usize, usize) {
        self.0.limits.waits.used()
    }

    /// Streams of revocations, and how many there may be.
    #[must_use]
    pub fn streams(&self) -> (usize, usize) {
        self.0.limits.subscribers.used()
    }

    /// What is queued for subscribers, bytes.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        u64::try_from(self.0.counters.queued_bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Refusals that were counted and not logged.
    #[must_use]
    pub fn lines_dropped(&self) -> u64 {
        self.0.counters.lines_dropped.load(Ordering::Relaxed)
    }
}

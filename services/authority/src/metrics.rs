//! What an authority counts: plain numbers that whoever watches it reads.
//!
//! **Invariant:** counting never waits and never fails; a number may be read while another is written.
//! **Invariant:** what a series is told apart by is an enum of ours, never a name that a caller chose.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use curfew_core::decide::refresh::Outcome;
use curfew_core::refusal::{Class, Reason};
use curfew_ports::store::CommitOutcome;

use crate::answer::Answer;
use crate::recovery::Recovered;
use crate::refresh_tokens::RefreshedTokens;

/// Upper bounds of every latency histogram, µs: from a read out of the page cache to a minute.
pub const LATENCY_BOUNDS_US: [u64; 19] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// How long things took, in buckets of [`LATENCY_BOUNDS_US`]; the last has no upper bound.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Notes one duration.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(counter) = self.buckets.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        // It wraps after half a million years.
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many in each bucket, then those above the last bound.
    pub fn buckets(&self) -> impl Iterator<Item = u64> + '_ {
        self.buckets.iter().map(|count| count.load(Ordering::Relaxed))
    }

    /// All of them together, µs.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets().sum()
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum $name { $( $(#[$variant_doc])* $variant, )* }

        impl $name {
            /// Every one, in the order of the enum.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// Its word, as a label's value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }
    };
}

words! {
    /// How a refresh ended.
    RefreshEnd {
        /// A new generation.
        Rotated "rotated",
        /// The answer that was given before, again.
        Replayed "replayed",
        /// A late retry superseded the successor that nobody presented.
        Superseded "superseded",
        /// A grant was healed after a failover.
        Healed "healed",
        /// The grant does not rotate.
        Fixed "fixed",
        /// A superseded token: theft is assumed, the grant was revoked.
        Reused "reused",
        /// The session was opened in what a failover lost.
        RolledBack "rolled_back",
        /// A token ahead of the store: a forged key, or an undetected loss.
        Impossible "impossible",
        /// Refused for any other reason.
        Refused "refused",
        /// Not known, or not now: the client repeats.
        Unknown "unknown",
    }
}

words! {
    /// What is asked of the store.
    StoreOperation {
        /// Records of one partition.
        Read "read",
        /// A decision is made true.
        Commit "commit",
        /// Records of one kind.
        List "list",
    }
}

words! {
    /// How a commit ended.
    CommitEnd {
        /// It is true and durable.
        Committed "committed",
        /// Something that was read had changed.
        Conflict "conflict",
        /// The store is another history than the one that was read.
        Fenced "fenced",
        /// The store's clock and this node's differ too much.
        ClockSuspect "clock_suspect",
        /// The store did not say.
        Failed "failed",
    }
}

words! {
    /// What is asked of the log.
    LogOperation {
        /// One record, durably.
        Append "append",
        /// The retained range.
        Bounds "bounds",
        /// A tail is opened.
        Tail "tail",
    }
}

impl CommitEnd {
    pub(crate) const fn of(outcome: &CommitOutcome) -> Self {
        match outcome {
            CommitOutcome::Committed(_) => Self::Committed,
            CommitOutcome::Conflict => Self::Conflict,
            CommitOutcome::Fenced => Self::Fenced,
            CommitOutcome::ClockSuspect { .. } => Self::ClockSuspect,
        }
    }
}

/// Counters of one authority, from its start.
#[derive(Debug, Default)]
pub struct Metrics {
    refreshes: [AtomicU64; RefreshEnd::ALL.len()],
    store: [Histogram; StoreOperation::ALL.len()],
    store_errors: [AtomicU64; StoreOperation::ALL.len()],
    commits: [AtomicU64; CommitEnd::ALL.len()],
    log: [Histogram; LogOperation::ALL.len()],
    log_errors: [AtomicU64; LogOperation::ALL.len()],
    revoke_to_applied: Histogram,
    applied: AtomicU64,
    reloads: AtomicU64,
    partitions_opened: AtomicU64,
    records_merged: AtomicU64,
    fenced: AtomicU64,
    lost: AtomicU64,
}

fn add(counters: &[AtomicU64], place: usize) {
    if let Some(counter) = counters.get(place) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn read(counters: &[AtomicU64], place: usize) -> u64 {
    counters
        .get(place)
        .map_or(0, |counter| counter.load(Ordering::Relaxed))
}

impl Metrics {
    /// Refreshes that ended so.
    #[must_use]
    pub fn refreshes(&self, end: RefreshEnd) -> u64 {
        read(&self.refreshes, end as usize)
    }

    /// How long the store took.
    #[must_use]
    pub fn store(&self, operation: StoreOperation) -> Option<&Histogram> {
        self.store.get(operation as usize)
    }

    /// How often the store did not say what happened.
    #[must_use]
    pub fn store_errors(&self, operation: StoreOperation) -> u64 {
        read(&self.store_errors, operation as usize)
    }

    /// Commits that ended so.
    #[must_use]
    pub fn commits(&self, end: CommitEnd) -> u64 {
        read(&self.commits, end as usize)
    }

    /// How long the log took.
    #[must_use]
    pub fn log(&self, operation: LogOperation) -> Option<&Histogram> {
        self.log.get(operation as usize)
    }

    /// How often the log did not say what happened.
    #[must_use]
    pub fn log_errors(&self, operation: LogOperation) -> u64 {
        read(&self.log_errors, operation as usize)
    }

    /// From the decision of a revocation, by its authority's clock, until this node's follower applied it,
    /// by its own. What was read again after a start or a reload is not among them.
    #[must_use]
    pub const fn revoke_to_applied(&self) -> &Histogram {
        &self.revoke_to_applied
    }

    /// Revocations that this node's follower applied, copies and what was read again included.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// How often the log was read again from its oldest record.
    #[must_use]
    pub fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// Partitions that this node opened after a failover or restart of the store.
    #[must_use]
    pub fn partitions_opened(&self) -> u64 {
        self.partitions_opened.load(Ordering::Relaxed)
    }

    /// Records that this node merged into the store.
    #[must_use]
    pub fn records_merged(&self) -> u64 {
        self.records_merged.load(Ordering::Relaxed)
    }

    /// Partitions that were fenced after this node's last look at all of them.
    #[must_use]
    pub fn partitions_fenced(&self) -> u64 {
        self.fenced.load(Ordering::Relaxed)
    }

    /// Partitions that wait for an operator.
    #[must_use]
    pub fn partitions_lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn recovered(&self, round: &Recovered) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.partitions_opened
            .fetch_add(number(round.opened), Ordering::Relaxed);
        self.records_merged
            .fetch_add(number(round.merged), Ordering::Relaxed);
        self.fenced.store(number(round.fenced), Ordering::Relaxed);
        self.lost.store(number(round.lost.len()), Ordering::Relaxed);
    }

    pub(crate) fn refreshed(&self, answer: &Answer<RefreshedTokens>) {
        let end = match answer {
            Ok(refreshed) => match refreshed.refreshed.outcome {
                Outcome::Rotated => RefreshEnd::Rotated,
                Outcome::Replayed => RefreshEnd::Replayed,
                Outcome::Superseded => RefreshEnd::Superseded,
                Outcome::Healed => RefreshEnd::Healed,
                Outcome::Fixed => RefreshEnd::Fixed,
            },
            Err(refusal) => end_of(refusal.reason),
        };
        add(&self.refreshes, end as usize);
    }

    pub(crate) fn asked_store(&self, operation: StoreOperation, took: Duration, is_error: bool) {
        if let Some(histogram) = self.store.get(operation as usize) {
            histogram.observe(took);
        }
        if is_error {
            add(&self.store_errors, operation as usize);
        }
    }

    pub(crate) fn committed(&self, outcome: Option<&CommitOutcome>) {
        let end = outcome.map_or(CommitEnd::Failed, CommitEnd::of);
        add(&self.commits, end as usize);
    }

    pub(crate) fn asked_log(&self, operation: LogOperation, took: Duration, is_error: bool) {
        if let Some(histogram) = self.log.get(operation as usize) {
            histogram.observe(took);
        }
        if is_error {
            add(&self.log_errors, operation as usize);
        }
    }

    /// `age_ms`: since the decision; `None` where the record is history.
    pub(crate) fn apply(&self, age_ms: Option<i64>) {
        self.applied.fetch_add(1, Ordering::Relaxed);
        if let Some(age_ms) = age_ms {
            // A decision ahead of this node's clock was applied at once, as far as anybody can tell.
            let age_ms = u64::try_from(age_ms).unwrap_or(0);
            self.revoke_to_applied.observe(Duration::from_millis(age_ms));
        }
    }

    pub(crate) fn reload(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }
}

fn end_of(reason: Reason) -> RefreshEnd {
    let named = [
        (Reason::RefreshReused, RefreshEnd::Reused),
        (Reason::RefreshRolledBack, RefreshEnd::RolledBack),
        (Reason::RefreshImpossible, RefreshEnd::Impossible),
    ];
    if let Some((_, end)) = named.iter().find(|(named, _)| *named == reason) {
        return *end;
    }
    match reason.class() {
        Class::Retry | Class::Limit => RefreshEnd::Unknown,
        Class::Invalid
        | Class::Unauthenticated
        | Class::Denied
        | Class::Dead
        | Class::NotFound
        | Class::Exists => RefreshEnd::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for us in [0, 50, 51, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(us));
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets.len(), LATENCY_BOUNDS_US.len() + 1);
        assert_eq!(
            (buckets[0], buckets[1], buckets[18], buckets[19]),
            (2, 1, 1, 1),
            "{buckets:?}"
        );
        assert_eq!((histogram.count(), histogram.sum_us()), (5, 120_000_102));
    }

    #[test]
    fn every_reason_ends_a_refresh_in_one_way_and_theft_is_told_apart() {
        let ends: Vec<_> = Reason::ALL.iter().map(|reason| end_of(*reason)).collect();
        for end in [RefreshEnd::Reused, RefreshEnd::RolledBack, RefreshEnd::Impossible] {
            assert_eq!(ends.iter().filter(|found| **found == end).count(), 1, "{end:?}");
        }
        assert_eq!(end_of(Reason::StoreUnavailable), RefreshEnd::Unknown);
        assert_eq!(end_of(Reason::Overloaded), RefreshEnd::Unknown);
        assert_eq!(end_of(Reason::SessionEnded), RefreshEnd::Refused);
    }

    #[test]
    fn an_age_before_the_decision_counts_as_none_and_history_not_at_all() {
        let metrics = Metrics::default();
        for age_ms in [Some(-40), Some(3), None] {
            metrics.apply(age_ms);
        }
        assert_eq!((metrics.applied(), metrics.revoke_to_applied().count()), (3, 2));
    }
}

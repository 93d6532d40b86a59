//! What a guard counts.
//!
//! **Invariant:** counting never waits; a number may be read while another is written.

use std::sync::atomic::{AtomicU64, Ordering};

use curfew_core::refusal::Reason;

/// Upper bounds of the revoke-to-reject histogram, ms; the last bucket has none.
pub const REVOKE_TO_REJECT_BOUNDS_MS: [i64; 11] =
    [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 15_000, 60_000];

/// Counters of one guard, from its start.
#[derive(Debug)]
pub struct Metrics {
    admitted: AtomicU64,
    admitted_stale: AtomicU64,
    introspected: AtomicU64,
    would_refuse: AtomicU64,
    refused: Vec<AtomicU64>,
    records: AtomicU64,
    reloads: AtomicU64,
    reports_dropped: AtomicU64,
    revoke_to_reject: [AtomicU64; REVOKE_TO_REJECT_BOUNDS_MS.len() + 1],
    revoke_to_reject_sum_ms: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            admitted: AtomicU64::default(),
            admitted_stale: AtomicU64::default(),
            introspected: AtomicU64::default(),
            would_refuse: AtomicU64::default(),
            refused: Reason::ALL.iter().map(|_| AtomicU64::default()).collect(),
            records: AtomicU64::default(),
            reloads: AtomicU64::default(),
            reports_dropped: AtomicU64::default(),
            revoke_to_reject: Default::default(),
            revoke_to_reject_sum_ms: AtomicU64::default(),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Metrics {
    /// Calls admitted, whatever the ground.
    #[must_use]
    pub fn admitted(&self) -> u64 {
        read(&self.admitted)
    }

    /// Calls admitted although freshness could not be proven: by the age cap, by introspection, by `allow`.
    #[must_use]
    pub fn admitted_stale(&self) -> u64 {
        read(&self.admitted_stale)
    }

    /// Questions that an authority answered.
    #[must_use]
    pub fn introspected(&self) -> u64 {
        read(&self.introspected)
    }

    /// Calls that report-only let through.
    #[must_use]
    pub fn would_refuse(&self) -> u64 {
        read(&self.would_refuse)
    }

    /// Calls refused for this reason; those that report-only let through are among them.
    #[must_use]
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused.get(reason as usize).map_or(0, read)
    }

    /// Each reason that occurred, with its count.
    pub fn refusals(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL
            .iter()
            .map(|reason| (*reason, self.refused(*reason)))
            .filter(|(_, count)| *count > 0)
    }

    /// Revocations applied, copies included.
    #[must_use]
    pub fn records(&self) -> u64 {
        read(&self.records)
    }

    /// How often the view was begun again from a snapshot.
    #[must_use]
    pub fn reloads(&self) -> u64 {
        read(&self.reloads)
    }

    /// Refusals and activity that were not kept for a report, because a bound was reached.
    #[must_use]
    pub fn reports_dropped(&self) -> u64 {
        read(&self.reports_dropped)
    }

    /// From decision to first refusal, by the clocks of both: how many in each bucket of
    /// [`REVOKE_TO_REJECT_BOUNDS_MS`], then those above.
    pub fn revoke_to_reject(&self) -> impl Iterator<Item = u64> + '_ {
        self.revoke_to_reject.iter().map(read)
    }

    /// All of them together, ms; one that lies before its decision counts as none.
    #[must_use]
    pub fn revoke_to_reject_sum_ms(&self) -> u64 {
        read(&self.revoke_to_reject_sum_ms)
    }

    pub(crate) fn admit(&self, is_stale: bool) {
        add(&self.admitted);
        if is_stale {
            add(&self.admitted_stale);
        }
    }

    pub(crate) fn refuse(&self, reason: Reason, reported_only: bool) {
        if let Some(counter) = self.refused.get(reason as usize) {
            add(counter);
        }
        if reported_only {
            add(&self.would_refuse);
        }
    }

    pub(crate) fn introspect(&self) {
        add(&self.introspected);
    }

    pub(crate) fn record(&self) {
        add(&self.records);
    }

    pub(crate) fn reload(&self) {
        add(&self.reloads);
    }

    pub(crate) fn drop_report(&self) {
        add(&self.reports_dropped);
    }

    pub(crate) fn sample_revoke_to_reject(&self, ms: i64) {
        let bucket = REVOKE_TO_REJECT_BOUNDS_MS.partition_point(|bound| *bound < ms);
        if let Some(counter) = self.revoke_to_reject.get(bucket) {
            add(counter);
        }
        self.revoke_to_reject_sum_ms
            .fetch_add(u64::try_from(ms).unwrap_or(0), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let metrics = Metrics::default();
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place, "the catalogue's order is the enum's");
            metrics.refuse(*reason, false);
        }
        assert!(metrics.refusals().all(|(_, count)| count == 1));
        assert_eq!(metrics.refusals().count(), Reason::ALL.len());
    }

    #[test]
    fn a_sample_falls_into_the_first_bucket_that_holds_it() {
        let metrics = Metrics::default();
        for ms in [-5, 10, 11, 60_000, 60_001] {
            metrics.sample_revoke_to_reject(ms);
        }
        assert_eq!(
            metrics.revoke_to_reject().collect::<Vec<_>>(),
            [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
        );
    }
}

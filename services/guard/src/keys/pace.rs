//! When a key set is fetched next: a function of what happened and of the boot clock.
//!
//! **Invariant:** a storm of unknown `kid`s costs one fetch in 30 s, and takes nothing from the
//! schedule: a real rotation is found by the schedule (issuers publish a key before they use it,
//! DESIGN section 8) and, failing that, by the first fetch that an unknown `kid` is given.

/// The schedule, ms: five minutes, well below the time for which issuers publish a key before its use.
const SCHEDULE_MS: i64 = 5 * 60_000;
/// The least time between a fetch and the next one that unknown `kid`s ask for, ms.
const DEMAND_MS: i64 = 30_000;
/// The waits after failures, ms: 1 s doubled up to 64 s, so a source that is gone sees one try a minute.
const BACKOFF_MS: i64 = 1_000;
const BACKOFF_DOUBLINGS_MAX: u32 = 6;

/// When the source was asked and how that went.
#[derive(Debug, Default)]
pub(super) struct Pace {
    asked_at_ms: Option<i64>,
    failures: u32,
}

impl Pace {
    /// How long to wait from `now_ms` until the next fetch; 0 or less: now.
    pub(super) fn wait_ms(&self, now_ms: i64, wanted: bool) -> i64 {
        let Some(asked_at_ms) = self.asked_at_ms else {
            return 0;
        };
        let scheduled = if self.failures == 0 {
            SCHEDULE_MS
        } else {
            BACKOFF_MS << self.failures.saturating_sub(1).min(BACKOFF_DOUBLINGS_MAX)
        };
        let after_ms = if wanted {
            scheduled.min(DEMAND_MS)
        } else {
            scheduled
        };
        asked_at_ms.saturating_add(after_ms).saturating_sub(now_ms)
    }

    /// Notes a fetch.
    pub(super) const fn fetched(&mut self, now_ms: i64, good: bool) {
        self.asked_at_ms = Some(now_ms);
        self.failures = if good { 0 } else { self.failures.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fetch_is_at_once_and_the_next_ones_follow_the_schedule() {
        let mut pace = Pace::default();
        assert_eq!(pace.wait_ms(7, false), 0);
        pace.fetched(1_000, true);
        assert_eq!(pace.wait_ms(1_000, false), SCHEDULE_MS);
        assert_eq!(pace.wait_ms(1_000 + SCHEDULE_MS, false), 0);
    }

    #[test]
    fn unknown_kids_are_given_one_fetch_in_thirty_seconds() {
        let mut pace = Pace::default();
        pace.fetched(0, true);
        let mut fetches = 0;
        // An hour of a storm that never ceases, looked at each 100 ms.
        for now_ms in (0..3_600_000).step_by(100) {
            if pace.wait_ms(now_ms, true) <= 0 {
                fetches += 1;
                pace.fetched(now_ms, true);
            }
        }
        assert_eq!(fetches, 119);
    }

    #[test]
    fn a_source_that_fails_is_asked_more_and_more_rarely_but_is_asked() {
        let mut pace = Pace::default();
        let mut now_ms = 0;
        let mut waits = Vec::new();
        for _ in 0..9 {
            pace.fetched(now_ms, false);
            let wait_ms = pace.wait_ms(now_ms, false);
            waits.push(wait_ms / 1_000);
            now_ms += wait_ms;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(pace.wait_ms(now_ms - 64_000, true), DEMAND_MS);
    }
}

//! How long a source waits before it comes again.
//!
//! **Invariant:** a wait is never nothing and never longer than ten seconds.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The first wait after a source broke, doubled up to the last: what restarts sees its guards spread over
/// ten seconds, and none later than that.
const WAIT_FIRST_MS: u64 = 100;
pub(crate) const WAIT_LAST_MS: u64 = 10_000;

/// How long a [`Source`](crate::Source) waits after so many failures in a row: between half and the whole of
/// 100 ms doubled with each of them, at most 10 s.
#[must_use]
pub fn wait_after(failures: u32) -> Duration {
    Duration::from_millis(jittered_ms(failures))
}

pub(crate) fn jittered_ms(failures: u32) -> u64 {
    let whole = WAIT_FIRST_MS
        .checked_shl(failures.min(10))
        .unwrap_or(WAIT_LAST_MS)
        .min(WAIT_LAST_MS);
    let half = whole / 2;
    half + chance() % (half + 1)
}

/// Chance for waits and for names of reports: nothing is decided by it.
pub(crate) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_ten_seconds_and_are_never_nothing() {
        for (failures, whole) in [(0, 100), (1, 200), (5, 3_200), (7, 10_000), (60, 10_000)] {
            for _ in 0..50 {
                let wait = jittered_ms(failures);
                assert!((whole / 2..=whole).contains(&wait), "{failures}: {wait}");
            }
        }
    }
}

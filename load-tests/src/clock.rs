//! The machine's monotonic clock, in nanoseconds: the same one in every process of this machine.
//!
//! **Invariant:** all latencies are differences of this clock; no wall clock takes part.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// An instant of `CLOCK_MONOTONIC`, ns. It may be sent to another process of the same boot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Mono(pub(crate) u64);

impl Mono {
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    pub(crate) const fn plus(self, length: Duration) -> Self {
        // 584 years of nanoseconds fit.
        Self(self.0.saturating_add(length.as_nanos() as u64))
    }

    pub(crate) const fn minus(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(length.as_nanos() as u64))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Sleeps until an instant; returns at once where it is past. The kernel wakes some 60 µs late.
pub(crate) fn sleep_until(at: Mono) {
    let left = at.since(Mono::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

//! The real clock.
//!
//! **Invariant:** the only place of the workspace that reads the machine's time; everybody else takes a [`Clock`].
//! **Invariant:** both readings come from the operating system at every call; nothing is smoothed or cached.

#[cfg(feature = "skewed")]
mod skewed;

use std::time::SystemTime;

use curfew_core::time::{Clock, Millis, Now};
use rustix::time::{ClockId, clock_gettime};

/// Counts through suspension, so that a machine that slept knows it (DESIGN section 6, heartbeat).
#[cfg(any(target_os = "linux", target_os = "android"))]
const SINCE_BOOT: ClockId = ClockId::Boottime;
/// Darwin's counts through sleep; elsewhere it may not, and the wall clock alone tells of a sleep.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

/// The machine's wall clock and its clock since boot.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = wall();
        #[cfg(feature = "skewed")]
        let wall = skewed::of(wall);
        Now {
            wall,
            boot_ms: boot_ms(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that all others take as an argument"
)]
fn wall() -> Millis {
    let now = SystemTime::now();
    let ms = match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        // A machine without a battery starts before 1970; such a time is told as it is and found suspect.
        Err(before) => {
            i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| ms.saturating_neg())
        }
    };
    Millis::from_unix_ms(ms)
}

fn boot_ms() -> i64 {
    let since = clock_gettime(SINCE_BOOT);
    // 1,000,000 ns make a millisecond.
    since
        .tv_sec
        .saturating_mul(1_000)
        .saturating_add(since.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_later_than_this_test_was_written() {
        // 2025-01-01T00:00:00Z.
        assert!(SystemClock.now().wall > Millis::from_unix_ms(1_735_689_600_000));
    }

    #[test]
    fn the_boot_clock_never_runs_backwards() {
        let mut last = SystemClock.now().boot_ms;
        assert!(last > 0);
        for _ in 0..10_000 {
            let now = SystemClock.now().boot_ms;
            assert!(now >= last);
            last = now;
        }
    }
}

//! Bounded waiting.
//!
//! **Invariant:** nothing waits for ever: every wait has a limit, and says what it waited for.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often is looked: short beside the fastest start (a Redis answers after some 10 ms).
const PAUSE: Duration = Duration::from_millis(5);

/// An instant after which waiting is in vain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Duration,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            at: since_boot().saturating_add(limit),
        }
    }

    pub(crate) fn is_over(self) -> bool {
        since_boot() >= self.at
    }

    /// Pauses, unless it is over: `false` then.
    pub(crate) fn pause(self) -> bool {
        if self.is_over() {
            return false;
        }
        thread::sleep(PAUSE);
        true
    }
}

fn since_boot() -> Duration {
    let since = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(since.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(since.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

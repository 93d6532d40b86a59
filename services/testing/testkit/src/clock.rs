//! A clock that moves only when a test moves it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use curfew_core::time::{Clock, Millis, Now};

/// A clock that stands still until it is moved. Its clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<Mutex<Now>>,
}

impl ManualClock {
    /// A clock that shows `wall`, on a machine that booted `boot_ms` milliseconds ago.
    #[must_use]
    pub fn new(wall: Millis, boot_ms: i64) -> Self {
        Self {
            now: Arc::new(Mutex::new(Now { wall, boot_ms })),
        }
    }

    /// A clock that shows `wall`, on a machine that booted an hour ago.
    #[must_use]
    pub fn at(wall: Millis) -> Self {
        Self::new(wall, 3_600_000)
    }

    /// Lets `ms` milliseconds pass: both clocks move.
    pub fn advance(&self, ms: i64) {
        let mut now = self.lock();
        *now = Now {
            wall: now.wall.plus_ms(ms),
            boot_ms: now.boot_ms.saturating_add(ms),
        };
    }

    /// Steps the wall clock alone by `ms` milliseconds, as a time server does; negative steps back.
    pub fn step_wall(&self, ms: i64) {
        let mut now = self.lock();
        now.wall = now.wall.plus_ms(ms);
    }

    /// Sets the wall clock alone.
    pub fn set_wall(&self, wall: Millis) {
        self.lock().wall = wall;
    }

    /// Sets the boot clock alone; a smaller value is a restart of the machine.
    pub fn set_boot_ms(&self, boot_ms: i64) {
        self.lock().boot_ms = boot_ms;
    }

    /// The two readings are one value, so a panic in another thread leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_on_both_clocks_and_a_step_moves_the_wall_alone() {
        let clock = ManualClock::new(Millis::from_unix_ms(1_000), 50);
        let other = clock.clone();
        other.advance(10);
        assert_eq!(
            clock.now(),
            Now {
                wall: Millis::from_unix_ms(1_010),
                boot_ms: 60
            }
        );
        other.step_wall(-1_000);
        assert_eq!(
            clock.now(),
            Now {
                wall: Millis::from_unix_ms(10),
                boot_ms: 60
            }
        );
        other.set_wall(Millis::ZERO);
        other.set_boot_ms(0);
        assert_eq!(clock.now(), Now::default());
    }
}

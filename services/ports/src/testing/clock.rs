//! A clock that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use curfew_core::time::{Clock, Millis, Now};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct StillClock {
    wall_ms: AtomicI64,
    boot_ms: AtomicI64,
}

impl StillClock {
    /// A clock that shows `wall`, on a machine that has just booted.
    #[must_use]
    pub fn at(wall: Millis) -> Arc<Self> {
        Arc::new(Self {
            wall_ms: AtomicI64::new(wall.as_unix_ms()),
            boot_ms: AtomicI64::new(0),
        })
    }

    /// Lets time pass, in ms: both clocks move.
    pub fn advance(&self, ms: i64) {
        self.boot_ms.fetch_add(ms, Ordering::SeqCst);
        self.step(ms);
    }

    /// Steps the wall clock alone, in ms, as an operator or a time server does; negative steps back.
    pub fn step(&self, ms: i64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Now {
        Now {
            wall: Millis::from_unix_ms(self.wall_ms.load(Ordering::SeqCst)),
            boot_ms: self.boot_ms.load(Ordering::SeqCst),
        }
    }
}

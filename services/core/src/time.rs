//! Instants and the protocol's time constants.
//!
//! **Invariant:** nothing here reads a clock; every instant arrives as an argument.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Permitted clock error of an authority, δ (DESIGN section 1).
pub const DELTA_MS: i64 = 500;
/// ε: how far ahead of a reader a heartbeat may be stamped (DESIGN section 1).
pub const EPSILON_MS: i64 = 1_000;
/// The skew that a guard allows on `exp`, `nbf` and `iat` (DESIGN section 7).
pub const LEEWAY_MS: i64 = 60_000;
/// How far ahead a wide cut-off lies (DESIGN section 4).
pub const WIDE_AHEAD_MS: i64 = 5_000;
/// No cut-off may lie further ahead than this (DESIGN section 6).
pub const CUTOFF_AHEAD_MAX_MS: i64 = 10_000;
/// The oldest directory view a decision may stand on (DESIGN section 4).
pub const DIRECTORY_AGE_MAX_MS: i64 = 3_000;
/// How long the result of an operation is remembered (DESIGN section 5).
pub const OPERATION_LIFE_MS: i64 = 24 * 3_600_000;
/// Records of the store outlive their logical end by this much, for collection only (DESIGN section 5).
pub const COLLECT_AFTER_MS: i64 = 24 * 3_600_000;
/// The slack beside `L` in every `keep_until` (DESIGN section 4).
pub const KEEP_SLACK_MS: i64 = 120_000;

/// An instant: milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(i64);

impl Millis {
    /// The Unix epoch; "never written" in records.
    pub const ZERO: Self = Self(0);
    /// Later than every instant that a token can carry.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// From whole seconds since the Unix epoch, saturating.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix_ms(self) -> i64 {
        self.0
    }

    /// This instant moved by `ms` (negative moves back), saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this instant; negative where `earlier` is later.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds, rounded down: what `iat` and `exp` carry.
    #[must_use]
    pub const fn seconds_floor(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds, rounded up: what a receiver that knows only seconds must be told (DESIGN section 4).
    #[must_use]
    pub const fn seconds_ceil(self) -> i64 {
        self.0.saturating_add(999).div_euclid(1_000)
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// One reading of both clocks: what people's time is, and how long the machine has run.
///
/// The boot clock counts through suspension (`CLOCK_BOOTTIME`), so a machine that slept knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// The wall clock.
    pub wall: Millis,
    /// Milliseconds since boot, suspension included.
    pub boot_ms: i64,
}

/// How time arrives. The real one is an adapter; tests own theirs.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Both clocks, now.
    fn now(&self) -> Now;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_towards_the_side_they_name() {
        let instant = Millis::from_unix_ms(1_001);
        assert_eq!(instant.seconds_floor(), 1);
        assert_eq!(instant.seconds_ceil(), 2);
        assert_eq!(Millis::from_unix_ms(2_000).seconds_ceil(), 2);
        assert_eq!(Millis::MAX.plus_ms(1), Millis::MAX);
    }
}

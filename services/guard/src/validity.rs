//! When a token is valid: `exp`, `nbf`, `iat` (RFC 7519 section 4.1).
//!
//! **Invariant 8:** a record outlives every token it covers. For a foreign entry marks are kept for
//! its longest life and two minutes, so a token that could live longer than that is refused.

use curfew_core::refusal::{Reason, Refusal};
use curfew_core::time::{KEEP_SLACK_MS, LEEWAY_MS, Millis};
use curfew_jose::numeric_date;
use serde_json::{Map, Value};

use crate::config::Foreign;
use crate::token::{missing, refusal};

/// The instants that a token carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) expires_at: Millis,
    not_before: Option<Millis>,
    pub(crate) issued_at: Millis,
}

impl Times {
    /// Reads them; any JSON number from 0 on is an instant, also a fraction and an exponential.
    ///
    /// `exp` and `iat` must be there: without the first a token never ends, without the second
    /// nobody can tell how long it may have lived (RFC 9068 section 2.2 requires both).
    pub(crate) fn read(claims: &Map<String, Value>) -> Result<Self, Refusal> {
        let instant = |name: &str| {
            numeric_date(claims, name)
                .map(|ms| ms.map(Millis::from_unix_ms))
                // The claim's name and its type or range, never its value.
                .map_err(|wrong| refusal(Reason::ClaimMalformed).about(wrong.to_string()))
        };
        Ok(Self {
            expires_at: instant("exp")?.ok_or_else(|| missing("exp"))?,
            not_before: instant("nbf")?,
            issued_at: instant("iat")?.ok_or_else(|| missing("iat"))?,
        })
    }

    /// Judges them. `now` never runs backwards, so that no token outlives a collected mark.
    pub(crate) fn judge(&self, now: Millis, foreign: Option<&Foreign>) -> Result<(), Refusal> {
        let clock_error_ms = foreign.map_or(0, |foreign| foreign.clock_error_ms);
        // A foreign clock ahead by more than the two minutes hold is paid for at the end of the token's
        // life: issued by then at a + error, it may live to a + error + life, its mark to a + life + 2 min.
        let beyond_slack_ms = clock_error_ms
            .saturating_sub(KEEP_SLACK_MS.saturating_sub(LEEWAY_MS))
            .max(0);
        let leeway_ms = LEEWAY_MS.saturating_sub(beyond_slack_ms);
        if now >= self.expires_at.plus_ms(leeway_ms) {
            return Err(refusal(Reason::TokenExpired));
        }
        let ahead_ms = LEEWAY_MS.saturating_add(clock_error_ms);
        for (name, instant) in [("nbf", self.not_before), ("iat", Some(self.issued_at))] {
            if instant.is_some_and(|instant| instant.ms_since(now) > ahead_ms) {
                return Err(refusal(Reason::TokenNotYetValid).about(format!("claim `{name}`")));
            }
        }
        if let Some(foreign) = foreign {
            let life_ms = self.expires_at.ms_since(self.issued_at);
            let left_ms = self.expires_at.ms_since(now);
            if life_ms > foreign.longest_life_ms || left_ms > foreign.longest_life_ms.saturating_add(ahead_ms)
            {
                return Err(refusal(Reason::TokenLivesTooLong));
            }
        }
        Ok(())
    }

    /// Whether the token is younger than the cap (the first rung of the stale ladder).
    pub(crate) fn is_younger_than(&self, now: Millis, cap_ms: i64) -> bool {
        now.ms_since(self.issued_at) < cap_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::foreign;

    const NOW: Millis = Millis::from_unix_seconds(1_800_000_000);

    fn times(iat_ms: i64, exp_ms: i64) -> Times {
        Times {
            expires_at: NOW.plus_ms(exp_ms),
            not_before: None,
            issued_at: NOW.plus_ms(iat_ms),
        }
    }

    #[track_caller]
    fn check(times: Times, foreign: Option<&Foreign>, expected: Option<Reason>) {
        assert_eq!(
            times.judge(NOW, foreign).err().map(|refusal| refusal.reason),
            expected
        );
    }

    #[test]
    fn the_skew_is_sixty_seconds_on_both_sides() {
        check(times(-300_000, -59_999), None, None);
        check(times(-300_000, -60_000), None, Some(Reason::TokenExpired));
        check(times(60_000, 300_000), None, None);
        check(times(60_001, 300_000), None, Some(Reason::TokenNotYetValid));
    }

    #[test]
    fn q7_a_foreign_token_may_not_outlive_its_entrys_marks() {
        let entry = foreign(3_600_000, 0);
        check(times(0, 3_600_000), Some(&entry), None);
        check(times(0, 3_600_001), Some(&entry), Some(Reason::TokenLivesTooLong));
        // Issued long ago and living long: near its end nothing lies far ahead, but its life was too long.
        check(
            times(-7_200_000, 60_000),
            Some(&entry),
            Some(Reason::TokenLivesTooLong),
        );
        // A forged or wrong `iat` far ahead is not valid yet; within the skew its life still counts from it.
        check(times(59_000, 3_659_000), Some(&entry), None);
    }

    #[test]
    fn a_clock_error_that_the_slack_does_not_hold_shortens_the_end() {
        // 60 s of error fit into the slack of 120 s beside the skew of 60 s; 90 s leave 30 s of skew.
        check(times(-600_000, -59_999), Some(&foreign(3_600_000, 60_000)), None);
        check(times(-600_000, -29_999), Some(&foreign(3_600_000, 90_000)), None);
        check(
            times(-600_000, -30_000),
            Some(&foreign(3_600_000, 90_000)),
            Some(Reason::TokenExpired),
        );
        check(
            times(-600_000, 180_000),
            Some(&foreign(3_600_000, 300_000)),
            Some(Reason::TokenExpired),
        );
    }

    #[test]
    fn an_instant_beyond_all_reckoning_does_not_wrap() {
        let far = Times {
            expires_at: Millis::MAX,
            not_before: None,
            issued_at: NOW,
        };
        check(far, None, None);
        check(far, Some(&foreign(3_600_000, 0)), Some(Reason::TokenLivesTooLong));
        let zero = Times {
            expires_at: Millis::ZERO,
            not_before: None,
            issued_at: Millis::ZERO,
        };
        check(zero, None, Some(Reason::TokenExpired));
    }
}

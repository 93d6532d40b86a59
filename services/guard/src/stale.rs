//! The stale ladder, and the question to an authority with its breaker.
//!
//! **Invariant 12 (G1):** an answer of an authority counts only while its own tail is fresh, which is
//! the authority's to ensure; no answer, a slow one or an open breaker is a denial.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use curfew_core::ids::{IssuerId, TenantId};
use curfew_core::time::Millis;
use tokio::sync::Semaphore;

use crate::admission::Ground;
use crate::route::Stale;
use crate::validity::Times;

/// Questions in flight: a guard that goes stale under load must not become a stampede (finding P19).
const IN_FLIGHT_MAX: usize = 64;
/// The longest that an answer may take; longer and the caller is better off with a 503.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// So many failures in a row open the breaker …
const FAILURES_MAX: u32 = 5;
/// … for this long, ms; then one question tries.
const OPEN_MS: i64 = 5_000;

/// What an authority is asked.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The token.
    pub token: &'a str,
    /// The tenant of its issuer entry.
    pub tenant: TenantId,
    /// The issuer entry.
    pub issuer: IssuerId,
    /// The tenant's name, where the configuration tells it.
    pub tenant_name: Option<&'a str>,
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("tenant", &self.tenant)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// No answer: the token may be alive or dead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}")]
pub struct NoAnswer {
    what: String,
}

impl NoAnswer {
    /// From words for the log.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// Asks an authority whether a token is active (RFC 7662).
#[async_trait]
pub trait Introspect: Send + Sync + fmt::Debug + 'static {
    /// Whether it is active.
    ///
    /// # Errors
    /// Not known; the call is denied.
    async fn is_active(&self, question: Question<'_>) -> Result<bool, NoAnswer>;
}

/// Where the ladder leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rung {
    Pass(Ground),
    Ask,
    Deny,
}

/// The ladder: a function of the rule, the token's age and whether somebody can be asked.
pub(crate) fn climb(rule: Stale, times: &Times, now: Millis, can_ask: bool) -> Rung {
    match rule {
        Stale::AgeCap { cap_ms } if times.is_younger_than(now, cap_ms) => Rung::Pass(Ground::Young),
        Stale::AgeCap { .. } | Stale::Introspect if can_ask => Rung::Ask,
        Stale::AgeCap { .. } | Stale::Introspect | Stale::Deny => Rung::Deny,
        Stale::Allow => Rung::Pass(Ground::Allowed),
    }
}

/// An [`Introspect`] behind a breaker.
#[derive(Debug)]
pub(crate) struct Asker {
    authority: std::sync::Arc<dyn Introspect>,
    in_flight: Semaphore,
    failures: AtomicU32,
    open_until_boot_ms: AtomicI64,
}

impl Asker {
    pub(crate) fn new(authority: std::sync::Arc<dyn Introspect>) -> Self {
        Self {
            authority,
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            failures: AtomicU32::new(0),
            open_until_boot_ms: AtomicI64::new(i64::MIN),
        }
    }

    pub(crate) async fn ask(&self, question: Question<'_>, boot_ms: i64) -> Result<bool, NoAnswer> {
        if !self.lets_through(boot_ms) {
            return Err(NoAnswer::new("the breaker is open"));
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return Err(NoAnswer::new("too many questions are in flight"));
        };
        let answered = match tokio::time::timeout(ANSWER_MAX, self.authority.is_active(question)).await {
            Ok(answered) => answered,
            Err(_) => Err(NoAnswer::new("no answer in time")),
        };
        self.note(answered.is_ok(), boot_ms);
        answered
    }

    /// Closed, or open for long enough that one may try: that one moves the end, so no second does.
    fn lets_through(&self, boot_ms: i64) -> bool {
        if self.failures.load(Ordering::Relaxed) < FAILURES_MAX {
            return true;
        }
        let until = self.open_until_boot_ms.load(Ordering::Relaxed);
        boot_ms >= until
            && self
                .open_until_boot_ms
                .compare_exchange(
                    until,
                    boot_ms.saturating_add(OPEN_MS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    fn note(&self, answered: bool, boot_ms: i64) {
        if answered {
            self.failures.store(0, Ordering::Relaxed);
        } else if self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= FAILURES_MAX {
            self.open_until_boot_ms
                .store(boot_ms.saturating_add(OPEN_MS), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;

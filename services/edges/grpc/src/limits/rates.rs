//! How often: calls of a caller, calls for a client.
//!
//! The cells are governor's (GCRA): a burst at once, then one each `per / amount`.
//!
//! **Invariant:** time is the node's clock since boot, so that a wall clock that is set opens no burst.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use curfew_authority::Authority;
use curfew_core::ids::{CallerId, ClientId, TenantId};
use governor::clock::{Clock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::settings::Rate;

/// The node's clock since boot, for the cells.
#[derive(Clone, Debug)]
pub(crate) struct SinceBoot(pub(crate) Authority);

impl Clock for SinceBoot {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Duration::from_millis(u64::try_from(self.0.now().boot_ms).unwrap_or(0)).into()
    }
}

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, SinceBoot, NoOpMiddleware<Nanos>>;

/// Cells by key; without a rate everything passes.
pub(crate) struct Cells<K: Clone + Hash + Eq> {
    limiter: Option<Limiter<K>>,
    clock: SinceBoot,
}

impl<K: Clone + Hash + Eq> std::fmt::Debug for Cells<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cells")
            .field("is_on", &self.limiter.is_some())
            .finish_non_exhaustive()
    }
}

impl<K: Clone + Hash + Eq> Cells<K> {
    pub(crate) fn new(rate: Rate, clock: SinceBoot) -> Self {
        let quota = rate.gap().and_then(Quota::with_period);
        let quota =
            quota.map(|quota| quota.allow_burst(NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN)));
        Self {
            limiter: quota.map(|quota| RateLimiter::dashmap_with_clock(quota, clock.clone())),
            clock,
        }
    }

    /// Takes a cell; `Err`: when there is one.
    pub(crate) fn take(&self, key: &K) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        limiter.check_key(key).map_err(|not_until| {
            let wait: Duration = not_until
                .earliest_possible()
                .duration_since(self.clock.now())
                .into();
            // The clock counts milliseconds: what is less is the next one.
            wait.max(Duration::from_millis(1))
        })
    }

    /// Forgets whose burst is whole again: keys would stay for ever.
    pub(crate) fn sweep(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.limiter.as_ref().map_or(0, Limiter::len)
    }
}

/// The rates of calls.
#[derive(Debug)]
pub(crate) struct Rates {
    callers: Cells<CallerId>,
    clients: Cells<(TenantId, ClientId)>,
}

impl Rates {
    pub(crate) fn new(caller: Rate, client: Rate, clock: &SinceBoot) -> Self {
        Self {
            callers: Cells::new(caller, clock.clone()),
            clients: Cells::new(client, clock.clone()),
        }
    }

    /// One call of this caller.
    pub(crate) fn caller(&self, caller: &CallerId) -> Result<(), Duration> {
        self.callers.take(caller)
    }

    /// One call for this client.
    pub(crate) fn client(&self, tenant: TenantId, client: &ClientId) -> Result<(), Duration> {
        self.clients.take(&(tenant, client.clone()))
    }

    pub(crate) fn sweep(&self) {
        self.callers.sweep();
        self.clients.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use curfew_authority::{Config, Parts};
    use curfew_core::place::LogIdentity;
    use curfew_core::time::Millis;
    use curfew_keys::{RootKey, SealingVault};
    use curfew_ports::testing::{FakeLog, FakeStore};
    use curfew_testkit::{ManualClock, SeededEntropy};

    fn clock() -> (Arc<ManualClock>, SinceBoot) {
        let clock = Arc::new(ManualClock::at(Millis::from_unix_ms(1_800_000_000_000)));
        let identity = LogIdentity::new([7; 16], 1).unwrap();
        let log = FakeLog::new(identity, clock.clone());
        let parts = Parts {
            store: Arc::new(FakeStore::with_log(clock.clone(), log.clone())),
            log: Arc::new(log),
            watermarks: Arc::new(curfew_ports::watermarks::Alone),
            vault: Arc::new(SealingVault::new(&RootKey::generate().unwrap()).unwrap()),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
        };
        let config = Config::embedded("https://id.example", "test");
        (clock, SinceBoot(Authority::new(parts, config, identity)))
    }

    #[test]
    fn keys_are_forgotten_once_their_burst_is_whole_again() {
        let (clock, since_boot) = clock();
        let cells = Cells::new(Rate::per_second(10), since_boot);
        for key in 0..1_000 {
            cells.take(&key).unwrap();
        }
        cells.sweep();
        assert_eq!(cells.len(), 1_000, "each lacks a tenth of a second");
        clock.advance(2_000);
        cells.sweep();
        assert_eq!(cells.len(), 0);
    }

    #[test]
    fn a_clock_that_is_set_opens_no_burst() {
        let (clock, since_boot) = clock();
        let cells = Cells::new(Rate::per_second(1), since_boot);
        cells.take(&"a").unwrap();
        clock.step_wall(3_600_000);
        assert_eq!(cells.take(&"a"), Err(Duration::from_secs(1)));
    }

    #[test]
    fn without_a_rate_everything_passes() {
        let (_, since_boot) = clock();
        let cells = Cells::new(Rate::NONE, since_boot);
        for _ in 0..100_000 {
            cells.take(&"a").unwrap();
        }
    }
}

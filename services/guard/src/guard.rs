//! The guard: built once, shared by every call.
//!
//! **Invariant:** the read path takes no lock on the index and does no I/O: the view is an
//! atomically swapped pointer, and each partition's state is another.
//! **Invariant:** the clock by which tokens expire and marks are collected never runs backwards, so
//! no token comes back to life after the mark that covered it is gone (finding P7).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwapOption;
use curfew_core::ids::RecordId;
use curfew_core::place::{LogIdentity, LogPartition, Partition};
use curfew_core::time::{Clock, Millis, Now};
use curfew_jose::SignatureCache;
use quick_cache::sync::Cache;
use tokio::sync::{Notify, watch};

use crate::config::{Config, ConfigError, Issuer, validate};
use crate::feed::View;
use crate::keys::KeyRing;
use crate::metrics::Metrics;
use crate::report::Reports;
use crate::route::Stale;
use crate::stale::{Asker, Introspect};

/// Wake-up channels, by store partition; M and 64 are powers of two, so a log partition wakes whole channels.
const WAKES: u16 = 64;
/// Records whose first refusal was sampled: 24 B each; beyond, an old one may be sampled twice.
const SAMPLED_MAX: usize = 16_384;

/// From the decision of a revocation to its first refusal here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevokeToReject {
    /// The record.
    pub record: RecordId,
    /// When it was decided, by the authority's clock.
    pub decided_at: Millis,
    /// When it first refused a call, by this guard's clock.
    pub refused_at: Millis,
}

/// Called at the first refusal by each record; it must not wait.
pub type OnRevokeToReject = Arc<dyn Fn(RevokeToReject) + Send + Sync>;

/// What runs beside a resource server. Clones are the same guard.
#[derive(Clone)]
pub struct Guard(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) clock: Arc<dyn Clock>,
    latest: AtomicI64,
    pub(crate) issuers: Vec<(Arc<Issuer>, Arc<KeyRing>)>,
    pub(crate) by_spelling: std::collections::HashMap<String, usize>,
    pub(crate) audiences: Vec<String>,
    pub(crate) bound_ms: i64,
    pub(crate) stale: Stale,
    pub(crate) report_only: bool,
    pub(crate) error_pages: Option<Arc<str>>,
    pub(crate) signatures: SignatureCache,
    view: ArcSwapOption<View>,
    wakes: Vec<watch::Sender<u64>>,
    pub(crate) asker: Option<Asker>,
    pub(crate) metrics: Metrics,
    pub(crate) reports: Reports,
    /// A revocation was applied: whoever reports says so soon.
    pub(crate) applied: Notify,
    pub(crate) sampled: Cache<RecordId, ()>,
    pub(crate) on_revoke_to_reject: Option<OnRevokeToReject>,
}

/// Builds a [`Guard`] with hooks.
pub struct GuardBuilder {
    config: Config,
    clock: Arc<dyn Clock>,
    introspect: Option<Arc<dyn Introspect>>,
    on_revoke_to_reject: Option<OnRevokeToReject>,
}

impl Guard {
    /// A guard without hooks.
    ///
    /// # Errors
    /// The configuration is none; the message names the setting.
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        Self::builder(config, clock).build()
    }

    /// A guard to be given hooks.
    #[must_use]
    pub fn builder(config: Config, clock: Arc<dyn Clock>) -> GuardBuilder {
        GuardBuilder {
            config,
            clock,
            introspect: None,
            on_revoke_to_reject: None,
        }
    }

    /// Whether it answers at all; a guard that is built does.
    #[must_use]
    pub fn is_live(&self) -> bool {
        true
    }

    /// Whether its view is whole: snapshot, tail, and in every partition a heartbeat stamped after the registration.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.view.load().as_ref().is_some_and(|view| view.is_ready())
    }

    /// Whether some partition cannot prove its freshness now.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        let now = self.now();
        self.0.view.load().as_ref().is_none_or(|view| {
            view.follower.log().all().any(|partition| {
                view.follower
                    .state(partition)
                    .is_none_or(|state| !view.is_fresh(&state, now, self.0.bound_ms))
            })
        })
    }

    /// The age of the oldest partition's proof of freshness, ms; `None`: some partition has none.
    #[must_use]
    pub fn freshness_age_ms(&self) -> Option<i64> {
        let now = self.now();
        let view = self.0.view.load();
        let view = view.as_ref()?;
        view.follower.log().all().try_fold(i64::MIN, |oldest, partition| {
            Some(oldest.max(view.follower.state(partition)?.age_ms(now)?))
        })
    }

    /// Log partitions whose freshness is frozen.
    #[must_use]
    pub fn frozen(&self) -> Vec<LogPartition> {
        let view = self.0.view.load();
        view.as_ref().map_or_else(Vec::new, |view| {
            let is_frozen = |partition: &LogPartition| {
                view.follower
                    .state(*partition)
                    .is_some_and(|state| state.frozen.is_some())
            };
            view.follower.log().all().filter(is_frozen).collect()
        })
    }

    /// Marks held; one that lies in both layers of the index counts twice until they are folded.
    #[must_use]
    pub fn index_len(&self) -> usize {
        self.0.view.load().as_ref().map_or(0, |view| view.len())
    }

    /// Heartbeats stamped more than ε ahead of this guard; an alarm: one of two clocks is wrong.
    #[must_use]
    pub fn heartbeats_ahead(&self) -> u64 {
        self.0.view.load().as_ref().map_or(0, |view| {
            let ahead = |partition| {
                view.follower
                    .state(partition)
                    .map_or(0, |state| state.heartbeats_ahead())
            };
            view.follower.log().all().map(ahead).sum()
        })
    }

    /// How often key sets were fetched, and how often in vain.
    #[must_use]
    pub fn key_fetches(&self) -> (u64, u64) {
        let add = |(all, failed): (u64, u64), (more, more_failed)| (all + more, failed + more_failed);
        self.0
            .issuers
            .iter()
            .map(|(_, ring)| ring.fetches())
            .fold((0, 0), add)
    }

    /// How many keys are usable, and how many entries of key sets were skipped.
    #[must_use]
    pub fn keys(&self) -> (usize, usize) {
        let add =
            |(usable, skipped): (usize, usize), (more, more_skipped)| (usable + more, skipped + more_skipped);
        self.0
            .issuers
            .iter()
            .map(|(_, ring)| ring.size())
            .fold((0, 0), add)
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// X, ms.
    #[must_use]
    pub fn bound_ms(&self) -> i64 {
        self.0.bound_ms
    }

    /// Whether it only reports.
    #[must_use]
    pub fn is_report_only(&self) -> bool {
        self.0.report_only
    }

    /// Both clocks, now: what a source registers by that has no clock of its own.
    #[must_use]
    pub fn now(&self) -> Now {
        self.0.clock.now()
    }

    /// The instant by which tokens expire: the wall clock, never before what it was at an earlier application.
    pub(crate) fn judged_at(&self, now: Now) -> Millis {
        now.wall
            .max(Millis::from_unix_ms(self.0.latest.load(Ordering::Relaxed)))
    }

    /// Both clocks, now, and the least that the expiry clock will show from here on.
    pub(crate) fn advance(&self) -> Now {
        let now = self.now();
        self.0.latest.fetch_max(now.wall.as_unix_ms(), Ordering::Relaxed);
        now
    }

    /// Drops marks that cover no living token. It copies the index, so once a minute is often enough.
    pub fn collect(&self) {
        let now = self.advance();
        if let Some(view) = self.0.view.load_full() {
            view.collect(self.judged_at(now));
        }
    }

    pub(crate) fn view(&self) -> arc_swap::Guard<Option<Arc<View>>> {
        self.0.view.load()
    }

    pub(crate) fn show(&self, view: Arc<View>) {
        self.0.view.store(Some(view));
    }

    pub(crate) fn distrust(&self) {
        if let Some(view) = self.0.view.load().as_ref() {
            view.distrust();
        }
    }

    /// Wakes the watches of tokens that this log partition judges.
    pub(crate) fn wake(&self, log: LogIdentity, partition: LogPartition) {
        let step = log.partitions.clamp(1, WAKES);
        let mut channel = partition.0 % step;
        while channel < WAKES {
            // A log partition of M ≥ 64 lies in one channel, of M < 64 in every M-th.
            if let Some(wake) = self.0.wakes.get(usize::from(channel)) {
                wake.send_modify(|count| *count = count.wrapping_add(1));
            }
            channel += step;
        }
    }

    pub(crate) fn wakes_of(&self, partition: Partition) -> Option<watch::Receiver<u64>> {
        self.0
            .wakes
            .get(usize::from(partition.number() % WAKES))
            .map(watch::Sender::subscribe)
    }
}

impl GuardBuilder {
    /// Who is asked while the view is stale.
    #[must_use]
    pub fn introspect(mut self, authority: Arc<dyn Introspect>) -> Self {
        self.introspect = Some(authority);
        self
    }

    /// Who is told of the first refusal by each record.
    #[must_use]
    pub fn on_revoke_to_reject(mut self, hook: OnRevokeToReject) -> Self {
        self.on_revoke_to_reject = Some(hook);
        self
    }

    /// The guard.
    ///
    /// # Errors
    /// The configuration is none; the message names the setting.
    pub fn build(self) -> Result<Guard, ConfigError> {
        let valid = validate(&self.config)?;
        let error_pages = self.config.error_pages();
        let mut issuers = Vec::with_capacity(valid.entries.len());
        for (issuer, source) in valid.entries {
            let entry = issuer.entry;
            let ring =
                KeyRing::new(entry, source, self.config.keys_kept_ms).ok_or(ConfigError::NoKeys { entry })?;
            issuers.push((issuer, Arc::new(ring)));
        }
        Ok(Guard(Arc::new(Inner {
            latest: AtomicI64::new(self.clock.now().wall.as_unix_ms()),
            clock: self.clock,
            issuers,
            by_spelling: valid.by_spelling,
            audiences: self.config.audiences,
            bound_ms: self.config.bound_ms,
            stale: self.config.stale,
            report_only: self.config.report_only,
            error_pages,
            signatures: SignatureCache::new(self.config.signatures_max),
            view: ArcSwapOption::empty(),
            wakes: (0..WAKES).map(|_| watch::Sender::new(0)).collect(),
            asker: self.introspect.map(Asker::new),
            metrics: Metrics::default(),
            reports: Reports::default(),
            applied: Notify::new(),
            sampled: Cache::new(SAMPLED_MAX),
            on_revoke_to_reject: self.on_revoke_to_reject,
        })))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("audiences", &self.0.audiences)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GuardBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

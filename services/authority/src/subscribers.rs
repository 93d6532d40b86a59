//! Who follows: guards and others that report their progress to this node.
//!
//! In memory for now: what ENFORCED waits for becomes records of the directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use curfew_core::time::Millis;

/// Followers that are remembered; beyond, the one heard longest ago is forgotten.
const SUBSCRIBERS_MAX: usize = 10_000;

/// A follower, as it told us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscriber {
    /// What it is.
    pub name: Arc<str>,
    /// Which instance.
    pub replica: Arc<str>,
    /// Its program's version.
    pub version: Arc<str>,
    /// Where it reads from.
    pub source: Arc<str>,
    /// The APIs that it protects.
    pub audiences: Vec<Arc<str>>,
    /// The newest format that it reads.
    pub min_reader: u32,
    /// The largest bound of its routes, ms; `None`: it has none.
    pub bound_ms: Option<i64>,
}

/// What it reported last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Who.
    pub subscriber: Subscriber,
    /// The next offset of each log partition that it will apply.
    pub positions: Vec<u64>,
    /// Refusals so far, as it counts them.
    pub refusals: u64,
    /// When it registered here.
    pub registered_at: Millis,
    /// When it was heard last.
    pub seen_at: Millis,
}

/// How long the set of live audiences is taken as it was found, ms: against a lease of 30 s nothing, and a
/// refresh looks at one value instead of at ten thousand followers.
const LIVE_AGE_MAX_MS: i64 = 1_000;

/// Name and replica.
type Who = (Arc<str>, Arc<str>);

/// The registry of this node.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    by_name: Mutex<BTreeMap<Who, Progress>>,
    live: ArcSwapOption<Live>,
}

/// The audiences that had a live guard, and when that was found.
#[derive(Debug)]
struct Live {
    at: Millis,
    audiences: Arc<BTreeSet<Arc<str>>>,
}

impl Subscribers {
    pub(crate) fn report(
        &self,
        subscriber: Subscriber,
        positions: Vec<u64>,
        refusals: u64,
        now: Millis,
    ) -> Progress {
        let mut all = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (subscriber.name.clone(), subscriber.replica.clone());
        let registered_at = all.get(&key).map_or(now, |present| present.registered_at);
        let refusals = all
            .get(&key)
            .map_or(0, |present| present.refusals)
            .saturating_add(refusals);
        let progress = Progress {
            subscriber,
            positions,
            refusals,
            registered_at,
            seen_at: now,
        };
        let is_new = all.insert(key, progress.clone()).is_none();
        if is_new {
            self.live.store(None);
        }
        if all.len() > SUBSCRIBERS_MAX {
            let oldest = all
                .iter()
                .min_by_key(|(_, progress)| progress.seen_at)
                .map(|(key, _)| key.clone());
            oldest.and_then(|key| all.remove(&key));
        }
        progress
    }

    pub(crate) fn leave(&self, name: &Arc<str>, replica: &Arc<str>) {
        let mut all = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(name.clone(), replica.clone()));
        self.live.store(None);
    }

    pub(crate) fn seen_at(&self, name: &Arc<str>, replica: &Arc<str>) -> Option<Millis> {
        let all = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(name.clone(), replica.clone()))
            .map(|progress| progress.seen_at)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn list(&self) -> Vec<Progress> {
        self.by_name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Audiences with a guard that was heard within its lease. One that was heard in the future was heard
    /// before the clock was set back, and is waited for.
    pub(crate) fn live_audiences(&self, now: Millis, lease_ms: i64) -> Arc<BTreeSet<Arc<str>>> {
        if let Some(live) = &*self.live.load()
            && (0..LIVE_AGE_MAX_MS).contains(&now.ms_since(live.at))
        {
            return live.audiences.clone();
        }
        let all = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let audiences: Arc<BTreeSet<Arc<str>>> = Arc::new(
            all.values()
                .filter(|progress| (0..lease_ms).contains(&now.ms_since(progress.seen_at)))
                .flat_map(|progress| progress.subscriber.audiences.iter().cloned())
                .collect(),
        );
        // Stored under the lock, so that a good-bye is never overtaken by what was found before it.
        self.live.store(Some(Arc::new(Live {
            at: now,
            audiences: audiences.clone(),
        })));
        audiences
    }
}

impl crate::Authority {
    /// Notes a follower's report; the answer says since when it is registered.
    pub fn report_progress(&self, subscriber: Subscriber, positions: Vec<u64>, refusals: u64) -> Progress {
        self.subscribers
            .report(subscriber, positions, refusals, self.wall())
    }

    /// A follower says good-bye.
    pub fn leave(&self, name: &Arc<str>, replica: &Arc<str>) {
        self.subscribers.leave(name, replica);
    }

    /// Whether this follower was heard within its lease.
    #[must_use]
    pub fn is_subscriber_live(&self, name: &Arc<str>, replica: &Arc<str>) -> bool {
        let now = self.wall();
        self.subscribers
            .seen_at(name, replica)
            .is_some_and(|seen| now.ms_since(seen) < self.config.lease_ms)
    }

    /// How many are remembered.
    #[must_use]
    pub fn subscribers_len(&self) -> usize {
        self.subscribers.len()
    }

    /// Everyone who reported, in order of their names.
    #[must_use]
    pub fn list_subscribers(&self) -> Vec<Progress> {
        self.subscribers.list()
    }
}

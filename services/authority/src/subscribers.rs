//! Who follows: guards and others that report their progress to this node.
//!
//! In memory for now: what ENFORCED waits for becomes records of the directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

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

/// Name and replica.
type Who = (Arc<str>, Arc<str>);

/// The registry of this node.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    by_name: Mutex<BTreeMap<Who, Progress>>,
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
        all.insert(key, progress.clone());
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
    }

    pub(crate) fn list(&self) -> Vec<Progress> {
        self.by_name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    pub(crate) fn live_audiences(&self, now: Millis, lease_ms: i64) -> BTreeSet<Arc<str>> {
        let all = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        all.values()
            .filter(|progress| now.ms_since(progress.seen_at) < lease_ms)
            .flat_map(|progress| progress.subscriber.audiences.iter().cloned())
            .collect()
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

    /// Everyone who reported, in order of their names.
    #[must_use]
    pub fn list_subscribers(&self) -> Vec<Progress> {
        self.subscribers.list()
    }
}

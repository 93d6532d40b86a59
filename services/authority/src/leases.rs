//! Who follows: every registered guard and authority of the fleet, as this node knows it.
//!
//! A registration lies in the directory's partition, so that every node sees it; in between nodes tell one another how
//! far those are that report to them. What is kept here is what was read there, heard so, and reported here.
//!
//! **Invariant:** nobody is forgotten while it counts: a registration beyond the bound is refused.

mod keep;
mod own;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use curfew_core::directory::{Lease, RouteBound};
use curfew_core::enforced::Lost;
use curfew_core::place::Incarnation;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::time::Millis;
use curfew_core::watermark::{Mark, Watermarks};
use tokio::sync::Notify;

use crate::answer::Answer;

/// Followers of a fleet: at ~400 B each 4 MB, read in ten pages.
pub(crate) const LEASES_MAX: usize = 10_000;
/// How long the set of live audiences is taken as it was found, ms: against a lease of 30 s nothing, and a
/// refresh looks at one value instead of at ten thousand followers.
const LIVE_AGE_MAX_MS: i64 = 1_000;
/// How long a mark waits for its registration to be read, ms: two leases.
const UNREAD_MAX_MS: i64 = 60_000;
/// What a write takes that a read may just have missed, ms.
const READ_MAX_MS: i64 = 1_000;

/// A follower, as it told us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscriber {
    /// What it is.
    pub name: Arc<str>,
    /// Which instance.
    pub replica: Arc<str>,
    /// The caller that it is; empty for an authority.
    pub caller: Arc<str>,
    /// Its program's version.
    pub version: Arc<str>,
    /// Where it reads from.
    pub source: Arc<str>,
    /// The APIs that it protects.
    pub audiences: Vec<Arc<str>>,
    /// The newest format that it reads.
    pub min_reader: u32,
    /// Its routes.
    pub routes: Vec<RouteBound>,
    /// The largest bound of its routes, ms; `None`: it has none.
    pub bound_ms: Option<i64>,
}

/// Name and replica.
pub(crate) type Who = (Arc<str>, Arc<str>);

/// A history of the directory, and since when it is open.
type Opened = (Incarnation, Millis);

/// What this node knows of the fleet's followers.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    known: Mutex<Known>,
    live: ArcSwapOption<Live>,
    /// Somebody registered, reported, left, or was heard of.
    changed: Notify,
    /// There is something to tell other nodes.
    to_tell: Notify,
    /// One writer at a time: whoever waits is written by whoever writes.
    writing: tokio::sync::Mutex<()>,
    /// One reader at a time. What is held is the number of the newest read that ended well.
    reading: tokio::sync::Mutex<u64>,
    reads_begun: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    all: BTreeMap<Who, Entry>,
    /// Heard of followers whose registration was not read yet.
    unread: BTreeMap<Who, Mark>,
    /// Left here, and nobody was told yet.
    left: Vec<Mark>,
    /// The largest bound of any registration that this node ever saw, ms.
    largest_bound_ms: i64,
    /// The directory's history, as of the last read, and when it was opened.
    read: Option<Opened>,
}

#[derive(Debug)]
struct Entry {
    lease: Arc<Lease>,
    /// When it was heard last, as the store has it; `None`: it is not there.
    stored: Option<Millis>,
    /// Whether its newest report came to this node, which renews it then.
    is_ours: bool,
    /// Whether the store lacks what it must have before the follower is ready.
    is_unwritten: bool,
    /// Whether other nodes have not heard its place yet.
    is_untold: bool,
}

/// The audiences that had a live guard, and when that was found.
#[derive(Debug)]
struct Live {
    at: Millis,
    audiences: Arc<BTreeSet<Arc<str>>>,
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a report that came to this node.
    fn note(&self, lease: Lease, now: Millis) -> Answer<()> {
        let who = (lease.name.clone(), lease.replica.clone());
        let mut known = self.lock();
        known.saw_bound(&lease);
        let is_full = known.all.len() >= LEASES_MAX;
        match known.all.get_mut(&who) {
            Some(entry) if now < entry.lease.counts_until => {
                entry.is_unwritten |= !is_same(&entry.lease, &lease);
                entry.lease = Arc::new(lease.after(&entry.lease));
                entry.is_ours = true;
                entry.is_untold = true;
            }
            None if is_full => {
                return Err(Refusal::new(Stage::Request, Reason::Overloaded).about("too many followers"));
            }
            Some(_) | None => {
                self.live.store(None);
                known.all.insert(
                    who,
                    Entry {
                        lease: Arc::new(lease),
                        stored: None,
                        is_ours: true,
                        is_unwritten: true,
                        is_untold: true,
                    },
                );
            }
        }
        drop(known);
        self.changed.notify_waiters();
        self.to_tell.notify_one();
        Ok(())
    }

    /// Takes what another node told.
    fn hear(&self, told: &Watermarks, lease_ms: i64) {
        let mut known = self.lock();
        let known = &mut *known;
        for mark in &told.marks {
            let who = (mark.name.clone(), mark.replica.clone());
            match known.all.get_mut(&who) {
                Some(_) if mark.has_left => {
                    known.all.remove(&who);
                    self.live.store(None);
                }
                Some(entry) => entry.hear(mark, told.log_id, lease_ms),
                None if mark.has_left => drop(known.unread.remove(&who)),
                None if known.unread.len() < LEASES_MAX => drop(known.unread.insert(who, mark.clone())),
                // Its registration says the same, later.
                None => {}
            }
        }
        self.changed.notify_waiters();
    }

    /// Takes what the store has, all of it, as a read found it that began at this instant.
    fn take(&self, begun_at: Millis, read: Opened, stored: Vec<Arc<Lease>>, log_id: [u8; 16], lease_ms: i64) {
        let mut known = self.lock();
        let known = &mut *known;
        let is_same_history = known.read.is_some_and(|(incarnation, _)| incarnation == read.0);
        known.read = Some(read);
        let mut before = std::mem::take(&mut known.all);
        for lease in stored {
            known.saw_bound(&lease);
            let who = (lease.name.clone(), lease.replica.clone());
            let mut entry = match before.remove(&who) {
                Some(mut entry) => {
                    let mut joined = Lease::clone(&entry.lease);
                    joined.join(&lease);
                    entry.is_ours &= joined.seen == entry.lease.seen;
                    entry.lease = Arc::new(joined);
                    entry.stored = Some(lease.seen);
                    entry
                }
                None => Entry {
                    stored: Some(lease.seen),
                    lease,
                    is_ours: false,
                    is_unwritten: false,
                    is_untold: false,
                },
            };
            if let Some(mark) = known.unread.remove(&who) {
                entry.hear(&mark, log_id, lease_ms);
            }
            known.all.insert(who, entry);
        }
        // What is not there was taken away, unless another history lost it, or it was written while it was read. Whoever
        // is forgotten wrongly registers again with its next report.
        before.retain(|_, entry| {
            let is_young = begun_at.ms_since(entry.lease.seen) < READ_MAX_MS;
            entry.stored.is_none() || entry.is_unwritten || !is_same_history || is_young
        });
        for entry in before.values_mut() {
            entry.stored = None;
        }
        known.all.append(&mut before);
        self.live.store(None);
        self.changed.notify_waiters();
    }

    /// Forgets those that count no more.
    fn collect(&self, now: Millis) {
        let mut known = self.lock();
        known.all.retain(|_, entry| now < entry.lease.counts_until);
        // A mark is older than its registration by a report at the most.
        known
            .unread
            .retain(|_, mark| now.ms_since(mark.seen) < UNREAD_MAX_MS);
    }

    /// All that are known.
    pub(crate) fn all(&self) -> Vec<Arc<Lease>> {
        self.lock()
            .all
            .values()
            .map(|entry| entry.lease.clone())
            .collect()
    }

    pub(crate) fn get(&self, who: &Who) -> Option<Arc<Lease>> {
        self.lock().all.get(who).map(|entry| entry.lease.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// Registrations that were lost with another history of the directory. `least_ms`: a bound that somebody may
    /// well have had, though this node saw nobody with it.
    pub(crate) fn lost(&self, lease_ms: i64, least_ms: i64) -> Option<Lost> {
        let known = self.lock();
        let (_, opened) = known.read?;
        let bound_ms = known.largest_bound_ms.max(least_ms);
        (opened > Millis::ZERO).then(|| Lost::at(opened, lease_ms, bound_ms))
    }

    /// The largest bound that any follower may have, as far as this node knows, ms; at least so much.
    pub(crate) fn largest_bound_ms(&self, least_ms: i64) -> i64 {
        self.lock().largest_bound_ms.max(least_ms)
    }

    /// Waits until somebody registers, reports, leaves or is heard of. To be enabled before looking.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Audiences with a guard that was heard within its lease, anywhere.
    pub(crate) fn live_audiences(&self, now: Millis) -> Arc<BTreeSet<Arc<str>>> {
        if let Some(live) = &*self.live.load()
            && (0..LIVE_AGE_MAX_MS).contains(&now.ms_since(live.at))
        {
            return live.audiences.clone();
        }
        let known = self.lock();
        let live = known.all.values().filter(|entry| entry.lease.is_live(now));
        let audiences: BTreeSet<_> = live
            .flat_map(|entry| entry.lease.audiences.iter().cloned())
            .collect();
        let audiences = Arc::new(audiences);
        // Stored under the lock, so that a good-bye is never overtaken by what was found before it.
        self.live.store(Some(Arc::new(Live {
            at: now,
            audiences: audiences.clone(),
        })));
        audiences
    }
}

impl Known {
    fn saw_bound(&mut self, lease: &Lease) {
        self.largest_bound_ms = self.largest_bound_ms.max(lease.bound_ms.unwrap_or(0));
    }
}

impl Entry {
    /// Takes what was told of its place elsewhere.
    fn hear(&mut self, mark: &Mark, log_id: [u8; 16], lease_ms: i64) {
        let lease = Arc::make_mut(&mut self.lease);
        let newer = Lease {
            positions: mark.positions.clone(),
            log_id,
            ..lease.clone()
        };
        if newer.log_id == lease.log_id {
            lease.positions = newer.after(lease).positions;
        }
        if mark.seen > lease.seen {
            lease.hear(mark.seen, lease_ms);
            self.is_ours = false;
        }
    }
}

/// Whether everything but its place is as it was.
fn is_same(before: &Lease, now: &Lease) -> bool {
    let Lease {
        name: _,
        replica: _,
        caller,
        version,
        source,
        audiences,
        min_reader,
        routes,
        bound_ms,
        positions: _,
        log_id,
        registered: _,
        seen: _,
        counts_until: _,
    } = before;
    (caller, version, source, audiences) == (&now.caller, &now.version, &now.source, &now.audiences)
        && (min_reader, routes, bound_ms, log_id)
            == (&now.min_reader, &now.routes, &now.bound_ms, &now.log_id)
}

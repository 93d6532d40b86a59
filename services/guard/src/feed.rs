//! How records reach a guard, whoever brings them: the hub's stream, Kafka, a test.
//!
//! A source begins a [`Feed`], fills it from a snapshot if it has one, and makes it live; from then
//! on it applies the tail. What the guard held before goes on denying until the new view is live.
//!
//! **Invariant:** the order of a cold start is DESIGN section 7's: positions noted before the snapshot
//! is copied, the tail from there, and nothing counts as fresh before a heartbeat stamped later than
//! the registration.
//! **Invariant:** one feed applies at a time; beginning another ends the trust in the one before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use curfew_core::follow::{Applied, Follower, Frozen, Reload};
use curfew_core::index::Index;
use curfew_core::place::{LogIdentity, LogPartition, Position};
use curfew_core::record::LogRecord;
use curfew_core::time::{Millis, Now};

use crate::guard::Guard;

/// What tokens are judged by.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) follower: Follower,
    /// A snapshot of all partitions, held once: its entries do not say where they lie, and a mark
    /// too many in a partition denies nothing that it does not cover.
    pub(crate) base: ArcSwap<Index>,
    registered_at: Millis,
    trusted: AtomicBool,
    /// Held by whoever changes the view. The follower knows one writer; here two write, the feed and the
    /// collection, and a collection that put back what it had read would undo a revocation.
    writing: Mutex<()>,
}

impl View {
    /// Whether this partition's state proves freshness: it is trusted, its newest heartbeat is younger
    /// than X, and was stamped after the registration.
    pub(crate) fn is_fresh(
        &self,
        state: &curfew_core::follow::PartitionState,
        now: Now,
        bound_ms: i64,
    ) -> bool {
        self.trusted.load(Ordering::Acquire)
            && state
                .newest_stamp()
                .is_some_and(|stamp| stamp > self.registered_at)
            && state.is_fresh(now, bound_ms)
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Acquire)
    }

    /// Whether every partition had a heartbeat after the registration.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_trusted()
            && self.follower.log().all().all(|partition| {
                self.follower.state(partition).is_some_and(|state| {
                    state
                        .newest_stamp()
                        .is_some_and(|stamp| stamp > self.registered_at)
                })
            })
    }

    pub(crate) fn distrust(&self) {
        self.trusted.store(false, Ordering::Release);
    }

    /// What is guarded is nothing, so a panic elsewhere leaves nothing half done.
    fn write(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many marks it holds.
    pub(crate) fn len(&self) -> usize {
        self.base.load().len().saturating_add(self.follower.len())
    }

    /// Drops marks that cover no living token.
    pub(crate) fn collect(&self, now: Millis) {
        let _writing = self.write();
        self.follower.collect(now);
        let mut base = Index::clone(&self.base.load());
        base.collect(now);
        self.base.store(Arc::new(base));
    }
}

/// A source of records: it feeds the guard for as long as it is polled, and tries for ever.
#[async_trait]
pub trait Source: Send + 'static {
    /// Feeds the guard. Returns only where there is nothing left to do.
    async fn run(self: Box<Self>, guard: Guard);
}

/// The one that applies records to a guard.
#[derive(Debug)]
pub struct Feed {
    guard: Guard,
    view: Arc<View>,
}

impl Guard {
    /// Begins a view of this log. `registered_at`: when the source was told of this guard, by the
    /// source's clock; heartbeats stamped until then prove nothing.
    ///
    /// The view before, if there is one, is no longer trusted to be fresh and goes on denying.
    #[must_use]
    pub fn begin(&self, log: LogIdentity, registered_at: Millis) -> Feed {
        if self.view().is_some() {
            self.metrics().reload();
        }
        self.distrust();
        let view = View {
            follower: Follower::new(log),
            base: ArcSwap::default(),
            registered_at,
            trusted: AtomicBool::new(false),
            writing: Mutex::default(),
        };
        Feed {
            guard: self.clone(),
            view: Arc::new(view),
        }
    }

    /// [`Guard::begin`] for a source that reads the log itself, from these offsets: the new view denies at once
    /// what the one before denied, and whatever it reads from then on. Nothing is fresh before [`Feed::go_live`].
    #[must_use]
    pub fn begin_keeping(&self, log: LogIdentity, registered_at: Millis, next: &[u64]) -> Feed {
        let before = self.view().as_ref().cloned();
        let feed = self.begin(log, registered_at);
        let same = before.as_ref().filter(|before| before.follower.log() == log);
        for (partition, next) in log.all().zip(next) {
            let kept = same.and_then(|before| before.follower.state(partition));
            let index = kept.map_or_else(Index::default, |state| state.index.flat());
            // A record that cannot be read freezes again where it still lies.
            feed.load_snapshot(partition, index, *next, None, Vec::new());
        }
        if let Some(before) = &before {
            let mut base = Index::clone(&before.base.load());
            if same.is_none() {
                let states = before.follower.log().all();
                for state in states.filter_map(|partition| before.follower.state(partition)) {
                    base.absorb(&state.index.flat());
                }
            }
            feed.load_base(base);
        }
        feed.show();
        feed
    }

    /// [`Guard::begin`] without a snapshot, live at once: a log that is read from its start.
    #[must_use]
    pub fn follow(&self, log: LogIdentity, registered_at: Millis) -> Feed {
        let feed = self.begin(log, registered_at);
        feed.go_live();
        feed
    }
}

impl Feed {
    /// Takes the marks of a snapshot of all partitions.
    pub fn load_base(&self, index: Index) {
        let _writing = self.view.write();
        self.view.base.store(Arc::new(index));
    }

    /// Replaces one partition by a snapshot's; the tail from `next` follows.
    pub fn load_snapshot(
        &self,
        partition: LogPartition,
        index: Index,
        next: u64,
        frozen: Option<Frozen>,
        raw: Vec<Arc<[u8]>>,
    ) {
        let writing = self.view.write();
        self.view
            .follower
            .load_snapshot(partition, index, next, frozen, raw);
        drop(writing);
        self.guard.wake(self.view.follower.log(), partition);
    }

    /// Lets the guard judge by this view; what it held before is dropped.
    pub fn go_live(&self) {
        self.view.trusted.store(true, Ordering::Release);
        self.show();
    }

    fn show(&self) {
        self.guard.show(self.view.clone());
        for partition in self.view.follower.log().all() {
            self.guard.wake(self.view.follower.log(), partition);
        }
    }

    /// Applies one entry of the tail, in the order of its partition.
    ///
    /// # Errors
    /// [`Reload`]: the log is another one or its history changed. The view is no longer fresh;
    /// [`Guard::begin`] another.
    pub fn apply(&self, position: Position, record: &LogRecord) -> Result<Applied, Reload> {
        let writing = self.view.write();
        let now = self.guard.advance();
        let applied = self.view.follower.apply(position, record, now);
        drop(writing);
        let applied = applied.inspect_err(|_| self.view.distrust())?;
        if let Applied::Revocation(revocation) = &applied {
            self.guard.metrics().record();
            self.guard.0.applied.notify_one();
            crate::trace::applied(position, revocation, now.wall.ms_since(revocation.decided_at));
            self.guard.wake(self.view.follower.log(), position.partition);
        }
        Ok(applied)
    }

    /// The follower that is fed.
    #[must_use]
    pub fn follower(&self) -> &Follower {
        &self.view.follower
    }

    /// The source lost its hold of the log: nothing is fresh until another feed begins.
    pub fn distrust(&self) {
        self.view.distrust();
    }

    /// Whether the guard judges by this view and believes its freshness.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.view.is_trusted()
    }

    /// The guard's time.
    #[must_use]
    pub fn now(&self) -> Now {
        self.guard.now()
    }
}

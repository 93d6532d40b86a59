//! The fake log: M partitions in memory.
//!
//! **Invariant:** offsets are dense; what is trimmed or truncated leaves no gap in between.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use curfew_core::place::{LogIdentity, LogPartition, Position};
use curfew_core::record::{LogRecord, Outgoing};
use curfew_core::time::{Clock, Millis};
use tokio::sync::Notify;

use super::because;
use super::held::{Held, Stop};
use super::store::Positions;
use super::tail::FakeTail;
use crate::log::{Bounds, Log, LogError, Tail, TailFrom};
use crate::store::StoreError;

/// Calls that a fake log has seen, refused ones included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogCounts {
    /// Appends through the port.
    pub appends: u64,
    /// Records that lie on the log, by the port or by a store's commit; a wide one counts M times.
    pub appended: u64,
    /// Tails that were opened.
    pub tails: u64,
}

/// A log in memory. Clones are the same log.
#[derive(Clone, Debug)]
pub struct FakeLog(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Wakes the tails after every change.
    pub(super) changed: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) identity: LogIdentity,
    pub(super) slices: Vec<Slice>,
    pub(super) held_back: BTreeSet<LogPartition>,
    pub(super) order: u64,
    pub(super) redeliveries: usize,
    is_down: bool,
    copies: usize,
    lost_answers: usize,
    stops: VecDeque<Arc<Stop>>,
    counts: LogCounts,
}

/// One log partition.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub(super) start: u64,
    pub(super) records: VecDeque<(Millis, LogRecord)>,
}

impl Slice {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            start: self.start,
            end: self.start + self.records.len() as u64,
        }
    }
}

impl FakeLog {
    /// An empty log.
    #[must_use]
    pub fn new(identity: LogIdentity, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            slices: empty_slices(identity),
            identity,
            held_back: BTreeSet::new(),
            order: 0,
            redeliveries: 0,
            is_down: false,
            copies: 0,
            lost_answers: 0,
            stops: VecDeque::new(),
            counts: LogCounts::default(),
        };
        Self(Arc::new(Shared {
            clock,
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    /// Drops what lies before offset `before`: retention.
    pub fn trim(&self, partition: LogPartition, before: u64) {
        let mut state = self.lock();
        let slice = &mut state.slices[partition.index()];
        while slice.start < before && slice.records.pop_front().is_some() {
            slice.start += 1;
        }
        self.0.changed.notify_waiters();
    }

    /// Drops what lies at and after offset `end`: a leader that never had it (history changes).
    pub fn truncate(&self, partition: LogPartition, end: u64) {
        let mut state = self.lock();
        let slice = &mut state.slices[partition.index()];
        let keep = usize::try_from(end.saturating_sub(slice.start)).expect("a length in memory");
        slice.records.truncate(keep);
        self.0.changed.notify_waiters();
    }

    /// Another, empty log in its place: a topic deleted and made again. Open tails are not told, as
    /// Kafka tells none.
    pub fn replace(&self, identity: LogIdentity) {
        let mut state = self.lock();
        state.identity = identity;
        state.slices = empty_slices(identity);
        self.0.changed.notify_waiters();
    }

    /// Nothing answers until [`Self::come_up`]; waiting tails get an error.
    pub fn go_down(&self) {
        self.lock().is_down = true;
        self.0.changed.notify_waiters();
    }

    /// Answers again; tails go on where they were.
    pub fn come_up(&self) {
        self.lock().is_down = false;
        self.0.changed.notify_waiters();
    }

    /// The next `n` appends answer `Unavailable` though they took effect.
    pub fn lose_answers(&self, n: usize) {
        self.lock().lost_answers = n;
    }

    /// Holds the next append before it takes effect: a zombie's late one.
    #[must_use]
    pub fn delay_next(&self) -> Held {
        let (stop, held) = Stop::new();
        self.lock().stops.push_back(stop);
        held
    }

    /// The next `n` records lie on the log twice: a producer that appended again.
    pub fn duplicate(&self, n: usize) {
        self.lock().copies = n;
    }

    /// Tails deliver the next `n` entries a second time, later, at the same positions: what a reader
    /// sees that resumes from an older checkpoint.
    pub fn redeliver(&self, n: usize) {
        self.lock().redeliveries = n;
    }

    /// Tails deliver the partitions in an order drawn from `seed`: there is no order between
    /// partitions, and nobody may rely on one. 0 is the order of their numbers.
    pub fn reorder(&self, seed: u64) {
        self.lock().order = seed;
    }

    /// Tails deliver nothing of this partition until [`Self::let_through`].
    pub fn hold_back(&self, partition: LogPartition) {
        self.lock().held_back.insert(partition);
    }

    /// Tails deliver this partition again, from where they were.
    pub fn let_through(&self, partition: LogPartition) {
        self.lock().held_back.remove(&partition);
        self.0.changed.notify_waiters();
    }

    /// All that lies in one partition, oldest first.
    #[must_use]
    pub fn records(&self, partition: LogPartition) -> Vec<LogRecord> {
        let state = self.lock();
        state.slices[partition.index()]
            .records
            .iter()
            .map(|(_, record)| record.clone())
            .collect()
    }

    /// What was called so far.
    #[must_use]
    pub fn counts(&self) -> LogCounts {
        self.lock().counts
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic under this lock")
    }

    /// Appends what a commit publishes: all of it or, where the log is down, nothing.
    pub(super) fn append_in_step(&self, publish: &[Outgoing]) -> Result<Positions, StoreError> {
        let mut state = self.lock();
        if state.is_down {
            return Err(StoreError::Unavailable {
                what: "commit",
                source: because("the fake log is down"),
            });
        }
        let now = self.0.clock.now().wall;
        let identity = state.identity;
        let positions = publish.iter().map(|outgoing| {
            let home = identity.home_of(outgoing.home);
            let all = identity
                .all()
                .filter(|partition| outgoing.wide || *partition == home);
            all.map(|partition| state.push(partition, now, &outgoing.record))
                .collect()
        });
        let positions = positions.collect();
        self.0.changed.notify_waiters();
        Ok(positions)
    }
}

impl State {
    pub(super) fn refuse_if_down(&self, what: &'static str) -> Result<(), LogError> {
        if self.is_down {
            return Err(LogError::Unavailable {
                what,
                source: because("the fake log is down"),
            });
        }
        Ok(())
    }

    /// Whether all of `next` can be read from; fewer or more offsets than partitions cannot.
    pub(super) fn check(&self, next: &[u64]) -> Result<(), LogError> {
        let bounds: Vec<_> = self.slices.iter().map(Slice::bounds).collect();
        Bounds::check(&bounds, next)
    }

    fn push(&mut self, partition: LogPartition, now: Millis, record: &LogRecord) -> Position {
        let times = if self.copies > 0 { 2 } else { 1 };
        self.copies = self.copies.saturating_sub(1);
        let slice = &mut self.slices[partition.index()];
        let offset = slice.bounds().end;
        for _ in 0..times {
            slice.records.push_back((now, record.clone()));
            self.counts.appended += 1;
        }
        Position { partition, offset }
    }
}

#[async_trait]
impl Log for FakeLog {
    async fn identity(&self) -> Result<LogIdentity, LogError> {
        let state = self.lock();
        state.refuse_if_down("identity")?;
        Ok(state.identity)
    }

    async fn append(&self, partition: LogPartition, record: &LogRecord) -> Result<Position, LogError> {
        let stop = {
            let mut state = self.lock();
            state.counts.appends += 1;
            state.stops.pop_front()
        };
        if let Some(stop) = stop {
            stop.stand().await;
        }
        let mut state = self.lock();
        state.refuse_if_down("append")?;
        if partition.index() >= state.slices.len() {
            return Err(LogError::NoSuchPartition(partition));
        }
        let position = state.push(partition, self.0.clock.now().wall, record);
        self.0.changed.notify_waiters();
        if state.lost_answers > 0 {
            state.lost_answers -= 1;
            return Err(LogError::Unavailable {
                what: "append",
                source: because("the answer was lost"),
            });
        }
        Ok(position)
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        let state = self.lock();
        state.refuse_if_down("bounds")?;
        Ok(state.slices.iter().map(Slice::bounds).collect())
    }

    async fn tail(&self, from: TailFrom) -> Result<Box<dyn Tail>, LogError> {
        let mut state = self.lock();
        state.counts.tails += 1;
        state.refuse_if_down("tail")?;
        let next = match from {
            TailFrom::Oldest => state.slices.iter().map(|slice| slice.start).collect(),
            TailFrom::Offsets(offsets) => offsets,
        };
        state.check(&next)?;
        Ok(Box::new(FakeTail::new(self.clone(), next)))
    }

    fn kind(&self) -> &'static str {
        "fake"
    }
}

fn empty_slices(identity: LogIdentity) -> Vec<Slice> {
    identity.all().map(|_| Slice::default()).collect()
}

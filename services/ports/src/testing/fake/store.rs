//! The fake store: serializable per partition, fenced, with a journal that a failover takes back.
//!
//! **Invariant:** a commit happens under one lock, whole or not at all; the log's lock is only ever
//! taken inside the store's.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use curfew_core::place::{Incarnation, Partition, Position, Version};
use curfew_core::record::Outgoing;
use curfew_core::stored::{Key, Listed};
use curfew_core::time::Clock;

use super::because;
use super::held::{Held, Stop};
use super::log::FakeLog;
use super::state::State;
use crate::store::{Commit, CommitOutcome, Committed, KEYS_MAX, PAGE_MAX, Page, Store, StoreError, View};

/// Calls that a fake store has seen, refused ones included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreCounts {
    /// Reads.
    pub reads: u64,
    /// Commits, whatever their outcome.
    pub commits: u64,
    /// Commits that took effect.
    pub committed: u64,
    /// Pages of listings.
    pub lists: u64,
}

/// A store in memory. Clones are the same store.
#[derive(Clone, Debug)]
pub struct FakeStore {
    clock: Arc<dyn Clock>,
    log: Option<FakeLog>,
    state: Arc<Mutex<State>>,
}

impl FakeStore {
    /// An empty store that keeps an outbox, as Redis does.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            log: None,
            state: Arc::default(),
        }
    }

    /// The same, but what a commit publishes is appended in the same step, as the embedded engine does.
    /// A failover leaves the log as it is; [`FakeLog::truncate`] takes from it.
    #[must_use]
    pub fn with_log(clock: Arc<dyn Clock>, log: FakeLog) -> Self {
        Self {
            log: Some(log),
            ..Self::new(clock)
        }
    }

    /// Fails over to the state `lost` commits ago, under a new incarnation; a commit that wrote
    /// nothing leaves nothing to lose and is not counted. Answers how many were lost, which is less
    /// only where there were not as many.
    pub fn fail_over(&self, lost: usize) -> usize {
        self.lock().fail_over(lost)
    }

    /// The present incarnation.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.lock().incarnation
    }

    /// How far the store's clock is ahead of the one it was given, in ms; negative: behind.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.lock().skew_ms = skew_ms;
    }

    /// Nothing answers until [`Self::come_up`].
    pub fn go_down(&self) {
        self.lock().is_down = true;
    }

    /// Answers again.
    pub fn come_up(&self) {
        self.lock().is_down = false;
    }

    /// Reads answer, commits do not, without writes neither: a primary without its replicas (Q2).
    pub fn isolate(&self) {
        self.lock().is_isolated = true;
    }

    /// Has its replicas again.
    pub fn rejoin(&self) {
        self.lock().is_isolated = false;
    }

    /// The next `n` commits that would take effect conflict instead.
    pub fn conflict_next(&self, n: usize) {
        self.lock().conflicts = n;
    }

    /// The next `n` commits that take effect answer `Unavailable` all the same: outcome unknown.
    pub fn lose_answers(&self, n: usize) {
        self.lock().lost_answers = n;
    }

    /// Holds the next commit before it takes effect: a request that is slow to arrive.
    #[must_use]
    pub fn delay_next(&self) -> Held {
        let (stop, held) = Stop::new();
        self.lock().stops_before.push_back(stop);
        held
    }

    /// Holds the next commit that takes effect after it did: an answer that is slow to arrive.
    #[must_use]
    pub fn delay_next_answer(&self) -> Held {
        let (stop, held) = Stop::new();
        self.lock().stops_after.push_back(stop);
        held
    }

    /// Collects all records whose time has come; otherwise the fake never does. Answers how many.
    pub fn collect(&self) -> usize {
        let mut state = self.lock();
        let (now, before) = (state.time(&*self.clock), state.cells.len());
        state
            .cells
            .retain(|_, cell| cell.collect_at.is_none_or(|at| at > now));
        before - state.cells.len()
    }

    /// What was called so far.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }

    /// The commit itself: refused or made true in one step.
    fn apply(&self, commit: &Commit) -> Result<(CommitOutcome, Option<Arc<Stop>>), StoreError> {
        let mut state = self.lock();
        state.refuse_if_down("commit")?;
        if state.is_isolated {
            return Err(StoreError::Refused {
                what: "commit",
                source: because("the fake is isolated"),
            });
        }
        let store_time = state.time(&*self.clock);
        if let Some(refusal) = state.refusal(commit, store_time) {
            return Ok((refusal, None));
        }
        let positions = match &self.log {
            Some(log) => Some(log.append_in_step(&commit.publish)?),
            None => None,
        };
        let version = Version::new(commit.incarnation, commit.nonce);
        state.write(commit, version, positions.is_none());
        state.counts.committed += 1;
        if state.lost_answers > 0 {
            state.lost_answers -= 1;
            return Err(StoreError::Unavailable {
                what: "commit",
                source: because("the answer was lost"),
            });
        }
        let stop = state.stops_after.pop_front();
        Ok((CommitOutcome::Committed(Committed { version, positions }), stop))
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn read(&self, partition: Partition, keys: &[Key]) -> Result<View, StoreError> {
        let mut state = self.lock();
        state.counts.reads += 1;
        if keys.len() > KEYS_MAX {
            return Err(StoreError::Limit {
                what: "keys of a read",
            });
        }
        state.refuse_if_down("read")?;
        let values = keys.iter().map(|key| {
            let cell = state.cells.get(&(partition, key.to_bytes()));
            cell.map(|cell| cell.value.clone())
        });
        Ok(View {
            incarnation: state.incarnation,
            store_time: state.time(&*self.clock),
            values: values.collect(),
        })
    }

    async fn commit(&self, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let stop = {
            let mut state = self.lock();
            state.counts.commits += 1;
            state.stops_before.pop_front()
        };
        if let Some(stop) = stop {
            stop.stand().await;
        }
        check_limits(&commit)?;
        let (outcome, stop) = self.apply(&commit)?;
        if let Some(stop) = stop {
            stop.stand().await;
        }
        Ok(outcome)
    }

    async fn list(
        &self,
        partition: Partition,
        listed: Listed,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let mut state = self.lock();
        state.counts.lists += 1;
        if limit == 0 || limit > PAGE_MAX {
            return Err(StoreError::Limit {
                what: "records of a page",
            });
        }
        state.refuse_if_down("list")?;
        let after = |bytes: &[u8]| cursor.as_deref().is_none_or(|cursor| bytes > cursor);
        let mut rest = state
            .cells
            .range((partition, Vec::new())..)
            .take_while(|((of, _), _)| *of == partition)
            .filter(|((_, bytes), cell)| cell.key.listed() == Some(listed) && after(bytes));
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let last = page.last().map(|((_, bytes), _)| bytes.clone());
        let next = rest.next().and(last);
        let records = page
            .into_iter()
            .map(|(_, cell)| (cell.key.clone(), cell.value.clone()));
        Ok(Page {
            records: records.collect(),
            next,
        })
    }

    fn is_log(&self) -> bool {
        self.log.is_some()
    }

    fn kind(&self) -> &'static str {
        "fake"
    }
}

fn check_limits(commit: &Commit) -> Result<(), StoreError> {
    if commit.expected.len() > KEYS_MAX || commit.writes.len() > KEYS_MAX || commit.publish.len() > KEYS_MAX {
        return Err(StoreError::Limit {
            what: "keys of a commit",
        });
    }
    let is_event = |outgoing: &Outgoing| outgoing.record.event_id().is_some();
    if !commit.publish.iter().all(is_event) {
        return Err(StoreError::Limit {
            what: "only records with an id of their own are published by a commit",
        });
    }
    Ok(())
}

/// Where each published record lies.
pub(super) type Positions = Vec<Vec<Position>>;

//! What the fake store holds: records, the journal of its commits, and the orders of the test.
//!
//! **Invariant:** what the journal takes back is exactly what one commit changed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use curfew_core::mac::sha256;
use curfew_core::place::{Incarnation, Partition, Version};
use curfew_core::stored::{Key, OutboxEntry, Record, Write};
use curfew_core::time::{Clock, DELTA_MS, Millis};

use super::because;
use super::held::Stop;
use super::store::StoreCounts;
use crate::store::{Commit, CommitOutcome, StoreError, Versioned};

/// Commits that a failover can take back: a test of 100,000 refreshes, at some 500 B each, 50 MB.
const JOURNAL_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct State {
    pub(super) incarnation: Incarnation,
    pub(super) incarnations: u64,
    pub(super) cells: BTreeMap<(Partition, Vec<u8>), Cell>,
    pub(super) journal: VecDeque<Undo>,
    pub(super) skew_ms: i64,
    pub(super) is_down: bool,
    pub(super) is_isolated: bool,
    pub(super) conflicts: usize,
    pub(super) lost_answers: usize,
    pub(super) stops_before: VecDeque<Arc<Stop>>,
    pub(super) stops_after: VecDeque<Arc<Stop>>,
    pub(super) counts: StoreCounts,
}

#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) key: Key,
    pub(super) value: Versioned,
    pub(super) collect_at: Option<Millis>,
}

/// What was there before one commit.
pub(super) type Undo = Vec<((Partition, Vec<u8>), Option<Cell>)>;

impl Default for State {
    fn default() -> Self {
        Self {
            incarnation: nth_incarnation(1),
            incarnations: 1,
            cells: BTreeMap::new(),
            journal: VecDeque::new(),
            skew_ms: 0,
            is_down: false,
            is_isolated: false,
            conflicts: 0,
            lost_answers: 0,
            stops_before: VecDeque::new(),
            stops_after: VecDeque::new(),
            counts: StoreCounts::default(),
        }
    }
}

impl State {
    /// See [`FakeStore::fail_over`](super::FakeStore::fail_over).
    pub(super) fn fail_over(&mut self, lost: usize) -> usize {
        let lost = lost.min(self.journal.len());
        for _ in 0..lost {
            for (place, before) in self.journal.pop_back().unwrap_or_default().into_iter().rev() {
                match before {
                    Some(cell) => self.cells.insert(place, cell),
                    None => self.cells.remove(&place),
                };
            }
        }
        self.incarnations += 1;
        self.incarnation = nth_incarnation(self.incarnations);
        lost
    }

    pub(super) fn time(&self, clock: &dyn Clock) -> Millis {
        clock.now().wall.plus_ms(self.skew_ms)
    }

    pub(super) fn refuse_if_down(&self, what: &'static str) -> Result<(), StoreError> {
        if self.is_down {
            return Err(StoreError::Unavailable {
                what,
                source: because("the fake is down"),
            });
        }
        Ok(())
    }

    pub(super) fn refusal(&mut self, commit: &Commit, store_time: Millis) -> Option<CommitOutcome> {
        if commit.incarnation != self.incarnation {
            return Some(CommitOutcome::Fenced);
        }
        if commit.now.ms_since(store_time).abs() > DELTA_MS {
            return Some(CommitOutcome::ClockSuspect { store_time });
        }
        let is_as_expected = commit.expected.iter().all(|(key, version)| {
            let cell = self.cells.get(&(commit.partition, key.to_bytes()));
            cell.map(|cell| cell.value.version) == *version
        });
        if !is_as_expected {
            return Some(CommitOutcome::Conflict);
        }
        if self.conflicts > 0 {
            self.conflicts -= 1;
            return Some(CommitOutcome::Conflict);
        }
        None
    }

    pub(super) fn write(&mut self, commit: &Commit, version: Version, keeps_outbox: bool) {
        let outbox = commit
            .publish
            .iter()
            .filter(|_| keeps_outbox)
            .filter_map(|outgoing| {
                let entry = OutboxEntry {
                    outgoing: outgoing.clone(),
                    at: commit.now,
                    lacking: Vec::new(),
                };
                let id = outgoing.record.event_id()?;
                Some((Key::Outbox(id), Write::put(Record::Outbox(entry))))
            });
        let mut undo = Undo::new();
        for (key, write) in commit.writes.iter().cloned().chain(outbox) {
            let place = (commit.partition, key.to_bytes());
            let before = match write {
                Write::Put { record, collect_at } => {
                    let cell = Cell {
                        key,
                        value: Versioned { version, record },
                        collect_at,
                    };
                    self.cells.insert(place.clone(), cell)
                }
                Write::Delete => self.cells.remove(&place),
            };
            undo.push((place, before));
        }
        if undo.is_empty() {
            return;
        }
        if self.journal.len() == JOURNAL_MAX {
            self.journal.pop_front();
        }
        self.journal.push_back(undo);
    }
}

/// Never the same twice in one store, and the same in every run of a seeded test.
fn nth_incarnation(n: u64) -> Incarnation {
    let [a, b, c, d, e, f, g, h, ..] = sha256(&[b"fake incarnation".as_slice(), &n.to_be_bytes()].concat());
    Incarnation([a, b, c, d, e, f, g, h])
}

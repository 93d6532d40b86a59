//! What the log said lately, by id: for "why?", for lists, for positions of a revocation.
//!
//! **Invariant:** a memory of the retained log, bounded; no decision stands on it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use curfew_core::follow::Applied;
use curfew_core::ids::{RecordId, TenantId};
use curfew_core::place::{LogPartition, Position};
use curfew_core::record::Revocation;
use curfew_core::time::Millis;
use curfew_ports::log::LogEntry;
use tokio::sync::Notify;

/// Revocations that are remembered; at ~700 B each, 70 MB (a wide one takes 24 B more for each partition).
const REMEMBERED_MAX: usize = 100_000;
/// Copies of one revocation whose places are remembered: one in each log partition, M being 1,024 at most.
/// Living wide marks are appended again and again, at 16 B a copy.
const POSITIONS_MAX: usize = 1_024;
/// Other events of which it is remembered that the log has them, for the relay; at ~100 B each, 1 MB.
const OTHERS_MAX: usize = 10_000;

/// A revocation and where its copies lie.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    /// The record.
    pub revocation: Arc<Revocation>,
    /// Where it was read first in each log partition.
    pub positions: Vec<Position>,
    /// The log's time of the first copy.
    pub appended_at: Millis,
    /// When this node read the newest of these copies: the log had them no later than that.
    pub read_at: Millis,
}

#[derive(Debug, Default)]
struct Memory {
    by_id: HashMap<RecordId, JournalEntry>,
    order: VecDeque<RecordId>,
    others: HashMap<RecordId, LogPartition>,
    order_of_others: VecDeque<RecordId>,
}

impl Memory {
    /// Directory records and subject states lie in one partition each.
    fn note_other(&mut self, id: RecordId, partition: LogPartition) {
        if self.others.insert(id, partition).is_none() {
            self.order_of_others.push_back(id);
        }
        if self.order_of_others.len() > OTHERS_MAX
            && let Some(oldest) = self.order_of_others.pop_front()
        {
            self.others.remove(&oldest);
        }
    }
}

/// The memory.
#[derive(Debug, Default)]
pub struct Journal {
    memory: Mutex<Memory>,
    grew: Notify,
    heard: AtomicU64,
}

impl Journal {
    pub(crate) fn note(&self, entry: &LogEntry, applied: &Applied, now: Millis) {
        let Applied::Revocation(revocation) = applied else {
            if let (Applied::Other, Some(id)) = (applied, entry.record.event_id()) {
                let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.note_other(id, entry.position.partition);
            }
            return;
        };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !memory.by_id.contains_key(&revocation.id);
        let known = memory.by_id.entry(revocation.id).or_insert_with(|| JournalEntry {
            revocation: revocation.clone(),
            positions: Vec::new(),
            appended_at: entry.appended_at,
            read_at: now,
        });
        let is_known = known
            .positions
            .iter()
            .any(|known| known.partition == entry.position.partition);
        // The first copy of each partition says all: a later one lies behind it.
        if !is_known && known.positions.len() < POSITIONS_MAX {
            // In order of the partitions, as whoever appended it tells them.
            let before = |known: &Position| known.partition < entry.position.partition;
            let place = known.positions.partition_point(before);
            known.positions.insert(place, entry.position);
            known.read_at = now;
        }
        if is_new {
            memory.order.push_back(revocation.id);
        }
        if memory.order.len() > REMEMBERED_MAX
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.by_id.remove(&oldest);
        }
        drop(memory);
        self.heard.fetch_add(1, Ordering::Relaxed);
        self.grew.notify_waiters();
    }

    /// Forgets everything: the log is read again, and may be another one.
    pub(crate) fn forget(&self) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = Memory::default();
    }

    /// The revocation of this id, if it was read and is remembered.
    #[must_use]
    pub fn get(&self, id: RecordId) -> Option<JournalEntry> {
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .get(&id)
            .cloned()
    }

    /// Whether a copy of this event was read in this log partition, as far as is remembered.
    pub(crate) fn has_read(&self, id: RecordId, partition: LogPartition) -> bool {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let lies_there = |entry: &JournalEntry| {
            let mut positions = entry.positions.iter();
            positions.any(|position| position.partition == partition)
        };
        memory.by_id.get(&id).is_some_and(lies_there) || memory.others.get(&id) == Some(&partition)
    }

    /// Every revocation that is remembered and may still cover a token.
    pub(crate) fn living(&self, now: Millis) -> Vec<Arc<Revocation>> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = memory.by_id.values().map(|entry| &entry.revocation);
        entries
            .filter(|revocation| revocation.keep_until >= now)
            .cloned()
            .collect()
    }

    /// The tenant's revocations, newest first, after the one named by the cursor.
    #[must_use]
    pub fn list(
        &self,
        tenant: TenantId,
        after: Option<RecordId>,
        limit: usize,
        keep: impl Fn(&JournalEntry) -> bool,
    ) -> Vec<JournalEntry> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids = memory.order.iter().rev();
        if let Some(after) = after {
            ids.by_ref().find(|id| **id == after);
        }
        ids.filter_map(|id| memory.by_id.get(id))
            .filter(|entry| entry.revocation.tenant == tenant && keep(entry))
            .take(limit)
            .cloned()
            .collect()
    }

    /// How many revocations were read, copies included.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Waits until more revocations were read than so many.
    pub(crate) async fn grown_beyond(&self, heard: u64) {
        self.wait_until(|| (self.heard() != heard).then_some(())).await;
    }

    /// Waits until the revocation was read from the log, without end: whoever waits has a deadline of its own.
    pub async fn wait_for(&self, id: RecordId) -> JournalEntry {
        self.wait_until(|| self.get(id)).await
    }

    /// The same for so many copies of it: a wide one lies in every log partition.
    pub async fn wait_for_copies(&self, id: RecordId, copies: impl Fn(&Revocation) -> usize) -> JournalEntry {
        let is_whole = |entry: &JournalEntry| entry.positions.len() >= copies(&entry.revocation);
        self.wait_until(|| self.get(id).filter(is_whole)).await
    }

    async fn wait_until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        loop {
            let grew = self.grew.notified();
            tokio::pin!(grew);
            // Enabled before looking, so that a note between look and wait is not missed.
            grew.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            grew.await;
        }
    }
}

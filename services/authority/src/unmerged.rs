//! What the log said that the store may not know yet: each partition's records past its checkpoint.
//!
//! **Invariant:** from `since` on nothing is missing; whoever needs older ones reads the log again.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use curfew_core::decide::merge;
use curfew_core::ids::{OperationId, TenantId};
use curfew_core::place::{LogIdentity, LogPartition, PARTITIONS, Partition};
use curfew_core::record::LogRecord;
use curfew_ports::log::LogEntry;

/// Records that are kept, of all partitions: at some 700 B each, 140 MB. Checkpoints move every 30 s, so that is a
/// load of 3,000 revocations a second; beyond, the oldest go, and are read again where they are needed.
const KEPT_MAX: usize = 200_000;

/// One partition's records, in order of their offsets.
#[derive(Debug, Default)]
struct Kept {
    // From here on nothing is missing; `None`: nothing was read yet.
    since: Option<u64>,
    // The checkpoint that was seen last: a failover may bring back the one before it, and no earlier one as a rule.
    seen: u64,
    records: VecDeque<(u64, LogRecord)>,
}

impl Kept {
    fn forget_below(&mut self, offset: u64) -> usize {
        let before = self.records.len();
        while self.records.front().is_some_and(|(at, _)| *at < offset) {
            self.records.pop_front();
        }
        self.since = self.since.map(|since| since.max(offset));
        before - self.records.len()
    }
}

#[derive(Debug)]
struct Memory {
    partitions: Vec<Kept>,
    len: usize,
}

/// The records past the checkpoints.
#[derive(Debug)]
pub(crate) struct Unmerged {
    memory: Mutex<Memory>,
    most: usize,
}

impl Default for Unmerged {
    fn default() -> Self {
        Self::of(KEPT_MAX)
    }
}

impl Unmerged {
    fn of(most: usize) -> Self {
        let partitions = (0..PARTITIONS).map(|_| Kept::default()).collect();
        let memory = Mutex::new(Memory { partitions, len: 0 });
        Self { memory, most }
    }

    /// A log partition is read from this offset on, for the first time or again.
    pub(crate) fn begin(&self, log: LogIdentity, partition: LogPartition, offset: u64) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let homes = Partition::all().filter(|home| log.home_of(*home) == partition);
        for home in homes {
            let Some(kept) = memory.partitions.get_mut(usize::from(home.number())) else {
                continue;
            };
            let gone = std::mem::take(&mut kept.records).len();
            kept.since = Some(offset.max(kept.seen));
            memory.len = memory.len.saturating_sub(gone);
        }
    }

    /// Another log is followed, from these offsets on: what lies before them is read again where it is needed.
    pub(crate) fn begin_anew(&self, log: LogIdentity, next: &[u64]) {
        {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            for kept in &mut memory.partitions {
                kept.seen = 0;
            }
        }
        for (partition, next) in log.all().zip(next) {
            self.begin(log, partition, *next);
        }
    }

    /// Keeps an entry that was applied, where its home's store may lack it.
    pub(crate) fn note(&self, log: LogIdentity, entry: &LogEntry) {
        let Some((home, _)) = merge::home_of(&entry.record) else {
            return;
        };
        // A wide record lies in every log partition; its home's copy is the one that counts.
        if log.home_of(home) != entry.position.partition {
            return;
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = memory.partitions.get_mut(usize::from(home.number())) else {
            return;
        };
        let offset = entry.position.offset;
        if kept.since.is_none_or(|since| offset < since) {
            return;
        }
        kept.records.push_back((offset, entry.record.clone()));
        memory.len += 1;
        if memory.len > self.most {
            memory.make_room();
        }
    }

    /// A partition's checkpoint lies here: what is below the one before it is forgotten.
    pub(crate) fn checkpoint(&self, partition: Partition, offset: u64) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = memory.partitions.get_mut(usize::from(partition.number())) else {
            return;
        };
        let gone = kept.forget_below(kept.seen.min(offset));
        kept.seen = offset;
        memory.len = memory.len.saturating_sub(gone);
    }

    /// A partition's records from `from` to before `to`; `None`: older ones are needed than are kept.
    pub(crate) fn between(&self, partition: Partition, from: u64, to: u64) -> Option<Vec<(u64, LogRecord)>> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = memory.partitions.get(usize::from(partition.number()))?;
        if kept.since.is_none_or(|since| from < since) {
            return None;
        }
        let records = kept.records.iter();
        let wanted = records.filter(|(offset, _)| (from..to).contains(offset));
        Some(wanted.cloned().collect())
    }

    /// The records that an operation has written already, as far as they are kept.
    pub(crate) fn of_operation(
        &self,
        partition: Partition,
        tenant: TenantId,
        id: OperationId,
    ) -> Vec<LogRecord> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = memory.partitions.get(usize::from(partition.number()));
        let records = kept.into_iter().flat_map(|kept| kept.records.iter());
        let is_its = |record: &&(u64, LogRecord)| match &record.1 {
            LogRecord::Revocation(one) => one.tenant == tenant && one.operation.is_some_and(|o| o.id == id),
            LogRecord::SubjectState(one) => one.tenant == tenant && one.operation.is_some_and(|o| o.id == id),
            LogRecord::Directory(_)
            | LogRecord::Heartbeat(_)
            | LogRecord::Skip(_)
            | LogRecord::Unknown(_)
            | LogRecord::Withheld => false,
        };
        records.filter(is_its).map(|(_, record)| record.clone()).collect()
    }

    /// Whether a partition has records past this offset.
    pub(crate) fn has_any(&self, partition: Partition, from: u64) -> bool {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = memory.partitions.get(usize::from(partition.number()));
        kept.is_some_and(|kept| kept.records.back().is_some_and(|(offset, _)| *offset >= from))
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).len
    }
}

impl Memory {
    /// The partition that has most forgets half of it.
    fn make_room(&mut self) {
        let Some(kept) = self.partitions.iter_mut().max_by_key(|kept| kept.records.len()) else {
            return;
        };
        let half = kept
            .records
            .get(kept.records.len() / 2)
            .map(|(offset, _)| *offset);
        if let Some(half) = half {
            self.len = self.len.saturating_sub(kept.forget_below(half));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_core::ids::{Cause, RecordId, SubjectId, SubjectKey};
    use curfew_core::place::Position;
    use curfew_core::record::{SubjectChange, SubjectState};
    use curfew_core::time::Millis;
    use std::sync::Arc;

    const LOG: LogIdentity = match LogIdentity::new([1; 16], 4) {
        Some(log) => log,
        None => panic!("4 divides N"),
    };

    fn entry(home: u16, offset: u64) -> LogEntry {
        let partition = Partition::new(home).unwrap();
        let state = SubjectState {
            id: RecordId::from_bytes([0; 16]),
            operation: None,
            tenant: TenantId::from_bytes([0; 16]),
            subject: SubjectId::new("ada").unwrap(),
            subject_key: SubjectKey([0; 8]),
            partition,
            sequence: offset,
            incarnation: None,
            change: SubjectChange::Disable,
            decided_at: Millis::ZERO,
            cause: Cause::new("test").unwrap(),
            trace: None,
        };
        LogEntry {
            position: Position {
                partition: LOG.home_of(partition),
                offset,
            },
            appended_at: Millis::ZERO,
            record: LogRecord::SubjectState(Arc::new(state)),
        }
    }

    fn offsets(unmerged: &Unmerged, home: u16, from: u64) -> Option<Vec<u64>> {
        let records = unmerged.between(Partition::new(home).unwrap(), from, u64::MAX)?;
        Some(records.iter().map(|(offset, _)| *offset).collect())
    }

    #[test]
    fn what_lies_past_the_last_checkpoint_but_one_is_there_whole() {
        let unmerged = Unmerged::default();
        assert_eq!(offsets(&unmerged, 1, 0), None, "nothing was read yet");
        unmerged.begin(LOG, LogPartition(1), 10);
        for (home, offset) in [(1, 10), (5, 11), (1, 12), (1, 13)] {
            unmerged.note(LOG, &entry(home, offset));
        }
        assert_eq!(offsets(&unmerged, 1, 10), Some(vec![10, 12, 13]));
        assert_eq!(offsets(&unmerged, 5, 10), Some(vec![11]));
        assert_eq!(offsets(&unmerged, 1, 9), None, "older than what was read");
        let home = Partition::new(1).unwrap();
        unmerged.checkpoint(home, 12);
        assert_eq!(
            offsets(&unmerged, 1, 10),
            Some(vec![10, 12, 13]),
            "a failover may bring back the one before"
        );
        unmerged.checkpoint(home, 14);
        assert_eq!(offsets(&unmerged, 1, 12), Some(vec![12, 13]));
        assert_eq!(offsets(&unmerged, 1, 10), None);
        assert!(!unmerged.has_any(home, 14));
        unmerged.begin(LOG, LogPartition(1), 0);
        assert_eq!(
            offsets(&unmerged, 1, 14),
            Some(vec![]),
            "read again from the beginning"
        );
    }

    #[test]
    fn beyond_the_bound_the_oldest_go_and_are_known_to_be_gone() {
        let unmerged = Unmerged::of(8);
        unmerged.begin(LOG, LogPartition(1), 0);
        for offset in 0..9 {
            unmerged.note(LOG, &entry(1, offset));
        }
        assert!(unmerged.len() <= 8);
        assert_eq!(offsets(&unmerged, 1, 0), None);
        assert_eq!(offsets(&unmerged, 1, 4), Some(vec![4, 5, 6, 7, 8]));
    }
}

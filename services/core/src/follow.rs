//! How a follower applies the log: guards, hubs and authorities run this code on the same records.
//!
//! Each log partition has a state: its index, how far it was applied, its newest heartbeat, and
//! whether it is frozen. A token is judged by the one partition of its number.
//!
//! **Invariant 12 (G1):** a partition is fresh only while its newest heartbeat, stamped no more
//! than ε ahead, is younger than X by the wall clock *and* by the boot clock; a record that cannot
//! be read freezes it, though later records still apply.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::ids::RecordId;
use crate::index::{Index, LayeredIndex};
use crate::place::{LogIdentity, LogPartition, Partition, Position};
use crate::record::{Heartbeat, LogRecord, Revocation};
use crate::time::{EPSILON_MS, Millis, Now};

/// Heartbeats that a reader remembers, to compare an emitter's view with its own.
const HEARTBEATS_MAX: usize = 64;
/// Unknown records that a reader keeps as bytes for its snapshot; beyond, only the freeze stays.
const RAW_MAX: usize = 1_024;

/// Why a partition's freshness is frozen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frozen {
    /// Where the record lies.
    pub offset: u64,
    /// SHA-256 of it, so that a skip names the right one.
    pub record_hash: [u8; 32],
    /// Why it cannot be read.
    pub why: Arc<str>,
}

/// Why a reader must begin again from a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reload {
    /// The log is another one.
    #[error("the log has another identity")]
    OtherLog,
    /// Records were skipped or history was changed.
    #[error("log partition {partition:?} at {offset}: {what}")]
    History {
        /// The log partition.
        partition: LogPartition,
        /// Where it was noticed.
        offset: u64,
        /// What was noticed.
        what: &'static str,
    },
}

/// The newest heartbeat, as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Beat {
    stamp: Millis,
    read_at: Now,
}

/// One log partition, as a follower knows it.
#[derive(Clone, Debug, Default)]
pub struct PartitionState {
    /// The marks.
    pub index: LayeredIndex,
    /// The next offset to be applied; `None`: nothing yet.
    pub next: Option<u64>,
    /// The oldest unreadable record that was not skipped, if there is one.
    pub frozen: Option<Frozen>,
    // Those behind it, oldest first: each must be skipped by its own hash.
    frozen_behind: VecDeque<Frozen>,
    // More than can be named: only a reload thaws.
    frozen_for_good: bool,
    /// Records kept as bytes, for a snapshot.
    pub raw: Vec<Arc<[u8]>>,
    beat: Option<Beat>,
    // Everything from the first offset of all was read: whatever a heartbeat names must be among it.
    is_whole: bool,
    // (id, records between it and the one before it), newest last.
    heartbeats: VecDeque<(RecordId, Option<u64>)>,
    since_heartbeat: u64,
    ahead: u64,
    // Since the newest heartbeat of this log, or since the beginning, there was one of another.
    names_another_log: bool,
}

impl PartitionState {
    /// Age of what this partition proves, ms: the larger of wall-clock and boot-clock age.
    #[must_use]
    pub fn age_ms(&self, now: Now) -> Option<i64> {
        let beat = self.beat?;
        let wall = now.wall.ms_since(beat.stamp);
        // What had passed when it was read cannot be less than nothing, whatever the clocks say.
        let passed = beat.read_at.wall.ms_since(beat.stamp).max(0);
        Some(wall.max(passed.saturating_add(now.boot_ms.saturating_sub(beat.read_at.boot_ms))))
    }

    /// Whether a token may be admitted on what this partition proves.
    #[must_use]
    pub fn is_fresh(&self, now: Now, bound_ms: i64) -> bool {
        self.frozen.is_none() && self.age_ms(now).is_some_and(|age| age < bound_ms)
    }

    /// The stamp of the newest heartbeat that counted.
    #[must_use]
    pub fn newest_stamp(&self) -> Option<Millis> {
        self.beat.map(|beat| beat.stamp)
    }

    /// Heartbeats that came from a clock too far ahead; an alarm.
    #[must_use]
    pub const fn heartbeats_ahead(&self) -> u64 {
        self.ahead
    }

    /// Whether the newest heartbeat that was read is of another log.
    #[must_use]
    pub const fn names_another_log(&self) -> bool {
        self.names_another_log
    }

    /// The newest heartbeat read here, and the records between it and the one before: what an
    /// emitter writes into its own.
    #[must_use]
    pub fn last_heartbeat(&self) -> Option<(RecordId, u64)> {
        self.heartbeats
            .back()
            .and_then(|(id, between)| Some((*id, (*between)?)))
    }

    /// Every unreadable record that was not skipped and can be named, oldest first.
    pub fn all_frozen(&self) -> impl Iterator<Item = &Frozen> {
        self.frozen.iter().chain(&self.frozen_behind)
    }

    fn freeze(&mut self, frozen: Frozen) {
        if self.frozen.is_none() {
            self.frozen = Some(frozen);
        } else if self.frozen_behind.len() < RAW_MAX {
            self.frozen_behind.push_back(frozen);
        } else {
            self.frozen_for_good = true;
        }
    }

    fn thaw(&mut self, is_named: impl Fn(&Frozen) -> bool) {
        self.frozen_behind.retain(|frozen| !is_named(frozen));
        if self.frozen.as_ref().is_some_and(&is_named) {
            // What lies beyond memory stays frozen under the name of the last that was known.
            let next = self.frozen_behind.pop_front();
            if next.is_some() || !self.frozen_for_good {
                self.frozen = next;
            }
        }
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat, now: Now) -> Result<(), &'static str> {
        // A heartbeat that was under way for long names what is forgotten here by now; the newer ones
        // before it were compared, and it proves nothing that they do not.
        let is_late = self.beat.is_some_and(|beat| beat.stamp > heartbeat.stamp);
        if let Some(previous) = heartbeat.previous.filter(|_| !is_late) {
            let known = self.heartbeats.iter().find(|(id, _)| *id == previous.id);
            match known {
                Some((_, Some(between))) if *between != previous.records_between => {
                    return Err("an emitter read another number of records");
                }
                // With a full memory of heartbeats the emitter's must be among them; and so must it be where nothing
                // lay before what was read: a topic that was made again begins with heartbeats of nodes that have
                // read the one before it.
                None if self.is_whole || self.heartbeats.len() == HEARTBEATS_MAX => {
                    return Err("an emitter read a heartbeat that is not here");
                }
                Some(_) | None => {}
            }
        }
        let between = (!self.heartbeats.is_empty()).then_some(self.since_heartbeat);
        if self.heartbeats.len() == HEARTBEATS_MAX {
            self.heartbeats.pop_front();
        }
        self.heartbeats.push_back((heartbeat.id, between));
        self.since_heartbeat = 0;
        if heartbeat.stamp.ms_since(now.wall) > EPSILON_MS {
            self.ahead += 1;
            return Ok(());
        }
        if self.frozen.is_none() && self.beat.is_none_or(|beat| beat.stamp < heartbeat.stamp) {
            self.beat = Some(Beat {
                stamp: heartbeat.stamp,
                read_at: now,
            });
        }
        Ok(())
    }
}

/// What applying an entry did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Applied {
    /// A revocation was joined.
    Revocation(Arc<Revocation>),
    /// Something else was read.
    Other,
    /// A copy of what was applied before, or older: nothing.
    Seen,
    /// The partition is frozen by this record.
    Froze,
}

/// All partitions of one log, shared by the one that applies and the many that ask.
///
/// Asking takes no lock: a reader loads the partition's state and keeps it whole while it asks.
#[derive(Debug)]
pub struct Follower {
    // Another one once a lost log was replaced; M stays.
    log: ArcSwap<LogIdentity>,
    partitions: Vec<ArcSwap<PartitionState>>,
    // Writers replace a state by one made from it: two at once would undo each other's work.
    writing: Mutex<()>,
}

impl Follower {
    /// A follower that has read nothing.
    #[must_use]
    pub fn new(log: LogIdentity) -> Self {
        Self {
            log: ArcSwap::from_pointee(log),
            partitions: log.all().map(|_| ArcSwap::default()).collect(),
            writing: Mutex::new(()),
        }
    }

    /// The log that it follows.
    #[must_use]
    pub fn log(&self) -> LogIdentity {
        **self.log.load()
    }

    /// Follows another log, with every mark that is known: a record denies for as long as it lives, wherever it was
    /// read. What the old log's heartbeats proved is forgotten.
    ///
    /// `false`: that log has another number of partitions, and nothing was done.
    pub fn adopt(&self, log: LogIdentity) -> bool {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if log.partitions != self.log().partitions {
            return false;
        }
        self.log.store(Arc::new(log));
        for shared in &self.partitions {
            let mut state = PartitionState::clone(&shared.load());
            state.beat = None;
            state.is_whole = false;
            state.heartbeats.clear();
            state.since_heartbeat = 0;
            shared.store(Arc::new(state));
        }
        true
    }

    /// The state that judges tokens of this store partition.
    #[must_use]
    pub fn of(&self, partition: Partition) -> Option<Guard<Arc<PartitionState>>> {
        self.state(self.log().home_of(partition))
    }

    /// The state of a log partition.
    #[must_use]
    pub fn state(&self, partition: LogPartition) -> Option<Guard<Arc<PartitionState>>> {
        self.partitions.get(partition.index()).map(ArcSwap::load)
    }

    /// The next offset of every partition, where all are known.
    #[must_use]
    pub fn positions(&self) -> Option<Vec<u64>> {
        self.partitions
            .iter()
            .map(|partition| partition.load().next)
            .collect()
    }

    /// How many elements all partitions hold.
    #[must_use]
    pub fn len(&self) -> usize {
        self.partitions
            .iter()
            .map(|partition| partition.load().index.len())
            .sum()
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every partition is fresh.
    #[must_use]
    pub fn is_fresh(&self, now: Now, bound_ms: i64) -> bool {
        self.partitions
            .iter()
            .all(|partition| partition.load().is_fresh(now, bound_ms))
    }

    /// Replaces a partition's state by a snapshot's; the tail from `next` follows.
    pub fn load_snapshot(
        &self,
        partition: LogPartition,
        index: Index,
        next: u64,
        frozen: Option<Frozen>,
        raw: Vec<Arc<[u8]>>,
    ) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = self.partitions.get(partition.index()) {
            let index = LayeredIndex::from_base(index);
            state.store(Arc::new(PartitionState {
                index,
                next: Some(next),
                is_whole: next == 0,
                frozen,
                raw,
                ..PartitionState::default()
            }));
        }
    }

    /// Applies one entry. One applier at a time; in the order of the partition.
    pub fn apply(&self, position: Position, record: &LogRecord, now: Now) -> Result<Applied, Reload> {
        let history = |what| Reload::History {
            partition: position.partition,
            offset: position.offset,
            what,
        };
        let Some(shared) = self.partitions.get(position.partition.index()) else {
            return Err(Reload::OtherLog);
        };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let present = shared.load();
        if present.next.is_some_and(|next| position.offset < next) {
            return Ok(Applied::Seen);
        }
        if present.next.is_some_and(|next| position.offset > next) {
            return Err(history("records are missing"));
        }
        let mut state = PartitionState::clone(&present);
        state.is_whole |= state.next.is_none() && position.offset == 0;
        state.next = Some(position.offset.saturating_add(1));
        let applied = match record {
            LogRecord::Heartbeat(heartbeat) => {
                if heartbeat.log == self.log() {
                    state.names_another_log = false;
                    state.heartbeat(heartbeat, now).map_err(history)?;
                } else if state.heartbeats.is_empty() {
                    // Before the first of its own a topic that was adopted may have some of the log that was lost;
                    // they prove nothing, and a reader that meets no other is never fresh.
                    state.since_heartbeat += 1;
                    state.names_another_log = true;
                } else {
                    return Err(Reload::OtherLog);
                }
                Applied::Other
            }
            LogRecord::Revocation(revocation) => {
                state.since_heartbeat += 1;
                if revocation.keep_until >= now.wall {
                    state.index.insert(revocation);
                }
                Applied::Revocation(revocation.clone())
            }
            LogRecord::Skip(skip) => {
                state.since_heartbeat += 1;
                let named = |frozen: &Frozen| {
                    skip.partition == position.partition
                        && frozen.offset == skip.offset
                        && frozen.record_hash == skip.record_hash
                };
                state.thaw(named);
                Applied::Other
            }
            LogRecord::SubjectState(_) | LogRecord::Directory(_) | LogRecord::Withheld => {
                state.since_heartbeat += 1;
                Applied::Other
            }
            LogRecord::Unknown(unknown) => {
                state.since_heartbeat += 1;
                if state.raw.len() < RAW_MAX {
                    state.raw.push(unknown.raw.clone());
                }
                state.freeze(Frozen {
                    offset: position.offset,
                    record_hash: crate::mac::sha256(&unknown.raw),
                    why: unknown.why.clone(),
                });
                Applied::Froze
            }
        };
        shared.store(Arc::new(state));
        Ok(applied)
    }

    /// Drops marks whose `keep_until` has passed.
    pub fn collect(&self, now: Millis) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for shared in &self.partitions {
            let mut state = PartitionState::clone(&shared.load());
            state.index.collect(now);
            shared.store(Arc::new(state));
        }
    }
}

#[cfg(test)]
mod tests;

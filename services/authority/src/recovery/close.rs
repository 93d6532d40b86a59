//! One partition: its records are merged, and one commit says how far.
//!
//! **Invariant:** what must be merged is decided against the incarnation of the commit that moves the checkpoint past
//! it; every commit here compares the partition's record, so none of two histories closes the other's work.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use curfew_core::decide::floor;
use curfew_core::decide::merge::{self, At, Heard};
use curfew_core::ids::{RecordId, TenantId};
use curfew_core::place::{Incarnation, Partition, Version};
use curfew_core::record::LogRecord;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Checkpoint, Key, Listed, PartitionRecord, Record, Write};
use curfew_core::time::Millis;
use curfew_ports::store::{Commit, CommitOutcome, KEYS_MAX, PAGE_MAX};

use super::look::Looked;
use super::older::Older;
use crate::answer::{Answer, key_unavailable, log_is_behind, log_unavailable, store_unavailable};
use crate::node::Authority;
use crate::operation::Remembered;
use crate::seen::Seen;

/// Tries beside others that do the same, or that use the partition meanwhile.
const TRIES_MAX: u32 = 16;
/// The partition's own keys, which every commit here reads.
const OWN: [Key; 3] = [Key::Partition, Key::Sequence, Key::Checkpoint];
/// The longest life of a session where the directory is not known yet, ms: 400 days, longer than any tenant's.
const SESSION_LIFE_UNKNOWN_MS: i64 = 400 * 24 * 3_600_000;
/// A checkpoint that somebody moved within this time is left where it is, ms.
const MOVED_LATELY_MS: i64 = 10_000;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Aim {
    /// The partition opens for the present history.
    Open,
    /// Its checkpoint moves.
    Move,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closed {
    /// Done by this node.
    Now {
        /// Records that were merged.
        merged: usize,
    },
    /// Another node has done it.
    Before,
    /// Only an operator may; why.
    Lost(&'static str),
}

/// What was applied of a partition's log.
struct AppliedFrom {
    /// Up to here, and to before an unreadable record.
    to: u64,
    is_frozen: bool,
    /// `None`: this node does not keep all of them.
    records: Option<Vec<(u64, LogRecord)>>,
}

/// What one commit found.
enum Committed {
    Done,
    Again,
}

impl Authority {
    /// Merges what a partition lacks and closes with one commit.
    pub(super) async fn close(
        &self,
        looked: &Looked,
        aim: Aim,
        ends: &[u64],
        older: &Older,
    ) -> Answer<Closed> {
        let partition = looked.partition;
        let home = self.follower.log().home_of(partition);
        for _ in 0..TRIES_MAX {
            let seen = self.see(partition, &OWN).await?;
            let (Some(record), Some(checkpoint), Some(_)) =
                (seen.partition(), seen.checkpoint(), seen.sequence())
            else {
                return Ok(Closed::Lost("one of its records is not there"));
            };
            if record.log != self.follower.log() {
                return Ok(Closed::Lost("it has merged another log"));
            }
            match (aim, record.incarnation == seen.incarnation) {
                (Aim::Open, true) => return Ok(Closed::Before),
                (Aim::Move, false) => return Err(Refusal::new(Stage::Request, Reason::Fenced)),
                (Aim::Open, false) | (Aim::Move, true) => {}
            }
            if aim == Aim::Move && self.wall().ms_since(checkpoint.at) < MOVED_LATELY_MS {
                self.unmerged.checkpoint(partition, checkpoint.offset);
                return Ok(Closed::Before);
            }
            let from = checkpoint.offset;
            let applied = self.applied_from(partition, from);
            if aim == Aim::Open && applied.is_frozen {
                return Ok(Closed::Lost("an unreadable record is in the way"));
            }
            let mut to = applied.to;
            let records = match applied.records {
                Some(records) => records,
                None => {
                    let Some(stretch) = older.get(&partition) else {
                        // It moved meanwhile: the next round reads further back.
                        return Err(log_is_behind());
                    };
                    if from < stretch.from {
                        let bounds = self.parts.log.bounds().await.map_err(log_unavailable)?;
                        let is_gone = bounds.get(home.index()).is_none_or(|bounds| from < bounds.start);
                        match aim {
                            // Another failover has brought an earlier checkpoint back.
                            _ if !is_gone => return Err(log_is_behind()),
                            Aim::Open => {
                                return Ok(Closed::Lost("its checkpoint lies before the log's start"));
                            }
                            // It was open all the time: what the log still has is merged at least.
                            Aim::Move => tracing::error!(
                                ?partition,
                                from,
                                "the log forgot records before this partition's checkpoint had passed them"
                            ),
                        }
                    }
                    // What came after it was read again is not among it.
                    to = to.min(stretch.end);
                    let records = stretch.records.iter();
                    let wanted = records.filter(|(offset, _)| (from..to).contains(offset));
                    wanted.cloned().collect()
                }
            };
            let least = ends.get(home.index()).copied().unwrap_or_default();
            let is_another = seen.incarnation != looked.incarnation;
            // Before all that the log had after this very history was seen, nothing opens.
            if to < from || (aim == Aim::Open && (to < least || is_another)) {
                return Err(log_is_behind());
            }
            let lacking = self.what_lacks(partition, seen.incarnation, records).await?;
            let merged = lacking.len();
            let floor = floor::told(partition, lacking.iter().map(|one| &one.record));
            let record = PartitionRecord {
                floor: record.floor.max(floor),
                ..record
            };
            let at = self.at(partition);
            let mut batches = batches(lacking, at.system);
            let last = batches.pop().unwrap_or_default();
            let mut again = false;
            let mut sequence = seen.version(&Key::Sequence);
            for batch in &batches {
                let brought = self.bring(&at, &seen, &mut sequence, batch, None).await?;
                again = matches!(brought, Committed::Again);
                if again {
                    break;
                }
            }
            if again {
                continue;
            }
            let closing = closing(aim, record, &seen, to, self.wall());
            match self
                .bring(&at, &seen, &mut sequence, &last, Some(closing))
                .await?
            {
                Committed::Again => {}
                Committed::Done => {
                    self.unmerged.checkpoint(partition, to);
                    return Ok(Closed::Now { merged });
                }
            }
        }
        Err(Refusal::new(Stage::Request, Reason::Conflict))
    }

    /// What this node has applied of a partition's log from an offset on.
    fn applied_from(&self, partition: Partition, from: u64) -> AppliedFrom {
        // Nothing is applied meanwhile: what is before `to` was kept as well.
        let _one = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.follower.of(partition);
        // A log partition of which nothing was read is empty: whoever opens has waited for its end.
        let next = state.as_ref().and_then(|state| state.next).unwrap_or(from);
        let frozen = state.as_ref().and_then(|state| state.frozen.as_ref());
        let to = frozen.map_or(next, |frozen| next.min(frozen.offset));
        AppliedFrom {
            to,
            is_frozen: frozen.is_some(),
            records: self.unmerged.between(partition, from, to),
        }
    }

    fn at(&self, partition: Partition) -> At {
        let loaded = self.directory.loaded();
        let tenants = loaded.view.tenants.values();
        let longest = tenants.clone().map(|tenant| tenant.session_life_max_ms).max();
        At {
            now: self.wall(),
            partition,
            session_life_max_ms: longest.unwrap_or(SESSION_LIFE_UNKNOWN_MS),
            system: tenants
                .clone()
                .find(|tenant| tenant.is_system)
                .map(|tenant| tenant.id),
        }
    }

    /// What of these the store may lack, opened; of directory records only the newest of each name.
    async fn what_lacks(
        &self,
        partition: Partition,
        present: Incarnation,
        records: Vec<(u64, LogRecord)>,
    ) -> Answer<Vec<Heard>> {
        let mut newest = BTreeMap::new();
        let is_directory = |record: &LogRecord| matches!(record, LogRecord::Directory(_));
        if records.iter().any(|(_, record)| is_directory(record)) {
            newest = self.newest_changes(partition).await?;
        }
        let mut heard = Vec::new();
        for (_, record) in records {
            if !merge::is_lacking(&record, partition, present) {
                continue;
            }
            let mut body = None;
            if let LogRecord::Directory(change) = &record {
                if newest
                    .get(&change.name)
                    .is_some_and(|known| *known > (change.version, change.id))
                {
                    continue;
                }
                if let Some(sealed) = &change.body {
                    let opened = self.parts.vault.open_record(&change.name, sealed);
                    body = Some(opened.map_err(key_unavailable)?);
                }
            }
            heard.push(Heard { record, body });
        }
        Ok(heard)
    }

    /// The newest change of each directory record: on the log, or in the store and not on the log yet.
    async fn newest_changes(&self, partition: Partition) -> Answer<BTreeMap<Arc<str>, (Millis, RecordId)>> {
        let mut newest = BTreeMap::new();
        let mut cursor = None;
        loop {
            let page = self
                .parts
                .store
                .list(partition, Listed::Outbox, cursor, PAGE_MAX)
                .await;
            let page = page.map_err(store_unavailable)?;
            for (_, value) in page.records {
                if let Record::Outbox(entry) = value.record
                    && let LogRecord::Directory(change) = entry.outgoing.record
                {
                    let version = (change.version, change.id);
                    let known = newest.entry(change.name.clone()).or_insert(version);
                    *known = (*known).max(version);
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        // What has left the outbox lies on the log by now: that is read first.
        let bounds = self.parts.log.bounds().await.map_err(log_unavailable)?;
        self.wait_until_applied(&bounds).await?;
        let heard = self
            .recovery
            .newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (name, version) in &*heard {
            let known: &mut (Millis, RecordId) = newest.entry(name.clone()).or_insert(*version);
            *known = (*known).max(*version);
        }
        Ok(newest)
    }

    /// One commit: these records, and what closes where it is the last.
    async fn bring(
        &self,
        at: &At,
        before: &Seen,
        sequence: &mut Option<Version>,
        heard: &[Heard],
        closing: Option<Vec<(Key, Write)>>,
    ) -> Answer<Committed> {
        if heard.is_empty() && closing.is_none() {
            return Ok(Committed::Done);
        }
        let keys = keys_of(heard, at.system);
        let seen = self.see(at.partition, &keys).await?;
        let is_as_before = OWN
            .iter()
            .all(|key| *key == Key::Sequence || seen.version(key) == before.version(key));
        let is_of_directory = heard
            .iter()
            .any(|one| matches!(one.record, LogRecord::Directory(_)));
        // Whoever changes the directory meanwhile takes a number: what is merged here may be older than that.
        let is_overtaken = is_of_directory && seen.version(&Key::Sequence) != *sequence;
        if seen.incarnation != before.incarnation || !is_as_before || is_overtaken {
            return Ok(Committed::Again);
        }
        let mut writes = merge::merge(at, seen.present(), heard, &remembered);
        writes.extend(closing.into_iter().flatten());
        if writes.is_empty() {
            return Ok(Committed::Done);
        }
        let counts = writes.iter().any(|(key, _)| *key == Key::Sequence);
        let numbers = counts || is_of_directory;
        let expected = seen
            .versions()
            .filter(|(key, _)| numbers || **key != Key::Sequence)
            .map(|(key, version)| (key.clone(), version));
        let now = self.wall();
        let commit = Commit {
            partition: at.partition,
            incarnation: seen.incarnation,
            now,
            nonce: self.chance().draw(),
            expected: expected.collect(),
            writes,
            publish: Vec::new(),
        };
        match self.parts.store.commit(commit).await.map_err(store_unavailable)? {
            CommitOutcome::Committed(committed) => {
                if counts {
                    *sequence = Some(committed.version);
                }
                Ok(Committed::Done)
            }
            CommitOutcome::Conflict | CommitOutcome::Fenced => Ok(Committed::Again),
            CommitOutcome::ClockSuspect { store_time } if self.was_slow(now, store_time) => {
                Ok(Committed::Again)
            }
            CommitOutcome::ClockSuspect { .. } => Err(Refusal::new(Stage::Request, Reason::ClockSuspect)),
        }
    }
}

/// What the last commit writes beside the last records.
fn closing(aim: Aim, record: PartitionRecord, seen: &Seen, to: u64, now: Millis) -> Vec<(Key, Write)> {
    let incarnation = seen.incarnation;
    let checkpoint = Checkpoint {
        offset: to,
        incarnation,
        at: now,
    };
    let mut writes = vec![(Key::Checkpoint, Write::put(Record::Checkpoint(checkpoint)))];
    let floor = seen.partition().map_or(Millis::ZERO, |present| present.floor);
    if aim == Aim::Move && record.floor > floor {
        // A floor that another history was opened with: a failover lost it, and the log did not.
        writes.push((Key::Partition, Write::put(Record::Partition(record))));
    }
    if aim == Aim::Open {
        let opened = PartitionRecord {
            incarnation,
            opened: now,
            ..record
        };
        writes.push((Key::Partition, Write::put(Record::Partition(opened))));
    }
    writes
}

/// The keys of one commit: the partition's own, and those of the records.
fn keys_of(heard: &[Heard], system: Option<TenantId>) -> Vec<Key> {
    let mut keys = OWN.to_vec();
    let is_of_directory = |one: &Heard| match &one.record {
        LogRecord::Revocation(revocation) => revocation.wide,
        LogRecord::Directory(_) => true,
        LogRecord::SubjectState(_)
        | LogRecord::Heartbeat(_)
        | LogRecord::Skip(_)
        | LogRecord::Unknown(_)
        | LogRecord::Withheld => false,
    };
    if heard.iter().any(is_of_directory) {
        keys.push(Key::DirectoryVersion);
    }
    for key in heard.iter().flat_map(|one| merge::keys_of(&one.record, system)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// As many records a commit as there is room for their keys, in order.
fn batches(heard: Vec<Heard>, system: Option<TenantId>) -> Vec<Vec<Heard>> {
    let mut batches = Vec::new();
    let mut batch: Vec<Heard> = Vec::new();
    for one in heard {
        batch.push(one);
        if keys_of(&batch, system).len() > KEYS_MAX
            && let Some(one) = batch.pop()
        {
            batches.push(std::mem::replace(&mut batch, vec![one]));
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// What an operation is remembered by, from the records that it wrote.
fn remembered(records: &[&LogRecord]) -> Vec<u8> {
    let (mut state, mut cut_off, mut directory) = (None, None, false);
    let mut ended = None;
    for record in records {
        match record {
            LogRecord::SubjectState(change) => state = Some(change.id),
            LogRecord::Directory(_) => directory = true,
            LogRecord::Revocation(revocation) => {
                cut_off = Some(revocation.clone());
                if matches!(&*revocation.scope, "session" | "grant") && revocation.row.is_some() {
                    ended = Some(revocation.id);
                }
            }
            LogRecord::Heartbeat(_) | LogRecord::Skip(_) | LogRecord::Unknown(_) | LogRecord::Withheld => {}
        }
    }
    let remembered = match (state, cut_off, ended) {
        _ if directory => Remembered::Expired,
        (Some(state), cut_off, _) => Remembered::Subject {
            state: Some(state),
            cut_off: cut_off.map(|revocation| revocation.id),
        },
        (None, _, Some(record)) => Remembered::Ended { record },
        (None, Some(revocation), None) => Remembered::Revoked {
            record: revocation.id,
            before: revocation.before.as_ref().map(|before| before.instant),
        },
        (None, None, None) => Remembered::Expired,
    };
    remembered.to_bytes()
}

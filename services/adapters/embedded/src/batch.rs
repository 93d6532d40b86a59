//! One batch: each request is validated in order against the state inside the transaction.
//!
//! **Invariant:** a request that is refused leaves nothing; nothing here is answered before the
//! whole batch is durable.

use curfew_core::place::{Incarnation, LogIdentity, LogPartition, Partition, Position, Version};
use curfew_core::time::{DELTA_MS, Millis};
use curfew_ports::store::{CommitOutcome, Committed};
use redb::ReadableTable;

use crate::collect;
use crate::fault::Fault;
use crate::schema::{self, NEVER, Tables, bounds_of, pack, unpack};

/// A commit, encoded on its caller's thread: the writer only moves bytes.
#[derive(Debug)]
pub(crate) struct CommitJob {
    pub(crate) incarnation: Incarnation,
    pub(crate) now: Millis,
    pub(crate) nonce: [u8; 8],
    /// Places and what is expected there.
    pub(crate) expected: Vec<(Vec<u8>, Option<Version>)>,
    /// Places and what is written there; `None` deletes.
    pub(crate) writes: Vec<(Vec<u8>, Option<NewRecord>)>,
    pub(crate) publish: Vec<Published>,
}

#[derive(Debug)]
pub(crate) struct NewRecord {
    pub(crate) bytes: Vec<u8>,
    pub(crate) collect_at: Option<Millis>,
}

#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) home: Partition,
    pub(crate) wide: bool,
    pub(crate) envelope: Vec<u8>,
}

/// One batch on its way to being durable.
pub(crate) struct Batch<'t> {
    tables: Tables<'t>,
    identity: LogIdentity,
    /// The clock, once for the batch: the log's time of every append in it.
    now: Millis,
    pub(crate) incarnation: Incarnation,
    pub(crate) newest: Millis,
    newest_kept: Millis,
    /// Whether there is anything to make durable.
    pub(crate) is_dirty: bool,
    pub(crate) has_appended: bool,
    records_written: usize,
    entries_appended: usize,
}

/// A commit without writes brings the newest time forward in memory; on disk it may lag by this
/// much, so that releasing an answer costs no fsync.
const NEWEST_LAG_MS: i64 = DELTA_MS;

impl<'t> Batch<'t> {
    pub(crate) fn new(
        tables: Tables<'t>,
        identity: LogIdentity,
        now: Millis,
        incarnation: Incarnation,
        newest: (Millis, Millis),
    ) -> Self {
        let (newest, newest_kept) = newest;
        Self {
            tables,
            identity,
            now,
            incarnation,
            newest,
            newest_kept,
            is_dirty: false,
            has_appended: false,
            records_written: 0,
            entries_appended: 0,
        }
    }

    pub(crate) fn commit(&mut self, job: &CommitJob) -> Result<CommitOutcome, Fault> {
        if job.incarnation != self.incarnation {
            return Ok(CommitOutcome::Fenced);
        }
        // Only a clock that is behind is suspect: the engine knows no time but its newest record's.
        if self.newest.ms_since(job.now) > DELTA_MS {
            return Ok(CommitOutcome::ClockSuspect {
                store_time: self.newest,
            });
        }
        for (place, version) in &job.expected {
            if self.version_at(place)? != *version {
                return Ok(CommitOutcome::Conflict);
            }
        }
        self.newest = self.newest.max(job.now);
        let version = Version::new(job.incarnation, job.nonce);
        for (place, record) in &job.writes {
            self.write(place, version, record.as_ref())?;
        }
        let positions = job.publish.iter().map(|published| self.publish(published));
        let positions = Some(positions.collect::<Result<_, _>>()?);
        Ok(CommitOutcome::Committed(Committed { version, positions }))
    }

    fn version_at(&self, place: &[u8]) -> Result<Option<Version>, Fault> {
        match self.tables.records.get(place)? {
            None => Ok(None),
            Some(value) => unpack(value.value()).map(|(version, _, _)| Some(version)),
        }
    }

    fn write(&mut self, place: &[u8], version: Version, record: Option<&NewRecord>) -> Result<(), Fault> {
        self.is_dirty = true;
        self.records_written += 1;
        let collect_at = record
            .and_then(|record| record.collect_at)
            .map_or(NEVER, Millis::as_unix_ms);
        let before = match record {
            Some(record) => self
                .tables
                .records
                .insert(place, pack(version, collect_at, &record.bytes).as_slice())?,
            None => self.tables.records.remove(place)?,
        };
        let collected_before = match &before {
            None => NEVER,
            Some(value) => unpack(value.value())?.1,
        };
        if collected_before != collect_at {
            if collected_before != NEVER {
                self.tables.expiry.remove((collected_before, place))?;
            }
            if collect_at != NEVER {
                self.tables.expiry.insert((collect_at, place), ())?;
            }
        }
        Ok(())
    }

    fn publish(&mut self, published: &Published) -> Result<Vec<Position>, Fault> {
        let identity = self.identity;
        let append = |partition| self.append(partition, &published.envelope);
        if published.wide {
            identity.all().map(append).collect()
        } else {
            std::iter::once(identity.home_of(published.home))
                .map(append)
                .collect()
        }
    }

    /// Appends to a partition that this log has.
    pub(crate) fn append(&mut self, partition: LogPartition, envelope: &[u8]) -> Result<Position, Fault> {
        self.is_dirty = true;
        self.has_appended = true;
        self.entries_appended += 1;
        let (start, end) = bounds_of(&self.tables.bounds, partition.0)?;
        let entry = [self.now.as_unix_ms().to_be_bytes().as_slice(), envelope].concat();
        self.tables.log.insert((partition.0, end), entry.as_slice())?;
        let next = end
            .checked_add(1)
            .ok_or_else(|| Fault::new("a log partition has no offset left"))?;
        self.tables.bounds.insert(partition.0, (start, next))?;
        Ok(Position {
            partition,
            offset: end,
        })
    }

    pub(crate) fn new_incarnation(&mut self, incarnation: Incarnation) -> Result<Incarnation, Fault> {
        self.is_dirty = true;
        self.incarnation = incarnation;
        schema::put_incarnation(&mut self.tables.meta, incarnation)?;
        Ok(incarnation)
    }

    pub(crate) fn trim(&mut self, partition: LogPartition, before: u64) -> Result<(), Fault> {
        self.is_dirty = true;
        collect::trim_to(&mut self.tables, partition, before, usize::MAX).map(|_| ())
    }

    /// Drops what is over: twice what this batch added and a little, so that what has piled up goes
    /// away and no batch waits long.
    pub(crate) fn collect(&mut self, now: Millis, retention_ms: i64) -> Result<(), Fault> {
        const BESIDE: usize = 64;
        let records_max = self.records_written.saturating_mul(2).saturating_add(BESIDE);
        let entries_max = self.entries_appended.saturating_mul(2).saturating_add(BESIDE);
        collect::collect_records(&mut self.tables, now, records_max)?;
        collect::collect_log(&mut self.tables, self.identity, now, retention_ms, entries_max)
    }

    /// The last step before the transaction's own commit; whether there is anything to commit.
    pub(crate) fn finish(mut self) -> Result<Finished, Fault> {
        self.is_dirty |= self.newest.ms_since(self.newest_kept) > NEWEST_LAG_MS;
        if self.is_dirty && self.newest != self.newest_kept {
            schema::put_newest(&mut self.tables.meta, self.newest)?;
            self.newest_kept = self.newest;
        }
        Ok(Finished {
            is_dirty: self.is_dirty,
            has_appended: self.has_appended,
            incarnation: self.incarnation,
            newest: self.newest,
            newest_kept: self.newest_kept,
        })
    }
}

/// What a batch came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    pub(crate) is_dirty: bool,
    pub(crate) has_appended: bool,
    pub(crate) incarnation: Incarnation,
    pub(crate) newest: Millis,
    pub(crate) newest_kept: Millis,
}

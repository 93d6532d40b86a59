//! A reader of all partitions: it sleeps until something is appended, and never polls.
//!
//! **Invariant:** the offsets move only together with the entries that are given out.

use std::sync::Arc;

use async_trait::async_trait;
use curfew_core::place::{LogPartition, Position};
use curfew_core::time::Millis;
use curfew_ports::log::{BATCH_MAX, LogEntry, LogError, Tail};
use curfew_wire::decode_log;
use redb::{Database, ReadableDatabase};
use tokio::sync::watch;

use crate::fault::Fault;
use crate::schema::{LOG, all_bounds, unpack_entry};
use crate::shared::Shared;

#[derive(Debug)]
pub(crate) struct EmbeddedTail {
    shared: Arc<Shared>,
    /// The next offset of each partition.
    offsets: Vec<u64>,
    appended: watch::Receiver<()>,
}

impl EmbeddedTail {
    pub(crate) fn new(shared: Arc<Shared>, offsets: Vec<u64>) -> Self {
        let appended = shared.watch_appended();
        Self {
            shared,
            offsets,
            appended,
        }
    }
}

#[async_trait]
impl Tail for EmbeddedTail {
    async fn next(&mut self) -> Result<Vec<LogEntry>, LogError> {
        loop {
            // Before reading: what is appended after this wakes the wait below.
            self.appended.mark_unchanged();
            let found = self
                .shared
                .with_database(|database| read(database, &self.shared, &self.offsets));
            let found = found.unwrap_or_else(|| Err(Stop::Fault(self.shared.why_down())));
            let found = found.map_err(|stop| match stop {
                Stop::Fault(fault) => fault.of_log("tail"),
                Stop::OutOfRange(error) => error,
            })?;
            if !found.is_empty() {
                return Ok(self.give(found));
            }
            if self.appended.changed().await.is_err() {
                return Err(Fault::closed().of_log("tail"));
            }
        }
    }
}

impl EmbeddedTail {
    fn give(&mut self, found: Vec<RawEntry>) -> Vec<LogEntry> {
        let entries = found.into_iter().map(|(position, appended_at, envelope)| {
            if let Some(offset) = self.offsets.get_mut(position.partition.index()) {
                *offset = position.offset + 1;
            }
            LogEntry {
                position,
                appended_at,
                record: decode_log(&envelope),
            }
        });
        entries.collect()
    }
}

type RawEntry = (Position, Millis, Vec<u8>);

enum Stop {
    Fault(Fault),
    OutOfRange(LogError),
}

impl<E: Into<Fault>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// What lies at the offsets and behind, a share of each partition that has something.
fn read(database: &Database, shared: &Shared, offsets: &[u64]) -> Result<Vec<RawEntry>, Stop> {
    let transaction = database.begin_read()?;
    let bounds = all_bounds(&transaction, shared.identity)?;
    let mut ready = Vec::new();
    for ((partition, asked), (start, end)) in shared.identity.all().zip(offsets).zip(bounds) {
        if *asked < start || *asked > end {
            return Err(Stop::OutOfRange(LogError::OutOfRange {
                partition,
                asked: *asked,
                start,
                end,
            }));
        }
        if *asked < end {
            ready.push((partition, *asked, end));
        }
    }
    let table = transaction.open_table(LOG)?;
    let mut found = Vec::new();
    let mut left = ready.len();
    // The fullest last, so that what the others leave of their share is its.
    ready.sort_by_key(|(_, asked, end)| end - asked);
    for (partition, asked, end) in ready {
        let share = BATCH_MAX.saturating_sub(found.len()).div_ceil(left.max(1));
        left = left.saturating_sub(1);
        for entry in table.range((partition.0, asked)..(partition.0, end))?.take(share) {
            let (key, value) = entry?;
            let (appended_at, envelope) = unpack_entry(value.value())?;
            let position = Position {
                partition: LogPartition(key.value().0),
                offset: key.value().1,
            };
            found.push((position, appended_at, envelope.to_vec()));
        }
    }
    Ok(found)
}

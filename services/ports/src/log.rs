//! The log: ordered and durable per log partition; it only appends and tails.
//!
//! **Invariant:** a position that was told once names the same record for as long as the log has
//! its identity; a reader that falls out of the retained range is told, never moved.

use std::fmt::Debug;

use async_trait::async_trait;
use curfew_core::place::{LogIdentity, LogPartition, Position};
use curfew_core::record::LogRecord;
use curfew_core::time::Millis;

/// A record and where it lies.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Where.
    pub position: Position,
    /// The log's own time of the append.
    pub appended_at: Millis,
    /// What; unreadable records arrive as `LogRecord::Unknown`.
    pub record: LogRecord,
}

/// Where a tail begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailFrom {
    /// The oldest retained record of every partition.
    Oldest,
    /// The next offset of each partition, in order of their numbers.
    Offsets(Vec<u64>),
}

/// The retained range of one log partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest retained offset.
    pub start: u64,
    /// The offset that the next record will have.
    pub end: u64,
}

impl Bounds {
    /// Whether a tail may begin at these offsets, one for each partition: each is retained, or the next one to come.
    ///
    /// # Errors
    /// `NoSuchPartition` where there are fewer or more offsets than partitions, `OutOfRange` with the first offset
    /// that is not retained.
    pub fn check(all: &[Self], offsets: &[u64]) -> Result<(), LogError> {
        if offsets.len() != all.len() {
            // The first one that is named and not there, or there and not named.
            let first = offsets.len().min(all.len());
            return Err(LogError::NoSuchPartition(LogPartition(
                u16::try_from(first).unwrap_or(u16::MAX),
            )));
        }
        for ((number, asked), bounds) in (0..).zip(offsets).zip(all) {
            if !(bounds.start..=bounds.end).contains(asked) {
                return Err(LogError::OutOfRange {
                    partition: LogPartition(number),
                    asked: *asked,
                    start: bounds.start,
                    end: bounds.end,
                });
            }
        }
        Ok(())
    }
}

/// The log did not say what happened: an append may or may not be there. Append again: ids make
/// copies harmless.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be reached, or stopped answering.
    #[error("the log is unavailable: {what}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The asked offset is not retained (or not there yet): reload, never start at the latest.
    #[error("offset {asked} of log partition {partition:?} is outside the retained range {start}..={end}")]
    OutOfRange {
        /// The log partition.
        partition: LogPartition,
        /// The offset that was asked for.
        asked: u64,
        /// The oldest retained one.
        start: u64,
        /// The next one.
        end: u64,
    },
    /// The log has no such partition.
    #[error("the log has no partition {0:?}")]
    NoSuchPartition(LogPartition),
}

impl LogError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::OutOfRange { .. } | Self::NoSuchPartition(_) => false,
        }
    }
}

/// The ordered, durable record of revocations.
#[async_trait]
pub trait Log: Send + Sync + Debug + 'static {
    /// Which log this is.
    async fn identity(&self) -> Result<LogIdentity, LogError>;

    /// Appends one record; returns once it is durable.
    async fn append(&self, partition: LogPartition, record: &LogRecord) -> Result<Position, LogError>;

    /// The retained range of every partition, in order of their numbers.
    async fn bounds(&self) -> Result<Vec<Bounds>, LogError>;

    /// Follows all partitions. `OutOfRange` where an offset is not retained, `NoSuchPartition` where
    /// there are fewer or more offsets than partitions.
    async fn tail(&self, from: TailFrom) -> Result<Box<dyn Tail>, LogError>;

    /// What kind of log this is, for people and telemetry: `embedded`, `kafka`, `fake`.
    fn kind(&self) -> &'static str;
}

/// The most entries that one call of [`Tail::next`] returns: at 300 B each, 150 kB.
pub const BATCH_MAX: usize = 512;

/// A reader of all partitions.
#[async_trait]
pub trait Tail: Send + Debug {
    /// The next entries, in order within each partition; waits until there is one. Dropping the
    /// future loses nothing. `OutOfRange` where what comes next is no longer retained; after
    /// `Unavailable` the tail may be asked again.
    async fn next(&mut self) -> Result<Vec<LogEntry>, LogError>;
}

//! The store: optimistic transactions over typed records, one partition at a time.
//!
//! Serializable per partition. A commit names the incarnation that its read saw and the version of
//! every record that it read; it happens whole or not at all.
//!
//! **Invariant:** no protocol rule lives behind this port.

use std::fmt::Debug;

use async_trait::async_trait;
use curfew_core::place::{Incarnation, Partition, Position, Version};
use curfew_core::record::Outgoing;
use curfew_core::stored::{Key, Listed, Record, Write};
use curfew_core::time::Millis;

/// The most keys of one read; and of one commit: expected, written and published ones each. A refresh
/// reads five.
pub const KEYS_MAX: usize = 64;
/// The largest page of a listing.
pub const PAGE_MAX: usize = 1_000;

/// What a read saw, all of it at one instant.
#[derive(Clone, Debug)]
pub struct View {
    /// The history that was read.
    pub incarnation: Incarnation,
    /// The store's clock, to be compared with the authority's own.
    pub store_time: Millis,
    /// One value for each key, in the order of the keys; `None`: absent.
    pub values: Vec<Option<Versioned>>,
}

/// A record and its version.
#[derive(Clone, Debug)]
pub struct Versioned {
    /// Never reused, whatever happens to the store.
    pub version: Version,
    /// The record.
    pub record: Record,
}

/// What is to be made true, if nothing has changed since it was decided.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The partition.
    pub partition: Partition,
    /// The incarnation that the read saw.
    pub incarnation: Incarnation,
    /// The authority's clock, compared with the store's.
    pub now: Millis,
    /// Eight random bytes: with the incarnation, the version of everything written here.
    pub nonce: [u8; 8],
    /// The version of every record that the decision stands on; `None`: it was absent.
    pub expected: Vec<(Key, Option<Version>)>,
    /// What to write; empty where only an answer is released.
    pub writes: Vec<(Key, Write)>,
    /// What to publish: records that have an id of their own ([`LogRecord::event_id`]), others are
    /// refused as [`StoreError::Limit`]. The embedded engine appends to its log in the same transaction;
    /// others keep it under [`Key::Outbox`] until the log has it, at this commit's `now`, with an empty
    /// `lacking`: nobody has looked yet which partitions have it, so all that it goes to may lack it.
    ///
    /// [`LogRecord::event_id`]: curfew_core::record::LogRecord::event_id
    pub publish: Vec<Outgoing>,
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is true now, and durable as far as the store's own restart goes.
    Committed(Committed),
    /// Something that was read has changed: read and decide again.
    Conflict,
    /// The store is another history than the one that was read.
    Fenced,
    /// `now` and the store's clock differ by more than is permitted.
    ClockSuspect {
        /// The store's clock.
        store_time: Millis,
    },
}

/// A commit that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The version of what was written.
    pub version: Version,
    /// Where the published records lie, if the store's engine is also the log; in the order of
    /// `publish`, one list each (a wide record lies in every log partition). `None`: the handler
    /// appends them now.
    pub positions: Option<Vec<Vec<Position>>>,
}

/// A page of a listing, in the order of the keys' bytes.
#[derive(Clone, Debug)]
pub struct Page {
    /// The records.
    pub records: Vec<(Key, Versioned)>,
    /// Where to go on; `None`: that was all.
    pub next: Option<Vec<u8>>,
}

/// The store did not say what happened: the commit may or may not have taken effect, a read saw
/// nothing. Repeat with the same arguments.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or stopped answering.
    #[error("the store is unavailable: {what}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It refused, and nothing has happened: a primary without its replicas, one that is being loaded.
    #[error("the store refuses: {what}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It has no room, and nothing has happened.
    #[error("the store is full")]
    Full {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stored record cannot be read. Nothing is decided on it.
    #[error("stored record {key:?} cannot be read: {why}")]
    Corrupt {
        /// Which.
        key: Key,
        /// Why.
        why: String,
    },
    /// More keys than one call may name, or a record larger than permitted.
    #[error("a limit of the store was exceeded: {what}")]
    Limit {
        /// Which.
        what: &'static str,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Refused { .. } | Self::Full { .. } => true,
            Self::Corrupt { .. } | Self::Limit { .. } => false,
        }
    }
}

/// Where sessions, subjects and the directory are kept.
#[async_trait]
pub trait Store: Send + Sync + Debug + 'static {
    /// Reads records of one partition at one instant.
    async fn read(&self, partition: Partition, keys: &[Key]) -> Result<View, StoreError>;

    /// Makes a decision true, or says why not. A repeated call with the same nonce whose first try
    /// took effect answers `Conflict` (its own version is there): the decision is then made again.
    async fn commit(&self, commit: Commit) -> Result<CommitOutcome, StoreError>;

    /// Lists records of one kind, from after `cursor`, at most `limit` (1 to [`PAGE_MAX`]; another one
    /// is refused as [`StoreError::Limit`]).
    async fn list(
        &self,
        partition: Partition,
        listed: Listed,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Whether a commit appends to the log in the same transaction: where the store is away, so is the log.
    fn is_log(&self) -> bool {
        false
    }

    /// What kind of store this is, for people and telemetry: `embedded`, `redis`, `fake`.
    fn kind(&self) -> &'static str;
}

//! Answers: granted, or a refusal that says whether to repeat.
//!
//! A port that does not know what happened becomes a refusal of class `Retry`: its cause is logged
//! here, in full, and never told to the caller.

use curfew_core::ids::RecordId;
use curfew_core::place::Position;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_ports::keys::KeyError;
use curfew_ports::log::LogError;
use curfew_ports::store::StoreError;

/// What a use case answers.
pub type Answer<T> = Result<T, Refusal>;

/// How far a revocation has got (DESIGN section 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// The store committed.
    Stored,
    /// The log has it on all in-sync replicas.
    Durable,
}

/// A record that a use case published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// Its id.
    pub id: RecordId,
    /// Where it lies; a wide one in every log partition.
    pub positions: Vec<Position>,
    /// How far it has got.
    pub level: Level,
}

pub(crate) fn store_unavailable(error: StoreError) -> Refusal {
    tracing::warn!(error = &error as &dyn std::error::Error, "store call failed");
    match error {
        StoreError::Unavailable { .. }
        | StoreError::Refused { .. }
        | StoreError::Full { .. }
        | StoreError::Corrupt { .. } => Refusal::new(Stage::Request, Reason::StoreUnavailable),
        StoreError::Limit { what } => Refusal::new(Stage::Request, Reason::FieldInvalid).about(what),
    }
}

/// What a commit whose outcome nobody knows is told as.
const OUTCOME_UNKNOWN: &str = "it may have been committed";

/// The same of a commit.
pub(crate) fn commit_failed(error: StoreError) -> Refusal {
    let is_unknown = matches!(error, StoreError::Unavailable { .. });
    let refusal = store_unavailable(error);
    if is_unknown {
        refusal.about(OUTCOME_UNKNOWN)
    } else {
        refusal
    }
}

/// Whether the store was not there, and nothing of the call can have become true in it.
pub(crate) fn is_store_away(refusal: &Refusal) -> bool {
    let is_unknown = refusal.detail.as_deref() == Some(OUTCOME_UNKNOWN);
    refusal.reason == Reason::DirectoryStale || (refusal.reason == Reason::StoreUnavailable && !is_unknown)
}

pub(crate) fn log_unavailable(error: LogError) -> Refusal {
    tracing::warn!(error = &error as &dyn std::error::Error, "log call failed");
    Refusal::new(Stage::Request, Reason::LogUnavailable)
}

/// The log answers, and this node has not read as far as it goes.
pub(crate) fn log_is_behind() -> Refusal {
    Refusal::new(Stage::Request, Reason::LogUnavailable).about("this node has yet to read what the log has")
}

pub(crate) fn key_unavailable(error: KeyError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "key call failed");
    Refusal::new(Stage::Request, Reason::KeyUnavailable)
}

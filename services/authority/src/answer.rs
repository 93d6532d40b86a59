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
        StoreError::Unavailable { .. } | StoreError::Full { .. } | StoreError::Corrupt { .. } => {
            Refusal::new(Stage::Request, Reason::StoreUnavailable)
        }
        StoreError::Limit { what } => Refusal::new(Stage::Request, Reason::FieldInvalid).about(what),
    }
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

//! How the engine is opened, and why it may refuse.
//!
//! **Invariant:** no option changes what the file was made with.

use std::path::PathBuf;
use std::sync::Arc;

use curfew_core::place::PARTITIONS;
use curfew_core::time::{Clock, KEEP_SLACK_MS};
use curfew_ports::entropy::EntropySource;

use crate::fault::Fault;

/// M of a new log. One writer gains nothing from more, and each costs a heartbeat every X/5, which is
/// 600,000 records a week.
const PARTITIONS_DEFAULT: u16 = 1;
/// Seven days.
pub const RETENTION_MS_DEFAULT: i64 = 7 * 24 * 3_600_000;
/// The shortest retention: longest token life (24 h) + 2 min, and a quarter on top, because an idle
/// checkpoint may be a quarter of the retention old (DESIGN sections 5 and 6).
pub const RETENTION_MS_MIN: i64 = (24 * 3_600_000 + KEEP_SLACK_MS) / 3 * 4;

/// How the engine is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// M, which divides N. `None`: 1 for a new file, its own for an existing one.
    pub partitions: Option<u16>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where incarnations and the log's id come from.
    pub entropy: Arc<dyn EntropySource>,
    /// How long log records are kept, ms; at least [`RETENTION_MS_MIN`].
    pub retention_ms: i64,
    /// Bytes of pages kept in memory.
    pub cache_bytes: usize,
    /// Takes this clock as right although the newest commit is stamped later: the way out of a clock
    /// that was once set ahead. The partitions then open with a floor, which is the caller's work.
    pub accept_clock: bool,
}

impl Options {
    /// What a node without configuration uses.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn EntropySource>) -> Self {
        Self {
            partitions: None,
            clock,
            entropy,
            retention_ms: RETENTION_MS_DEFAULT,
            // A row and its gate are 1 kB: the working set of 60,000 busy sessions.
            cache_bytes: 64 << 20,
            accept_clock: false,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if self.retention_ms < RETENTION_MS_MIN {
            return Err(OpenError::Retention {
                asked: self.retention_ms,
            });
        }
        match self.partitions {
            Some(m) if m == 0 || !PARTITIONS.is_multiple_of(m) => Err(OpenError::NotADivisor { asked: m }),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn partitions_of_a_new_log(&self) -> u16 {
        self.partitions.unwrap_or(PARTITIONS_DEFAULT)
    }
}

/// Why the engine does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another handle of this one, has it.
    #[error("{} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot open {what}")]
    Io {
        /// What was being opened.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be read as this engine's.
    #[error("the embedded engine does not open: {why}")]
    Engine {
        /// Why.
        why: String,
    },
    /// The log has another M, which is fixed when it is made.
    #[error("the log has {present} partitions, not {asked}: M is fixed when the log is made")]
    Partitions {
        /// What it has.
        present: u16,
        /// What was asked for.
        asked: u16,
    },
    /// M must divide N.
    #[error("{asked} log partitions do not divide {PARTITIONS}")]
    NotADivisor {
        /// What was asked for.
        asked: u16,
    },
    /// Records would be dropped that a follower may need.
    #[error("a log retention of {asked} ms is shorter than {RETENTION_MS_MIN} ms")]
    Retention {
        /// What was asked for.
        asked: i64,
    },
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        Self::Engine {
            why: fault.to_string(),
        }
    }
}

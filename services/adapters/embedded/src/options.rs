//! How the engine is opened, and why it may refuse.
//!
//! **Invariant:** no option changes what the file was made with.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use curfew_core::place::PARTITIONS;
use curfew_core::time::{Clock, KEEP_SLACK_MS};
use curfew_ports::entropy::EntropySource;

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
    /// Gives a copy of a file a history of its own: a new incarnation, and a new id for its log. For `curfew restore`
    /// alone: what was read of the original is not here, and nothing in the file says so (DESIGN section 5).
    pub new_history: bool,
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
            new_history: false,
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
    #[error("cannot open {}{}", path.display(), remedy(source))]
    Io {
        /// What was being opened.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The writer's thread does not start.
    #[error("cannot start the writer thread")]
    Thread {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be read as this engine's.
    #[error(
        "{file} does not open as a store of this version: {why}; name another directory, or put back a backup of this one"
    )]
    Engine {
        /// Which file.
        file: String,
        /// Why.
        why: String,
    },
    /// The file is of a version that this one does not know.
    #[error(
        "{file} has format {present}, and this version of Curfew reads {ours}: start the version that wrote it"
    )]
    Format {
        /// Which file.
        file: String,
        /// What it has.
        present: u8,
        /// What is known here.
        ours: u8,
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

/// What mends it, where the kind tells.
fn remedy(error: &std::io::Error) -> &'static str {
    const REMEDIES: [(ErrorKind, &str); 3] = [
        (
            ErrorKind::PermissionDenied,
            " (give the directory and its files to the user who runs this, with chown)",
        ),
        (
            ErrorKind::ReadOnlyFilesystem,
            " (its file system is mounted read-only)",
        ),
        (ErrorKind::StorageFull, " (make room on the disk)"),
    ];
    let found = REMEDIES.iter().find(|(kind, _)| *kind == error.kind());
    found.map_or("", |(_, remedy)| remedy)
}

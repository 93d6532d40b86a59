//! What an edge that feeds followers asks of the node: the log's tail, and whether it is ready.
//!
//! **Invariant:** the tail is the log's own; nothing is added to it and nothing is stamped again.

use curfew_ports::log::TailFrom;
pub use curfew_ports::log::{Bounds, LogEntry, LogError, Tail};

use crate::answer::{Answer, log_unavailable};
use crate::node::Authority;
use crate::page::PageScope;

impl Authority {
    /// Follows the log from the next offset of each partition, in order of their numbers.
    ///
    /// # Errors
    /// `OutOfRange` where an offset is not retained, `NoSuchPartition` where there are fewer or more
    /// offsets than partitions, `Unavailable` where the log does not answer.
    pub async fn tail_from(&self, next: Vec<u64>) -> Result<Box<dyn Tail>, LogError> {
        self.parts.log.tail(TailFrom::Offsets(next)).await
    }

    /// The retained range of every log partition, in order of their numbers.
    pub async fn log_bounds(&self) -> Answer<Vec<Bounds>> {
        self.parts.log.bounds().await.map_err(log_unavailable)
    }

    /// Whether this node may answer now: its directory view and its own tail are young enough.
    pub async fn is_ready(&self) -> bool {
        self.fresh_directory().await.is_ok() && self.is_fresh()
    }

    /// The page token that leads on from `cursor`.
    pub async fn seal_page(&self, scope: &PageScope<'_>, cursor: &[u8]) -> Answer<String> {
        let loaded = self.fresh_directory().await?;
        Ok(scope.seal(loaded.ring.page()?, cursor))
    }

    /// The cursor of a page token; `None`: begin. Somebody else's, or one of another filter, is refused.
    pub async fn open_page(&self, scope: &PageScope<'_>, token: &str) -> Answer<Option<Vec<u8>>> {
        let loaded = self.fresh_directory().await?;
        scope.open(loaded.ring.page()?, token)
    }
}

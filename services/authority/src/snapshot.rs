//! What a hub serves to a cold guard: positions first, then marks that hold at least as much.
//!
//! **Invariant 7:** snapshot(V) + tail(V) denies what full replay denies. A state and its position
//! are loaded as one value here, so the snapshot holds exactly what lies before its position.

use std::sync::Arc;

use curfew_core::follow::{Frozen, PartitionState};
use curfew_core::index::Entry;
use curfew_core::place::LogPartition;
use curfew_core::time::Millis;

use crate::node::Authority;

/// One log partition's marks, as of `next`.
#[derive(Clone, Debug)]
pub struct PartitionSnapshot {
    /// The log partition.
    pub partition: LogPartition,
    /// The next offset after what the entries hold.
    pub next: u64,
    /// The marks.
    pub entries: Vec<Entry>,
    /// Records that this node cannot read, as bytes.
    pub raw: Vec<Arc<[u8]>>,
    /// Why freshness is frozen.
    pub frozen: Option<Frozen>,
    /// The stamp of the newest heartbeat.
    pub newest_stamp: Option<Millis>,
}

impl Authority {
    /// The marks of every partition; `None` until the whole log was read once.
    #[must_use]
    pub fn snapshot(&self) -> Option<Vec<PartitionSnapshot>> {
        self.partitions(|state| state.index.flat().entries().collect())
    }

    /// The same without the marks, for whoever has them already: it copies nothing.
    #[must_use]
    pub fn outline(&self) -> Option<Vec<PartitionSnapshot>> {
        self.partitions(|_| Vec::new())
    }

    fn partitions(&self, marks: impl Fn(&PartitionState) -> Vec<Entry>) -> Option<Vec<PartitionSnapshot>> {
        self.follower
            .log()
            .all()
            .map(|partition| {
                let state = self.follower.state(partition)?;
                Some(PartitionSnapshot {
                    partition,
                    next: state.next?,
                    entries: marks(&state),
                    raw: state.raw.clone(),
                    frozen: state.frozen.clone(),
                    newest_stamp: state.newest_stamp(),
                })
            })
            .collect()
    }
}

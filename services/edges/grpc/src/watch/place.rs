//! Where a stream is: what was queued last, and which partitions are frozen there.
//!
//! **Invariant:** the stream's own view, not the node's: each is somewhere else in the log.

use std::collections::BTreeMap;

use curfew_authority::{LogEntry, PartitionSnapshot};
use curfew_core::follow::Frozen;
use curfew_core::mac::sha256;
use curfew_core::place::LogPartition;
use curfew_core::record::LogRecord;
use curfew_proto::revocation::v1 as pb;

use crate::published;

/// Where the stream is: what was queued last, and which partitions are frozen there.
pub(super) struct Place {
    /// The next offset of each partition.
    pub(super) next: Vec<u64>,
    /// What cannot be read, by partition.
    pub(super) frozen: BTreeMap<LogPartition, Frozen>,
}

impl Place {
    /// At these positions, frozen where the node is by a record below them.
    pub(super) fn resumed(next: Vec<u64>, snapshot: &[PartitionSnapshot]) -> Self {
        let frozen = snapshot
            .iter()
            .filter_map(|partition| {
                let frozen = partition.frozen.clone()?;
                let next = next.get(partition.partition.index())?;
                (frozen.offset < *next).then_some((partition.partition, frozen))
            })
            .collect();
        Self { next, frozen }
    }

    /// What an entry does to its partition's freshness.
    pub(super) fn note(&mut self, entry: &LogEntry) -> Option<pb::Frozen> {
        let partition = entry.position.partition;
        match &entry.record {
            LogRecord::Unknown(unknown) if !self.frozen.contains_key(&partition) => {
                let frozen = Frozen {
                    offset: entry.position.offset,
                    record_hash: sha256(&unknown.raw),
                    why: unknown.why.clone(),
                };
                let told = pb::Frozen {
                    partition: partition.0.into(),
                    reason: frozen.why.to_string(),
                    position: Some(published::position(entry.position)),
                    record_hash: frozen.record_hash.to_vec(),
                };
                self.frozen.insert(partition, frozen);
                Some(told)
            }
            LogRecord::Skip(skip) => {
                let is_named = self.frozen.get(&partition).is_some_and(|frozen| {
                    skip.partition == partition
                        && skip.offset == frozen.offset
                        && skip.record_hash == frozen.record_hash
                });
                if is_named {
                    self.frozen.remove(&partition);
                }
                None
            }
            LogRecord::Unknown(_)
            | LogRecord::Revocation(_)
            | LogRecord::Heartbeat(_)
            | LogRecord::SubjectState(_)
            | LogRecord::Directory(_)
            | LogRecord::Withheld => None,
        }
    }
}

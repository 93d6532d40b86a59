//! Where a stream is: what was queued last, and which partitions are frozen there.
//!
//! Each unreadable record is skipped by its own hash, as a follower has it.
//!
//! **Invariant:** the stream's own view beside the node's: each is somewhere else in the log, and a
//! heartbeat passes only where neither is frozen.

use std::collections::BTreeMap;

use curfew_authority::{LogEntry, PartitionSnapshot};
use curfew_core::follow::Frozen;
use curfew_core::mac::sha256;
use curfew_core::place::LogPartition;
use curfew_core::record::LogRecord;
use curfew_proto::revocation::v1 as pb;

use crate::published;

/// Unreadable records that are named; beyond, the node itself stays frozen.
const NAMED_MAX: usize = 1_024;

/// Where the stream is: what was queued last, and which partitions are frozen there.
pub(super) struct Place {
    /// The next offset of each partition.
    pub(super) next: Vec<u64>,
    // What could not be read and was not skipped, by partition. As many are named as a follower names.
    frozen: BTreeMap<LogPartition, Vec<Frozen>>,
}

impl Place {
    /// At these positions, frozen where the node is by a record below them.
    pub(super) fn resumed(next: Vec<u64>, snapshot: &[PartitionSnapshot]) -> Self {
        let frozen = snapshot
            .iter()
            .filter_map(|partition| {
                let frozen = partition.frozen.clone()?;
                let next = next.get(partition.partition.index())?;
                (frozen.offset < *next).then_some((partition.partition, vec![frozen]))
            })
            .collect();
        Self { next, frozen }
    }

    /// Whether something could not be read up to here.
    pub(super) fn is_frozen(&self, partition: LogPartition) -> bool {
        self.frozen.contains_key(&partition)
    }

    /// What an entry does to its partition's freshness.
    pub(super) fn note(&mut self, entry: &LogEntry) -> Option<pb::Frozen> {
        let partition = entry.position.partition;
        match &entry.record {
            LogRecord::Unknown(unknown) => {
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
                let named = self.frozen.entry(partition).or_default();
                if named.len() < NAMED_MAX {
                    named.push(frozen);
                }
                Some(told)
            }
            LogRecord::Skip(skip) => {
                if let Some(named) = self.frozen.get_mut(&partition) {
                    named.retain(|frozen| {
                        skip.partition != partition
                            || skip.offset != frozen.offset
                            || skip.record_hash != frozen.record_hash
                    });
                    if named.is_empty() {
                        self.frozen.remove(&partition);
                    }
                }
                None
            }
            LogRecord::Revocation(_)
            | LogRecord::Heartbeat(_)
            | LogRecord::SubjectState(_)
            | LogRecord::Directory(_)
            | LogRecord::Withheld => None,
        }
    }
}

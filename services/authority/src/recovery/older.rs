//! Records past a checkpoint that this node no longer keeps, read from the log again.

use std::collections::BTreeMap;

use curfew_core::decide::merge;
use curfew_core::place::Partition;
use curfew_core::record::LogRecord;
use curfew_ports::log::TailFrom;

use super::look::Looked;
use crate::answer::{Answer, log_unavailable};
use crate::node::Authority;

/// What was read of a partition again.
#[derive(Debug)]
pub(super) struct Stretch {
    /// From here on.
    pub(super) from: u64,
    /// To before here: what came later is not among it.
    pub(super) end: u64,
    /// Its records, by offset.
    pub(super) records: Vec<(u64, LogRecord)>,
}

/// What was read again, by partition.
pub(super) type Older = BTreeMap<Partition, Stretch>;

impl Authority {
    /// Reads once what any of these partitions needs and this node does not keep.
    pub(super) async fn older(&self, these: &[&Looked]) -> Answer<Older> {
        let log = self.follower.log();
        let mut older = Older::new();
        let mut offsets: Vec<Option<u64>> = log.all().map(|_| None).collect();
        for one in these {
            let Some(checkpoint) = one.checkpoint else {
                continue;
            };
            let (from, home) = (checkpoint.offset, log.home_of(one.partition));
            if self.unmerged.between(one.partition, from, from).is_some() {
                continue;
            }
            let stretch = Stretch {
                from,
                end: from,
                records: Vec::new(),
            };
            older.insert(one.partition, stretch);
            if let Some(offset) = offsets.get_mut(home.index()) {
                *offset = Some(offset.map_or(from, |before| before.min(from)));
            }
        }
        if older.is_empty() {
            return Ok(older);
        }
        let bounds = self.parts.log.bounds().await.map_err(log_unavailable)?;
        let from: Vec<_> = offsets
            .iter()
            .zip(&bounds)
            .map(|(offset, bounds)| {
                offset.map_or(bounds.end, |offset| offset.clamp(bounds.start, bounds.end))
            })
            .collect();
        tracing::info!(partitions = older.len(), "the log is read back to checkpoints");
        for (partition, stretch) in &mut older {
            if let Some(bounds) = bounds.get(log.home_of(*partition).index()) {
                stretch.from = stretch.from.max(bounds.start);
                stretch.end = bounds.end;
            }
        }
        let mut next = from.clone();
        let is_behind = |next: &[u64]| next.iter().zip(&bounds).any(|(next, bounds)| *next < bounds.end);
        if !is_behind(&next) {
            return Ok(older);
        }
        let mut tail = self
            .parts
            .log
            .tail(TailFrom::Offsets(from))
            .await
            .map_err(log_unavailable)?;
        while is_behind(&next) {
            for entry in tail.next().await.map_err(log_unavailable)? {
                let position = entry.position;
                if let Some(next) = next.get_mut(position.partition.index()) {
                    *next = position.offset.saturating_add(1);
                }
                let home = merge::home_of(&entry.record).map(|(home, _)| home);
                let home = home.filter(|home| log.home_of(*home) == position.partition);
                if let Some(stretch) = home.and_then(|home| older.get_mut(&home)) {
                    stretch.records.push((position.offset, entry.record));
                }
            }
        }
        Ok(older)
    }
}

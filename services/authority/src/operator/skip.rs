//! `skip`: one unreadable record is stepped over, by its hash.
//!
//! **Invariant:** what is skipped is what this node is frozen by; every reader thaws by the same record of the log.

use std::sync::Arc;

use curfew_core::place::{LogPartition, Position};
use curfew_core::record::{LogRecord, Skip};
use curfew_core::refusal::{Reason, Refusal, Stage};

use crate::answer::{Answer, log_unavailable};
use crate::node::Authority;

impl Authority {
    /// Appends the word that this record may be stepped over.
    pub async fn skip_record(
        &self,
        partition: LogPartition,
        offset: u64,
        record_hash: [u8; 32],
        by: &str,
        reason: Arc<str>,
    ) -> Answer<Position> {
        let is_frozen_by_it = self.follower.state(partition).is_some_and(|state| {
            let mut frozen = state.all_frozen();
            frozen.any(|frozen| frozen.offset == offset && frozen.record_hash == record_hash)
        });
        if !is_frozen_by_it {
            let about = format!(
                "log partition {} is not frozen by a record with this hash at offset {offset}",
                partition.0
            );
            return Err(Refusal::new(Stage::Request, Reason::NotFound).about(about));
        }
        let skip = Skip {
            log: self.follower.log(),
            partition,
            offset,
            record_hash,
            by: by.into(),
            reason: reason.clone(),
        };
        let appended = self.parts.log.append(partition, &LogRecord::Skip(skip)).await;
        let position = appended.map_err(log_unavailable)?;
        tracing::warn!(
            partition = partition.0,
            offset,
            by,
            reason = &*reason,
            "an unreadable record is skipped"
        );
        Ok(position)
    }
}

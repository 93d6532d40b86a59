//! Heartbeats: any authority appends one to a partition in which it has read none for X/5.
//!
//! **Invariant:** a heartbeat says what its emitter read; a frozen partition gets none from here, and no partition
//! of a log that was lost.

use std::collections::BTreeMap;
use std::time::Duration;

use curfew_core::ids::RecordId;
use curfew_core::place::LogPartition;
use curfew_core::record::{Heartbeat, LogRecord, PreviousHeartbeat};
use tokio::task::JoinSet;

use crate::node::Authority;

impl Authority {
    /// Beats until dropped. A partition that takes long, because it has no leader, keeps no other one waiting.
    pub async fn beat(&self) {
        let interval_ms = self.config.heartbeat_interval_ms();
        // Looking four times an interval keeps the age well under X/5 + a quarter of it.
        let period = Duration::from_millis(u64::try_from(interval_ms / 4).unwrap_or(250).max(1));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut beats = JoinSet::new();
        // One at a time in each: the log bounds how long it takes.
        let mut beaten = BTreeMap::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    for partition in self.follower.log().all() {
                        beaten.entry(partition).or_insert_with(|| beats.spawn(self.clone().beat_at(partition)).id());
                    }
                }
                Some(ended) = beats.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    beaten.retain(|_, beat| *beat != id);
                }
            }
        }
    }

    /// One round over all partitions.
    pub async fn beat_once(&self) {
        let mut beats: JoinSet<()> = self
            .follower
            .log()
            .all()
            .map(|partition| self.clone().beat_at(partition))
            .collect();
        while beats.join_next().await.is_some() {}
    }

    async fn beat_at(self, partition: LogPartition) {
        let interval_ms = self.config.heartbeat_interval_ms();
        let [jitter] = self.chance().draw::<1>();
        // Jittered by a tenth, so that many emitters do not beat at once.
        let due_ms = interval_ms - interval_ms * i64::from(jitter) / 2_550;
        if let Err(error) = self.beat_in(partition, due_ms).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                ?partition,
                "heartbeat failed"
            );
        }
    }

    async fn beat_in(&self, partition: LogPartition, due_ms: i64) -> Result<(), curfew_ports::log::LogError> {
        let now = self.now();
        let previous = {
            let Some(state) = self.follower.state(partition) else {
                return Ok(());
            };
            let is_young = state.age_ms(now).is_some_and(|age| age < due_ms);
            if is_young || state.frozen.is_some() || self.is_between_logs() {
                return Ok(());
            }
            state.last_heartbeat()
        };
        let record = Heartbeat {
            id: RecordId::from_random(self.chance().draw()),
            log: self.follower.log(),
            stamp: now.wall,
            emitter: self.config.node.as_str().into(),
            interval_ms: self.config.heartbeat_interval_ms(),
            previous: previous.map(|(id, records_between)| PreviousHeartbeat { id, records_between }),
        };
        let next = self.next_of(partition);
        let position = self
            .parts
            .log
            .append(partition, &LogRecord::Heartbeat(record))
            .await?;
        if position.offset < next {
            // What this node has read is not there any more: nothing that it beats is worth anything.
            tracing::error!(
                ?position,
                next,
                "the log ends before what was read of it; it is read again"
            );
            self.reload().await?;
        }
        Ok(())
    }
}

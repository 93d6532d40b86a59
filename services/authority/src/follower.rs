//! The authority as a follower: it applies the log, and beats where nobody else did.
//!
//! **Invariant:** an authority refuses what its index refuses; what it read is what guards read.

mod beat;

use std::time::Duration;

use curfew_core::follow::Reload;
use curfew_ports::log::{LogEntry, LogError, Tail, TailFrom};

use crate::answer::{Answer, log_unavailable};
use crate::node::Authority;

/// How often marks that are over are dropped.
const COLLECT_EVERY: Duration = Duration::from_secs(30);
/// The pause before a broken tail is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(250);

impl Authority {
    /// Applies everything that the log retains now, so that nothing is answered before it was heard.
    pub async fn catch_up(&self) -> Answer<()> {
        let bounds = self.parts.log.bounds().await.map_err(log_unavailable)?;
        let mut tail = self.open_tail().await.map_err(log_unavailable)?;
        loop {
            let is_behind = bounds
                .iter()
                .zip(self.follower.log().all())
                .any(|(bounds, partition)| {
                    let next = self
                        .follower
                        .state(partition)
                        .and_then(|state| state.next)
                        .unwrap_or(bounds.start);
                    next < bounds.end
                });
            if !is_behind {
                return Ok(());
            }
            let entries = tail.next().await.map_err(log_unavailable)?;
            self.apply(&entries).map_err(|reload| {
                tracing::error!(%reload, "the log cannot be followed");
                curfew_core::refusal::Refusal::new(
                    curfew_core::refusal::Stage::Request,
                    curfew_core::refusal::Reason::LogUnavailable,
                )
            })?;
        }
    }

    /// Follows the log until dropped; a broken tail is opened again where it broke.
    pub async fn follow(&self) {
        let mut collect = tokio::time::interval(COLLECT_EVERY);
        loop {
            match self.open_tail().await {
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "tail cannot be opened")
                }
                Ok(mut tail) => loop {
                    tokio::select! {
                        _ = collect.tick() => self.follower.collect(self.wall()),
                        entries = tail.next() => match entries {
                            Ok(entries) => {
                                if let Err(reload) = self.apply(&entries) {
                                    tracing::error!(%reload, "history changed; the log is read again");
                                    break;
                                }
                            }
                            Err(error) => {
                                tracing::warn!(error = &error as &dyn std::error::Error, "tail broke");
                                break;
                            }
                        },
                    }
                },
            }
            tokio::time::sleep(REOPEN_AFTER).await;
        }
    }

    async fn open_tail(&self) -> Result<Box<dyn Tail>, LogError> {
        let positions = self.follower.positions();
        // Records by `jti` and for foreign issuers have no home but the log: begin with its oldest.
        let from = positions.map_or(TailFrom::Oldest, TailFrom::Offsets);
        match self.parts.log.tail(from).await {
            Err(LogError::OutOfRange { .. }) => self.parts.log.tail(TailFrom::Oldest).await,
            other => other,
        }
    }

    fn apply(&self, entries: &[LogEntry]) -> Result<(), Reload> {
        let now = self.now();
        for entry in entries {
            let applied = self.follower.apply(entry.position, &entry.record, now)?;
            self.journal.note(entry, &applied);
        }
        Ok(())
    }
}

//! Nodes tell one another how far those are that report to them.
//!
//! **Invariant:** a fleet of any size costs a node four messages a second at the most, beside those that a large one
//! is divided into.

use std::sync::Arc;
use std::time::Duration;

use curfew_core::watermark::{Mark, Watermarks};
use tokio::time::Instant;

use super::{Known, Leases};
use crate::node::Authority;

/// From a report to its telling: those of one record come together.
const GATHER: Duration = Duration::from_millis(20);
/// From one telling to the next.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// How often registrations are renewed, where one is due.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How often all are read: a sixth of a lease of 30 s, as often as followers report.
const READ_EVERY: Duration = Duration::from_secs(5);
/// The pause before an exchange that broke is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(250);
/// Marks of one message: at ~100 B each 100 kB, a tenth of what a broker takes.
const MARKS_MAX: usize = 1_000;

impl Leases {
    /// What other nodes have not heard yet.
    fn untold(&self) -> Vec<Mark> {
        let mut known = self.lock();
        let Known { all, left, .. } = &mut *known;
        let mut marks = std::mem::take(left);
        for (who, entry) in all.iter_mut() {
            if std::mem::take(&mut entry.is_untold) && entry.is_ours {
                marks.push(Mark {
                    name: who.0.clone(),
                    replica: who.1.clone(),
                    seen: entry.lease.seen,
                    positions: entry.lease.positions.clone(),
                    has_left: false,
                });
            }
        }
        marks
    }
}

impl Authority {
    /// Keeps registrations until dropped: tells what was reported, renews, reads.
    pub async fn keep_leases(&self) {
        let (mut renewed_at, mut read_at, mut noted_at) = (Instant::now(), Instant::now(), Instant::now());
        let mut heard = 0;
        let mut ticks = tokio::time::interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.leases.to_tell.notified() => {}
                () = self.journal.grown_beyond(heard) => {}
                _ = ticks.tick() => {}
            }
            tokio::time::sleep(GATHER).await;
            let told_at = Instant::now();
            let heard_now = self.journal.heard();
            // Heartbeats alone move it all the time: nobody waits for those.
            if heard_now != heard || noted_at.elapsed() >= READ_EVERY {
                (heard, noted_at) = (heard_now, told_at);
                self.note_own_place();
            }
            self.tell_marks().await;
            if renewed_at.elapsed() >= RENEW_EVERY {
                renewed_at = Instant::now();
                if let Err(refusal) = self.renew_leases().await {
                    tracing::warn!(%refusal, "registrations cannot be renewed now");
                }
            }
            if read_at.elapsed() >= READ_EVERY {
                read_at = Instant::now();
                if let Err(refusal) = self.read_leases().await {
                    tracing::warn!(%refusal, "registrations cannot be read now");
                }
            }
            tokio::time::sleep_until(told_at + TELL_EVERY).await;
        }
    }

    async fn tell_marks(&self) {
        let marks = self.leases.untold();
        for part in marks.chunks(MARKS_MAX) {
            let told = Watermarks {
                log_id: self.follower.log().log_id,
                node: self.config.replica.as_str().into(),
                marks: part.to_vec(),
            };
            if let Err(error) = self.parts.watermarks.tell(&told).await {
                // Each follower's next report is told anew, and the store has it within ten seconds.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "followers' places were not told"
                );
            }
        }
    }

    /// Hears what other nodes tell, until dropped.
    pub async fn hear_watermarks(&self) {
        loop {
            match self.parts.watermarks.hear().await {
                Ok(mut hearing) => loop {
                    match hearing.next().await {
                        Ok(told) => self.take_watermarks(&told),
                        Err(error) => {
                            tracing::warn!(
                                error = &error as &dyn std::error::Error,
                                "followers' places are not heard"
                            );
                            break;
                        }
                    }
                },
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "followers' places are not heard"
                    );
                }
            }
            tokio::time::sleep(REOPEN_AFTER).await;
        }
    }

    fn take_watermarks(&self, told: &Arc<Watermarks>) {
        let is_own = *told.node == *self.config.replica;
        if !is_own && told.log_id == self.follower.log().log_id {
            self.leases.hear(told, self.config.lease_ms);
        }
    }
}

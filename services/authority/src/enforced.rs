//! Waits until a revocation is ENFORCED, and says who is past it.
//!
//! **Invariant:** only after DURABLE, and only on registrations that were read after that: whoever was ready then had
//! registered before.

use std::time::Duration;

use curfew_core::enforced::{Enforced, Revoked, enforced};
use curfew_core::place::Position;
use curfew_core::time::Millis;
use tokio::time::{Instant, timeout_at};

use crate::answer::Answer;
use crate::node::Authority;

/// Reports of one record come together: they are judged together.
const GATHER: Duration = Duration::from_millis(5);
/// The longest that nobody looks: this node's own place moves without a report.
const LOOK_EVERY_MS: i64 = 50;
/// The pause before registrations that could not be read are read again.
const READ_AGAIN: Duration = Duration::from_millis(250);

impl Authority {
    /// Waits until each registered follower has applied a record that the log has at these positions (of a wide one
    /// all), or its bound is over; at the most until then, and tells how far it is.
    ///
    /// An error where the registrations could not be read: nothing is known of followers then.
    pub async fn wait_enforced(
        &self,
        positions: &[Position],
        durable_at: Millis,
        until: Instant,
    ) -> Answer<Enforced> {
        while let Err(refusal) = self.read_leases_until(until).await {
            if Instant::now() + READ_AGAIN >= until {
                return Err(refusal);
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
        let revoked = Revoked {
            log_id: self.follower.log().log_id,
            positions,
            durable_at,
        };
        loop {
            let changed = self.leases.changed();
            tokio::pin!(changed);
            // Enabled before looking, so that a report between look and wait is not missed.
            changed.as_mut().enable();
            let told = self.judge_enforced(&revoked);
            let Some(next) = told.next_at() else {
                return Ok(told);
            };
            if Instant::now() >= until {
                return Ok(told);
            }
            let ms = next.ms_since(self.wall()).clamp(1, LOOK_EVERY_MS);
            let pause = Duration::from_millis(ms.unsigned_abs());
            tokio::select! {
                () = changed => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(pause) => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    fn judge_enforced(&self, revoked: &Revoked<'_>) -> Enforced {
        let lost = self.leases.lost(self.config.lease_ms, self.config.staleness_ms);
        let leases = self.leases_now();
        enforced(revoked, &leases, lost, self.wall())
    }

    async fn read_leases_until(&self, until: Instant) -> Answer<()> {
        match timeout_at(until, self.read_leases_to_answer()).await {
            Ok(read) => read,
            Err(_) => Err(curfew_core::refusal::Refusal::new(
                curfew_core::refusal::Stage::Request,
                curfew_core::refusal::Reason::StoreUnavailable,
            )),
        }
    }
}

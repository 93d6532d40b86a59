//! When a revocation is ENFORCED: who is past it, whose bound is over, who is waited for.
//!
//! Each registered guard and authority reported past it, or its own bound is over; a lapsed registration counts until
//! lapse and bound; after a change of the directory's incarnation every answer waits the largest bound
//! (DESIGN section 6).
//!
//! **Invariant:** only a report past every position of the record confirms; time alone excuses, and never sooner than
//! the follower's own bound and ε after the record was DURABLE.

use std::sync::Arc;

use crate::directory::Lease;
use crate::place::Position;
use crate::time::{EPSILON_MS, Millis};

/// A record whose enforcement is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revoked<'a> {
    /// The log that it lies in.
    pub log_id: [u8; 16],
    /// Where: one place for a narrow record, one in each log partition for a wide one.
    pub positions: &'a [Position],
    /// No earlier than when the log had it in all those places.
    pub durable_at: Millis,
}

/// Registrations that a change of the directory's incarnation may have lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    /// Until when one of them may have counted.
    until: Millis,
    /// The largest bound that any of them may have had, ms.
    bound_ms: i64,
}

impl Lost {
    /// What was lost when the directory changed. Whoever is alive registers again within a report; whoever is not has
    /// lapsed by then, and counts for its bound. `bound_ms`: the largest bound that is known.
    #[must_use]
    pub const fn at(changed: Millis, lease_ms: i64, bound_ms: i64) -> Self {
        Self {
            until: changed.plus_ms(lease_ms).plus_ms(bound_ms),
            bound_ms,
        }
    }
}

/// One follower, as one answer sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// Its registration.
    pub lease: Arc<Lease>,
    /// When it confirmed, was waited out, or is at the latest; for one without a bound when it was heard last.
    pub at: Millis,
}

/// How far a revocation is at the followers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Enforced {
    /// They have applied it.
    pub confirmed: Vec<Counted>,
    /// They did not report in time, and their own bound is over.
    pub waited_out: Vec<Counted>,
    /// They have not reported past it, and nothing is promised of them: one of their routes has no bound.
    pub unbounded: Vec<Counted>,
    /// They are waited for.
    pub pending: Vec<Counted>,
    /// Until when followers are waited for whose registrations were lost; `None`: none were.
    pub lost_until: Option<Millis>,
}

impl Enforced {
    /// Whether nobody is waited for any more.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.pending.is_empty() && self.lost_until.is_none()
    }

    /// When looking again is worth it though nobody reports; `None`: it is reached.
    #[must_use]
    pub fn next_at(&self) -> Option<Millis> {
        let pending = self.pending.iter().map(|counted| counted.at);
        pending.chain(self.lost_until).min()
    }
}

/// Judges a record by these registrations.
#[must_use]
pub fn enforced<'a>(
    revoked: &Revoked<'_>,
    leases: impl IntoIterator<Item = &'a Arc<Lease>>,
    lost: Option<Lost>,
    now: Millis,
) -> Enforced {
    let mut enforced = Enforced::default();
    for lease in leases {
        let (list, at) = match standing(revoked, lease, now) {
            Standing::NotCounted => continue,
            Standing::Confirmed => (&mut enforced.confirmed, lease.seen),
            Standing::Unbounded => (&mut enforced.unbounded, lease.seen),
            Standing::WaitedOut(at) => (&mut enforced.waited_out, at),
            Standing::Pending(at) => (&mut enforced.pending, at),
        };
        let lease = lease.clone();
        list.push(Counted { lease, at });
    }
    enforced.lost_until = lost
        .filter(|lost| revoked.durable_at < lost.until)
        .map(|lost| over(revoked, lost.bound_ms))
        .filter(|until| now < *until);
    enforced
}

enum Standing {
    NotCounted,
    Confirmed,
    Unbounded,
    WaitedOut(Millis),
    Pending(Millis),
}

fn standing(revoked: &Revoked<'_>, lease: &Lease, now: Millis) -> Standing {
    if lease.counts_until <= revoked.durable_at {
        return Standing::NotCounted;
    }
    if is_past(revoked, lease) {
        return Standing::Confirmed;
    }
    // It is not ready before a heartbeat that was stamped after its registration, and the record lies before that.
    // One that tells a position has a view, and whether it had it before nobody knows: it is waited for.
    let is_new = lease.registered.ms_since(revoked.durable_at) > EPSILON_MS;
    if is_new && lease.positions.is_empty() {
        return Standing::NotCounted;
    }
    let Some(bound_ms) = lease.bound_ms else {
        return Standing::Unbounded;
    };
    // One that lapsed before counts no longer than it would without this record.
    let over = over(revoked, bound_ms).min(lease.counts_until.plus_ms(EPSILON_MS));
    if now >= over {
        Standing::WaitedOut(over)
    } else {
        Standing::Pending(over)
    }
}

/// When a bound is over: G1 says t − a ≤ X + ε.
fn over(revoked: &Revoked<'_>, bound_ms: i64) -> Millis {
    revoked.durable_at.plus_ms(bound_ms).plus_ms(EPSILON_MS)
}

/// Whether it reported past every place of the record, in that log.
fn is_past(revoked: &Revoked<'_>, lease: &Lease) -> bool {
    let has_applied = |position: &Position| {
        let next = lease.positions.get(position.partition.index());
        next.is_some_and(|next| position.offset < *next)
    };
    lease.log_id == revoked.log_id
        && !revoked.positions.is_empty()
        && revoked.positions.iter().all(has_applied)
}

#[cfg(test)]
mod tests;

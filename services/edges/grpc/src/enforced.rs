//! ENFORCED, as callers are told it: who confirmed, who was waited out, who has no bound, who is pending.
//!
//! **Invariant:** the level is told only where nobody is waited for; where the time is over, DURABLE and who is pending.

use curfew_authority::Instant;
use curfew_core::enforced::{Counted, Enforced};
use curfew_core::place::Position;
use curfew_core::time::Millis;
use curfew_proto::revocation::v1 as pb;

use crate::convert::timestamp;
use crate::limits::Standing;
use crate::published::bound;
use crate::shared::{Call, Shared};

/// A record that the log has.
#[derive(Debug)]
pub(crate) struct Durable {
    /// Where: of a wide one in every log partition.
    pub(crate) positions: Vec<Position>,
    /// No earlier than it was there.
    pub(crate) at: Millis,
}

/// The same acknowledgement, once the record is ENFORCED or the time is over.
pub(crate) async fn by(
    shared: &Shared,
    acknowledgement: pb::Acknowledgement,
    durable: &Durable,
    until: Instant,
) -> pb::Acknowledgement {
    let waited = shared
        .authority
        .wait_enforced(&durable.positions, durable.at, until);
    let waited = tokio::select! {
        waited = waited => waited,
        // Whoever waits asks again elsewhere: not reaching the level is an answer.
        () = shared.drained() => return acknowledgement,
    };
    match waited {
        Ok(enforced) => with(acknowledgement, &enforced),
        Err(refusal) => {
            tracing::warn!(%refusal, "it is not known who must apply a revocation; it is told as DURABLE");
            acknowledgement
        }
    }
}

/// The same for a call that ends something: it gives its turn to others while it waits.
pub(crate) async fn within_call(
    call: &Call,
    acknowledgement: pb::Acknowledgement,
    durable: &Durable,
) -> pb::Acknowledgement {
    let Ok(_place) = call.shared.limits.waits.enter(Standing::Common) else {
        // Its work is done; whoever wants to know more asks by WaitRevocation.
        return acknowledgement;
    };
    call.rest();
    let most = Instant::now() + call.shared.settings.call_time_max / 2;
    let until = curfew_authority::answer_by().unwrap_or(most);
    by(&call.shared, acknowledgement, durable, until).await
}

fn with(acknowledgement: pb::Acknowledgement, enforced: &Enforced) -> pb::Acknowledgement {
    let level = if enforced.is_reached() {
        pb::AckLevel::Enforced.into()
    } else {
        acknowledgement.level
    };
    pb::Acknowledgement {
        level,
        confirmed: statuses(&enforced.confirmed),
        waited_out: statuses(&enforced.waited_out),
        unbounded: statuses(&enforced.unbounded),
        pending: statuses(&enforced.pending),
        ..acknowledgement
    }
}

fn statuses(counted: &[Counted]) -> Vec<pb::FollowerStatus> {
    let status = |counted: &Counted| pb::FollowerStatus {
        name: counted.lease.name.to_string(),
        replica: counted.lease.replica.to_string(),
        bound: bound(counted.lease.bound_ms),
        time: Some(timestamp(counted.at)),
    };
    counted.iter().map(status).collect()
}

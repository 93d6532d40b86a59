//! Updates of a living session: what its caller may change, and a step-up.
//!
//! **Invariant:** a step-up changes the session, never a grant: it reaches a client only through a
//! new authorization (P13).

use std::sync::Arc;

use crate::decide::session_claims::SessionClaims;
use crate::decide::{Book, Context, Verdict, mint};
use crate::mac::Entropy;
use crate::record::OperationRef;
use crate::refusal::{Reason, Refusal, Stage};
use crate::session::{Device, Proof, Row};
use crate::stored::Decision;
use crate::subject::Gate;

/// What to change; `None` leaves as it is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Request {
    /// The device, as far as its label and posture go; another id is refused.
    pub device: Option<Device>,
    /// All claims.
    pub claims: Option<serde_json::Map<String, serde_json::Value>>,
    /// Idle timeout, ms.
    pub idle_timeout_ms: Option<i64>,
    /// The program.
    pub user_agent: Option<Arc<str>>,
    /// Where it is used from.
    pub client_ip: Option<Arc<str>>,
    /// A new proof: the step-up.
    pub proof: Option<Proof>,
    /// Counts as activity.
    pub is_activity: bool,
    /// The caller's operation.
    pub operation: Option<OperationRef>,
}

/// Decides an update.
pub fn update(
    context: &Context<'_>,
    row: Option<&Row>,
    gate: Option<&Gate>,
    request: &Request,
    entropy: &mut Entropy,
    result: impl FnOnce() -> Vec<u8>,
) -> Decision<Verdict<Row>> {
    let mut book = Book::new(context, entropy);
    match decide(context, row, gate, request) {
        Err(refusal) => Decision::of(context.partition, Verdict::Refused(refusal)),
        Ok(row) => {
            book.write_row(row.clone());
            book.remember(context.tenant.id, request.operation, result());
            book.close(Verdict::Granted(row))
        }
    }
}

fn decide(
    context: &Context<'_>,
    row: Option<&Row>,
    gate: Option<&Gate>,
    request: &Request,
) -> Result<Row, Refusal> {
    let stage = if request.proof.is_some() {
        Stage::AdditionalControls
    } else {
        Stage::Request
    };
    let mut row = row
        .ok_or_else(|| Refusal::new(stage, Reason::SessionUnknown))?
        .clone();
    mint::row_is_alive(context, &row, stage)?;
    mint::gate_permits(gate, &row, stage)?;
    let claims = SessionClaims::of_row(&row, context.now);
    if let Some((by, _)) = mint::coverage(context, gate, &claims, stage)? {
        return Err(Refusal::new(stage, Reason::Revoked).by(by));
    }
    if let Some(device) = &request.device {
        // A device cut-off is compared with tokens by id: a session does not change hands.
        if row.device.as_ref().is_some_and(|present| present.id != device.id) {
            return Err(Refusal::new(stage, Reason::FieldInvalid).about("device.id cannot change"));
        }
        row.device = Some(device.clone());
    }
    if let Some(claims) = &request.claims {
        row.claims = claims.clone();
    }
    if let Some(ms) = request.idle_timeout_ms {
        row.idle_timeout_ms = ms;
    }
    if let Some(user_agent) = &request.user_agent {
        row.user_agent = Some(user_agent.clone());
    }
    if let Some(client_ip) = &request.client_ip {
        row.client_ip = Some(client_ip.clone());
    }
    if let Some(proof) = &request.proof {
        row.proof = proof.clone();
    }
    if request.is_activity || request.proof.is_some() {
        row.last_used = context.now;
    }
    Ok(row)
}

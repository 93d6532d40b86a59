//! App-only tokens: a client acts for itself; no user, no session, no refresh token.
//!
//! **Invariant:** the workload has a gate like any subject, so it can be cut off and disabled.

use std::sync::Arc;

use crate::access_token::AccessToken;
use crate::decide::mint::{self, ProvenClient};
use crate::decide::{Book, Context, Halt, Verdict};
use crate::ids::{Scope, SubjectId, SubjectKey};
use crate::mac::Entropy;
use crate::refusal::{Reason, Refusal, Stage};
use crate::stored::Decision;
use crate::subject::Gate;

/// What is asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The client, and what it proved.
    pub client: ProvenClient,
    /// The client as a subject; users and workloads share one id space.
    pub subject: SubjectId,
    /// Its key.
    pub subject_key: SubjectKey,
    /// The resource, by id or audience.
    pub resource: Option<Arc<str>>,
    /// The roles; empty: all that the client holds there.
    pub roles: Vec<Scope>,
}

/// Decides an app-only token; it is unsigned.
pub fn app_token(
    context: &Context<'_>,
    gate: Option<&Gate>,
    request: &Request,
    entropy: &mut Entropy,
) -> Decision<Verdict<AccessToken>> {
    let mut book = Book::new(context, entropy);
    match decide(&mut book, gate, request) {
        Ok(access) => book.close(Verdict::Granted(access)),
        Err(halt) => Decision::of(context.partition, halt.into()),
    }
}

fn decide(book: &mut Book<'_>, gate: Option<&Gate>, request: &Request) -> Result<AccessToken, Halt> {
    let context = book.context;
    let stage = Stage::Issuance;
    let refuse = |reason| Halt::Refused(Refusal::new(stage, reason));
    let client = mint::client_is_alive(context, &request.client.id, stage)?;
    if !client.is_confidential() {
        return Err(refuse(Reason::ClientNotPermitted));
    }
    if !request.client.is_authenticated {
        return Err(refuse(Reason::ClientAuthenticationFailed));
    }
    if !context.tenant.disables.is_empty() {
        return Err(refuse(Reason::TenantDisabled));
    }
    let asked = request.resource.as_deref();
    let resource = mint::resource_for(context.directory, client, &[], asked, stage)?;
    let held = client.app_roles.get(&resource.id).map_or(&[][..], Vec::as_slice);
    if let Some(role) = request.roles.iter().find(|role| !held.contains(role)) {
        return Err(Halt::Refused(
            Refusal::new(stage, Reason::RoleNotHeld).about(role.to_string()),
        ));
    }
    let roles = if request.roles.is_empty() {
        held.to_vec()
    } else {
        request.roles.clone()
    };
    if roles.is_empty() {
        return Err(refuse(Reason::RoleNotHeld));
    }
    if let Some(gate) = gate {
        if gate.subject != request.subject || gate.tenant != context.tenant.id {
            return Err(refuse(Reason::SubjectMismatch));
        }
        if gate.is_disabled() {
            return Err(refuse(Reason::SubjectDisabled));
        }
        if let Some(second) = mint::release_from(context, gate) {
            return Err(Halt::NotBefore(second));
        }
    }
    let key = request.client.key.clone();
    let access = mint::app_only(
        context,
        client,
        request.subject.clone(),
        resource,
        roles,
        key,
        book.entropy,
    );
    mint::judge_new(context, gate, &access, stage)?;
    let gate = gate.cloned();
    let is_kept = gate
        .as_ref()
        .is_some_and(|gate| gate.needed_until >= access.expires_at);
    if !is_kept {
        let mut gate = gate.unwrap_or_else(|| Gate::open(context.tenant.id, request.subject.clone()));
        gate.needed_for(access.expires_at);
        book.write_gate(request.subject_key, gate);
    }
    Ok(access)
}

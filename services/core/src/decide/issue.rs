//! Issuing: a grant of a client inside a session, with its first tokens.
//!
//! **Invariant:** a grant keeps what had been proven when it was issued; a grant is born when its
//! authorization is given.

use std::sync::Arc;

use crate::access_token::{AccessToken, IdToken};
use crate::decide::mint::{self, ProvenClient};
use crate::decide::{Book, Context, Halt, Motive, Verdict, cause};
use crate::directory::{AtCap, Client, Resource};
use crate::ids::{GrantId, RecordId, Scope, SessionId, SubjectKey};
use crate::mac::Entropy;
use crate::record::OperationRef;
use crate::refresh_token::RefreshToken;
use crate::refusal::{Reason, Refusal, Stage};
use crate::secret::GrantSecret;
use crate::session::{GRANTS_KEPT_MAX, GRANTS_MAX, GRANTS_PER_CLIENT_MAX, Grant, Life, Row};
use crate::stored::Decision;
use crate::subject::Gate;
use crate::time::Millis;

/// The generation that a grant begins with.
const FIRST_GENERATION: u32 = 0;

/// What is asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The session.
    pub sid: SessionId,
    /// The subject, by its key.
    pub subject_key: SubjectKey,
    /// The client, and what it proved.
    pub client: ProvenClient,
    /// The resource, by id or audience.
    pub resource: Option<Arc<str>>,
    /// The consented scopes.
    pub scopes: Vec<Scope>,
    /// `nonce` of the authorization request.
    pub nonce: Option<Arc<str>>,
    /// When the authorization was given; `None`: now.
    pub authorized_at: Option<Millis>,
    /// The client says that it handles claims challenges.
    pub cp1: bool,
    /// The caller's operation.
    pub operation: Option<OperationRef>,
}

/// What was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The refresh token of generation 0, untagged.
    pub refresh: RefreshToken,
    /// The access token, unsigned.
    pub access: AccessToken,
    /// The ID token, unsigned, where `openid` was granted.
    pub id: Option<IdToken>,
    /// The granted scopes.
    pub scopes: Vec<Scope>,
    /// When the grant is over.
    pub grant_expires_at: Millis,
    /// When the session is over.
    pub session_expires_at: Millis,
    /// The grant that the cap ended, and the record that tells it.
    pub ended: Option<(GrantId, RecordId)>,
}

/// Decides an issuance. `replay`: the grant of a remembered operation, whose tokens are made again.
pub fn issue(
    context: &Context<'_>,
    row: Option<&Row>,
    gate: Option<&Gate>,
    request: &Request,
    replay: Option<GrantId>,
    entropy: &mut Entropy,
    result: impl FnOnce(&Issued) -> Vec<u8>,
) -> Decision<Verdict<Issued>> {
    let mut book = Book::new(context, entropy);
    match decide(&mut book, row, gate, request, replay) {
        Ok(issued) => {
            if replay.is_none() {
                book.remember(context.tenant.id, request.operation, result(&issued));
            }
            book.close(Verdict::Granted(issued))
        }
        Err(halt) => Decision::of(context.partition, halt.into()),
    }
}

fn decide(
    book: &mut Book<'_>,
    row: Option<&Row>,
    gate: Option<&Gate>,
    request: &Request,
    replay: Option<GrantId>,
) -> Result<Issued, Halt> {
    let context = book.context;
    let stage = Stage::Issuance;
    let refuse = |reason| Halt::Refused(Refusal::new(stage, reason));
    let mut row = row.ok_or_else(|| refuse(Reason::SessionUnknown))?.clone();
    mint::row_is_alive(context, &row, stage)?;
    mint::gate_permits(gate, &row, stage)?;
    let client = mint::client_is_alive(context, &request.client.id, stage)?;
    if client.is_confidential() && !request.client.is_authenticated {
        return Err(refuse(Reason::ClientAuthenticationFailed));
    }
    let asked = request.resource.as_deref();
    let resource = mint::resource_for(context.directory, client, &[], asked, stage)?;
    scopes_are_known(client, resource, &request.scopes)?;
    if mint::sign_in_again_at(context, &row.proof).is_some_and(|at| context.now >= at) {
        return Err(refuse(Reason::SignInFrequency));
    }
    if let Some(second) = gate.and_then(|gate| mint::release_from(context, gate)) {
        return Err(Halt::NotBefore(second));
    }

    let (mut grant, ended) = match replay {
        Some(gid) => (
            row.grant(gid)
                .filter(|grant| grant.client == request.client.id)
                .cloned()
                .ok_or_else(|| refuse(Reason::GrantUnknown))?,
            None,
        ),
        None => {
            let ended = make_room(book, &mut row, request)?;
            (new_grant(book, &row, client, resource, request), ended)
        }
    };
    if !grant.life.is_alive() {
        return Err(refuse(Reason::GrantEnded));
    }
    let scopes = grant.scopes.clone();
    let access = mint::delegated(
        context,
        &row,
        &grant,
        client,
        resource,
        scopes.clone(),
        book.entropy,
    );
    mint::judge_new(context, gate, &access, stage)?;
    if access.expires_at <= context.now {
        return Err(refuse(Reason::SessionExpired));
    }
    let has_openid = scopes.iter().any(|scope| scope.as_str() == mint::OPENID);
    let id = has_openid.then(|| mint::id_token(context, &row, &grant, request.nonce.clone()));
    grant.latest_expiry = grant.latest_expiry.max(access.expires_at);
    row.latest_expiry = row.latest_expiry.max(access.expires_at);
    let refresh = RefreshToken {
        sid: row.sid,
        subject_key: request.subject_key,
        incarnation: context.incarnation,
        grant: grant.gid.low(),
        // A retry gets what its first try made: of a grant that was refreshed since, never the token that
        // lives now (P28).
        generation: FIRST_GENERATION,
        salt: grant.salt(FIRST_GENERATION),
    };
    let issued = Issued {
        refresh,
        access,
        id,
        scopes,
        grant_expires_at: grant.expires_at,
        session_expires_at: context.session_ends_at(&row),
        ended,
    };
    match row.grant_by_low_mut(grant.gid.low()) {
        Some(present) => *present = grant,
        None => row.grants.push(grant),
    }
    book.write_row(row);
    Ok(issued)
}

fn scopes_are_known(client: &Client, resource: &Resource, asked: &[Scope]) -> Result<(), Halt> {
    let is_known = |scope: &Scope| {
        let of_resource = mint::is_of_openid(scope) || resource.scopes.contains(scope);
        of_resource && (client.scopes.is_empty() || client.scopes.contains(scope))
    };
    match asked.iter().find(|scope| !is_known(scope)) {
        None => Ok(()),
        Some(scope) => Err(Halt::Refused(
            Refusal::new(Stage::Issuance, Reason::ScopeUnknown).about(scope.to_string()),
        )),
    }
}

fn new_grant(
    book: &mut Book<'_>,
    row: &Row,
    client: &Client,
    resource: &Resource,
    request: &Request,
) -> Grant {
    let now = book.context.now;
    // An authorization is given in the session, not before it and not in the future.
    let birth = request.authorized_at.unwrap_or(now).min(now).max(row.sid.birth());
    let expires_at = client
        .grant_life_ms
        .map_or(row.expires_at, |ms| now.plus_ms(ms).min(row.expires_at));
    Grant {
        gid: GrantId::new(birth, book.context.partition, book.entropy.draw()),
        client: client.id.clone(),
        resources: match request.resource {
            Some(_) => vec![resource.id.clone()],
            None => Vec::new(),
        },
        scopes: request.scopes.clone(),
        proof: row.proof.clone(),
        binding: request.client.key.clone(),
        life: Life::Alive,
        expires_at,
        secret: GrantSecret::new(book.entropy.draw()),
        generation: FIRST_GENERATION,
        presented: None,
        rotated_at: Millis::ZERO,
        last_used: now,
        latest_expiry: Millis::ZERO,
        incarnation: book.context.incarnation,
        cp1: request.cp1,
    }
}

/// At a cap of grants: refuses, or ends the one unused longest, published and told (P30).
fn make_room(
    book: &mut Book<'_>,
    row: &mut Row,
    request: &Request,
) -> Result<Option<(GrantId, RecordId)>, Halt> {
    // What time has ended holds no place, and nobody ends it a second time.
    row.forget_expired_grants(book.context.now);
    row.forget_ended_grants(book.context.now);
    // Ended ones stay until their last access token is over: whoever issues in a loop waits for that,
    // so that there is always room in the row for an ending.
    if row.grants.len() >= GRANTS_KEPT_MAX {
        return Err(Halt::Refused(Refusal::new(Stage::Issuance, Reason::CapGrants)));
    }
    let of_client = row
        .live_grants()
        .filter(|grant| grant.client == request.client.id)
        .count();
    let of_client_is_full = of_client >= GRANTS_PER_CLIENT_MAX;
    if !of_client_is_full && row.live_grants().count() < GRANTS_MAX {
        return Ok(None);
    }
    if book.context.tenant.at_cap == AtCap::Refuse {
        return Err(Halt::Refused(Refusal::new(Stage::Issuance, Reason::CapGrants)));
    }
    let longest = row
        .live_grants()
        .filter(|grant| !of_client_is_full || grant.client == request.client.id)
        .min_by_key(|grant| (grant.last_used, grant.gid))
        .map(|grant| grant.gid);
    let motive = Motive::policy(cause::grant_cap(), request.operation);
    Ok(longest.and_then(|gid| Some((gid, book.end_grant(row, gid, request.subject_key, &motive)?))))
}

//! Minting: whether a token may be made, how long it lives, and what it says.
//!
//! Every token is judged before it is minted, by the coverage function that a guard will use on it.
//!
//! **Invariant:** `exp` is never later than what the row remembers and what `L` permits.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::access_token::{AccessToken, Authority, IdToken};
use crate::claims::{Claims, Malformed};
use crate::decide::{Context, Halt};
use crate::directory::{Client, DirectoryView, ORDINARY_LIFE_MS, Resource, UNDECLARED_LIFE_MAX_MS};
use crate::ids::{GrantId, Scope, TenantId, TokenId};
use crate::index::{Covering, Index, LayeredIndex};
use crate::mac::Entropy;
use crate::refusal::{Reason, Refusal, RevokedBy, Stage};
use crate::session::{Grant, Proof, Row};
use crate::subject::Gate;
use crate::time::Millis;

/// Life of an ID token, ms.
pub const ID_TOKEN_LIFE_MS: i64 = 3_600_000;
/// The scope that asks for an ID token (OpenID Connect Core section 3.1.2.1).
pub const OPENID: &str = "openid";

/// Whether the scope is OpenID Connect's own, which no resource lists.
#[must_use]
pub fn is_of_openid(scope: &Scope) -> bool {
    matches!(scope.as_str(), OPENID | "offline_access")
}

/// What a client proved when it called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProvenClient {
    /// Its record.
    pub id: crate::ids::ClientId,
    /// It authenticated itself.
    pub is_authenticated: bool,
    /// The key that it proved to hold.
    pub key: Option<crate::session::KeyBinding>,
}

/// Judges claims by gate, directory and this authority's own index: one coverage function.
///
/// `Ok(None)`: nothing covers it.
pub fn coverage(
    context: &Context<'_>,
    gate: Option<&Gate>,
    token: &impl Claims,
    stage: Stage,
) -> Result<Option<(RevokedBy, Option<Millis>)>, Refusal> {
    let wide = &context.directory.wide_index;
    covered_by(context.tenant.id, gate, wide, context.index, token, stage)
}

/// The same for a token that no transaction mints: a caller's own.
pub fn covered_by(
    tenant: TenantId,
    gate: Option<&Gate>,
    wide: &Index,
    own: Option<&LayeredIndex>,
    token: &impl Claims,
    stage: Stage,
) -> Result<Option<(RevokedBy, Option<Millis>)>, Refusal> {
    let issuer = tenant.own_issuer();
    let found = |covered: Result<Option<Covering<'_>>, Malformed>| match covered {
        Ok(covering) => Ok(covering.map(|it| (RevokedBy::of(it.winner), it.before))),
        Err(error) => Err(Refusal::new(stage, Reason::ClaimMalformed).about(error.to_string())),
    };
    let gate_index = gate.map(Gate::index).unwrap_or_default();
    if let Some(by) = found(gate_index.covered(tenant, issuer, token))? {
        return Ok(Some(by));
    }
    if let Some(by) = found(wide.covered(tenant, issuer, token))? {
        return Ok(Some(by));
    }
    own.map_or(Ok(None), |own| found(own.covered(tenant, issuer, token)))
}

/// What may not be minted yet, for something new: a cut-off that lies ahead is waited for.
pub fn judge_new(
    context: &Context<'_>,
    gate: Option<&Gate>,
    token: &impl Claims,
    stage: Stage,
) -> Result<(), Halt> {
    match coverage(context, gate, token, stage)? {
        None => Ok(()),
        Some((_, Some(before))) if before > context.now => Err(Halt::NotBefore(before)),
        Some((by, _)) => Err(Halt::Refused(Refusal::new(stage, Reason::Revoked).by(by))),
    }
}

/// Receivers that know only seconds get a cut-off rounded up; nothing is released before that second.
#[must_use]
pub fn release_from(context: &Context<'_>, gate: &Gate) -> Option<Millis> {
    let second = Millis::from_unix_seconds(gate.cut_off.default_instant().seconds_ceil());
    (second > context.now).then_some(second)
}

/// Whether the gate's subject may be issued anything.
pub fn gate_permits(gate: Option<&Gate>, row: &Row, stage: Stage) -> Result<(), Refusal> {
    let Some(gate) = gate else {
        return Err(Refusal::new(stage, Reason::SubjectUnknown));
    };
    if gate.tenant != row.tenant || gate.subject != row.subject {
        return Err(Refusal::new(stage, Reason::SubjectMismatch));
    }
    if gate.is_disabled() {
        return Err(Refusal::new(stage, Reason::SubjectDisabled));
    }
    Ok(())
}

/// Whether the row is alive: its tenant is, and it is not ended, not expired, not below the floor.
pub fn row_is_alive(context: &Context<'_>, row: &Row, stage: Stage) -> Result<(), Refusal> {
    if row.tenant != context.tenant.id {
        return Err(Refusal::new(stage, Reason::SessionUnknown));
    }
    if !context.tenant.disables.is_empty() {
        return Err(Refusal::new(stage, Reason::TenantDisabled));
    }
    if let Some(ending) = row.life.ending() {
        return Err(Refusal::new(stage, Reason::SessionEnded).about(format!("cause {}", ending.cause)));
    }
    if row.written_at < context.record.floor {
        return Err(Refusal::new(stage, Reason::FloorPassed));
    }
    if context.now >= context.session_ends_at(row) {
        return Err(Refusal::new(stage, Reason::SessionExpired));
    }
    if context.now >= row.idle_expires_at() {
        return Err(Refusal::new(stage, Reason::SessionIdle));
    }
    Ok(())
}

/// The instant from which the tenant wants a new sign-in.
#[must_use]
pub fn sign_in_again_at(context: &Context<'_>, proof: &Proof) -> Option<Millis> {
    context
        .tenant
        .sign_in_frequency_ms
        .map(|ms| proof.auth_time.plus_ms(ms))
}

/// Finds the client and says whether it may be issued anything.
pub fn client_is_alive<'d>(
    context: &Context<'d>,
    id: &crate::ids::ClientId,
    stage: Stage,
) -> Result<&'d Arc<Client>, Refusal> {
    let client = context.directory.client(context.tenant.id, id);
    let client = client.ok_or_else(|| Refusal::new(stage, Reason::ClientUnknown).about(id.to_string()))?;
    if !client.disables.is_empty() {
        return Err(Refusal::new(stage, Reason::ClientDisabled).about(id.to_string()));
    }
    Ok(client)
}

/// Finds the resource that is asked for, among those that the client may name.
///
/// Without a name: the only one that it may name.
pub fn resource_for<'d>(
    directory: &'d DirectoryView,
    client: &Client,
    permitted: &[crate::ids::ResourceId],
    asked: Option<&str>,
    stage: Stage,
) -> Result<&'d Arc<Resource>, Refusal> {
    let may = |resource: &Resource| {
        (client.resources.is_empty() || client.resources.contains(&resource.id))
            && (permitted.is_empty() || permitted.contains(&resource.id))
    };
    let Some(asked) = asked else {
        let mut all = directory
            .resources
            .iter()
            .filter(|((tenant, _), r)| *tenant == client.tenant && may(r));
        return match (all.next(), all.next()) {
            (Some((_, only)), None) => Ok(only),
            (Some(_), Some(_)) => {
                Err(Refusal::new(stage, Reason::ResourceUnknown)
                    .about("name one: the client may call several"))
            }
            (None, _) => Err(Refusal::new(stage, Reason::ResourceNotPermitted)),
        };
    };
    let resource = directory
        .resource(client.tenant, asked)
        .ok_or_else(|| Refusal::new(stage, Reason::ResourceUnknown).about(asked.to_owned()))?;
    if may(resource) {
        Ok(resource)
    } else {
        Err(Refusal::new(stage, Reason::ResourceNotPermitted).about(asked.to_owned()))
    }
}

/// A delegated access token for a grant, not yet judged.
pub fn delegated(
    context: &Context<'_>,
    row: &Row,
    grant: &Grant,
    client: &Client,
    resource: &Resource,
    scopes: Vec<Scope>,
    entropy: &mut Entropy,
) -> AccessToken {
    let declared = grant.cp1
        && client.cp1
        && resource.guarded
        && context.guarded_now.contains(&resource.audience)
        && context.tail_is_fresh
        && (grant.binding.is_some() || client.is_confidential());
    let bound = [
        Some(context.session_ends_at(row)),
        Some(grant.expires_at),
        sign_in_again_at(context, &grant.proof),
    ];
    let expires_at = expiry(context, resource, declared, bound.into_iter().flatten(), entropy);
    AccessToken {
        issuer: issuer_of(context),
        kid: context.signing_key.clone(),
        subject: row.subject.clone(),
        audience: resource.audience.clone(),
        client: grant.client.clone(),
        jti: TokenId::new(context.now, context.partition, entropy.draw()),
        gid: grant.gid,
        tenant: context.tenant.id,
        issued_at: context.now,
        expires_at,
        authority: Authority::Delegated {
            sid: row.sid,
            scopes,
            proof: grant.proof.clone(),
        },
        idp: row.idp.clone(),
        device: row.device.as_ref().map(|device| device.id.clone()),
        cp1: grant.cp1 && client.cp1,
        binding: grant.binding.clone(),
        chain: Vec::new(),
        custom: mapped_claims(row, resource),
    }
}

/// An app-only access token, not yet judged.
pub fn app_only(
    context: &Context<'_>,
    client: &Client,
    subject: crate::ids::SubjectId,
    resource: &Resource,
    roles: Vec<Scope>,
    key: Option<crate::session::KeyBinding>,
    entropy: &mut Entropy,
) -> AccessToken {
    let jti = TokenId::new(context.now, context.partition, entropy.draw());
    AccessToken {
        issuer: issuer_of(context),
        kid: context.signing_key.clone(),
        subject,
        audience: resource.audience.clone(),
        client: client.id.clone(),
        jti,
        gid: GrantId::of_token(jti),
        tenant: context.tenant.id,
        issued_at: context.now,
        expires_at: expiry(context, resource, false, std::iter::empty(), entropy),
        authority: Authority::AppOnly { roles },
        idp: None,
        device: None,
        cp1: false,
        binding: key,
        chain: Vec::new(),
        custom: Map::new(),
    }
}

/// The ID token beside an access token of this grant.
#[must_use]
pub fn id_token(context: &Context<'_>, row: &Row, grant: &Grant, nonce: Option<Arc<str>>) -> IdToken {
    let expires_at = context
        .now
        .plus_ms(ID_TOKEN_LIFE_MS)
        .min(context.session_ends_at(row));
    IdToken {
        issuer: issuer_of(context),
        subject: row.subject.clone(),
        client: grant.client.clone(),
        sid: row.sid,
        tenant: context.tenant.id,
        issued_at: context.now,
        expires_at,
        proof: grant.proof.clone(),
        nonce,
        idp: row.idp.clone(),
    }
}

fn issuer_of(context: &Context<'_>) -> Arc<str> {
    context
        .tenant
        .issuer_spellings
        .first()
        .cloned()
        .unwrap_or_else(|| "".into())
}

/// `min(ceiling, bounds)`, with jitter that shortens only, as a whole second.
fn expiry(
    context: &Context<'_>,
    resource: &Resource,
    declared: bool,
    bounds: impl Iterator<Item = Millis>,
    entropy: &mut Entropy,
) -> Millis {
    let asked = resource.access_token_life_ms.unwrap_or(ORDINARY_LIFE_MS);
    let undeclared = if declared {
        asked
    } else {
        asked.min(UNDECLARED_LIFE_MAX_MS)
    };
    let ceiling = undeclared.min(context.lifetimes().mintable_ms(context.now));
    // Jitter spreads renewals: 0 to −10 % in 256 steps (P43).
    let [step] = entropy.draw::<1>();
    let ceiling = ceiling - ceiling / 10 * i64::from(step) / 255;
    let expires_at = bounds.fold(context.now.plus_ms(ceiling), Millis::min);
    Millis::from_unix_seconds(expires_at.seconds_floor())
}

fn mapped_claims(row: &Row, resource: &Resource) -> Map<String, Value> {
    resource
        .claims
        .iter()
        .filter_map(|(token, session)| Some((token.to_string(), row.claims.get(&**session)?.clone())))
        .collect()
}

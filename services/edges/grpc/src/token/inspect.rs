//! Introspection, explanation, the key set.

use curfew_authority::{Explanation, TokenKind};
use curfew_core::mac::sha256;
use curfew_core::refusal::Refusal;
use curfew_jose::{Jws, Limits, numeric_date};
use curfew_proto::token::v1 as pb;
use prost_types::Timestamp;
use serde_json::{Map, Value};
use tonic::Status;

use super::ask::presented;
use crate::check::{Check, LONG_TEXT_MAX, TEXT_MAX};
use crate::convert::{duration, initiator_number, stage_number, struct_of_json, timestamp};
use crate::name;
use crate::shared::Call;
use crate::status::{Of, short};

fn text(claims: &Map<String, Value>, name: &str) -> String {
    claims
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn texts(claims: &Map<String, Value>, name: &str) -> Vec<String> {
    match claims.get(name) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

fn instant(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    let ms = numeric_date(claims, name).ok().flatten()?;
    Some(timestamp(curfew_core::time::Millis::from_unix_ms(ms)))
}

fn kind_of(claims: &Map<String, Value>) -> pb::TokenKind {
    if claims.contains_key("chain") {
        pb::TokenKind::Exchanged
    } else if claims.contains_key("sid") {
        pb::TokenKind::Access
    } else {
        pb::TokenKind::App
    }
}

/// The kind of a token that was found to be authentic.
pub(super) fn kind_of_text(token: &str) -> pb::TokenKind {
    match Jws::parse(token, Limits::DEFAULT) {
        Ok(jws) => kind_of(jws.claims()),
        Err(_) => pb::TokenKind::Refresh,
    }
}

/// IntrospectToken.
pub(super) async fn introspect(
    call: &Call,
    request: pb::IntrospectTokenRequest,
) -> Result<pb::IntrospectTokenResponse, Status> {
    let mut check = Check::default();
    let place = call.parent(&mut check, "parent", &request.parent)?;
    let token = presented(&mut check, "token", &request.token);
    check.text("token_type_hint", &request.token_type_hint, TEXT_MAX);
    let audience = check.text("audience", &request.audience, LONG_TEXT_MAX);
    let (tenant, token) = call.done(check, place.tenant().zip(token))?;
    let seen = call
        .authority()
        .introspect(tenant.id, &token)
        .await
        .map_err(call.refuse(Of::Request))?;
    let is_for = |claims: &Map<String, Value>| {
        audience
            .as_ref()
            .is_none_or(|audience| texts(claims, "aud").iter().any(|aud| **aud == **audience))
    };
    let Some(claims) = seen.active.filter(is_for) else {
        return Ok(pb::IntrospectTokenResponse::default());
    };
    let cnf = claims.get("cnf").and_then(Value::as_object);
    let is_dpop = cnf.is_some_and(|cnf| cnf.contains_key("jkt"));
    Ok(pb::IntrospectTokenResponse {
        active: true,
        scope: text(&claims, "scp"),
        client_id: text(&claims, "client_id"),
        username: String::new(),
        token_type: if is_dpop { "DPoP" } else { "Bearer" }.to_owned(),
        expire_time: instant(&claims, "exp"),
        issue_time: instant(&claims, "iat"),
        not_before_time: instant(&claims, "nbf"),
        sub: text(&claims, "sub"),
        aud: texts(&claims, "aud"),
        iss: text(&claims, "iss"),
        jti: text(&claims, "jti"),
        cnf: cnf.map(struct_of_json),
        sid: text(&claims, "sid"),
        gid: text(&claims, "gid"),
        auth_time: instant(&claims, "auth_time"),
        acr: text(&claims, "acr"),
        amr: texts(&claims, "amr"),
        roles: texts(&claims, "roles"),
        kind: kind_of(&claims).into(),
        claims: Some(struct_of_json(&claims)),
    })
}

/// ExplainToken.
pub(super) async fn explain(
    call: &Call,
    request: pb::ExplainTokenRequest,
) -> Result<pb::ExplainTokenResponse, Status> {
    let mut check = Check::default();
    let place = call.parent(&mut check, "parent", &request.parent)?;
    let token = presented(&mut check, "token", &request.token);
    let sent_to = check.text("sent_to", &request.sent_to, LONG_TEXT_MAX);
    let (tenant, token) = call.done(check, place.tenant().zip(token))?;
    let explained: Explanation = call
        .authority()
        .explain(tenant.id, &token, sent_to.as_deref())
        .await
        .map_err(call.refuse(Of::Request))?;
    let kind = match explained.kind {
        TokenKind::Access => pb::TokenKind::Access,
        TokenKind::App => pb::TokenKind::App,
        TokenKind::Exchanged => pb::TokenKind::Exchanged,
        TokenKind::Id => pb::TokenKind::Id,
        TokenKind::Refresh => pb::TokenKind::Refresh,
        TokenKind::Unknown => pb::TokenKind::Unspecified,
    };
    let refused = explained.refused.as_ref();
    let told = |f: &dyn Fn(&Refusal) -> String| refused.map(f).unwrap_or_default();
    let help_base = &call.shared.settings.help_base;
    let revoked_by = refused.and_then(|refusal| refusal.by.as_ref());
    let issuer = if explained.is_authentic {
        name::tenant(&tenant.name)
    } else {
        String::new()
    };
    let session = explained.session.as_ref();
    let explanation = pb::TokenExplanation {
        kind: kind.into(),
        alive: refused.is_none(),
        stage: refused.map_or(0, |refusal| stage_number(refusal.stage)),
        reason: told(&|refusal| short(refusal.reason).to_owned()),
        message: told(&ToString::to_string),
        remedy: told(&|refusal| format!("{}: {}", refusal.reason.fixer().as_str(), refusal.reason.fix())),
        help_uri: told(&|refusal| format!("{help_base}/{}", refusal.reason.code())),
        authentic: explained.is_authentic,
        header: (!explained.header.is_empty()).then(|| struct_of_json(&explained.header)),
        claims: (!explained.claims.is_empty()).then(|| struct_of_json(&explained.claims)),
        issuer,
        sent_to: request.sent_to,
        session: session
            .map(|sid| name::of(&tenant.name, "sessions", sid))
            .unwrap_or_default(),
        grant: session
            .zip(explained.grant.as_ref())
            .map(|(sid, gid)| name::grant(&tenant.name, sid, gid))
            .unwrap_or_default(),
        covered_by: revoked_by.map(|by| pb::CoveringRecord {
            revocation: if call.tells_records() {
                name::of(&tenant.name, "revocations", by.record)
            } else {
                String::new()
            },
            cause: by.cause.to_string(),
            initiator: initiator_number(by.initiator),
            decide_time: Some(timestamp(by.decided_at)),
            scope: call
                .authority()
                .journal()
                .get(by.record)
                .map(|entry| entry.revocation.scope.to_string())
                .unwrap_or_default(),
        }),
        further_reasons: Vec::new(),
        explain_time: Some(timestamp(call.authority().now().wall)),
    };
    Ok(pb::ExplainTokenResponse {
        explanation: Some(explanation),
    })
}

/// GetKeySet. The set is public, so any caller may ask for any tenant's.
pub(super) fn key_set(call: &Call, request: &pb::GetKeySetRequest) -> Result<pb::GetKeySetResponse, Status> {
    let mut check = Check::default();
    let named = name::ids(&request.parent, ["tenants"]);
    if named.is_none() {
        check.fault("parent", "not of the form `tenants/{tenant}`");
    }
    let [tenant] = call.done(check, named)?;
    if call.loaded.view.tenant_by_name(&tenant).is_none() {
        return Err(call.because(Of::Named, curfew_core::refusal::Reason::TenantUnknown, tenant));
    }
    let json = call.loaded.ring.key_set_json();
    let set: Map<String, Value> = serde_json::from_slice(&json).unwrap_or_default();
    let keys = match set.get("keys") {
        Some(Value::Array(keys)) => keys
            .iter()
            .filter_map(Value::as_object)
            .map(struct_of_json)
            .collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_))
        | None => Vec::new(),
    };
    let [a, b, c, d, e, f, g, h, ..] = sha256(&json);
    Ok(pb::GetKeySetResponse {
        keys,
        // Half of the age at which a key begins to sign: whoever caches has it by then.
        max_age: Some(duration(call.authority().config().key_set_age_ms / 2)),
        etag: format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h])),
    })
}

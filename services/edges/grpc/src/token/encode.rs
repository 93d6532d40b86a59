//! Sets of tokens as callers get them.

use curfew_authority::{AppToken, IssuedTokens, RefreshedTokens};
use curfew_core::access_token::{AccessToken, Authority, IdToken};
use curfew_core::directory::Tenant;
use curfew_core::ids::Scope;
use curfew_core::session::KeyBinding;
use curfew_core::time::Millis;
use curfew_proto::token::v1 as pb;

use super::OFFLINE_ACCESS;
use crate::convert::timestamp;
use crate::name;
use crate::shared::Call;

/// The first tokens of a grant.
pub(super) fn issued(call: &Call, tenant: &Tenant, tokens: &IssuedTokens) -> pb::TokenSet {
    let issued = &tokens.issued;
    // Without `offline_access` the grant lives and dies with its access token.
    let is_offline = issued.scopes.iter().any(|scope| scope.as_str() == OFFLINE_ACCESS);
    let refresh = is_offline.then_some((&tokens.refresh_token, issued.grant_expires_at));
    set(
        call,
        tenant,
        (&tokens.access_token, &issued.access),
        (tokens.id_token.as_ref(), issued.id.as_ref()),
        refresh,
        Some(issued.session_expires_at),
        &issued.scopes,
    )
}

/// The tokens of a refresh.
pub(super) fn refreshed(call: &Call, tenant: &Tenant, tokens: &RefreshedTokens) -> pb::TokenSet {
    let refreshed = &tokens.refreshed;
    set(
        call,
        tenant,
        (&tokens.access_token, &refreshed.access),
        (tokens.id_token.as_ref(), refreshed.id.as_ref()),
        Some((&tokens.refresh_token, refreshed.grant_expires_at)),
        Some(refreshed.session_expires_at),
        &refreshed.scopes,
    )
}

/// The token of an application.
pub(super) fn app(call: &Call, tenant: &Tenant, token: &AppToken) -> pb::TokenSet {
    set(
        call,
        tenant,
        (&token.access_token, &token.access),
        (None, None),
        None,
        None,
        &[],
    )
}

fn set(
    call: &Call,
    tenant: &Tenant,
    (access_token, access): (&str, &AccessToken),
    (id_token, id): (Option<&String>, Option<&IdToken>),
    refresh: Option<(&String, Millis)>,
    session_expires_at: Option<Millis>,
    scopes: &[Scope],
) -> pb::TokenSet {
    let (roles, grant) = match &access.authority {
        Authority::Delegated { sid, .. } => (&[][..], name::grant(&tenant.name, sid, access.gid)),
        Authority::AppOnly { roles } => (roles.as_slice(), String::new()),
    };
    let resource = call.loaded.view.resource(tenant.id, &access.audience);
    pb::TokenSet {
        access_token: access_token.to_owned(),
        token_type: match &access.binding {
            Some(KeyBinding::Dpop(_)) => "DPoP".to_owned(),
            Some(KeyBinding::Mtls(_)) | None => "Bearer".to_owned(),
        },
        access_token_expire_time: Some(timestamp(access.expires_at)),
        id_token: id_token.cloned().unwrap_or_default(),
        id_token_expire_time: id.map(|id| timestamp(id.expires_at)),
        refresh_token: refresh.map(|(token, _)| token.clone()).unwrap_or_default(),
        refresh_token_expire_time: refresh.map(|(_, at)| timestamp(at)),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        roles: roles.iter().map(ToString::to_string).collect(),
        resource: resource
            .map(|resource| name::of(&tenant.name, "resources", &resource.id))
            .unwrap_or_default(),
        audience: access.audience.to_string(),
        jti: access.jti.to_string(),
        grant,
        session_expire_time: session_expires_at.map(timestamp),
        session_idle_expire_time: None,
    }
}

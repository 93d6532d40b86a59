//! Tenants, clients, resources and foreign issuers.
//!
//! **Invariant:** a setting that this version does not know is refused, never read as a default.

use std::collections::BTreeMap;

use curfew_core::directory::{
    Activity, AtCap, Client, ClientAuthMethod, ForeignIssuer, Late, OnReuse, Resource, Tenant, Window,
};
use curfew_core::ids::{IssuerId, ResourceId, Scope, TenantId};
use curfew_proto::row::v1 as row;
use curfew_proto::row::v1::replay_window::{self, UntilPresented};

use super::directory_parts::{decode_secret, decode_switch, encode_secret, encode_switch};
use crate::error::DecodeError;
use crate::field::{
    Decoded, displayed, each, free_texts, id, limit_of, optional_message, optional_text, string_of, strings,
    text, texts,
};

pub(super) fn encode_tenant(tenant: &Tenant) -> row::Tenant {
    row::Tenant {
        permanent_id: tenant.id.as_bytes().to_vec(),
        name: tenant.name.to_string(),
        display_name: tenant.display_name.to_string(),
        issuer_spellings: strings(&tenant.issuer_spellings),
        at_cap: match tenant.at_cap {
            AtCap::EndLongestUnused => row::AtCap::EndLongestUnused,
            AtCap::Refuse => row::AtCap::Refuse,
        }
        .into(),
        system: tenant.is_system,
        state: encode_switch(&tenant.disables),
        idle_timeout_ms: tenant.idle_timeout_ms,
        max_lifetime_ms: tenant.session_life_max_ms,
        on_reuse: match tenant.on_reuse {
            OnReuse::EndGrant => row::OnReuse::Grant,
            OnReuse::EndSession => row::OnReuse::Session,
        }
        .into(),
        sign_in_frequency_ms: limit_of(tenant.sign_in_frequency_ms),
        ..Default::default()
    }
}

pub(super) fn decode_tenant(tenant: row::Tenant) -> Decoded<Tenant> {
    Ok(Tenant {
        id: id(&tenant.permanent_id, "permanent_id", TenantId::from_bytes)?,
        name: text(&tenant.name, "name")?,
        display_name: tenant.display_name.into(),
        issuer_spellings: free_texts(tenant.issuer_spellings),
        is_system: tenant.system,
        disables: decode_switch(tenant.state)?,
        at_cap: match row::AtCap::try_from(tenant.at_cap) {
            Ok(row::AtCap::EndLongestUnused | row::AtCap::Unspecified) => AtCap::EndLongestUnused,
            Ok(row::AtCap::Refuse) => AtCap::Refuse,
            Err(_) => return Err(DecodeError::unknown("at_cap", tenant.at_cap)),
        },
        on_reuse: match row::OnReuse::try_from(tenant.on_reuse) {
            Ok(row::OnReuse::Grant | row::OnReuse::Unspecified) => OnReuse::EndGrant,
            Ok(row::OnReuse::Session) => OnReuse::EndSession,
            Err(_) => return Err(DecodeError::unknown("on_reuse", tenant.on_reuse)),
        },
        idle_timeout_ms: tenant.idle_timeout_ms,
        session_life_max_ms: tenant.max_lifetime_ms,
        sign_in_frequency_ms: optional_number(tenant.sign_in_frequency_ms),
    })
}

fn optional_number(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

pub(super) fn encode_client(client: &Client) -> row::Client {
    let app_roles = client.app_roles.iter().map(|(resource, roles)| row::AppRoles {
        resource: resource.to_string(),
        roles: displayed(roles),
    });
    row::Client {
        tenant: client.tenant.as_bytes().to_vec(),
        id: client.id.to_string(),
        display_name: client.display_name.to_string(),
        secrets: client.secrets.iter().map(encode_secret).collect(),
        jwks: string_of(client.jwks.as_ref()),
        auth_method: match client.auth_method {
            ClientAuthMethod::None => row::ClientAuthMethod::None,
            ClientAuthMethod::Secret => row::ClientAuthMethod::ClientSecret,
            ClientAuthMethod::PrivateKeyJwt => row::ClientAuthMethod::PrivateKeyJwt,
            // The core knows certificates by thumbprint, which is RFC 8705 section 2.2.
            ClientAuthMethod::Mtls => row::ClientAuthMethod::SelfSignedTlsClientAuth,
        }
        .into(),
        state: encode_switch(&client.disables),
        window: client.window.map(|window| row::ReplayWindow {
            window: Some(match window {
                Window::Time(ms) => replay_window::Window::ForMs(ms),
                Window::UntilPresented => replay_window::Window::UntilPresented(UntilPresented {}),
            }),
        }),
        late: match client.late {
            Late::Supersede => row::Late::Supersede,
            Late::Reuse => row::Late::Reuse,
        }
        .into(),
        fixed: client.fixed,
        cp1: client.cp1,
        default_activity: match client.default_activity {
            Activity::User => row::Activity::User,
            Activity::Background => row::Activity::Background,
        }
        .into(),
        grant_lifetime_ms: limit_of(client.grant_life_ms),
        scopes: displayed(&client.scopes),
        resources: displayed(&client.resources),
        app_roles: app_roles.collect(),
        redirect_uris: strings(&client.redirect_uris),
        certificate_thumbprints: strings(&client.certificates),
        ..Default::default()
    }
}

pub(super) fn decode_client(client: row::Client) -> Decoded<Client> {
    Ok(Client {
        tenant: id(&client.tenant, "tenant", TenantId::from_bytes)?,
        id: text(&client.id, "id")?,
        display_name: client.display_name.into(),
        auth_method: auth_method(client.auth_method)?,
        secrets: each(client.secrets, "secrets", decode_secret)?,
        jwks: optional_text(client.jwks),
        certificates: free_texts(client.certificate_thumbprints),
        disables: decode_switch(client.state)?,
        window: optional_message(client.window, "window", decode_window)?,
        late: match row::Late::try_from(client.late) {
            Ok(row::Late::Supersede | row::Late::Unspecified) => Late::Supersede,
            Ok(row::Late::Reuse) => Late::Reuse,
            Err(_) => return Err(DecodeError::unknown("late", client.late)),
        },
        fixed: client.fixed,
        cp1: client.cp1,
        default_activity: match row::Activity::try_from(client.default_activity) {
            Ok(row::Activity::User | row::Activity::Unspecified) => Activity::User,
            Ok(row::Activity::Background) => Activity::Background,
            Err(_) => return Err(DecodeError::unknown("default_activity", client.default_activity)),
        },
        grant_life_ms: optional_number(client.grant_lifetime_ms),
        scopes: texts(&client.scopes, "scopes")?,
        resources: texts(&client.resources, "resources")?,
        app_roles: each(client.app_roles, "app_roles", |roles| {
            let resource: ResourceId = text(&roles.resource, "resource")?;
            Ok((resource, texts::<Scope>(&roles.roles, "roles")?))
        })?
        .into_iter()
        .collect::<BTreeMap<_, _>>(),
        redirect_uris: free_texts(client.redirect_uris),
    })
}

fn auth_method(number: i32) -> Decoded<ClientAuthMethod> {
    let path = "auth_method";
    match row::ClientAuthMethod::try_from(number) {
        Ok(row::ClientAuthMethod::None) => Ok(ClientAuthMethod::None),
        Ok(row::ClientAuthMethod::ClientSecret) => Ok(ClientAuthMethod::Secret),
        Ok(row::ClientAuthMethod::PrivateKeyJwt) => Ok(ClientAuthMethod::PrivateKeyJwt),
        Ok(row::ClientAuthMethod::SelfSignedTlsClientAuth) => Ok(ClientAuthMethod::Mtls),
        // A client must not become public by being read.
        Ok(row::ClientAuthMethod::Unspecified) => Err(DecodeError::missing(path)),
        Ok(row::ClientAuthMethod::TlsClientAuth) | Err(_) => Err(DecodeError::unknown(path, number)),
    }
}

fn decode_window(window: row::ReplayWindow) -> Decoded<Window> {
    match window.window.ok_or_else(|| DecodeError::missing("window"))? {
        replay_window::Window::Zero(_) => Ok(Window::Time(0)),
        replay_window::Window::ForMs(ms) => Ok(Window::Time(ms)),
        replay_window::Window::UntilPresented(_) => Ok(Window::UntilPresented),
    }
}

pub(super) fn encode_resource(resource: &Resource) -> row::Resource {
    row::Resource {
        tenant: resource.tenant.as_bytes().to_vec(),
        id: resource.id.to_string(),
        audience: resource.audience.to_string(),
        scopes: displayed(&resource.scopes),
        roles: displayed(&resource.roles),
        guarded: resource.guarded,
        access_token_life_ms: limit_of(resource.access_token_life_ms),
        claims: resource
            .claims
            .iter()
            .map(|(to, from)| (to.to_string(), from.to_string()))
            .collect(),
        ..Default::default()
    }
}

pub(super) fn decode_resource(resource: row::Resource) -> Decoded<Resource> {
    if resource.audience.is_empty() {
        return Err(DecodeError::missing("audience"));
    }
    Ok(Resource {
        tenant: id(&resource.tenant, "tenant", TenantId::from_bytes)?,
        id: text(&resource.id, "id")?,
        audience: resource.audience.into(),
        scopes: texts(&resource.scopes, "scopes")?,
        roles: texts(&resource.roles, "roles")?,
        guarded: resource.guarded,
        access_token_life_ms: optional_number(resource.access_token_life_ms),
        claims: resource
            .claims
            .into_iter()
            .map(|(to, from)| (to.into(), from.into()))
            .collect(),
    })
}

pub(super) fn encode_issuer(issuer: &ForeignIssuer) -> row::ForeignIssuer {
    row::ForeignIssuer {
        entry_id: issuer.id.as_bytes().to_vec(),
        tenant: issuer.tenant.as_bytes().to_vec(),
        display_name: issuer.display_name.to_string(),
        spellings: strings(&issuer.spellings),
        life_ms: issuer.life_ms,
        claims: strings(&issuer.claims),
        clock_error_ms: issuer.clock_error_ms,
        audiences: strings(&issuer.audiences),
        jwks_uri: string_of(issuer.jwks_uri.as_ref()),
        jwks: string_of(issuer.jwks.as_ref()),
        ..Default::default()
    }
}

pub(super) fn decode_issuer(issuer: row::ForeignIssuer) -> Decoded<ForeignIssuer> {
    Ok(ForeignIssuer {
        tenant: id(&issuer.tenant, "tenant", TenantId::from_bytes)?,
        id: id(&issuer.entry_id, "entry_id", IssuerId::from_bytes)?,
        display_name: issuer.display_name.into(),
        spellings: free_texts(issuer.spellings),
        life_ms: issuer.life_ms,
        claims: free_texts(issuer.claims),
        clock_error_ms: issuer.clock_error_ms,
        audiences: free_texts(issuer.audiences),
        jwks_uri: optional_text(issuer.jwks_uri),
        jwks: optional_text(issuer.jwks),
    })
}

//! Sessions and grants as callers see them.

use curfew_authority::SessionView;
use curfew_core::directory::Tenant;
use curfew_core::refusal::{Reason, Refusal};
use curfew_core::session::{Device, Ending, Grant, Row};
use curfew_proto::log::v1::Initiator;
use curfew_proto::session::v1 as pb;

use crate::convert::{binding_number, duration, initiator_number, struct_of_json, timestamp};
use crate::name;
use crate::shared::Call;

/// A device.
pub(super) fn device(device: &Device) -> pb::Device {
    pb::Device {
        id: device.id.to_string(),
        label: device.label.as_deref().unwrap_or_default().to_owned(),
        platform: device.platform.as_deref().unwrap_or_default().to_owned(),
        managed: Some(device.managed),
        compliant: Some(device.compliant),
    }
}

/// A session, as it was read.
pub(super) fn view(call: &Call, tenant: &Tenant, view: &SessionView) -> pb::Session {
    session(call, tenant, &view.row, view.over.as_ref())
}

/// Whether it is alive.
pub(super) fn state(over: Option<&Refusal>) -> pb::SessionState {
    match over.map(|refusal| refusal.reason) {
        None => pb::SessionState::Active,
        Some(Reason::SessionExpired | Reason::SessionIdle) => pb::SessionState::Expired,
        Some(_) => pb::SessionState::Ended,
    }
}

/// A session's row, and why it is not alive, if it is not.
pub(super) fn session(call: &Call, tenant: &Tenant, row: &Row, over: Option<&Refusal>) -> pb::Session {
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let mut ending = row.life.ending().map(|ending| self::ending(call, tenant, ending));
    // A cut-off ends sessions without writing their rows.
    if ending.is_none() {
        ending = over.and_then(|refusal| refusal.by.as_ref()).map(|by| pb::Ending {
            end_time: Some(timestamp(by.decided_at)),
            cause: by.cause.to_string(),
            initiator: initiator_number(by.initiator),
            revocation: told(call, tenant, by.record),
        });
    }
    let grants = row.live_grants().count();
    pb::Session {
        name: name::of(&tenant.name, "sessions", row.sid),
        uid: row.sid.to_string(),
        subject: name::of(&tenant.name, "subjects", &row.subject),
        state: state(over).into(),
        idp: text(&row.idp),
        idp_session_id: text(&row.idp_session_id),
        amr: row.proof.amr.iter().map(ToString::to_string).collect(),
        acr: text(&row.proof.acr),
        auth_time: Some(timestamp(row.proof.auth_time)),
        claims: (!row.claims.is_empty()).then(|| struct_of_json(&row.claims)),
        device: row.device.as_ref().map(device),
        client_ip: text(&row.client_ip),
        user_agent: text(&row.user_agent),
        login_hint: String::new(),
        persistent: row.persistent,
        idle_timeout: Some(duration(row.idle_timeout_ms)),
        max_lifetime: Some(duration(row.expires_at.ms_since(row.created_at))),
        create_time: Some(timestamp(row.created_at)),
        expire_time: Some(timestamp(row.expires_at)),
        idle_expire_time: Some(timestamp(row.idle_expires_at())),
        last_used_time: Some(timestamp(row.last_used)),
        ending,
        grant_count: i32::try_from(grants).unwrap_or(i32::MAX),
        birth_time: Some(timestamp(row.sid.birth())),
        ..Default::default()
    }
}

/// How something ended. The row keeps no initiator; the log's record does.
fn ending(call: &Call, tenant: &Tenant, ending: &Ending) -> pb::Ending {
    let heard = call.authority().journal().get(ending.record);
    pb::Ending {
        end_time: Some(timestamp(ending.at)),
        cause: ending.cause.to_string(),
        initiator: heard.map_or(Initiator::Unspecified.into(), |entry| {
            initiator_number(entry.revocation.initiator)
        }),
        revocation: told(call, tenant, ending.record),
    }
}

/// The name of a record, to callers that may know it.
fn told(call: &Call, tenant: &Tenant, record: curfew_core::ids::RecordId) -> String {
    if call.tells_records() {
        name::of(&tenant.name, "revocations", record)
    } else {
        String::new()
    }
}

/// Whether a grant is alive.
pub(super) fn grant_state(call: &Call, view: &SessionView, grant: &Grant) -> pb::GrantState {
    let now = call.authority().now().wall;
    match (
        grant.life.is_alive(),
        now >= grant.expires_at,
        state(view.over.as_ref()),
    ) {
        (false, _, _) | (true, false, pb::SessionState::Ended) => pb::GrantState::Ended,
        (true, true, _) | (true, false, pb::SessionState::Expired) => pb::GrantState::Expired,
        (true, false, pb::SessionState::Active | pb::SessionState::Unspecified) => pb::GrantState::Active,
    }
}

/// A grant of a session.
pub(super) fn grant(call: &Call, tenant: &Tenant, view: &SessionView, grant: &Grant) -> pb::Grant {
    pb::Grant {
        name: name::grant(&tenant.name, view.row.sid, grant.gid),
        uid: grant.gid.to_string(),
        client: name::of(&tenant.name, "clients", &grant.client),
        resources: grant
            .resources
            .iter()
            .map(|resource| name::of(&tenant.name, "resources", resource))
            .collect(),
        scopes: grant.scopes.iter().map(ToString::to_string).collect(),
        state: grant_state(call, view, grant).into(),
        auth_time: Some(timestamp(grant.proof.auth_time)),
        acr: grant.proof.acr.as_deref().unwrap_or_default().to_owned(),
        amr: grant.proof.amr.iter().map(ToString::to_string).collect(),
        key_binding: binding_number(grant.binding.as_ref()),
        generation: grant.generation,
        create_time: Some(timestamp(grant.gid.birth())),
        expire_time: Some(timestamp(grant.expires_at)),
        last_used_time: Some(timestamp(grant.last_used)),
        ending: grant.life.ending().map(|end| ending(call, tenant, end)),
        latest_token_expire_time: Some(timestamp(grant.latest_expiry)),
        refreshable: grant
            .scopes
            .iter()
            .any(|scope| scope.as_str() == crate::token::OFFLINE_ACCESS),
    }
}

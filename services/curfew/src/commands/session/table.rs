//! Sessions, grants and devices, as people read them.

use curfew_proto::session::v1 as pb;

use crate::commands::name::last;
use crate::commands::print::{fields, rows};
use crate::commands::{time, word};

/// `active`, `ended`, `expired`.
pub(super) fn state(session: &pb::Session) -> String {
    word(session.state().as_str_name(), "SESSION_STATE_")
}

/// Several sessions, a line each.
pub(super) fn sessions(sessions: &[pb::Session]) -> String {
    rows(
        [
            "NAME",
            "SUBJECT",
            "STATE",
            "DEVICE",
            "GRANTS",
            "OPENED",
            "LAST USED",
            "EXPIRES",
        ],
        sessions.iter().map(|session| {
            [
                session.name.clone(),
                last(&session.subject).to_owned(),
                state(session),
                device(session.device.as_ref()),
                session.grant_count.to_string(),
                time::at(session.create_time),
                time::at(session.last_used_time),
                time::at(session.expire_time),
            ]
        }),
    )
}

/// One session, a line for each field.
pub(super) fn session(session: &pb::Session) -> String {
    let now = time::now();
    let ending = session.ending.as_ref();
    let told = |told: &dyn Fn(&pb::Ending) -> String| ending.map(told).unwrap_or_default();
    fields([
        ("name", session.name.clone()),
        ("subject", session.subject.clone()),
        ("state", state(session)),
        ("ended", told(&|ending| time::near(ending.end_time, now))),
        ("cause", told(&|ending| ending.cause.clone())),
        (
            "by",
            told(&|ending| word(ending.initiator().as_str_name(), "INITIATOR_")),
        ),
        ("revocation", told(&|ending| ending.revocation.clone())),
        ("provider", session.idp.clone()),
        ("methods", session.amr.join(" ")),
        ("class", session.acr.clone()),
        ("authenticated", time::near(session.auth_time, now)),
        ("device", device(session.device.as_ref())),
        ("address", session.client_ip.clone()),
        ("user agent", session.user_agent.clone()),
        ("grants", session.grant_count.to_string()),
        ("opened", time::near(session.create_time, now)),
        ("last used", time::near(session.last_used_time, now)),
        ("idle until", time::near(session.idle_expire_time, now)),
        ("expires", time::near(session.expire_time, now)),
        ("correlation id", session.correlation_id.clone()),
    ])
}

/// Several grants, a line each.
pub(super) fn grants(grants: &[pb::Grant]) -> String {
    rows(
        [
            "NAME",
            "CLIENT",
            "STATE",
            "SCOPES",
            "BINDING",
            "GENERATION",
            "GIVEN",
            "LAST USED",
        ],
        grants.iter().map(|grant| {
            [
                grant.name.clone(),
                last(&grant.client).to_owned(),
                word(grant.state().as_str_name(), "GRANT_STATE_"),
                grant.scopes.join(" "),
                word(grant.key_binding().as_str_name(), "KEY_BINDING_"),
                grant.generation.to_string(),
                time::at(grant.create_time),
                time::at(grant.last_used_time),
            ]
        }),
    )
}

/// Several devices, a line each.
pub(super) fn devices(devices: &[pb::DeviceActivity]) -> String {
    rows(
        [
            "DEVICE",
            "LABEL",
            "PLATFORM",
            "SESSIONS",
            "FIRST SEEN",
            "LAST USED",
        ],
        devices.iter().map(|activity| {
            let device = activity.device.clone().unwrap_or_default();
            let id = if device.id.is_empty() { "-" } else { &device.id };
            [
                id.to_owned(),
                device.label.clone(),
                device.platform.clone(),
                activity.session_count.to_string(),
                time::at(activity.first_seen_time),
                time::at(activity.last_used_time),
            ]
        }),
    )
}

fn device(device: Option<&pb::Device>) -> String {
    let Some(device) = device else {
        return String::new();
    };
    match (device.label.as_str(), device.id.as_str()) {
        ("", id) => id.to_owned(),
        (label, "") => label.to_owned(),
        (label, id) => format!("{label} ({id})"),
    }
}

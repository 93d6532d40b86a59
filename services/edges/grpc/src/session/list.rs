//! Lists: sessions of a subject, their grants, its devices; several sessions by name.

use std::collections::BTreeMap;

use curfew_authority::{SessionFilter, SessionView};
use curfew_core::directory::Tenant;
use curfew_core::ids::{ClientId, DeviceId, SubjectId};
use curfew_core::refusal::Reason;
use curfew_core::time::Millis;
use curfew_proto::session::v1 as pb;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use prost::Message as _;
use tonic::Status;

use super::encode;
use crate::check::{Check, TEXT_MAX};
use crate::convert::timestamp;
use crate::name;
use crate::page::Paged;
use crate::shared::Call;
use crate::status::Of;

/// Sessions of one batch.
const BATCH_MAX: usize = 100;
/// Rows of a batch that are read at once.
const READS_AT_ONCE: usize = 8;

/// BatchGetSessions.
pub(super) async fn batch_get(
    call: &Call,
    request: pb::BatchGetSessionsRequest,
) -> Result<pb::BatchGetSessionsResponse, Status> {
    let mut check = Check::default();
    let place = call.parent(&mut check, "parent", &request.parent)?;
    if request.names.is_empty() {
        check.fault("names", "required");
    }
    let mut sids = Vec::new();
    if check.count("names", request.names.len(), BATCH_MAX) {
        for (i, name) in request.names.iter().enumerate() {
            sids.extend(place.session(&mut check, &format!("names[{i}]"), name));
        }
    }
    let tenant = call.done(check, place.tenant())?;
    let found: Vec<_> = stream::iter(sids)
        .map(|sid| {
            let tenant = tenant.id;
            async move {
                match call.authority().get_session(tenant, sid).await {
                    Ok(view) => Ok((sid, Some(view))),
                    Err(refusal) if refusal.reason == Reason::SessionUnknown => Ok((sid, None)),
                    Err(refusal) => Err(call.refused(Of::Named, &refusal)),
                }
            }
        })
        .buffered(READS_AT_ONCE)
        .try_collect()
        .await?;
    let mut response = pb::BatchGetSessionsResponse::default();
    for (sid, view) in found {
        match view {
            Some(view) => response.sessions.push(encode::view(call, &tenant, &view)),
            None => response.missing.push(name::of(&tenant.name, "sessions", sid)),
        }
    }
    Ok(response)
}

/// What a filter asks beyond the use case's own.
#[derive(Debug)]
struct Further {
    states: Vec<pb::SessionState>,
    from: Option<Millis>,
    before: Option<Millis>,
    idp: Option<std::sync::Arc<str>>,
    idp_session_id: Option<std::sync::Arc<str>>,
    login_hint_hash: Option<[u8; 32]>,
}

impl Further {
    fn keeps(&self, view: &SessionView) -> bool {
        let row = &view.row;
        let state = encode::state(view.over.as_ref());
        (self.states.is_empty() || self.states.contains(&state))
            && self.from.is_none_or(|from| row.created_at >= from)
            && self.before.is_none_or(|before| row.created_at < before)
            && (self.idp.is_none() || self.idp == row.idp)
            && (self.idp_session_id.is_none() || self.idp_session_id == row.idp_session_id)
            && (self.login_hint_hash.is_none() || self.login_hint_hash == row.login_hint_hash)
    }
}

/// ListSessions.
pub(super) async fn sessions(
    call: &Call,
    request: pb::ListSessionsRequest,
) -> Result<pb::ListSessionsResponse, Status> {
    let mut check = Check::default();
    let place = call.parent(&mut check, "parent", &request.parent)?;
    let canonical = pb::ListSessionsRequest {
        page_size: 0,
        page_token: String::new(),
        ..request.clone()
    };
    let paged = Paged::of(
        &mut check,
        request.page_size,
        &request.page_token,
        "ListSessions",
        canonical.encode_to_vec(),
    );
    let filter = request.filter.unwrap_or_default();
    if filter.subject.is_empty() {
        check.fault(
            "filter.subject",
            "required: lists without a subject are not supported by this release",
        );
    }
    let subject: Option<SubjectId> = place
        .optional_id(&mut check, "filter.subject", &filter.subject, "subjects")
        .flatten();
    let device: Option<Option<DeviceId>> = check.optional_id("filter.device", &filter.device);
    let client: Option<Option<ClientId>> =
        place.optional_id(&mut check, "filter.client", &filter.client, "clients");
    let states: Vec<_> = filter
        .states
        .iter()
        .filter_map(|number| pb::SessionState::try_from(*number).ok())
        .filter(|state| *state != pb::SessionState::Unspecified)
        .collect();
    if states.len() != filter.states.len() || states.len() > 16 {
        check.fault("filter.states", "no such state, or too many");
    }
    let youngest_first = match pb::SessionOrder::try_from(request.order) {
        Ok(pb::SessionOrder::Unspecified | pb::SessionOrder::CreateTimeDesc) => true,
        Ok(pb::SessionOrder::CreateTimeAsc) => false,
        Ok(pb::SessionOrder::LastUsedTimeDesc) => {
            check.unsupported("order", true);
            false
        }
        Err(_) => {
            check.fault("order", "no such value");
            false
        }
    };
    let from = check.instant("filter.create_time_from", filter.create_time_from);
    let before = check.instant("filter.create_time_before", filter.create_time_before);
    let idp = check.text("filter.idp", &filter.idp, TEXT_MAX);
    let idp_session_id = check.text("filter.idp_session_id", &filter.idp_session_id, TEXT_MAX);
    if idp_session_id.is_some() && idp.is_none() {
        check.fault("filter.idp_session_id", "needs `idp`");
    }
    let hint = check.text("filter.login_hint", &filter.login_hint, TEXT_MAX);
    let parsed = (|| {
        let tenant = place.tenant()?;
        let further = Further {
            states,
            from: from?,
            before: before?,
            idp,
            idp_session_id,
            login_hint_hash: hint.map(|hint| super::login_hint_hash(&tenant, &hint)),
        };
        let asked = SessionFilter {
            device: device?,
            client: client?,
            alive_only: false,
            youngest_first,
        };
        Some((tenant, subject?, asked, further, paged?))
    })();
    let (tenant, subject, asked, further, paged) = call.done(check, parsed)?;
    let scope = paged.scope(call)?;
    let page = call
        .authority()
        .list_sessions(tenant.id, &subject, &asked, &scope, paged.size, &paged.token)
        .await
        .map_err(call.refuse(Of::Named))?;
    Ok(pb::ListSessionsResponse {
        sessions: page
            .sessions
            .iter()
            .filter(|view| further.keeps(view))
            .map(|view| encode::view(call, &tenant, view))
            .collect(),
        next_page_token: page.next_page_token,
    })
}

/// ListGrants.
pub(super) async fn grants(
    call: &Call,
    request: pb::ListGrantsRequest,
) -> Result<pb::ListGrantsResponse, Status> {
    let mut check = Check::default();
    let place = call.place(&mut check, "parent", &request.parent)?;
    let sid = place.session(&mut check, "parent", &request.parent);
    let mut filter = request.parent.clone().into_bytes();
    filter.push(request.only_active.into());
    let paged = Paged::of(
        &mut check,
        request.page_size,
        &request.page_token,
        "ListGrants",
        filter,
    );
    let ((tenant, sid), mut paged) = call.done(check, place.tenant().zip(sid).zip(paged))?;
    if request.page_size == 0 {
        // All: a row keeps 64 live grants and the few that ended last.
        paged.size = crate::page::MAX;
    }
    let view = call
        .authority()
        .get_session(tenant.id, sid)
        .await
        .map_err(call.refuse(Of::Named))?;
    let mut grants: Vec<_> = view
        .row
        .grants
        .iter()
        .filter(|grant| {
            !request.only_active || encode::grant_state(call, &view, grant) == pb::GrantState::Active
        })
        .map(|grant| (grant.gid.as_bytes().to_vec(), grant))
        .collect();
    // Ids of one partition are in the order of birth.
    grants.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (grants, next_page_token) = paged.take(call, grants).await?;
    Ok(pb::ListGrantsResponse {
        grants: grants
            .into_iter()
            .map(|grant| encode::grant(call, &tenant, &view, grant))
            .collect(),
        next_page_token,
    })
}

/// ListDevices.
pub(super) async fn devices(
    call: &Call,
    request: pb::ListDevicesRequest,
) -> Result<pb::ListDevicesResponse, Status> {
    let mut check = Check::default();
    let place = call.place(&mut check, "parent", &request.parent)?;
    let subject: Option<SubjectId> = place.id(&mut check, "parent", &request.parent, "subjects");
    let filter = request.parent.clone().into_bytes();
    let paged = Paged::of(
        &mut check,
        request.page_size,
        &request.page_token,
        "ListDevices",
        filter,
    );
    let ((tenant, subject), paged) = call.done(check, place.tenant().zip(subject).zip(paged))?;
    let mut devices: BTreeMap<String, pb::DeviceActivity> = BTreeMap::new();
    for view in living(call, &tenant, &subject).await? {
        let row = &view.row;
        let id = row
            .device
            .as_ref()
            .map(|device| device.id.to_string())
            .unwrap_or_default();
        let used = timestamp(row.last_used);
        let seen = timestamp(row.created_at);
        let known = devices.entry(id).or_default();
        let is_newest = known.last_used_time.is_none_or(|last| later(used, last));
        if is_newest {
            known.device = row.device.as_ref().map(encode::device);
            known.last_used_time = Some(used);
        }
        if known.first_seen_time.is_none_or(|first| later(first, seen)) {
            known.first_seen_time = Some(seen);
        }
        known.session_count = known.session_count.saturating_add(1);
        known.sessions.push(name::of(&tenant.name, "sessions", row.sid));
    }
    // Used last first: the cursor counts down from the end of time.
    let mut sorted: Vec<_> = devices
        .into_iter()
        .map(|(id, activity)| {
            let used = activity.last_used_time.unwrap_or_default();
            let ms = crate::convert::millis(used).unwrap_or_default().as_unix_ms();
            let mut cursor = i64::MAX.saturating_sub(ms).to_be_bytes().to_vec();
            cursor.extend_from_slice(id.as_bytes());
            (cursor, activity)
        })
        .collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (devices, next_page_token) = paged.take(call, sorted).await?;
    Ok(pb::ListDevicesResponse {
        devices,
        next_page_token,
    })
}

fn later(a: prost_types::Timestamp, b: prost_types::Timestamp) -> bool {
    (a.seconds, a.nanos) > (b.seconds, b.nanos)
}

/// Every living session of a subject: at most 1,000, in pages.
async fn living(call: &Call, tenant: &Tenant, subject: &SubjectId) -> Result<Vec<SessionView>, Status> {
    let asked = SessionFilter {
        alive_only: true,
        ..Default::default()
    };
    let scope = curfew_authority::PageScope {
        caller: call.caller_id()?,
        method: "ListDevices/sessions",
        filter: subject.as_str().as_bytes(),
    };
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let page = call
            .authority()
            .list_sessions(tenant.id, subject, &asked, &scope, crate::page::MAX, &token)
            .await
            .map_err(call.refuse(Of::Named))?;
        all.extend(page.sessions);
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(all);
        }
    }
}

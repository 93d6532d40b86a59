//! Changes of a living session: update, step-up, the end of all others.

use curfew_authority::UpdateSessionRequest;
use curfew_core::decide::update as decide;
use curfew_core::record::Initiator;
use curfew_core::session::{CLAIMS_BYTES_MAX, Device, Proof};
use curfew_core::time::LEEWAY_MS;
use curfew_proto::session::v1 as pb;
use tonic::Status;

use super::{SPAN_MIN_MS, device, encode};
use crate::check::{Check, LIST_MAX, TEXT_MAX};
use crate::published::Told;
use crate::shared::Call;
use crate::status::Of;

/// UpdateSession.
pub(super) async fn update(
    call: &Call,
    request: pb::UpdateSessionRequest,
) -> Result<pb::UpdateSessionResponse, Status> {
    let mut check = Check::default();
    let operation = check.operation(&request.request_id, "UpdateSession", &request);
    let asked = request.session.unwrap_or_default();
    let place = call.place(&mut check, "session.name", &asked.name)?;
    let sid = place.session(&mut check, "session.name", &asked.name);
    check.correlation(&request.correlation_id);
    check.unsupported("session.etag", !asked.etag.is_empty());
    let mask = request.update_mask.unwrap_or_default().paths;
    if mask.is_empty() {
        check.fault("update_mask", "required");
    }
    check.count("update_mask", mask.len(), LIST_MAX);
    for path in &mask {
        match path.as_str() {
            "device" | "device.label" | "device.platform" | "device.managed" | "device.compliant"
            | "claims" | "idle_timeout" => {}
            "persistent" => check.unsupported("update_mask", true),
            other => check.fault("update_mask", format!("`{other}` cannot be changed")),
        }
    }
    let names = |path: &str| mask.iter().any(|named| named == path);
    let new_device = asked.device.as_ref();
    let whole = if names("device") {
        device(&mut check, "session.device", new_device)
    } else {
        None
    };
    if names("device") && new_device.is_none() {
        check.fault("session.device", "required: a device cannot be taken away");
    }
    let (part, label, platform) = match new_device {
        Some(device) => (
            Some(device),
            check.text("session.device.label", &device.label, TEXT_MAX),
            check.text("session.device.platform", &device.platform, TEXT_MAX),
        ),
        None => (None, None, None),
    };
    let claims = names("claims").then(|| check.claims("session.claims", asked.claims));
    let idle = check.span_ms("session.idle_timeout", asked.idle_timeout, SPAN_MIN_MS);
    let parsed = place.tenant().zip(sid).zip(idle.zip(operation));
    let ((tenant, sid), (idle, operation)) = call.done(check, parsed)?;

    let names_part = mask.iter().any(|path| path.starts_with("device."));
    let mut device = whole;
    if names_part && device.is_none() {
        let view = call
            .authority()
            .get_session(tenant.id, sid)
            .await
            .map_err(call.refuse(Of::Named))?;
        let present: Option<Device> = view.row.device.clone();
        device = present.map(|present| Device {
            label: if names("device.label") {
                label
            } else {
                present.label
            },
            platform: if names("device.platform") {
                platform
            } else {
                present.platform
            },
            managed: if names("device.managed") {
                part.and_then(|device| device.managed).unwrap_or(false)
            } else {
                present.managed
            },
            compliant: if names("device.compliant") {
                part.and_then(|device| device.compliant).unwrap_or(false)
            } else {
                present.compliant
            },
            id: present.id,
        });
        if device.is_none() {
            let mut check = Check::default();
            check.fault(
                "update_mask",
                "the session has no device; set `device` as a whole",
            );
            return call.done(check, None);
        }
    }
    let change = decide::Request {
        device,
        claims,
        // Unset means the tenant's default, which is also the most.
        idle_timeout_ms: names("idle_timeout").then(|| idle.unwrap_or(i64::MAX).min(tenant.idle_timeout_ms)),
        operation: Some(operation),
        ..Default::default()
    };
    let row = call
        .authority()
        .update_session(UpdateSessionRequest {
            tenant: tenant.id,
            sid,
            change,
        })
        .await
        .map_err(call.refuse(Of::Named))?;
    Ok(pb::UpdateSessionResponse {
        session: Some(encode::session(call, &tenant, &row, None)),
    })
}

/// StepUpSession.
pub(super) async fn step_up(
    call: &Call,
    request: pb::StepUpSessionRequest,
) -> Result<pb::StepUpSessionResponse, Status> {
    let mut check = Check::default();
    let place = call.place(&mut check, "name", &request.name)?;
    let operation = check.operation(&request.request_id, "StepUpSession", &request);
    let sid = place.session(&mut check, "name", &request.name);
    check.correlation(&request.correlation_id);
    check.unsupported("etag", !request.etag.is_empty());
    if request.amr.is_empty() {
        check.fault("amr", "required");
    }
    let amr = check.texts("amr", &request.amr, LIST_MAX, TEXT_MAX);
    let acr = check.text("acr", &request.acr, TEXT_MAX);
    let auth_time = check.instant("auth_time", request.auth_time);
    let claims = request.claims.map(|claims| check.claims("claims", Some(claims)));
    let device = device(&mut check, "device", request.device.as_ref());
    let client_ip = check.text("client_ip", &request.client_ip, TEXT_MAX);
    let parsed = place.tenant().zip(sid).zip(auth_time.zip(operation));
    let ((tenant, sid), (auth_time, operation)) = call.done(check, parsed)?;

    let now = call.authority().now().wall;
    let view = call
        .authority()
        .get_session(tenant.id, sid)
        .await
        .map_err(call.refuse(Of::Named))?;
    let mut check = Check::default();
    let auth_time = auth_time.unwrap_or(now);
    if auth_time < view.row.proof.auth_time {
        check.fault("auth_time", "before the session's own");
    }
    check.passed("auth_time", auth_time, now, LEEWAY_MS);
    let claims = claims.map(|new| {
        let mut merged = view.row.claims.clone();
        merged.extend(new);
        merged
    });
    let bytes = claims.as_ref().map_or(0, |claims| {
        serde_json::to_vec(claims).map_or(usize::MAX, |json| json.len())
    });
    if bytes > CLAIMS_BYTES_MAX {
        check.fault(
            "claims",
            format!("with those of the session longer than {CLAIMS_BYTES_MAX} bytes as JSON"),
        );
    }
    let proof = Proof {
        auth_time: auth_time.min(now),
        acr: acr.or_else(|| view.row.proof.acr.clone()),
        amr,
    };
    let proof = call.done(check, Some(proof))?;
    let change = decide::Request {
        device,
        claims,
        client_ip,
        proof: Some(proof),
        operation: Some(operation),
        ..Default::default()
    };
    let row = call
        .authority()
        .update_session(UpdateSessionRequest {
            tenant: tenant.id,
            sid,
            change,
        })
        .await
        .map_err(call.refuse(Of::Named))?;
    Ok(pb::StepUpSessionResponse {
        session: Some(encode::session(call, &tenant, &row, None)),
    })
}

/// EndOtherSessions.
pub(super) async fn end_others(
    call: &Call,
    request: pb::EndOtherSessionsRequest,
) -> Result<pb::EndOtherSessionsResponse, Status> {
    let mut check = Check::default();
    let place = call.place(&mut check, "name", &request.name)?;
    let operation = check.operation(&request.request_id, "EndOtherSessions", &request);
    let sid = place.session(&mut check, "name", &request.name);
    check.unsupported("except", !request.except.is_empty());
    let motive = check.motive(
        operation,
        (&request.cause, "sign_out_elsewhere"),
        (request.initiator, Initiator::User),
        &request.correlation_id,
    );
    let level = check.level("ack_level", request.ack_level);
    let parsed = place.tenant().zip(sid).zip(motive.zip(level));
    let ((tenant, sid), (motive, level)) = call.done(check, parsed)?;
    // A hint, counted before: the cut-off ends the unknown ones as well.
    let target = |subject| curfew_authority::Target::Subject(subject, Some(sid));
    let view = call
        .authority()
        .get_session(tenant.id, sid)
        .await
        .map_err(call.refuse(Of::Named))?;
    let preview = call
        .authority()
        .preview_revocation(tenant.id, &target(view.row.subject.clone()))
        .await
        .map_err(call.refuse(Of::Named))?;
    let ended = call
        .authority()
        .end_other_sessions(tenant.id, sid, &motive)
        .await
        .map_err(call.refuse(Of::Named))?;
    let told = Told {
        before: ended.before,
        ..Told::narrow(&tenant, ended.record, &ended.published, Some(sid.partition()))
    };
    Ok(pb::EndOtherSessionsResponse {
        acknowledgement: Some(told.acknowledge(call, level).await),
        ended_count: preview
            .sessions
            .and_then(|count| i32::try_from(count).ok())
            .unwrap_or(0),
    })
}

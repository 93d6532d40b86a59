//! SessionService: opens, reads, changes and ends sessions.

mod change;
mod encode;
mod list;

use std::sync::Arc;

use curfew_authority::{CreateSessionRequest, EndAnswer, SessionView};
use curfew_core::decide::end::Ended;
use curfew_core::directory::Tenant;
use curfew_core::ids::{SessionId, TenantId};
use curfew_core::mac::sha256;
use curfew_core::place::Partition;
use curfew_core::record::Initiator;
use curfew_core::refusal::Class;
use curfew_core::session::Proof;
use curfew_core::time::LEEWAY_MS;
use curfew_proto::revocation::v1::Acknowledgement;
use curfew_proto::session::v1 as pb;
use curfew_proto::session::v1::session_service_server::SessionService;
use tonic::{Request, Response, Status};

use crate::check::{Asked, Check, LIST_MAX, LONG_TEXT_MAX, TEXT_MAX};
use crate::name;
use crate::published::Told;
use crate::shared::{Call, Shared};
use crate::status::Of;

/// The shortest idle timeout or life that makes sense, ms.
pub(crate) const SPAN_MIN_MS: i64 = 1_000;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(pub(crate) Arc<Shared>);

type Answered<T> = Result<Response<T>, Status>;

/// What a login hint is kept as: looked up by support, never read.
pub(crate) fn login_hint_hash(tenant: &Tenant, hint: &str) -> [u8; 32] {
    let mut bytes = b"curfew/login-hint/v1\0".to_vec();
    bytes.extend_from_slice(tenant.id.as_bytes());
    bytes.extend_from_slice(hint.as_bytes());
    sha256(&bytes)
}

/// A device as it is opened with; unset: none.
fn device(
    check: &mut Check,
    field: &str,
    device: Option<&pb::Device>,
) -> Option<curfew_core::session::Device> {
    let device = device?;
    let of = |name: &str| format!("{field}.{name}");
    let id = check.id(&of("id"), &device.id);
    let label = check.text(&of("label"), &device.label, TEXT_MAX);
    let platform = check.text(&of("platform"), &device.platform, TEXT_MAX);
    Some(curfew_core::session::Device {
        id: id?,
        label,
        platform,
        managed: device.managed.unwrap_or(false),
        compliant: device.compliant.unwrap_or(false),
    })
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn create_session(
        &self,
        request: Request<pb::CreateSessionRequest>,
    ) -> Answered<pb::CreateSessionResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "parent", &request.parent)?;
        let operation = check.operation(&request.request_id, "CreateSession", &request);
        check.correlation(&request.correlation_id);
        let asked = request.session.unwrap_or_default();
        let subject = place.id(&mut check, "session.subject", &asked.subject, "subjects");
        let auth_time = check.instant("session.auth_time", asked.auth_time);
        let now = call.authority().now().wall;
        if let Some(at) = auth_time.flatten() {
            check.passed("session.auth_time", at, now, LEEWAY_MS);
        }
        let proof = Proof {
            auth_time: auth_time.flatten().unwrap_or(now).min(now),
            acr: check.text("session.acr", &asked.acr, TEXT_MAX),
            amr: check.texts("session.amr", &asked.amr, LIST_MAX, TEXT_MAX),
        };
        let idle = check.span_ms("session.idle_timeout", asked.idle_timeout, SPAN_MIN_MS);
        let longest = check.span_ms("session.max_lifetime", asked.max_lifetime, SPAN_MIN_MS);
        let hint = check.text("session.login_hint", &asked.login_hint, TEXT_MAX);
        let device = device(&mut check, "session.device", asked.device.as_ref());
        let claims = check.claims("session.claims", asked.claims);
        let idp = check.text("session.idp", &asked.idp, TEXT_MAX);
        let idp_session_id = check.text("session.idp_session_id", &asked.idp_session_id, TEXT_MAX);
        let client_ip = check.text("session.client_ip", &asked.client_ip, TEXT_MAX);
        let user_agent = check.text("session.user_agent", &asked.user_agent, LONG_TEXT_MAX);
        let parsed = (|| {
            let tenant = place.tenant()?;
            let request = CreateSessionRequest {
                tenant: tenant.id,
                subject: subject?,
                proof,
                idp,
                idp_session_id,
                device,
                claims,
                persistent: asked.persistent,
                // Never more than the tenant's, as the contract says.
                idle_timeout_ms: idle?.map(|ms| ms.min(tenant.idle_timeout_ms)),
                max_lifetime_ms: longest?,
                login_hint_hash: hint.map(|hint| login_hint_hash(&tenant, &hint)),
                client_ip,
                user_agent,
                operation: operation?,
            };
            Some((tenant, request))
        })();
        let (tenant, asked) = call.done(check, parsed)?;
        let opened = call
            .authority()
            .create_session(asked)
            .await
            .map_err(call.refuse(Of::Request))?;
        let ended_session = match opened.ended {
            None => None,
            Some((sid, record)) => {
                let view = call.authority().get_session(tenant.id, sid).await.ok();
                let told = Told::narrow(&tenant, record, &opened.published, Some(sid.partition()));
                Some(pb::EndedSession {
                    session: name::of(&tenant.name, "sessions", sid),
                    device: view
                        .as_ref()
                        .and_then(|view| view.row.device.as_ref())
                        .map(encode::device),
                    last_used_time: view.map(|view| crate::convert::timestamp(view.row.last_used)),
                    acknowledgement: Some(told.acknowledge(&call, Asked::Durable).await),
                })
            }
        };
        Ok(Response::new(pb::CreateSessionResponse {
            session: Some(encode::session(&call, &tenant, &opened.row, None)),
            ended_session,
            // No browser session is kept yet, so there is no cookie to give a secret to.
            cookie_secret: String::new(),
        }))
    }

    async fn get_session(&self, request: Request<pb::GetSessionRequest>) -> Answered<pb::GetSessionResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let sid = place.session(&mut check, "name", &request.name);
        let (tenant, sid) = call.done(check, place.tenant().zip(sid))?;
        let view = call
            .authority()
            .get_session(tenant.id, sid)
            .await
            .map_err(call.refuse(Of::Named))?;
        Ok(Response::new(pb::GetSessionResponse {
            session: Some(encode::view(&call, &tenant, &view)),
        }))
    }

    async fn batch_get_sessions(
        &self,
        request: Request<pb::BatchGetSessionsRequest>,
    ) -> Answered<pb::BatchGetSessionsResponse> {
        let (call, request) = self.0.open(request)?;
        list::batch_get(&call, request).await.map(Response::new)
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Answered<pb::ListSessionsResponse> {
        let (call, request) = self.0.open(request)?;
        list::sessions(&call, request).await.map(Response::new)
    }

    async fn update_session(
        &self,
        request: Request<pb::UpdateSessionRequest>,
    ) -> Answered<pb::UpdateSessionResponse> {
        let (call, request) = self.0.open(request)?;
        change::update(&call, request).await.map(Response::new)
    }

    async fn step_up_session(
        &self,
        request: Request<pb::StepUpSessionRequest>,
    ) -> Answered<pb::StepUpSessionResponse> {
        let (call, request) = self.0.open(request)?;
        change::step_up(&call, request).await.map(Response::new)
    }

    async fn end_session(&self, request: Request<pb::EndSessionRequest>) -> Answered<pb::EndSessionResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let operation = check.operation(&request.request_id, "EndSession", &request);
        let sid = place.session(&mut check, "name", &request.name);
        let motive = check.motive(
            operation,
            (&request.cause, "sign_out"),
            (request.initiator, Initiator::User),
            &request.correlation_id,
        );
        let level = check.level("ack_level", request.ack_level);
        let ((tenant, sid), (motive, level)) =
            call.done(check, place.tenant().zip(sid).zip(motive.zip(level)))?;
        let ended = call
            .authority()
            .end_session(tenant.id, sid, &motive)
            .await
            .map_err(call.refuse(Of::Named))?;
        let view = after_ending(&call, tenant.id, sid).await?;
        Ok(Response::new(pb::EndSessionResponse {
            session: view.map(|view| encode::view(&call, &tenant, &view)),
            acknowledgement: acknowledge(&call, &tenant, &ended, sid.partition(), level).await,
        }))
    }

    async fn end_other_sessions(
        &self,
        request: Request<pb::EndOtherSessionsRequest>,
    ) -> Answered<pb::EndOtherSessionsResponse> {
        let (call, request) = self.0.open(request)?;
        change::end_others(&call, request).await.map(Response::new)
    }

    async fn list_grants(&self, request: Request<pb::ListGrantsRequest>) -> Answered<pb::ListGrantsResponse> {
        let (call, request) = self.0.open(request)?;
        list::grants(&call, request).await.map(Response::new)
    }

    async fn end_grant(&self, request: Request<pb::EndGrantRequest>) -> Answered<pb::EndGrantResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let operation = check.operation(&request.request_id, "EndGrant", &request);
        let grant = place.grant(&mut check, "name", &request.name);
        let motive = check.motive(
            operation,
            (&request.cause, "grant_ended"),
            (request.initiator, Initiator::User),
            &request.correlation_id,
        );
        let level = check.level("ack_level", request.ack_level);
        let ((tenant, (sid, gid)), (motive, level)) =
            call.done(check, place.tenant().zip(grant).zip(motive.zip(level)))?;
        let ended = call
            .authority()
            .end_grant(tenant.id, sid, gid, &motive)
            .await
            .map_err(call.refuse(Of::Named))?;
        let view = after_ending(&call, tenant.id, sid).await?;
        // An ended grant may have left the row since.
        let told = view.as_ref().and_then(|view| Some((view, view.row.grant(gid)?)));
        Ok(Response::new(pb::EndGrantResponse {
            grant: told.map(|(view, grant)| encode::grant(&call, &tenant, view, grant)),
            acknowledgement: acknowledge(&call, &tenant, &ended, sid.partition(), level).await,
        }))
    }

    async fn list_devices(
        &self,
        request: Request<pb::ListDevicesRequest>,
    ) -> Answered<pb::ListDevicesResponse> {
        let (call, request) = self.0.open(request)?;
        list::devices(&call, request).await.map(Response::new)
    }
}

/// The session after something of it was ended; `None`: it cannot be read now, and what was done is told all the same.
async fn after_ending(call: &Call, tenant: TenantId, sid: SessionId) -> Result<Option<SessionView>, Status> {
    match call.authority().get_session(tenant, sid).await {
        Ok(view) => Ok(Some(view)),
        Err(refusal) if refusal.reason.class() == Class::Retry => Ok(None),
        Err(refusal) => Err(call.refuse(Of::Named)(refusal)),
    }
}

/// The record that ended it, now or before; none where time did.
async fn acknowledge(
    call: &Call,
    tenant: &Tenant,
    ended: &EndAnswer,
    at: Partition,
    level: Asked,
) -> Option<Acknowledgement> {
    let record = match &ended.ended {
        Ended::Now(record) => *record,
        Ended::Before(ending) => ending.record,
        Ended::Expired => return None,
    };
    let told = Told::narrow(tenant, record, &ended.published, Some(at));
    Some(told.acknowledge(call, level).await)
}

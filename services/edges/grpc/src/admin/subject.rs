//! SubjectService: reads, disables, enables, deletes subjects.

use std::sync::Arc;

use curfew_authority::SubjectAnswer;
use curfew_core::decide::Motive;
use curfew_core::decide::subject_state::Change;
use curfew_core::directory::Tenant;
use curfew_core::ids::SubjectId;
use curfew_core::record::Initiator;
use curfew_core::refusal::Reason;
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::subject_service_server::SubjectService;
use curfew_proto::revocation::v1::Acknowledgement;
use tonic::{Request, Response, Status};

use super::Answered;
use crate::check::{Asked, Check};
use crate::convert::{disabling, state_number, timestamp};
use crate::name;
use crate::published::Told;
use crate::shared::{Call, Shared};
use crate::status::Of;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Subjects(pub(crate) Arc<Shared>);

async fn look(call: &Call, tenant: &Tenant, subject: &SubjectId) -> Result<Option<pb::Subject>, Status> {
    let view = call
        .authority()
        .get_subject(tenant.id, subject)
        .await
        .map_err(call.refuse(Of::Named))?;
    Ok(view.map(|view| pb::Subject {
        name: name::of(&tenant.name, "subjects", subject),
        state: state_number(&view.disables),
        disables: disabling(&view.disables),
        cut_off_time: view.cut_off.map(timestamp),
        session_count: i32::try_from(view.sessions).unwrap_or(i32::MAX),
        ..Default::default()
    }))
}

async fn acknowledge(
    call: &Call,
    tenant: &Tenant,
    answer: &SubjectAnswer,
    level: Asked,
) -> Option<Acknowledgement> {
    let told = Told::narrow(tenant, answer.cut_off?, &answer.published, None);
    Some(told.acknowledge(call, level).await)
}

#[tonic::async_trait]
impl SubjectService for Subjects {
    async fn get_subject(&self, request: Request<pb::GetSubjectRequest>) -> Answered<pb::GetSubjectResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let subject: Option<SubjectId> = place.id(&mut check, "name", &request.name, "subjects");
        let (tenant, subject) = call.done(check, place.tenant().zip(subject))?;
        let subject = look(&call, &tenant, &subject)
            .await?
            .ok_or_else(|| call.because(Of::Named, Reason::NotFound, request.name))?;
        Ok(Response::new(pb::GetSubjectResponse {
            subject: Some(subject),
        }))
    }

    async fn delete_subject(
        &self,
        request: Request<pb::DeleteSubjectRequest>,
    ) -> Answered<pb::DeleteSubjectResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let operation = check.operation(&request.request_id, "DeleteSubject", &request);
        let subject: Option<SubjectId> = place.id(&mut check, "name", &request.name, "subjects");
        check.unsupported("etag", !request.etag.is_empty());
        let level = check.level("ack_level", request.ack_level);
        let correlation_id = check.correlation(&request.correlation_id);
        let ((tenant, subject), level) = call.done(check, place.tenant().zip(subject).zip(level))?;
        let motive = Motive {
            cause: curfew_core::decide::cause::subject_deleted(),
            initiator: Initiator::Admin,
            operation,
            correlation_id,
        };
        let answer = call
            .authority()
            .change_subject(tenant.id, subject, Change::Delete, &motive)
            .await
            .map_err(call.refuse(Of::Named))?;
        Ok(Response::new(pb::DeleteSubjectResponse {
            acknowledgement: acknowledge(&call, &tenant, &answer, level).await,
        }))
    }

    async fn disable_subject(
        &self,
        request: Request<pb::DisableSubjectRequest>,
    ) -> Answered<pb::DisableSubjectResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let operation = check.operation(&request.request_id, "DisableSubject", &request);
        let subject: Option<SubjectId> = place.id(&mut check, "name", &request.name, "subjects");
        let motive = check.motive(
            operation,
            (&request.cause, "disabled"),
            (request.initiator, Initiator::Admin),
            &request.correlation_id,
        );
        let level = check.level("ack_level", request.ack_level);
        let parsed = place.tenant().zip(subject).zip(motive.zip(level));
        let ((tenant, subject), (motive, level)) = call.done(check, parsed)?;
        let answer = call
            .authority()
            .change_subject(tenant.id, subject.clone(), Change::Disable, &motive)
            .await
            .map_err(call.refuse(Of::Named))?;
        Ok(Response::new(pb::DisableSubjectResponse {
            // What was done is told, though the store cannot be read now.
            subject: look(&call, &tenant, &subject).await.ok().flatten(),
            acknowledgement: acknowledge(&call, &tenant, &answer, level).await,
            disable_id: answer.state.map(|id| id.to_string()).unwrap_or_default(),
        }))
    }

    async fn enable_subject(
        &self,
        request: Request<pb::EnableSubjectRequest>,
    ) -> Answered<pb::EnableSubjectResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let operation = check.operation(&request.request_id, "EnableSubject", &request);
        let subject: Option<SubjectId> = place.id(&mut check, "name", &request.name, "subjects");
        check.unsupported("lifts", !request.lifts.is_empty());
        let cause = check.cause(&request.cause, "enabled");
        let correlation_id = check.correlation(&request.correlation_id);
        let ((tenant, subject), cause) = call.done(check, place.tenant().zip(subject).zip(cause))?;
        let motive = Motive {
            cause,
            initiator: Initiator::Admin,
            operation,
            correlation_id,
        };
        call.authority()
            .change_subject(tenant.id, subject.clone(), Change::Enable, &motive)
            .await
            .map_err(call.refuse(Of::Named))?;
        Ok(Response::new(pb::EnableSubjectResponse {
            subject: look(&call, &tenant, &subject).await?,
        }))
    }
}

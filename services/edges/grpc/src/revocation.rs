//! RevocationService: revokes, lists, waits; the feed and its reports are in [`crate::watch`].

mod encode;
mod list;
mod target;

use std::sync::Arc;
use std::time::Duration;

use curfew_authority::{RevocationAnswer, RevocationRequest};
use curfew_core::directory::Tenant;
use curfew_core::record::Revocation;
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::revocation_service_server::RevocationService;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::check::{Asked, Check};
use crate::enforced::{self, Durable};
use crate::published::{self, Told};
use crate::shared::{Call, Place, Shared};
use crate::status::Of;
use crate::watch::{self, Frames};

/// Revocations of one batch.
const BATCH_MAX: usize = 100;
/// Revocations of a batch in progress at once: they share the engine's group commits.
const BATCH_AT_ONCE: usize = 16;
/// How long WaitRevocation waits when it is not told.
const WAIT_MS: i64 = 30_000;
/// The longest wait, ms.
const WAIT_MAX_MS: i64 = 600_000;
/// How long an answer waits for the log to have told its record.
const HEAR_WITHIN: Duration = Duration::from_secs(1);

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Revocations(pub(crate) Arc<Shared>);

type Answered<T> = Result<Response<T>, Status>;

/// One revocation: preview, or done.
async fn create(
    call: &Call,
    place: &Place,
    request: pb::CreateRevocationRequest,
) -> Result<pb::CreateRevocationResponse, Status> {
    let mut check = Check::default();
    let validate_only = request.validate_only;
    let level = check.level("ack_level", request.ack_level);
    let asked = target::request(&mut check, call, place, request);
    let (tenant, (asked, level)) = call.done(check, place.tenant().zip(asked.zip(level)))?;
    if validate_only {
        return preview(call, &tenant, &asked).await;
    }
    let motive = asked.motive.clone();
    let answer = call
        .authority()
        .create_revocation(asked)
        .await
        .map_err(call.refuse(Of::Named))?;
    let (revocation, acknowledgement) = told(call, &tenant, &answer, level).await;
    let revocation = revocation.unwrap_or_else(|| encode::unheard(&tenant, &answer, &motive));
    Ok(pb::CreateRevocationResponse {
        revocation: Some(revocation),
        acknowledgement,
        preview: None,
    })
}

/// The record and how far it is; what the use case does not have, the log tells.
async fn told(
    call: &Call,
    tenant: &Tenant,
    answer: &RevocationAnswer,
    level: Asked,
) -> (Option<pb::Revocation>, Option<pb::Acknowledgement>) {
    let Some(record) = answer.record else {
        return (None, None);
    };
    let journal = call.authority().journal();
    let heard = match &answer.revocation {
        Some(_) => None,
        None => tokio::time::timeout(HEAR_WITHIN, journal.wait_for(record))
            .await
            .ok(),
    };
    let revocation = answer
        .revocation
        .as_ref()
        .or(heard.as_ref().map(|entry| &*entry.revocation));
    let told = Told {
        before: answer.before,
        revocation,
        ..Told::narrow(tenant, record, &answer.published, None)
    };
    let acknowledgement = told.acknowledge(call, level).await;
    (
        revocation.map(|revocation| encode::revocation(call, tenant, revocation)),
        Some(acknowledgement),
    )
}

async fn preview(
    call: &Call,
    tenant: &Tenant,
    asked: &RevocationRequest,
) -> Result<pb::CreateRevocationResponse, Status> {
    let preview = call
        .authority()
        .preview_revocation(tenant.id, &asked.target)
        .await
        .map_err(call.refuse(Of::Named))?;
    let count = |count: Option<usize>| count.and_then(|n| i64::try_from(n).ok()).unwrap_or(0);
    let is_of_subject = matches!(asked.target, curfew_authority::Target::Subject(..));
    Ok(pb::CreateRevocationResponse {
        preview: Some(pb::RevocationPreview {
            session_count: count(preview.sessions),
            grant_count: count(preview.grants),
            subject_count: i64::from(is_of_subject),
            exact: preview.sessions.is_some() && asked.issuer.is_none(),
        }),
        ..Default::default()
    })
}

fn failure(status: &Status) -> pb::BatchResult {
    let details = status.get_error_details();
    pb::BatchResult {
        result: Some(pb::batch_result::Result::Failure(pb::BatchFailure {
            code: status.code().into(),
            reason: details
                .error_info()
                .map(|info| info.reason.clone())
                .unwrap_or_default(),
            message: status.message().to_owned(),
            retry_after: details
                .retry_info()
                .and_then(|info| info.retry_delay)
                .and_then(|delay| prost_types::Duration::try_from(delay).ok()),
        })),
    }
}

#[tonic::async_trait]
impl RevocationService for Revocations {
    async fn create_revocation(
        &self,
        request: Request<pb::CreateRevocationRequest>,
    ) -> Answered<pb::CreateRevocationResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "parent", &request.parent)?;
        if place.tenant().is_none() {
            return call.done(check, None);
        }
        create(&call, &place, request).await.map(Response::new)
    }

    async fn batch_create_revocations(
        &self,
        request: Request<pb::BatchCreateRevocationsRequest>,
    ) -> Answered<pb::BatchCreateRevocationsResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "parent", &request.parent)?;
        if request.requests.is_empty() {
            check.fault("requests", "required");
        }
        check.count("requests", request.requests.len(), BATCH_MAX);
        for (i, one) in request.requests.iter().enumerate() {
            if !one.parent.is_empty() && one.parent != request.parent {
                check.fault(format!("requests[{i}].parent"), "another one than the batch's");
            }
        }
        call.done(check, place.tenant())?;
        let (call, place) = (&call, &place);
        let results = stream::iter(request.requests)
            .map(|one| async move {
                match create(call, place, one).await {
                    Ok(response) => pb::BatchResult {
                        result: Some(pb::batch_result::Result::Response(response)),
                    },
                    Err(status) => failure(&status),
                }
            })
            .buffered(BATCH_AT_ONCE)
            .collect()
            .await;
        Ok(Response::new(pb::BatchCreateRevocationsResponse { results }))
    }

    async fn get_revocation(
        &self,
        request: Request<pb::GetRevocationRequest>,
    ) -> Answered<pb::GetRevocationResponse> {
        let (call, request) = self.0.open(request)?;
        list::get(&call, &request).map(Response::new)
    }

    async fn list_revocations(
        &self,
        request: Request<pb::ListRevocationsRequest>,
    ) -> Answered<pb::ListRevocationsResponse> {
        let (call, request) = self.0.open(request)?;
        list::list(&call, request).await.map(Response::new)
    }

    async fn wait_revocation(
        &self,
        request: Request<pb::WaitRevocationRequest>,
    ) -> Answered<pb::WaitRevocationResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let record = place.revocation(&mut check, "name", &request.name);
        let level = check.level("level", request.level);
        let timeout = check.span_ms("timeout", request.timeout, 0);
        let ((tenant, record), (level, timeout)) =
            call.done(check, place.tenant().zip(record).zip(level.zip(timeout)))?;
        let ms = timeout.unwrap_or(WAIT_MS).min(WAIT_MAX_MS);
        let wait = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let mut until = Instant::now() + wait;
        if let Some(by) = curfew_authority::answer_by() {
            until = until.min(by);
        }
        let journal = self.0.authority.journal();
        let copies = |revocation: &Revocation| published::copies_of(&self.0, revocation);
        let hear = tokio::time::timeout_at(until, journal.wait_for_copies(record, copies));
        let heard = tokio::select! {
            biased;
            heard = hear => heard.ok(),
            // Whoever waits asks again elsewhere: not reaching the level is an answer.
            () = self.0.drained() => None,
        };
        if heard
            .as_ref()
            .is_some_and(|entry| entry.revocation.tenant != tenant.id)
        {
            // Another tenant's id is as unheard as one that nobody ever drew.
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.0.drained() => {}
            }
        }
        let Some(entry) = heard.filter(|entry| entry.revocation.tenant == tenant.id) else {
            // What the store has and the log has not is not known here by its id.
            return Ok(Response::new(pb::WaitRevocationResponse::default()));
        };
        let mut acknowledgement = published::of_entry(&self.0, &tenant, &entry);
        let mut reached = true;
        if level == Asked::Enforced {
            let durable = Durable {
                positions: entry.positions,
                at: entry.read_at,
            };
            acknowledgement = enforced::by(&self.0, acknowledgement, &durable, until).await;
            reached = acknowledgement.level() == pb::AckLevel::Enforced;
        }
        Ok(Response::new(pb::WaitRevocationResponse {
            reached,
            acknowledgement: Some(acknowledgement),
        }))
    }

    type WatchRevocationsStream = Frames;

    async fn watch_revocations(&self, request: Request<pb::WatchRevocationsRequest>) -> Answered<Frames> {
        let (call, request) = self.0.open(request)?;
        watch::begin(call, request).await.map(Response::new)
    }

    async fn report_progress(
        &self,
        request: Request<pb::ReportProgressRequest>,
    ) -> Answered<pb::ReportProgressResponse> {
        let (call, request) = self.0.open(request)?;
        watch::report(&call, request).await.map(Response::new)
    }

    async fn list_subscribers(
        &self,
        request: Request<pb::ListSubscribersRequest>,
    ) -> Answered<pb::ListSubscribersResponse> {
        let (call, request) = self.0.open(request)?;
        watch::list(&call, request).await.map(Response::new)
    }
}

//! What clients ask of one node, and what an answer means.
//!
//! **Invariant:** no answer is three things: done, refused for good, or not known; who does not know asks again.

use std::time::Duration;

use curfew_proto::revocation::v1 as revocation;
use curfew_proto::revocation::v1::create_revocation_request::Scope as Criteria;
use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;
use curfew_proto::session::v1 as session;
use curfew_proto::session::v1::session_service_client::SessionServiceClient;
use curfew_proto::token::v1 as token;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use tonic::{Code, Request, Status};

use super::history::Level;
use crate::backend::{Backend, reason, request_id};

/// What a caller waits for.
const DEADLINE: Duration = Duration::from_secs(4);

/// Why there is no answer that a caller can use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Not {
    /// No, and asking again is in vain: the reason of the catalogue.
    Refused(String),
    /// It may have come about, or is to be asked again.
    Known(String),
}

impl From<Status> for Not {
    fn from(status: Status) -> Self {
        let told = reason(&status);
        match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Unauthenticated => Self::Refused(told),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable => Self::Known(told),
        }
    }
}

/// What a client holds of a session.
#[derive(Clone)]
pub(crate) struct Held {
    /// `tenants/{tenant}/sessions/{session}`.
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) refresh_token: String,
    pub(crate) access_token: String,
}

/// Tokens are not printed.
impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({}, ..)", self.name)
    }
}

/// What is cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    Session,
    Grant,
    Subject,
    /// A wide one.
    Device,
}

/// A successor.
pub(crate) struct Renewed {
    pub(crate) refresh_token: String,
    pub(crate) access_token: String,
    pub(crate) is_healed: bool,
}

/// The device of a subject: it has one of its own.
fn device_of(subject: &str) -> String {
    format!("device-{subject}")
}

fn patient<T>(mut request: Request<T>) -> Request<T> {
    request.set_timeout(DEADLINE);
    request
}

/// Opens a session of this subject on its device, and its grant.
pub(crate) async fn open(node: &Backend, subject: &str) -> Result<Held, Not> {
    let request = session::CreateSessionRequest {
        parent: node.parent().to_owned(),
        session: Some(session::Session {
            subject: format!("{}/subjects/{subject}", node.parent()),
            amr: vec!["pwd".to_owned()],
            device: Some(session::Device {
                id: device_of(subject),
                ..Default::default()
            }),
            ..Default::default()
        }),
        request_id: request_id(),
        correlation_id: String::new(),
    };
    let mut sessions = SessionServiceClient::new(node.channel());
    let made = sessions.create_session(patient(node.authorized(request))).await?;
    let name = made.into_inner().session.unwrap_or_default().name;
    let request = token::IssueTokensRequest {
        session: name.clone(),
        client: node.client().to_owned(),
        resource: node.resource().to_owned(),
        scopes: node.scopes().to_vec(),
        request_id: request_id(),
        ..Default::default()
    };
    let mut tokens = TokenServiceClient::new(node.channel());
    let issued = tokens.issue_tokens(patient(node.authorized(request))).await?;
    let issued = issued.into_inner().tokens.unwrap_or_default();
    Ok(Held {
        name,
        subject: subject.to_owned(),
        refresh_token: issued.refresh_token,
        access_token: issued.access_token,
    })
}

/// Presents a refresh token.
pub(crate) async fn refresh(node: &Backend, refresh_token: &str) -> Result<Renewed, Not> {
    let request = token::RefreshTokensRequest {
        refresh_token: refresh_token.to_owned(),
        client: node.client().to_owned(),
        ..Default::default()
    };
    let mut tokens = TokenServiceClient::new(node.channel());
    let answer = tokens.refresh_tokens(patient(node.authorized(request))).await?;
    let answer = answer.into_inner();
    let is_healed = answer.cause() == token::RefreshCause::Healed;
    let tokens = answer.tokens.unwrap_or_default();
    Ok(Renewed {
        refresh_token: tokens.refresh_token,
        access_token: tokens.access_token,
        is_healed,
    })
}

/// Revokes; how far it had come when it was answered. A repeat has the same id.
pub(crate) async fn revoke(node: &Backend, held: &Held, scope: Scope, id: &str) -> Result<Level, Not> {
    let acknowledged = match scope {
        Scope::Session => {
            let request = session::EndSessionRequest {
                name: held.name.clone(),
                cause: "signed_out".to_owned(),
                request_id: id.to_owned(),
                ..Default::default()
            };
            let mut sessions = SessionServiceClient::new(node.channel());
            let ended = sessions.end_session(patient(node.authorized(request))).await?;
            ended.into_inner().acknowledgement
        }
        Scope::Grant => {
            let request = token::RevokeTokenRequest {
                client: node.client().to_owned(),
                token: held.refresh_token.clone(),
                request_id: id.to_owned(),
                ..Default::default()
            };
            let mut tokens = TokenServiceClient::new(node.channel());
            let revoked = tokens.revoke_token(patient(node.authorized(request))).await?;
            revoked.into_inner().acknowledgement
        }
        Scope::Subject => {
            let subject = format!("{}/subjects/{}", node.parent(), held.subject);
            let except = Vec::new();
            let criteria = Criteria::Subject(revocation::SubjectScope { subject, except });
            create_revocation(node, criteria, id).await?
        }
        Scope::Device => {
            let device = device_of(&held.subject);
            let criteria = Criteria::Device(revocation::DeviceScope { device });
            create_revocation(node, criteria, id).await?
        }
    };
    Ok(match acknowledged.map(|acknowledged| acknowledged.level()) {
        Some(revocation::AckLevel::Durable | revocation::AckLevel::Enforced) => Level::Durable,
        Some(revocation::AckLevel::Stored) => Level::Stored,
        Some(revocation::AckLevel::Unspecified) | None => Level::Unknown,
    })
}

async fn create_revocation(
    node: &Backend,
    scope: Criteria,
    id: &str,
) -> Result<Option<revocation::Acknowledgement>, Not> {
    let request = revocation::CreateRevocationRequest {
        parent: node.parent().to_owned(),
        scope: Some(scope),
        request_id: id.to_owned(),
        ..Default::default()
    };
    let mut revocations = RevocationServiceClient::new(node.channel());
    let made = revocations
        .create_revocation(patient(node.authorized(request)))
        .await?;
    Ok(made.into_inner().acknowledgement)
}

/// Whether the store calls a session alive.
pub(crate) async fn is_active(node: &Backend, name: &str) -> Result<bool, Not> {
    let request = session::GetSessionRequest {
        name: name.to_owned(),
    };
    let mut sessions = SessionServiceClient::new(node.channel());
    let found = sessions.get_session(patient(node.authorized(request))).await?;
    let session = found.into_inner().session.unwrap_or_default();
    Ok(session.state() == session::SessionState::Active)
}

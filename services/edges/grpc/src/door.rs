//! The door: every call is shed or let in, known, permitted by the table, and bounded in time.
//!
//! In this order: what the request weighs and a place in the house ([`arrival`]), who calls, whether it may,
//! its share, its rate and its turn.
//!
//! **Invariant:** a path without a line in the table goes no further; a full house says
//! RESOURCE_EXHAUSTED and a late answer UNAVAILABLE, neither of which looks dead.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use curfew_authority::{Authority, Credentials, answering_within};
use curfew_core::refusal::{Reason, Refusal, Stage};
use futures_util::FutureExt as _;
use http::{Extensions, HeaderMap};
use http_body_util::{BodyExt as _, Limited};
use tonic::Status;
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::access::{self, Also, Pace, Rule, Where};
use crate::arrival::{self, Arrival};
use crate::caller::{self, Caller, Presented};
use crate::foreign;
use crate::limits::{self, Claimed, Try};
use crate::observe::Who;
use crate::shared::Shared;
use crate::status::{self, Of};

/// What is read of a call that is refused: any request but a batch fits.
const UNREAD_BYTES_MAX: usize = 16 << 10;
/// How long that may take: it was sent with the headers, or follows as soon as a busy machine lets it. It
/// costs a stream, and neither a place nor a turn.
const UNREAD_TIME_MAX: Duration = Duration::from_secs(10);

/// The most that is left of a caller's patience for the answer's way back; of a short one it is a tenth.
const WAY_BACK_MAX: Duration = Duration::from_millis(250);

/// Puts the door before a service.
#[derive(Clone, Debug)]
pub(crate) struct DoorLayer(pub(crate) Arc<Shared>);

impl<S> Layer<S> for DoorLayer {
    type Service = Door<S>;

    fn layer(&self, inner: S) -> Door<S> {
        Door {
            inner,
            shared: self.0.clone(),
        }
    }
}

/// A service behind the door.
#[derive(Clone, Debug)]
pub(crate) struct Door<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<http::Request<Body>> for Door<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The one that was polled ready is the one that is called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let shared = self.shared.clone();
        Box::pin(async move {
            if access::is_open(request.uri().path()) {
                return inner.call(request).await;
            }
            let arrival = match Arrival::of(&shared, &request) {
                Ok(arrival) => arrival,
                Err(status) => {
                    read_to_end(request.into_body()).await;
                    return Ok(status.into_http());
                }
            };
            let (parts, body) = request.into_parts();
            let mut body = Some(body);
            let rule = arrival.rule;
            // An answer that leaves when the caller's patience ends is heard by nobody.
            let patience = arrival
                .patience
                .map(|patience| patience - (patience / 10).min(WAY_BACK_MAX));
            let served = async {
                let (caller, presented) = permit(&shared, rule, &parts.headers, &parts.extensions).await?;
                serve_here(&shared, rule, &caller)?;
                let admitted = arrival.admit(&shared, &caller).await?;
                Who::note(&parts.extensions, caller.id());
                let mut request = http::Request::from_parts(parts, body.take().unwrap_or_default());
                // Nobody past the door needs it, and what is not there cannot be logged.
                request.headers_mut().remove(http::header::AUTHORIZATION);
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(rule);
                request.extensions_mut().insert(admitted.turn.clone());
                // A stream outlives the call by which its caller was judged.
                if let (Pace::Stream, Some(presented)) = (rule.pace, presented) {
                    request.extensions_mut().insert(presented);
                }
                match inner.call(request).await {
                    Ok(response) => Ok(foreign::translated(response, shared.words(None))),
                    Err(never) => match never {},
                }
            };
            let bounded = async {
                let own = match rule.pace {
                    Pace::Wait => None,
                    Pace::Call | Pace::Stream => Some(shared.settings.call_time_max),
                };
                // Nobody works for a caller that has gone.
                let Some(time) = own.into_iter().chain(patience).min() else {
                    return served.await;
                };
                match tokio::time::timeout(time, answering_within(time, served)).await {
                    Ok(served) => served,
                    Err(_) => Err(late(&shared, rule, time)),
                }
            };
            match AssertUnwindSafe(bounded).catch_unwind().await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(status)) => {
                    if let Some(body) = body {
                        read_to_end(body).await;
                    }
                    Ok(status.into_http())
                }
                Err(_) => {
                    tracing::error!(path = rule.path, "a handler panicked");
                    Ok(Status::internal("the call failed in a way that was not foreseen").into_http())
                }
            }
        })
    }
}

/// Reads what a refused call has yet to say. What still arrives on a stream that was answered counts as a
/// fault of the peer, and its connection is closed after a few hundred (ENHANCE_YOUR_CALM): an honest
/// herd that is shed would lose every call of it.
async fn read_to_end(body: Body) {
    let read = Limited::new(body, UNREAD_BYTES_MAX).collect();
    // Whoever sends more, or sends it slowly, is none of that herd.
    drop(tokio::time::timeout(UNREAD_TIME_MAX, read).await);
}

/// Who calls, where the table permits the call.
async fn permit(
    shared: &Shared,
    rule: &Rule,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<(Caller, Option<Presented>), Status> {
    let nobody = |refusal: &Refusal| status::nobody(refusal, shared.words(None));
    let unknown = |why: &str| nobody(&Refusal::new(Stage::Request, Reason::CallerUnknown).about(why));
    let credentials = caller::credentials(headers, extensions.get()).map_err(unknown)?;
    let (caller, presented) = match &credentials {
        Credentials::RootKey(presented) => {
            let tried = arrival::tried(extensions, Claimed::RootKey, presented);
            may_judge(shared, &tried)?;
            let expected = shared.settings.root_key_proof.as_ref();
            let is_right = expected.is_some_and(|proof| Authority::holds_root_key(proof, &credentials));
            shared.limits.guesses.judged(&tried, is_right);
            if rule.also != Also::RootKey || !is_right {
                return Err(unknown(
                    "this is no proof of the root key, or not good for this call",
                ));
            }
            return Ok((Caller::RootKey, None));
        }
        Credentials::Secret { id, secret } => {
            if rule.also != Also::Secret {
                return Err(unknown(
                    "an id and secret are good for the caller's own token alone",
                ));
            }
            let is_known = shared
                .authority
                .directory()
                .loaded()
                .view
                .callers
                .contains_key(id);
            let claimed = if is_known {
                Claimed::Caller(id.clone())
            } else {
                Claimed::Nobody
            };
            let tried = arrival::tried(extensions, claimed, secret.as_bytes());
            may_judge(shared, &tried)?;
            let identity = shared.authority.authenticate(&credentials).await;
            shared.limits.guesses.judged(&tried, identity.is_ok());
            let identity = identity.map_err(|refusal| nobody(&refusal))?;
            return Ok((
                Caller::Secret {
                    identity,
                    secret: secret.clone(),
                },
                None,
            ));
        }
        Credentials::Bearer(_) | Credentials::Certificate { .. } => {
            let identity = shared.authority.authenticate(&credentials).await;
            let caller = Caller::Token(identity.map_err(|refusal| nobody(&refusal))?);
            (caller, Presented(credentials))
        }
    };
    let refuse = |reason, about: String| {
        let refusal = Refusal::new(Stage::Request, reason).about(about);
        status::status_of(&refusal, Of::Request, shared.words(Some(&caller)))
    };
    let holds_one = rule.roles.is_empty() || rule.roles.iter().any(|role| caller.holds(*role));
    if !holds_one {
        let roles: Vec<_> = rule.roles.iter().map(|role| role.as_str()).collect();
        return Err(refuse(Reason::CallerRole, roles.join(" or ")));
    }
    if rule.tenant == Where::All && !caller.may_touch_all() {
        return Err(refuse(
            Reason::CallerTenant,
            "this call is above tenants".to_owned(),
        ));
    }
    if !rule.is_offered {
        return Err(refuse(Reason::NotImplemented, rule.path.to_owned()));
    }
    Ok((caller, Some(presented)))
}

/// Whether this node does what is asked; nobody who was not let in is told.
fn serve_here(shared: &Shared, rule: &Rule, caller: &Caller) -> Result<(), Status> {
    let Some(role) = shared.settings.serves.lacks(rule.by) else {
        return Ok(());
    };
    let about = format!("this node has no role `{role}`: ask one that has");
    let refusal = Refusal::new(Stage::Request, Reason::NotImplemented).about(about);
    Err(status::status_of(
        &refusal,
        Of::Request,
        shared.words(Some(caller)),
    ))
}

/// Whether the try may be judged: wrong ones are few.
fn may_judge(shared: &Shared, tried: &Try) -> Result<(), Status> {
    shared.limits.guesses.may_judge(tried).map_err(|delay| {
        let refusal = limits::over(Reason::RateLimited, delay, shared.authority.now().wall)
            .about("too many credentials that are not right");
        status::status_of(&refusal, Of::Request, shared.words(None))
    })
}

/// The outcome is not known: the same words as of a store that did not answer.
fn late(shared: &Shared, rule: &Rule, time: Duration) -> Status {
    tracing::warn!(path = rule.path, "call took too long");
    let about = format!("no answer within {time:?}; the outcome is not known");
    let refusal = Refusal::new(Stage::Request, Reason::StoreUnavailable).about(about);
    status::status_of(&refusal, Of::Request, shared.words(None))
}

//! The door: every call is shed or let in, known, permitted by the table, and bounded in time.
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

use curfew_authority::{Authority, Credentials};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_transport::Peer;
use futures_util::FutureExt as _;
use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;
use tonic_types::FieldViolation;
use tower_layer::Layer;
use tower_service::Service;

use crate::access::{self, Also, Pace, Rule, Where};
use crate::caller::{self, Caller, Presented};
use crate::deadline;
use crate::shared::Shared;
use crate::status::{self, Of};

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

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // The one that was polled ready is the one that is called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let shared = self.shared.clone();
        Box::pin(async move {
            if access::is_open(request.uri().path()) {
                return inner.call(request).await;
            }
            let (rule, _permit) = match enter(&shared, request.uri().path()) {
                Ok(entered) => entered,
                Err(status) => return Ok(status.into_http()),
            };
            let patience = match patience(&shared, request.headers()) {
                Ok(patience) => patience,
                Err(status) => return Ok(status.into_http()),
            };
            let served = async {
                let (caller, presented) =
                    permit(&shared, rule, request.headers(), request.extensions().get()).await?;
                // Nobody past the door needs it, and what is not there cannot be logged.
                request.headers_mut().remove(http::header::AUTHORIZATION);
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(rule);
                // A stream outlives the call by which its caller was judged.
                if let (Pace::Stream, Some(presented)) = (rule.pace, presented) {
                    request.extensions_mut().insert(presented);
                }
                match inner.call(request).await {
                    Ok(response) => Ok(response),
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
                match tokio::time::timeout(time, served).await {
                    Ok(served) => served,
                    Err(_) => Err(late(&shared, rule, time)),
                }
            };
            match AssertUnwindSafe(bounded).catch_unwind().await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(status)) => Ok(status.into_http()),
                Err(_) => {
                    tracing::error!(path = rule.path, "a handler panicked");
                    Ok(Status::internal("the call failed in a way that was not foreseen").into_http())
                }
            }
        })
    }
}

/// The line of the table, and a place in the house.
fn enter(shared: &Shared, path: &str) -> Result<(&'static Rule, Option<OwnedSemaphorePermit>), Status> {
    let words = shared.words(None);
    let refuse = |reason, about: &str| {
        let refusal = Refusal::new(Stage::Request, reason).about(about);
        status::status_of(&refusal, Of::Request, words)
    };
    let rule = Rule::of(path).ok_or_else(|| refuse(Reason::NotImplemented, "there is no such method"))?;
    let house = match rule.pace {
        Pace::Call => &shared.calls,
        Pace::Wait => &shared.waits,
        // Counted by the handler, for as long as the stream lives.
        Pace::Stream => return Ok((rule, None)),
    };
    match house.clone().try_acquire_owned() {
        Ok(permit) => Ok((rule, Some(permit))),
        Err(_) => Err(refuse(Reason::Overloaded, "too many calls in progress")),
    }
}

/// Who calls, where the table permits the call.
async fn permit(
    shared: &Shared,
    rule: &Rule,
    headers: &HeaderMap,
    peer: Option<&Peer>,
) -> Result<(Caller, Option<Presented>), Status> {
    let nobody = |refusal: &Refusal| status::nobody(refusal, shared.words(None));
    let unknown = |why: &str| nobody(&Refusal::new(Stage::Request, Reason::CallerUnknown).about(why));
    let credentials = caller::credentials(headers, peer).map_err(unknown)?;
    let (caller, presented) = match &credentials {
        Credentials::RootKey(_) => {
            let expected = shared.settings.root_key_proof.as_ref();
            let is_right = expected.is_some_and(|proof| Authority::holds_root_key(proof, &credentials));
            if rule.also != Also::RootKey || !is_right {
                return Err(unknown(
                    "this is no proof of the root key, or not good for this call",
                ));
            }
            return Ok((Caller::RootKey, None));
        }
        Credentials::Secret { secret, .. } => {
            if rule.also != Also::Secret {
                return Err(unknown(
                    "an id and secret are good for the caller's own token alone",
                ));
            }
            let identity = shared.authority.authenticate(&credentials).await;
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

/// How long the caller will wait, where it says so.
fn patience(shared: &Shared, headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    deadline::of(headers).map_err(|fault| {
        let fault = FieldViolation::new("(metadata) grpc-timeout", fault);
        status::violations(vec![fault], shared.words(None))
    })
}

/// The outcome is not known: the same words as of a store that did not answer.
fn late(shared: &Shared, rule: &Rule, time: Duration) -> Status {
    tracing::warn!(path = rule.path, "call took too long");
    let about = format!("no answer within {time:?}; the outcome is not known");
    let refusal = Refusal::new(Stage::Request, Reason::StoreUnavailable).about(about);
    status::status_of(&refusal, Of::Request, shared.words(None))
}

//! The guard before an HTTP service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::{Access, Gate};
use crate::guard::Guard;
use crate::refused::Refused;
use crate::route::Requirements;

/// Puts a guard before an HTTP service.
#[derive(Clone, Debug)]
pub struct GuardLayer {
    gate: Gate,
}

impl GuardLayer {
    /// Every request must meet these requirements; as a route's own layer in axum.
    #[must_use]
    pub fn new(guard: Guard, requirements: Requirements) -> Self {
        Self {
            gate: Gate::new(guard, requirements),
        }
    }

    /// What a request must meet depends on its method and path.
    #[must_use]
    pub fn by_route(
        guard: Guard,
        routes: impl Fn(&http::Method, &str) -> Access + Send + Sync + 'static,
    ) -> Self {
        Self {
            gate: Gate {
                guard,
                routes: Arc::new(routes),
            },
        }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> GuardService<S> {
        GuardService {
            inner,
            gate: self.gate.clone(),
        }
    }
}

/// An HTTP service behind a guard.
#[derive(Clone, Debug)]
pub struct GuardService<S> {
    inner: S,
    gate: Gate,
}

impl<S, B, R> Service<Request<B>> for GuardService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was polled ready is the one that is called.
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let gate = self.gate.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match gate.pass(&mut parts).await {
                Ok(()) => ready.call(Request::from_parts(parts, body)).await,
                Err(refused) => Ok(refused.to_http()),
            }
        })
    }
}

impl Refused {
    /// The HTTP answer: 401 with challenges, 403, or 503 with `Retry-After`; a JSON body.
    #[must_use]
    pub fn to_http<R: From<String>>(&self) -> Response<R> {
        let mut response = Response::new(R::from(self.to_json().to_string()));
        // The table's statuses are all there are, and valid.
        *response.status_mut() =
            StatusCode::from_u16(self.answer().http_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A challenge is printable ASCII, so this is always a value.
        if let Some(Ok(challenge)) = self.www_authenticate().map(HeaderValue::try_from) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

//! The guard before a gRPC service (tonic): the same refusals as statuses.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower_layer::Layer;
use tower_service::Service;

use super::{Access, Gate};
use crate::guard::Guard;
use crate::refused::Refused;
use crate::route::Requirements;

/// The domain of `google.rpc.ErrorInfo`.
const DOMAIN: &str = "curfew";

/// Puts a guard before a gRPC service or a whole tonic server.
#[derive(Clone, Debug)]
pub struct GrpcGuardLayer {
    gate: Gate,
}

impl GrpcGuardLayer {
    /// Every call must meet these requirements.
    #[must_use]
    pub fn new(guard: Guard, requirements: Requirements) -> Self {
        Self {
            gate: Gate::new(guard, requirements),
        }
    }

    /// What a call must meet depends on its path, `/package.Service/Method`.
    #[must_use]
    pub fn by_method(guard: Guard, routes: impl Fn(&str) -> Access + Send + Sync + 'static) -> Self {
        Self {
            gate: Gate {
                guard,
                routes: Arc::new(move |_, path| routes(path)),
            },
        }
    }
}

impl<S> Layer<S> for GrpcGuardLayer {
    type Service = GrpcGuardService<S>;

    fn layer(&self, inner: S) -> GrpcGuardService<S> {
        GrpcGuardService {
            inner,
            gate: self.gate.clone(),
        }
    }
}

/// A gRPC service behind a guard.
#[derive(Clone, Debug)]
pub struct GrpcGuardService<S> {
    inner: S,
    gate: Gate,
}

impl<S, B, R> Service<Request<B>> for GrpcGuardService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
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
                Err(refused) => Ok(refused.to_status().into_http()),
            }
        })
    }
}

impl<S: tonic::server::NamedService> tonic::server::NamedService for GrpcGuardService<S> {
    const NAME: &'static str = S::NAME;
}

impl Refused {
    /// The gRPC answer: UNAUTHENTICATED, PERMISSION_DENIED or UNAVAILABLE, with `ErrorInfo`, where a
    /// repetition makes sense `RetryInfo`, and the challenges as `www-authenticate` metadata.
    #[must_use]
    pub fn to_status(&self) -> Status {
        let code = Code::from_i32(self.answer().grpc_code().number());
        let mut about = HashMap::from([("stage".to_owned(), self.stage.as_str().to_owned())]);
        if let Some(by) = &self.by {
            about.insert("initiator".to_owned(), by.initiator.as_str().to_owned());
        }
        let mut details = ErrorDetails::with_error_info(self.short_code(), DOMAIN, about);
        if let Some(seconds) = self.retry_after_s() {
            details.set_retry_info(Some(Duration::from_secs(seconds.into())));
        }
        if let Some(page) = self.error_uri() {
            details.add_help_link(self.reason.fix(), page);
        }
        let mut metadata = MetadataMap::new();
        // A challenge is printable ASCII, so this is always a value.
        if let Some(Ok(challenge)) = self.www_authenticate().map(AsciiMetadataValue::try_from) {
            metadata.insert("www-authenticate", challenge);
        }
        Status::with_error_details_and_metadata(code, self.reason.what(), details, metadata)
    }
}

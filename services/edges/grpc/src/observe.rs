//! Every call, watched from outside the door: counted by method and code, and told in one line.
//!
//! A refused call is one line at `info`, at most [`LINES_MAX`] of them a second; any other is one at `debug`.
//!
//! **Invariant:** what is watched is passed on unchanged; no line holds anything that a request said but its
//! method and, once it proved itself, the caller's id.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use curfew_core::ids::CallerId;
use curfew_core::refusal::{Reason, Stage};
use curfew_trace::Remote;
use http::{Extensions, HeaderMap};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Instrument as _, Span};

use crate::access::{self, Rule};
use crate::metrics::{Counters, STAGES};
use crate::shared::Shared;

/// Lines about refused calls in one second: at ~300 B each, 30 kB/s of log whatever callers do. All of
/// them are counted.
const LINES_MAX: u64 = 100;

/// Watches the calls of a service.
#[derive(Clone, Debug)]
pub(crate) struct ObserveLayer(pub(crate) Arc<Shared>);

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe {
            inner,
            shared: self.0.clone(),
        }
    }
}

/// A service whose calls are watched.
#[derive(Clone, Debug)]
pub(crate) struct Observe<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// Where the door notes who calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who(Arc<OnceLock<CallerId>>);

impl Who {
    /// Notes the caller of a request that is watched.
    pub(crate) fn note(extensions: &Extensions, caller: Option<&CallerId>) {
        if let (Some(who), Some(caller)) = (extensions.get::<Self>(), caller) {
            // There is one caller, and one door.
            drop(who.0.set(caller.clone()));
        }
    }
}

impl<S> Service<http::Request<Body>> for Observe<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if access::is_open(path) {
            return Box::pin(self.inner.call(request));
        }
        let rule = Rule::of(path);
        let (span, cause) = traced(request.headers(), method_of(rule));
        let who = Who::default();
        request.extensions_mut().insert(who.clone());
        let call = Called {
            shared: self.shared.clone(),
            rule,
            who,
            span,
            began: Instant::now(),
            has_ended: false,
        };
        let answer = self.inner.call(request);
        let (span, cause) = (call.span.clone(), cause);
        let watched = async move {
            match answer.await {
                Ok(response) => {
                    call.end(response.extensions().get::<Status>());
                    Ok(response)
                }
                Err(never) => match never {},
            }
        };
        Box::pin(curfew_trace::caused_by(cause, watched).instrument(span))
    }
}

/// A call in progress.
struct Called {
    shared: Arc<Shared>,
    rule: Option<&'static Rule>,
    who: Who,
    span: Span,
    began: Instant,
    has_ended: bool,
}

fn method_of(rule: Option<&'static Rule>) -> &'static str {
    rule.map_or("_OTHER", |rule| rule.path.trim_start_matches('/'))
}

/// The span of a call and what is told as the cause of the records that it writes.
///
/// There is one where the caller sent its trace or where spans are exported; otherwise a call costs none.
/// The names are OpenTelemetry's for RPC (stable since 1.45): the method is the fully-qualified one.
fn traced(headers: &HeaderMap, method: &'static str) -> (Span, Option<Arc<str>>) {
    let remote = Remote::of(headers);
    if remote.is_none() && !curfew_trace::is_wanted() {
        return (Span::none(), None);
    }
    let span = tracing::info_span!(
        target: curfew_trace::TARGET,
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = tracing::field::Empty,
        error.type = tracing::field::Empty,
        curfew.caller = tracing::field::Empty,
        curfew.stage = tracing::field::Empty,
        curfew.reason = tracing::field::Empty,
        trace_id = tracing::field::Empty,
    );
    let sent = remote
        .as_ref()
        .map(|remote| (remote.traceparent(), remote.trace_id()));
    if let Some(remote) = remote {
        remote.adopt(&span);
    }
    // Where nobody exports, the caller's own trace goes on from here as it came.
    let Some((traceparent, trace_id)) = curfew_trace::traceparent_of(&span).or(sent) else {
        return (span, None);
    };
    span.record("trace_id", trace_id.as_str());
    (span, Some(traceparent))
}

impl Called {
    fn end(mut self, status: Option<&Status>) {
        self.has_ended = true;
        let code = status.map_or(Code::Ok, Status::code);
        let why = status.and_then(why);
        let took = self.began.elapsed();
        let counters = &self.shared.counters;
        counters.called(self.rule, code, took);
        if let Some((stage, reason)) = why {
            counters.refused(stage, reason);
        }
        let method = method_of(self.rule);
        let caller = self.who.0.get().map(CallerId::as_str);
        self.tell_span(code, why, caller);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if code == Code::Ok {
            tracing::debug!(rpc.method = method, caller, took_us, "call answered");
        } else if tracing::enabled!(tracing::Level::INFO) && counters.may_tell(&self.shared) {
            tracing::info!(
                rpc.method = method,
                code = code_name(code),
                stage = why.map(|(stage, _)| stage.as_str()),
                reason = why.map(|(_, reason)| reason.code()),
                caller,
                took_us,
                "call refused"
            );
        }
    }

    /// What is an error of the server is an error of its span; a refusal is a good answer.
    fn tell_span(&self, code: Code, why: Option<(Stage, Reason)>, caller: Option<&str>) {
        if self.span.is_disabled() {
            return;
        }
        self.span.record("rpc.response.status_code", code_name(code));
        self.span.record("curfew.caller", caller);
        if let Some((stage, reason)) = why {
            self.span.record("curfew.stage", stage.as_str());
            self.span.record("curfew.reason", reason.code());
        }
        let is_servers = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        if is_servers {
            self.span.record("error.type", code_name(code));
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for Called {
    /// Whoever called went away before there was an answer; what was committed is committed.
    fn drop(&mut self) {
        if !self.has_ended {
            let took = self.began.elapsed();
            self.shared.counters.called(self.rule, Code::Cancelled, took);
        }
    }
}

impl Counters {
    /// Whether one more line may be written in this second.
    fn may_tell(&self, shared: &Shared) -> bool {
        let is_within = self.lines.take(shared.authority.now().boot_ms / 1_000);
        if !is_within {
            self.lines_dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_within
    }
}

/// The lines of one second. Two threads at its edge may write a line too many, or too few.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    second: AtomicI64,
    written: AtomicU64,
}

impl Lines {
    fn take(&self, second: i64) -> bool {
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.written.store(0, Ordering::Relaxed);
        }
        self.written.fetch_add(1, Ordering::Relaxed) < LINES_MAX
    }
}

/// Stage and reason, as the answer's details say them.
fn why(status: &Status) -> Option<(Stage, Reason)> {
    let info = status.get_details_error_info()?;
    let code = info.metadata.get("code")?;
    let stage = info.metadata.get("stage")?;
    let reason = Reason::ALL.iter().find(|reason| reason.code() == code)?;
    let stage = STAGES.iter().find(|known| known.as_str() == stage)?;
    Some((*stage, *reason))
}

/// A code as gRPC spells it.
pub(crate) const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_next_as_many() {
        let lines = Lines::default();
        let written = |second| (0..LINES_MAX * 2).filter(|_| lines.take(second)).count() as u64;
        assert_eq!(written(7), LINES_MAX);
        assert_eq!(written(8), LINES_MAX);
    }
}

//! The guard's part of a trace, with the feature `opentelemetry`: what applies a record belongs to the trace
//! that caused it, and what is asked of an authority to the trace of the call that asks.
//!
//! The guarded program installs the subscriber, with `tracing-opentelemetry`, and the propagator.
//!
//! **Invariant:** nothing here decides anything; without the feature there is nothing here at all.

use curfew_core::place::Position;
use curfew_core::record::Revocation;

/// A span of the record's own trace.
#[cfg(feature = "opentelemetry")]
pub(crate) fn applied(position: Position, revocation: &Revocation, age_ms: i64) {
    let Some(trace) = &revocation.trace else { return };
    let span = tracing::debug_span!(
        target: curfew_trace::TARGET,
        parent: None,
        "curfew.guard.apply",
        otel.kind = "consumer",
        messaging.operation.name = "apply",
        messaging.operation.r#type = "process",
        messaging.message.id = %revocation.id,
        messaging.destination.partition.id = position.partition.0,
        curfew.log.offset = position.offset,
        curfew.revoke_to_applied_ms = age_ms,
    );
    curfew_trace::adopt(&span, trace);
    let _in_span = span.enter();
}

#[cfg(not(feature = "opentelemetry"))]
pub(crate) const fn applied(_: Position, _: &Revocation, _: i64) {}

/// Lets a call carry the trace of whatever makes it.
#[cfg(feature = "opentelemetry")]
pub(crate) fn carry<T>(request: &mut tonic::Request<T>) {
    let traceparent = curfew_trace::traceparent_of(&tracing::Span::current());
    let value = traceparent.and_then(|(traceparent, _)| traceparent.parse().ok());
    if let Some(value) = value {
        request.metadata_mut().insert(curfew_trace::TRACEPARENT, value);
    }
}

#[cfg(not(feature = "opentelemetry"))]
pub(crate) const fn carry<T>(_: &mut tonic::Request<T>) {}

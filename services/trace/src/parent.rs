//! Trace contexts of others as parents of spans here, and spans here as trace contexts for others.

use std::sync::Arc;

use http::HeaderMap;
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry::{Context, global};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::TARGET;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct Text<'a>(&'a str);

impl Extractor for Text<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == crate::TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![crate::TRACEPARENT]
    }
}

/// The trace context that a request came with.
#[derive(Clone, Debug)]
pub struct Remote(Context);

impl Remote {
    /// What the headers say; `None`: nothing that is well-formed.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        // Without the header there is nothing to parse: most calls of most installations.
        headers.get(crate::TRACEPARENT)?;
        Self::extract(&Headers(headers))
    }

    fn extract(extractor: &dyn Extractor) -> Option<Self> {
        // Never the context of this thread: what was not sent has no parent.
        let none = Context::new();
        let context =
            global::get_text_map_propagator(|propagator| propagator.extract_with_context(&none, extractor));
        let is_valid = context.span().span_context().is_valid();
        is_valid.then_some(Self(context))
    }

    /// Its `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> Arc<str> {
        text_of(self.0.span().span_context())
    }

    /// Its trace id, in hexadecimal.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.0.span().span_context().trace_id().to_string()
    }

    /// Makes it the parent of a span, before that span is entered.
    pub fn adopt(self, span: &Span) {
        // A span that nobody exports has no parent to set.
        drop(span.set_parent(self.0));
    }
}

/// Makes the `traceparent` of a record the parent of a span, before that span is entered.
pub fn adopt(span: &Span, traceparent: &str) {
    if span.is_disabled() {
        return;
    }
    if let Some(remote) = Remote::extract(&Text(traceparent)) {
        remote.adopt(span);
    }
}

/// The `traceparent` of a span and its trace id; `None`: nobody exports it.
#[must_use]
pub fn traceparent_of(span: &Span) -> Option<(Arc<str>, String)> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    context
        .is_valid()
        .then(|| (text_of(&context), context.trace_id().to_string()))
}

/// Whether anybody wants spans at all.
#[must_use]
pub fn is_wanted() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::DEBUG)
}

/// Version 00 (W3C Trace Context section 3.2.2).
fn text_of(context: &SpanContext) -> Arc<str> {
    format!(
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags()
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_goes_through_a_span_and_comes_out_with_the_spans_own_id() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", SENT.parse().unwrap());
            let remote = Remote::of(&headers).unwrap();
            assert_eq!(&*remote.traceparent(), SENT);
            let span = tracing::info_span!("call");
            let trace_id = remote.trace_id();
            remote.adopt(&span);
            let (traceparent, id) = traceparent_of(&span).unwrap();
            assert_eq!(id, trace_id);
            assert!(traceparent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
            assert!(traceparent.ends_with("-01") && &*traceparent != SENT);
            let applied = tracing::info_span!("apply");
            adopt(&applied, &traceparent);
            assert_eq!(traceparent_of(&applied).unwrap().1, trace_id);
        });
        for wrong in [
            "",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "nonsense",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", wrong.parse().unwrap());
            assert!(Remote::of(&headers).is_none(), "{wrong}");
        }
    }

    #[test]
    fn without_a_subscriber_a_span_has_no_context() {
        assert!(traceparent_of(&tracing::info_span!("call")).is_none());
        assert!(!is_wanted());
    }
}

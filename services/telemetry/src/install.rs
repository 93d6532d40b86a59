//! The subscriber of a program: log lines on standard error, spans to a collector where one is named.
//!
//! Spans of ours are `curfew::span` alone: those of the libraries are neither logged nor exported, and where
//! nobody exports, all but the call's own are switched off at their callsite.
//!
//! **Invariant:** standard output is what was asked for; nothing here is written to it.

use std::io::IsTerminal as _;
use std::str::FromStr as _;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::ClientTlsConfig;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::export::Queue;
use crate::settings::{LogFormat, Otlp, Settings, SettingsError};

/// The target of every span of ours (`curfew_trace::TARGET`).
const SPANS: &str = "curfew::span";
/// How long the last spans may take to go.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// What was installed: to be stopped when the program ends, or its last spans are lost.
#[derive(Debug)]
#[must_use = "the last spans go when it is stopped"]
pub struct Installed(Option<SdkTracerProvider>);

impl Installed {
    /// Sends what waits, for at most five seconds. Called outside of async work: it blocks.
    pub fn stop(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_MAX)
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the last spans did not go"
            );
        }
    }
}

/// Installs the subscriber of this program, within a tokio runtime where spans are exported.
///
/// # Errors
/// A setting is none, or there is a subscriber already.
pub fn install(settings: &Settings) -> Result<Installed, SettingsError> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = settings.otlp.as_ref().map(provider).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("curfew"))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // Parents are those of `tracing`; nobody asks for the thread's own context.
            .with_context_activation(false)
            .with_filter(Targets::new().with_target(SPANS, LevelFilter::DEBUG))
    });
    tracing_subscriber::registry()
        .with(lines(settings)?)
        .with(spans)
        .try_init()
        .map_err(SettingsError::Twice)?;
    Ok(Installed(provider))
}

fn lines<S>(settings: &Settings) -> Result<Box<dyn Layer<S> + Send + Sync>, SettingsError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut filter = EnvFilter::try_new(&settings.log_filter).map_err(SettingsError::Filter)?;
    // The call's own span, so that each line within it has the trace; the others would only repeat it.
    if let Ok(calls) = format!("{SPANS}=info").parse() {
        filter = filter.add_directive(calls);
    }
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        // Colours are for people: a file or a pipe gets none.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    Ok(match settings.log_format {
        LogFormat::Text => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
    })
}

fn provider(otlp: &Otlp) -> Result<SdkTracerProvider, SettingsError> {
    let mut exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&otlp.endpoint)
        .with_timeout(otlp.timeout)
        .with_metadata(metadata(otlp)?);
    if otlp.endpoint.starts_with("https:") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_native_roots());
    }
    let exporter = exporter.build().map_err(|source| SettingsError::Exporter {
        endpoint: otlp.endpoint.clone(),
        source: source.into(),
    })?;
    let mut resource = Resource::builder()
        .with_service_name("curfew")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if !otlp.instance.is_empty() {
        resource = resource.with_attribute(KeyValue::new("service.instance.id", otlp.instance.clone()));
    }
    let ratio = Sampler::TraceIdRatioBased(otlp.sample_ratio);
    Ok(SdkTracerProvider::builder()
        .with_resource(resource.build())
        // Whoever called decided for its trace; the ratio is for those that begin here.
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_span_processor(Queue::before(exporter))
        .build())
}

fn metadata(otlp: &Otlp) -> Result<MetadataMap, SettingsError> {
    let mut metadata = MetadataMap::new();
    for (name, value) in &otlp.headers {
        let wrong = || SettingsError::Header { name: name.clone() };
        let key = MetadataKey::from_str(name).map_err(|_| wrong())?;
        let mut value = MetadataValue::try_from(value.as_str()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        metadata.insert(key, value);
    }
    Ok(metadata)
}

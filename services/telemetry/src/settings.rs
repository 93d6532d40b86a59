//! What a program is told about its logs and its spans.

use std::fmt;
use std::time::Duration;

/// How a program logs, and where its spans go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is logged, by level and target, as `tracing_subscriber::EnvFilter` reads it.
    pub log_filter: String,
    /// For whom.
    pub log_format: LogFormat,
    /// Where spans go; `None`: there are none, and nothing is started.
    pub otlp: Option<Otlp>,
}

/// For whom log lines are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// A collector of OpenTelemetry, over gRPC.
#[derive(Clone)]
pub struct Otlp {
    /// Its address, as `http://127.0.0.1:4317`; TLS by `https`, with the machine's own authorities.
    pub endpoint: String,
    /// The part of the traces begun here that is exported, 0 to 1; for others their caller decided.
    pub sample_ratio: f64,
    /// Metadata of each export, such as a token; secret.
    pub headers: Vec<(String, String)>,
    /// How long one export may take.
    pub timeout: Duration,
    /// This instance, as `service.instance.id`; empty: none is told.
    pub instance: String,
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Otlp")
            .field("endpoint", &self.endpoint)
            .field("sample_ratio", &self.sample_ratio)
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why telemetry cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The filter is none.
    #[error("the log filter is none")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// A header of exports is none. Its value is a secret, so it is not told.
    #[error("the header `{name}` of exports is none")]
    Header {
        /// Its name.
        name: String,
    },
    /// The exporter refuses.
    #[error("the exporter to {endpoint} cannot be made")]
    Exporter {
        /// The collector.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is a subscriber already.
    #[error("logs are set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

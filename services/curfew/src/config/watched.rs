//! How a node is watched, as the program takes it: logs, spans, and where metrics are read.

use std::time::Duration;

use curfew_telemetry::{LogFormat, Otlp};

use super::layers::Layers;
use super::raw;

/// Judges the collector's settings; `None`: there is none, or a fault was noted.
pub(super) fn otlp(layers: &mut Layers, raw: &raw::Otlp) -> Option<Otlp> {
    if !(0.0..=1.0).contains(&raw.sample_ratio) {
        layers.fault(
            "otlp.sample_ratio",
            format!("{} is not between 0 and 1", raw.sample_ratio),
        );
    }
    if !(1..=60).contains(&raw.timeout_s) {
        layers.fault(
            "otlp.timeout_s",
            format!("{} is not between 1 and 60", raw.timeout_s),
        );
    }
    let headers = headers(layers, raw.headers.as_deref().unwrap_or_default());
    let endpoint = raw.endpoint.as_ref()?;
    let uri = endpoint.parse::<http::Uri>();
    let is_address =
        uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some());
    if !is_address {
        layers.fault(
            "otlp.endpoint",
            format!("`{endpoint}` is not an address, as `http://127.0.0.1:4317`"),
        );
    }
    Some(Otlp {
        endpoint: endpoint.clone(),
        sample_ratio: raw.sample_ratio,
        headers,
        timeout: Duration::from_secs(u64::try_from(raw.timeout_s).unwrap_or(1)),
        instance: String::new(),
    })
}

/// `name=value`, with commas between; a fault names no value.
fn headers(layers: &mut Layers, text: &str) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for header in text.split(',').filter(|header| !header.trim().is_empty()) {
        match header.split_once('=') {
            Some((name, value)) => headers.push((name.trim().to_lowercase(), value.trim().to_owned())),
            None => layers.fault("otlp.headers", "not of the form `name=value,name=value`"),
        }
    }
    headers
}

impl raw::Log {
    /// For whom the lines are; the word was judged.
    pub(crate) fn format(&self) -> LogFormat {
        match self.format.as_str() {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        }
    }
}

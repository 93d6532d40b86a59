//! Metrics in the Prometheus text format: read from the node when they are asked for.
//!
//! Every family is described in `services/METRICS.md`; a test compares the two.

mod authority;
mod calls;
mod family;
mod node;
mod process;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use curfew_authority::Authority;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

pub use node::{Gauge, GaugeUnit};

/// The text format, version 0.0.4.
const CONTENT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where the numbers come from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The use cases.
    pub authority: Authority,
    /// The gRPC edge.
    pub edge: curfew_grpc::Metrics,
    /// What only the program that wires a node knows, such as an engine's queue.
    pub gauges: Vec<Gauge>,
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        node::encode(&mut encoder)?;
        authority::encode(&mut encoder, &self.authority)?;
        calls::encode(&mut encoder, &self.edge)?;
        for gauge in &self.gauges {
            gauge.encode(&mut encoder)?;
        }
        process::encode(&mut encoder)
    }
}

/// Every metric, now.
///
/// # Errors
/// Only if writing to a string fails.
pub fn text(sources: &Sources) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(sources.clone()));
    let mut text = String::new();
    prometheus_client::encoding::prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

/// `GET /metrics`. It says how busy a node is and what goes wrong on it: not for the public.
pub fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(Arc::new(sources))
}

async fn scrape(State(sources): State<Arc<Sources>>) -> Response {
    match text(&sources) {
        Ok(text) => ([(CONTENT_TYPE, CONTENT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

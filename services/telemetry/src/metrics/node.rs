//! What the program is, and what only the program that wires a node knows.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::family::{counter, gauge};
use crate::export::span_counts;

/// A number that is read when it is asked for.
#[derive(Clone)]
pub struct Gauge {
    name: &'static str,
    help: &'static str,
    unit: GaugeUnit,
    read: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// What a gauge's number is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GaugeUnit {
    /// A count, or yes and no.
    Count,
    /// Bytes: the name gets `_bytes`.
    Bytes,
    /// Seconds: the name gets `_seconds`.
    Seconds,
}

impl Gauge {
    /// `name` begins with `curfew_` and is without its unit; `read` must not wait.
    #[must_use]
    pub fn new(
        name: &'static str,
        help: &'static str,
        unit: GaugeUnit,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            help,
            unit,
            read: Arc::new(read),
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let unit = match self.unit {
            GaugeUnit::Count => None,
            GaugeUnit::Bytes => Some(Unit::Bytes),
            GaugeUnit::Seconds => Some(Unit::Seconds),
        };
        gauge(
            encoder,
            self.name,
            self.help,
            unit.as_ref(),
            [(vec![], (self.read)())],
        )
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Which program this is: one series whose value is 1. Then what became of its spans.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let spans = span_counts();
    let ends = [
        ("exported", spans.exported()),
        ("failed", spans.failed()),
        ("dropped", spans.dropped()),
    ];
    counter(
        encoder,
        "curfew_spans",
        "Spans by what became of them: taken by the collector, not taken in time, or the queue was full",
        ends.map(|(end, count)| (vec![("outcome", end)], count)),
    )?;
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION")),
        ("profile", profile),
        ("target", std::env::consts::ARCH),
    ];
    gauge(
        encoder,
        "curfew_build_info",
        "1; the labels say which program this is",
        None,
        [(labels, 1.0)],
    )
}

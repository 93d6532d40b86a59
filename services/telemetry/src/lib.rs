//! How a node is watched: Prometheus text, OTLP spans, log lines.
//!
//! The node counts by itself, in plain numbers ([`curfew_authority::Metrics`], [`curfew_grpc::Metrics`]); here
//! they are read when somebody asks, and written in the form that others read. Its spans and events are
//! those of `tracing`; here they get their subscriber.
//!
//! **Invariant:** nothing here is waited for by a call: a scrape reads, an export that fails is counted.
//! **Invariant:** no label is a subject, a session, a token or any other name that a caller chose.

// Tests may panic: a panic is how a test speaks.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a panic is how a test speaks"
    )
)]

mod export;
mod install;
mod metrics;
mod settings;

pub use export::{SpanCounts, span_counts};
pub use install::{Installed, install};
pub use metrics::{Gauge, GaugeUnit, Sources, router, text};
pub use settings::{LogFormat, Otlp, Settings, SettingsError};

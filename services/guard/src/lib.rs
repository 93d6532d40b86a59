//! What runs beside a resource server: verify, consult the index, challenge.
//!
//! A [`Guard`] is built from a [`Config`] and a clock, fed by a [`Source`] (the hub's stream is
//! [`HubSource`]; the crate `curfew-guard-kafka` reads the log itself), and asked at every call: [`Guard::check`]. The layers [`GuardLayer`] (axum and any
//! other HTTP service) and [`GrpcGuardLayer`] (tonic) ask it for you.
//!
//! What it counts is read by [`Guard::metrics`], or as text by `Guard::prometheus_text` (feature
//! `prometheus`). With the feature `opentelemetry`, and a subscriber of `tracing-opentelemetry` in the
//! program, applying a record is a span of the trace that caused it.
//!
//! **Invariant:** nothing of the server is seen here: no authority, no store, no adapter.
//! **Invariant:** no doubt admits: what is unknown, malformed, stale or unreadable is refused by name.

// Tests may panic: a panic is how a test speaks.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a panic is how a test speaks"
    )
)]

mod admission;
mod challenge;
mod check;
mod conclude;
mod config;
mod feed;
mod guard;
mod hub;
mod keys;
mod layer;
mod metrics;
#[cfg(feature = "prometheus")]
mod prometheus;
mod refused;
mod report;
mod route;
mod running;
mod stale;
#[cfg(test)]
mod testing;
mod tls;
mod token;
mod trace;
mod validity;
mod wait;
mod watch;

pub use admission::{Admission, Ground};
pub use config::{
    BOUND_EMBEDDED_MS, BOUND_KAFKA_MS, Config, ConfigError, ForeignIssuer, KEYS_KEPT_MS, ORDINARY_LIFE_MS,
    OwnIssuer, SIGNATURES_MAX,
};
pub use curfew_core::session::KeyBinding;
pub use feed::{Feed, Source};
pub use guard::{Guard, GuardBuilder, OnRevokeToReject, RevokeToReject};
pub use hub::{
    BadAddress, BearerToken, CallerToken, FixedToken, GrpcIntrospect, HubSource, NotRegistered, Reporter,
    connect,
};
pub use keys::{FetchFailed, FetchKeys, JwksSource};
pub use layer::{Access, GrpcGuardLayer, GrpcGuardService, GuardLayer, GuardService, WouldRefuse};
pub use metrics::{Metrics, REVOKE_TO_REJECT_BOUNDS_MS};
pub use refused::{Refused, StepUp};
pub use route::{Presented, Requirements, Stale};
pub use running::Running;
pub use stale::{Introspect, NoAnswer, Question};
pub use token::Kind;
pub use wait::wait_after;
pub use watch::Watch;

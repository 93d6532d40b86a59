//! The hub's stream as a source, and the reports that go back.
//!
//! A stream resumes from the guard's own positions while its view is trusted, and begins with a
//! snapshot otherwise. It tries for ever, with jittered waits.
//!
//! **Invariant:** a broken stream takes nothing away: what is known goes on denying, and freshness ends
//! by its own age.

mod caller_token;
mod frames;
mod introspect;
mod progress;
mod reporter;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use curfew_core::record::READER;
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::feed::Source;
use crate::guard::Guard;
use crate::route::{Requirements, Stale};
use crate::wait::jittered_ms;
use frames::{Ended, Session};

pub use caller_token::CallerToken;
pub use introspect::GrpcIntrospect;
pub use reporter::{NotRegistered, Reporter};

/// A stream over which nothing comes for this many X has a dead peer: heartbeats come each X/5.
const SILENT_BOUNDS: i64 = 2;
/// Largest frame asked for, bytes: below tonic's default limit of 4 MiB for one message.
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// Where a bearer token for the hub comes from: an app-only token of a registered caller.
#[async_trait]
pub trait BearerToken: Send + Sync + fmt::Debug + 'static {
    /// The token, now.
    ///
    /// # Errors
    /// There is none; the stream is tried again later.
    async fn token(&self) -> Result<String, crate::stale::NoAnswer>;
}

/// A token that never changes.
pub struct FixedToken(pub String);

impl fmt::Debug for FixedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FixedToken(..)")
    }
}

#[async_trait]
impl BearerToken for FixedToken {
    async fn token(&self) -> Result<String, crate::stale::NoAnswer> {
        Ok(self.0.clone())
    }
}

/// Follows a hub over gRPC and reports to it.
#[derive(Clone, Debug)]
pub struct HubSource {
    channel: Channel,
    bearer: Option<Arc<dyn BearerToken>>,
    name: String,
    replica: String,
    routes: Vec<Requirements>,
    source: pb::FollowerSource,
}

/// The address of a hub is none.
#[derive(Debug, thiserror::Error)]
#[error("`{address}` is no address of a hub")]
pub struct BadAddress {
    address: String,
    #[source]
    cause: tonic::transport::Error,
}

/// A channel to a hub or an authority that notices a dead peer within ten seconds; it connects when it is
/// first used. By `https` whoever the system's authorities vouch for; a program that trusts others, or has
/// a certificate of its own, makes its own channel and gives it to [`HubSource::new`].
///
/// # Errors
/// The address is none; one is `http://127.0.0.1:7400`.
pub fn connect(address: &str) -> Result<Channel, BadAddress> {
    let bad = |cause| BadAddress {
        address: address.to_owned(),
        cause,
    };
    let mut endpoint = Endpoint::from_shared(address.to_owned()).map_err(bad)?;
    if address.starts_with("https:") {
        endpoint = endpoint
            .tls_config(ClientTlsConfig::new().with_native_roots())
            .map_err(bad)?;
    }
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy())
}

impl HubSource {
    /// Over this channel. `name`: the service that is protected, the same for all its instances;
    /// `replica`: which instance, unique among them.
    #[must_use]
    pub fn new(channel: Channel, name: impl Into<String>, replica: impl Into<String>) -> Self {
        Self {
            channel,
            bearer: None,
            name: name.into(),
            replica: replica.into(),
            routes: Vec::new(),
            source: pb::FollowerSource::Hub,
        }
    }

    /// Over a channel to this address.
    ///
    /// # Errors
    /// The address is none.
    pub fn connect(
        address: &str,
        name: impl Into<String>,
        replica: impl Into<String>,
    ) -> Result<Self, BadAddress> {
        Ok(Self::new(connect(address)?, name, replica))
    }

    /// With a token for the hub.
    #[must_use]
    pub fn bearer(mut self, bearer: Arc<dyn BearerToken>) -> Self {
        self.bearer = Some(bearer);
        self
    }

    /// With the routes whose bounds differ from the guard's default: ENFORCED waits the largest out.
    #[must_use]
    pub fn routes(mut self, routes: impl IntoIterator<Item = Requirements>) -> Self {
        self.routes = routes.into_iter().collect();
        self
    }

    /// As what [`Guard::start`] takes.
    #[must_use]
    pub fn boxed(self) -> Box<dyn Source> {
        Box::new(self)
    }

    /// Who follows, and what it promises.
    fn subscriber(&self, guard: &Guard) -> pb::Subscriber {
        let default = Requirements::any();
        pb::Subscriber {
            name: self.name.clone(),
            replica: self.replica.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: Vec::new(),
            routes: std::iter::once(&default)
                .chain(&self.routes)
                .map(|route| bound_of(guard, route))
                .collect(),
            min_reader: READER,
            source: self.source.into(),
            audiences: guard.0.audiences.clone(),
        }
    }

    async fn authorized<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            let token = bearer
                .token()
                .await
                .map_err(|cause| Status::unavailable(cause.to_string()))?;
            let mut value = AsciiMetadataValue::try_from(format!("Bearer {token}"))
                .map_err(|_| Status::unavailable("the bearer token is not ASCII"))?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }

    fn client(&self) -> RevocationServiceClient<Channel> {
        RevocationServiceClient::new(self.channel.clone())
    }

    /// One stream, from its request to its end.
    async fn stream(&self, guard: &Guard, session: &mut Session) -> Result<Ended, Status> {
        let (positions, log_id) = session.resume_from();
        let request = self.authorized(pb::WatchRevocationsRequest {
            audiences: guard.0.audiences.clone(),
            positions,
            log_id,
            subscriber: Some(self.subscriber(guard)),
            max_frame_bytes: FRAME_BYTES_MAX,
            ..Default::default()
        });
        let mut frames = self
            .client()
            .watch_revocations(request.await?)
            .await?
            .into_inner();
        session.start();
        let silence = Duration::from_millis(guard.bound_ms().saturating_mul(SILENT_BOUNDS).unsigned_abs());
        loop {
            let next = tokio::time::timeout(silence, frames.message()).await;
            let Some(frame) = next.map_err(|_| Status::unavailable("the stream is silent"))?? else {
                return Err(Status::unavailable("the stream ended without a resume frame"));
            };
            if let Some(ended) = session.take(frame) {
                return Ok(ended);
            }
        }
    }
}

#[async_trait]
impl Source for HubSource {
    async fn run(self: Box<Self>, guard: Guard) {
        let reports = progress::report(&self, &guard);
        let follow = async {
            let mut session = Session::new(guard.clone());
            let mut failures = 0;
            loop {
                let ended = self.stream(&guard, &mut session).await;
                // A stream that got as far as the tail was a good one: the next wait is short again.
                failures = if session.did_follow() { 0 } else { failures + 1 };
                let wait_ms = match ended {
                    Ok(ended) => {
                        tracing::info!(
                            why = ended.why,
                            retry_after_ms = ended.retry_after_ms,
                            "the hub's stream ended"
                        );
                        ended.retry_after_ms.max(jittered_ms(failures))
                    }
                    Err(status) => {
                        tracing::warn!(%status, "the hub's stream broke; what is known goes on denying");
                        jittered_ms(failures)
                    }
                };
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
        };
        tokio::join!(follow, reports);
    }
}

fn bound_of(guard: &Guard, route: &Requirements) -> pb::RouteBound {
    let rule = route.stale.unwrap_or(guard.0.stale);
    let report_only = guard.only_reports(route);
    let stale_rule = match rule {
        Stale::AgeCap { .. } => pb::StaleRule::AgeCap,
        Stale::Introspect => pb::StaleRule::Introspect,
        Stale::Deny => pb::StaleRule::Deny,
        Stale::Allow => pb::StaleRule::Allow,
    };
    pb::RouteBound {
        route: route.name().to_owned(),
        stale_rule: stale_rule.into(),
        bound: rule
            .bound_ms(guard.bound_ms())
            .filter(|_| !report_only)
            .map(duration),
        report_only,
    }
}

fn duration(ms: i64) -> prost_types::Duration {
    let nanos = i32::try_from(ms.rem_euclid(1_000))
        .unwrap_or(0)
        .saturating_mul(1_000_000);
    prost_types::Duration {
        seconds: ms.div_euclid(1_000),
        nanos,
    }
}

fn timestamp(at: curfew_core::time::Millis) -> prost_types::Timestamp {
    let duration = duration(at.as_unix_ms());
    prost_types::Timestamp {
        seconds: duration.seconds,
        nanos: duration.nanos,
    }
}

fn ms_of(seconds: i64, nanos: i32) -> i64 {
    seconds
        .saturating_mul(1_000)
        .saturating_add(i64::from(nanos) / 1_000_000)
}

#[cfg(test)]
mod tests;

//! The log on Kafka as a source of a guard: no node lies between the topic and the resource server.
//!
//! ```no_run
//! # fn start(guard: &curfew_guard::Guard) -> Result<(), curfew_guard_kafka::OpenError> {
//! use curfew_guard_kafka::{KafkaSource, options};
//!
//! let source = KafkaSource::new(options("kafka-1:9092,kafka-2:9092"))?;
//! let running = guard.start([source.boxed()]);
//! # Ok(())
//! # }
//! ```
//!
//! It reads every partition from its oldest retained record and denies whatever it reads at once. Nothing is fresh
//! before it has read up to where the log ended at its start, and then a heartbeat stamped after its start.
//! A tail that broke goes on where it broke, once the record before that place was seen again; where that is gone, or
//! another one, or the topic was cut, the log is read again from its oldest record: the marks stay, freshness begins
//! anew. X is [`curfew_guard::BOUND_KAFKA_MS`] by default.
//!
//! Its principal needs `Read` on the topic (with [`Topics::Verify`] `DescribeConfigs` too), no group and nothing else.
//! Whoever may read the topic learns who was revoked, in every tenant: a guard of one tenant's follows a hub.
//!
//! What it does without, because no authority answers it:
//!
//! - **Issuers** come from [`curfew_guard::Config`] alone. The directory's records on the topic are sealed, so it hears
//!   neither of a foreign issuer that was registered nor of a spelling that was added.
//! - **Registration and reports**, unless it is given a [`Reporter`]: the topic is read and never written, so without
//!   one the guard stands in no list of followers, a revocation that waits for ENFORCED does not wait for it, and its
//!   refusals and activity are told by its own metrics alone. With one it is registered before it reads, and not ready
//!   before that.
//! - **Introspection.** `Stale::Introspect` asks an authority, so it needs one: give the guard
//!   [`curfew_guard::GrpcIntrospect`], or another rule.
//! - **A snapshot.** Records by `jti` alone and of foreign issuers are known for as long as the topic keeps them, and
//!   nothing is known that it has dropped: its retention must be as the log needs it, which [`Topics::Verify`] sees to.
//!
//! A topic is one log by the id in its heartbeats. The guard keeps to the first that it follows, or to the one that
//! [`Options::expected`] names; a topic that holds another is refused, freshness ends, and the log says so. After
//! a log was lost and another one adopted, guards are started anew. A mirrored topic has other offsets: follow a hub there.
//!
//! **Invariant:** nothing is written: no record, no topic, no group, no offset.

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

#[cfg(test)]
#[path = "../tests/desk/mod.rs"]
mod desk;
mod follow;
mod reading;

use async_trait::async_trait;
use curfew_guard::{Guard, Source};
pub use curfew_guard::{HubSource, Reporter};

pub use curfew_core::place::LogIdentity;
pub use curfew_kafka::{OpenError, Options, Sasl, ScramHash, Secret, Security, Tls, TlsIdentity, Topics};

/// Follows the log on Kafka.
#[derive(Clone, Debug)]
pub struct KafkaSource {
    options: Options,
    reporter: Option<Reporter>,
}

/// What a guard begins with: the default topic at these brokers, taken as it is, over plain text.
#[must_use]
pub fn options(bootstrap: &str) -> Options {
    Options {
        topics: Topics::Trust,
        client_id: "curfew-guard".to_owned(),
        ..Options::new(bootstrap)
    }
}

impl KafkaSource {
    /// Over these brokers. They are asked when the source runs: one that is away is tried for ever.
    ///
    /// # Errors
    /// An option cannot work, is not in this build, or would make the topic; the message names it.
    pub fn new(options: Options) -> Result<Self, OpenError> {
        options.check_to_read()?;
        Ok(Self {
            options,
            reporter: None,
        })
    }

    /// With reports to the service, which registers the guard: ENFORCED waits for it.
    #[must_use]
    pub fn reporting(mut self, reporter: Reporter) -> Self {
        self.reporter = Some(reporter);
        self
    }

    /// As what [`Guard::start`] takes.
    #[must_use]
    pub fn boxed(self) -> Box<dyn Source> {
        Box::new(self)
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn run(self: Box<Self>, guard: Guard) {
        let reporter = self.reporter.as_ref();
        let follow = follow::follow(&self.options, &guard, self.options.expected, reporter);
        match reporter {
            Some(reporter) => drop(tokio::join!(follow, reporter.run(&guard))),
            None => follow.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_would_make_the_topic_is_refused_by_name() {
        let create = Options::new("127.0.0.1:9092");
        let told = KafkaSource::new(create).unwrap_err().to_string();
        assert!(told.contains("`topics`") && told.contains("`create`"), "{told}");
        KafkaSource::new(options("127.0.0.1:9092")).unwrap();
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        let told = KafkaSource::new(options("kafka")).unwrap_err().to_string();
        assert!(told.contains("`bootstrap`"), "{told}");
    }
}

//! The log port on Kafka.
//!
//! One topic, of which each Kafka partition is a log partition. [`Kafka::open`] makes, looks at or trusts the topic,
//! finds out which log it holds, and then appends and tails; [`examine`] tells what is wrong without opening anything.
//! What a message looks like to others is told in [`message`].
//!
//! What a principal needs: `Read` and `Write` on the topic, `Read` alone for [`Kafka::open_to_read`]; for
//! `topics = verify` `DescribeConfigs` too, for `topics = create` also `Create`. No group, no transactional id and
//! nothing of the cluster.
//!
//! **Invariant:** readers assign every partition and keep their own positions: no group, no commit, no reset.

mod bearer;
mod client;
mod error;
mod identity;
mod log;
pub mod message;
mod options;
mod producer;
mod secret;
mod security;
mod tail;
mod topic;
mod watermarks;

use std::sync::Arc;

use curfew_core::place::LogIdentity;
use curfew_ports::log::LogError;
use tokio::time::Instant;

pub use error::OpenError;
pub use options::{
    DELIVERY_TIMEOUT_DEFAULT, Options, PARTITIONS_DEFAULT, REQUEST_TIMEOUT_DEFAULT, RETENTION_MS_DEFAULT,
    RETENTION_MS_MIN, TOPIC_DEFAULT, Topics, WATERMARKS_RETENTION_MS, WATERMARKS_TOPIC,
};
pub use secret::Secret;
pub use security::{Sasl, ScramHash, Security, Tls, TlsIdentity};
pub use topic::{Finding, Report, Severity, examine, examine_watermarks};
pub use watermarks::KafkaWatermarks;

use client::Questions;
use identity::Beat;
use producer::Producer;
use tail::Tails;

/// The log on Kafka. Clones are the same clients.
#[derive(Clone, Debug)]
pub struct Kafka {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    identity: LogIdentity,
    /// `None`: opened to read.
    producer: Option<Producer>,
    questions: Questions,
    tails: Tails,
    queue_max: u32,
}

impl Kafka {
    /// Opens the log: makes or looks at the topic as `options.topics` says, and finds out which log it holds.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        options.check()?;
        Self::open_with(options, true).await
    }

    /// Opens the log for one who only reads it: no topic is made, and every append is refused.
    pub async fn open_to_read(options: Options) -> Result<Self, OpenError> {
        options.check_to_read()?;
        Self::open_with(options, false).await
    }

    async fn open_with(options: Options, writes: bool) -> Result<Self, OpenError> {
        let questions = Questions::new(&options)?;
        let partitions = topic::prepare(&options, &questions).await?;
        let name = options.topic_name();
        if let Some(expected) = options.expected
            && expected.partitions != partitions
        {
            return Err(OpenError::Partitions {
                topic: name,
                present: partitions.into(),
                asked: expected.partitions,
            });
        }
        let tails = Tails::new(&options, questions.clone());
        let beats = newest_beats(&options, &tails, &questions, partitions).await?;
        let cluster = topic::answered(
            &options,
            &questions,
            "its cluster id",
            questions.cluster_id().await,
        )?;
        let proposed = LogIdentity {
            log_id: identity::derived(&cluster, &name, partitions),
            partitions,
        };
        let identity = identity::decide(&name, &beats, options.expected, proposed)?;
        Ok(Self {
            inner: Arc::new(Inner {
                identity,
                producer: writes.then(|| Producer::new(&options)).transpose()?,
                questions,
                tails,
                queue_max: options.queue_max,
            }),
        })
    }

    /// Which log this is: what its heartbeats say, or the directory, or, before the first heartbeat, a proposal that
    /// every node makes alike.
    #[must_use]
    pub fn log_identity(&self) -> LogIdentity {
        self.inner.identity
    }

    /// Records that wait for brokers, and how many there may be.
    #[must_use]
    pub fn queue(&self) -> (usize, usize) {
        let max = usize::try_from(self.inner.queue_max).unwrap_or(usize::MAX);
        (self.inner.producer.as_ref().map_or(0, Producer::in_flight), max)
    }
}

/// The heartbeats of a topic that may have been made a moment ago: not every broker knows of it then.
async fn newest_beats(
    options: &Options,
    tails: &Tails,
    questions: &Questions,
    partitions: u16,
) -> Result<Vec<Beat>, LogError> {
    let until = Instant::now() + topic::KNOWN_WITHIN.min(options.request_timeout);
    loop {
        let beats = identity::newest_beats(tails, questions, partitions, options.request_timeout).await;
        if beats.is_ok() || Instant::now() >= until {
            return beats;
        }
        tokio::time::sleep(topic::LOOK_AGAIN).await;
    }
}

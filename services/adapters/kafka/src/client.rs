//! The client library's handles: one configuration, one context, and questions that block off the runtime.
//!
//! **Invariant:** nothing here waits on a thread of the runtime.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use curfew_core::place::LogPartition;
use curfew_ports::log::Bounds;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::bearer;
use crate::error::OpenError;
use crate::options::Options;

/// What every handle has in common.
pub(crate) fn config(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.bootstrap)
        .set("client.id", &options.client_id)
        .set("log_level", "6")
        // A dead node is tried again within a second; the default goes up to ten.
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true");
    options.security.apply(&mut config);
    config
}

/// Where the library's own lines and errors go, and where bearer tokens come from.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    token_file: Option<PathBuf>,
    /// The newest of its lines that tells of a failure: its answers say only that there was one.
    complaint: Arc<Mutex<Option<String>>>,
}

impl Context {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            token_file: options.security.token_file().cloned(),
            complaint: Arc::default(),
        }
    }

    fn complaint(&self) -> Option<String> {
        self.complaint.lock().ok()?.clone()
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(facility, line, "the Kafka client says");
                if let Ok(mut complaint) = self.complaint.lock() {
                    *complaint = Some(line.to_owned());
                }
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, line, "the Kafka client says");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka client lost something and tries again");
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let path = self.token_file.as_ref().ok_or("no token file is configured")?;
        bearer::read(path)
    }
}

impl ConsumerContext for Context {}

/// Questions of metadata and offsets. The library asks them blocking, so they run on threads that may block.
#[derive(Clone)]
pub(crate) struct Questions {
    /// Without a group: it never joins or reads one.
    consumer: Arc<BaseConsumer<Context>>,
    topic: Arc<str>,
    timeout: Duration,
    /// Somebody must serve the events of this handle, and a bearer token comes as one.
    needs_token: bool,
}

/// What metadata says of the cluster and the topic.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) brokers: Vec<i32>,
    /// `None`: there is no such topic, or it may not be described.
    pub(crate) topic: Option<SeenTopic>,
}

#[derive(Clone, Debug)]
pub(crate) struct SeenTopic {
    pub(crate) partitions: usize,
    /// The smallest number of replicas of any partition.
    pub(crate) replication: usize,
    /// Whether each partition has a leader.
    pub(crate) has_leaders: bool,
}

/// How long a failed question waits for its reason, 200 ms at most: it takes one or two.
const COMPLAINT_WAIT: Duration = Duration::from_millis(10);
const COMPLAINT_WAITS: usize = 20;
/// How soon leaders are asked again: choosing one takes some milliseconds.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long the first bearer token may take: a file is read.
const FIRST_TOKEN: Duration = Duration::from_millis(500);

impl Questions {
    pub(crate) fn new(options: &Options) -> Result<Self, OpenError> {
        let consumer: BaseConsumer<Context> = config(options)
            .create_with_context(Context::new(options))
            .map_err(|error| OpenError::client(&error))?;
        Ok(Self {
            consumer: Arc::new(consumer),
            topic: options.topic_name().into(),
            timeout: options.request_timeout,
            needs_token: options.security.token_file().is_some(),
        })
    }

    /// Runs one question where it may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        let questions = self.clone();
        let asked = tokio::task::spawn_blocking(move || {
            questions.serve_events();
            let answer = question(&questions);
            if answer.is_err() {
                questions.wait_for_complaint();
            }
            // Here as well: the last handle waits for its threads when it goes.
            drop(questions);
            answer
        });
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }

    fn serve_events(&self) {
        if self.needs_token {
            // An event is served inside; what comes out would be a message, and none is subscribed.
            drop(self.consumer.poll(FIRST_TOKEN));
        }
    }

    /// The library fails a question first and says why a moment later.
    fn wait_for_complaint(&self) {
        for _ in 0..COMPLAINT_WAITS {
            if self.complaint().is_some() {
                return;
            }
            drop(self.consumer.poll(COMPLAINT_WAIT));
        }
    }

    /// What the library said of the newest failure, in its own words.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.consumer.context().complaint()
    }

    /// The cluster's brokers and the topic's partitions.
    pub(crate) async fn metadata(&self) -> KafkaResult<Seen> {
        self.ask(|this| {
            let metadata = this.consumer.fetch_metadata(Some(&this.topic), this.timeout)?;
            let brokers = metadata.brokers().iter().map(|broker| broker.id()).collect();
            let found = metadata
                .topics()
                .iter()
                .find(|topic| topic.name() == &*this.topic);
            let topic = match found.map(|topic| (topic, topic.error())) {
                None => None,
                Some((topic, None)) => Some(SeenTopic {
                    partitions: topic.partitions().len(),
                    replication: topic
                        .partitions()
                        .iter()
                        .map(|partition| partition.replicas().len())
                        .min()
                        .unwrap_or(0),
                    has_leaders: topic.partitions().iter().all(|partition| partition.leader() >= 0),
                }),
                Some((_, Some(error))) => {
                    let code = RDKafkaErrorCode::from(error);
                    if !is_absent(code) {
                        return Err(KafkaError::MetadataFetch(code));
                    }
                    None
                }
            };
            Ok(Seen { brokers, topic })
        })
        .await
    }

    /// The cluster's own id.
    pub(crate) async fn cluster_id(&self) -> KafkaResult<String> {
        self.ask(|this| {
            let id = this.consumer.client().fetch_cluster_id(this.timeout);
            id.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))
        })
        .await
    }

    /// The retained range of `count` partitions: two questions to each leader, for all of its partitions at once.
    /// While leaders move, asked again until the time of a question is over.
    pub(crate) async fn bounds(&self, count: u16) -> KafkaResult<Vec<Bounds>> {
        let until = Instant::now() + self.timeout;
        loop {
            match self.ask(move |this| this.bounds_once(count)).await {
                Err(error) if is_moving(&error) && Instant::now() < until => {
                    tokio::time::sleep(ASK_AGAIN).await
                }
                answer => return answer,
            }
        }
    }

    fn bounds_once(&self, count: u16) -> KafkaResult<Vec<Bounds>> {
        // The end first: what is trimmed in between moves the start only, and never past that end.
        let ends = self.offsets(count, Offset::End)?;
        let starts = self.offsets(count, Offset::Beginning)?;
        let pairs = starts.into_iter().zip(ends);
        Ok(pairs
            .map(|(start, end)| Bounds {
                start,
                end: end.max(start),
            })
            .collect())
    }

    /// ListOffsets takes two instants that are none: -1 is the end, -2 the beginning.
    fn offsets(&self, count: u16, which: Offset) -> KafkaResult<Vec<u64>> {
        let mut asked = TopicPartitionList::with_capacity(count.into());
        for number in 0..count {
            asked.add_partition_offset(&self.topic, number.into(), which)?;
        }
        let answer = self.consumer.offsets_for_times(asked, self.timeout)?;
        let mut offsets = Vec::with_capacity(count.into());
        for number in 0..count {
            let element = answer
                .find_partition(&self.topic, number.into())
                .ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
            element.error()?;
            let offset = element.offset().to_raw().and_then(|raw| u64::try_from(raw).ok());
            offsets.push(offset.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable))?);
        }
        Ok(offsets)
    }
}

impl std::fmt::Debug for Questions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Questions")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

fn is_absent(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic
    )
}

/// A partition whose leader is being chosen, or was a moment ago; it will have one.
fn is_moving(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::OffsetNotAvailable
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::UnknownLeaderEpoch
        )
    )
}

/// Kafka's number of a log partition.
pub(crate) fn kafka_number(partition: LogPartition) -> i32 {
    partition.0.into()
}

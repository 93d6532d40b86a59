//! A reader of all partitions: assigned, never in a group, never committing.
//!
//! **Invariant:** the offsets move only together with the entries that are given out, one by one: a gap is looked
//! into before anything behind it is given.

use std::sync::Arc;

use async_trait::async_trait;
use curfew_core::place::LogPartition;
use curfew_ports::log::{BATCH_MAX, Bounds, LogEntry, LogError, Tail};
use futures_util::{FutureExt as _, StreamExt as _};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::client::{Context, Questions, config};
use crate::error::{code_of, unavailable};
use crate::message;
use crate::options::Options;

type Consumer = StreamConsumer<Context>;

/// Assigned anew so often without one entry in between, and there is more wrong than a lost position.
const REASSIGNED_MAX: u32 = 3;

/// Makes tails.
#[derive(Clone)]
pub(crate) struct Tails {
    config: ClientConfig,
    context: Context,
    questions: Questions,
    topic: Arc<str>,
}

impl Tails {
    pub(crate) fn new(options: &Options, questions: Questions) -> Self {
        let mut config = config(options);
        config
            // The library assigns only to consumers that have a group's name. This one joins no group.
            .set("group.id", &options.client_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Out of range means reload; the library's default is to start at the latest.
            .set("auto.offset.reset", "error")
            // A transaction that a stranger leaves open must not hold up what was revoked.
            .set("isolation.level", "read_uncommitted")
            .set("check.crcs", "true")
            // 100 ms instead of half a second before a partition that failed is asked again.
            .set("fetch.error.backoff.ms", "100")
            // What waits here for a slow reader: at 300 B a record 16 MB are 55,000.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384");
        Self {
            config,
            context: Context::new(options),
            questions,
            topic: options.topic_name().into(),
        }
    }

    pub(crate) async fn start(&self, offsets: Vec<u64>) -> KafkaResult<KafkaTail> {
        let (this, assigned) = (self.clone(), offsets.clone());
        let made = tokio::task::spawn_blocking(move || {
            let consumer: Consumer = this.config.create_with_context(this.context.clone())?;
            assign(&consumer, &this.topic, &assigned)?;
            Ok(consumer)
        });
        let consumer = made.await.unwrap_or(Err(KafkaError::Canceled))?;
        Ok(KafkaTail {
            consumer: Some(Arc::new(consumer)),
            questions: self.questions.clone(),
            topic: self.topic.clone(),
            offsets,
            doubt: None,
            to_report: None,
            accepted_gap: None,
            reassigned: 0,
        })
    }
}

impl std::fmt::Debug for Tails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tails")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

fn assign(consumer: &Consumer, topic: &str, offsets: &[u64]) -> KafkaResult<()> {
    let mut assignment = TopicPartitionList::with_capacity(offsets.len());
    for (number, offset) in (0_i32..).zip(offsets) {
        let offset = i64::try_from(*offset)
            .map_err(|_| KafkaError::SetPartitionOffset(RDKafkaErrorCode::InvalidArgument))?;
        assignment.add_partition_offset(topic, number, Offset::Offset(offset))?;
    }
    consumer.assign(&assignment)
}

/// Why the place where the tail stands must be looked at before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// Brokers do not know the offset, or something is missing before the next record.
    Place,
    /// Brokers say that the log was cut behind what was read: whatever lies there now is another history.
    Truncated,
}

pub(crate) struct KafkaTail {
    /// `None` only while it is dropped.
    consumer: Option<Arc<Consumer>>,
    questions: Questions,
    topic: Arc<str>,
    /// The next offset of each partition.
    offsets: Vec<u64>,
    doubt: Option<Doubt>,
    /// An error that came behind entries, which go first.
    to_report: Option<KafkaError>,
    /// A gap that was there again after a new assignment: offsets that hold no record.
    accepted_gap: Option<(usize, u64)>,
    reassigned: u32,
}

enum Step {
    Entry(LogEntry),
    /// Nothing to give, and nothing wrong.
    Nothing,
    /// Look first.
    Doubtful,
}

#[async_trait]
impl Tail for KafkaTail {
    async fn next(&mut self) -> Result<Vec<LogEntry>, LogError> {
        loop {
            if let Some(error) = self.to_report.take() {
                return Err(unavailable("tail", error));
            }
            if let Some(doubt) = self.doubt {
                self.look(doubt).await?;
            }
            let Some(consumer) = self.consumer.clone() else {
                return Err(unavailable("tail", KafkaError::Canceled));
            };
            // Nothing is awaited between here and the entries that are given: a dropped wait took nothing.
            let mut next = Some(consumer.recv().await);
            let mut batch = Vec::new();
            while let Some(received) = next {
                match self.step(received) {
                    Step::Entry(entry) => batch.push(entry),
                    Step::Nothing => {}
                    Step::Doubtful => break,
                }
                if batch.len() == BATCH_MAX || self.to_report.is_some() {
                    break;
                }
                next = consumer.stream().next().now_or_never().flatten();
            }
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }
}

impl KafkaTail {
    fn step(&mut self, received: KafkaResult<BorrowedMessage<'_>>) -> Step {
        match received {
            Ok(message) => self.take(&message),
            Err(error) => self.judge(error),
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> Step {
        let Some(entry) = message::entry(message) else {
            return Step::Nothing;
        };
        let index = entry.position.partition.index();
        let offset = entry.position.offset;
        let Some(expected) = self.offsets.get_mut(index) else {
            return Step::Nothing;
        };
        if offset < *expected {
            // From before a new assignment.
            return Step::Nothing;
        }
        if offset > *expected && self.accepted_gap != Some((index, *expected)) {
            self.accepted_gap = Some((index, *expected));
            self.doubt = Some(Doubt::Place);
            return Step::Doubtful;
        }
        if offset > *expected {
            tracing::warn!(
                partition = index,
                expected = *expected,
                found = offset,
                "offsets of the log hold no record"
            );
        }
        *expected = offset + 1;
        self.reassigned = 0;
        Step::Entry(entry)
    }

    fn judge(&mut self, error: KafkaError) -> Step {
        let doubt = match code_of(&error) {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Doubt::Place,
            Some(RDKafkaErrorCode::LogTruncation) => Doubt::Truncated,
            // No group is joined, so whether this client may is of no interest. A connection that broke is made
            // again by the library, and what is wrong with all of them it says as well.
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve,
            ) => {
                tracing::debug!(%error, "the tail goes on");
                return Step::Nothing;
            }
            Some(_) | None => {
                self.to_report = Some(error);
                return Step::Nothing;
            }
        };
        self.doubt = Some(doubt);
        Step::Doubtful
    }

    /// Compares where the tail stands with what is retained, and has it go on from there if it can.
    async fn look(&mut self, doubt: Doubt) -> Result<(), LogError> {
        let count = u16::try_from(self.offsets.len()).unwrap_or(u16::MAX);
        let bounds = self.questions.bounds(count).await;
        let bounds = bounds.map_err(|error| unavailable("tail", error))?;
        Bounds::check(&bounds, &self.offsets)?;
        if doubt == Doubt::Truncated {
            return Err(reload(&self.offsets, &bounds));
        }
        if self.reassigned >= REASSIGNED_MAX {
            self.reassigned = 0;
            return Err(unavailable(
                "tail",
                KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset),
            ));
        }
        let Some(consumer) = self.consumer.clone() else {
            return Err(unavailable("tail", KafkaError::Canceled));
        };
        let (topic, offsets) = (self.topic.clone(), self.offsets.clone());
        let assigned = tokio::task::spawn_blocking(move || assign(&consumer, &topic, &offsets)).await;
        assigned
            .unwrap_or(Err(KafkaError::Canceled))
            .map_err(|error| unavailable("tail", error))?;
        self.reassigned += 1;
        self.doubt = None;
        Ok(())
    }
}

impl Drop for KafkaTail {
    /// Closing waits for the library's threads, which no thread of the runtime should.
    fn drop(&mut self) {
        let consumer = self.consumer.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(consumer));
        }
    }
}

impl std::fmt::Debug for KafkaTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaTail")
            .field("topic", &self.topic)
            .field("offsets", &self.offsets)
            .field("doubt", &self.doubt)
            .finish_non_exhaustive()
    }
}

/// History changed although each offset still exists: which partition it was the library does not say, and a
/// reload is of all of them.
fn reload(offsets: &[u64], bounds: &[Bounds]) -> LogError {
    let first = offsets.first().zip(bounds.first());
    let (asked, bounds) = first.map_or((0, Bounds { start: 0, end: 0 }), |(asked, bounds)| {
        (*asked, *bounds)
    });
    LogError::OutOfRange {
        partition: LogPartition(0),
        asked,
        start: bounds.start,
        end: bounds.end,
    }
}

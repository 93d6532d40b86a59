//! What nodes tell one another of their followers, on a topic of its own with one partition.
//!
//! A message that is lost costs time and no promise, so it is sent with `acks=1` and read from where it is heard first.
//!
//! **Invariant:** nothing that anybody revokes waits for this topic, or is lost with it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use curfew_core::watermark::Watermarks as Told;
use curfew_ports::watermarks::{Hearing, WatermarkError, Watermarks};
use curfew_wire::{decode_watermarks, encode_watermarks};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::client::{Context, Questions, config};
use crate::error::OpenError;
use crate::options::{Options, WATERMARKS_TOPIC};
use crate::topic;

/// A message that brokers have not taken by then is out of date: the next one says more.
const SEND_MAX: Duration = Duration::from_secs(5);
/// Messages that may wait for brokers: a second's worth of four tellings of ten thousand followers.
const QUEUE_MAX: &str = "40";
/// The topic's only partition.
const ONLY: i32 = 0;

/// The exchange on Kafka. Clones are the same clients.
#[derive(Clone)]
pub struct KafkaWatermarks {
    topic: Arc<str>,
    producer: FutureProducer<Context>,
    hearing: ClientConfig,
    context: Context,
}

impl KafkaWatermarks {
    /// Opens the exchange beside the log of these options: makes its topic, where they say so.
    pub async fn open(log: &Options) -> Result<Self, OpenError> {
        let options = options_of(log);
        options.check()?;
        let questions = Questions::new(&options)?;
        topic::prepare_watermarks(&options, &questions).await?;
        let context = Context::new(&options);
        let mut sending = config(&options);
        sending
            .set("acks", "1")
            .set("linger.ms", "0")
            .set("message.timeout.ms", SEND_MAX.as_millis().to_string())
            .set("queue.buffering.max.messages", QUEUE_MAX);
        let mut hearing = config(&options);
        hearing
            // The library assigns only to consumers that have a group's name. This one joins no group.
            .set("group.id", &options.client_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // What was dropped meanwhile is out of date.
            .set("auto.offset.reset", "latest")
            .set("fetch.error.backoff.ms", "100");
        Ok(Self {
            topic: options.topic_name().into(),
            producer: sending
                .create_with_context(context.clone())
                .map_err(|error| OpenError::client(&error))?,
            hearing,
            context,
        })
    }
}

/// The same brokers, another topic.
pub(crate) fn options_of(log: &Options) -> Options {
    Options {
        topic: WATERMARKS_TOPIC.to_owned(),
        partitions: Some(1),
        expected: None,
        ..log.clone()
    }
}

impl std::fmt::Debug for KafkaWatermarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaWatermarks")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

fn failed(what: &'static str, error: KafkaError) -> WatermarkError {
    WatermarkError {
        what,
        source: Box::new(error),
    }
}

#[async_trait]
impl Watermarks for KafkaWatermarks {
    async fn tell(&self, told: &Told) -> Result<(), WatermarkError> {
        let payload = encode_watermarks(told);
        let message: FutureRecord<'_, (), [u8]> =
            FutureRecord::to(&self.topic).partition(ONLY).payload(&payload);
        let sent = self.producer.send_result(message);
        let delivery = sent.map_err(|(error, _)| failed("tell", error))?;
        let delivered = delivery.await.map_err(|_| failed("tell", KafkaError::Canceled))?;
        delivered.map(drop).map_err(|(error, _)| failed("tell", error))
    }

    async fn hear(&self) -> Result<Box<dyn Hearing>, WatermarkError> {
        let this = self.clone();
        let made = tokio::task::spawn_blocking(move || -> KafkaResult<_> {
            let consumer: StreamConsumer<Context> = this.hearing.create_with_context(this.context.clone())?;
            let mut only = TopicPartitionList::with_capacity(1);
            only.add_partition_offset(&this.topic, ONLY, Offset::End)?;
            consumer.assign(&only)?;
            Ok(consumer)
        });
        let consumer = made.await.unwrap_or(Err(KafkaError::Canceled));
        let consumer = consumer.map_err(|error| failed("hear", error))?;
        Ok(Box::new(KafkaHearing {
            consumer: Some(consumer),
        }))
    }
}

struct KafkaHearing {
    /// `None` only while it is dropped.
    consumer: Option<StreamConsumer<Context>>,
}

#[async_trait]
impl Hearing for KafkaHearing {
    async fn next(&mut self) -> Result<Arc<Told>, WatermarkError> {
        let Some(consumer) = &self.consumer else {
            return Err(failed("hear", KafkaError::Canceled));
        };
        loop {
            let message = consumer.recv().await.map_err(|error| failed("hear", error))?;
            match decode_watermarks(message.payload().unwrap_or_default()) {
                Ok(told) => return Ok(Arc::new(told)),
                // Of a newer version, or a stranger's: the registrations in the store say the same.
                Err(error) => tracing::warn!(%error, "a message of followers' places cannot be read"),
            }
        }
    }
}

impl Drop for KafkaHearing {
    fn drop(&mut self) {
        // Closing joins the client's threads, which no thread of the runtime should wait for.
        if let (Some(consumer), Ok(runtime)) = (self.consumer.take(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn_blocking(move || drop(consumer)));
        }
    }
}

impl std::fmt::Debug for KafkaHearing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaHearing").finish_non_exhaustive()
    }
}

//! Appends: one idempotent producer, made anew when it has come to a fatal error.
//!
//! **Invariant:** an append is answered with a position only once all in-sync replicas have the record.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use curfew_core::place::{LogPartition, Position};
use curfew_core::record::LogRecord;
use curfew_ports::log::LogError;
use curfew_wire::encode_log;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::{Context, config, kafka_number};
use crate::error::{OpenError, unavailable, without_values};
use crate::message;
use crate::options::Options;

type Handle = FutureProducer<Context>;

/// A producer that is fatally ill again at once has a cause that a third one in the same second does not mend.
const REBUILD_EVERY: Duration = Duration::from_secs(1);
/// The first send, and one more on a new producer.
const ATTEMPTS_MAX: usize = 2;

pub(crate) struct Producer {
    config: ClientConfig,
    context: Context,
    topic: Arc<str>,
    present: ArcSwap<Handle>,
    /// When the present one was made; held while another is.
    made_at: Mutex<Instant>,
}

impl Producer {
    pub(crate) fn new(options: &Options) -> Result<Self, OpenError> {
        let mut config = config(options);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set(
                "message.timeout.ms",
                options.delivery_timeout.as_millis().to_string(),
            )
            .set("queue.buffering.max.messages", options.queue_max.to_string())
            // At 300 B a record a full queue is 6 MB; large directory records are few.
            .set("queue.buffering.max.kbytes", "65536");
        let context = Context::new(options);
        let present: Handle = config
            .create_with_context(context.clone())
            .map_err(|error| OpenError::client(&error))?;
        Ok(Self {
            config,
            context,
            topic: options.topic_name().into(),
            present: ArcSwap::from_pointee(present),
            made_at: Mutex::new(Instant::now()),
        })
    }

    pub(crate) async fn append(
        &self,
        partition: LogPartition,
        record: &LogRecord,
    ) -> Result<Position, LogError> {
        let value = encode_log(record);
        let mut attempt = 1;
        loop {
            let producer = self.present.load_full();
            let error = match self.send(&producer, partition, record, &value).await {
                Ok(position) => return Ok(position),
                Err(error) => error,
            };
            if producer.client().fatal_error().is_none() {
                return Err(error);
            }
            if !self.rebuild(producer).await? || attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            // Whether the record lies there is not known, and ids make copies harmless.
            attempt += 1;
        }
    }

    async fn send(
        &self,
        producer: &Handle,
        partition: LogPartition,
        record: &LogRecord,
        value: &[u8],
    ) -> Result<Position, LogError> {
        let key = message::key(record);
        let mut message: FutureRecord<'_, str, [u8]> = FutureRecord::to(&self.topic)
            .partition(kafka_number(partition))
            .payload(value)
            .headers(message::headers(record));
        message.key = key.as_deref();
        // A full queue is refused, not waited for: it is full because brokers do not take what is in it.
        let delivery = producer
            .send_result(message)
            .map_err(|(error, _)| unavailable("append", error))?;
        let delivered = delivery
            .await
            .map_err(|_| unavailable("append", KafkaError::Canceled))?;
        let delivery = delivered.map_err(|(error, _)| unavailable("append", error))?;
        // A retry that the broker took as a duplicate has no offset: the record lies there, and nobody says where.
        let offset = u64::try_from(delivery.offset).map_err(|_| {
            unavailable(
                "append",
                KafkaError::MessageProduction(RDKafkaErrorCode::DuplicateSequenceNumber),
            )
        })?;
        Ok(Position { partition, offset })
    }

    /// Puts a new producer in the place of `failed`; `false`: one was made just now, and that is fatally ill too.
    async fn rebuild(&self, failed: Arc<Handle>) -> Result<bool, LogError> {
        let mut made_at = self.made_at.lock().await;
        if !Arc::ptr_eq(&self.present.load(), &failed) {
            return Ok(true);
        }
        if made_at.elapsed() < REBUILD_EVERY {
            return Ok(false);
        }
        let why = failed
            .client()
            .fatal_error()
            .map(|(code, why)| format!("{code}: {why}"));
        tracing::warn!(why, "the Kafka producer came to a fatal error and is made anew");
        let (config, context) = (self.config.clone(), self.context.clone());
        let made =
            tokio::task::spawn_blocking(move || config.create_with_context::<_, Handle>(context)).await;
        let made = made
            .unwrap_or(Err(KafkaError::Canceled))
            .map_err(|error| unavailable("append", without_values(&error)))?;
        self.present.store(Arc::new(made));
        *made_at = Instant::now();
        // The last handle waits for its threads, and purges what was in flight: those appends are told so.
        tokio::task::spawn_blocking(move || drop(failed));
        Ok(true)
    }

    /// Records that wait for brokers or are on their way.
    pub(crate) fn in_flight(&self) -> usize {
        usize::try_from(self.present.load().in_flight_count()).unwrap_or(0)
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use curfew_ports::testing::sample_log_records;
    use futures_util::future::{Either, select};
    use rdkafka::ClientContext;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    /// A broker of the client library's own, which errs on demand.
    fn broken(cluster: &MockCluster<'_, impl ClientContext>) -> Producer {
        let mut options = Options::new(&cluster.bootstrap_servers());
        options.delivery_timeout = Duration::from_secs(10);
        cluster.create_topic(&options.topic_name(), 1, 1).unwrap();
        // An idempotent producer that is not allowed to be one is fatally ill, as librdkafka has it.
        let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &[denied]);
        Producer::new(&options).unwrap()
    }

    #[tokio::test]
    async fn a_fatally_ill_producer_is_replaced_and_the_append_goes_on() {
        let cluster = MockCluster::new(1).unwrap();
        let producer = broken(&cluster);
        let ill = producer.present.load_full();
        *producer.made_at.lock().await = Instant::now() - REBUILD_EVERY;
        let record = &sample_log_records()[0];
        let position = producer.append(LogPartition(0), record).await.unwrap();
        assert_eq!(position.offset, 0);
        assert!(ill.client().fatal_error().is_some(), "the first one was ill");
        assert!(
            !Arc::ptr_eq(&ill, &producer.present.load()),
            "and another took its place"
        );
        assert_eq!(producer.append(LogPartition(0), record).await.unwrap().offset, 1);
    }

    #[tokio::test]
    async fn a_producer_that_is_ill_at_once_is_not_made_in_a_loop() {
        let cluster = MockCluster::new(1).unwrap();
        let producer = broken(&cluster);
        // Made just now, and just now again: both appends are refused by the same one.
        for _ in 0..2 {
            *producer.made_at.lock().await = Instant::now() + REBUILD_EVERY;
            let before = producer.present.load_full();
            let refused = producer.append(LogPartition(0), &sample_log_records()[0]).await;
            assert!(refused.unwrap_err().is_retryable());
            assert!(Arc::ptr_eq(&before, &producer.present.load()));
        }
    }

    #[tokio::test]
    async fn a_full_queue_is_refused_at_once() {
        let cluster = MockCluster::new(1).unwrap();
        let mut options = Options::new(&cluster.bootstrap_servers());
        options.queue_max = 1;
        cluster.create_topic(&options.topic_name(), 1, 1).unwrap();
        cluster.broker_down(1).unwrap();
        let producer = Producer::new(&options).unwrap();
        let record = sample_log_records()[0].clone();
        let append = || Box::pin(producer.append(LogPartition(0), &record));
        // The first one has the only place from the moment that it is polled.
        let Either::Right((refused, waiting)) = select(append(), append()).await else {
            panic!("the first one was answered without a broker")
        };
        let refused = refused.unwrap_err();
        let LogError::Unavailable { source, .. } = refused else {
            panic!("not unavailable: {refused}")
        };
        assert!(source.to_string().contains("full"), "{source}");
        cluster.broker_up(1).unwrap();
        assert_eq!(waiting.await.unwrap().offset, 0);
    }
}

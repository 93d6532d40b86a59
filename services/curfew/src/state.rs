//! Where a node keeps what it must not forget: store and log.
//!
//! **Invariant:** store and log are of one kind: an engine of the node's own has both in one transaction, servers
//! that many nodes share have one each.

use std::sync::Arc;
use std::time::Duration;

use curfew_clock::SystemClock;
use curfew_core::place::{LogIdentity, Partition};
use curfew_core::stored::{Key, Record};
use curfew_embedded::{Embedded, Health, Options};
use curfew_guard::{BOUND_EMBEDDED_MS, BOUND_KAFKA_MS};
use curfew_kafka::{Kafka, KafkaWatermarks, Topics};
use curfew_keys::SystemEntropy;
use curfew_ports::log::Log;
use curfew_ports::store::Store;
use curfew_ports::watermarks::{Alone, Watermarks};
use curfew_redis::Redis;
use curfew_telemetry::{Gauge, GaugeUnit};
use tokio::time::Instant;

use crate::cli::Failure;
use crate::config::{Config, Shared};
use crate::node::Start;

/// What a first start takes from its first heartbeat until the directory names the log, and some more.
const FIRST_START_MAX: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Store and log, open.
pub(crate) struct State {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<dyn Log>,
    /// Where nodes tell one another of their followers.
    pub(crate) watermarks: Arc<dyn Watermarks>,
    pub(crate) identity: LogIdentity,
    /// X, ms: a broker that crashed is noticed after nine seconds, an engine of one's own does not crash alone
    /// (DESIGN section 6).
    pub(crate) staleness_ms: i64,
    /// Whether no other node has it at the same time.
    pub(crate) is_ours_alone: bool,
    pub(crate) gauges: Vec<Gauge>,
    /// Where it lies, for people.
    pub(crate) told: String,
}

impl State {
    /// Opens what the configuration names.
    pub(crate) async fn open(
        config: &Config,
        start: Start,
        clock: Arc<SystemClock>,
        entropy: Arc<SystemEntropy>,
    ) -> Result<Self, Failure> {
        if let Some(shared) = &config.shared {
            return Self::shared(shared, start.adopt_log).await;
        }
        if start.adopt_log {
            return Err("`--adopt-log`: this node has a log of its own, in one file with its store".into());
        }
        let options = Options {
            accept_clock: start.accept_clock,
            ..Options::new(clock, entropy)
        };
        let engine = Embedded::open(&config.data, options)?;
        Ok(Self {
            store: Arc::new(engine.clone()),
            log: Arc::new(engine.clone()),
            watermarks: Arc::new(Alone),
            identity: engine.log_identity(),
            staleness_ms: BOUND_EMBEDDED_MS,
            is_ours_alone: true,
            told: format!("{} (store and log: embedded, durable)", config.data.display()),
            gauges: gauges(engine),
        })
    }

    async fn shared(shared: &Shared, adopt_log: bool) -> Result<Self, Failure> {
        let redis = Redis::open(&shared.redis).await?;
        let mut options = shared.kafka.clone();
        let named = log_of(&redis).await?;
        if named.is_some() && options.topics == Topics::Create {
            // What the directory names was there once: it is not made anew.
            options.topics = Topics::Verify;
        }
        options.expected = named.filter(|_| !adopt_log);
        let topic = options.topic_name();
        let watermarks = watermarks(&options).await;
        let kafka = Kafka::open(options).await?;
        let identity = match (adopt_log, named) {
            (false, _) => {
                agree(&redis, &kafka, &topic).await?;
                kafka.log_identity()
            }
            (true, Some(named)) => {
                must_be_lost(named, &kafka, &topic).await?;
                named
            }
            (true, None) => {
                return Err(
                    "`--adopt-log`: there is no directory in Redis, and a first start adopts nothing".into(),
                );
            }
        };
        Ok(Self {
            identity,
            told: format!(
                "redis {} (store), kafka {} (log {})",
                shared.redis.servers,
                shared.kafka.bootstrap,
                shared.kafka.topic_name(),
            ),
            store: Arc::new(redis),
            log: Arc::new(kafka),
            watermarks,
            staleness_ms: BOUND_KAFKA_MS,
            is_ours_alone: false,
            gauges: Vec::new(),
        })
    }
}

/// Where nodes tell one another of their followers. A node goes on without: each reads registrations from the store.
async fn watermarks(log: &curfew_kafka::Options) -> Arc<dyn Watermarks> {
    match KafkaWatermarks::open(log).await {
        Ok(watermarks) => Arc::new(watermarks),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "this node hears of no other node's followers, nor they of its: ENFORCED takes longer"
            );
            Arc::new(Alone)
        }
    }
}

/// The log that the directory names; `None`: there is no directory yet.
async fn log_of(store: &dyn Store) -> Result<Option<LogIdentity>, Failure> {
    let read = store.read(Partition::DIRECTORY, &[Key::LogIdentity]).await?;
    for value in read.values.into_iter().flatten() {
        if let Record::LogIdentity(log) = value.record {
            return Ok(Some(log));
        }
    }
    Ok(None)
}

/// Refuses to replace a log that is there.
async fn must_be_lost(named: LogIdentity, kafka: &Kafka, topic: &str) -> Result<(), Failure> {
    let found = kafka.log_identity();
    if found.partitions != named.partitions {
        return Err(format!(
            "the topic {topic} has {} partitions, and the log that was lost had {}: make it again with as many",
            found.partitions, named.partitions
        )
        .into());
    }
    let is_empty = kafka.bounds().await?.iter().all(|bounds| bounds.end == 0);
    if is_empty || found != named {
        return Ok(());
    }
    Err(
        format!("`--adopt-log`: the topic {topic} holds the log that the directory names: it was not lost")
            .into(),
    )
}

/// Refuses a store and a log of which one was lost, or that do not belong together: a first node leaves a
/// heartbeat on the log before it writes the directory, so neither is ever empty alone for long.
async fn agree(store: &dyn Store, log: &dyn Log, topic: &str) -> Result<(), Failure> {
    let until = Instant::now() + FIRST_START_MAX;
    loop {
        let named = log_of(store).await?.is_some();
        let is_empty = log.bounds().await?.iter().all(|bounds| bounds.end == 0);
        match (named, is_empty) {
            (true, false) | (false, true) => return Ok(()),
            // Another node may be at its first start just now.
            (true, true) | (false, false) if Instant::now() < until => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            (true, true) => {
                return Err(format!(
                    "the directory in Redis names a log, and the topic {topic} is empty: the topic was lost and made \
                     again, or another one is meant (`kafka.topic`, `kafka.prefix`, `kafka.bootstrap`); revocations that \
                     lay there alone are gone, and no node goes on as if they were not; if a node is still running, \
                     `curfew admin adopt-log` has it tell the topic what it knows; else `curfew serve --adopt-log`"
                )
                .into());
            }
            (false, false) => {
                return Err(format!(
                    "the topic {topic} has records, and there is no directory in Redis: the store was lost, or another \
                     one is meant (`redis.url`, `redis.database`, `redis.prefix`); for a new beginning, name another \
                     `kafka.prefix` or `kafka.topic`"
                )
                .into());
            }
        }
    }
}

/// What `/metrics` reads of the engine.
fn gauges(engine: Embedded) -> Vec<Gauge> {
    let queued = engine.clone();
    let is_up = move || f64::from(u8::from(engine.health() == Health::Ready));
    let waiting = move || u32::try_from(queued.queue().0).map_or(f64::INFINITY, f64::from);
    vec![
        Gauge::new(
            "curfew_store_up",
            "1 while the engine reads and writes",
            GaugeUnit::Count,
            is_up,
        ),
        Gauge::new(
            "curfew_store_queue",
            "Requests that wait for the engine's writer",
            GaugeUnit::Count,
            waiting,
        ),
    ]
}

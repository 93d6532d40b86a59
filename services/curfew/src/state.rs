//! Where a node keeps what it must not forget: store and log.
//!
//! **Invariant:** store and log are of one kind: an engine of the node's own has both in one transaction, servers
//! that many nodes share have one each.

use std::sync::Arc;

use curfew_clock::SystemClock;
use curfew_core::place::LogIdentity;
use curfew_embedded::{Embedded, Health, Options};
use curfew_guard::{BOUND_EMBEDDED_MS, BOUND_KAFKA_MS};
use curfew_kafka::Kafka;
use curfew_keys::SystemEntropy;
use curfew_ports::log::Log;
use curfew_ports::store::Store;
use curfew_redis::Redis;
use curfew_telemetry::{Gauge, GaugeUnit};

use crate::cli::Failure;
use crate::config::{Config, Shared};

/// Store and log, open.
pub(crate) struct State {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<dyn Log>,
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
        accept_clock: bool,
        clock: Arc<SystemClock>,
        entropy: Arc<SystemEntropy>,
    ) -> Result<Self, Failure> {
        if let Some(shared) = &config.shared {
            return Self::shared(shared).await;
        }
        let options = Options {
            accept_clock,
            ..Options::new(clock, entropy)
        };
        let engine = Embedded::open(&config.data, options)?;
        Ok(Self {
            store: Arc::new(engine.clone()),
            log: Arc::new(engine.clone()),
            identity: engine.log_identity(),
            staleness_ms: BOUND_EMBEDDED_MS,
            is_ours_alone: true,
            told: format!("{} (store and log: embedded, durable)", config.data.display()),
            gauges: gauges(engine),
        })
    }

    async fn shared(shared: &Shared) -> Result<Self, Failure> {
        let redis = Redis::open(&shared.redis).await?;
        let kafka = Kafka::open(shared.kafka.clone()).await?;
        Ok(Self {
            identity: kafka.log_identity(),
            told: format!(
                "redis {} (store), kafka {} (log {})",
                shared.redis.servers,
                shared.kafka.bootstrap,
                shared.kafka.topic_name(),
            ),
            store: Arc::new(redis),
            log: Arc::new(kafka),
            staleness_ms: BOUND_KAFKA_MS,
            is_ours_alone: false,
            gauges: Vec::new(),
        })
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

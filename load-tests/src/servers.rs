//! The Redis and the Kafka of a run, as far as one can look at them: what they cost beside the node.
//!
//! Redis says it of itself, wherever it runs; of Kafka the system says it, where a process of this machine
//! listens on its port.
//!
//! **Invariant:** what cannot be looked at is absent, never nothing.

mod keyspace;
mod listening;
mod redis;

use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;
use crate::shared::Shared;
use crate::usage::{Sampler, Usage};

pub(crate) use keyspace::Kind;
pub(crate) use redis::{RedisCost, RedisLook, client, connect};

/// The servers of a run.
pub(crate) struct Servers {
    pub(crate) shared: Shared,
    redis: Mutex<::redis::Connection>,
    redis_pid: Option<u32>,
    kafka_pids: Vec<u32>,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Servers({:?}, ..)", self.shared)
    }
}

impl Servers {
    pub(crate) fn find(shared: Shared) -> Result<Self, Failure> {
        let redis = connect(&shared)?;
        let redis_pids = listening::pids(shared.redis.trim_start_matches("redis://"));
        let kafka_pids = listening::pids(&shared.kafka);
        if kafka_pids.is_empty() {
            eprintln!("curfew-load: no process of ours listens at the Kafka: its cost is left out");
        }
        Ok(Self {
            shared,
            redis: Mutex::new(redis),
            redis_pid: redis_pids.first().copied(),
            kafka_pids,
        })
    }

    /// Looks at both from now on.
    pub(crate) fn sample(&self, sampler: &Sampler) {
        if let Some(pid) = self.redis_pid {
            sampler.add("redis", vec![pid]);
        }
        if !self.kafka_pids.is_empty() {
            sampler.add("kafka", self.kafka_pids.clone());
        }
    }

    /// What Redis says of itself now; `None`: it does not answer.
    pub(crate) fn redis(&self) -> Option<RedisLook> {
        RedisLook::at(&mut self.connection()).ok()
    }

    /// What the brokers cost; `None`: they run elsewhere.
    pub(crate) fn kafka(&self) -> Option<Usage> {
        (!self.kafka_pids.is_empty()).then(|| Usage::of_all(&self.kafka_pids))
    }

    /// The keys of this run by kind, and what they weigh.
    pub(crate) fn kinds(&self) -> Result<Vec<Kind>, Failure> {
        keyspace::kinds(&mut self.connection(), &self.shared.prefix)
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, ::redis::Connection> {
        self.redis.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

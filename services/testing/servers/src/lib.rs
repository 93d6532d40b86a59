//! Real servers on free loopback ports: Redis and Kafka as others ship them, started as processes of their own.
//!
//! Every server has its own directory and log, answers before its `start` returns, and is killed when it is dropped.
//! If the process that started it dies without dropping it, it dies too (Linux; a server in a `static` is never dropped).
//!
//! **Invariant:** a missing program is an error that says how to install it, never a skip.
//! **Invariant:** this is the only place of the workspace that starts a Redis or a Kafka.

mod cache;
mod clock;
mod directory;
mod error;
mod kafka;
mod left;
mod missing;
mod ports;
mod process;
mod program;
mod proxy;
mod redis;

pub use crate::error::Error;
pub use crate::kafka::{Kafka, KafkaOptions, KafkaSasl, KafkaTls};
pub use crate::left::{Left, kill_all_in, running_in};
pub use crate::missing::{Missing, missing};
pub use crate::ports::Lease;
pub use crate::proxy::{Direction, Peer, Proxy};
pub use crate::redis::{
    ClusterOptions, Failover, Redis, RedisCluster, RedisOptions, RedisProgram, RedisTls, SentinelOptions,
    Sentinels,
};

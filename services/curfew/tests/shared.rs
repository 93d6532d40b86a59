//! Nodes that share their state: real Redis, real Kafka, real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

#[path = "shared/balancer.rs"]
mod balancer;
mod process;
#[path = "shared/servers.rs"]
mod servers;

#[path = "shared/kafka_away.rs"]
mod kafka_away;
#[path = "shared/load.rs"]
mod load;
#[path = "shared/lost.rs"]
mod lost;
#[path = "shared/lost_suffix.rs"]
mod lost_suffix;
#[path = "shared/nodes.rs"]
mod nodes;
#[path = "shared/redis_away.rs"]
mod redis_away;
#[path = "shared/root_key.rs"]
mod root_key;
#[path = "shared/table.rs"]
mod table;
#[path = "shared/topologies.rs"]
mod topologies;

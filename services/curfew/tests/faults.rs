//! Faults on real Redis, real Kafka and real nodes, one test for each: what may be lost is lost, and what is promised
//! holds all the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;
#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "shared/servers.rs"]
mod servers;

#[path = "faults/ask.rs"]
mod ask;
#[path = "faults/authority.rs"]
mod authority;
#[cfg(feature = "skewed-clock")]
#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/cluster.rs"]
mod cluster;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/group.rs"]
mod group;
#[path = "faults/log.rs"]
mod log;
#[path = "faults/sentinel.rs"]
mod sentinel;
#[path = "faults/zombie.rs"]
mod zombie;

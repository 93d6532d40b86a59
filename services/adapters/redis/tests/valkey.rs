//! The contract suite of the store on one real Valkey, as the minimal user; and its Cluster is taken as one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

use common::single::Subject;
use common::{Server, address_of, admin, credentials, lines_of_a_group, opened, settled};
use curfew_core::place::Partition;
use curfew_redis::{Options, Redis, Servers};
use curfew_servers::{ClusterOptions, RedisCluster, RedisProgram};

async fn fresh() -> Subject {
    Subject::on(Server::start_as(RedisProgram::Valkey, &[], None)).await
}

curfew_ports::store_contract!(fresh, unsupported: {
    exactly_delta_is_permitted: "a real server's clock moves by itself",
    every_read_tells_the_stores_clock: "a real server's clock cannot be stepped",
    a_record_stays_until_its_time_has_come: "a real server's clock cannot be stepped",
});

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_told_from_a_server_alone() {
    let cluster = RedisCluster::start_with(&ClusterOptions {
        program: RedisProgram::Valkey,
        lines: lines_of_a_group(),
        user: admin(),
        ..ClusterOptions::default()
    });
    let cluster = cluster.unwrap();
    let urls = cluster.urls();
    let options = |servers| Options {
        credentials: Some(credentials()),
        call_timeout_ms: 20_000,
        ..Options::new(servers)
    };
    let seeds = urls.iter().map(|url| address_of(url)).collect();
    let store = opened(&options(Servers::Cluster { seeds })).await;
    for partition in [
        Partition::DIRECTORY,
        Partition::new(511).unwrap(),
        Partition::new(1_023).unwrap(),
    ] {
        settled(&store, partition).await;
    }
    let alone = Redis::open(&options(Servers::Single(address_of(&urls[0])))).await;
    let refused = alone.unwrap_err().to_string();
    assert!(refused.contains("as a cluster"), "{refused}");
}

//! The contract suite on a Redis Cluster, and failovers in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use common::{address_of, commit_of, opened, settled, settled_after};
use curfew_core::place::Partition;
use curfew_core::stored::Key;
use curfew_ports::store::{CommitOutcome, Store};
use curfew_ports::testing::{Law, StoreUnderTest};
use curfew_redis::{Options, Redis, Servers};
use curfew_servers::{ClusterOptions, RedisCluster};
use tokio::sync::{Mutex, OwnedMutexGuard};

const HERE: Partition = Partition::DIRECTORY;
/// A key of that partition.
const KEY: &str = "curfew{000}p";

fn start() -> RedisCluster {
    // On a busy machine a node may be silent for seconds; a failover of its own accord loses commits.
    let patient = "cluster-node-timeout 5000".to_owned();
    let options = ClusterOptions {
        lines: [common::lines_of_a_group(), vec![patient]].concat(),
        user: common::admin(),
        ..ClusterOptions::default()
    };
    RedisCluster::start_with(&options).unwrap()
}

fn options_of(cluster: &RedisCluster) -> Options {
    let servers = Servers::Cluster {
        seeds: cluster.urls().iter().take(2).map(|url| address_of(url)).collect(),
    };
    Options {
        credentials: Some(common::credentials()),
        call_timeout_ms: 20_000,
        ..Options::new(servers)
    }
}

/// One cluster for all laws, one after the other: each has a prefix of its own.
static CLUSTER: LazyLock<Arc<Mutex<RedisCluster>>> = LazyLock::new(|| Arc::new(Mutex::new(start())));
static LAWS: AtomicU32 = AtomicU32::new(0);

struct Subject {
    cluster: OwnedMutexGuard<RedisCluster>,
    store: Redis,
}

async fn fresh() -> Subject {
    let cluster = CLUSTER.clone().lock_owned().await;
    let prefix = format!("curfew{}", LAWS.fetch_add(1, Ordering::SeqCst));
    let store = opened(&Options {
        prefix,
        ..options_of(&cluster)
    })
    .await;
    settled(&store, HERE).await;
    Subject { cluster, store }
}

#[async_trait]
impl StoreUnderTest for Subject {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn restart(&mut self) -> Law {
        let owner = self.cluster.master_of(KEY).unwrap();
        common::written(self.cluster.node(owner).unwrap());
        self.cluster.node_mut(owner).unwrap().restart().unwrap();
        self.cluster.wait_until_well().unwrap();
        settled(&self.store, HERE).await;
        Ok(())
    }

    async fn change_incarnation(&mut self) -> Law {
        let before = settled(&self.store, HERE).await.incarnation;
        take_over(&self.cluster).await;
        settled_after(&self.store, HERE, before).await;
        Ok(())
    }
}

/// The replica of the owner takes its place, with nothing lost.
async fn take_over(cluster: &RedisCluster) {
    cluster.wait_until_well().unwrap();
    // After a failover nodes take a moment to agree whose replica is whose.
    for _ in 0..common::LOOKS_MAX {
        let owner = cluster.master_of(KEY).unwrap();
        if let Some(replica) = replica_of(cluster, owner) {
            let replica = cluster.node(replica).unwrap();
            replica.command(&["CLUSTER", "FAILOVER"]).unwrap();
            cluster.wait_for_master_other_than(owner, KEY).unwrap();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the owner never has a replica");
}

/// As the owner itself sees it.
fn replica_of(cluster: &RedisCluster, owner: usize) -> Option<usize> {
    let ask = |what| cluster.node(owner).unwrap().command(&["CLUSTER", what]).unwrap();
    let (id, nodes) = (ask("MYID"), ask("NODES"));
    let replica = nodes
        .lines()
        .find(|line| line.split(' ').nth(3) == Some(id.trim()))?;
    (0..6).find(|index| {
        let port = cluster.node(*index).unwrap().port();
        replica.contains(&format!(":{port}@"))
    })
}

curfew_ports::store_contract!(fresh, unsupported: {
    exactly_delta_is_permitted: "a real server's clock moves by itself",
    every_read_tells_the_stores_clock: "a real server's clock cannot be stepped",
    a_record_stays_until_its_time_has_come: "a real server's clock cannot be stepped",
    after_a_failover_the_store_is_an_earlier_prefix: "what the replicas have cannot be taken from them",
    p2_no_version_returns_after_a_failover: "what the replicas have cannot be taken from them",
});

/// One small commit in every partition; how many were committed.
async fn commit_everywhere(store: &Redis) -> usize {
    let mut committed = 0;
    for partition in Partition::all() {
        let Ok(view) = store.read(partition, &[Key::Sequence]).await else {
            continue;
        };
        let mut commit = commit_of(&view, 1);
        commit.partition = partition;
        if let Ok(CommitOutcome::Committed(_)) = store.commit(commit).await {
            committed += 1;
        }
    }
    committed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_master_stops_its_partitions_alone_and_they_come_back() {
    let mut cluster = CLUSTER.clone().lock_owned().await;
    let options = Options {
        call_timeout_ms: 300,
        response_timeout_ms: 300,
        ..options_of(&cluster)
    };
    let store = opened(&options).await;
    settled(&store, HERE).await;
    let all = usize::from(curfew_core::place::PARTITIONS);
    assert_eq!(commit_everywhere(&store).await, all);
    let elsewhere = Partition::all().find(|partition| {
        let key = format!("curfew{{{:03x}}}p", partition.number());
        cluster.master_of(&key).unwrap() != cluster.master_of(KEY).unwrap()
    });
    let elsewhere = elsewhere.unwrap();
    let before = store.read(HERE, &[Key::Sequence]).await.unwrap();
    let unhurt = store.read(elsewhere, &[Key::Sequence]).await.unwrap();

    let owner = cluster.master_of(KEY).unwrap();
    cluster.node_mut(owner).unwrap().kill();
    let view = store.read(elsewhere, &[Key::Sequence]).await.unwrap();
    assert_eq!(view.incarnation, unhurt.incarnation);
    cluster.wait_for_master_other_than(owner, KEY).unwrap();
    // The new master has no replica before the old one is back, and must refuse until then.
    cluster.node_mut(owner).unwrap().restart().unwrap();
    cluster.wait_until_well().unwrap();
    let after = settled_after(&store, HERE, before.incarnation).await;
    assert_eq!(
        after.values[0].as_ref().unwrap().version,
        before.values[0].as_ref().unwrap().version
    );
    let late = commit_of(&before, 3);
    assert_eq!(store.commit(late).await.unwrap(), CommitOutcome::Fenced);
    let view = store.read(elsewhere, &[Key::Sequence]).await.unwrap();
    assert_eq!(view.incarnation, unhurt.incarnation, "others do not notice");
    assert_eq!(commit_everywhere(&store).await, all);
}

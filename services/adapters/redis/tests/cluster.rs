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

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use common::{address_of, commit_of, opened, settled, settled_after};
use curfew_core::place::Partition;
use curfew_core::stored::{Key, Record};
use curfew_ports::store::{CommitOutcome, Store};
use curfew_ports::testing::{Law, StoreUnderTest};
use curfew_redis::{Options, Redis, Servers};
use curfew_servers::{ClusterOptions, Failover, RedisCluster};
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
        take_over(&self.cluster);
        settled_after(&self.store, HERE, before).await;
        Ok(())
    }
}

/// The replica of the owner takes its place, with nothing lost.
fn take_over(cluster: &RedisCluster) {
    cluster.wait_until_well().unwrap();
    cluster.fail_over(KEY, Failover::Agreed).unwrap();
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
async fn a_replica_that_is_not_as_it_must_be_decides_nothing_when_it_is_promoted() {
    let cluster = CLUSTER.clone().lock_owned().await;
    let options = Options {
        probe_ms: 100,
        call_timeout_ms: 1_000,
        ..options_of(&cluster)
    };
    let store = opened(&options).await;
    let before = settled(&store, HERE).await;
    let owner = cluster.master_of(KEY).unwrap();
    let set = |index: usize, value: &str| {
        let node = cluster.node(index).unwrap();
        node.command(&["CONFIG", "SET", "maxmemory-policy", value])
            .unwrap();
    };
    let all = || (0..6).filter(|index| *index != owner);
    all().for_each(|index| set(index, "volatile-ttl"));
    take_over(&cluster);
    let mut told = String::new();
    for _ in 0..common::LOOKS_MAX {
        if let Err(error) = store.read(HERE, &[Key::Sequence]).await {
            told = std::error::Error::source(&error).unwrap().to_string();
        }
        if told.contains("CONFIG SET maxmemory-policy noeviction") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(told.contains("maxmemory-policy is volatile-ttl"), "{told}");
    all().for_each(|index| set(index, "noeviction"));
    settled_after(&store, HERE, before.incarnation).await;
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
    // What a replica does not have yet is lost with its master; here nothing is to be.
    cluster.node_mut(owner).unwrap().wait_for_replicas(1).unwrap();
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

/// A partition of which no law writes anything, so that its keys are text; and a key in its slot.
const MOVED: u16 = 700;
const MOVED_KEY: &str = "curfew{2bc}p";

/// Commits one number after the other, until told to stop; the last that was acknowledged, and how often it was not.
async fn count(store: &Redis, partition: Partition, stop: &AtomicBool) -> (u64, usize) {
    let (mut last, mut failed) = (0, 0);
    while !stop.load(Ordering::SeqCst) {
        let Ok(view) = store.read(partition, &[Key::Sequence]).await else {
            failed += 1;
            continue;
        };
        let mut commit = commit_of(&view, last + 1);
        commit.partition = partition;
        match store.commit(commit).await {
            Ok(CommitOutcome::Committed(_)) => last += 1,
            Ok(CommitOutcome::Conflict) => panic!("nobody else counts"),
            // The slot moved between read and commit, or the machine was busy in between.
            Ok(CommitOutcome::Fenced | CommitOutcome::ClockSuspect { .. }) => {}
            Err(_) => failed += 1,
        }
    }
    (last, failed)
}

/// Moves the slot as a resharding does; in between, half of it lies here and half there.
async fn move_slot(cluster: &RedisCluster, from: usize, to: usize) {
    let (from, to) = (cluster.node(from).unwrap(), cluster.node(to).unwrap());
    let ask = |node: &curfew_servers::Redis, args: &[&str]| node.command(args).unwrap().trim().to_owned();
    let slot = ask(from, &["CLUSTER", "KEYSLOT", MOVED_KEY]);
    let (from_id, to_id) = (ask(from, &["CLUSTER", "MYID"]), ask(to, &["CLUSTER", "MYID"]));
    ask(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    ask(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let port = to.port().to_string();
    let keys = ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    assert!(keys.lines().count() > 1, "{keys}");
    for key in keys.lines() {
        ask(
            from,
            &[
                "MIGRATE",
                "127.0.0.1",
                &port,
                key,
                "0",
                "5000",
                "AUTH2",
                "default",
                common::ADMIN,
            ],
        );
        // Some calls meet a slot of which one key lies here and the other there.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for node in [to, from] {
        ask(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_moved_loses_nothing_has_another_history_and_disturbs_no_other() {
    let cluster = CLUSTER.clone().lock_owned().await;
    let store = opened(&options_of(&cluster)).await;
    let moved = Partition::new(MOVED).unwrap();
    let from = cluster.master_of(MOVED_KEY).unwrap();
    let others = Partition::all().filter(|partition| partition.number() != MOVED);
    let (mut elsewhere, mut beside) = (None, None);
    for partition in others {
        let owner = cluster
            .master_of(&format!("curfew{{{:03x}}}p", partition.number()))
            .unwrap();
        let place = if owner == from {
            &mut beside
        } else {
            &mut elsewhere
        };
        place.get_or_insert((partition, owner));
        if elsewhere.is_some() && beside.is_some() {
            break;
        }
    }
    let ((beside, _), (elsewhere, to)) = (beside.unwrap(), elsewhere.unwrap());
    for partition in [moved, beside, elsewhere] {
        settled(&store, partition).await;
    }
    let before = store.read(moved, &[Key::Sequence]).await.unwrap();
    // A second key of the slot, which no commit touches.
    let mut second = commit_of(&before, 0);
    second.partition = moved;
    second.writes = vec![(Key::Partition, second.writes[0].1.clone())];
    store.commit(second).await.unwrap();

    let stop = AtomicBool::new(false);
    let moving = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        move_slot(&cluster, from, to).await;
        settled_after(&store, moved, before.incarnation).await;
        stop.store(true, Ordering::SeqCst);
    };
    let counts = tokio::join!(
        count(&store, moved, &stop),
        count(&store, beside, &stop),
        count(&store, elsewhere, &stop),
        moving,
    );
    let ((last, _), (_, of_beside), (_, of_elsewhere), ()) = counts;
    assert!(last > 0, "it was counted before and after");
    assert_eq!((of_beside, of_elsewhere), (0, 0), "others do not notice");
    let after = store.read(moved, &[Key::Sequence, Key::Partition]).await.unwrap();
    assert_ne!(after.incarnation, before.incarnation);
    let sequence = after.values[0].as_ref().unwrap().record.clone();
    // One whose answer was lost may have happened.
    assert!(
        [Record::Sequence(last), Record::Sequence(last + 1)].contains(&sequence),
        "{last}: {sequence:?}"
    );
    assert!(after.values[1].is_some(), "what nobody touched came along");
    let mut late = commit_of(&before, 0);
    late.partition = moved;
    assert_eq!(store.commit(late).await.unwrap(), CommitOutcome::Fenced);
}

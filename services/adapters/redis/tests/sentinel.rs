//! The contract suite on a primary that Sentinel names, and failovers of it.
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
use common::{PASSWORD, address_of, commit_of, opened, settled, settled_after};
use curfew_core::place::Partition;
use curfew_core::stored::{Key, Record};
use curfew_ports::store::{CommitOutcome, Store, View};
use curfew_ports::testing::{Law, StoreUnderTest};
use curfew_redis::{Credentials, Options, Redis, SENTINEL_ACL, Secret, Servers};
use curfew_servers::{SentinelOptions, Sentinels};
use tokio::sync::{Mutex, OwnedMutexGuard};

const HERE: Partition = Partition::DIRECTORY;

fn start() -> Sentinels {
    let options = SentinelOptions {
        lines: common::lines_of_a_group(),
        sentinel_lines: vec![
            format!("sentinel auth-pass curfew {}", common::ADMIN),
            format!("user watcher on >{PASSWORD} {SENTINEL_ACL}"),
        ],
        user: common::admin(),
        ..SentinelOptions::default()
    };
    Sentinels::start_with(&options).unwrap()
}

fn options_of(sentinels: &Sentinels) -> Options {
    let servers = Servers::Sentinel {
        sentinels: sentinels.urls().iter().map(|url| address_of(url)).collect(),
        master: sentinels.name().to_owned(),
        credentials: Some(Credentials {
            user: Some("watcher".to_owned()),
            password: Secret::new(PASSWORD),
        }),
    };
    Options {
        credentials: Some(common::credentials()),
        call_timeout_ms: 20_000,
        ..Options::new(servers)
    }
}

/// One group for all laws, one after the other: each has a prefix of its own.
static GROUP: LazyLock<Arc<Mutex<Sentinels>>> = LazyLock::new(|| Arc::new(Mutex::new(start())));
static LAWS: AtomicU32 = AtomicU32::new(0);

struct Subject {
    group: OwnedMutexGuard<Sentinels>,
    prefix: String,
    store: Redis,
}

async fn fresh() -> Subject {
    let group = GROUP.clone().lock_owned().await;
    let prefix = format!("curfew{}", LAWS.fetch_add(1, Ordering::SeqCst));
    let store = opened(&Options {
        prefix: prefix.clone(),
        ..options_of(&group)
    })
    .await;
    settled(&store, HERE).await;
    Subject { group, prefix, store }
}

#[async_trait]
impl StoreUnderTest for Subject {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn restart(&mut self) -> Law {
        let primary = self.group.master().unwrap();
        common::written(self.group.redis(primary).unwrap());
        self.group.redis_mut(primary).unwrap().restart().unwrap();
        settled(&self.store, HERE).await;
        Ok(())
    }

    async fn change_incarnation(&mut self) -> Law {
        let before = settled(&self.store, HERE).await.incarnation;
        self.group.fail_over().unwrap();
        settled_after(&self.store, HERE, before).await;
        Ok(())
    }
}

curfew_ports::store_contract!(fresh, unsupported: {
    exactly_delta_is_permitted: "a real server's clock moves by itself",
    every_read_tells_the_stores_clock: "a real server's clock cannot be stepped",
    a_record_stays_until_its_time_has_come: "a real server's clock cannot be stepped",
    after_a_failover_the_store_is_an_earlier_prefix: "what the replicas have cannot be taken from them",
    p2_no_version_returns_after_a_failover: "what the replicas have cannot be taken from them",
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_loses_commits_gives_an_earlier_prefix_and_fences() {
    let mut subject = fresh().await;
    let (group, store) = (&mut subject.group, &subject.store);
    let view = settled(store, HERE).await;
    store.commit(commit_of(&view, 1)).await.unwrap();
    let primary = group.master().unwrap();
    let replicas: Vec<_> = (0..3).filter(|index| *index != primary).collect();
    // Both have the first commit and are cut off from the second, which a longer lag would permit too.
    for index in &replicas {
        let replica = group.redis(*index).unwrap();
        let key = format!("{}{{000}}q", subject.prefix);
        // Whom a Sentinel reconfigures just now loses its connections.
        while !replica
            .command(&["EXISTS", &key])
            .is_ok_and(|said| said.contains('1'))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        replica.stop_the_clock();
    }
    let server = group.redis(primary).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    server
        .command(&["CONFIG", "SET", "min-replicas-to-write", "0"])
        .unwrap();
    let before = store.read(HERE, &[Key::Sequence]).await.unwrap();
    let outcome = store.commit(commit_of(&before, 2)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    group.redis_mut(primary).unwrap().kill();
    for index in &replicas {
        group.redis(*index).unwrap().go_on();
    }
    group.wait_for_master_other_than(primary).unwrap();

    let after = settled_after(store, HERE, before.incarnation).await;
    assert_eq!(sequence(&after), Record::Sequence(1), "an earlier prefix");
    let late = commit_of(&before, 3);
    assert_eq!(store.commit(late).await.unwrap(), CommitOutcome::Fenced);
    let outcome = store.commit(commit_of(&after, 4)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");

    // The old primary comes back with what was lost, and is made a replica: nothing of it returns.
    group.redis_mut(primary).unwrap().restart().unwrap();
    group.wait_for_replica(primary).unwrap();
    assert_eq!(sequence(&settled(store, HERE).await), Record::Sequence(4));
}

fn sequence(view: &View) -> Record {
    view.values[0].as_ref().unwrap().record.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_left_and_dead_sentinels_are_passed_over() {
    let mut subject = fresh().await;
    let group = &mut subject.group;
    let options = Options {
        response_timeout_ms: 300,
        probe_ms: 300,
        ..options_of(group)
    };
    let store = opened(&options).await;
    let before = settled(&store, HERE).await.incarnation;
    let primary = group.master().unwrap();
    // The first that is asked; a quorum of two is left.
    group.sentinel_mut(0).unwrap().kill();
    group.redis(primary).unwrap().stop_the_clock();
    let view = settled_after(&store, HERE, before).await;
    let outcome = store.commit(commit_of(&view, 1)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    group.redis(primary).unwrap().go_on();
    group.sentinel_mut(0).unwrap().restart().unwrap();
    group.wait_for_replica(primary).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_well_stays_in_use_while_no_sentinel_answers() {
    let mut subject = fresh().await;
    let (group, store) = (&mut subject.group, &subject.store);
    let view = settled(store, HERE).await;
    let primary = group.master().unwrap();
    for index in 0..3 {
        group.sentinel_mut(index).unwrap().kill();
    }
    // Every connection ends, which makes the store doubt its primary.
    let server = group.redis(primary).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    let again = settled(store, HERE).await;
    assert_eq!(again.incarnation, view.incarnation);
    let outcome = store.commit(commit_of(&again, 1)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    for index in 0..3 {
        group.sentinel_mut(index).unwrap().restart().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_not_as_it_must_be_decides_nothing_when_it_is_promoted() {
    let subject = fresh().await;
    let group = &subject.group;
    let options = Options {
        probe_ms: 100,
        call_timeout_ms: 1_000,
        ..options_of(group)
    };
    let store = opened(&options).await;
    let before = settled(&store, HERE).await;
    let primary = group.master().unwrap();
    let set = |index: usize, setting: &str, value: &str| {
        let server = group.redis(index).unwrap();
        server.command(&["CONFIG", "SET", setting, value]).unwrap();
    };
    let replicas: Vec<_> = (0..3).filter(|index| *index != primary).collect();
    for index in &replicas {
        set(*index, "maxmemory-policy", "allkeys-lru");
        set(*index, "min-replicas-to-write", "0");
    }
    let promoted = group.fail_over().unwrap();
    let told = refused(&store, |told| told.contains("maxmemory-policy is allkeys-lru")).await;
    assert!(told.contains("CONFIG SET maxmemory-policy noeviction"), "{told}");
    assert!(told.contains("CONFIG SET min-replicas-to-write 1"), "{told}");
    // What mends it is noticed without a new connection; one setting is not enough.
    set(promoted, "maxmemory-policy", "noeviction");
    let told = refused(&store, |told| !told.contains("maxmemory-policy")).await;
    assert!(told.contains("min-replicas-to-write is 0"), "{told}");
    for index in &replicas {
        set(*index, "maxmemory-policy", "noeviction");
        set(*index, "min-replicas-to-write", "1");
        // Sentinel has had them written into the file.
        group
            .redis(*index)
            .unwrap()
            .command(&["CONFIG", "REWRITE"])
            .unwrap();
    }
    settled_after(&store, HERE, before.incarnation).await;
}

/// How a read is refused, as soon as it is told like that.
async fn refused(store: &Redis, like: impl Fn(&str) -> bool) -> String {
    for _ in 0..common::LOOKS_MAX {
        if let Err(error) = store.read(HERE, &[Key::Sequence]).await {
            let told = std::error::Error::source(&error).unwrap().to_string();
            if told.contains("CONFIG SET") && like(&told) {
                return told;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never refused like that");
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_told() {
    let subject = fresh().await;
    let mut options = options_of(&subject.group);
    if let Servers::Sentinel { master, .. } = &mut options.servers {
        *master = "another".to_owned();
    }
    let error = Redis::open(&options).await.unwrap_err().to_string();
    assert!(error.contains("knows no primary named another"), "{error}");
}

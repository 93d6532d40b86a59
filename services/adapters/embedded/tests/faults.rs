//! Failing fsync, power loss, a full disk: what was acknowledged stays, and the engine works again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::disk::TestDisk;
use common::{HERE, START, Seeded, agreed, commit, key, log_record, number_of, numbered, options, still};
use curfew_core::place::LogPartition;
use curfew_embedded::{Embedded, Health, Options};
use curfew_ports::log::{Log, TailFrom};
use curfew_ports::store::{Store, StoreError};

fn open(disk: &TestDisk, options: &Options) -> Embedded {
    Embedded::open_on(Arc::new(disk.clone()), options.clone()).unwrap()
}

/// What callers were told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
}

impl Told {
    /// Everything acknowledged is in both store and log, and nothing that nobody asked for.
    fn check(&self, present: &[u64], seed: u64) {
        let present: BTreeSet<u64> = present.iter().copied().collect();
        let lost: Vec<_> = self.acknowledged.difference(&present).collect();
        assert!(lost.is_empty(), "seed {seed}: acknowledged and lost: {lost:?}");
        let invented: Vec<_> = present
            .iter()
            .filter(|n| !self.acknowledged.contains(n) && !self.unknown.contains(n))
            .collect();
        assert!(invented.is_empty(), "seed {seed}: never asked for: {invented:?}");
    }
}

/// Eight callers commit until `count` numbers are used up; an error is noted and the next one tried.
async fn commit_all(engine: &Embedded, next: &Arc<AtomicU64>, count: u64, told: &mut Told) {
    let end = next.load(Ordering::SeqCst) + count;
    let callers = (0..8).map(|_| {
        let (engine, next) = (engine.clone(), next.clone());
        tokio::spawn(async move {
            let mut told = Told::default();
            loop {
                let n = next.fetch_add(1, Ordering::SeqCst);
                if n >= end {
                    return told;
                }
                match commit(&engine, n, START).await {
                    Ok(_) => told.acknowledged.insert(n),
                    Err(error) => {
                        assert!(error.is_retryable(), "{error}");
                        told.unknown.insert(n)
                    }
                };
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        let part = caller.await.unwrap();
        told.acknowledged.extend(part.acknowledged);
        told.unknown.extend(part.unknown);
    }
    next.store(end, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_loses_nothing_acknowledged_and_the_engine_goes_on() {
    for seed in 1..=12 {
        let chance = Seeded::new(seed);
        let (disk, options) = (TestDisk::default(), options(still()));
        let engine = open(&disk, &options);
        let (next, mut told) = (Arc::new(AtomicU64::new(1)), Told::default());
        for _ in 0..4 {
            disk.fail_sync_after(chance.below(12));
            commit_all(&engine, &next, 100, &mut told).await;
            told.check(&agreed(&engine).await, seed);
            assert_eq!(engine.health(), Health::Ready, "seed {seed}");
        }
        assert!(
            disk.failures() > 0 && !told.unknown.is_empty(),
            "seed {seed}: no fsync failed"
        );
        drop(engine);
        told.check(&agreed(&open(&disk, &options)).await, seed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_loss_under_load_loses_nothing_acknowledged() {
    let mut noticed = 0;
    for seed in 1..=20 {
        let chance = Arc::new(Seeded::new(seed));
        let (disk, options) = (TestDisk::default(), options(still()));
        let (next, mut told) = (Arc::new(AtomicU64::new(1)), Told::default());
        for _ in 0..4 {
            let engine = open(&disk, &options);
            told.check(&agreed(&engine).await, seed);
            let (losing, dice) = (disk.clone(), chance.clone());
            let syncs = disk.syncs() + chance.below(20);
            let loss = tokio::task::spawn_blocking(move || {
                losing.wait_for_syncs(syncs);
                losing.lose_power(&dice);
            });
            commit_all(&engine, &next, 300, &mut told).await;
            loss.await.unwrap();
            // On a busy machine the load may be through before the power goes.
            noticed += u32::from(!told.unknown.is_empty());
            drop(engine);
            disk.restore_power();
        }
        told.check(&agreed(&open(&disk, &options)).await, seed);
    }
    assert!(noticed > 0, "the power never went under load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_in_the_middle_of_a_batch_tears_no_commit() {
    let (mut torn, mut whole) = (0, 0);
    for seed in 1..=60 {
        let chance = Seeded::new(seed);
        let (disk, options) = (TestDisk::default(), options(still()));
        let engine = open(&disk, &options);
        let mut told = Told::default();
        commit_all(
            &engine,
            &Arc::new(AtomicU64::new(1)),
            1 + chance.below(50),
            &mut told,
        )
        .await;
        // The batch is written and its fsync never returns: the power goes while it waits.
        disk.hold_syncs();
        let callers = (1_000..1_020).map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move { commit(&engine, n, START).await.is_ok() })
        });
        let callers: Vec<_> = callers.collect();
        let waiting = disk.clone();
        tokio::task::spawn_blocking(move || waiting.wait_for_a_held_sync())
            .await
            .unwrap();
        disk.lose_power(&chance);
        disk.release_syncs();
        for caller in callers {
            assert!(!caller.await.unwrap(), "seed {seed}: acknowledged without power");
        }
        drop(engine);
        disk.restore_power();
        told.unknown.extend(1_000..1_020);
        let present = agreed(&open(&disk, &options)).await;
        told.check(&present, seed);
        if present.len() > told.acknowledged.len() {
            whole += 1
        } else {
            torn += 1
        }
    }
    assert!(torn > 0, "no batch was ever torn ({whole} whole)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_acknowledged_and_room_makes_it_work_again() {
    for (seed, by_budget) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
        let chance = Seeded::new(seed);
        let (disk, clock) = (TestDisk::default(), still());
        let options = options(clock.clone());
        let engine = open(&disk, &options);
        let (next, mut told) = (Arc::new(AtomicU64::new(1)), Told::default());
        commit_all(&engine, &next, 50, &mut told).await;
        let more = usize::try_from(chance.below(300_000)).unwrap();
        if by_budget {
            disk.budget(Some(more))
        } else {
            disk.limit(Some(disk.len() + more))
        }
        for _ in 0..400 {
            commit_all(&engine, &next, 50, &mut told).await;
            if disk.failures() > 0 {
                break;
            }
        }
        assert!(disk.failures() > 0, "seed {seed}: the disk was never full");

        // Where not even old bytes can be written over, the file does not open before there is room.
        let is_readable = engine.health() == Health::Full;
        assert!(is_readable || by_budget, "seed {seed}: {:?}", engine.health());
        if is_readable {
            let refused = engine.commit(numbered(&engine, 1_000_000, START)).await;
            assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
            // Reads go on while nothing can be written.
            told.check(&agreed(&engine).await, seed);
        }
        disk.limit(None);
        disk.budget(None);
        clock.advance(2_000);
        commit_all(&engine, &next, 20, &mut told).await;
        assert_eq!(engine.health(), Health::Ready);
        assert!(
            told.acknowledged.contains(&(next.load(Ordering::SeqCst) - 1)),
            "it works again"
        );
        told.check(&agreed(&engine).await, seed);
        drop(engine);
        told.check(&agreed(&open(&disk, &options)).await, seed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_before_it_is_durable() {
    let (disk, options) = (TestDisk::default(), options(still()));
    let engine = open(&disk, &options);
    commit(&engine, 1, START).await.unwrap();
    let mut tail = engine.tail(TailFrom::Oldest).await.unwrap();
    assert_eq!(tail.next().await.unwrap().len(), 1);

    disk.hold_syncs();
    let caller = tokio::spawn({
        let engine = engine.clone();
        async move { commit(&engine, 2, START).await }
    });
    let waiting = disk.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_a_held_sync())
        .await
        .unwrap();
    let view = engine.read(HERE, &[key(1), key(2)]).await.unwrap();
    assert!(
        view.values[0].is_some() && view.values[1].is_none(),
        "written, not durable, and read"
    );
    assert_eq!(engine.bounds().await.unwrap()[0].end, 1);
    assert!(!caller.is_finished());

    disk.release_syncs();
    caller.await.unwrap().unwrap();
    let entries = tail.next().await.unwrap();
    assert_eq!(number_of(entries[0].record.event_id().unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_opened_is_down_until_it_can_and_a_read_is_enough() {
    let (disk, options) = (TestDisk::default(), options(still()));
    let engine = open(&disk, &options);
    commit(&engine, 1, START).await.unwrap();
    disk.lose_power(&Seeded::new(1));
    assert!(matches!(
        commit(&engine, 2, START).await,
        Err(StoreError::Unavailable { .. })
    ));
    assert!(
        matches!(engine.health(), Health::Down { .. }),
        "{:?}",
        engine.health()
    );
    assert!(engine.read(HERE, &[key(1)]).await.is_err());
    assert!(engine.append(LogPartition(0), &log_record(3)).await.is_err());

    disk.restore_power();
    let view = engine.read(HERE, &[key(1)]).await.unwrap();
    assert!(view.values[0].is_some());
    assert_eq!(engine.health(), Health::Ready);
    commit(&engine, 4, START).await.unwrap();
    assert_eq!(agreed(&engine).await, [1, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_writes_costs_no_fsync_and_still_waits_for_what_it_saw() {
    let (disk, options) = (TestDisk::default(), options(still()));
    let engine = open(&disk, &options);
    commit(&engine, 1, START).await.unwrap();
    let syncs = disk.syncs();
    let mut released = numbered(&engine, 2, START);
    released.expected.clear();
    released.writes.clear();
    released.publish.clear();
    engine.commit(released).await.unwrap();
    assert_eq!(disk.syncs(), syncs);
}

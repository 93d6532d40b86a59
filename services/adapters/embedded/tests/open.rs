//! What a directory keeps over a restart, and what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use common::{HERE, START, Seeded, agreed, commit, key, log_record, numbered, options, still};
use curfew_core::place::LogPartition;
use curfew_core::time::DELTA_MS;
use curfew_embedded::{Embedded, Health, OpenError, Options, RETENTION_MS_MIN};
use curfew_ports::log::{Log, LogError, TailFrom};
use curfew_ports::store::{CommitOutcome, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q25_a_restart_keeps_what_was_committed_and_who_we_are() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("curfew");
    let engine = Embedded::open(&dir, options(still())).unwrap();
    let (incarnation, log) = (engine.incarnation(), engine.log_identity());
    assert_eq!(log.partitions, 8);
    for n in 1..=20 {
        commit(&engine, n, START).await.unwrap();
    }
    drop(engine);

    let engine = Embedded::open(&dir, options(still())).unwrap();
    assert_eq!((engine.incarnation(), engine.log_identity()), (incarnation, log));
    assert_eq!(agreed(&engine).await, (1..=20).collect::<Vec<_>>());
    commit(&engine, 21, START).await.unwrap();
    assert_eq!(engine.health(), Health::Ready);
}

#[tokio::test]
async fn nobody_else_may_read_the_directory() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("deep").join("curfew");
    let _engine = Embedded::open(&dir, options(still())).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in std::fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_free_after_the_last_handle() {
    let home = tempfile::tempdir().unwrap();
    let engine = Embedded::open(home.path(), options(still())).unwrap();
    let again = Embedded::open(home.path(), options(still()));
    assert!(
        matches!(&again, Err(OpenError::InUse { dir }) if dir == home.path()),
        "{again:?}"
    );
    assert!(
        again
            .unwrap_err()
            .to_string()
            .ends_with("is in use by another process")
    );

    let clone = engine.clone();
    let mut tail = engine.tail(TailFrom::Oldest).await.unwrap();
    drop(engine);
    assert!(
        Embedded::open(home.path(), options(still())).is_err(),
        "a clone is the engine"
    );
    drop(clone);
    let engine = Embedded::open(home.path(), options(still())).unwrap();
    let closed = tail.next().await;
    assert!(
        matches!(closed, Err(LogError::Unavailable { .. })),
        "a tail of a closed engine says so"
    );
    commit(&engine, 1, START).await.unwrap();
}

#[tokio::test]
async fn the_number_of_partitions_is_fixed_when_the_log_is_made() {
    let home = tempfile::tempdir().unwrap();
    let with = |partitions| Options {
        partitions,
        ..options(still())
    };
    assert!(matches!(
        Embedded::open(home.path(), with(Some(3))),
        Err(OpenError::NotADivisor { asked: 3 })
    ));
    let engine = Embedded::open(home.path(), with(Some(2))).unwrap();
    assert!(matches!(
        engine.append(LogPartition(2), &log_record(1)).await,
        Err(LogError::NoSuchPartition(LogPartition(2)))
    ));
    drop(engine);
    assert!(matches!(
        Embedded::open(home.path(), with(Some(8))),
        Err(OpenError::Partitions { present: 2, asked: 8 })
    ));
    assert_eq!(
        Embedded::open(home.path(), with(None))
            .unwrap()
            .log_identity()
            .partitions,
        2
    );
}

#[tokio::test]
async fn a_retention_that_could_lose_a_record_in_use_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let short = Options {
        retention_ms: RETENTION_MS_MIN - 1,
        ..options(still())
    };
    assert!(matches!(
        Embedded::open(home.path(), short),
        Err(OpenError::Retention { .. })
    ));
}

#[tokio::test]
async fn a_file_that_is_none_of_ours_is_refused() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join("curfew.redb"),
        "not a database, but as long as one must be",
    )
    .unwrap();
    let refused = Embedded::open(home.path(), options(still()));
    assert!(matches!(refused, Err(OpenError::Engine { .. })), "{refused:?}");
    let file = home.path().join("curfew.redb").display().to_string();
    assert!(refused.unwrap_err().to_string().starts_with(&file));
}

#[tokio::test]
async fn a_file_of_another_version_names_both_versions_and_is_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("curfew.redb");
    drop(Embedded::open(home.path(), options(still())).unwrap());
    let database = redb::Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    transaction
        .open_table(meta)
        .unwrap()
        .insert("format", [9].as_slice())
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let refused = Embedded::open(home.path(), options(still()));
        assert!(
            matches!(&refused, Err(OpenError::Format { file: named, present: 9, ours: 1 })
                if *named == file.display().to_string()),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_new_incarnation_fences_and_stays() {
    let home = tempfile::tempdir().unwrap();
    let engine = Embedded::open(home.path(), options(still())).unwrap();
    let before = numbered(&engine, 1, START);
    let new = engine.new_incarnation().await.unwrap();
    assert_ne!(new, before.incarnation);
    assert_eq!(engine.commit(before).await.unwrap(), CommitOutcome::Fenced);
    assert_eq!(engine.read(HERE, &[]).await.unwrap().incarnation, new);
    drop(engine);
    let engine = Embedded::open(home.path(), options(still())).unwrap();
    assert_eq!(engine.incarnation(), new);
    commit(&engine, 1, START).await.unwrap();
}

#[tokio::test]
async fn a_copy_that_gets_a_history_of_its_own_is_neither_the_original_nor_another_copy() {
    let home = tempfile::tempdir().unwrap();
    let history = |seed: Option<u64>| {
        let options = Options {
            new_history: seed.is_some(),
            entropy: Seeded::new(seed.unwrap_or(1)),
            ..options(still())
        };
        let engine = Embedded::open(home.path(), options).unwrap();
        (engine.incarnation(), engine.log_identity())
    };
    let original = history(None);
    let (first, second) = (history(Some(2)), history(Some(3)));
    for (one, other) in [(original, first), (original, second), (first, second)] {
        assert!(one.0 != other.0 && one.1.log_id != other.1.log_id);
    }
    assert_eq!(second.1.partitions, original.1.partitions);
    assert_eq!(history(None), second, "and keeps it");
}

#[tokio::test]
async fn a_clock_behind_the_newest_commit_is_suspect_over_a_restart_until_it_is_accepted() {
    let home = tempfile::tempdir().unwrap();
    let ahead = START.plus_ms(365 * 24 * 3_600_000);
    let engine = Embedded::open(home.path(), options(still())).unwrap();
    // A clock that runs ahead is never suspect: the engine has nothing to compare it with.
    commit(&engine, 1, ahead).await.unwrap();
    commit(&engine, 2, ahead.plus_ms(-DELTA_MS)).await.unwrap();
    drop(engine);

    let engine = Embedded::open(home.path(), options(still())).unwrap();
    let suspect = CommitOutcome::ClockSuspect { store_time: ahead };
    assert_eq!(
        engine
            .commit(numbered(&engine, 3, ahead.plus_ms(-DELTA_MS - 1)))
            .await
            .unwrap(),
        suspect
    );
    assert_eq!(engine.commit(numbered(&engine, 3, START)).await.unwrap(), suspect);
    assert_eq!(engine.read(HERE, &[key(3)]).await.unwrap().store_time, ahead);
    drop(engine);

    let accepting = Options {
        accept_clock: true,
        ..options(still())
    };
    let engine = Embedded::open(home.path(), accepting).unwrap();
    commit(&engine, 3, START).await.unwrap();
    drop(engine);
    let engine = Embedded::open(home.path(), options(still())).unwrap();
    assert_eq!(
        engine.read(HERE, &[]).await.unwrap().store_time,
        START,
        "accepted once and for all"
    );
    commit(&engine, 4, START).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_handle_may_go_while_others_wait() {
    let home = tempfile::tempdir().unwrap();
    let engine = Arc::new(Embedded::open(home.path(), options(still())).unwrap());
    let mut tail = engine.tail(TailFrom::Oldest).await.unwrap();
    let waiting = tokio::spawn(async move { tail.next().await });
    tokio::task::yield_now().await;
    drop(engine);
    assert!(matches!(
        waiting.await.unwrap(),
        Err(LogError::Unavailable { .. })
    ));
}

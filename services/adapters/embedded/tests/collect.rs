//! Nothing grows for ever, and nothing goes before its time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::Arc;

use common::disk::TestDisk;
use common::{HERE, START, Seeded, commit, id_of, key, log_record, numbered, options, still};
use curfew_core::place::LogPartition;
use curfew_core::stored::{Key, Record, Write};
use curfew_core::subject::Tombstone;
use curfew_core::time::Millis;
use curfew_embedded::{Embedded, Options, RETENTION_MS_DEFAULT};
use curfew_ports::log::{Bounds, Log, LogError, TailFrom};
use curfew_ports::store::Store;
use curfew_ports::testing::{StillClock, samples};

const PARTITION: LogPartition = LogPartition(0);

struct Subject {
    clock: Arc<StillClock>,
    options: Options,
    disk: TestDisk,
    engine: Embedded,
}

fn fresh() -> Subject {
    let (clock, disk) = (still(), TestDisk::default());
    let options = options(clock.clone());
    let engine = Embedded::open_on(Arc::new(disk.clone()), options.clone()).unwrap();
    Subject {
        clock,
        options,
        disk,
        engine,
    }
}

impl Subject {
    fn now(&self) -> Millis {
        curfew_core::time::Clock::now(&*self.clock).wall
    }

    async fn append(&self, count: u64) {
        for n in 0..count {
            self.engine.append(PARTITION, &log_record(n)).await.unwrap();
        }
    }

    async fn bounds(&self) -> Bounds {
        self.engine.bounds().await.unwrap()[0]
    }

    /// A record that is collected `ms` from now.
    async fn put(&self, n: u32, ms: i64) -> Key {
        let sid = samples::session_id(n);
        let record = Record::Tombstone(Tombstone {
            sid,
            record: id_of(n.into()),
            until: self.now(),
        });
        let mut commit = numbered(&self.engine, u64::from(n) + 1_000_000, self.now());
        commit.expected.clear();
        commit.publish.clear();
        commit.writes = vec![(
            Key::Tombstone(sid),
            Write::Put {
                record,
                collect_at: Some(self.now().plus_ms(ms)),
            },
        )];
        self.engine.commit(commit).await.unwrap();
        Key::Tombstone(sid)
    }

    async fn has(&self, key: &Key) -> bool {
        self.engine
            .read(HERE, std::slice::from_ref(key))
            .await
            .unwrap()
            .values[0]
            .is_some()
    }
}

#[tokio::test]
async fn log_records_go_when_they_are_older_than_the_retention_and_not_before() {
    let subject = fresh();
    subject.append(10).await;
    subject.clock.advance(RETENTION_MS_DEFAULT);
    subject.append(1).await;
    assert_eq!(
        subject.bounds().await,
        Bounds { start: 0, end: 11 },
        "as old as the retention is not older"
    );
    subject.clock.advance(1);
    subject.append(1).await;
    assert_eq!(subject.bounds().await, Bounds { start: 10, end: 12 });
    let asked = subject
        .engine
        .tail(TailFrom::Offsets(vec![9, 0, 0, 0, 0, 0, 0, 0]))
        .await;
    assert!(
        matches!(
            asked,
            Err(LogError::OutOfRange {
                asked: 9,
                start: 10,
                end: 12,
                ..
            })
        ),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_piled_up_goes_in_bounded_steps_until_it_is_gone() {
    let subject = fresh();
    subject.append(1_000).await;
    subject.clock.advance(RETENTION_MS_DEFAULT + 1);
    subject.append(1).await;
    let first = subject.bounds().await.start;
    assert!(
        first > 0 && first < 1_000,
        "one batch does not do it all: {first}"
    );
    subject.append(40).await;
    assert_eq!(subject.bounds().await.start, 1_000);
}

#[tokio::test]
async fn records_go_after_their_time_and_a_later_put_counts() {
    let subject = fresh();
    let (early, late, moved) = (
        subject.put(1, 1_000).await,
        subject.put(2, 5_000).await,
        subject.put(3, 1_000).await,
    );
    subject.put(3, 9_000).await;
    subject.clock.advance(1_001);
    subject.append(1).await;
    assert!(!subject.has(&early).await && subject.has(&late).await && subject.has(&moved).await);
    subject.clock.advance(4_000);
    subject.append(1).await;
    assert!(!subject.has(&late).await && subject.has(&moved).await);
    subject.clock.advance(4_000);
    subject.append(1).await;
    assert!(!subject.has(&moved).await);
}

#[tokio::test]
async fn a_wall_clock_that_leaps_ahead_throws_nothing_away() {
    let subject = fresh();
    subject.append(3).await;
    let key = subject.put(1, 3_600_000).await;
    subject.clock.step(10 * RETENTION_MS_DEFAULT);
    subject.append(1).await;
    assert_eq!(subject.bounds().await.start, 0);
    assert!(subject.has(&key).await);
}

#[tokio::test]
async fn records_of_a_clock_that_was_ahead_do_not_block_the_trimming_for_ever() {
    let subject = fresh();
    subject.clock.step(10 * RETENTION_MS_DEFAULT);
    subject.append(5).await;
    subject.clock.step(-10 * RETENTION_MS_DEFAULT);
    subject.append(20).await;
    subject.clock.advance(RETENTION_MS_DEFAULT + 1);
    subject.append(5).await;
    assert_eq!(subject.bounds().await.start, 25);
}

#[tokio::test]
async fn the_file_does_not_grow_with_use() {
    let subject = fresh();
    let chance = Seeded::new(1);
    let mut sizes = Vec::new();
    for round in 0..6 {
        for n in 0..300 {
            subject.put(u32::try_from(chance.below(50)).unwrap(), 1_000).await;
            subject.append(1).await;
            commit(&subject.engine, round * 1_000 + n, subject.now())
                .await
                .unwrap();
            let mut gone = numbered(&subject.engine, round * 1_000 + n, subject.now());
            (gone.expected, gone.publish) = (Vec::new(), Vec::new());
            gone.writes = vec![(key(round * 1_000 + n), Write::Delete)];
            subject.engine.commit(gone).await.unwrap();
        }
        subject.clock.advance(RETENTION_MS_DEFAULT / 2 + 1);
        sizes.push(subject.disk.len());
    }
    assert!(sizes[5] <= sizes[2] * 2, "{sizes:?}");
    let start = subject.bounds().await.start;
    assert!(start > 0 && subject.options.retention_ms == RETENTION_MS_DEFAULT && subject.now() > START);
}

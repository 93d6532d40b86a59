//! What the fake log does on demand.

use std::collections::BTreeSet;

use curfew_core::place::{LogIdentity, LogPartition};
use curfew_core::record::LogRecord;

use super::{a_log, clock};
use crate::log::{Log, LogEntry, LogError, TailFrom};
use crate::testing::log_laws::{begin_and_drop, read_entries, record};
use crate::testing::{FakeLog, LogCounts};

const FIRST: LogPartition = LogPartition(0);
const SECOND: LogPartition = LogPartition(1);

async fn append(log: &FakeLog, partition: LogPartition, numbers: std::ops::Range<u64>) {
    for n in numbers {
        log.append(partition, &record(n)).await.unwrap();
    }
}

fn records(entries: &[LogEntry]) -> Vec<LogRecord> {
    entries.iter().map(|entry| entry.record.clone()).collect()
}

#[tokio::test]
async fn a_log_that_is_down_answers_nothing_and_its_tails_go_on_afterwards() {
    let log = a_log();
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    assert_eq!(begin_and_drop(&mut *tail).await, None);
    let waiting = tokio::spawn(async move { (tail.next().await.is_err(), tail) });
    tokio::task::yield_now().await;
    log.go_down();
    let (told, mut tail) = waiting.await.unwrap();
    assert!(told, "a waiting tail is told");
    assert!(matches!(
        log.append(FIRST, &record(1)).await,
        Err(LogError::Unavailable { .. })
    ));
    assert!(log.identity().await.is_err_and(|error| error.is_retryable()));
    log.come_up();
    append(&log, FIRST, 1..2).await;
    assert_eq!(records(&tail.next().await.unwrap()), [record(1)]);
}

#[tokio::test]
async fn a_lost_answer_is_unavailable_although_the_record_lies_there() {
    let log = a_log();
    log.lose_answers(1);
    assert!(log.append(FIRST, &record(1)).await.is_err());
    append(&log, FIRST, 1..2).await;
    assert_eq!(log.records(FIRST), [record(1), record(1)]);
}

#[tokio::test]
async fn a_delayed_append_arrives_behind_later_ones() {
    let log = a_log();
    let held = log.delay_next();
    let zombie = tokio::spawn({
        let log = log.clone();
        async move { log.append(FIRST, &record(1)).await.unwrap() }
    });
    held.arrived().await;
    append(&log, FIRST, 2..3).await;
    held.release();
    assert_eq!(zombie.await.unwrap().offset, 1);
    assert_eq!(log.records(FIRST), [record(2), record(1)]);
}

#[tokio::test]
async fn a_duplicated_record_lies_twice_and_a_redelivered_one_once() {
    let log = a_log();
    log.duplicate(1);
    append(&log, FIRST, 1..3).await;
    assert_eq!(log.records(FIRST), [record(1), record(1), record(2)]);

    log.redeliver(2);
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    let entries = read_entries(&mut *tail, 5).await;
    let offsets: Vec<_> = entries.iter().map(|entry| entry.position.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 0, 1]);
    assert_eq!(begin_and_drop(&mut *tail).await, None);
}

#[tokio::test]
async fn a_partition_that_is_held_back_comes_late_and_whole() {
    let log = a_log();
    log.hold_back(FIRST);
    append(&log, FIRST, 0..3).await;
    append(&log, SECOND, 3..4).await;
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    assert_eq!(records(&tail.next().await.unwrap()), [record(3)]);
    assert_eq!(begin_and_drop(&mut *tail).await, None);
    let waiting = tokio::spawn(async move { tail.next().await.unwrap() });
    tokio::task::yield_now().await;
    log.let_through(FIRST);
    assert_eq!(
        records(&waiting.await.unwrap()),
        [record(0), record(1), record(2)]
    );
}

#[tokio::test]
async fn reordering_shuffles_partitions_and_never_records_within_one() {
    let mut orders = BTreeSet::new();
    for seed in 0..16 {
        let log = a_log();
        log.reorder(seed);
        for partition in log.identity().await.unwrap().all() {
            append(&log, partition, 0..3).await;
        }
        let entries = read_entries(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 24).await;
        let partitions: Vec<_> = entries.iter().map(|entry| entry.position.partition).collect();
        for partition in log.identity().await.unwrap().all() {
            let of_it = entries
                .iter()
                .filter(|entry| entry.position.partition == partition);
            assert!(of_it.map(|entry| entry.position.offset).eq(0..3), "seed {seed}");
        }
        orders.insert(partitions);
    }
    assert!(
        orders.len() > 8,
        "the order differs from seed to seed: {}",
        orders.len()
    );
}

#[tokio::test]
async fn a_truncated_log_is_out_of_range_for_who_was_ahead_and_may_fill_again() {
    let log = a_log();
    append(&log, FIRST, 0..5).await;
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    read_entries(&mut *tail, 5).await;
    log.truncate(FIRST, 3);
    match tail.next().await {
        Err(LogError::OutOfRange {
            asked, start, end, ..
        }) => assert_eq!((asked, start, end), (5, 0, 3)),
        other => panic!("not told: {other:?}"),
    }
    append(&log, FIRST, 10..13).await;
    let batch = tail.next().await.unwrap();
    assert_eq!(
        records(&batch),
        [record(12)],
        "history changed under a reader that was not looking"
    );
}

#[tokio::test]
async fn a_replaced_log_is_another_and_empty() {
    let log = a_log();
    append(&log, FIRST, 0..2).await;
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    read_entries(&mut *tail, 2).await;
    let other = LogIdentity::new([1; 16], 8).unwrap();
    log.replace(other);
    assert_eq!(log.identity().await.unwrap(), other);
    assert!(log.bounds().await.unwrap().iter().all(|bounds| bounds.end == 0));
    assert!(matches!(tail.next().await, Err(LogError::OutOfRange { .. })));
}

#[tokio::test]
async fn the_log_stamps_its_own_time_and_calls_are_counted() {
    let clock = clock();
    let log = FakeLog::new(LogIdentity::new([1; 16], 1).unwrap(), clock.clone());
    append(&log, FIRST, 0..1).await;
    clock.advance(5);
    append(&log, FIRST, 1..2).await;
    let entries = read_entries(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 2).await;
    assert_eq!(entries[1].appended_at.ms_since(entries[0].appended_at), 5);
    assert_eq!(
        log.counts(),
        LogCounts {
            appends: 2,
            appended: 2,
            tails: 1
        }
    );
}

//! A tail gives everything once, in order, and waits for the rest.

use curfew_core::place::LogPartition;

use super::{begin_and_drop, ends, of_partition, partitions, read_entries, record, tail_from};
use crate::log::{Log, LogEntry, TailFrom};
use crate::testing::{Law, LogUnderTest};

/// Appends `count` records, the first of which is `first`, to all partitions in turns.
async fn append_some(log: &dyn Log, first: u64, count: u64) {
    let partitions = partitions(log).await;
    for n in first..first + count {
        log.append(partitions[n as usize % partitions.len()], &record(n))
            .await
            .unwrap();
    }
}

/// Where to go on after `entries`, from `offsets`.
fn advance(offsets: &mut [u64], entries: &[LogEntry]) {
    for entry in entries {
        let next = &mut offsets[entry.position.partition.index()];
        assert_eq!(entry.position.offset, *next, "a gap or a repeat");
        *next += 1;
    }
}

/// A tail from offsets goes on exactly there, in every partition, however often it is resumed.
pub async fn a_tail_resumes_without_loss_or_repeat(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let mut offsets = ends(log).await;
    append_some(log, 0, 100).await;
    let last = ends(log).await;
    let mut seen = 0;
    while offsets != last {
        let batch = tail_from(log, offsets.clone())
            .await
            .unwrap()
            .next()
            .await
            .unwrap();
        // Resumed from the middle of a batch, too.
        let part = &batch[..batch.len().min(7)];
        advance(&mut offsets, part);
        seen += part.len();
    }
    assert_eq!(seen, 100);
    Ok(())
}

/// A tail at the end waits, and wakes for what is appended to any partition.
pub async fn a_tail_waits_and_wakes(subject: &mut dyn LogUnderTest) -> Law {
    let log = subject.log();
    append_some(&*log, 0, 10).await;
    for partition in partitions(&*log).await {
        let mut tail = tail_from(&*log, ends(&*log).await).await.unwrap();
        assert_eq!(begin_and_drop(&mut *tail).await, None, "there is nothing yet");
        let waiting = tokio::spawn(async move { tail.next().await.unwrap() });
        // However far the waiting task has come, it must wake.
        tokio::task::yield_now().await;
        let position = log.append(partition, &record(10)).await.unwrap();
        let batch = waiting.await.expect("the waiting task");
        assert_eq!(batch.len(), 1);
        assert_eq!((batch[0].position, &batch[0].record), (position, &record(10)));
    }
    Ok(())
}

/// Two tails see the same, each at its own pace, and neither takes from the other.
pub async fn two_tails_see_the_same(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let mut early = log.tail(TailFrom::Oldest).await.unwrap();
    append_some(log, 0, 50).await;
    let mut first = read_entries(&mut *early, 50).await;
    append_some(log, 50, 50).await;
    first.extend(read_entries(&mut *early, 50).await);
    let second = read_entries(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 100).await;
    for partition in partitions(log).await {
        assert_eq!(of_partition(&first, partition), of_partition(&second, partition));
    }
    Ok(())
}

/// A tail follows all partitions: a busy one starves none.
pub async fn a_busy_partition_starves_none(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let partitions = partitions(log).await;
    for n in 0..20 {
        log.append(partitions[0], &record(n)).await.unwrap();
    }
    for partition in &partitions[1..] {
        log.append(*partition, &record(100)).await.unwrap();
    }
    let count = 20 + partitions.len() as u64 - 1;
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    let entries = read_entries(&mut *tail, count).await;
    assert_eq!(of_partition(&entries, LogPartition(0)).len(), 20);
    for partition in &partitions[1..] {
        assert_eq!(of_partition(&entries, *partition).len(), 1);
    }
    assert_eq!(begin_and_drop(&mut *tail).await, None, "and nothing more");
    Ok(())
}

/// Dropping the future of `next` loses nothing and repeats nothing, whenever it is dropped.
pub async fn dropping_the_wait_loses_nothing(subject: &mut dyn LogUnderTest) -> Law {
    const RECORDS: u64 = 200;
    let log = subject.log();
    let mut offsets = ends(&*log).await;
    let mut tail = tail_from(&*log, offsets.clone()).await.unwrap();
    let appending = tokio::spawn({
        let log = log.clone();
        async move { append_some(&*log, 0, RECORDS).await }
    });
    let mut seen = 0;
    for turn in 0_u64.. {
        if seen == RECORDS {
            break;
        }
        // Mostly begun and dropped; now and then waited for.
        let batch = if turn.is_multiple_of(64) {
            Some(tail.next().await.unwrap())
        } else {
            begin_and_drop(&mut *tail).await
        };
        let batch = batch.unwrap_or_default();
        advance(&mut offsets, &batch);
        seen += batch.len() as u64;
        tokio::task::yield_now().await;
    }
    appending.await.expect("the appending task");
    assert_eq!(offsets, ends(&*log).await);
    Ok(())
}

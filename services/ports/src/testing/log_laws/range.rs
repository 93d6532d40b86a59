//! A reader outside the retained range is told, never moved.

use curfew_core::place::LogPartition;

use super::{ends, of_partition, partitions, record, tail_from};
use crate::log::{LogError, TailFrom};
use crate::testing::{Law, LogUnderTest};

/// Four trimmed and six left in the first partition, one in the last.
async fn trimmed(subject: &mut dyn LogUnderTest) -> Result<(LogPartition, u64), crate::testing::Lacks> {
    let log = subject.log();
    let partition = partitions(&*log).await[0];
    let start = ends(&*log).await[0];
    for n in 0..10 {
        log.append(partition, &record(n)).await.unwrap();
    }
    drop(log);
    subject.trim(partition, start + 4).await?;
    Ok((partition, start + 4))
}

/// An offset that is not there yet is out of range, not the latest; the next one to come is in it.
pub async fn a_future_offset_is_out_of_range(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    for partition in partitions(log).await {
        log.append(partition, &record(1)).await.unwrap();
        let ends = ends(log).await;
        tail_from(log, ends.clone()).await.unwrap();
        for ahead in [1, 1_000] {
            let mut offsets = ends.clone();
            offsets[partition.index()] += ahead;
            let expected = offsets[partition.index()];
            match tail_from(log, offsets).await {
                Err(LogError::OutOfRange {
                    partition: named,
                    asked,
                    end,
                    ..
                }) => {
                    assert_eq!(
                        (named, asked, end),
                        (partition, expected, ends[partition.index()])
                    );
                }
                other => panic!("an offset in the future is not refused: {other:?}"),
            }
        }
    }
    Ok(())
}

/// An offset that was trimmed is out of range, not the oldest; the oldest retained one is in it.
pub async fn a_trimmed_offset_is_out_of_range(subject: &mut dyn LogUnderTest) -> Law {
    let (partition, oldest) = trimmed(subject).await?;
    let log = &*subject.log();
    let mut offsets = ends(log).await;
    offsets[partition.index()] = oldest - 1;
    match tail_from(log, offsets.clone()).await {
        Err(LogError::OutOfRange {
            partition: named,
            asked,
            start,
            ..
        }) => {
            assert_eq!((named, asked, start), (partition, oldest - 1, oldest));
        }
        other => panic!("a trimmed offset is not refused: {other:?}"),
    }
    offsets[partition.index()] = oldest;
    let batch = tail_from(log, offsets).await.unwrap().next().await.unwrap();
    assert_eq!(batch[0].position.offset, oldest);
    assert_eq!(batch[0].record, record(4));
    Ok(())
}

/// The bounds tell what is retained, `Oldest` begins there, and positions go on after a trimming.
pub async fn trimming_moves_the_start_and_nothing_else(subject: &mut dyn LogUnderTest) -> Law {
    let (partition, oldest) = trimmed(subject).await?;
    let log = &*subject.log();
    let bounds = log.bounds().await.unwrap()[partition.index()];
    assert_eq!((bounds.start, bounds.end), (oldest, oldest + 6));
    let batch = log.tail(TailFrom::Oldest).await.unwrap().next().await.unwrap();
    assert_eq!(of_partition(&batch, partition)[0], (oldest, record(4)));
    let next = log.append(partition, &record(10)).await.unwrap();
    assert_eq!(next.offset, oldest + 6);
    Ok(())
}

/// A tail that trimming overtakes is told: it may still give what it had, but it never leaves a gap.
pub async fn a_tail_that_trimming_overtakes_is_told(subject: &mut dyn LogUnderTest) -> Law {
    let log = subject.log();
    let partition = partitions(&*log).await[0];
    let start = ends(&*log).await[partition.index()];
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    for n in 0..10 {
        log.append(partition, &record(n)).await.unwrap();
    }
    drop(log);
    subject.trim(partition, start + 4).await?;
    let mut expected = start;
    while expected < start + 10 {
        match tail.next().await {
            Ok(batch) => {
                for entry in batch {
                    assert_eq!(entry.position.offset, expected, "a gap that nobody told of");
                    expected += 1;
                }
            }
            Err(LogError::OutOfRange {
                partition: named,
                asked,
                start: oldest,
                ..
            }) => {
                assert_eq!((named, asked, oldest), (partition, expected, start + 4));
                return Ok(());
            }
            Err(other) => panic!("trimming is told as out of range, not {other:?}"),
        }
    }
    Ok(())
}

/// A tail names each partition's offset: with fewer or more of them it is refused, never filled up.
pub async fn a_tail_names_every_partition(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let ends = ends(log).await;
    let (fewer, more) = (ends[1..].to_vec(), [ends.as_slice(), &[0]].concat());
    for offsets in [fewer, more] {
        match tail_from(log, offsets).await {
            Err(LogError::NoSuchPartition(_)) => {}
            other => panic!("a tail over other partitions is not refused: {other:?}"),
        }
    }
    Ok(())
}

//! What is appended lies where it is told, whole, for ever.

use std::collections::BTreeSet;

use curfew_core::place::{LogPartition, Position};
use curfew_core::record::LogRecord;
use tokio::task::JoinSet;

use super::{ends, of_partition, partitions, read_entries, record};
use crate::log::{LogError, TailFrom};
use crate::testing::samples::sample_log_records;
use crate::testing::{Law, LogUnderTest};

/// Appended records are read again, in their order in each partition, where the append told.
pub async fn appended_records_are_read_in_order_where_told(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let partitions = partitions(log).await;
    let mut told = Vec::new();
    for n in 0..30 {
        let partition = partitions[n % partitions.len()];
        let record = record(n as u64);
        told.push((log.append(partition, &record).await.unwrap(), record));
    }
    let entries = read_entries(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 30).await;
    for partition in partitions {
        let in_partition = told
            .iter()
            .filter(|(position, _)| position.partition == partition);
        let expected: Vec<_> = in_partition
            .map(|(position, record)| (position.offset, record.clone()))
            .collect();
        assert_eq!(of_partition(&entries, partition), expected);
    }
    Ok(())
}

/// Positions are dense: each record of a partition lies one after the one before, from where the
/// bounds said; another partition's do not move.
pub async fn positions_are_dense_in_each_partition(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let mut expected = ends(log).await;
    for partition in partitions(log).await {
        for n in 0..5 {
            let position = log.append(partition, &record(n)).await.unwrap();
            assert_eq!(
                position,
                Position {
                    partition,
                    offset: expected[partition.index()]
                }
            );
            expected[partition.index()] += 1;
            assert_eq!(ends(log).await, expected);
        }
    }
    Ok(())
}

/// A record that is appended twice lies there twice: the log knows no ids.
pub async fn a_copy_is_another_entry(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let partition = partitions(log).await[0];
    let first = log.append(partition, &record(1)).await.unwrap();
    let second = log.append(partition, &record(1)).await.unwrap();
    assert_eq!(second.offset, first.offset + 1);
    let entries = read_entries(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 2).await;
    assert!(entries.iter().all(|entry| entry.record == record(1)));
    Ok(())
}

/// Every kind of record round-trips whole, with every field set and with none that may be absent.
pub async fn every_kind_of_log_record_round_trips_whole(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let partition = partitions(log).await[0];
    let samples = sample_log_records();
    for record in &samples {
        log.append(partition, record).await.unwrap();
    }
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    let entries = read_entries(&mut *tail, samples.len() as u64).await;
    for (entry, sample) in entries.iter().zip(&samples) {
        assert_eq!(entry.record, *sample);
    }
    Ok(())
}

/// What cannot be read arrives as its own bytes, in its place, and what follows is read.
pub async fn what_cannot_be_read_arrives_as_its_bytes(subject: &mut dyn LogUnderTest) -> Law {
    let partition = partitions(&*subject.log()).await[0];
    let raw = [[0xff; 11].as_slice(), b"not a record"].concat();
    subject.log().append(partition, &record(1)).await.unwrap();
    let position = subject.append_raw(partition, &raw).await?;
    let log = &*subject.log();
    log.append(partition, &record(2)).await.unwrap();
    let entries = read_entries(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 3).await;
    assert_eq!(entries[1].position, position);
    match &entries[1].record {
        LogRecord::Unknown(unknown) => assert_eq!(*unknown.raw, *raw),
        known @ (LogRecord::Revocation(_)
        | LogRecord::Heartbeat(_)
        | LogRecord::SubjectState(_)
        | LogRecord::Directory(_)
        | LogRecord::Skip(_)
        | LogRecord::Withheld) => panic!("bytes that are no record were read as {known:?}"),
    }
    assert_eq!([&entries[0].record, &entries[2].record], [&record(1), &record(2)]);
    Ok(())
}

/// A partition that the log does not have is refused by name.
pub async fn an_unknown_partition_is_refused(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let count = log.identity().await.unwrap().partitions;
    for unknown in [count, u16::MAX].map(LogPartition) {
        match log.append(unknown, &record(1)).await {
            Err(LogError::NoSuchPartition(named)) => assert_eq!(named, unknown),
            other => panic!("{unknown:?} is not refused: {other:?}"),
        }
    }
    Ok(())
}

/// The log is the same one each time, has as many bounds as partitions, and M divides N.
pub async fn the_identity_is_stable(subject: &mut dyn LogUnderTest) -> Law {
    let log = &*subject.log();
    let identity = log.identity().await.unwrap();
    assert!(curfew_core::place::LogIdentity::new(identity.log_id, identity.partitions).is_some());
    log.append(LogPartition(0), &record(1)).await.unwrap();
    assert_eq!(log.identity().await.unwrap(), identity);
    assert_eq!(
        log.bounds().await.unwrap().len(),
        usize::from(identity.partitions)
    );
    Ok(())
}

/// After a restart it is the same log, with the same records at the same positions, and goes on.
pub async fn a_restart_keeps_identity_records_and_positions(subject: &mut dyn LogUnderTest) -> Law {
    let log = subject.log();
    let identity = log.identity().await.unwrap();
    let partitions = partitions(&*log).await;
    for n in 0..20 {
        log.append(partitions[n % partitions.len()], &record(n as u64))
            .await
            .unwrap();
    }
    let ends_before = ends(&*log).await;
    let mut before = read_entries(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 20).await;
    drop(log);
    subject.restart().await?;
    let log = &*subject.log();
    assert_eq!(log.identity().await.unwrap(), identity);
    assert_eq!(ends(log).await, ends_before);
    let mut after = read_entries(&mut *log.tail(TailFrom::Oldest).await.unwrap(), 20).await;
    for entries in [&mut before, &mut after] {
        entries.sort_by_key(|entry| (entry.position.partition, entry.position.offset));
    }
    assert_eq!(after, before);
    let next = log.append(partitions[0], &record(99)).await.unwrap();
    assert_eq!(next.offset, ends_before[0]);
    Ok(())
}

/// Ten thousand records that are appended at once each get a position of their own, leave no gap, and
/// are read in batches that are bounded.
pub async fn ten_thousand_at_once_are_read_in_bounded_batches(subject: &mut dyn LogUnderTest) -> Law {
    const RECORDS: u64 = 10_000;
    /// In flight at once: as many as a busy authority has, so that group commit has a group.
    const IN_FLIGHT: usize = 512;
    let log = subject.log();
    let partitions = partitions(&*log).await;
    let (mut appends, mut told) = (JoinSet::new(), Vec::new());
    for n in 0..RECORDS {
        if appends.len() == IN_FLIGHT {
            told.extend(appends.join_next().await);
        }
        let (log, partition) = (log.clone(), partitions[n as usize % partitions.len()]);
        appends.spawn(async move { (n, log.append(partition, &record(n)).await.unwrap()) });
    }
    told.extend(appends.join_all().await.into_iter().map(Ok));
    let entries = read_entries(&mut *log.tail(TailFrom::Oldest).await.unwrap(), RECORDS).await;
    for partition in &partitions {
        let offsets: Vec<_> = of_partition(&entries, *partition)
            .into_iter()
            .map(|(offset, _)| offset)
            .collect();
        assert!(offsets.is_sorted_by(|a, b| a + 1 == *b), "a gap in {partition:?}");
    }
    let key = |position: Position| (position.partition, position.offset);
    let told: BTreeSet<_> = told
        .into_iter()
        .map(|told| told.map(|(_, position)| key(position)).unwrap())
        .collect();
    let read: BTreeSet<_> = entries.iter().map(|entry| key(entry.position)).collect();
    assert_eq!(told, read);
    let ids: BTreeSet<_> = entries
        .iter()
        .filter_map(|entry| entry.record.event_id())
        .collect();
    assert_eq!(ids.len() as u64, RECORDS, "each record once");
    Ok(())
}

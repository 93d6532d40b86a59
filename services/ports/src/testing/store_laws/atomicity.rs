//! A commit happens whole or not at all, and only on what was read.

use curfew_core::place::Partition;
use curfew_core::stored::{Key, PartitionRecord, Record};
use curfew_core::time::Millis;

use super::draft::{Draft, HERE, commit, committed, read, read_one, tombstone};
use crate::store::CommitOutcome;
use crate::testing::samples::{instant, log_identity};
use crate::testing::{Law, StoreUnderTest};

/// A read answers for each key in the order asked, and absent ones are `None`.
pub async fn absent_keys_read_as_none_in_the_order_asked(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let [a, b, c] = [1, 2, 3].map(|n| tombstone(n, 0));
    committed(store, &Draft::new(store).await.writing(b.clone())).await;
    let values = read(store, &[c.0.clone(), b.0.clone(), a.0.clone(), b.0]).await;
    let records: Vec<_> = values
        .into_iter()
        .map(|value| value.map(|value| value.record))
        .collect();
    assert_eq!(records, [None, Some(b.1.clone()), None, Some(b.1)]);
    Ok(())
}

/// A commit makes all of its writes true at once, under one version.
pub async fn a_commit_writes_all_that_it_names(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let old = tombstone(0, 0);
    committed(store, &Draft::new(store).await.writing(old.clone())).await;
    let new: Vec<_> = (1..=10).map(|n| tombstone(n, 1)).collect();
    let draft = new
        .iter()
        .cloned()
        .fold(Draft::new(store).await.deleting(&old.0), Draft::writing);
    let version = committed(store, &draft).await.version;
    assert!(read_one(store, &old.0).await.is_none());
    for (key, record) in new {
        let value = read_one(store, &key).await.expect("written");
        assert_eq!((value.version, value.record), (version, record));
    }
    Ok(())
}

/// A commit that expects another version than the present one conflicts and writes nothing.
pub async fn a_commit_on_another_version_conflicts_and_writes_nothing(
    subject: &mut dyn StoreUnderTest,
) -> Law {
    let store = &*subject.store();
    let (key, old) = tombstone(1, 1);
    let first = committed(store, &Draft::new(store).await.writing((key.clone(), old)))
        .await
        .version;
    let (_, new) = tombstone(1, 2);
    let second = Draft::new(store)
        .await
        .expecting(&key, first)
        .writing((key.clone(), new.clone()));
    let second = committed(store, &second).await.version;

    let other = tombstone(2, 3);
    let late = Draft::new(store)
        .await
        .expecting(&key, first)
        .writing(tombstone(1, 3))
        .writing(other.clone());
    assert_eq!(commit(store, &late).await, CommitOutcome::Conflict);
    let value = read_one(store, &key).await.expect("still there");
    assert_eq!((value.version, value.record), (second, new));
    assert!(read_one(store, &other.0).await.is_none());
    Ok(())
}

/// A commit that expects absence conflicts with presence.
pub async fn a_commit_that_expects_absence_conflicts_with_presence(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    let create = Draft::new(store)
        .await
        .expecting(&key, None)
        .writing((key.clone(), record.clone()));
    let version = committed(store, &create).await.version;
    let late = Draft::new(store)
        .await
        .expecting(&key, None)
        .writing(tombstone(1, 2));
    assert_eq!(commit(store, &late).await, CommitOutcome::Conflict);
    let value = read_one(store, &key).await.expect("still there");
    assert_eq!((value.version, value.record), (version, record));
    Ok(())
}

/// A commit that expects presence conflicts with absence: what is gone is not written again.
pub async fn a_commit_that_expects_presence_conflicts_with_absence(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    let version = committed(store, &Draft::new(store).await.writing((key.clone(), record)))
        .await
        .version;
    committed(
        store,
        &Draft::new(store).await.expecting(&key, version).deleting(&key),
    )
    .await;
    let late = Draft::new(store)
        .await
        .expecting(&key, version)
        .writing(tombstone(1, 2));
    assert_eq!(commit(store, &late).await, CommitOutcome::Conflict);
    assert!(read_one(store, &key).await.is_none());
    Ok(())
}

/// What a decision read but does not write is compared too: no write skew.
pub async fn a_version_that_is_only_read_is_compared_too(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let [a, b] = [tombstone(1, 1), tombstone(2, 1)];
    let both = Draft::new(store).await.writing(a.clone()).writing(b.clone());
    let version = committed(store, &both).await.version;
    let on_both = Draft::new(store)
        .await
        .expecting(&a.0, version)
        .expecting(&b.0, version);
    let (writes_a, writes_b) = (
        on_both.clone().writing(tombstone(1, 2)),
        on_both.again().writing(tombstone(2, 2)),
    );
    committed(store, &writes_a).await;
    assert_eq!(commit(store, &writes_b).await, CommitOutcome::Conflict);
    assert_eq!(read_one(store, &b.0).await.map(|value| value.record), Some(b.1));
    Ok(())
}

/// Repeating a commit that took effect conflicts with its own work, so the decision is made again.
pub async fn a_repeated_commit_conflicts_with_its_own_work(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    let create = Draft::new(store)
        .await
        .expecting(&key, None)
        .writing((key.clone(), record));
    let version = committed(store, &create).await.version;
    assert_eq!(commit(store, &create).await, CommitOutcome::Conflict);
    let change = Draft::new(store)
        .await
        .expecting(&key, version)
        .writing(tombstone(1, 2));
    let version = committed(store, &change).await.version;
    assert_eq!(commit(store, &change).await, CommitOutcome::Conflict);
    assert_eq!(
        read_one(store, &key).await.map(|value| value.version),
        Some(version)
    );
    Ok(())
}

/// Deleting takes a record away, and deleting what is absent is no error.
pub async fn a_deleted_record_is_gone_and_an_absent_one_may_be_deleted(
    subject: &mut dyn StoreUnderTest,
) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    committed(store, &Draft::new(store).await.deleting(&key)).await;
    committed(store, &Draft::new(store).await.writing((key.clone(), record))).await;
    committed(store, &Draft::new(store).await.deleting(&key)).await;
    assert!(read_one(store, &key).await.is_none());
    let again = Draft::new(store)
        .await
        .expecting(&key, None)
        .writing(tombstone(1, 2));
    committed(store, &again).await;
    Ok(())
}

/// The same key in two partitions is two records, and neither conflicts with the other.
pub async fn the_same_key_in_two_partitions_is_two_records(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let there = Partition::new(1_023).unwrap();
    let here = Draft::new(store).await.expecting(&Key::Sequence, None);
    let elsewhere = Draft::in_partition(store, there)
        .await
        .expecting(&Key::Sequence, None);
    let a = committed(store, &here.writing((Key::Sequence, Record::Sequence(1))))
        .await
        .version;
    let b = committed(store, &elsewhere.writing((Key::Sequence, Record::Sequence(2))))
        .await
        .version;
    for (partition, version, sequence) in [(HERE, a, 1), (there, b, 2)] {
        let view = store.read(partition, &[Key::Sequence]).await.unwrap();
        let value = view.values[0].clone().expect("written");
        assert_eq!(
            (value.version, value.record),
            (version, Record::Sequence(sequence))
        );
    }
    let middle = store
        .read(Partition::new(1).unwrap(), &[Key::Sequence])
        .await
        .unwrap();
    assert!(middle.values[0].is_none());
    Ok(())
}

/// Q18: a partition record that was never written is absent; a store invents none.
pub async fn q18_an_unwritten_partition_record_is_absent(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    for partition in [0, 1, 511, 1_023].map(|n| Partition::new(n).unwrap()) {
        let keys = [
            Key::Partition,
            Key::Sequence,
            Key::Checkpoint,
            Key::LogIdentity,
            Key::DirectoryVersion,
        ];
        let view = store.read(partition, &keys).await.unwrap();
        assert!(view.values.iter().all(Option::is_none), "{partition:?} is empty");
    }
    Ok(())
}

/// Every commit may compare the partition record: after the partition was opened anew, what was
/// decided before is a conflict.
pub async fn every_commit_may_compare_the_partition_record(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let opening = Draft::new(store).await;
    let incarnation = opening.0.incarnation;
    let record = |opened| {
        let floor = Millis::ZERO;
        Record::Partition(PartitionRecord {
            incarnation,
            opened,
            floor,
            log: log_identity(),
        })
    };
    let bootstrap = opening
        .expecting(&Key::Partition, None)
        .writing((Key::Partition, record(Millis::ZERO)));
    let first = committed(store, &bootstrap).await.version;
    // Many commits stand on the same partition record.
    for n in 0..3 {
        let refresh = Draft::new(store)
            .await
            .expecting(&Key::Partition, first)
            .writing(tombstone(n, 1));
        committed(store, &refresh).await;
    }
    let reopen = Draft::new(store).await.expecting(&Key::Partition, first);
    committed(store, &reopen.writing((Key::Partition, record(instant(1))))).await;
    let late = Draft::new(store).await.expecting(&Key::Partition, first);
    assert_eq!(
        commit(store, &late.clone().writing(tombstone(9, 1))).await,
        CommitOutcome::Conflict
    );
    assert_eq!(commit(store, &late.again()).await, CommitOutcome::Conflict);
    assert!(read_one(store, &tombstone(9, 1).0).await.is_none());
    Ok(())
}

//! A version is never reused, whatever happens to the store (P2).

use std::collections::HashSet;

use curfew_core::place::Version;

use super::draft::{Draft, commit, committed, read_one, tombstone};
use crate::store::CommitOutcome;
use crate::testing::{Law, StoreUnderTest};

/// A version is the incarnation of its commit and the commit's nonce.
pub async fn a_version_is_the_incarnation_and_the_nonce(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    let draft = Draft::new(store).await.writing((key.clone(), record));
    let version = committed(store, &draft).await.version;
    assert_eq!(version, Version::new(draft.0.incarnation, draft.0.nonce));
    assert_eq!(
        read_one(store, &key).await.map(|value| value.version),
        Some(version)
    );
    Ok(())
}

/// P2: a record that was deleted and made again with the same content has another version, and who
/// read the first one conflicts.
pub async fn p2_no_version_returns_after_deletion(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    let mut seen = HashSet::new();
    let mut first = None;
    for _ in 0..10 {
        let create = Draft::new(store)
            .await
            .expecting(&key, None)
            .writing((key.clone(), record.clone()));
        let version = committed(store, &create).await.version;
        assert!(seen.insert(version), "{version:?} came twice");
        let stale = *first.get_or_insert(version);
        if stale != version {
            let late = Draft::new(store).await.expecting(&key, stale).deleting(&key);
            assert_eq!(commit(store, &late).await, CommitOutcome::Conflict);
        }
        committed(
            store,
            &Draft::new(store).await.expecting(&key, version).deleting(&key),
        )
        .await;
    }
    Ok(())
}

/// What was committed is there after a restart, under the versions that it had.
pub async fn what_was_committed_survives_a_restart(subject: &mut dyn StoreUnderTest) -> Law {
    let store = subject.store();
    let mut written = Vec::new();
    for n in 0..10 {
        let record = tombstone(n, 1);
        let version = committed(&*store, &Draft::new(&*store).await.writing(record.clone()))
            .await
            .version;
        written.push((record, version));
    }
    let deleted = tombstone(0, 1).0;
    committed(&*store, &Draft::new(&*store).await.deleting(&deleted)).await;
    drop(store);
    subject.restart().await?;
    let store = &*subject.store();
    assert!(read_one(store, &deleted).await.is_none());
    for ((key, record), version) in written.into_iter().skip(1) {
        let value = read_one(store, &key).await.expect("committed");
        assert_eq!((value.version, value.record), (version, record));
    }
    Ok(())
}

/// P2: after a restart no earlier version returns, and what stood on an earlier one conflicts.
pub async fn p2_no_version_returns_after_a_restart(subject: &mut dyn StoreUnderTest) -> Law {
    let store = subject.store();
    let (key, record) = tombstone(1, 1);
    let first = Draft::new(&*store).await.writing((key.clone(), record.clone()));
    let first = committed(&*store, &first).await.version;
    drop(store);
    subject.restart().await?;
    let store = &*subject.store();
    let second = Draft::new(store)
        .await
        .expecting(&key, first)
        .writing((key.clone(), record));
    let second = committed(store, &second).await.version;
    assert_ne!(first, second);
    let late = Draft::new(store).await.expecting(&key, first).deleting(&key);
    assert_eq!(commit(store, &late).await, CommitOutcome::Conflict);
    assert_eq!(
        read_one(store, &key).await.map(|value| value.version),
        Some(second)
    );
    Ok(())
}

/// P2: what was decided on a version that a failover lost conflicts, also when the same record was
/// written again since, and also when it is the older one that came back.
pub async fn p2_no_version_returns_after_a_failover(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, kept) = tombstone(1, 1);
    let first = committed(
        store,
        &Draft::new(store).await.writing((key.clone(), kept.clone())),
    )
    .await
    .version;
    let lost = Draft::new(store)
        .await
        .expecting(&key, first)
        .writing(tombstone(1, 2));
    let lost = committed(store, &lost).await.version;
    subject.lose(1).await?;

    let store = &*subject.store();
    let value = read_one(store, &key).await.expect("the earlier state");
    assert_eq!((value.version, value.record), (first, kept));
    let on_lost = Draft::new(store).await.expecting(&key, lost).deleting(&key);
    assert_eq!(commit(store, &on_lost).await, CommitOutcome::Conflict);
    let again = Draft::new(store)
        .await
        .expecting(&key, first)
        .writing(tombstone(1, 2));
    let again = committed(store, &again).await.version;
    assert!(again != lost && again != first, "{again:?} is new");
    assert_eq!(commit(store, &on_lost.again()).await, CommitOutcome::Conflict);
    Ok(())
}

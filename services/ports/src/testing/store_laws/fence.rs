//! A commit under another incarnation is fenced; one without writes is checked like any other (Q2).

use curfew_core::place::Incarnation;
use curfew_core::stored::Key;

use super::draft::{Draft, commit, committed, nonce, read_one, tombstone};
use crate::store::CommitOutcome;
use crate::testing::{Law, StoreUnderTest};

/// A commit that names another incarnation is fenced and writes nothing.
pub async fn a_commit_under_another_incarnation_is_fenced(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    for incarnation in [Incarnation(nonce()), Incarnation::default()] {
        let mut draft = Draft::new(store)
            .await
            .expecting(&key, None)
            .writing((key.clone(), record.clone()));
        draft.0.incarnation = incarnation;
        assert_eq!(commit(store, &draft).await, CommitOutcome::Fenced);
        assert!(read_one(store, &key).await.is_none());
    }
    committed(
        store,
        &Draft::new(store)
            .await
            .expecting(&key, None)
            .writing((key, record)),
    )
    .await;
    Ok(())
}

/// P2, Q2: a commit without writes under another incarnation is fenced; under the present one it is
/// committed.
pub async fn q2_a_commit_without_writes_is_fenced(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let draft = Draft::new(store).await;
    committed(store, &draft).await;
    let mut zombie = draft.again();
    zombie.0.incarnation = Incarnation(nonce());
    assert_eq!(commit(store, &zombie).await, CommitOutcome::Fenced);
    Ok(())
}

/// P2, Q2: a commit without writes compares versions and absences.
pub async fn q2_a_commit_without_writes_compares_versions(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    let (absent, _) = tombstone(2, 1);
    let version = committed(store, &Draft::new(store).await.writing((key.clone(), record)))
        .await
        .version;
    let answer = Draft::new(store)
        .await
        .expecting(&key, version)
        .expecting(&absent, None);
    committed(store, &answer).await;
    // Nothing was written, so nothing has changed: the same answer may be released again.
    committed(store, &answer.again()).await;
    assert_eq!(
        read_one(store, &key).await.map(|value| value.version),
        Some(version)
    );

    committed(
        store,
        &Draft::new(store)
            .await
            .expecting(&key, version)
            .writing(tombstone(1, 2)),
    )
    .await;
    assert_eq!(commit(store, &answer.again()).await, CommitOutcome::Conflict);
    let on_absence = Draft::new(store).await.expecting(&key, None);
    assert_eq!(commit(store, &on_absence).await, CommitOutcome::Conflict);
    let on_presence = Draft::new(store).await.expecting(&absent, version);
    assert_eq!(commit(store, &on_presence).await, CommitOutcome::Conflict);
    Ok(())
}

/// A new incarnation with nothing lost fences what was read before, and keeps every record.
pub async fn a_new_incarnation_fences_what_was_read_before(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    let version = committed(
        store,
        &Draft::new(store).await.writing((key.clone(), record.clone())),
    )
    .await
    .version;
    let before = Draft::new(store).await.expecting(&key, version);
    subject.change_incarnation().await?;

    let store = &*subject.store();
    assert_eq!(
        commit(store, &before.clone().writing(tombstone(1, 2))).await,
        CommitOutcome::Fenced
    );
    assert_eq!(
        commit(store, &before.again()).await,
        CommitOutcome::Fenced,
        "without writes too"
    );
    let value = read_one(store, &key).await.expect("kept");
    assert_eq!((value.version, value.record), (version, record));
    let after = Draft::new(store)
        .await
        .expecting(&key, version)
        .writing(tombstone(1, 3));
    assert_ne!(after.0.incarnation, before.0.incarnation);
    committed(store, &after).await;
    Ok(())
}

/// A failover gives an earlier state of the whole store, exactly a prefix, under a new incarnation.
pub async fn after_a_failover_the_store_is_an_earlier_prefix(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let before = Draft::new(store).await;
    for n in 0..10_u32 {
        let draft = Draft::new(store)
            .await
            .writing(tombstone(n, 1))
            .writing(tombstone(100, i64::from(n)));
        committed(store, &draft).await;
    }
    subject.lose(4).await?;
    let store = &*subject.store();
    for n in 0..10 {
        assert_eq!(
            read_one(store, &tombstone(n, 1).0).await.is_some(),
            n < 6,
            "commit {n}"
        );
    }
    let (key, newest) = tombstone(100, 5);
    assert_eq!(
        read_one(store, &key).await.map(|value| value.record),
        Some(newest)
    );
    assert_eq!(
        commit(store, &before.expecting(&Key::Sequence, None)).await,
        CommitOutcome::Fenced
    );
    Ok(())
}

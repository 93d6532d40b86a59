//! What is beyond a limit is refused before anything is done.

use curfew_core::stored::{Key, Listed};

use super::draft::{Draft, HERE, committed, read, tombstone};
use crate::store::{KEYS_MAX, PAGE_MAX, StoreError};
use crate::testing::samples::sample_log_records;
use crate::testing::{Law, StoreUnderTest};

fn is_limit<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Limit { .. }))
}

fn keys_max() -> u32 {
    u32::try_from(KEYS_MAX).unwrap()
}

/// As many keys as permitted pass, in a read, in what a commit expects and in what it writes.
pub async fn as_many_keys_as_permitted_pass(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let mut draft = Draft::new(store).await;
    let mut keys = Vec::new();
    for n in 0..keys_max() {
        let record = tombstone(n, 1);
        draft = draft.expecting(&record.0, None).writing(record.clone());
        keys.push(record.0);
    }
    let version = committed(store, &draft).await.version;
    let values = read(store, &keys).await;
    assert!(
        values
            .iter()
            .all(|value| value.as_ref().is_some_and(|value| value.version == version))
    );
    Ok(())
}

/// One key more than permitted is an error, and nothing is written.
pub async fn more_keys_than_permitted_are_refused(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let keys: Vec<Key> = (0..=keys_max()).map(|n| tombstone(n, 1).0).collect();
    assert!(is_limit(store.read(HERE, &keys).await), "read");

    let draft = Draft::new(store).await;
    let writes = (0..=keys_max())
        .map(|n| tombstone(n, 1))
        .fold(draft.clone(), Draft::writing);
    assert!(is_limit(store.commit(writes.0).await), "writes");
    let expecting = keys
        .iter()
        .fold(draft.again(), |draft, key| draft.expecting(key, None));
    assert!(
        is_limit(store.commit(expecting.writing(tombstone(0, 1)).0).await),
        "expected"
    );
    for batch in keys.chunks(KEYS_MAX) {
        assert!(
            read(store, batch).await.iter().all(Option::is_none),
            "nothing is written"
        );
    }
    Ok(())
}

/// A page is of 1 to [`PAGE_MAX`] records; another size is an error.
pub async fn a_page_of_nothing_or_too_much_is_refused(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    for listed in [Listed::Directory, Listed::Leases, Listed::Outbox] {
        assert!(is_limit(store.list(HERE, listed, None, 0).await));
        assert!(is_limit(store.list(HERE, listed, None, PAGE_MAX + 1).await));
        store.list(HERE, listed, None, PAGE_MAX).await.unwrap();
    }
    Ok(())
}

/// A record without an id of its own cannot be published by a commit: no outbox could keep it.
pub async fn a_record_without_an_id_is_not_published(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    for record in sample_log_records()
        .into_iter()
        .filter(|record| record.event_id().is_none())
    {
        let outgoing = curfew_core::record::Outgoing {
            home: HERE,
            wide: false,
            record,
        };
        let draft = Draft::new(store)
            .await
            .writing(tombstone(1, 1))
            .publishing(outgoing);
        assert!(is_limit(store.commit(draft.0).await));
        assert!(
            read(store, &[tombstone(1, 1).0]).await[0].is_none(),
            "nothing is written"
        );
    }
    Ok(())
}

//! A listing gives every record once, in the order of the keys' bytes.

use std::collections::BTreeSet;

use curfew_core::place::Partition;
use curfew_core::stored::{Key, Listed, Record};

use super::draft::{Draft, HERE, committed, read_one, tombstone};
use crate::store::{KEYS_MAX, Store, Versioned};
use crate::testing::samples::{record_id, sample_records};
use crate::testing::{Law, StoreUnderTest};

/// More pages than any law's listing has: one that does not end fails.
const PAGES_MAX: usize = 1_000;

async fn list_all(
    store: &dyn Store,
    partition: Partition,
    listed: Listed,
    limit: usize,
) -> Vec<(Key, Versioned)> {
    let (mut all, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let page = store.list(partition, listed, cursor, limit).await.unwrap();
        assert!(page.records.len() <= limit, "a page holds at most {limit}");
        all.extend(page.records);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
    panic!("the listing does not end")
}

/// The `n`th of many records that are listed: a sample record under its own id.
fn wide_mark(n: u64) -> (Key, Record) {
    let samples = sample_records().into_iter();
    let mark = samples
        .map(|(_, record)| record)
        .find(|record| matches!(record, Record::WideMark(_)));
    (Key::WideMark(record_id(n)), mark.expect("a sample"))
}

async fn write_marks(store: &dyn Store, numbers: impl IntoIterator<Item = u64>) {
    let numbers: Vec<_> = numbers.into_iter().collect();
    for batch in numbers.chunks(KEYS_MAX) {
        let draft = batch
            .iter()
            .map(|n| wide_mark(*n))
            .fold(Draft::new(store).await, Draft::writing);
        committed(store, &draft).await;
    }
}

/// Whatever the size of the pages, every record of the listing comes once, in the order of the keys'
/// bytes, with the version that a read shows.
pub async fn a_listing_gives_every_record_once_in_key_order(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    for batch in sample_records().chunks(KEYS_MAX) {
        let draft = batch
            .iter()
            .cloned()
            .fold(Draft::new(store).await, Draft::writing);
        committed(store, &draft).await;
    }
    for listed in [Listed::Directory, Listed::Leases, Listed::Outbox] {
        let mut expected: Vec<_> = sample_records()
            .into_iter()
            .filter(|(key, _)| key.listed() == Some(listed))
            .collect();
        expected.sort_by_cached_key(|(key, _)| key.to_bytes());
        for limit in [1, 3, expected.len() - 1, expected.len(), expected.len() + 1] {
            let all = list_all(store, HERE, listed, limit).await;
            let records: Vec<_> = all
                .iter()
                .map(|(key, v)| (key.clone(), v.record.clone()))
                .collect();
            assert_eq!(records, expected, "{listed:?} in pages of {limit}");
            let (key, value) = all.last().expect("not empty");
            assert_eq!(read_one(store, key).await.map(|v| v.version), Some(value.version));
        }
    }
    Ok(())
}

/// A cursor stays where it is while records come and go: what was there all the time comes exactly
/// once, what came or went meanwhile at most once, nothing out of order.
pub async fn a_cursor_stays_while_records_come_and_go(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    write_marks(store, (0..200).map(|n| n * 10)).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    for round in 0.. {
        let page = store.list(HERE, Listed::Directory, cursor, 7).await.unwrap();
        seen.extend(page.records.into_iter().map(|(key, _)| key));
        let Some(next) = page.next else { break };
        cursor = Some(next);
        // One comes and one goes on each side of the cursor.
        write_marks(store, [round * 60 + 3, 1_997 - round * 10]).await;
        let gone = [wide_mark(round * 70).0, wide_mark(1_990 - round * 10).0];
        let draft = gone.iter().fold(Draft::new(store).await, Draft::deleting);
        committed(store, &draft).await;
        assert!(round < 300, "the listing does not end");
    }
    let bytes: Vec<_> = seen.iter().map(Key::to_bytes).collect();
    assert!(bytes.is_sorted_by(|a, b| a < b), "in order, and nothing twice");
    let still_there = list_all(store, HERE, Listed::Directory, 1_000).await;
    let seen: BTreeSet<_> = seen.into_iter().collect();
    let originals: BTreeSet<_> = (0..200).map(|n| wide_mark(n * 10).0).collect();
    for (key, _) in still_there.iter().filter(|(key, _)| originals.contains(key)) {
        assert!(
            seen.contains(key),
            "{key:?} was there all the time and did not come"
        );
    }
    Ok(())
}

/// A listing holds its own kind and partition only.
pub async fn a_listing_holds_only_its_own_kind(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let elsewhere = Partition::new(1).unwrap();
    let unlisted = [tombstone(1, 1), (Key::Sequence, Record::Sequence(1))];
    let of_samples = sample_records()
        .into_iter()
        .filter(|(key, _)| key.listed().is_none());
    let draft = of_samples
        .chain(unlisted)
        .fold(Draft::new(store).await, Draft::writing);
    committed(store, &draft.writing(wide_mark(1))).await;
    committed(
        store,
        &Draft::in_partition(store, elsewhere).await.writing(wide_mark(2)),
    )
    .await;

    let keys = |all: Vec<(Key, Versioned)>| all.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(
        keys(list_all(store, HERE, Listed::Directory, 10).await),
        [wide_mark(1).0]
    );
    assert_eq!(
        keys(list_all(store, elsewhere, Listed::Directory, 10).await),
        [wide_mark(2).0]
    );
    assert_eq!(keys(list_all(store, HERE, Listed::Outbox, 10).await), []);
    Ok(())
}

/// A deleted record is not listed, and a listing of nothing is one empty page.
pub async fn a_listing_of_nothing_is_one_empty_page(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    for written in [false, true] {
        if written {
            write_marks(store, 0..3).await;
            let keys = [0, 1, 2].map(|n| wide_mark(n).0);
            committed(store, &keys.iter().fold(Draft::new(store).await, Draft::deleting)).await;
        }
        for listed in [Listed::Directory, Listed::Leases, Listed::Outbox] {
            let page = store.list(HERE, listed, None, 10).await.unwrap();
            assert!(page.records.is_empty() && page.next.is_none(), "{page:?}");
        }
    }
    Ok(())
}

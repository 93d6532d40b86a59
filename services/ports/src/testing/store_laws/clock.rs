//! A commit compares clocks; time collects garbage and decides nothing.

use curfew_core::place::Version;
use curfew_core::stored::{Key, Record, Write};
use curfew_core::time::{DELTA_MS, Millis};

use super::draft::{Draft, HERE, commit, committed, present, read_one, tombstone};
use crate::store::{CommitOutcome, Store};
use crate::testing::{ClockCheck, Lacks, Law, StoreUnderTest};

/// Far from δ, so that a clock that moves by itself does not matter.
const FAR_MS: i64 = 60_000;

/// Something is committed, so that a store which has only its newest record's time has one.
async fn with_a_record(store: &dyn Store) {
    committed(store, &Draft::new(store).await.writing(tombstone(0, 0))).await;
}

/// An authority whose clock is a little off commits.
pub async fn a_clock_within_delta_commits(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    with_a_record(store).await;
    for off in [0, -100, 100] {
        let draft = Draft::new(store).await;
        let now = draft.0.now.plus_ms(off);
        committed(store, &draft.at(now).writing(tombstone(1, off))).await;
    }
    Ok(())
}

async fn is_suspect(store: &dyn Store, off: i64) {
    with_a_record(store).await;
    let draft = Draft::new(store).await;
    let (told, now) = (draft.0.now, draft.0.now.plus_ms(off));
    let (key, record) = tombstone(1, 1);
    match commit(store, &draft.at(now).writing((key.clone(), record))).await {
        CommitOutcome::ClockSuspect { store_time } => {
            assert!(store_time >= told, "the store's own clock is told");
        }
        other @ (CommitOutcome::Committed(_) | CommitOutcome::Conflict | CommitOutcome::Fenced) => {
            panic!("a clock {off} ms off is suspect, not {other:?}")
        }
    }
    assert!(read_one(store, &key).await.is_none(), "nothing is written");
}

/// An authority whose clock is more than δ behind is suspect, and nothing is written.
pub async fn a_clock_far_behind_is_suspect(subject: &mut dyn StoreUnderTest) -> Law {
    is_suspect(&*subject.store(), -(DELTA_MS + 1)).await;
    is_suspect(&*subject.store(), -FAR_MS).await;
    Ok(())
}

/// An authority whose clock is more than δ ahead is suspect, and nothing is written.
pub async fn a_clock_far_ahead_is_suspect(subject: &mut dyn StoreUnderTest) -> Law {
    match subject.clock_check() {
        ClockCheck::OnlyBehind => Err(Lacks::ClockCheckedAhead),
        ClockCheck::BothSides => {
            is_suspect(&*subject.store(), FAR_MS).await;
            Ok(())
        }
    }
}

/// Q2: a commit without writes compares clocks too.
pub async fn q2_a_commit_without_writes_compares_clocks(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    with_a_record(store).await;
    let draft = Draft::new(store).await;
    let behind = draft.0.now.plus_ms(-FAR_MS);
    let outcome = commit(store, &draft.at(behind)).await;
    assert!(
        matches!(outcome, CommitOutcome::ClockSuspect { .. }),
        "{outcome:?}"
    );
    Ok(())
}

/// A clock that is off by exactly δ is permitted; by one millisecond more it is not.
pub async fn exactly_delta_is_permitted(subject: &mut dyn StoreUnderTest) -> Law {
    subject.step_clock(0).await?;
    let store = &*subject.store();
    with_a_record(store).await;
    let draft = Draft::new(store).await;
    let at = |off| draft.again().at(draft.0.now.plus_ms(off));
    committed(store, &at(-DELTA_MS)).await;
    let outcome = commit(store, &at(-DELTA_MS - 1)).await;
    assert!(
        matches!(outcome, CommitOutcome::ClockSuspect { .. }),
        "{outcome:?}"
    );
    if subject.clock_check() == ClockCheck::BothSides {
        committed(store, &at(DELTA_MS)).await;
        let outcome = commit(store, &at(DELTA_MS + 1)).await;
        assert!(
            matches!(outcome, CommitOutcome::ClockSuspect { .. }),
            "{outcome:?}"
        );
    }
    Ok(())
}

/// Every read tells the store's clock, and it does not go back.
pub async fn every_read_tells_the_stores_clock(subject: &mut dyn StoreUnderTest) -> Law {
    let store = subject.store();
    with_a_record(&*store).await;
    let before = store.read(HERE, &[]).await.unwrap();
    let again = store.read(HERE, &[]).await.unwrap();
    assert!(again.store_time >= before.store_time);
    subject.step_clock(10_000).await?;
    let after = store.read(HERE, &[]).await.unwrap();
    assert_eq!(after.store_time.ms_since(before.store_time), 10_000);
    Ok(())
}

/// A record with a time of collection is there, unchanged, while that time lies ahead.
pub async fn a_record_is_not_collected_before_its_time(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (version, (key, record)) = collected_far_ahead(store).await;
    let value = read_one(store, &key).await.expect("not yet collected");
    assert_eq!((value.version, value.record), (version, record));
    Ok(())
}

/// A record is still there one millisecond before its time of collection.
pub async fn a_record_stays_until_its_time_has_come(subject: &mut dyn StoreUnderTest) -> Law {
    let (version, (key, record)) = collected_far_ahead(&*subject.store()).await;
    subject.step_clock(FAR_MS - 1).await?;
    let value = read_one(&*subject.store(), &key)
        .await
        .expect("not yet collected");
    assert_eq!((value.version, value.record), (version, record));
    Ok(())
}

async fn collected_far_ahead(store: &dyn Store) -> (Version, (Key, Record)) {
    with_a_record(store).await;
    let (key, record) = tombstone(1, 1);
    let draft = Draft::new(store).await;
    let collect_at = Some(draft.0.now.plus_ms(FAR_MS));
    let draft = draft.with(key.clone(), put(record.clone(), collect_at));
    (committed(store, &draft).await.version, (key, record))
}

/// A record past its time of collection is there whole or gone whole, to reads and to commits alike.
pub async fn a_record_past_its_time_is_there_whole_or_gone(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    with_a_record(store).await;
    let (key, record) = tombstone(1, 1);
    let draft = Draft::new(store).await;
    let collect_at = Some(draft.0.now.plus_ms(-1));
    let version = committed(store, &draft.with(key.clone(), put(record.clone(), collect_at)))
        .await
        .version;
    let seen = read_one(store, &key).await;
    if let Some(value) = &seen {
        assert_eq!((value.version, &value.record), (version, &record));
    }
    let expected = seen.map(|value| value.version);
    let next = Draft::new(store)
        .await
        .expecting(&key, expected)
        .writing(tombstone(1, 2));
    let outcome = commit(store, &next).await;
    // It may be collected in between; then the commit conflicts and absence is what is read.
    if outcome == CommitOutcome::Conflict {
        assert!(read_one(store, &key).await.is_none());
    } else {
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    }
    Ok(())
}

/// A later put replaces the time of collection: what once had one and has none now stays.
pub async fn a_later_put_replaces_the_time_of_collection(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    with_a_record(store).await;
    let (key, record) = tombstone(1, 1);
    for collect_at in [-1, 1, 5] {
        let draft = Draft::new(store).await;
        let collect_at = Some(draft.0.now.plus_ms(collect_at));
        committed(store, &draft.with(key.clone(), put(record.clone(), collect_at))).await;
        committed(
            store,
            &Draft::new(store).await.writing((key.clone(), record.clone())),
        )
        .await;
        // Time passes for a store whose clock moves by itself: until it shows what was asked for.
        let mut view = store.read(HERE, std::slice::from_ref(&key)).await.unwrap();
        for _ in 0..100 {
            assert!(view.values[0].is_some(), "it stays");
            if collect_at.is_none_or(|at| present(&view) > at) {
                break;
            }
            view = store.read(HERE, std::slice::from_ref(&key)).await.unwrap();
        }
    }
    Ok(())
}

const fn put(record: Record, collect_at: Option<Millis>) -> Write {
    Write::Put { record, collect_at }
}

//! Of those who race, one wins, and nobody sees half of it.

use std::sync::Arc;

use curfew_core::place::{Incarnation, Version};
use curfew_core::stored::{Checkpoint, Key, Record, SingleUse, SingleUseKind};
use curfew_core::time::Millis;
use tokio::task::JoinSet;

use super::draft::{Draft, HERE, commit, committed, read_one, tombstone};
use crate::store::{CommitOutcome, Store};
use crate::testing::samples::instant;
use crate::testing::{Law, StoreUnderTest};

/// Runs one commit per racer at once and gives the versions of those that won.
async fn race(store: &Arc<dyn Store>, drafts: Vec<Draft>) -> Vec<Version> {
    let mut racers = JoinSet::new();
    for draft in drafts {
        let store = store.clone();
        racers.spawn(async move { commit(&*store, &draft).await });
    }
    let outcomes = racers.join_all().await.into_iter();
    let won = outcomes.filter_map(|outcome| match outcome {
        CommitOutcome::Committed(committed) => Some(committed.version),
        CommitOutcome::Conflict => None,
        refused @ (CommitOutcome::Fenced | CommitOutcome::ClockSuspect { .. }) => {
            panic!("a racer is refused: {refused:?}")
        }
    });
    won.collect()
}

/// Of a hundred commits that stand on one version, exactly one wins; what it wrote is there.
pub async fn of_a_hundred_racing_commits_exactly_one_wins(subject: &mut dyn StoreUnderTest) -> Law {
    let store = subject.store();
    let (key, record) = tombstone(1, 0);
    let version = committed(&*store, &Draft::new(&*store).await.writing((key.clone(), record)))
        .await
        .version;
    let draft = Draft::new(&*store).await.expecting(&key, version);
    let drafts = (0..100).map(|n| draft.again().writing(tombstone(1, n))).collect();
    let won = race(&store, drafts).await;
    assert_eq!(won.len(), 1, "exactly one wins");
    assert_eq!(
        read_one(&*store, &key).await.map(|value| value.version),
        won.first().copied()
    );
    Ok(())
}

/// Of fifty that create the same record, exactly one wins.
pub async fn of_racing_creators_exactly_one_wins(subject: &mut dyn StoreUnderTest) -> Law {
    let store = subject.store();
    let (key, _) = tombstone(1, 0);
    let draft = Draft::new(&*store).await.expecting(&key, None);
    let won = race(
        &store,
        (0..50).map(|n| draft.again().writing(tombstone(1, n))).collect(),
    )
    .await;
    assert_eq!(won.len(), 1, "exactly one wins");
    assert_eq!(
        read_one(&*store, &key).await.map(|value| value.version),
        won.first().copied()
    );
    Ok(())
}

/// Of two that read both records and write one each, at most one wins: serializable, no write skew.
pub async fn of_two_that_would_skew_at_most_one_wins(subject: &mut dyn StoreUnderTest) -> Law {
    let store = subject.store();
    for round in 0..20 {
        let (a, b) = (tombstone(2 * round, 0), tombstone(2 * round + 1, 0));
        let both = Draft::new(&*store).await.writing(a.clone()).writing(b.clone());
        let version = committed(&*store, &both).await.version;
        let draft = Draft::new(&*store)
            .await
            .expecting(&a.0, version)
            .expecting(&b.0, version);
        let drafts = vec![draft.again().writing(a), draft.again().writing(b)];
        assert_eq!(race(&store, drafts).await.len(), 1, "round {round}");
    }
    Ok(())
}

/// Reading, adding one and committing on what was read loses no addition, however many do it.
pub async fn no_increment_is_lost_under_race(subject: &mut dyn StoreUnderTest) -> Law {
    const TASKS: u64 = 8;
    const TIMES: u64 = 10;
    let store = subject.store();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..TIMES {
                while !increment(&*store).await {}
            }
        });
    }
    tasks.join_all().await;
    let value = read_one(&*store, &Key::Sequence).await.map(|value| value.record);
    assert_eq!(value, Some(Record::Sequence(TASKS * TIMES)));
    Ok(())
}

/// One addition; whether it won. Somebody wins in each round, so the loop around it ends.
async fn increment(store: &dyn Store) -> bool {
    let draft = Draft::new(store).await;
    let value = read_one(store, &Key::Sequence).await;
    let (version, sequence) = match value.map(|value| (value.version, value.record)) {
        Some((version, Record::Sequence(sequence))) => (Some(version), sequence),
        Some((_, other)) => panic!("not a sequence: {other:?}"),
        None => (None, 0),
    };
    let write = (Key::Sequence, Record::Sequence(sequence + 1));
    matches!(
        commit(store, &draft.expecting(&Key::Sequence, version).writing(write)).await,
        CommitOutcome::Committed(_)
    )
}

/// A read sees one instant: never one half of a commit without the other.
pub async fn a_read_never_sees_half_a_commit(subject: &mut dyn StoreUnderTest) -> Law {
    const COMMITS: u64 = 200;
    let store = subject.store();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 1..=COMMITS {
                let checkpoint = Checkpoint {
                    offset: n,
                    incarnation: Incarnation::default(),
                    at: Millis::ZERO,
                };
                let draft = Draft::new(&*store)
                    .await
                    .writing((Key::Sequence, Record::Sequence(n)));
                let draft = draft.writing((Key::Checkpoint, Record::Checkpoint(checkpoint)));
                committed(&*store, &draft).await;
            }
        }
    });
    let mut newest = 0;
    while newest < COMMITS {
        let view = store.read(HERE, &[Key::Sequence, Key::Checkpoint]).await.unwrap();
        let seen: Vec<_> = view
            .values
            .into_iter()
            .map(|value| value.map(|value| value.record))
            .collect();
        match seen.as_slice() {
            [None, None] => {}
            [Some(Record::Sequence(n)), Some(Record::Checkpoint(checkpoint))] => {
                assert_eq!(*n, checkpoint.offset, "two halves of two commits");
                assert!(*n >= newest, "reads go back in time");
                newest = *n;
            }
            half => panic!("half a commit: {half:?}"),
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer");
    Ok(())
}

/// A single-use item is used once, however many read it unused at the same time.
pub async fn a_single_use_item_is_used_once_under_race(subject: &mut dyn StoreUnderTest) -> Law {
    let store = subject.store();
    let key = Key::SingleUse(SingleUseKind::Code, [7; 32]);
    let item = |used| {
        let body = [1, 2, 3].as_slice().into();
        Record::SingleUse(SingleUse {
            issued_at: instant(0),
            expires_at: instant(1),
            used,
            body,
        })
    };
    committed(
        &*store,
        &Draft::new(&*store).await.writing((key.clone(), item(false))),
    )
    .await;
    let mut redeemers = JoinSet::new();
    for _ in 0..50 {
        let (store, key, unused, used) = (store.clone(), key.clone(), item(false), item(true));
        redeemers.spawn(async move {
            let value = read_one(&*store, &key).await.expect("issued");
            if value.record != unused {
                return false;
            }
            let draft = Draft::new(&*store)
                .await
                .expecting(&key, value.version)
                .writing((key, used));
            matches!(commit(&*store, &draft).await, CommitOutcome::Committed(_))
        });
    }
    let used = redeemers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(used, 1, "used exactly once");
    assert_eq!(
        read_one(&*store, &key).await.map(|value| value.record),
        Some(item(true))
    );
    Ok(())
}

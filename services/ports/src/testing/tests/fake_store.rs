//! What the fake store does on demand.

use std::sync::Arc;

use curfew_core::record::Outgoing;
use curfew_core::stored::{Listed, Write};
use curfew_core::time::DELTA_MS;

use super::{a_log, a_store, clock};
use crate::log::Log;
use crate::store::{CommitOutcome, Store, StoreError};
use crate::testing::FakeStore;
use crate::testing::samples::sample_revocation;
use crate::testing::store_laws::{Draft, HERE, commit, committed, read_one, tombstone};

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable { .. }))
}

#[tokio::test]
async fn a_failover_loses_exactly_the_suffix_and_restores_what_it_changed_and_deleted() {
    let store = a_store();
    let (changed, deleted, created) = (tombstone(1, 1), tombstone(2, 1), tombstone(3, 1));
    let before = Draft::new(&store)
        .await
        .writing(changed.clone())
        .writing(deleted.clone());
    let version = committed(&store, &before).await.version;
    let incarnation = store.incarnation();
    committed(
        &store,
        &Draft::new(&store)
            .await
            .writing(tombstone(1, 2))
            .deleting(&deleted.0),
    )
    .await;
    committed(
        &store,
        &Draft::new(&store)
            .await
            .writing(tombstone(1, 3))
            .writing(created.clone()),
    )
    .await;
    // Commits without writes leave nothing to lose.
    committed(&store, &Draft::new(&store).await).await;

    assert_eq!(store.fail_over(2), 2);
    for (key, record) in [changed, deleted] {
        let value = read_one(&store, &key).await.expect("restored");
        assert_eq!((value.version, value.record), (version, record));
    }
    assert!(read_one(&store, &created.0).await.is_none());
    assert_ne!(store.incarnation(), incarnation);
    assert_eq!(commit(&store, &before.again()).await, CommitOutcome::Fenced);
    assert_eq!(store.fail_over(5), 1, "there is but one left to lose");
}

#[tokio::test]
async fn no_two_failovers_give_the_same_incarnation() {
    let store = a_store();
    let mut seen = std::collections::HashSet::from([store.incarnation()]);
    for _ in 0..100 {
        store.fail_over(0);
        assert!(seen.insert(store.incarnation()));
    }
}

#[tokio::test]
async fn a_failover_takes_the_outbox_entry_with_the_commit_and_leaves_the_log() {
    let (kept, log) = (a_store(), a_log());
    let engine = FakeStore::with_log(clock(), log.clone());
    for (store, outbox) in [(&kept, 1), (&engine, 0)] {
        let draft = Draft::new(store).await.writing(tombstone(1, 1));
        committed(
            store,
            &draft.publishing(Outgoing::revocation(sample_revocation(0))),
        )
        .await;
        let listed = store.list(HERE, Listed::Outbox, None, 10).await.unwrap();
        assert_eq!(listed.records.len(), outbox);
        store.fail_over(1);
        let listed = store.list(HERE, Listed::Outbox, None, 10).await.unwrap();
        assert_eq!(listed.records.len(), 0);
    }
    assert_eq!(log.counts().appended, 1);
}

#[tokio::test]
async fn a_store_that_is_down_answers_nothing_and_forgets_nothing() {
    let store = a_store();
    let draft = Draft::new(&store).await.writing(tombstone(1, 1));
    store.go_down();
    assert!(is_unavailable(&store.read(HERE, &[]).await));
    assert!(is_unavailable(&store.commit(draft.0.clone()).await));
    assert!(is_unavailable(&store.list(HERE, Listed::Outbox, None, 1).await));
    store.come_up();
    committed(&store, &draft).await;
}

#[tokio::test]
async fn q2_an_isolated_store_reads_and_commits_nothing_not_even_nothing() {
    let store = a_store();
    let draft = Draft::new(&store).await;
    store.isolate();
    assert!(read_one(&store, &tombstone(1, 1).0).await.is_none());
    let refused = store.commit(draft.0.clone()).await;
    assert!(
        matches!(refused, Err(StoreError::Refused { .. })),
        "and it is known that nothing happened"
    );
    store.rejoin();
    committed(&store, &draft).await;
}

#[tokio::test]
async fn a_lost_answer_is_unavailable_although_the_commit_took_effect() {
    let store = a_store();
    let (key, record) = tombstone(1, 1);
    let draft = Draft::new(&store)
        .await
        .expecting(&key, None)
        .writing((key.clone(), record.clone()));
    store.lose_answers(1);
    assert!(is_unavailable(&store.commit(draft.0.clone()).await));
    assert_eq!(
        read_one(&store, &key).await.map(|value| value.record),
        Some(record)
    );
    assert_eq!(
        commit(&store, &draft).await,
        CommitOutcome::Conflict,
        "the retry meets its own work"
    );
}

#[tokio::test]
async fn conflicts_come_as_often_as_asked_and_write_nothing() {
    let store = a_store();
    let draft = Draft::new(&store).await.writing(tombstone(1, 1));
    store.conflict_next(2);
    for _ in 0..2 {
        assert_eq!(commit(&store, &draft).await, CommitOutcome::Conflict);
    }
    assert!(read_one(&store, &tombstone(1, 1).0).await.is_none());
    committed(&store, &draft).await;
}

#[tokio::test]
async fn a_delayed_commit_arrives_late_and_is_judged_then() {
    let store = Arc::new(a_store());
    let (key, _) = tombstone(1, 1);
    let slow = Draft::new(&*store)
        .await
        .expecting(&key, None)
        .writing(tombstone(1, 1));
    let held = store.delay_next();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { commit(&*store, &slow).await }
    });
    held.arrived().await;
    committed(&*store, &Draft::new(&*store).await.writing(tombstone(1, 2))).await;
    held.release();
    assert_eq!(waiting.await.unwrap(), CommitOutcome::Conflict);
}

#[tokio::test]
async fn a_delayed_answer_comes_after_what_others_saw_of_the_commit() {
    let store = Arc::new(a_store());
    let draft = Draft::new(&*store).await.writing(tombstone(1, 1));
    let held = store.delay_next_answer();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { commit(&*store, &draft).await }
    });
    held.arrived().await;
    assert!(read_one(&*store, &tombstone(1, 1).0).await.is_some());
    assert!(!waiting.is_finished());
    drop(held);
    assert!(matches!(waiting.await.unwrap(), CommitOutcome::Committed(_)));
}

#[tokio::test]
async fn a_skewed_store_suspects_honest_clocks() {
    let store = a_store();
    let draft = Draft::new(&store).await;
    store.set_skew_ms(DELTA_MS + 1);
    let store_time = draft.0.now.plus_ms(DELTA_MS + 1);
    assert_eq!(
        commit(&store, &draft).await,
        CommitOutcome::ClockSuspect { store_time }
    );
    store.set_skew_ms(DELTA_MS);
    committed(&store, &draft).await;
}

#[tokio::test]
async fn nothing_is_collected_until_asked_and_then_only_what_is_due() {
    let clock = clock();
    let store = FakeStore::new(clock.clone());
    let draft = Draft::new(&store).await;
    let now = draft.0.now;
    let put = |draft: Draft, n, collect_at| {
        let (key, record) = tombstone(n, 1);
        draft.with(key, Write::Put { record, collect_at })
    };
    let draft = put(
        put(put(draft, 1, Some(now.plus_ms(10))), 2, Some(now.plus_ms(11))),
        3,
        None,
    );
    committed(&store, &draft).await;
    clock.advance(10);
    assert!(read_one(&store, &tombstone(1, 1).0).await.is_some());
    assert_eq!(store.collect(), 1);
    assert!(read_one(&store, &tombstone(1, 1).0).await.is_none());
    assert!(read_one(&store, &tombstone(2, 1).0).await.is_some());
}

#[tokio::test]
async fn a_commit_is_nothing_where_the_log_of_the_same_engine_is_down() {
    let log = a_log();
    let store = FakeStore::with_log(clock(), log.clone());
    let draft = Draft::new(&store).await.writing(tombstone(1, 1));
    let draft = draft.publishing(Outgoing::revocation(sample_revocation(0)));
    log.go_down();
    assert!(is_unavailable(&store.commit(draft.0.clone()).await));
    assert!(read_one(&store, &tombstone(1, 1).0).await.is_none());
    log.come_up();
    committed(&store, &draft).await;
    assert_eq!(log.bounds().await.unwrap()[0].end, 1);
}

#[tokio::test]
async fn calls_are_counted() {
    let store = a_store();
    let before = store.counts();
    let view = store.read(HERE, &[]).await.unwrap();
    let draft = Draft::new(&store).await;
    assert_eq!(view.incarnation, draft.0.incarnation);
    committed(&store, &draft).await;
    store.conflict_next(1);
    commit(&store, &draft).await;
    let after = store.counts();
    let counted = (
        after.reads - before.reads,
        after.commits - before.commits,
        after.committed,
    );
    assert_eq!(counted, (2, 2, 1));
}

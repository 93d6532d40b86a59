//! Every kind of record comes back whole.

use std::sync::Arc;

use curfew_core::ids::{OperationId, SessionId, SubjectId};
use curfew_core::stored::{Key, Operation, Record};
use curfew_core::subject::{Ledger, LedgerEntry};

use super::draft::{Draft, commit, committed, read_one, tombstone};
use crate::store::{CommitOutcome, KEYS_MAX, Store};
use crate::testing::samples::{instant, sample_records, session_id, subject_key, tenant_id};
use crate::testing::{Law, StoreUnderTest};

async fn write_samples(store: &dyn Store) {
    for batch in sample_records().chunks(KEYS_MAX) {
        let draft = batch
            .iter()
            .cloned()
            .fold(Draft::new(store).await, Draft::writing);
        committed(store, &draft).await;
    }
}

async fn check_samples(store: &dyn Store) {
    for (key, record) in sample_records() {
        let value = read_one(store, &key).await.map(|value| value.record);
        assert_eq!(value, Some(record), "{key:?}");
    }
}

/// Every kind of record round-trips whole, with every field set and with none that may be absent.
pub async fn every_kind_of_record_round_trips_whole(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    write_samples(store).await;
    check_samples(store).await;
    Ok(())
}

/// Every kind of record comes back whole from a restart.
pub async fn every_kind_of_record_survives_a_restart(subject: &mut dyn StoreUnderTest) -> Law {
    write_samples(&*subject.store()).await;
    subject.restart().await?;
    check_samples(&*subject.store()).await;
    Ok(())
}

/// A ledger of a thousand sessions round-trips, and pages of it hold each session once.
pub async fn a_ledger_of_a_thousand_sessions_pages_completely(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let key = Key::Ledger(subject_key(9));
    let mut ledger = Ledger::new(tenant_id(1), SubjectId::new("busy").unwrap());
    for n in (0..1_000).rev() {
        let used = instant(i64::from(n));
        ledger.add(LedgerEntry {
            sid: session_id(n),
            last_used: used,
            expires_at: used.plus_ms(1),
        });
    }
    let write = (key.clone(), Record::Ledger(Arc::new(ledger.clone())));
    committed(store, &Draft::new(store).await.writing(write)).await;

    let mut paged: Vec<SessionId> = Vec::new();
    loop {
        let Some(Record::Ledger(ledger)) = read_one(store, &key).await.map(|value| value.record) else {
            panic!("the ledger is not there")
        };
        let after = ledger.sessions.iter().map(|entry| entry.sid);
        let page: Vec<_> = after
            .filter(|sid| paged.last().is_none_or(|last| sid > last))
            .take(64)
            .collect();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    let all: Vec<_> = (0..1_000).map(session_id).collect();
    assert_eq!(paged, all);
    Ok(())
}

/// The result of an operation is written with its effect, or neither is; one tenant's operations
/// never meet another's of the same id.
pub async fn an_operation_is_written_with_its_effect(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let id = OperationId::from_random([1; 16]);
    let (ours, theirs) = (Key::Operation(tenant_id(1), id), Key::Operation(tenant_id(2), id));
    let operation = |hash| {
        let result = [hash].as_slice().into();
        let request_hash = [hash; 32];
        Record::Operation(Operation {
            id,
            request_hash,
            result,
            records: Vec::new(),
            at: instant(0),
        })
    };
    let effect = tombstone(1, 1);
    let draft = Draft::new(store)
        .await
        .expecting(&ours, None)
        .writing((ours.clone(), operation(1)));
    let version = committed(store, &draft.writing(effect.clone())).await.version;
    for key in [&ours, &effect.0] {
        assert_eq!(
            read_one(store, key).await.map(|value| value.version),
            Some(version)
        );
    }
    assert!(
        read_one(store, &theirs).await.is_none(),
        "another tenant's is another"
    );

    // A second try knows that the first one took effect, and its own effect does not happen.
    let other = tombstone(2, 1);
    let retry = Draft::new(store)
        .await
        .expecting(&ours, None)
        .writing((ours.clone(), operation(2)));
    assert_eq!(
        commit(store, &retry.writing(other.clone())).await,
        CommitOutcome::Conflict
    );
    assert!(read_one(store, &other.0).await.is_none());

    let draft = Draft::new(store)
        .await
        .expecting(&theirs, None)
        .writing((theirs.clone(), operation(3)));
    committed(store, &draft).await;
    let records = [read_one(store, &ours).await, read_one(store, &theirs).await];
    assert_eq!(
        records.map(|value| value.map(|value| value.record)),
        [Some(operation(1)), Some(operation(3))]
    );
    Ok(())
}

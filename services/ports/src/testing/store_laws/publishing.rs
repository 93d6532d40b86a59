//! What a commit publishes lies on the log in the same step, or in the outbox: exactly that, and
//! nothing where the commit was refused.

use curfew_core::ids::RecordId;
use curfew_core::place::{Incarnation, LogIdentity, Partition, Position};
use curfew_core::record::{LogRecord, Outgoing};
use curfew_core::stored::{Key, Listed, OutboxEntry, Record};
use tokio::task::JoinSet;

use super::draft::{Draft, HERE, commit, committed, nonce, read_one, tombstone};
use crate::log::{LogEntry, TailFrom};
use crate::store::{CommitOutcome, PAGE_MAX, Store};
use crate::testing::log_laws::read_entries;
use crate::testing::samples::{sample_log_records, sample_revocation};
use crate::testing::{Lacks, Law, StoreUnderTest};

/// Every sample that can be published, wide and narrow in turns.
fn publishable() -> Vec<Outgoing> {
    let events = sample_log_records()
        .into_iter()
        .filter(|record| record.event_id().is_some());
    let outgoing = |(n, record)| Outgoing {
        home: HERE,
        wide: n % 2 == 1,
        record,
    };
    events.enumerate().map(outgoing).collect()
}

fn revocation(home: Partition, id: u64, sequence: u64) -> Outgoing {
    // The first sample is narrow.
    let sample = sample_revocation(0);
    let id = crate::testing::samples::record_id(id);
    Outgoing::revocation(curfew_core::record::Revocation {
        id,
        home,
        sequence,
        ..sample
    })
}

fn sequence_of(record: &LogRecord) -> u64 {
    match record {
        LogRecord::Revocation(revocation) => revocation.sequence,
        LogRecord::SubjectState(state) => state.sequence,
        LogRecord::Directory(change) => change.sequence,
        other @ (LogRecord::Heartbeat(_)
        | LogRecord::Skip(_)
        | LogRecord::Unknown(_)
        | LogRecord::Withheld) => {
            panic!("not published by a commit: {other:?}")
        }
    }
}

async fn outbox(store: &dyn Store, partition: Partition) -> Vec<(RecordId, OutboxEntry)> {
    let page = store
        .list(partition, Listed::Outbox, None, PAGE_MAX)
        .await
        .unwrap();
    let entries = page
        .records
        .into_iter()
        .map(|(key, value)| match (key, value.record) {
            (Key::Outbox(id), Record::Outbox(entry)) => (id, entry),
            other => panic!("not of the outbox: {other:?}"),
        });
    entries.collect()
}

/// All that lies on the log of the engine, or `None` where there is no such log.
async fn on_log(subject: &dyn StoreUnderTest) -> Option<(LogIdentity, Vec<LogEntry>)> {
    let log = subject.log()?;
    let identity = log.identity().await.unwrap();
    let bounds = log.bounds().await.unwrap();
    let count = bounds.iter().map(|bounds| bounds.end - bounds.start).sum();
    let mut tail = log.tail(TailFrom::Oldest).await.unwrap();
    Some((identity, read_entries(&mut *tail, count).await))
}

/// What is published is on the log at the positions told, a wide record in all M partitions; or no
/// positions are told and the outbox holds exactly the records, each under its id, with nothing told
/// as lacking yet.
pub async fn what_is_published_is_on_the_log_or_in_the_outbox(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let published = publishable();
    let draft = Draft::new(store).await.writing(tombstone(1, 1));
    let draft = published.iter().cloned().fold(draft, Draft::publishing);
    let told = committed(store, &draft).await;

    let Some((identity, entries)) = on_log(subject).await else {
        assert_eq!(told.positions, None, "a store without a log tells no positions");
        let mut expected: Vec<_> = published
            .into_iter()
            .map(|outgoing| {
                let id = outgoing.record.event_id().expect("an event");
                (
                    id,
                    OutboxEntry {
                        outgoing,
                        at: draft.0.now,
                        lacking: Vec::new(),
                    },
                )
            })
            .collect();
        expected.sort_by_key(|(id, _)| *id);
        assert_eq!(outbox(store, HERE).await, expected);
        let (id, _) = expected[0];
        let value = read_one(store, &Key::Outbox(id))
            .await
            .expect("readable by its key");
        assert_eq!(value.version, told.version);
        return Ok(());
    };
    let positions = told
        .positions
        .expect("the engine is also the log: positions are told");
    assert_eq!(positions.len(), published.len(), "one list for each record");
    let lies = |position: &Position| {
        let entry = entries.iter().find(|entry| entry.position == *position);
        entry
            .map(|entry| entry.record.clone())
            .expect("what is told lies there")
    };
    for (outgoing, positions) in published.iter().zip(&positions) {
        let partitions: Vec<_> = positions.iter().map(|position| position.partition).collect();
        let expected = if outgoing.wide {
            identity.all().collect()
        } else {
            vec![identity.home_of(HERE)]
        };
        assert_eq!(partitions, expected);
        assert!(positions.iter().all(|position| lies(position) == outgoing.record));
    }
    assert_eq!(
        entries.len(),
        positions.iter().flatten().count(),
        "and nothing else"
    );
    assert_eq!(outbox(store, HERE).await, [], "and no outbox");
    Ok(())
}

/// A commit that publishes and writes nothing else is published all the same.
pub async fn a_commit_may_publish_without_writing(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let draft = Draft::new(store).await.publishing(revocation(HERE, 1, 1));
    committed(store, &draft).await;
    match on_log(subject).await {
        Some((_, entries)) => assert_eq!(entries.len(), 1),
        None => assert_eq!(outbox(store, HERE).await.len(), 1),
    }
    Ok(())
}

/// A refused commit publishes nothing.
pub async fn a_refused_commit_publishes_nothing(subject: &mut dyn StoreUnderTest) -> Law {
    let store = &*subject.store();
    let (key, record) = tombstone(1, 1);
    committed(store, &Draft::new(store).await.writing((key.clone(), record))).await;
    let draft = Draft::new(store).await.publishing(revocation(HERE, 1, 1));

    assert_eq!(
        commit(store, &draft.again().expecting(&key, None)).await,
        CommitOutcome::Conflict
    );
    let mut fenced = draft.again();
    fenced.0.incarnation = Incarnation(nonce());
    assert_eq!(commit(store, &fenced).await, CommitOutcome::Fenced);
    let behind = draft.again().at(draft.0.now.plus_ms(-60_000));
    assert!(matches!(
        commit(store, &behind).await,
        CommitOutcome::ClockSuspect { .. }
    ));

    assert_eq!(outbox(store, HERE).await, []);
    if let Some((_, entries)) = on_log(subject).await {
        assert_eq!(entries, []);
    }
    Ok(())
}

/// Commits that race publish in the order in which they took effect: on the log of the engine, each
/// partition's sequence runs without a gap; in an outbox, every number is there once.
pub async fn records_are_published_in_the_order_of_their_commits(subject: &mut dyn StoreUnderTest) -> Law {
    const TASKS: u64 = 6;
    const TIMES: u64 = 5;
    let store = subject.store();
    let homes = [HERE, Partition::new(1).unwrap()];
    let mut tasks = JoinSet::new();
    for home in homes {
        for _ in 0..TASKS {
            let store = store.clone();
            tasks.spawn(async move {
                for _ in 0..TIMES {
                    while !publish_next(&*store, home).await {}
                }
            });
        }
    }
    tasks.join_all().await;
    let logged = on_log(subject).await;
    for home in homes {
        let sequences: Vec<_> = match &logged {
            Some((identity, entries)) => {
                let mut of_home: Vec<_> = entries
                    .iter()
                    .filter(|entry| entry.position.partition == identity.home_of(home))
                    .collect();
                of_home.sort_by_key(|entry| entry.position.offset);
                let of_home = of_home.into_iter().map(|entry| &entry.record);
                of_home
                    .filter(|record| is_of(record, home))
                    .map(sequence_of)
                    .collect()
            }
            None => {
                let entries = outbox(&*store, home).await.into_iter();
                let mut all: Vec<_> = entries
                    .map(|(_, entry)| sequence_of(&entry.outgoing.record))
                    .collect();
                all.sort_unstable();
                all
            }
        };
        assert_eq!(sequences, (1..=TASKS * TIMES).collect::<Vec<_>>(), "{home:?}");
    }
    Ok(())
}

fn is_of(record: &LogRecord, home: Partition) -> bool {
    matches!(record, LogRecord::Revocation(revocation) if revocation.home == home)
}

async fn publish_next(store: &dyn Store, home: Partition) -> bool {
    let draft = Draft::in_partition(store, home).await;
    let value = store.read(home, &[Key::Sequence]).await.unwrap().values.remove(0);
    let (version, sequence) = match value.map(|value| (value.version, value.record)) {
        Some((version, Record::Sequence(sequence))) => (Some(version), sequence + 1),
        Some((_, other)) => panic!("not a sequence: {other:?}"),
        None => (None, 1),
    };
    let id = u64::from(home.number()) * 1_000 + sequence;
    let draft = draft
        .expecting(&Key::Sequence, version)
        .writing((Key::Sequence, Record::Sequence(sequence)))
        .publishing(revocation(home, id, sequence));
    matches!(commit(store, &draft).await, CommitOutcome::Committed(_))
}

/// An outbox entry is deleted like any record, under the fence, and the others stay.
pub async fn an_outbox_entry_is_deleted_like_any_record(subject: &mut dyn StoreUnderTest) -> Law {
    if subject.log().is_some() {
        return Err(Lacks::Outbox);
    }
    let store = &*subject.store();
    let draft = (1..=3)
        .map(|n| revocation(HERE, n, n))
        .fold(Draft::new(store).await, Draft::publishing);
    let version = committed(store, &draft).await.version;
    let entries = outbox(store, HERE).await;
    let key = Key::Outbox(entries[1].0);

    let mut zombie = Draft::new(store).await.deleting(&key);
    zombie.0.incarnation = Incarnation(nonce());
    assert_eq!(commit(store, &zombie).await, CommitOutcome::Fenced);
    assert_eq!(outbox(store, HERE).await, entries);

    committed(
        store,
        &Draft::new(store).await.expecting(&key, version).deleting(&key),
    )
    .await;
    assert_eq!(
        outbox(store, HERE).await,
        [entries[0].clone(), entries[2].clone()]
    );
    Ok(())
}

/// What was published survives a restart with what was written.
pub async fn what_was_published_survives_a_restart(subject: &mut dyn StoreUnderTest) -> Law {
    let store = subject.store();
    let draft = Draft::new(&*store)
        .await
        .writing(tombstone(1, 1))
        .publishing(revocation(HERE, 1, 1));
    committed(&*store, &draft).await;
    let before = (on_log(subject).await, outbox(&*store, HERE).await);
    drop(store);
    subject.restart().await?;
    let after = (on_log(subject).await, outbox(&*subject.store(), HERE).await);
    assert_eq!(after, before);
    Ok(())
}

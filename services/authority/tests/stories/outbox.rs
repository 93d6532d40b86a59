//! The store that keeps an outbox: what is told while the log is away, and what the relay does later.

use std::time::Duration;

use curfew_authority::{Level, Target, answering_within};
use curfew_core::ids::{ClientId, RecordId};
use curfew_core::place::{Incarnation, LogPartition, Partition};
use curfew_core::refusal::{Class, Reason};
use curfew_core::stored::{Key, PartitionRecord, Record, Write};

use crate::world::World;

/// Copies of a record, by log partition.
fn copies(world: &World, id: RecordId) -> Vec<usize> {
    let of = |partition| {
        let records = world.log.records(partition).into_iter();
        records.filter(|record| record.event_id() == Some(id)).count()
    };
    world.identity.all().map(of).collect()
}

async fn entry(world: &World, partition: Partition, id: RecordId) -> Option<Vec<u16>> {
    match world.stored(partition, Key::Outbox(id)).await {
        Some(Record::Outbox(entry)) => Some(entry.lacking),
        _ => None,
    }
}

#[tokio::test]
async fn invariant_9_what_the_log_did_not_take_is_told_as_stored_and_relayed_once_it_does() {
    let world = World::with_outbox().await;
    let tokens = world.sign_in("alice", "web").await;
    let partition = world.key_of(&tokens).partition();
    world.log.go_down();
    let ended = world
        .revoke(Target::Session(tokens.issued.refresh.sid))
        .await
        .unwrap();
    let [published] = &ended.published[..] else {
        panic!("{ended:?}")
    };
    assert_eq!((published.level, published.positions.len()), (Level::Stored, 0));
    // Enforced at refresh already.
    assert_eq!(
        world
            .refresh("web", &tokens.refresh_token)
            .await
            .unwrap_err()
            .reason,
        Reason::SessionEnded
    );
    // Young entries are their handler's; and while the log is away nothing is deleted.
    for _ in 0..3 {
        assert_eq!(world.authority.relay(partition).await.unwrap(), 0);
        world.clock.advance(5_000);
    }
    assert_eq!(entry(&world, partition, published.id).await, Some(Vec::new()));
    world.log.come_up();
    assert_eq!(world.authority.relay(partition).await.unwrap(), 1);
    assert_eq!(entry(&world, partition, published.id).await, None);
    assert_eq!(copies(&world, published.id).iter().sum::<usize>(), 1);
    assert_eq!(world.authority.relay(partition).await.unwrap(), 0);
    assert_eq!(world.revocations().len(), 1);
}

#[tokio::test]
async fn an_entry_that_the_log_is_known_to_have_is_not_appended_again() {
    let world = World::with_outbox().await;
    let tokens = world.sign_in("alice", "web").await;
    let partition = world.key_of(&tokens).partition();
    let ended = world
        .revoke(Target::Session(tokens.issued.refresh.sid))
        .await
        .unwrap();
    assert_eq!(ended.published[0].level, Level::Durable);
    world.clock.advance(6_000);
    world.hear().await;
    assert_eq!(world.authority.relay(partition).await.unwrap(), 1);
    assert_eq!(copies(&world, ended.published[0].id).iter().sum::<usize>(), 1);
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_repeated_and_its_copy_counts_once() {
    let world = World::with_outbox().await;
    let tokens = world.sign_in("alice", "web").await;
    let partition = world.key_of(&tokens).partition();
    world.log.lose_answers(1);
    let ended = world
        .revoke(Target::Session(tokens.issued.refresh.sid))
        .await
        .unwrap();
    assert_eq!(
        ended.published[0].level,
        Level::Stored,
        "unknown is never success"
    );
    world.clock.advance(6_000);
    assert_eq!(world.authority.relay(partition).await.unwrap(), 1);
    assert_eq!(copies(&world, ended.published[0].id).iter().sum::<usize>(), 2);
    world.hear().await;
    assert_eq!(world.revocations().len(), 1);
    let entry = world.authority.journal().get(ended.published[0].id).unwrap();
    assert_eq!(entry.positions.len(), 1, "where it lay first");
}

#[tokio::test]
async fn a_log_that_hangs_is_told_as_stored_while_the_caller_still_waits() {
    let world = World::with_outbox().await;
    let tokens = world.sign_in("alice", "web").await;
    let held = world.log.delay_next();
    let revoking = world.revoke(Target::Session(tokens.issued.refresh.sid));
    let ended = answering_within(Duration::from_millis(200), revoking)
        .await
        .unwrap();
    let [published] = &ended.published[..] else {
        panic!("{ended:?}")
    };
    assert_eq!((published.level, published.positions.len()), (Level::Stored, 0));
    // Nobody waits for it any more, and it goes on.
    held.arrived().await;
    held.release();
    while copies(&world, published.id).iter().sum::<usize>() == 0 {
        tokio::task::yield_now().await;
    }
    world.clock.advance(6_000);
    world.hear().await;
    let partition = world.key_of(&tokens).partition();
    assert_eq!(world.authority.relay(partition).await.unwrap(), 1);
    assert_eq!(copies(&world, published.id).iter().sum::<usize>(), 1);
}

#[tokio::test]
async fn p10_a_wide_record_reaches_every_partition_that_takes_it_and_the_rest_later_and_alone() {
    let world = World::with_outbox().await;
    // One of four appends is refused: which one, nobody chooses.
    world.log.lose_answers(1);
    let answer = world
        .revoke(Target::Client(ClientId::new("web").unwrap()))
        .await
        .unwrap();
    let [published] = &answer.published[..] else {
        panic!("{answer:?}")
    };
    assert_eq!((published.level, published.positions.len()), (Level::Stored, 3));
    assert_eq!(copies(&world, published.id), [1; 4]);
    world.clock.advance(6_000);
    world
        .authority
        .relay(Partition::DIRECTORY)
        .await
        .unwrap_or_default();
    assert_eq!(entry(&world, Partition::DIRECTORY, published.id).await, None);
    // Nobody has looked yet which partitions have the next one, so all are tried, and the rest is noted.
    world.log.go_down();
    let answer = world.revoke(Target::Tenant).await.unwrap();
    let [published] = &answer.published[..] else {
        panic!("{answer:?}")
    };
    world.clock.advance(6_000);
    assert_eq!(world.authority.relay(Partition::DIRECTORY).await.unwrap(), 0);
    assert_eq!(
        entry(&world, Partition::DIRECTORY, published.id).await,
        Some(Vec::new())
    );
    world.log.come_up();
    world.log.lose_answers(1);
    assert_eq!(world.authority.relay(Partition::DIRECTORY).await.unwrap(), 0);
    let lacking = entry(&world, Partition::DIRECTORY, published.id).await.unwrap();
    assert_eq!(lacking.len(), 1, "deleted only when all have it");
    let before = copies(&world, published.id);
    assert_eq!(world.authority.relay(Partition::DIRECTORY).await.unwrap(), 1);
    for (partition, (before, after)) in world
        .identity
        .all()
        .zip(before.into_iter().zip(copies(&world, published.id)))
    {
        assert_eq!(
            after - before,
            usize::from(partition == LogPartition(lacking[0])),
            "{partition:?}"
        );
    }
    assert_eq!(world.revocations().len(), 2);
}

#[tokio::test]
async fn p22_what_a_failover_put_in_an_entrys_place_is_never_deleted_for_it() {
    let world = World::with_outbox().await;
    let tokens = world.sign_in("alice", "web").await;
    let partition = world.key_of(&tokens).partition();
    world.log.go_down();
    let ended = world
        .revoke(Target::Session(tokens.issued.refresh.sid))
        .await
        .unwrap();
    world.log.come_up();
    world.clock.advance(6_000);
    // The relay has appended, and stands before its deletion; the store fails over.
    let held = world.store.delay_next();
    let authority = world.authority.clone();
    let relaying = tokio::spawn(async move { authority.relay(partition).await });
    held.arrived().await;
    world.store.fail_over(0);
    held.release();
    assert_eq!(relaying.await.unwrap().unwrap(), 0);
    assert!(entry(&world, partition, ended.published[0].id).await.is_some());
    // A fenced partition is left alone until it is recovered.
    let refused = world.authority.relay(partition).await.unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::Fenced, Class::Retry)
    );
    world.open_partitions().await;
    assert_eq!(world.authority.relay(partition).await.unwrap(), 1);
    assert_eq!(world.revocations().len(), 1);
}

#[tokio::test]
async fn many_entries_are_relayed_in_one_round_and_a_log_that_is_away_is_not_asked_for_each() {
    let world = World::with_outbox().await;
    world.clock.advance(6_000);
    world.authority.relay(Partition::DIRECTORY).await.unwrap();
    world.log.go_down();
    let mut ids = Vec::new();
    for n in 0..120_u8 {
        let target = Target::Criteria(
            vec![curfew_core::record::Criterion::new("acr", format!("level-{n}"))],
            None,
        );
        ids.push(world.revoke(target).await.unwrap().record.unwrap());
    }
    world.clock.advance(6_000);
    let before = world.log.counts().appends;
    assert_eq!(world.authority.relay(Partition::DIRECTORY).await.unwrap(), 0);
    let tried = world.log.counts().appends - before;
    assert!(
        tried < 120,
        "a log that is away is not asked for each entry: {tried}"
    );
    world.log.come_up();
    world.clock.advance(6_000);
    assert!(world.authority.relay(Partition::DIRECTORY).await.unwrap() >= 120);
    assert_eq!(world.revocations().len(), 120);
    assert!(
        ids.iter()
            .all(|id| copies(&world, *id).iter().all(|copies| *copies >= 1))
    );
}

#[tokio::test]
async fn a_partition_that_is_not_recovered_keeps_no_other_outbox_from_the_log() {
    let world = World::with_outbox().await;
    world.clock.advance(6_000);
    world.authority.relay_all().await.unwrap();
    world.hear().await;
    world.log.go_down();
    let mut partitions = Vec::new();
    for n in 0..6 {
        let tokens = world.sign_in(&format!("subject-{n}"), "web").await;
        partitions.push(world.key_of(&tokens).partition());
        let session = Target::Session(tokens.issued.refresh.sid);
        world.revoke(session).await.unwrap();
    }
    let Some(Record::Partition(record)) = world.stored(partitions[0], Key::Partition).await else {
        panic!("a partition record")
    };
    let lost = Record::Partition(PartitionRecord {
        incarnation: Incarnation([9; 8]),
        ..record
    });
    world
        .write(partitions[0], vec![(Key::Partition, Write::put(lost))])
        .await;
    world.clock.advance(6_000);
    world.log.come_up();
    let away = partitions.iter().filter(|partition| **partition == partitions[0]);
    let away = away.count();
    assert_eq!(world.authority.relay_all().await.unwrap(), 6 - away);
    let found = Record::Partition(record);
    world
        .write(partitions[0], vec![(Key::Partition, Write::put(found))])
        .await;
    assert_eq!(world.authority.relay_all().await.unwrap(), away);
    assert_eq!(world.revocations().len(), 6);
}

#[tokio::test]
async fn one_round_brings_what_lies_in_every_outbox_and_the_next_one_finds_nothing() {
    let world = World::with_outbox().await;
    // What making the world left there.
    world.clock.advance(6_000);
    world.authority.relay_all().await.unwrap();
    world.hear().await;
    let mut partitions = std::collections::BTreeSet::new();
    world.log.go_down();
    for n in 0..5 {
        let tokens = world.sign_in(&format!("subject-{n}"), "web").await;
        partitions.insert(world.key_of(&tokens).partition());
        world
            .revoke(Target::Session(tokens.issued.refresh.sid))
            .await
            .unwrap();
    }
    assert!(partitions.len() > 1, "{partitions:?}");
    world.clock.advance(6_000);
    world.log.come_up();
    assert_eq!(world.authority.relay_all().await.unwrap(), 5);
    assert_eq!(world.revocations().len(), 5);
    assert_eq!(world.authority.relay_all().await.unwrap(), 0);
}

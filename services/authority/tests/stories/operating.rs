//! What an operator decides after a loss: a floor, another log, a record that is stepped over.

use curfew_authority::{AdoptRequest, IssuedTokens, OpenRequest, Target};
use curfew_core::decide::floor::Standing;
use curfew_core::ids::OperationId;
use curfew_core::place::Partition;
use curfew_core::record::{LogRecord, UnknownRecord};
use curfew_core::refusal::Reason;
use curfew_core::stored::{Key, Record, Write};
use curfew_core::time::{Clock as _, Millis};
use curfew_ports::log::Log as _;

use crate::world::World;

fn opening(partitions: Option<Vec<Partition>>, floor: Option<Millis>) -> OpenRequest {
    OpenRequest {
        partitions,
        floor,
        validate_only: false,
        operation: OperationId::from_bytes([7; 16]),
        by: "test".into(),
    }
}

fn adopting() -> AdoptRequest {
    AdoptRequest {
        force: false,
        validate_only: false,
        nobody_knows: false,
        by: "test".into(),
    }
}

fn home(tokens: &IssuedTokens) -> Partition {
    tokens.issued.refresh.sid.partition()
}

async fn refused(world: &World, tokens: &IssuedTokens) -> Option<Reason> {
    let refreshed = world.refresh("web", &tokens.refresh_token).await;
    refreshed.err().map(|refusal| refusal.reason)
}

#[tokio::test]
async fn p8_q29_a_lost_partition_opens_by_a_floor_alone_and_nothing_from_before_is_renewed() {
    let world = World::new().await;
    let (lost, other) = (
        world.sign_in("alice", "web").await,
        world.sign_in("bob", "web").await,
    );
    assert_ne!(home(&lost), home(&other));
    world.hear().await;
    world.clock.advance(1_000);
    world
        .write(home(&lost), vec![(Key::Partition, Write::Delete)])
        .await;
    assert_eq!(refused(&world, &lost).await, Some(Reason::Fenced));
    world.authority.round(false).await.unwrap();
    assert_eq!(
        refused(&world, &lost).await,
        Some(Reason::Fenced),
        "nobody else opens it"
    );

    let examined = world.authority.examine().await.unwrap();
    let [trouble] = examined.troubles.as_slice() else {
        panic!("{examined:?}")
    };
    assert_eq!(
        (trouble.found.partition, trouble.standing),
        (home(&lost), Standing::Lost)
    );
    assert_eq!((examined.open, examined.log_is_lost), (1_023, false));

    let dry = OpenRequest {
        validate_only: true,
        ..opening(None, None)
    };
    assert_eq!(
        world
            .authority
            .open_partitions(dry)
            .await
            .unwrap()
            .partitions
            .len(),
        1
    );
    assert_eq!(
        refused(&world, &lost).await,
        Some(Reason::Fenced),
        "it was only asked"
    );
    for (floor, why) in [
        (Millis::ZERO, "come back"),
        (world.clock.now().wall.plus_ms(60_000), "ahead"),
    ] {
        let wrong = world
            .authority
            .open_partitions(opening(None, Some(floor)))
            .await
            .unwrap_err();
        assert_eq!(wrong.reason, Reason::FieldInvalid);
        assert!(wrong.to_string().contains(why), "{wrong}");
    }
    let opened = world
        .authority
        .open_partitions(opening(None, None))
        .await
        .unwrap();
    assert_eq!(
        (opened.partitions.len(), opened.revocations),
        (1, 3),
        "one record a tenant"
    );
    world.hear().await;

    assert_eq!(refused(&world, &lost).await, Some(Reason::FloorPassed));
    let why = world.why_inactive(&lost.access_token).await.unwrap();
    assert_eq!(why.reason, Reason::TokenRevoked);
    assert_eq!(why.by.unwrap().cause.as_str(), "partition_lost");
    assert_eq!(
        refused(&world, &other).await,
        None,
        "another partition's is not concerned"
    );
    let again = world.sign_in("alice", "web").await;
    assert_eq!(home(&again), home(&lost));
    world.hear().await;
    assert_eq!(refused(&world, &again).await, None);

    // Open and well: named, it is refused; asked for all, there is none.
    let refusal = world
        .authority
        .open_partitions(opening(Some(vec![home(&lost)]), None))
        .await;
    assert_eq!(refusal.unwrap_err().reason, Reason::AlreadyExists);
    assert!(
        world
            .authority
            .open_partitions(opening(None, None))
            .await
            .unwrap()
            .partitions
            .is_empty()
    );
}

#[tokio::test]
async fn a_node_that_has_not_heard_of_a_floor_judges_rows_by_it_alone() {
    let world = World::new().await;
    let lost = world.sign_in("alice", "web").await;
    world.hear().await;
    world.clock.advance(1_000);
    world
        .write(home(&lost), vec![(Key::Partition, Write::Delete)])
        .await;
    let deaf = world.another_node("deaf", 9);
    deaf.catch_up().await.unwrap();
    world
        .authority
        .open_partitions(opening(None, None))
        .await
        .unwrap();
    let refusal = deaf
        .refresh_tokens(world.refreshing("web", &lost.refresh_token))
        .await
        .unwrap_err();
    assert_eq!(refusal.reason, Reason::FloorPassed);
}

#[tokio::test]
async fn a_floor_that_a_failover_lost_holds_again_once_the_log_was_merged() {
    let world = World::with_outbox().await;
    let lost = world.sign_in("alice", "web").await;
    world.hear().await;
    world.clock.advance(1_000);
    world
        .write(home(&lost), vec![(Key::Checkpoint, Write::Delete)])
        .await;
    world.store.fail_over(0);
    world.authority.round(false).await.unwrap();
    let examined = world.authority.examine().await.unwrap();
    let stands: Vec<_> = examined.troubles.iter().map(|trouble| trouble.standing).collect();
    assert_eq!(stands, [Standing::Behind], "nobody knows what it has merged");
    let before = world.stored(home(&lost), Key::Partition).await.unwrap();
    world
        .authority
        .open_partitions(opening(None, None))
        .await
        .unwrap();
    world.authority.poll_directory().await.unwrap();
    world.hear().await;
    // The history that had the floor goes, and what it was before comes back.
    let Some(Record::Checkpoint(mut checkpoint)) = world.stored(home(&lost), Key::Checkpoint).await else {
        panic!("no checkpoint")
    };
    // Which had merged nothing of what came then.
    checkpoint.offset = 0;
    let checkpoint = Record::Checkpoint(checkpoint);
    world
        .write(
            home(&lost),
            vec![
                (Key::Partition, Write::put(before)),
                (Key::Checkpoint, Write::put(checkpoint)),
            ],
        )
        .await;
    world.store.fail_over(0);
    world.authority.round(false).await.unwrap();
    let Some(Record::Partition(record)) = world.stored(home(&lost), Key::Partition).await else {
        panic!("no record")
    };
    assert_eq!(record.incarnation, world.store.incarnation(), "recovered");
    assert_eq!(record.floor, world.clock.now().wall, "with its floor");
}

#[tokio::test(start_paused = true)]
async fn q33_an_adopted_log_is_told_all_that_is_known_before_its_first_heartbeat() {
    let world = World::with_outbox().await;
    let (ended, alive) = (
        world.sign_in("alice", "web").await,
        world.sign_in("bob", "web").await,
    );
    world
        .revoke(Target::Session(ended.issued.refresh.sid))
        .await
        .unwrap();
    world.hear().await;
    assert_eq!(
        world.authority.adopt_log(&adopting()).await.unwrap_err().reason,
        Reason::AlreadyExists
    );
    let another = world.another_node("another", 5);
    another.catch_up().await.unwrap();
    another.poll_directory().await.unwrap();

    // Deleted and made again: most of what was read is not there.
    world.log.replace(world.identity);
    assert_eq!(
        world.authority.catch_up().await.unwrap_err().reason,
        Reason::LogUnavailable
    );
    assert_eq!(
        another.catch_up().await.unwrap_err().reason,
        Reason::LogUnavailable
    );
    world.authority.beat_once().await;
    let records = |world: &World| {
        let all = world
            .identity
            .all()
            .flat_map(|partition| world.log.records(partition));
        all.collect::<Vec<_>>()
    };
    assert!(records(&world).is_empty(), "no heartbeat of a log that was lost");
    assert!(world.authority.examine().await.unwrap().log_is_lost);

    let adopted = world.authority.adopt_log(&adopting()).await.unwrap();
    let log = adopted.log.unwrap();
    assert_eq!((adopted.former, adopted.partitions), (world.identity, 1_024));
    assert_ne!(log, world.identity);
    for partition in world.identity.all() {
        let kinds = world.log.records(partition);
        let first_beat = kinds
            .iter()
            .position(|record| matches!(record, LogRecord::Heartbeat(_)));
        let last_record = kinds
            .iter()
            .rposition(|record| matches!(record, LogRecord::Revocation(_)));
        assert!(first_beat > last_record, "{partition:?}: {kinds:?}");
    }
    world.authority.catch_up().await.unwrap();
    assert!(world.authority.is_fresh());
    assert!(refused(&world, &ended).await.is_some());
    assert_eq!(refused(&world, &alive).await, None, "nobody is signed out");

    // The other node follows by itself, and one that starts now hears it from the log alone.
    another.poll_directory().await.unwrap();
    let following = {
        let another = another.clone();
        tokio::spawn(async move { another.follow_adoptions().await })
    };
    while another.follower().log() != log {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    following.abort();
    let stranger = crate::world::node(&world.parts, "stranger", log);
    stranger.catch_up().await.unwrap();
    stranger.bootstrap().await.unwrap();
    assert!(stranger.is_fresh());
    for node in [&another, &stranger] {
        let known = node.follower().of(home(&ended)).unwrap().index.len();
        assert_eq!(known, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_knows_what_the_log_said_access_tokens_end_and_refresh_tokens_do_not() {
    let world = World::with_outbox().await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    world.log.replace(world.identity);
    let stranger = world.another_node("stranger", 6);
    stranger.poll_directory().await.unwrap();
    let request = AdoptRequest {
        nobody_knows: true,
        ..adopting()
    };
    let adopted = stranger.adopt_log(&request).await.unwrap();
    assert_eq!(adopted.records, 3, "one for each tenant");
    world.clock.advance(1_000);
    stranger.catch_up().await.unwrap();
    stranger.beat_once().await;
    stranger.catch_up().await.unwrap();
    let seen = stranger
        .introspect(world.tenant, &tokens.access_token)
        .await
        .unwrap();
    let why = seen.why.unwrap();
    assert_eq!(
        (why.reason, why.by.unwrap().cause.as_str().to_owned()),
        (Reason::TokenRevoked, "log_lost".to_owned())
    );
    let request = world.refreshing("web", &tokens.refresh_token);
    let renewed = stranger.refresh_tokens(request).await.unwrap();
    let seen = stranger
        .introspect(world.tenant, &renewed.access_token)
        .await
        .unwrap();
    assert!(seen.active.is_some(), "{:?}", seen.why);
}

#[tokio::test]
async fn p23_only_what_freezes_a_partition_is_skipped_and_then_it_thaws() {
    let world = World::new().await;
    let unknown = LogRecord::Unknown(UnknownRecord {
        raw: [9, 9, 9].as_slice().into(),
        why: "min_reader 2".into(),
    });
    let partition = world.identity.home_of(Partition::DIRECTORY);
    world.log.append(partition, &unknown).await.unwrap();
    world.hear().await;
    let frozen = world.authority.frozen();
    let [(there, frozen)] = frozen.as_slice() else {
        panic!("{frozen:?}")
    };
    assert_eq!(*there, partition);
    let skip = |offset, hash| {
        world
            .authority
            .skip_record(partition, offset, hash, "test", "a test wrote it".into())
    };
    for (offset, hash) in [(frozen.offset + 1, frozen.record_hash), (frozen.offset, [0; 32])] {
        assert_eq!(skip(offset, hash).await.unwrap_err().reason, Reason::NotFound);
    }
    skip(frozen.offset, frozen.record_hash).await.unwrap();
    world.hear().await;
    world.hear().await;
    assert!(world.authority.frozen().is_empty());
    assert!(world.authority.is_fresh());
}

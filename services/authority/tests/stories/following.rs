//! The authority as a follower: copies, order, gaps, another log, unreadable records, heartbeats, two nodes.

use std::time::Duration;

use curfew_authority::{Authority, Target};
use curfew_core::directory::{KeyState, KeyUse};
use curfew_core::place::{LogIdentity, Partition};
use curfew_core::record::{LogRecord, UnknownRecord};
use curfew_core::refusal::{Class, Reason};
use curfew_ports::log::Log as _;

use crate::world::{World, node};

/// Whether the node refuses what was revoked, as far as its index goes.
fn knows(authority: &Authority, partition: Partition) -> usize {
    authority.follower().of(partition).unwrap().index.len()
}

#[tokio::test]
async fn p22_p44_copies_redelivery_and_any_order_of_partitions_give_the_same_index() {
    let world = World::new().await;
    let mut partitions = Vec::new();
    for n in 0..8 {
        let tokens = world.sign_in(&format!("user-{n}"), "web").await;
        if n % 2 == 0 {
            world.log.duplicate(1);
        }
        world
            .revoke(Target::Session(tokens.issued.refresh.sid))
            .await
            .unwrap();
        partitions.push(tokens.issued.refresh.sid.partition());
        world.authority.beat_once().await;
    }
    let plain = world.another_node("plain", 20);
    plain.catch_up().await.unwrap();
    for seed in 1..5 {
        world.log.reorder(seed);
        world.log.redeliver(100);
        let other = world.another_node("other", 20 + seed);
        other.catch_up().await.unwrap();
        other.catch_up().await.unwrap();
        for partition in &partitions {
            assert_eq!(knows(&other, *partition), knows(&plain, *partition));
        }
        assert_eq!(other.follower().len(), 8);
        assert!(other.is_fresh());
    }
}

#[tokio::test]
async fn out_of_range_reloads_keeps_what_was_known_and_is_not_fresh_meanwhile() {
    let world = World::new().await;
    let (first, second) = (
        world.sign_in("alice", "web").await,
        world.sign_in("bob", "web").await,
    );
    world
        .revoke(Target::Session(first.issued.refresh.sid))
        .await
        .unwrap();
    world.hear().await;
    assert!(world.authority.is_fresh());
    // Retention passes this node by: what it would read next is gone.
    world
        .revoke(Target::Session(second.issued.refresh.sid))
        .await
        .unwrap();
    let other = world.another_node("other", 30);
    for _ in 0..3 {
        world.clock.advance(1_000);
        other.beat_once().await;
        other.catch_up().await.unwrap();
    }
    for partition in world.identity.all() {
        let end = world.log.bounds().await.unwrap()[partition.index()].end;
        world.log.trim(partition, end - 1);
    }
    world.authority.catch_up().await.unwrap();
    let alice = first.issued.refresh.sid.partition();
    assert!(knows(&world.authority, alice) >= 1, "the marks stay");
    assert!(
        world.authority.is_fresh(),
        "and it heard a heartbeat from behind the gap"
    );
    let why = world.why_inactive(&first.access_token).await.unwrap();
    assert_eq!(why.reason, Reason::TokenRevoked);
}

#[tokio::test]
async fn p9_a_log_of_another_identity_makes_nobody_fresh_and_is_refused_at_the_start() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    let another = LogIdentity::new([8; 16], 4).unwrap();
    world.log.replace(another);
    let stranger = node(&world.parts, "stranger", another);
    stranger.beat_once().await;
    assert_eq!(
        world.authority.catch_up().await.unwrap_err().reason,
        Reason::LogUnavailable
    );
    assert!(!world.authority.is_fresh());
    let refused = world
        .authority
        .introspect(world.tenant, &tokens.access_token)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::FreshnessStale, Class::Retry)
    );
    // A node that is told of the other log neither starts nor decides on this store.
    assert_eq!(
        stranger.bootstrap().await.unwrap_err().reason,
        Reason::LogUnavailable
    );
    let refused = stranger
        .refresh_tokens(world.refreshing("web", &tokens.refresh_token))
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::Fenced);
}

#[tokio::test]
async fn a_history_that_changed_is_read_again_and_fresh_only_by_a_new_heartbeat() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let partition = world.identity.home_of(tokens.issued.refresh.sid.partition());
    let ended = world
        .revoke(Target::Session(tokens.issued.refresh.sid))
        .await
        .unwrap();
    let id = ended.record.unwrap();
    world.hear().await;
    assert!(world.authority.journal().get(id).is_some());
    // A leader that never had the end of it: the positions that this node has read lie ahead of the log.
    let end = world.log.bounds().await.unwrap()[partition.index()].end;
    world.log.truncate(partition, end - 2);
    world.authority.catch_up().await.unwrap();
    assert!(!world.authority.is_fresh());
    assert_eq!(
        knows(&world.authority, tokens.issued.refresh.sid.partition()),
        1,
        "what it heard, it refuses"
    );
    assert!(
        world.authority.journal().get(id).is_none(),
        "and does not say that the log has it"
    );
    world.authority.beat_once().await;
    world.authority.catch_up().await.unwrap();
    assert!(world.authority.is_fresh());
}

#[tokio::test(start_paused = true)]
async fn the_follower_reads_on_after_trouble_and_beside_one_that_catches_up() {
    let world = World::new().await;
    let authority = world.authority.clone();
    let following = tokio::spawn(async move { authority.follow().await });
    let mut ids = Vec::new();
    for n in 0..20 {
        let tokens = world.sign_in(&format!("user-{n}"), "web").await;
        ids.push(
            world
                .revoke(Target::Session(tokens.issued.refresh.sid))
                .await
                .unwrap()
                .record
                .unwrap(),
        );
        match n {
            5 => {
                world.log.go_down();
                tokio::task::yield_now().await;
                world.log.come_up();
            }
            9 => world.log.redeliver(10),
            _ => {}
        }
        world.authority.catch_up().await.unwrap();
        world.authority.beat_once().await;
    }
    for id in ids {
        world.authority.journal().wait_for(id).await;
    }
    assert_eq!(world.authority.follower().len(), 20);
    following.abort();
}

#[tokio::test]
async fn q20_an_unreadable_record_freezes_its_partition_and_later_records_still_apply() {
    let world = World::new().await;
    let (early, late) = (
        world.sign_in("alice", "web").await,
        world.sign_in("alice", "web").await,
    );
    world.hear().await;
    let partition = early.issued.refresh.sid.partition();
    let unknown = LogRecord::Unknown(UnknownRecord {
        raw: [9, 9, 9].as_slice().into(),
        why: "min_reader 2".into(),
    });
    world
        .log
        .append(world.identity.home_of(partition), &unknown)
        .await
        .unwrap();
    world
        .revoke(Target::Session(early.issued.refresh.sid))
        .await
        .unwrap();
    world.hear().await;
    assert_eq!(knows(&world.authority, partition), 1, "later records still apply");
    for tokens in [&early, &late] {
        let refused = world
            .authority
            .introspect(world.tenant, &tokens.access_token)
            .await
            .unwrap_err();
        assert_eq!(
            (refused.reason, refused.reason.class()),
            (Reason::FreshnessFrozen, Class::Retry)
        );
    }
    // The index refuses all the same, and what lives is refreshed.
    assert_eq!(
        world
            .refresh("web", &early.refresh_token)
            .await
            .unwrap_err()
            .reason,
        Reason::SessionEnded
    );
    world.refresh("web", &late.refresh_token).await.unwrap();
    // A frozen partition gets no heartbeat from here, and a snapshot says so with the bytes.
    let home = world.identity.home_of(partition);
    let length = world.log.records(home).len();
    world.clock.advance(3_000);
    world.authority.beat_once().await;
    assert_eq!(world.log.records(home).len(), length);
    let snapshot = world.authority.snapshot().unwrap();
    let frozen: Vec<_> = snapshot.iter().filter(|part| part.frozen.is_some()).collect();
    assert!(frozen.len() == 1 && frozen[0].partition == home && frozen[0].raw.len() == 1);
}

#[tokio::test]
async fn q9_an_authority_answers_an_introspection_only_while_its_own_tail_is_young() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    assert!(world.why_inactive(&tokens.access_token).await.is_none());
    let home = world.identity.home_of(tokens.issued.refresh.sid.partition());
    // One partition is not delivered: tokens of that one are not answered, whatever the others prove.
    world.log.hold_back(home);
    world.clock.advance(5_000);
    world.authority.beat_once().await;
    let refused = world
        .authority
        .introspect(world.tenant, &tokens.access_token)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::FreshnessStale, Class::Retry)
    );
    world.log.let_through(home);
    world.authority.catch_up().await.unwrap();
    assert!(world.why_inactive(&tokens.access_token).await.is_none());
}

#[tokio::test]
async fn nobody_beats_a_partition_in_which_a_heartbeat_was_heard_within_a_fifth_of_x() {
    let world = World::new().await;
    let other = world.another_node("other", 40);
    other.catch_up().await.unwrap();
    let beats = || {
        let all = world
            .identity
            .all()
            .flat_map(|partition| world.log.records(partition));
        all.filter(|record| matches!(record, LogRecord::Heartbeat(_)))
            .count()
    };
    for _ in 0..10 {
        world.clock.advance(1_000);
        let before = beats();
        for node in [&world.authority, &other, &world.authority, &other] {
            node.beat_once().await;
            for node in [&world.authority, &other] {
                node.catch_up().await.unwrap();
            }
        }
        assert_eq!(
            beats() - before,
            usize::from(world.identity.partitions),
            "one each, whoever looks"
        );
        world.clock.advance(800);
        other.beat_once().await;
        assert_eq!(
            beats() - before,
            usize::from(world.identity.partitions),
            "younger than X/5, less a tenth"
        );
    }
}

#[tokio::test]
async fn two_nodes_on_one_log_agree_on_what_lies_between_heartbeats() {
    let world = World::new().await;
    let other = world.another_node("other", 41);
    other.catch_up().await.unwrap();
    for n in 0..200 {
        if n % 3 == 0 {
            let tokens = world.sign_in(&format!("user-{n}"), "web").await;
            world.log.duplicate(n % 2);
            world
                .revoke(Target::Session(tokens.issued.refresh.sid))
                .await
                .unwrap();
        }
        world.clock.advance(1_100);
        let (one, two) = if n % 2 == 0 {
            (&world.authority, &other)
        } else {
            (&other, &world.authority)
        };
        // The second beats on what it has heard before the first one's heartbeat was delivered.
        one.beat_once().await;
        two.beat_once().await;
        for node in [one, two] {
            node.catch_up().await.unwrap();
            assert!(node.is_fresh());
        }
    }
    // A third that reads it all from the start finds no contradiction either.
    let third = world.another_node("third", 42);
    third.catch_up().await.unwrap();
    assert!(third.is_fresh());
    assert_eq!(third.follower().positions(), other.follower().positions());
}

#[tokio::test]
async fn two_nodes_behave_as_one() {
    let world = World::new().await;
    let other = world.another_node("other", 43);
    other.catch_up().await.unwrap();
    let tokens = world.sign_in("alice", "web").await;
    let refreshed = other
        .refresh_tokens(world.refreshing("web", &tokens.refresh_token))
        .await
        .unwrap();
    let replayed = world.refresh("web", &tokens.refresh_token).await.unwrap();
    assert_eq!(refreshed.refresh_token, replayed.refresh_token);
    world.hear().await;
    other.catch_up().await.unwrap();
    let seen = other
        .introspect(world.tenant, &tokens.access_token)
        .await
        .unwrap();
    assert!(seen.active.is_some());
    let ended = other
        .end_session(world.tenant, tokens.issued.refresh.sid, &world.motive())
        .await
        .unwrap();
    let again = world
        .authority
        .end_session(world.tenant, tokens.issued.refresh.sid, &world.motive())
        .await
        .unwrap();
    assert_eq!((ended.published.len(), again.published.len()), (1, 0));
    world.hear().await;
    assert_eq!(
        world.why_inactive(&refreshed.access_token).await.unwrap().reason,
        Reason::TokenRevoked
    );
}

#[tokio::test]
async fn a_node_that_hears_of_a_revoked_key_reads_the_directory_before_it_renews_anything() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let other = world.another_node("other", 44);
    other.catch_up().await.unwrap();
    other.poll_directory().await.unwrap();
    let before = other.directory().loaded().ring.signing_key().unwrap().clone();
    world
        .authority
        .revoke_key(&before, &world.motive())
        .await
        .unwrap();
    // Its view is as young as can be, and has that key sign.
    other.catch_up().await.unwrap();
    let renewing = other.refresh_tokens(world.refreshing("web", &tokens.refresh_token));
    renewing.await.unwrap();
    assert_ne!(*other.directory().loaded().ring.signing_key().unwrap(), before);
}

#[tokio::test]
async fn a_log_partition_that_hangs_keeps_no_other_one_from_its_heartbeats() {
    let world = World::new().await;
    world.hear().await;
    let beats = || -> Vec<usize> {
        let of = |partition| {
            let records = world.log.records(partition).into_iter();
            records
                .filter(|record| matches!(record, LogRecord::Heartbeat(_)))
                .count()
        };
        world.identity.all().map(of).collect()
    };
    let before = beats();
    let held = world.log.delay_next();
    let beating = tokio::spawn({
        let authority = world.authority.clone();
        async move { authority.beat().await }
    });
    let beaten = async {
        let others = before.len() - 1;
        loop {
            world.clock.advance(100);
            world.authority.catch_up().await.unwrap();
            let now = beats();
            if now
                .iter()
                .zip(&before)
                .filter(|(now, before)| **now >= **before + 3)
                .count()
                == others
            {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let now = tokio::time::timeout(Duration::from_secs(60), beaten)
        .await
        .unwrap();
    assert!(
        now.iter().zip(&before).any(|(now, before)| now == before),
        "one hangs"
    );
    held.release();
    beating.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_bootstrap_at_once_end_with_one_ring_and_one_system_tenant() {
    for round in 0..5 {
        let (parts, _, identity) = World::bare();
        let nodes = ["one", "two"].map(|name| node(&parts, name, identity));
        let starting = nodes
            .clone()
            .map(|node| tokio::spawn(async move { node.bootstrap().await }));
        let mut made = 0;
        for started in starting {
            made += usize::from(started.await.unwrap().unwrap().ring);
        }
        assert_eq!(made, 1, "round {round}");
        for node in &nodes {
            node.poll_directory().await.unwrap();
            let loaded = node.directory().loaded();
            let count = |key_use, state| {
                let keys = loaded.view.keys.values();
                keys.filter(|key| key.key_use == key_use && key.state == state)
                    .count()
            };
            for key_use in [KeyUse::Sign, KeyUse::Mac, KeyUse::Page, KeyUse::Subject] {
                assert_eq!(count(key_use, KeyState::Active), 1, "{key_use:?}, round {round}");
            }
            assert_eq!(loaded.view.tenants.len(), 1);
            assert_eq!(node.bootstrap().await.unwrap().partitions, 0);
        }
    }
}

#[tokio::test]
async fn p14_another_record_in_the_place_of_the_last_one_is_noticed_when_the_tail_is_opened_again() {
    use curfew_core::record::LogRecord;
    use curfew_ports::log::Log as _;
    let world = World::with_outbox().await;
    let tokens = world.sign_in("alice", "web").await;
    let revoked = world
        .revoke(Target::Session(tokens.issued.refresh.sid))
        .await
        .unwrap();
    world.hear().await;
    let partition = world.identity.home_of(world.key_of(&tokens).partition());
    let records = world.log.records(partition);
    let reloads = world.authority.metrics().reloads();
    // The last record was lost with its leader, and another one has its offset.
    world
        .log
        .truncate(partition, u64::try_from(records.len() - 1).unwrap());
    let other = records.iter().rev().nth(1).unwrap().clone();
    assert!(matches!(
        other,
        LogRecord::Revocation(_) | LogRecord::Heartbeat(_)
    ));
    world.log.append(partition, &other).await.unwrap();
    world.log.append(partition, &other).await.unwrap();
    world.authority.catch_up().await.unwrap();
    assert!(
        world.authority.metrics().reloads() > reloads,
        "the history is another one"
    );
    // What was known goes on denying.
    let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SessionEnded);
    assert!(revoked.record.is_some());
}

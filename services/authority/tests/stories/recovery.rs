//! A store that has become another history: what was lost is merged, what is there is healed, and who opens it.

use curfew_authority::{Authority, Recovered, Target};
use curfew_core::decide::subject_state::Change;
use curfew_core::directory::ClientAuthMethod;
use curfew_core::ids::{ClientId, DeviceId, SubjectId};
use curfew_core::place::{LogPartition, PARTITIONS, Partition};
use curfew_core::record::LogRecord;
use curfew_core::refusal::{Class, Reason};
use curfew_core::stored::{Checkpoint, Key, Record, Write};

use crate::asks::client;
use crate::world::World;

impl World {
    /// What a node does that met a fence: it reads the log to its end, and opens what it can.
    async fn recover(&self) -> Recovered {
        recover(&self.authority).await
    }

    async fn checkpoint(&self, partition: Partition) -> Checkpoint {
        match self.stored(partition, Key::Checkpoint).await {
            Some(Record::Checkpoint(checkpoint)) => checkpoint,
            other => panic!("{other:?}"),
        }
    }
}

async fn recover(authority: &Authority) -> Recovered {
    authority.catch_up().await.unwrap();
    authority.round(false).await.unwrap()
}

#[track_caller]
fn all_open(round: &Recovered) {
    assert_eq!((round.fenced, round.unread), (0, 0), "{round:?}");
    assert_eq!(round.lost, []);
}

#[tokio::test]
async fn invariant_3_and_13_a_failover_loses_no_revocation_and_signs_nobody_out() {
    let world = World::with_outbox().await;
    let (alice, bob) = (
        world.sign_in("alice", "web").await,
        world.sign_in("bob", "web").await,
    );
    let ended = world
        .revoke(Target::Session(alice.issued.refresh.sid))
        .await
        .unwrap();
    let lost_rotation = world.refresh("web", &bob.refresh_token).await.unwrap();
    assert_eq!(
        world.store.fail_over(2),
        2,
        "the ending and the rotation are lost"
    );
    for (name, token) in [
        ("alice", &alice.refresh_token),
        ("bob", &lost_rotation.refresh_token),
    ] {
        let refused = world.refresh("web", token).await.unwrap_err();
        assert_eq!(
            (refused.reason, refused.reason.class()),
            (Reason::Fenced, Class::Retry),
            "{name}"
        );
    }
    let round = world.recover().await;
    all_open(&round);
    assert_eq!((round.opened, round.merged > 0), (usize::from(PARTITIONS), true));
    let refused = world.refresh("web", &alice.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SessionEnded);
    let Some(Record::Session(row)) = world
        .stored(
            world.key_of(&alice).partition(),
            Key::Session(alice.issued.refresh.sid),
        )
        .await
    else {
        panic!("the row is there")
    };
    assert_eq!(row.life.ending().map(|ending| ending.record), ended.record);
    let healed = world.refresh("web", &lost_rotation.refresh_token).await.unwrap();
    assert_eq!(healed.refreshed.outcome.as_str(), "healed");
    // The node's own index does not matter: another one, which has read nothing, refuses as well.
    let other = world.another_node("other", 9);
    other.poll_directory().await.unwrap();
    let refused = other
        .refresh_tokens(world.refreshing("web", &alice.refresh_token))
        .await;
    assert_eq!(refused.unwrap_err().reason, Reason::SessionEnded);
    assert_eq!(world.revocations().len(), 1, "merging publishes nothing");
}

#[tokio::test]
async fn a_lost_cut_off_disable_and_grant_ending_hold_and_a_retry_knows_its_own_work() {
    let world = World::with_outbox().await;
    let (carol, dave) = (
        world.sign_in("carol", "web").await,
        world.sign_in("dave", "web").await,
    );
    let erin = world.sign_in("erin", "web").await;
    let all = world.revoking(Target::Subject(SubjectId::new("carol").unwrap(), None));
    let grant = world.revoking(Target::Grant(erin.issued.refresh.sid, erin.issued.access.gid));
    let motive = world.motive();
    let cut = world.authority.create_revocation(all.clone()).await.unwrap();
    let ended = world.authority.create_revocation(grant.clone()).await.unwrap();
    let dave_id = SubjectId::new("dave").unwrap();
    let disabled = world
        .authority
        .change_subject(world.tenant, dave_id.clone(), Change::Disable, &motive)
        .await
        .unwrap();
    world.store.fail_over(3);
    all_open(&world.recover().await);
    let published = world.revocations().len();
    for (tokens, reason) in [
        (&carol, Reason::Revoked),
        (&dave, Reason::SubjectDisabled),
        (&erin, Reason::GrantEnded),
    ] {
        let other = world.another_node("other", 9);
        other.poll_directory().await.unwrap();
        let refused = other
            .refresh_tokens(world.refreshing("web", &tokens.refresh_token))
            .await;
        assert_eq!(refused.unwrap_err().reason, reason);
    }
    let again = world.authority.create_revocation(all).await.unwrap();
    assert_eq!((again.record, again.before), (cut.record, cut.before));
    let again = world.authority.create_revocation(grant).await.unwrap();
    assert_eq!(again.record, ended.record);
    let again = world
        .authority
        .change_subject(world.tenant, dave_id.clone(), Change::Disable, &motive)
        .await
        .unwrap();
    assert_eq!(again.state, disabled.state);
    assert_eq!(
        world.revocations().len(),
        published,
        "no retry published anything"
    );
    // A disable that was lost and merged is lifted by its id, as any other.
    world
        .authority
        .change_subject(world.tenant, dave_id, Change::Enable, &world.motive())
        .await
        .unwrap();
    world.open("dave").await;
    // Nothing is born below the cut-off that was merged.
    world.clock.advance(2_000);
    let reopened = world.open("carol").await;
    assert!(reopened.row.sid.birth() >= cut.before.unwrap());
    let tokens = world.issue(&reopened, "web").await;
    world.refresh("web", &tokens.refresh_token).await.unwrap();
}

#[tokio::test]
async fn q17_a_session_of_the_lost_suffix_is_told_as_rolled_back_and_as_ended_where_it_was_ended() {
    let world = World::with_outbox().await;
    let kept = world.sign_in("alice", "web").await;
    let (lost, ended) = (
        world.sign_in("bob", "web").await,
        world.sign_in("carol", "web").await,
    );
    let sid = ended.issued.refresh.sid;
    world.revoke(Target::Session(sid)).await.unwrap();
    world.store.fail_over(5);
    all_open(&world.recover().await);
    world.refresh("web", &kept.refresh_token).await.unwrap();
    for (tokens, reason) in [(&lost, Reason::RefreshRolledBack), (&ended, Reason::SessionEnded)] {
        let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
        assert_eq!(refused.reason, reason);
    }
    let partition = world.key_of(&ended).partition();
    assert!(world.stored(partition, Key::Tombstone(sid)).await.is_some());
    assert!(
        world.stored(partition, Key::Session(sid)).await.is_none(),
        "invariant 5"
    );
}

#[tokio::test]
async fn a_lost_wide_mark_and_lost_directory_records_come_back() {
    let world = World::with_outbox().await;
    let alice = world.sign_in("alice", "web").await;
    world
        .authority
        .create_client(client(world.tenant, "late", ClientAuthMethod::Secret), None)
        .await
        .unwrap();
    let device = DeviceId::new("laptop").unwrap();
    let revoked = world.revoke(Target::Device(device)).await.unwrap();
    assert_eq!(world.store.fail_over(2), 2);
    all_open(&world.recover().await);
    let other = world.another_node("other", 9);
    other.poll_directory().await.unwrap();
    let loaded = other.directory().loaded();
    let key = (world.tenant, ClientId::new("late").unwrap());
    assert!(loaded.view.clients.contains_key(&key));
    assert!(loaded.view.wide_marks.contains_key(&revoked.record.unwrap()));
    let refused = other
        .refresh_tokens(world.refreshing("web", &alice.refresh_token))
        .await;
    assert_eq!(refused.unwrap_err().reason, Reason::Revoked);
}

#[tokio::test]
async fn while_the_log_is_away_everything_stays_fenced_and_opens_when_it_is_back() {
    let world = World::with_outbox().await;
    let alice = world.sign_in("alice", "web").await;
    world.hear().await;
    world.store.fail_over(0);
    world.log.go_down();
    let refused = world.authority.round(false).await.unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::LogUnavailable, Class::Retry)
    );
    let refused = world.refresh("web", &alice.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Fenced);
    world.log.come_up();
    all_open(&world.recover().await);
    world.refresh("web", &alice.refresh_token).await.unwrap();
}

#[tokio::test]
async fn several_that_recover_at_once_open_every_partition_exactly_once() {
    let world = World::with_outbox().await;
    let alice = world.sign_in("alice", "web").await;
    world
        .revoke(Target::Session(alice.issued.refresh.sid))
        .await
        .unwrap();
    let nodes: Vec<_> = (0..3)
        .map(|n| world.another_node(&format!("node-{n}"), n))
        .collect();
    for node in &nodes {
        node.catch_up().await.unwrap();
        node.poll_directory().await.unwrap();
    }
    world.store.fail_over(1);
    let rounds: Vec<_> = nodes
        .iter()
        .map(|node| {
            let node = node.clone();
            tokio::spawn(async move { node.round(false).await.unwrap() })
        })
        .collect();
    let mut opened = 0;
    for round in rounds {
        let round = round.await.unwrap();
        all_open(&round);
        opened += round.opened;
    }
    assert_eq!(opened, usize::from(PARTITIONS));
    let refused = world.refresh("web", &alice.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SessionEnded);
}

#[tokio::test]
async fn a_recovery_that_dies_midway_is_finished_by_another_and_merges_nothing_twice() {
    let world = World::with_outbox().await;
    let mut alive = Vec::new();
    for n in 0..8 {
        alive.push(world.sign_in(&format!("user-{n}"), "web").await);
    }
    let dead = alive.split_off(4);
    for tokens in &dead {
        world
            .revoke(Target::Session(tokens.issued.refresh.sid))
            .await
            .unwrap();
    }
    world.hear().await;
    world.store.fail_over(4);
    // The first one stands still at its very first commit, and is dropped there.
    let held = world.store.delay_next();
    let first = world.authority.clone();
    let dying = tokio::spawn(async move { first.round(false).await });
    held.arrived().await;
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    held.release();
    let second = world.another_node("second", 5);
    all_open(&recover(&second).await);
    for tokens in &alive {
        world.refresh("web", &tokens.refresh_token).await.unwrap();
    }
    for tokens in &dead {
        let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
        assert_eq!(refused.reason, Reason::SessionEnded);
    }
}

#[tokio::test]
async fn checkpoints_move_past_what_was_committed_here_and_a_zombies_late_append_is_merged() {
    let world = World::with_outbox().await;
    let (alice, bob) = (
        world.sign_in("alice", "web").await,
        world.sign_in("bob", "web").await,
    );
    let partition = world.key_of(&alice).partition();
    world
        .revoke(Target::Session(bob.issued.refresh.sid))
        .await
        .unwrap();
    // The zombie has committed under the first history, and its append is slow to arrive.
    let held = world.log.delay_next();
    let (zombie, request) = (
        world.authority.clone(),
        world.revoking(Target::Session(alice.issued.refresh.sid)),
    );
    let revoking = tokio::spawn(async move { zombie.create_revocation(request).await });
    held.arrived().await;
    assert_eq!(world.store.fail_over(1), 1);
    all_open(&world.recover().await);
    world.refresh("web", &alice.refresh_token).await.unwrap();
    held.release();
    assert!(revoking.await.unwrap().is_ok());
    // Refused at once by whoever has heard it, and by everybody once the checkpoint has moved.
    world.hear().await;
    let refused = world.refresh("web", &alice.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Revoked);
    let before = world.checkpoint(partition).await;
    world.clock.advance(30_000);
    world.hear().await;
    let round = world.authority.round(true).await.unwrap();
    assert_eq!(round.merged, 1);
    let after = world.checkpoint(partition).await;
    assert!(after.offset > before.offset && after.incarnation == world.store.incarnation());
    let other = world.another_node("other", 9);
    other.poll_directory().await.unwrap();
    let refused = other
        .refresh_tokens(world.refreshing("web", &alice.refresh_token))
        .await;
    assert_eq!(refused.unwrap_err().reason, Reason::SessionEnded);
    // What lies between is not merged again, and nobody keeps it for ever.
    world.clock.advance(30_000);
    assert_eq!(world.authority.round(true).await.unwrap().merged, 0);
}

#[tokio::test]
async fn a_checkpoint_that_a_failover_took_back_further_than_anybody_keeps_is_read_from_the_log() {
    let world = World::with_outbox().await;
    let alice = world.sign_in("alice", "web").await;
    let partition = world.key_of(&alice).partition();
    let earlier = world.checkpoint(partition).await;
    world
        .revoke(Target::Session(alice.issued.refresh.sid))
        .await
        .unwrap();
    for _ in 0..3 {
        // Three checkpoints further, the first one's records are kept by nobody.
        let subject = SubjectId::new("alice").unwrap();
        world.revoke(Target::Subject(subject, None)).await.unwrap();
        world.clock.advance(30_000);
        world.hear().await;
        assert!(world.authority.round(true).await.unwrap().moved > 0);
    }
    world.store.fail_over(0);
    // A replica that was far behind: the row lives, and nothing was merged.
    let Some(Record::Session(row)) = world
        .stored(partition, Key::Session(alice.issued.refresh.sid))
        .await
    else {
        panic!("the row is there")
    };
    let mut row = (*row).clone();
    row.life = curfew_core::session::Life::Alive;
    world
        .write(
            partition,
            vec![
                (Key::Session(row.sid), Write::put(Record::Session(row.into()))),
                (Key::Checkpoint, Write::put(Record::Checkpoint(earlier))),
            ],
        )
        .await;
    all_open(&world.recover().await);
    let refused = world.refresh("web", &alice.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SessionEnded);
}

#[tokio::test]
async fn what_only_an_operator_may_open_is_named_and_stays_closed() {
    let world = World::with_outbox().await;
    // Not beside the directory, on which everything else waits.
    let names = (0..64).map(|n| format!("user-{n}"));
    let home_of = |name: &String| {
        world
            .identity
            .home_of(world.subject_key(world.tenant, name).partition())
    };
    let name = names
        .into_iter()
        .find(|name| home_of(name) != LogPartition(0))
        .unwrap();
    let alice = world.sign_in(&name, "web").await;
    let partition = world.key_of(&alice).partition();
    let home = world.identity.home_of(partition);
    world.hear().await;
    world.store.fail_over(0);
    // The log's start lies behind the checkpoint: records between are gone.
    let end = u64::try_from(world.log.records(home).len()).unwrap();
    world.log.trim(home, end);
    let late = world.another_node("late", 3);
    late.catch_up().await.unwrap();
    let round = late.round(false).await.unwrap();
    assert!(round.lost.contains(&partition), "{:?}", round.lost.len());
    assert!(
        round
            .lost
            .iter()
            .all(|lost| world.identity.home_of(*lost) == home)
    );
    let refused = world.refresh("web", &alice.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Fenced);
}

#[tokio::test]
async fn p20_an_unreadable_record_keeps_its_partitions_closed() {
    let world = World::with_outbox().await;
    // Not the directory's, on which everything else waits.
    let names = (0..64).map(|n| world.subject_key(world.tenant, &format!("user-{n}")).partition());
    let mut homes = names.map(|partition| world.identity.home_of(partition));
    let home = homes.find(|home| *home != LogPartition(0)).unwrap();
    let unknown = curfew_core::record::UnknownRecord {
        raw: b"of another time".as_slice().into(),
        why: "newer".into(),
    };
    use curfew_ports::log::Log as _;
    world
        .log
        .append(home, &LogRecord::Unknown(unknown))
        .await
        .unwrap();
    world.hear().await;
    world.store.fail_over(0);
    let round = world.recover().await;
    assert_eq!(
        round.lost.len(),
        usize::from(PARTITIONS / world.identity.partitions)
    );
    assert!(
        round
            .lost
            .iter()
            .all(|lost| world.identity.home_of(*lost) == home)
    );
    let others = usize::from(PARTITIONS) - round.lost.len();
    assert_eq!(round.opened, others);
}

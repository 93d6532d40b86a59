//! Refreshes: what they cost, what they conflict with, and a hundred at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use curfew_authority::Target;
use curfew_core::decide::refresh::Outcome;
use curfew_core::ids::SubjectId;
use curfew_core::refusal::Reason;
use curfew_core::stored::{Key, Record, Write};
use curfew_core::time::Clock as _;

use crate::world::World;

/// Reads and commits of what is done.
async fn cost<T>(world: &World, done: impl Future<Output = T>) -> ((u64, u64), T) {
    // The directory is polled once a second; that is not the cost of a call.
    world.authority.poll_directory().await.unwrap();
    let before = world.store.counts();
    let value = done.await;
    let after = world.store.counts();
    (
        (after.reads - before.reads, after.commits - before.commits),
        value,
    )
}

#[tokio::test]
async fn p25_what_each_call_costs_in_reads_and_commits() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let (first, rotated) = cost(&world, world.refresh("web", &tokens.refresh_token)).await;
    let (again, replayed) = cost(&world, world.refresh("web", &tokens.refresh_token)).await;
    let rotated = rotated.unwrap();
    assert_eq!(replayed.unwrap().refreshed.outcome, Outcome::Replayed);
    assert_eq!((first, again), ((1, 1), (1, 1)));
    world.hear().await;
    let (introspected, _) = cost(&world, world.why_inactive(&rotated.access_token)).await;
    assert_eq!(introspected, (1, 1));
    let (cut_off, _) = cost(
        &world,
        world.revoke(Target::Subject(SubjectId::new("alice").unwrap(), None)),
    )
    .await;
    assert_eq!(cut_off, (1, 1), "one record for one session or a million");
    // Only the row says whose a session is, and so where its ledger lies.
    let (ended, _) = cost(&world, world.revoke(Target::Session(tokens.issued.refresh.sid))).await;
    assert_eq!(ended, (2, 1));
    // What is refused without effect is not committed.
    let (refused, answer) = cost(&world, world.refresh("web", &rotated.refresh_token)).await;
    assert_eq!(answer.unwrap_err().reason, Reason::SessionEnded);
    assert_eq!(refused, (1, 0));
}

#[tokio::test]
async fn p26_q18_a_refresh_conflicts_with_no_opening_and_no_revocation_of_its_partition() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let other = world.sign_in("alice", "spa").await;
    world.authority.poll_directory().await.unwrap();
    // The refresh has read and decided, and stands before its commit.
    let held = world.store.delay_next();
    let (authority, request) = (
        world.authority.clone(),
        world.refreshing("web", &tokens.refresh_token),
    );
    let refreshing = tokio::spawn(async move { authority.refresh_tokens(request).await });
    held.arrived().await;
    world.open("alice").await;
    world
        .revoke(Target::Session(other.issued.refresh.sid))
        .await
        .unwrap();
    world
        .revoke(Target::Token(other.issued.access.jti))
        .await
        .unwrap();
    let before = world.store.counts();
    held.release();
    refreshing.await.unwrap().unwrap();
    let after = world.store.counts();
    assert_eq!(
        (after.commits - before.commits, after.committed - before.committed),
        (0, 1),
        "no second try"
    );
}

#[tokio::test]
async fn p20_q22_one_token_for_two_resources_gives_one_successor_and_whole_lives() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let mut issuing = world.issuing(session.row.sid, "web");
    // For whatever the client may call, not for one resource.
    issuing.scopes = vec![];
    let tokens = {
        world
            .change_client("web", |client| {
                client.resources = vec![curfew_core::ids::ResourceId::new("orders").unwrap()];
            })
            .await;
        issuing.resource = None;
        let issued = world.authority.issue_tokens(issuing).await.unwrap();
        world
            .change_client("web", |client| client.resources = Vec::new())
            .await;
        issued
    };
    let ask = |resource: &str| {
        let mut request = world.refreshing("web", &tokens.refresh_token);
        request.resource = Some(resource.into());
        world.authority.refresh_tokens(request)
    };
    let orders = ask("orders").await.unwrap();
    // Nine minutes later, long after the first answer's token would have been copied.
    world.clock.advance(9 * 60_000);
    let files = ask("files").await.unwrap();
    assert_eq!(
        (files.refreshed.outcome, &files.refresh_token),
        (Outcome::Replayed, &orders.refresh_token)
    );
    assert_eq!(&*files.refreshed.access.audience, "https://files.example");
    let life = files.refreshed.access.expires_at.ms_since(world.clock.now().wall);
    assert!(
        life >= 8 * 60_000,
        "a replay's token lives as long as a rotation's: {life} ms"
    );
    // What was raised is remembered: the revocation outlives it (invariant 8).
    let ended = world
        .revoke(Target::Session(tokens.issued.refresh.sid))
        .await
        .unwrap();
    let record = &world.revocations()[&ended.record.unwrap()];
    assert!(record.keep_until > files.refreshed.access.expires_at);
}

async fn a_hundred(client: &'static str, conflicts: usize) {
    let world = Arc::new(World::new().await);
    let tokens = world.sign_in("alice", client).await;
    world.store.conflict_next(conflicts);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (world, token) = (world.clone(), tokens.refresh_token.clone());
            tokio::spawn(async move { world.refresh(client, &token).await })
        })
        .collect();
    let (mut successors, mut rotated) = (BTreeSet::new(), 0);
    for task in tasks {
        let refreshed = task.await.unwrap().unwrap();
        rotated += usize::from(refreshed.refreshed.outcome == Outcome::Rotated);
        successors.insert(refreshed.refresh_token);
    }
    assert_eq!(
        (successors.len(), rotated),
        (1, 1),
        "{client}, {conflicts} conflicts"
    );
    assert!(world.revocations().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_parallel_presentations_converge_whoever_the_client_and_whatever_conflicts() {
    for client in ["web", "spa"] {
        for conflicts in [0, 150] {
            a_hundred(client, conflicts).await;
        }
    }
}

#[tokio::test]
async fn conflicts_without_end_are_told_as_a_hiccup_and_change_nothing() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.store.conflict_next(1_000);
    assert_eq!(
        world
            .refresh("web", &tokens.refresh_token)
            .await
            .unwrap_err()
            .reason,
        Reason::Conflict
    );
    world.store.conflict_next(0);
    let refreshed = world.refresh("web", &tokens.refresh_token).await.unwrap();
    assert_eq!(refreshed.refreshed.outcome, Outcome::Rotated);
}

#[tokio::test]
async fn reuse_whose_commit_conflicts_is_decided_again_and_told_once() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let second = world.refresh("web", &tokens.refresh_token).await.unwrap();
    world.refresh("web", &second.refresh_token).await.unwrap();
    world.store.conflict_next(3);
    let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::RefreshReused);
    let record = refused.by.unwrap().record;
    assert!(world.revocations().contains_key(&record) && world.revocations().len() == 1);
    // Between the two tries somebody else ended the session: that is what it says then, and no more is told.
    let (first, other) = (world.sign_in("bob", "web").await, world.revocations().len());
    let second = world.refresh("web", &first.refresh_token).await.unwrap();
    world.refresh("web", &second.refresh_token).await.unwrap();
    let held = world.store.delay_next();
    let (authority, request) = (
        world.authority.clone(),
        world.refreshing("web", &first.refresh_token),
    );
    let presenting = tokio::spawn(async move { authority.refresh_tokens(request).await });
    held.arrived().await;
    world
        .revoke(Target::Session(first.issued.refresh.sid))
        .await
        .unwrap();
    held.release();
    assert_eq!(
        presenting.await.unwrap().unwrap_err().reason,
        Reason::SessionEnded
    );
    assert_eq!(world.revocations().len(), other + 1);
}

#[tokio::test]
async fn q30_two_subjects_with_one_key_are_told_apart_everywhere() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let key = world.key_of(&tokens);
    world.hear().await;
    let Some(Record::Gate(gate)) = world.stored(key.partition(), Key::Gate(key)).await else {
        panic!("a gate");
    };
    let mut of_another = (*gate).clone();
    of_another.subject = SubjectId::new("mallory").unwrap();
    let write = Write::put(Record::Gate(Arc::new(of_another)));
    world.write(key.partition(), vec![(Key::Gate(key), write)]).await;
    let mut reasons = vec![
        world
            .refresh("web", &tokens.refresh_token)
            .await
            .unwrap_err()
            .reason,
        world
            .try_open("alice", world.operation())
            .await
            .unwrap_err()
            .reason,
        world.why_inactive(&tokens.access_token).await.unwrap().reason,
    ];
    let cut_off = world
        .revoke(Target::Subject(SubjectId::new("alice").unwrap(), None))
        .await;
    reasons.push(cut_off.unwrap_err().reason);
    let view = world
        .authority
        .get_session(world.tenant, tokens.issued.refresh.sid)
        .await
        .unwrap();
    reasons.push(view.over.unwrap().reason);
    assert!(
        reasons.iter().all(|reason| *reason == Reason::SubjectMismatch),
        "{reasons:?}"
    );
    let seen = world
        .authority
        .get_subject(world.tenant, &SubjectId::new("alice").unwrap())
        .await
        .unwrap();
    assert!(seen.is_none(), "nothing of mallory is told about alice");
}

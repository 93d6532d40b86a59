//! Another history, another time, an absent record, a store away: what must emit nothing, and how it is told.

use curfew_core::decide::subject_state::Change;
use curfew_core::ids::SubjectId;
use curfew_core::place::Partition;
use curfew_core::refusal::{Class, Reason, Refusal};
use curfew_core::stored::{Key, Write};

use crate::world::World;

/// Everything that emits a token or an acknowledgement, by name; `Ok` where it did.
async fn emissions(
    world: &World,
    refresh_token: &str,
    access_token: &str,
) -> Vec<(&'static str, Option<Reason>)> {
    let sid = world.authority.explain(world.tenant, refresh_token, None).await;
    let sid = sid.ok().and_then(|explained| explained.session?.parse().ok());
    let reason = |answer: Result<(), Refusal>| answer.err().map(|refusal| refusal.reason);
    let mut all = vec![
        (
            "open",
            reason(world.try_open("alice", world.operation()).await.map(drop)),
        ),
        (
            "refresh",
            reason(world.refresh("web", refresh_token).await.map(drop)),
        ),
        (
            "app token",
            reason(world.authority.issue_app_token(world.app("web")).await.map(drop)),
        ),
        (
            "introspect",
            reason(
                world
                    .authority
                    .introspect(world.tenant, access_token)
                    .await
                    .map(drop),
            ),
        ),
    ];
    if let Some(sid) = sid {
        let issued = world.authority.issue_tokens(world.issuing(sid, "web")).await;
        all.push(("issue", reason(issued.map(drop))));
        let ended = world
            .authority
            .end_session(world.tenant, sid, &world.motive())
            .await;
        all.push(("end", reason(ended.map(drop))));
    }
    let alice = SubjectId::new("alice").unwrap();
    let disabled = world
        .authority
        .change_subject(world.tenant, alice, Change::Disable, &world.motive())
        .await;
    all.push(("disable", reason(disabled.map(drop))));
    all
}

#[track_caller]
fn all_are(emitted: &[(&'static str, Option<Reason>)], expected: &[Reason]) {
    for (what, reason) in emitted {
        let reason = reason.unwrap_or_else(|| panic!("{what} was granted"));
        assert!(expected.contains(&reason), "{what}: {reason:?}");
        assert_eq!(
            reason.class(),
            Class::Retry,
            "{what}: a hiccup never looks like a dead grant"
        );
    }
}

#[tokio::test]
async fn p2_an_answer_decided_before_a_failover_is_fenced_though_its_versions_match() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let first = world.refresh("web", &tokens.refresh_token).await.unwrap();
    // The commit stands still on its way; the store fails over to exactly the same records.
    for token in [&first.refresh_token, &tokens.refresh_token] {
        let held = world.store.delay_next();
        let request = world.refreshing("web", token);
        let authority = world.authority.clone();
        let refreshing = tokio::spawn(async move { authority.refresh_tokens(request).await });
        held.arrived().await;
        world.store.fail_over(0);
        held.release();
        // A rotation and a replay, which writes nothing: both are fenced.
        assert_eq!(refreshing.await.unwrap().unwrap_err().reason, Reason::Fenced);
        // Recovered, in this test by hand: every partition is opened for the present incarnation.
        world.open_partitions().await;
    }
    assert_eq!(
        world
            .refresh("web", &first.refresh_token)
            .await
            .unwrap()
            .refreshed
            .outcome
            .as_str(),
        "rotated"
    );
}

#[tokio::test]
async fn a_partition_that_was_not_recovered_emits_nothing() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    world.store.fail_over(1);
    all_are(
        &emissions(&world, &tokens.refresh_token, &tokens.access_token).await,
        &[Reason::Fenced],
    );
    world.clock.advance(2_000);
    world.hear().await;
    all_are(
        &emissions(&world, &tokens.refresh_token, &tokens.access_token).await,
        &[Reason::Fenced],
    );
}

#[tokio::test]
async fn q2_an_isolated_primary_answers_no_commit_without_writes_and_so_emits_nothing() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.refresh("web", &tokens.refresh_token).await.unwrap();
    world.hear().await;
    world.store.isolate();
    let emitted = emissions(&world, &tokens.refresh_token, &tokens.access_token).await;
    all_are(&emitted, &[Reason::StoreUnavailable]);
    assert!(emitted.len() >= 7, "{emitted:?}");
}

#[tokio::test]
async fn p8_q18_absence_is_never_permission() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let key = world.key_of(&tokens);
    for (lost, expected) in [
        (Key::Partition, Reason::Fenced),
        (Key::Sequence, Reason::Fenced),
        (Key::Gate(key), Reason::SubjectUnknown),
    ] {
        let before = world.stored(key.partition(), lost.clone()).await.unwrap();
        world
            .write(key.partition(), vec![(lost.clone(), Write::Delete)])
            .await;
        let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
        assert_eq!(refused.reason, expected, "{lost:?}");
        if expected == Reason::Fenced {
            let opened = world.try_open("alice", world.operation()).await;
            assert_eq!(
                opened.unwrap_err().reason,
                Reason::Fenced,
                "{lost:?}: never made anew"
            );
        }
        assert!(
            world.stored(key.partition(), lost.clone()).await.is_none(),
            "{lost:?}: nothing made it"
        );
        world
            .write(key.partition(), vec![(lost, Write::put(before))])
            .await;
    }
    world.refresh("web", &tokens.refresh_token).await.unwrap();
    // A row that is gone is not made again either (invariant 5).
    let sid = tokens.issued.refresh.sid;
    world
        .write(key.partition(), vec![(Key::Session(sid), Write::Delete)])
        .await;
    let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::RefreshImpossible);
    assert!(world.stored(key.partition(), Key::Session(sid)).await.is_none());
}

#[tokio::test]
async fn q4_a_directory_that_was_not_recovered_or_is_lost_decides_nothing_anywhere() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    assert_ne!(world.key_of(&tokens).partition(), Partition::DIRECTORY);
    world
        .write(Partition::DIRECTORY, vec![(Key::Partition, Write::Delete)])
        .await;
    world.clock.advance(1_000);
    assert_eq!(
        world
            .refresh("web", &tokens.refresh_token)
            .await
            .unwrap_err()
            .reason,
        Reason::Fenced
    );
}

#[tokio::test]
async fn p5_a_clock_that_differs_from_the_stores_either_way_mints_nothing() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    for skew in [-501, 501] {
        world.store.set_skew_ms(skew);
        // At once, by the partition's store; and from the next poll on by the directory's time as well.
        for wait in [0, 1_500] {
            world.clock.advance(wait);
            world.hear().await;
            let emitted = emissions(&world, &tokens.refresh_token, &tokens.access_token).await;
            all_are(&emitted, &[Reason::ClockSuspect]);
        }
        world.store.set_skew_ms(0);
        world.authority.poll_directory().await.unwrap();
    }
    for skew in [-500, 500] {
        world.store.set_skew_ms(skew);
        world.refresh("web", &tokens.refresh_token).await.unwrap();
    }
}

#[tokio::test]
async fn a_commit_that_was_long_on_its_way_is_decided_again_and_is_no_wrong_clock() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    let held = world.store.delay_next();
    let (authority, request) = (
        world.authority.clone(),
        world.refreshing("web", &tokens.refresh_token),
    );
    let refreshing = tokio::spawn(async move { authority.refresh_tokens(request).await });
    held.arrived().await;
    world.clock.advance(2_000);
    held.release();
    let refreshed = refreshing.await.unwrap().unwrap();
    assert_eq!(refreshed.refreshed.outcome.as_str(), "rotated");
}

#[tokio::test]
async fn a_directory_older_than_three_seconds_decides_nothing_and_says_to_repeat() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.authority.poll_directory().await.unwrap();
    world.store.go_down();
    // A directory that cannot be read is used for three seconds; here the partition's store is away as well.
    let stale = [Reason::StoreUnavailable, Reason::DirectoryStale];
    for wait in [0, 1_500, 1_400, 10_000] {
        world.clock.advance(wait);
        let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
        assert!(stale.contains(&refused.reason), "{refused}");
        let unknown = world
            .refresh("nobody-of-this-name", &tokens.refresh_token)
            .await
            .unwrap_err();
        assert!(
            wait < 10_000 || unknown.reason.class() == Class::Retry,
            "{unknown}"
        );
    }
    world.store.come_up();
    world.refresh("web", &tokens.refresh_token).await.unwrap();
}

#[tokio::test]
async fn whoever_waits_for_the_directory_shares_one_read_and_one_failure() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.clock.advance(1_500);
    let forged = format!("{}AA", &tokens.refresh_token[..tokens.refresh_token.len() - 2]);
    let before = world.store.counts().reads;
    let asking: Vec<_> = (0..50).map(|_| world.refresh("web", &forged)).collect();
    for refused in futures_together(asking).await {
        assert_eq!(refused.unwrap_err().reason, Reason::TokenForged);
    }
    assert_eq!(world.store.counts().reads - before, 1);
}

/// All of them, each begun before the first has ended.
async fn futures_together<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in pinned.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *result = Some(output);
            }
        }
        if results.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_store_that_goes_down_after_the_commit_fails_no_creation() {
    let world = World::new().await;
    let held = world.store.delay_next_answer();
    let authority = world.authority.clone();
    let record = crate::asks::resource(world.tenant, "mail");
    let creating = tokio::spawn(async move { authority.create_resource(record, None).await });
    held.arrived().await;
    world.store.go_down();
    held.release();
    creating.await.unwrap().unwrap();
    // What comes next must read the directory, and cannot.
    let refused = world
        .authority
        .issue_app_token(world.app("web"))
        .await
        .unwrap_err();
    assert_eq!(refused.reason.class(), Class::Retry);
    world.store.come_up();
    world.authority.issue_app_token(world.app("web")).await.unwrap();
}

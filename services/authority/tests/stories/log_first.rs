//! The store is away, and something must be revoked now.

use curfew_authority::{Credentials, Level, RevocationAnswer, Target};
use curfew_core::decide::Motive;
use curfew_core::decide::subject_state::Change;
use curfew_core::ids::{ClientId, DeviceId, SubjectId};
use curfew_core::record::Criterion;
use curfew_core::refusal::{Class, Reason};

use crate::world::World;

#[track_caller]
fn is_durable(world: &World, answer: &RevocationAnswer, copies: usize) {
    let [published] = &answer.published[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (published.level, published.positions.len()),
        (Level::Durable, copies)
    );
    let revocation = &world.revocations()[&published.id];
    assert_eq!(revocation.incarnation, None, "it went to the log first");
}

/// The store is back: what went to the log first is merged.
async fn converge(world: &World) -> usize {
    world.store.come_up();
    world.clock.advance(30_000);
    world.hear().await;
    world.authority.round(true).await.unwrap().merged
}

/// How a node that has read nothing of the log answers: the store alone speaks.
async fn by_the_store(world: &World, token: &str) -> Result<(), Reason> {
    let other = world.another_node("other", 9);
    other.poll_directory().await.unwrap();
    let answer = other.refresh_tokens(world.refreshing("web", token)).await;
    answer.map(drop).map_err(|refusal| refusal.reason)
}

/// What is revoked, of a world in which these tokens were issued.
type Of = fn(&World, &curfew_authority::IssuedTokens) -> Target;

#[tokio::test]
async fn every_scope_is_revoked_durably_without_the_store_and_converges_when_it_is_back() {
    let scopes: [(Of, usize, Reason); 6] = [
        (
            |_, tokens| Target::Session(tokens.issued.refresh.sid),
            1,
            Reason::SessionEnded,
        ),
        (
            |_, tokens| Target::Grant(tokens.issued.refresh.sid, tokens.issued.access.gid),
            1,
            Reason::GrantEnded,
        ),
        (
            |_, _| Target::Subject(SubjectId::new("alice").unwrap(), None),
            1,
            Reason::Revoked,
        ),
        (
            |_, _| Target::Device(DeviceId::new("laptop").unwrap()),
            4,
            Reason::Revoked,
        ),
        (
            |_, _| Target::Client(ClientId::new("web").unwrap()),
            4,
            Reason::Revoked,
        ),
        (
            |_, _| {
                Target::Criteria(
                    vec![Criterion::new("acr", "gold"), Criterion::new("oid", "alice")],
                    None,
                )
            },
            1,
            Reason::Revoked,
        ),
    ];
    for (target, copies, reason) in scopes {
        let world = World::with_outbox().await;
        let tokens = world.sign_in("alice", "web").await;
        world.hear().await;
        // A node reads the directory again as soon as it hears of a change.
        world.authority.poll_directory().await.unwrap();
        world.store.go_down();
        // Long past the three seconds in which a view of the directory may be decided on.
        for _ in 0..10 {
            world.clock.advance(1_000);
            world.hear().await;
        }
        let target = target(&world, &tokens);
        let request = world.revoking(target.clone());
        let answer = world.authority.create_revocation(request.clone()).await.unwrap();
        is_durable(&world, &answer, copies);
        // A retry that has heard it finds it; the log gets no second id.
        world.hear().await;
        let again = world.authority.create_revocation(request.clone()).await.unwrap();
        assert_eq!(again.record, answer.record, "{target:?}");
        assert_eq!(world.revocations().len(), 1);
        // The access token is dead wherever the log is followed, without the store.
        let state = world
            .authority
            .follower()
            .of(world.key_of(&tokens).partition())
            .unwrap();
        let access = &tokens.issued.access;
        let covered = state
            .index
            .covered(world.tenant, world.tenant.own_issuer(), access)
            .unwrap();
        assert_eq!(covered.map(|by| by.winner.id), answer.record, "{target:?}");
        drop(state);
        assert!(converge(&world).await > 0, "{target:?}");
        let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
        assert!(
            !matches!(refused.reason.class(), Class::Retry),
            "{target:?}: {refused}"
        );
        assert_eq!(
            by_the_store(&world, &tokens.refresh_token).await,
            Err(reason),
            "{target:?}"
        );
        let again = world.authority.create_revocation(request).await.unwrap();
        assert_eq!(
            again.record, answer.record,
            "{target:?}: a retry knows its own work"
        );
        assert_eq!(world.revocations().len(), 1);
    }
}

#[tokio::test]
async fn a_subject_disabled_without_the_store_stays_out_and_is_let_in_again_by_its_id() {
    let world = World::with_outbox().await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    world.store.go_down();
    let alice = SubjectId::new("alice").unwrap();
    let motive = world.motive();
    let change = async |change: Change, motive: Motive| {
        let subject = alice.clone();
        world
            .authority
            .change_subject(world.tenant, subject, change, &motive)
            .await
    };
    let disabled = change(Change::Disable, motive.clone()).await.unwrap();
    assert!(disabled.state.is_some() && disabled.cut_off.is_some());
    assert!(
        disabled
            .published
            .iter()
            .all(|published| published.level == Level::Durable)
    );
    // What it would lift is not known without the store.
    let refused = change(Change::Enable, world.motive()).await.unwrap_err();
    assert_eq!(refused.reason.class(), Class::Retry);
    converge(&world).await;
    let refused = by_the_store(&world, &tokens.refresh_token).await;
    assert_eq!(refused, Err(Reason::SubjectDisabled));
    let again = change(Change::Disable, motive.clone()).await.unwrap();
    assert_eq!((again.state, again.cut_off), (disabled.state, disabled.cut_off));
    let refused = world.try_open("alice", world.operation()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SubjectDisabled);
    change(Change::Enable, world.motive()).await.unwrap();
    world.open("alice").await;
    assert_eq!(
        by_the_store(&world, &tokens.refresh_token).await,
        Err(Reason::Revoked),
        "nothing revives"
    );
}

#[tokio::test]
async fn what_needs_the_store_waits_for_it_and_without_the_log_nothing_is_promised() {
    let world = World::with_outbox().await;
    let tokens = world.sign_in("alice", "web").await;
    let sid = tokens.issued.refresh.sid;
    world.hear().await;
    world.store.go_down();
    let alice = SubjectId::new("alice").unwrap();
    // The spared session must be alive in that very commit.
    let refused = world.revoke(Target::Subject(alice, Some(sid))).await.unwrap_err();
    assert_eq!(refused.reason.class(), Class::Retry);
    world.log.go_down();
    let request = world.revoking(Target::Session(sid));
    let refused = world
        .authority
        .create_revocation(request.clone())
        .await
        .unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::LogUnavailable, Class::Retry)
    );
    // A tail that is stale proves nothing of the directory, so nobody is known to be a caller either.
    world.clock.advance(60_000);
    world.log.come_up();
    let refused = world.authority.create_revocation(request).await.unwrap_err();
    assert_eq!(refused.reason.class(), Class::Retry);
    assert_eq!(world.revocations().len(), 0);
}

#[tokio::test]
async fn callers_are_known_without_the_store_until_the_log_tells_of_a_change() {
    let world = World::with_outbox().await;
    let (id, secret) = world.authority.create_first_admin().await.unwrap().unwrap();
    let credentials = Credentials::Secret { id, secret };
    world.hear().await;
    world.authority.poll_directory().await.unwrap();
    world.store.go_down();
    for _ in 0..5 {
        world.clock.advance(1_000);
        world.hear().await;
    }
    world.authority.authenticate(&credentials).await.unwrap();
    // Another node, which reaches the store, has changed something.
    world.store.come_up();
    let other = world.another_node("other", 9);
    other.poll_directory().await.unwrap();
    let record = crate::asks::resource(world.tenant, "mail");
    other.create_resource(record, None).await.unwrap();
    world.store.go_down();
    world.clock.advance(1_500);
    world.hear().await;
    let refused = world.authority.authenticate(&credentials).await.unwrap_err();
    assert_eq!(refused.reason.class(), Class::Retry);
}

#[tokio::test]
async fn q27_what_a_foreign_issuers_tokens_do_not_tell_is_refused_without_the_store_as_with_it() {
    let world = World::with_outbox().await;
    let issuer = crate::endings::foreign(&world);
    let id = issuer.id;
    world.authority.create_issuer(issuer, None).await.unwrap();
    world.hear().await;
    world.authority.poll_directory().await.unwrap();
    let asked = |claim: &str, before: Option<&str>| {
        let all_of = vec![Criterion::new(claim, "u")];
        let mut request = world.revoking(Target::Criteria(all_of, before.map(Into::into)));
        request.issuer = Some(id);
        request
    };
    let bad = [
        (asked("deviceid", None), Reason::ClaimNotCarried),
        (asked("sub", Some("sid")), Reason::CriteriaInvalid),
        (asked("jose.kid", Some("iat")), Reason::CriteriaInvalid),
    ];
    for is_down in [false, true] {
        if is_down {
            world.store.go_down();
        }
        for (request, reason) in &bad {
            let refused = world.authority.create_revocation(request.clone()).await;
            assert_eq!(refused.unwrap_err().reason, *reason, "store down: {is_down}");
        }
    }
    assert_eq!(world.revocations().len(), 0);
    let revoked = world
        .authority
        .create_revocation(asked("sub", Some("iat")))
        .await
        .unwrap();
    is_durable(&world, &revoked, 1);
}

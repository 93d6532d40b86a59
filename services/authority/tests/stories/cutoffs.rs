//! Cut-offs: what is dead, what is born since, and what must wait for B.

use curfew_authority::{AppTokenRequest, Target};
use curfew_core::decide::refresh::Outcome;
use curfew_core::directory::SecretHash;
use curfew_core::ids::{ClientId, DeviceId, KeyId, SubjectId};
use curfew_core::mac::sha256;
use curfew_core::record::{Criterion, JOSE_KID_CLAIM};
use curfew_core::refusal::{Class, Reason};
use curfew_core::session::{GRANTS_PER_CLIENT_MAX, Proof};
use curfew_core::time::{Clock as _, WIDE_AHEAD_MS};

use crate::world::World;

fn alice() -> SubjectId {
    SubjectId::new("alice").unwrap()
}

/// Wide scopes that cover what alice does with `web` on her laptop.
fn wide_targets() -> Vec<Target> {
    vec![
        Target::Tenant,
        Target::Device(DeviceId::new("laptop").unwrap()),
        Target::Provider("idp-one".into()),
    ]
}

#[tokio::test(start_paused = true)]
async fn p10_q23_an_opening_in_the_scope_waits_for_b_and_then_succeeds() {
    for target in wide_targets() {
        let world = World::new().await;
        let old = world.sign_in("alice", "web").await;
        let answer = world.revoke(target.clone()).await.unwrap();
        let before = answer.before.unwrap();
        assert_eq!(before.ms_since(world.clock.now().wall), WIDE_AHEAD_MS);
        // Refreshes of the scope are refused at once.
        let refused = world.refresh("web", &old.refresh_token).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Revoked, "{target:?}");
        let running = world.run_the_clock();
        let opened = world.open("alice").await;
        assert!(
            opened.row.sid.birth() >= before && world.clock.now().wall >= before,
            "{target:?}"
        );
        let new = world.issue(&opened, "web").await;
        world.refresh("web", &new.refresh_token).await.unwrap();
        running.abort();
        world.hear().await;
        assert_eq!(
            world.why_inactive(&old.access_token).await.unwrap().reason,
            Reason::TokenRevoked
        );
        assert!(
            world.why_inactive(&new.access_token).await.is_none(),
            "{target:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn p10_p11_a_client_cut_off_compares_the_grant_and_the_session_may_go_on() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let (old, other) = (
        world.issue(&session, "web").await,
        world.issue(&session, "spa").await,
    );
    let before = world
        .revoke(Target::Client(ClientId::new("web").unwrap()))
        .await
        .unwrap()
        .before
        .unwrap();
    assert_eq!(
        world.refresh("web", &old.refresh_token).await.unwrap_err().reason,
        Reason::Revoked
    );
    world.refresh("spa", &other.refresh_token).await.unwrap();
    let running = world.run_the_clock();
    // Issued and app-only alike wait until B.
    let app = world.authority.issue_app_token(world.app("web")).await.unwrap();
    let new = world.issue(&session, "web").await;
    assert!(app.access.gid.birth() >= before && new.issued.access.gid.birth() >= before);
    running.abort();
    // An authorization that was given before B and is redeemed after it is dead.
    let mut late = world.issuing(session.row.sid, "web");
    late.authorized_at = Some(before.plus_ms(-1));
    assert_eq!(
        world.authority.issue_tokens(late).await.unwrap_err().reason,
        Reason::Revoked
    );
}

#[tokio::test(start_paused = true)]
async fn q23_beyond_six_seconds_an_opening_says_when_to_repeat() {
    let world = World::new().await;
    let running = world.run_the_clock();
    // The clock of this node stands still while it waits for a B that another one keeps moving.
    world.revoke(Target::Tenant).await.unwrap();
    running.abort();
    let authority = world.authority.clone();
    let request = world.opening("alice");
    let waiting = tokio::spawn(async move { authority.create_session(request).await });
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    world.clock.advance(2_000);
    let moved = world.revoke(Target::Tenant).await.unwrap().before.unwrap();
    let refused = waiting.await.unwrap().unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::CutoffPending, Class::Retry)
    );
    assert!(refused.not_before.is_some_and(|instant| instant <= moved));
}

#[tokio::test(start_paused = true)]
async fn q5_a_secret_that_ended_together_with_the_cut_off_opens_nothing_after_it() {
    let world = World::new().await;
    let session = world.open("alice").await;
    world
        .revoke(Target::Client(ClientId::new("web").unwrap()))
        .await
        .unwrap();
    // They proved themselves by the old secret, and wait for B.
    let (app, issuing) = (world.app("web"), world.issuing(session.row.sid, "web"));
    let (first, second) = (world.authority.clone(), world.authority.clone());
    let app = tokio::spawn(async move { first.issue_app_token(app).await.map(drop) });
    let issued = tokio::spawn(async move { second.issue_tokens(issuing).await.map(drop) });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let new = SecretHash {
        id: "second".into(),
        sha256: sha256(b"another secret"),
        created_at: world.clock.now().wall,
        expires_at: None,
    };
    world
        .change_client("web", |client| client.secrets = vec![new])
        .await;
    let _running = world.run_the_clock();
    for refused in [
        app.await.unwrap().unwrap_err(),
        issued.await.unwrap().unwrap_err(),
    ] {
        assert_eq!(refused.reason, Reason::ClientAuthenticationFailed);
    }
}

#[tokio::test]
async fn q5_another_node_refuses_a_removed_secret_within_the_age_of_its_view() {
    let world = World::new().await;
    let other = world.another_node("other", 8);
    let ask = |secret: &str| AppTokenRequest {
        proof: curfew_authority::ClientProof::Secret(secret.to_owned()),
        ..world.app("web")
    };
    let AppTokenRequest { proof, .. } = world.app("web");
    other
        .issue_app_token(AppTokenRequest {
            proof,
            ..world.app("web")
        })
        .await
        .unwrap();
    world
        .change_client("web", |client| client.secrets[0].sha256 = sha256(b"new"))
        .await;
    world.clock.advance(1_000);
    let refused = other.issue_app_token(world.app("web")).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ClientAuthenticationFailed);
    other.issue_app_token(ask("new")).await.unwrap();
}

#[tokio::test]
async fn q3_a_key_is_revoked_at_once_and_never_with_an_instant() {
    let world = World::new().await;
    let kid = KeyId::new("stolen").unwrap();
    let answer = world.revoke(Target::Key(kid.clone())).await.unwrap();
    assert!(answer.before.is_none() && answer.revocation.unwrap().before.is_none());
    let criteria = Target::Criteria(
        vec![Criterion::new(JOSE_KID_CLAIM, kid.as_str())],
        Some("iat".into()),
    );
    assert_eq!(
        world.revoke(criteria).await.unwrap_err().reason,
        Reason::CriteriaInvalid
    );
}

#[tokio::test]
async fn a_key_in_use_is_no_tenants_to_revoke_or_all_its_users_were_signed_out() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let keys = world.authority.directory().loaded().view.keys.clone();
    let signing = keys.values().filter(|key| key.public_jwk.is_some());
    for kid in signing.map(|key| key.kid.clone()) {
        let criteria = vec![Criterion::new(JOSE_KID_CLAIM, kid.as_str())];
        for target in [Target::Key(kid.clone()), Target::Criteria(criteria, None)] {
            assert_eq!(
                world.revoke(target).await.unwrap_err().reason,
                Reason::CriteriaInvalid
            );
        }
    }
    world.refresh("web", &tokens.refresh_token).await.unwrap();
}

#[tokio::test]
async fn p13_a_step_up_reaches_no_grant_that_exists() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let stolen = world.issue(&session, "spa").await;
    let proof = Proof {
        auth_time: world.clock.now().wall,
        acr: Some("mfa".into()),
        amr: vec!["pwd".into(), "otp".into()],
    };
    let change = curfew_core::decide::update::Request {
        proof: Some(proof),
        operation: Some(world.operation()),
        ..Default::default()
    };
    let request = curfew_authority::UpdateSessionRequest {
        tenant: world.tenant,
        sid: session.row.sid,
        change,
    };
    world.authority.update_session(request).await.unwrap();
    let acr = |token: &str| {
        let authority = world.authority.clone();
        let (tenant, token) = (world.tenant, token.to_owned());
        async move { authority.explain(tenant, &token, None).await.unwrap().claims["acr"].clone() }
    };
    let refreshed = world.refresh("spa", &stolen.refresh_token).await.unwrap();
    assert_eq!(acr(&refreshed.access_token).await, "gold");
    assert_eq!(acr(&world.issue(&session, "web").await.access_token).await, "mfa");
}

#[tokio::test]
async fn p32_an_old_token_of_what_is_over_is_refused_as_that_and_cries_no_theft() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let second = world.refresh("web", &tokens.refresh_token).await.unwrap();
    world.refresh("web", &second.refresh_token).await.unwrap();
    world
        .revoke(Target::Session(tokens.issued.refresh.sid))
        .await
        .unwrap();
    let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SessionEnded);
    assert_eq!(world.revocations().len(), 1);
}

#[tokio::test]
async fn p28_a_retry_of_an_issuance_never_gives_the_token_that_lives_now() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let request = world.issuing(session.row.sid, "web");
    let first = world.authority.issue_tokens(request.clone()).await.unwrap();
    let second = world.refresh("web", &first.refresh_token).await.unwrap();
    let third = world.refresh("web", &second.refresh_token).await.unwrap();
    let replayed = world.authority.issue_tokens(request).await.unwrap();
    assert_eq!(replayed.issued.access.gid, first.issued.access.gid);
    assert_eq!(replayed.refresh_token, first.refresh_token);
    // Whoever replays it holds a superseded token: presenting it is reuse.
    let refused = world.refresh("web", &replayed.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::RefreshReused);
    assert_eq!(
        world
            .refresh("web", &third.refresh_token)
            .await
            .unwrap_err()
            .reason,
        Reason::GrantEnded
    );
}

#[tokio::test]
async fn p30_the_row_does_not_grow_with_use_and_the_grant_that_ended_is_told() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let mut ended = Vec::new();
    for _ in 0..3 * GRANTS_PER_CLIENT_MAX {
        world.clock.advance(1_000);
        let tokens = world.issue(&session, "web").await;
        ended.extend(tokens.issued.ended);
    }
    assert_eq!(ended.len(), 2 * GRANTS_PER_CLIENT_MAX);
    let published = world.revocations();
    assert!(ended.iter().all(|(_, record)| published.contains_key(record)));
    world.clock.advance(2 * 24 * 3_600_000);
    world.hear().await;
    let row = world
        .authority
        .get_session(world.tenant, session.row.sid)
        .await
        .unwrap()
        .row;
    assert!(row.grants.len() <= 3 * GRANTS_PER_CLIENT_MAX);
}

#[tokio::test]
async fn sign_out_everywhere_else_spares_the_session_that_asks_and_no_dead_one() {
    let world = World::new().await;
    let (here, there) = (
        world.sign_in("alice", "web").await,
        world.sign_in("alice", "web").await,
    );
    let sid = here.issued.refresh.sid;
    world.revoke(Target::Subject(alice(), Some(sid))).await.unwrap();
    world.clock.advance(1_000);
    assert_eq!(
        world
            .refresh("web", &there.refresh_token)
            .await
            .unwrap_err()
            .reason,
        Reason::Revoked
    );
    assert_eq!(
        world
            .refresh("web", &here.refresh_token)
            .await
            .unwrap()
            .refreshed
            .outcome,
        Outcome::Rotated
    );
    // A whole cut-off is not undone by an exception of a later one (Q1).
    world.revoke(Target::Subject(alice(), None)).await.unwrap();
    let refused = world
        .revoke(Target::Subject(alice(), Some(sid)))
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::ExceptedNotAlive);
}

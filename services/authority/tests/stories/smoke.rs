//! One node on the fakes, from bootstrap to refresh and revocation.

use crate::asks::proof_of;
use crate::world::World;
use curfew_authority::{AppTokenRequest, Credentials, RevocationRequest, Target, TokenKind};
use curfew_core::decide::refresh::Outcome;
use curfew_core::ids::{ClientId, SubjectId};
use curfew_core::refusal::{Reason, Stage};

#[tokio::test]
async fn a_second_bootstrap_finds_everything_and_makes_nothing() {
    let world = World::new().await;
    let again = world.authority.bootstrap().await.unwrap();
    assert_eq!((again.partitions, again.ring), (0, false));
}

#[tokio::test]
async fn a_session_gives_tokens_and_a_refresh_gives_their_successors() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let tokens = world.issue(&session, "web").await;
    assert!(tokens.id_token.is_some());
    let first = world.refresh("web", &tokens.refresh_token).await.unwrap();
    assert_eq!(first.refreshed.outcome, Outcome::Rotated);
    let again = world.refresh("web", &tokens.refresh_token).await.unwrap();
    assert_eq!(again.refreshed.outcome, Outcome::Replayed);
    assert_eq!(first.refresh_token, again.refresh_token);
    let explained = world
        .authority
        .explain(world.tenant, &first.access_token, None)
        .await
        .unwrap();
    assert_eq!((explained.kind, explained.refused), (TokenKind::Access, None));
}

#[tokio::test]
async fn a_refresh_costs_one_read_and_one_commit_and_a_forgery_none() {
    let world = World::new().await;
    let tokens = world.issue(&world.open("alice").await, "web").await;
    let before = world.store.counts();
    let rotated = world.refresh("web", &tokens.refresh_token).await.unwrap();
    let after = world.store.counts();
    assert_eq!(
        (after.reads - before.reads, after.commits - before.commits),
        (1, 1)
    );
    let forged = rotated.refresh_token.replace("cfr_AQ", "cfr_Ag");
    assert_eq!(
        world.refresh("web", &forged).await.unwrap_err().reason,
        Reason::TokenVersion
    );
    let mut forged = rotated.refresh_token.clone().into_bytes();
    forged[50] = if forged[50] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    assert_eq!(
        world.refresh("web", &forged).await.unwrap_err().reason,
        Reason::TokenForged
    );
    let counts = world.store.counts();
    assert_eq!((counts.reads, counts.commits), (after.reads, after.commits));
}

#[tokio::test]
async fn a_hundred_parallel_presentations_give_one_successor() {
    let world = std::sync::Arc::new(World::new().await);
    let tokens = world.issue(&world.open("alice").await, "web").await;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (world, token) = (world.clone(), tokens.refresh_token.clone());
            tokio::spawn(async move { world.refresh("web", &token).await.map(|r| r.refresh_token) })
        })
        .collect();
    let mut successors = std::collections::BTreeSet::new();
    for task in tasks {
        successors.insert(task.await.unwrap().unwrap());
    }
    assert_eq!(successors.len(), 1);
}

#[tokio::test]
async fn an_ended_session_refuses_refreshes_and_introspections_and_is_told_once() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let tokens = world.issue(&session, "web").await;
    let motive = world.motive();
    let ended = world
        .authority
        .end_session(world.tenant, session.row.sid, &motive)
        .await
        .unwrap();
    assert_eq!(ended.published.len(), 1);
    let again = world
        .authority
        .end_session(world.tenant, session.row.sid, &world.motive())
        .await
        .unwrap();
    assert!(again.published.is_empty(), "what is over publishes nothing");
    let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
    assert_eq!(
        (refused.stage, refused.reason),
        (Stage::SilentRenewal, Reason::SessionEnded)
    );
    world.hear().await;
    let seen = world
        .authority
        .introspect(world.tenant, &tokens.access_token)
        .await
        .unwrap();
    assert_eq!(seen.why.unwrap().reason, Reason::TokenRevoked);
}

#[tokio::test]
async fn p21_a_retry_of_a_cut_off_knows_its_own_work_and_spares_what_was_born_since() {
    let world = World::new().await;
    let old = world.issue(&world.open("alice").await, "web").await;
    let request = RevocationRequest {
        tenant: world.tenant,
        issuer: None,
        target: Target::Subject(SubjectId::new("alice").unwrap(), None),
        add_clock_error: false,
        motive: world.motive(),
    };
    let first = world.authority.create_revocation(request.clone()).await.unwrap();
    world.clock.advance(2_000);
    let new = world.issue(&world.open("alice").await, "web").await;
    let retried = world.authority.create_revocation(request).await.unwrap();
    assert_eq!(retried.record, first.record);
    assert!(retried.published.is_empty());
    assert_eq!(
        world.refresh("web", &old.refresh_token).await.unwrap_err().reason,
        Reason::Revoked
    );
    world.refresh("web", &new.refresh_token).await.unwrap();
}

#[tokio::test]
async fn other_content_under_one_request_id_is_refused() {
    let world = World::new().await;
    let operation = world.operation();
    world.try_open("alice", operation).await.unwrap();
    let again = world.try_open("alice", operation).await.unwrap();
    let mut other = operation;
    other.request_hash = [0; 32];
    assert_eq!(
        world.try_open("alice", other).await.unwrap_err().reason,
        Reason::RequestIdReused
    );
    assert!(again.published.is_empty());
}

#[tokio::test]
async fn callers_are_known_by_app_tokens_and_judged_by_their_record() {
    let world = World::new().await;
    let (id, secret) = world.authority.create_first_admin().await.unwrap().unwrap();
    assert!(world.authority.create_first_admin().await.unwrap().is_none());
    let system = world
        .authority
        .directory()
        .loaded()
        .view
        .tenants
        .values()
        .find(|tenant| tenant.is_system)
        .unwrap()
        .id;
    let token = world
        .authority
        .issue_app_token(AppTokenRequest {
            tenant: system,
            client: ClientId::new(id.as_str()).unwrap(),
            proof: curfew_authority::ClientProof::Secret(secret.clone()),
            key: None,
            resource: Some("curfew".into()),
            roles: Vec::new(),
        })
        .await
        .unwrap();
    let identity = world
        .authority
        .authenticate(&Credentials::Bearer(token.access_token))
        .await
        .unwrap();
    assert_eq!((identity.id, identity.roles.len()), (id.clone(), 6));
    let wrong = Credentials::Secret {
        id,
        secret: secret + "x",
    };
    assert_eq!(
        world.authority.authenticate(&wrong).await.unwrap_err().reason,
        Reason::CallerUnknown
    );
    // A token for an API is no credential of a caller.
    let tokens = world.issue(&world.open("alice").await, "web").await;
    let refused = world
        .authority
        .authenticate(&Credentials::Bearer(tokens.access_token))
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::AudienceWrong);
    let _ = proof_of("web");
}

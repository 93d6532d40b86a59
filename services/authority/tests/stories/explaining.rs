//! "Why?": what is said of every kind of token, and that saying it changes nothing.

use curfew_authority::{Target, TokenKind};
use curfew_core::ids::{ClientId, SubjectId};
use curfew_core::refusal::{Class, Reason};

use crate::world::World;

/// A token, where it was sent, and what is said of it: kind, authentic, why it is refused.
type Case<'a> = (&'a str, Option<&'a str>, TokenKind, bool, Option<Reason>);

#[tokio::test]
async fn every_kind_is_named_and_every_mix_up_is_said() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let app = world.authority.issue_app_token(world.app("web")).await.unwrap();
    world.hear().await;
    let id_token = tokens.id_token.clone().unwrap();
    let forged = tokens.refresh_token.replace("cfr_AQ", "cfr_Ag");
    let tampered = format!("{}A", tokens.access_token);
    let api = Some("https://orders.example");
    let cases: [Case<'_>; 13] = [
        (&tokens.access_token, None, TokenKind::Access, true, None),
        (&tokens.access_token, api, TokenKind::Access, true, None),
        (
            &tokens.access_token,
            Some("https://files.example"),
            TokenKind::Access,
            true,
            Some(Reason::AudienceWrong),
        ),
        (&app.access_token, api, TokenKind::App, true, None),
        (&id_token, None, TokenKind::Id, true, None),
        (&id_token, api, TokenKind::Id, true, Some(Reason::TokenIsIdToken)),
        (&tokens.refresh_token, None, TokenKind::Refresh, true, None),
        (
            &tokens.refresh_token,
            api,
            TokenKind::Refresh,
            true,
            Some(Reason::TokenIsRefreshToken),
        ),
        (
            &forged,
            None,
            TokenKind::Refresh,
            false,
            Some(Reason::TokenVersion),
        ),
        (
            &tampered,
            None,
            TokenKind::Unknown,
            false,
            Some(Reason::TokenMalformed),
        ),
        ("", None, TokenKind::Unknown, false, Some(Reason::TokenMalformed)),
        (
            "cfr_",
            None,
            TokenKind::Refresh,
            false,
            Some(Reason::TokenMalformed),
        ),
        (
            "é.é.é",
            None,
            TokenKind::Unknown,
            false,
            Some(Reason::TokenMalformed),
        ),
    ];
    let before = world.store.counts();
    for (token, sent_to, kind, is_authentic, refused) in cases {
        let explained = world
            .authority
            .explain(world.tenant, token, sent_to)
            .await
            .unwrap();
        let reason = explained.refused.as_ref().map(|refusal| refusal.reason);
        let said = (explained.kind, explained.is_authentic, reason);
        if token == tampered {
            assert!(!said.1 && said.2.is_some(), "{said:?}");
        } else {
            assert_eq!(said, (kind, is_authentic, refused), "{sent_to:?}");
        }
    }
    assert_eq!(
        world.store.counts().commits,
        before.commits,
        "explaining commits nothing"
    );
}

/// What explaining a refresh token says is what its refresh says next, in every case.
#[tokio::test]
async fn explaining_a_refresh_token_says_what_its_refresh_will_say() {
    let targets: [Option<Target>; 6] = [
        None,
        Some(Target::Client(ClientId::new("web").unwrap())),
        Some(Target::Subject(SubjectId::new("alice").unwrap(), None)),
        Some(Target::Provider("idp-one".into())),
        Some(Target::Tenant),
        Some(Target::Criteria(
            vec![curfew_core::record::Criterion::new("acr", "gold")],
            None,
        )),
    ];
    for target in targets {
        let world = World::new().await;
        let tokens = world.sign_in("alice", "web").await;
        if let Some(target) = target.clone() {
            world.revoke(target).await.unwrap();
        }
        let said = world
            .authority
            .explain(world.tenant, &tokens.refresh_token, None)
            .await
            .unwrap();
        let done = world.refresh("web", &tokens.refresh_token).await;
        let said = said.refused.map(|refusal| refusal.reason);
        assert_eq!(said, done.err().map(|refusal| refusal.reason), "{target:?}");
    }
}

#[tokio::test]
async fn explaining_a_superseded_token_revokes_nothing_and_says_that_presenting_it_would() {
    let world = World::new().await;
    let first = world.sign_in("alice", "web").await;
    let second = world.refresh("web", &first.refresh_token).await.unwrap();
    let third = world.refresh("web", &second.refresh_token).await.unwrap();
    let before = world.store.counts().commits;
    let explained = world
        .authority
        .explain(world.tenant, &first.refresh_token, None)
        .await
        .unwrap();
    let refused = explained.refused.unwrap();
    assert_eq!((refused.reason, refused.by), (Reason::RefreshReused, None));
    assert!(world.revocations().is_empty() && world.store.counts().commits == before);
    world.refresh("web", &third.refresh_token).await.unwrap();
}

#[tokio::test]
async fn an_authority_that_cannot_know_says_so_instead_of_alive() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    world.clock.advance(6_000);
    let refused = world
        .authority
        .explain(world.tenant, &tokens.access_token, None)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::FreshnessStale, Class::Retry)
    );
}

#[tokio::test]
async fn the_views_of_a_session_and_its_preview_agree_with_the_refresh() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let sid = tokens.issued.refresh.sid;
    let alice = SubjectId::new("alice").unwrap();
    let whole = Target::Subject(alice.clone(), None);
    let preview = |target: &Target| {
        let (authority, tenant, target) = (world.authority.clone(), world.tenant, target.clone());
        async move { authority.preview_revocation(tenant, &target).await.unwrap() }
    };
    let seen = preview(&whole).await;
    assert_eq!((seen.sessions, seen.grants), (Some(1), Some(1)));
    assert_eq!(preview(&Target::Tenant).await.sessions, None);
    // A policy that was shortened since holds for the view as for the refresh.
    world
        .change_tenant(|tenant| tenant.session_life_max_ms = 1_000)
        .await;
    world.clock.advance(2_000);
    let view = world.authority.get_session(world.tenant, sid).await.unwrap();
    let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
    assert_eq!(
        (view.over.unwrap().reason, refused.reason),
        (Reason::SessionExpired, Reason::SessionExpired)
    );
    let seen = preview(&Target::Session(sid)).await;
    assert_eq!((seen.sessions, seen.grants), (Some(0), Some(0)));
    assert!(world.revocations().is_empty());
}

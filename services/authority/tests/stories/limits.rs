//! Caps, windows, live guards, and numbers at their ends.

use std::sync::Arc;

use curfew_authority::Subscriber;
use curfew_core::directory::{AtCap, Lifetimes};
use curfew_core::ids::SubjectId;
use curfew_core::refusal::{Class, Reason};
use curfew_core::session::SESSIONS_MAX;
use curfew_core::stored::{Key, Record};
use curfew_core::time::{Clock as _, Millis};

use crate::world::World;

#[tokio::test]
async fn at_a_thousand_sessions_the_one_unused_longest_ends_and_is_told_or_the_opening_is_refused() {
    let world = World::new().await;
    let first = world.sign_in("alice", "web").await;
    for _ in 1..SESSIONS_MAX {
        world.clock.advance(1);
        assert_eq!(world.open("alice").await.ended, None);
    }
    world.change_tenant(|tenant| tenant.at_cap = AtCap::Refuse).await;
    let refused = world.try_open("alice", world.operation()).await.unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::CapSessions, Class::Limit)
    );
    assert!(world.revocations().is_empty());
    world
        .change_tenant(|tenant| tenant.at_cap = AtCap::EndLongestUnused)
        .await;
    let operation = world.operation();
    let opened = world.try_open("alice", operation).await.unwrap();
    let (sid, record) = opened.ended.unwrap();
    assert_eq!(sid, first.issued.refresh.sid);
    assert!(opened.published.len() == 1 && world.revocations().contains_key(&record));
    assert_eq!(
        world.try_open("alice", operation).await.unwrap().ended,
        Some((sid, record)),
        "a retry is told too"
    );
    assert_eq!(
        world
            .refresh("web", &first.refresh_token)
            .await
            .unwrap_err()
            .reason,
        Reason::SessionEnded
    );
    let alice = SubjectId::new("alice").unwrap();
    let seen = world
        .authority
        .get_subject(world.tenant, &alice)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen.sessions, SESSIONS_MAX);
    let whole = curfew_authority::Target::Subject(alice, None);
    let preview = world
        .authority
        .preview_revocation(world.tenant, &whole)
        .await
        .unwrap();
    assert_eq!(preview.sessions, Some(SESSIONS_MAX));
}

fn guard(replica: &str, audience: &str) -> Subscriber {
    Subscriber {
        name: "orders-api".into(),
        replica: replica.into(),
        caller: "guards".into(),
        version: "1".into(),
        source: "hub".into(),
        audiences: vec![audience.into()],
        min_reader: 1,
        routes: Vec::new(),
        bound_ms: Some(5_000),
    }
}

#[tokio::test]
async fn a_long_life_needs_a_guard_that_is_live_now() {
    let world = World::new().await;
    let day = 24 * 3_600_000;
    let lifetimes = Lifetimes {
        keep_ms: day,
        mint_ms: day,
        mint_from: Millis::ZERO,
    };
    let key = (world.tenant, curfew_core::ids::ResourceId::new("orders").unwrap());
    let mut orders = (*world.authority.directory().loaded().view.resources[&key]).clone();
    (orders.guarded, orders.access_token_life_ms) = (true, Some(day));
    let orders = (Key::Resource(key.0, key.1), Record::Resource(Arc::new(orders)));
    world
        .write_directory(vec![(Key::Lifetimes, Record::Lifetimes(lifetimes)), orders])
        .await;
    let session = world.open("alice").await;
    let mut request = world.issuing(session.row.sid, "web");
    request.cp1 = true;
    let mut token = world.authority.issue_tokens(request).await.unwrap().refresh_token;
    let mut life = async || {
        world.hear().await;
        let refreshed = world.refresh("web", &token).await.unwrap();
        token = refreshed.refresh_token;
        refreshed
            .refreshed
            .access
            .expires_at
            .ms_since(world.clock.now().wall)
            > 2 * 3_600_000
    };
    let audience = "https://orders.example";
    assert!(!life().await, "nobody reported");
    world
        .authority
        .report_progress(guard("a", "https://files.example"), vec![0; 4])
        .await
        .unwrap();
    assert!(!life().await, "another API's guard");
    world
        .authority
        .report_progress(guard("b", audience), vec![0; 4])
        .await
        .unwrap();
    assert!(life().await);
    world.clock.advance(29_000);
    assert!(life().await);
    world.clock.advance(1_000);
    assert!(!life().await, "silent for as long as its lease");
    world
        .authority
        .report_progress(guard("b", audience), vec![0; 4])
        .await
        .unwrap();
    world.clock.advance(1_000);
    assert!(life().await);
    // It says good-bye, and nothing that was found before it holds.
    world.authority.leave(&"orders-api".into(), &"b".into()).await;
    assert!(!life().await);
    // Heard in the future: the clock was set back since, so it is waited for.
    world
        .authority
        .report_progress(guard("c", audience), vec![0; 4])
        .await
        .unwrap();
    world.clock.step_wall(-400);
    world.authority.poll_directory().await.unwrap();
    assert!(!world.authority.list_subscribers().await.unwrap().is_empty());
    assert!(!life().await);
}

#[tokio::test]
async fn a_tail_that_is_stale_mints_no_long_life() {
    let world = World::new().await;
    world
        .authority
        .report_progress(guard("a", "https://orders.example"), vec![0; 4])
        .await
        .unwrap();
    let tokens = world.sign_in("alice", "web").await;
    world.clock.advance(60_000);
    let refreshed = world.refresh("web", &tokens.refresh_token).await.unwrap();
    let life = refreshed
        .refreshed
        .access
        .expires_at
        .ms_since(world.clock.now().wall);
    assert!(life <= 10 * 60_000, "{life}");
}

#[tokio::test]
async fn numbers_at_their_ends_panic_nowhere() {
    let world = World::new().await;
    for ms in [i64::MIN, -1, 0, 1, i64::MAX] {
        let mut opening = world.opening("alice");
        opening.idle_timeout_ms = Some(ms);
        opening.max_lifetime_ms = Some(ms);
        opening.proof.auth_time = Millis::from_unix_ms(ms);
        let opened = world.authority.create_session(opening).await.unwrap();
        let mut issuing = world.issuing(opened.row.sid, "web");
        issuing.authorized_at = Some(Millis::from_unix_ms(ms));
        let issued = world.authority.issue_tokens(issuing).await;
        if let Ok(tokens) = issued {
            world.refresh("web", &tokens.refresh_token).await.unwrap();
        }
        let change = curfew_core::decide::update::Request {
            idle_timeout_ms: Some(ms),
            operation: Some(world.operation()),
            ..Default::default()
        };
        let request = curfew_authority::UpdateSessionRequest {
            tenant: world.tenant,
            sid: opened.row.sid,
            change,
        };
        let _ = world.authority.update_session(request).await;
        world
            .change_tenant(|tenant| tenant.sign_in_frequency_ms = Some(ms))
            .await;
        let _ = world.try_open("alice", world.operation()).await;
        world
            .change_tenant(|tenant| tenant.sign_in_frequency_ms = None)
            .await;
    }
    for page_size in [0, 1, usize::MAX] {
        let caller = curfew_core::ids::CallerId::new("one").unwrap();
        let scope = curfew_authority::PageScope {
            caller: &caller,
            method: "L",
            filter: b"",
        };
        let filter = curfew_authority::SessionFilter::default();
        let alice = SubjectId::new("alice").unwrap();
        let listing = world
            .authority
            .list_sessions(world.tenant, &alice, &filter, &scope, page_size, "");
        assert!(listing.await.unwrap().sessions.len() <= 60);
    }
}

#[tokio::test]
async fn p42_a_signature_that_was_verified_before_hides_no_revocation() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    for _ in 0..2 {
        assert!(world.why_inactive(&tokens.access_token).await.is_none());
    }
    world
        .revoke(curfew_authority::Target::Token(tokens.issued.access.jti))
        .await
        .unwrap();
    world.hear().await;
    assert_eq!(
        world.why_inactive(&tokens.access_token).await.unwrap().reason,
        Reason::TokenRevoked
    );
    let other = world.sign_in("bob", "web").await;
    assert!(world.why_inactive(&other.access_token).await.is_none());
    let kid = world
        .authority
        .directory()
        .loaded()
        .ring
        .signing_key()
        .unwrap()
        .clone();
    world.authority.revoke_key(&kid, &world.motive()).await.unwrap();
    world.hear().await;
    assert_eq!(
        world.why_inactive(&other.access_token).await.unwrap().reason,
        Reason::KeyUnknown
    );
}

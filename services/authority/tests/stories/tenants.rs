//! Where a revocation may reach: tenants, issuers, homes, and what outlives the log.

use curfew_authority::Target;
use curfew_core::decide::subject_state::Change;
use curfew_core::directory::ForeignIssuer;
use curfew_core::ids::{ClientId, GrantId, IssuerId, SessionId, SubjectId, TokenId};
use curfew_core::mac::foreign_partition;
use curfew_core::record::{Criterion, LogRecord};
use curfew_core::refusal::Reason;
use curfew_core::time::Clock as _;

use crate::asks::proof_of;
use crate::world::{RIVAL, World};

const FOREIGN: IssuerId = IssuerId::from_bytes([0x77; 16]);

fn alice() -> SubjectId {
    SubjectId::new("alice").unwrap()
}

fn elsewhere() -> ForeignIssuer {
    ForeignIssuer {
        tenant: RIVAL,
        id: FOREIGN,
        display_name: "elsewhere".into(),
        spellings: vec![
            "https://elsewhere.example".into(),
            "https://elsewhere.example/v2".into(),
        ],
        life_ms: 24 * 3_600_000,
        claims: vec!["sub".into()],
        clock_error_ms: 60_000,
        audiences: Vec::new(),
        jwks_uri: None,
        jwks: None,
    }
}

async fn with_issuer(world: &World) {
    world.authority.create_issuer(elsewhere(), None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_one_node_registers_another_knows_as_soon_as_it_has_heard_of_it() {
    let world = World::new().await;
    let other = world.another_node("other", 20);
    other.catch_up().await.unwrap();
    let keeping = tokio::spawn({
        let other = other.clone();
        async move { other.keep_directory().await }
    });
    let knows = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let loaded = other.fresh_directory().await.unwrap();
        loaded.view.issuers.contains_key(&(RIVAL, FOREIGN))
    };
    assert!(!knows().await);
    let began = tokio::time::Instant::now();
    with_issuer(&world).await;
    // No time passes: a view of this age is good until the log says otherwise.
    assert!(!knows().await);
    other.catch_up().await.unwrap();
    assert!(knows().await);
    assert_eq!(tokio::time::Instant::now(), began, "before its next look");
    keeping.abort();
}

#[tokio::test]
async fn no_foreign_entry_takes_our_own_id_our_own_addresses_or_a_life_without_end() {
    let world = World::new().await;
    let cases = [
        ForeignIssuer {
            id: RIVAL.own_issuer(),
            ..elsewhere()
        },
        ForeignIssuer {
            spellings: vec!["https://id.example/yet-to-come".into()],
            ..elsewhere()
        },
        ForeignIssuer {
            life_ms: 32 * 24 * 3_600_000,
            ..elsewhere()
        },
    ];
    for issuer in cases {
        let refused = world.authority.create_issuer(issuer, None).await.unwrap_err();
        assert_eq!(refused.reason, Reason::FieldInvalid, "{refused}");
    }
    let template = ForeignIssuer {
        spellings: vec!["https://sts.example/{tenantid}/".into()],
        ..elsewhere()
    };
    let refused = world.authority.create_issuer(template, None).await.unwrap_err();
    assert_eq!(refused.reason, Reason::IssuerTemplate);
}

#[tokio::test]
async fn q10_nothing_of_another_tenant_is_seen_ended_or_named() {
    let world = World::new().await;
    with_issuer(&world).await;
    let tokens = world.sign_in("alice", "web").await;
    world.hear().await;
    let (sid, gid) = (tokens.issued.refresh.sid, tokens.issued.access.gid);
    let authority = &world.authority;
    let motive = world.motive();
    let as_rival = |target| {
        let mut request = world.revoking(target);
        request.tenant = RIVAL;
        authority.create_revocation(request)
    };
    let by_sid = Target::Criteria(vec![Criterion::new("sid", sid.to_string())], None);
    let unknown = [
        authority.get_session(RIVAL, sid).await.map(drop),
        authority.end_session(RIVAL, sid, &motive).await.map(drop),
        authority.end_grant(RIVAL, sid, gid, &motive).await.map(drop),
        authority.end_other_sessions(RIVAL, sid, &motive).await.map(drop),
        as_rival(Target::Session(sid)).await.map(drop),
        as_rival(Target::Grant(sid, gid)).await.map(drop),
        as_rival(Target::Subject(alice(), Some(sid))).await.map(drop),
        as_rival(by_sid).await.map(drop),
        authority
            .issue_tokens({
                let mut request = world.issuing(sid, "web");
                request.tenant = RIVAL;
                request
            })
            .await
            .map(drop),
    ];
    for answer in unknown {
        assert_eq!(answer.unwrap_err().reason, Reason::SessionUnknown);
    }
    // A refresh token is another tenant's by its tag, an access token by its issuer.
    let mut refreshing = world.refreshing("web", &tokens.refresh_token);
    refreshing.tenant = RIVAL;
    assert_eq!(
        authority.refresh_tokens(refreshing).await.unwrap_err().reason,
        Reason::TokenForged
    );
    let seen = authority.introspect(RIVAL, &tokens.access_token).await.unwrap();
    assert_eq!(seen.why.unwrap().reason, Reason::IssuerUnknown);
    let explained = authority
        .explain(RIVAL, &tokens.access_token, None)
        .await
        .unwrap();
    assert!(explained.claims.is_empty() && explained.session.is_none());
    let (web, proof) = (ClientId::new("web").unwrap(), proof_of("web"));
    for token in [&tokens.access_token, &tokens.refresh_token] {
        let revoked = authority
            .revoke_token(RIVAL, &web, &proof, None, token, &motive)
            .await
            .unwrap();
        assert!(revoked.record.is_none());
    }
    // An issuer entry is one tenant's; another tenant's own issuer is none of ours.
    for issuer in [FOREIGN, RIVAL.own_issuer()] {
        let mut request = world.revoking(Target::Subject(alice(), None));
        request.issuer = Some(issuer);
        let refused = authority.create_revocation(request).await.unwrap_err();
        assert_eq!(refused.reason, Reason::IssuerEntryUnknown);
    }
    assert!(world.revocations().is_empty());
    // The rival's cut-offs of the same names, and of its whole tenant, touch its own alone (invariant 14).
    for target in [
        Target::Subject(alice(), None),
        Target::Client(web),
        Target::Tenant,
    ] {
        as_rival(target).await.unwrap();
    }
    let jti = tokens.issued.access.jti;
    as_rival(Target::Token(jti)).await.unwrap();
    world.hear().await;
    assert!(world.why_inactive(&tokens.access_token).await.is_none());
    world.refresh("web", &tokens.refresh_token).await.unwrap();
}

#[tokio::test]
async fn q6_a_mark_outlives_the_log_where_what_it_covers_could_be_refreshed() {
    let of = |claims: &[(&str, &str)]| {
        let criteria = claims.iter().map(|(claim, value)| Criterion::new(claim, value));
        Target::Criteria(criteria.collect(), None)
    };
    let targets = [
        of(&[("client_id", "web"), ("oid", "alice")]),
        of(&[("client_id", "web"), ("deviceid", "laptop")]),
        of(&[("acr", "gold")]),
        Target::Client(ClientId::new("web").unwrap()),
        Target::Subject(alice(), None),
    ];
    for target in targets {
        let world = World::new().await;
        world
            .change_tenant(|tenant| tenant.idle_timeout_ms = 365 * 24 * 3_600_000)
            .await;
        let tokens = world.sign_in("alice", "web").await;
        world.revoke(target.clone()).await.unwrap();
        // A month later, on another node that has heard nothing of the log.
        let other = world.another_node("other", 11);
        world.clock.advance(30 * 24 * 3_600_000);
        world.store.collect();
        let refused = other
            .refresh_tokens(world.refreshing("web", &tokens.refresh_token))
            .await
            .unwrap_err();
        assert_eq!(refused.reason, Reason::Revoked, "{target:?}");
    }
}

/// Claims with their values, and the claim of `before`.
type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);

#[tokio::test]
async fn q6_criteria_without_a_home_are_refused_by_name() {
    let world = World::new().await;
    let sid = world.open("alice").await.row.sid;
    let gid = GrantId::new(sid.birth(), sid.partition(), [1; 8]).to_string();
    let jti = TokenId::new(sid.birth(), sid.partition(), [1; 8]).to_string();
    let cases: [Case<'_>; 7] = [
        (&[], None),
        (&[("sub", "alice")], None),
        (&[("gid", &gid)], None),
        (&[("jti", &jti)], Some("iat")),
        (&[("acr", "gold"), ("jti", &jti)], None),
        (&[("acr", "gold")], Some("exp")),
        (&[("sid", "not-one")], None),
    ];
    for (claims, before) in cases {
        let criteria = claims.iter().map(|(claim, value)| Criterion::new(claim, value));
        let target = Target::Criteria(criteria.collect(), before.map(Into::into));
        assert_eq!(
            world.revoke(target).await.unwrap_err().reason,
            Reason::CriteriaInvalid,
            "{claims:?}"
        );
    }
    assert!(world.revocations().is_empty());
}

#[tokio::test]
async fn q7_q11_q27_a_foreign_revocation_is_of_now_for_that_issuers_life_in_its_one_partition() {
    let world = World::new().await;
    with_issuer(&world).await;
    let now = world.clock.now().wall;
    let revoke = |target, add_clock_error| {
        let mut request = world.revoking(target);
        (request.tenant, request.issuer, request.add_clock_error) = (RIVAL, Some(FOREIGN), add_clock_error);
        world.authority.create_revocation(request)
    };
    let record = revoke(Target::Subject(alice(), None), false)
        .await
        .unwrap()
        .revocation
        .unwrap();
    assert_eq!(record.before.as_ref().unwrap().instant, now);
    assert!(record.keep_until.ms_since(now) >= 24 * 3_600_000 + 120_000);
    assert_eq!(
        (record.issuer, record.home),
        (FOREIGN, foreign_partition(RIVAL, FOREIGN))
    );
    assert!(!record.wide);
    // A clock error beyond what any record may lie ahead is refused, never cut short in silence.
    let refused = revoke(Target::Subject(alice(), None), true).await.unwrap_err();
    assert_eq!(refused.reason, Reason::CriteriaInvalid);
    let by = |claim: &str| Target::Criteria(vec![Criterion::new(claim, "v")], None);
    assert_eq!(
        revoke(by("oid"), false).await.unwrap_err().reason,
        Reason::ClaimNotCarried
    );
    revoke(by("sub"), false).await.unwrap();
    let sid = SessionId::new(now, foreign_partition(RIVAL, FOREIGN), [1; 8]);
    for target in [
        Target::Session(sid),
        Target::Tenant,
        Target::Client(ClientId::new("web").unwrap()),
    ] {
        assert_eq!(
            revoke(target, false).await.unwrap_err().reason,
            Reason::CriteriaInvalid
        );
    }
}

#[tokio::test]
async fn q14_a_disabled_subject_gets_nothing_and_what_was_before_stays_dead_when_it_is_enabled() {
    let world = World::new().await;
    let old = world.sign_in("alice", "web").await;
    let change = |change| {
        let motive = world.motive();
        let authority = world.authority.clone();
        let tenant = world.tenant;
        async move {
            authority
                .change_subject(tenant, alice(), change, &motive)
                .await
                .unwrap()
        }
    };
    let (one, two) = (change(Change::Disable).await, change(Change::Disable).await);
    assert!(one.state.is_some() && two.state.is_some() && one.state != two.state);
    for _ in 0..2 {
        assert_eq!(
            world
                .try_open("alice", world.operation())
                .await
                .unwrap_err()
                .reason,
            Reason::SubjectDisabled
        );
    }
    let refused = world.refresh("web", &old.refresh_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SubjectDisabled);
    let enabled = change(Change::Enable).await;
    let lifted = world
        .identity
        .all()
        .flat_map(|partition| world.log.records(partition))
        .find_map(|record| {
            if let LogRecord::SubjectState(state) = record {
                (Some(state.id) == enabled.state).then(|| format!("{:?}", state.change))
            } else {
                None
            }
        });
    let lifted = lifted.unwrap();
    let names = |id: Option<curfew_core::ids::RecordId>| lifted.contains(&format!("{:?}", id.unwrap()));
    assert!(
        names(one.state) && names(two.state),
        "it names the disables that it lifts: {lifted}"
    );
    world.clock.advance(2_000);
    assert_eq!(
        world.refresh("web", &old.refresh_token).await.unwrap_err().reason,
        Reason::Revoked
    );
    let new = world.sign_in("alice", "web").await;
    world.refresh("web", &new.refresh_token).await.unwrap();
    // A deleted subject's cut-off outlives a re-creation under the same name.
    change(Change::Delete).await;
    world.clock.advance(2_000);
    world.sign_in("alice", "web").await;
    assert_eq!(
        world.refresh("web", &new.refresh_token).await.unwrap_err().reason,
        Reason::Revoked
    );
}

#[tokio::test]
async fn q31_a_workload_is_a_subject_of_the_same_space_and_is_cut_off_like_one() {
    let world = World::new().await;
    let app = world.authority.issue_app_token(world.app("web")).await.unwrap();
    world.hear().await;
    assert!(world.why_inactive(&app.access_token).await.is_none());
    let web = SubjectId::new("web").unwrap();
    let answer = world.revoke(Target::Subject(web, None)).await.unwrap();
    assert_eq!(&*answer.revocation.unwrap().all_of[0].claim, "oid");
    world.hear().await;
    assert_eq!(
        world.why_inactive(&app.access_token).await.unwrap().reason,
        Reason::TokenRevoked
    );
    world.clock.advance(3_000);
    let new = world.authority.issue_app_token(world.app("web")).await.unwrap();
    world.hear().await;
    assert!(world.why_inactive(&new.access_token).await.is_none());
}

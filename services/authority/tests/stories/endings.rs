//! Every way to end a session, a grant or a token publishes exactly one revocation id, after the commit
//! (invariant 11), and nothing that was not committed.

use curfew_authority::{IssuedTokens, Target};
use curfew_core::decide::subject_state::Change;
use curfew_core::directory::{AtCap, ForeignIssuer, OnReuse};
use curfew_core::ids::{ClientId, DeviceId, IssuerId, KeyId, SubjectId};
use curfew_core::place::Partition;
use curfew_core::record::{Criterion, JOSE_KID_CLAIM};
use curfew_core::refusal::{Class, Reason, Refusal};
use curfew_core::session::{GRANTS_PER_CLIENT_MAX, SESSIONS_MAX};
use curfew_core::stored::{Key, Record, Write};
use curfew_core::subject::LedgerEntry;

use crate::asks::proof_of;
use crate::world::World;

/// Ways to end something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    EndSession,
    EndGrant,
    EndOthers,
    RevokeSession,
    RevokeGrant,
    RevokeSubject,
    RevokeSubjectButOne,
    RevokeToken,
    Rfc7009Refresh,
    Rfc7009Access,
    SessionCap,
    GrantCap,
    ReuseEndsGrant,
    ReuseEndsSession,
    Disable,
    Delete,
    Device,
    Client,
    Tenant,
    Provider,
    RetiredKey,
    CriteriaOfSubject,
    CriteriaOfSession,
    CriteriaOfDirectory,
    CriteriaOfToken,
    ForeignSubject,
    ForeignKey,
    ForeignCriteria,
}

/// What the same call with another operation publishes when all is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Again {
    /// What is over publishes nothing.
    Nothing,
    /// A cut-off ends what was born since the last one, so it is always a new record; and of a mark on
    /// claims nobody can say that nothing is left for it to end.
    OneMore,
}

const WAYS: [(Way, Again); 28] = [
    (Way::EndSession, Again::Nothing),
    (Way::EndGrant, Again::Nothing),
    (Way::EndOthers, Again::OneMore),
    (Way::RevokeSession, Again::Nothing),
    (Way::RevokeGrant, Again::Nothing),
    (Way::RevokeSubject, Again::OneMore),
    (Way::RevokeSubjectButOne, Again::OneMore),
    (Way::RevokeToken, Again::Nothing),
    (Way::Rfc7009Refresh, Again::Nothing),
    (Way::Rfc7009Access, Again::Nothing),
    // The other sessions of this ledger are not there: the ledger is a hint.
    (Way::SessionCap, Again::Nothing),
    (Way::GrantCap, Again::OneMore),
    (Way::ReuseEndsGrant, Again::Nothing),
    (Way::ReuseEndsSession, Again::Nothing),
    (Way::Disable, Again::OneMore),
    (Way::Delete, Again::OneMore),
    (Way::Device, Again::OneMore),
    (Way::Client, Again::OneMore),
    (Way::Tenant, Again::OneMore),
    (Way::Provider, Again::OneMore),
    (Way::RetiredKey, Again::OneMore),
    (Way::CriteriaOfSubject, Again::OneMore),
    (Way::CriteriaOfSession, Again::OneMore),
    (Way::CriteriaOfDirectory, Again::OneMore),
    (Way::CriteriaOfToken, Again::Nothing),
    (Way::ForeignSubject, Again::OneMore),
    (Way::ForeignKey, Again::OneMore),
    (Way::ForeignCriteria, Again::OneMore),
];

const FOREIGN: IssuerId = IssuerId::from_bytes([0x77; 16]);

/// A world in which each way has something to end: a session, a grant, and a superseded refresh token.
struct Scene {
    world: World,
    tokens: IssuedTokens,
}

impl Scene {
    async fn new(way: Way, has_outbox: bool) -> Self {
        let world = if has_outbox {
            World::with_outbox().await
        } else {
            World::new().await
        };
        world
            .authority
            .create_issuer(foreign(&world), None)
            .await
            .unwrap();
        if way == Way::ReuseEndsSession {
            world
                .change_tenant(|tenant| tenant.on_reuse = OnReuse::EndSession)
                .await;
        }
        let tokens = world.sign_in("alice", "web").await;
        // Rotated twice, so that the first token is older than the predecessor.
        let once = world.refresh("web", &tokens.refresh_token).await.unwrap();
        world.refresh("web", &once.refresh_token).await.unwrap();
        let scene = Self { world, tokens };
        if way == Way::SessionCap {
            scene.fill_ledger().await;
        }
        if way == Way::GrantCap {
            let sid = scene.tokens.issued.refresh.sid;
            for _ in 1..GRANTS_PER_CLIENT_MAX {
                let request = scene.world.issuing(sid, "web");
                scene.world.authority.issue_tokens(request).await.unwrap();
            }
        }
        scene.world.hear().await;
        scene
    }

    /// A thousand sessions in the ledger, of which the one that is there was used longest ago.
    async fn fill_ledger(&self) {
        let key = self.world.key_of(&self.tokens);
        let stored = self.world.stored(key.partition(), Key::Ledger(key)).await;
        let Some(Record::Ledger(ledger)) = stored else {
            panic!("a ledger");
        };
        let mut ledger = (*ledger).clone();
        let present = ledger.sessions[0];
        while ledger.sessions.len() < SESSIONS_MAX {
            let n = u64::try_from(ledger.sessions.len()).unwrap();
            let sid = curfew_core::ids::SessionId::new(present.sid.birth(), key.partition(), n.to_be_bytes());
            let last_used = present.last_used.plus_ms(1);
            ledger.add(LedgerEntry {
                sid,
                last_used,
                ..present
            });
        }
        let write = Write::put(Record::Ledger(std::sync::Arc::new(ledger)));
        self.world
            .write(key.partition(), vec![(Key::Ledger(key), write)])
            .await;
    }

    /// Ends it, as the operation that `n` names: the same number is a retry.
    async fn end(&self, way: Way, n: u8) -> Result<(), Refusal> {
        let (world, tokens) = (&self.world, &self.tokens);
        let (sid, gid) = (tokens.issued.refresh.sid, tokens.issued.access.gid);
        let id = curfew_core::ids::OperationId::from_bytes([n; 16]);
        let mut motive = world.motive();
        motive.operation = Some(curfew_authority::operation_of(id, "end", &[n]));
        let alice = SubjectId::new("alice").unwrap();
        let one = |claim: &str, value: &str| vec![Criterion::new(claim, value)];
        let target = match way {
            Way::EndSession => {
                return world
                    .authority
                    .end_session(world.tenant, sid, &motive)
                    .await
                    .map(drop);
            }
            Way::EndGrant => {
                return world
                    .authority
                    .end_grant(world.tenant, sid, gid, &motive)
                    .await
                    .map(drop);
            }
            Way::EndOthers => {
                return world
                    .authority
                    .end_other_sessions(world.tenant, sid, &motive)
                    .await
                    .map(drop);
            }
            Way::Rfc7009Refresh | Way::Rfc7009Access => {
                let token = if way == Way::Rfc7009Access {
                    &tokens.access_token
                } else {
                    &tokens.refresh_token
                };
                let (web, proof) = (ClientId::new("web").unwrap(), proof_of("web"));
                let revoked = world
                    .authority
                    .revoke_token(world.tenant, &web, &proof, None, token, &motive);
                return revoked.await.map(drop);
            }
            Way::SessionCap => return world.try_open("alice", motive.operation.unwrap()).await.map(drop),
            Way::GrantCap => {
                let mut request = world.issuing(sid, "web");
                request.operation = motive.operation.unwrap();
                return world.authority.issue_tokens(request).await.map(drop);
            }
            Way::ReuseEndsGrant | Way::ReuseEndsSession => {
                let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
                return if refused.reason.class() == Class::Dead {
                    Ok(())
                } else {
                    Err(refused)
                };
            }
            Way::Disable | Way::Delete => {
                let change = if way == Way::Disable {
                    Change::Disable
                } else {
                    Change::Delete
                };
                return world
                    .authority
                    .change_subject(world.tenant, alice, change, &motive)
                    .await
                    .map(drop);
            }
            Way::RevokeSession => Target::Session(sid),
            Way::RevokeGrant => Target::Grant(sid, gid),
            Way::RevokeSubject | Way::ForeignSubject => Target::Subject(alice, None),
            Way::RevokeSubjectButOne => Target::Subject(alice, Some(sid)),
            Way::RevokeToken => Target::Token(tokens.issued.access.jti),
            Way::Device => Target::Device(DeviceId::new("laptop").unwrap()),
            Way::Client => Target::Client(ClientId::new("web").unwrap()),
            Way::Tenant => Target::Tenant,
            Way::Provider => Target::Provider("idp-one".into()),
            Way::RetiredKey | Way::ForeignKey => Target::Key(KeyId::new("some-other-key").unwrap()),
            Way::CriteriaOfSubject => {
                let all_of = vec![Criterion::new("client_id", "web"), Criterion::new("oid", "alice")];
                Target::Criteria(all_of, None)
            }
            Way::CriteriaOfSession => Target::Criteria(one("sid", &sid.to_string()), None),
            Way::CriteriaOfDirectory => Target::Criteria(one("acr", "gold"), Some("sid".into())),
            Way::CriteriaOfToken => Target::Criteria(one("jti", &tokens.issued.access.jti.to_string()), None),
            Way::ForeignCriteria => Target::Criteria(one("sub", "u"), Some("iat".into())),
        };
        let is_foreign = matches!(way, Way::ForeignSubject | Way::ForeignKey | Way::ForeignCriteria);
        let mut request = world.revoking(target);
        request.issuer = is_foreign.then_some(FOREIGN);
        request.motive = motive;
        world.authority.create_revocation(request).await.map(drop)
    }

    /// Revocation ids on the log, once the relay has run dry.
    async fn published(&self) -> usize {
        self.world.clock.advance(6_000);
        for partition in Partition::all() {
            self.world.authority.relay(partition).await.unwrap();
        }
        self.world.hear().await;
        self.world.revocations().len()
    }
}

pub(crate) fn foreign(world: &World) -> ForeignIssuer {
    ForeignIssuer {
        tenant: world.tenant,
        id: FOREIGN,
        display_name: "elsewhere".into(),
        spellings: vec!["https://elsewhere.example".into()],
        life_ms: 24 * 3_600_000,
        claims: vec!["sub".into()],
        clock_error_ms: 60_000,
        audiences: Vec::new(),
        jwks_uri: None,
        jwks: None,
    }
}

#[tokio::test]
async fn every_way_publishes_exactly_one_id_and_what_is_over_none() {
    for has_outbox in [false, true] {
        for (way, again) in WAYS {
            let scene = Scene::new(way, has_outbox).await;
            assert_eq!(scene.published().await, 0, "{way:?}");
            // A try that lost to another leaves nothing behind.
            scene.world.store.conflict_next(2);
            scene.end(way, 1).await.unwrap();
            assert_eq!(scene.published().await, 1, "{way:?}, outbox {has_outbox}");
            scene.end(way, 1).await.unwrap();
            assert_eq!(scene.published().await, 1, "{way:?}: a retry knows its own work");
            let _ = scene.end(way, 2).await;
            let expected = if again == Again::OneMore { 2 } else { 1 };
            assert_eq!(scene.published().await, expected, "{way:?}, outbox {has_outbox}");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_down_or_isolated_is_told_and_publishes_nothing_until_the_retry() {
    for (way, _) in WAYS {
        let scene = Scene::new(way, false).await;
        let store = scene.world.store.clone();
        store.isolate();
        let refused = scene.end(way, 1).await.unwrap_err();
        assert_eq!(refused.reason.class(), Class::Retry, "{way:?}: {refused}");
        store.rejoin();
        store.go_down();
        let refused = scene.end(way, 1).await.unwrap_err();
        assert_eq!(refused.reason.class(), Class::Retry, "{way:?}: {refused}");
        store.come_up();
        assert_eq!(scene.published().await, 0, "{way:?}");
        scene.end(way, 1).await.unwrap();
        assert_eq!(scene.published().await, 1, "{way:?}");
    }
}

#[tokio::test]
async fn q15_what_went_to_the_log_first_and_its_retry_end_with_one_id() {
    for (way, _) in WAYS {
        let scene = Scene::new(way, true).await;
        let world = &scene.world;
        world.hear().await;
        world.authority.poll_directory().await.unwrap();
        world.store.isolate();
        // What needs the store is told to come again; the rest is on the log by now.
        let told = scene.end(way, 1).await;
        assert!(
            told.as_ref()
                .err()
                .is_none_or(|refusal| refusal.reason.class() == Class::Retry),
            "{way:?}: {told:?}"
        );
        let published = world.revocations().len();
        assert_eq!(published, usize::from(told.is_ok()), "{way:?}");
        world.store.rejoin();
        world.clock.advance(30_000);
        world.hear().await;
        world.authority.round(true).await.unwrap();
        let retried = scene.end(way, 1).await;
        assert!(retried.is_ok(), "{way:?}: {retried:?}");
        assert_eq!(scene.published().await, 1, "{way:?}");
    }
}

#[tokio::test]
async fn p21_q15_a_lost_answer_and_its_retry_end_with_one_id() {
    for has_outbox in [false, true] {
        for (way, _) in WAYS {
            let scene = Scene::new(way, has_outbox).await;
            scene.world.store.lose_answers(1);
            let refused = scene.end(way, 1).await.unwrap_err();
            assert_eq!(refused.reason, Reason::StoreUnavailable, "{way:?}");
            scene.end(way, 1).await.unwrap();
            assert_eq!(scene.published().await, 1, "{way:?}, outbox {has_outbox}");
        }
    }
}

#[tokio::test]
async fn a_key_of_the_ring_is_told_to_each_tenant_once_and_to_nobody_again() {
    let world = World::new().await;
    let kid = world
        .authority
        .directory()
        .loaded()
        .ring
        .signing_key()
        .unwrap()
        .clone();
    let tenants = world.authority.directory().loaded().view.tenants.len();
    let told = world.authority.revoke_key(&kid, &world.motive()).await.unwrap();
    assert_eq!((told.len(), world.revocations().len()), (tenants, tenants));
    assert!(
        world
            .revocations()
            .values()
            .all(|mark| { mark.before.is_none() && mark.wide && *mark.all_of[0].claim == *JOSE_KID_CLAIM })
    );
    let again = world.authority.revoke_key(&kid, &world.motive()).await.unwrap();
    assert_eq!((again.len(), world.revocations().len()), (0, tenants));
}

#[tokio::test]
async fn a_cap_that_refuses_ends_nothing() {
    for way in [Way::SessionCap, Way::GrantCap] {
        let scene = Scene::new(way, false).await;
        scene
            .world
            .change_tenant(|tenant| tenant.at_cap = AtCap::Refuse)
            .await;
        let refused = scene.end(way, 1).await.unwrap_err();
        assert!(
            matches!(refused.reason, Reason::CapSessions | Reason::CapGrants),
            "{refused}"
        );
        assert_eq!(refused.reason.class(), Class::Limit);
        assert_eq!(scene.published().await, 0);
    }
}

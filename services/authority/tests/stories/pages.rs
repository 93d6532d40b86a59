//! Pages and operations: what is bound to whom.

use curfew_authority::{PageScope, SessionFilter, Target, UpdateSessionRequest};
use curfew_core::decide::subject_state::Change;
use curfew_core::ids::{CallerId, OperationId, SubjectId};
use curfew_core::refusal::{Class, Reason};

use crate::world::World;

const METHOD: &str = "ListSessions";

fn scope<'a>(caller: &'a CallerId, method: &'static str, filter: &'a [u8]) -> PageScope<'a> {
    PageScope {
        caller,
        method,
        filter,
    }
}

#[tokio::test]
async fn a_page_token_is_of_one_caller_one_method_and_one_filter() {
    let world = World::new().await;
    for _ in 0..7 {
        world.open("alice").await;
        world.clock.advance(1_000);
    }
    let alice = SubjectId::new("alice").unwrap();
    let (one, two) = (CallerId::new("one").unwrap(), CallerId::new("two").unwrap());
    let list = async |scope: &PageScope<'_>, token: &str| {
        let filter = SessionFilter::default();
        world
            .authority
            .list_sessions(world.tenant, &alice, &filter, scope, 3, token)
            .await
    };
    let own = scope(&one, METHOD, b"alice");
    let first = list(&own, "").await.unwrap();
    let token = first.next_page_token;
    for foreign in [
        scope(&two, METHOD, b"alice"),
        scope(&one, "Other", b"alice"),
        scope(&one, METHOD, b"bob"),
    ] {
        assert_eq!(
            list(&foreign, &token).await.unwrap_err().reason,
            Reason::PageToken
        );
    }
    for place in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(bytes).unwrap();
        assert_eq!(
            list(&own, &tampered).await.unwrap_err().reason,
            Reason::PageToken,
            "byte {place}"
        );
    }
    for junk in ["A", "AAAA", "=", "é", "cfr_", &format!("{token}A")] {
        assert_eq!(
            list(&own, junk).await.unwrap_err().reason,
            Reason::PageToken,
            "{junk}"
        );
    }
    // All pages together are each session once, in order of birth.
    let (mut seen, mut token) = (first.sessions, token);
    while !token.is_empty() {
        let page = list(&own, &token).await.unwrap();
        seen.extend(page.sessions);
        token = page.next_page_token;
    }
    let births: Vec<_> = seen.iter().map(|view| view.row.sid.birth()).collect();
    assert!(births.len() == 7 && births.is_sorted());
}

#[tokio::test]
async fn a_request_id_is_of_one_method_and_one_content() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let sid = session.row.sid;
    let tokens = world.issue(&session, "web").await;
    let hash =
        |method: &str, n: u8| curfew_authority::operation_of(OperationId::from_bytes([9; 16]), method, &[n]);
    // Whatever did something first under this id, in this partition, owns it.
    world.try_open("alice", hash("CreateSession", 1)).await.unwrap();
    world.try_open("alice", hash("CreateSession", 1)).await.unwrap();
    let authority = &world.authority;
    let with = |operation| {
        let mut motive = world.motive();
        motive.operation = Some(operation);
        motive
    };
    let mut issuing = world.issuing(sid, "web");
    issuing.operation = hash("IssueTokens", 1);
    let mut revoking = world.revoking(Target::Token(tokens.issued.access.jti));
    revoking.motive = with(hash("CreateRevocation", 1));
    let alice = SubjectId::new("alice").unwrap();
    let update = UpdateSessionRequest {
        tenant: world.tenant,
        sid,
        change: curfew_core::decide::update::Request {
            is_activity: true,
            operation: Some(hash("UpdateSession", 1)),
            ..Default::default()
        },
    };
    let tenant = world.tenant;
    let gid = tokens.issued.access.gid;
    let (end, others, disable) = (
        with(hash("End", 1)),
        with(hash("Others", 1)),
        with(hash("Disable", 1)),
    );
    let reused = [
        world.try_open("alice", hash("CreateSession", 2)).await.map(drop),
        authority.issue_tokens(issuing).await.map(drop),
        authority.update_session(update).await.map(drop),
        authority.end_session(tenant, sid, &end).await.map(drop),
        authority.end_grant(tenant, sid, gid, &end).await.map(drop),
        authority.end_other_sessions(tenant, sid, &others).await.map(drop),
        authority.create_revocation(revoking).await.map(drop),
        authority
            .change_subject(tenant, alice, Change::Disable, &disable)
            .await
            .map(drop),
    ];
    for (n, answer) in reused.into_iter().enumerate() {
        let refused = answer.unwrap_err();
        assert_eq!(
            (refused.reason, refused.reason.class()),
            (Reason::RequestIdReused, Class::Exists),
            "{n}"
        );
    }
    assert!(world.revocations().is_empty());
}

#[tokio::test]
async fn a_creation_is_repeated_by_its_operation_and_refused_by_its_name() {
    let world = World::new().await;
    let operation = Some(world.operation());
    let record = crate::asks::resource(world.tenant, "mail");
    world.store.lose_answers(1);
    let refused = world
        .authority
        .create_resource(record.clone(), operation)
        .await
        .unwrap_err();
    assert_eq!(refused.reason.class(), Class::Retry);
    world
        .authority
        .create_resource(record.clone(), operation)
        .await
        .unwrap();
    let mut other = record.clone();
    other.id = curfew_core::ids::ResourceId::new("post").unwrap();
    for taken in [record, other] {
        let refused = world.authority.create_resource(taken, None).await.unwrap_err();
        assert_eq!(refused.reason, Reason::AlreadyExists);
    }
    let tenant = crate::asks::tenant_named(curfew_core::ids::TenantId::from_bytes([5; 16]), "fresh");
    let operation = Some(world.operation());
    world.store.lose_answers(1);
    world
        .authority
        .create_tenant(tenant.clone(), operation)
        .await
        .unwrap_err();
    world
        .authority
        .create_tenant(tenant.clone(), operation)
        .await
        .unwrap();
    let mut twin = tenant;
    twin.id = curfew_core::ids::TenantId::from_bytes([6; 16]);
    let refused = world.authority.create_tenant(twin, None).await.unwrap_err();
    assert_eq!(refused.reason, Reason::AlreadyExists);
}

#[tokio::test]
async fn two_nodes_that_take_one_name_at_once_end_with_one_owner() {
    let world = World::new().await;
    let other = world.another_node("other", 13);
    other.poll_directory().await.unwrap();
    // The other node has looked, and stands before its commit.
    let held = world.store.delay_next();
    let tenant = |n: u8| crate::asks::tenant_named(curfew_core::ids::TenantId::from_bytes([n; 16]), "fresh");
    let creating = tokio::spawn(async move { other.create_tenant(tenant(5), None).await });
    held.arrived().await;
    world.authority.create_tenant(tenant(6), None).await.unwrap();
    held.release();
    assert_eq!(creating.await.unwrap().unwrap_err().reason, Reason::AlreadyExists);
}

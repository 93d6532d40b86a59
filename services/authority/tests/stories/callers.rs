//! Who calls, and what is told to whom.

use curfew_authority::{AppTokenRequest, Authority, ClientProof, Credentials, Target};
use curfew_core::directory::{Caller, Role, TenantScope};
use curfew_core::ids::{CallerId, ClientId, SubjectId, TenantId};
use curfew_core::record::Initiator;
use curfew_core::refusal::{Class, Reason};
use curfew_core::stored::{Key, Record, Write};

use crate::world::{RIVAL, World};

fn system(world: &World) -> TenantId {
    let loaded = world.authority.directory().loaded();
    loaded
        .view
        .tenants
        .values()
        .find(|tenant| tenant.is_system)
        .unwrap()
        .id
}

/// A caller with these roles for one tenant, and a token of it.
async fn caller(world: &World, roles: &[Role]) -> (Caller, String) {
    let (secret, stored) = world.authority.new_secret("first");
    let caller = Caller {
        id: CallerId::new("back-end").unwrap(),
        display_name: "A back end".into(),
        secrets: vec![stored],
        certificate_names: Vec::new(),
        roles: roles.to_vec(),
        tenants: TenantScope::Only(vec![world.tenant]),
        disables: Vec::new(),
    };
    world.authority.create_caller(caller.clone(), None).await.unwrap();
    let token = token_of(&world.authority, system(world), secret).await;
    (caller, token)
}

async fn token_of(authority: &Authority, system: TenantId, secret: String) -> String {
    let request = AppTokenRequest {
        tenant: system,
        client: ClientId::new("back-end").unwrap(),
        proof: ClientProof::Secret(secret),
        key: None,
        resource: Some("curfew".into()),
        roles: Vec::new(),
    };
    authority.issue_app_token(request).await.unwrap().access_token
}

async fn put_caller(world: &World, caller: Caller) {
    let key = Key::Caller(caller.id.clone());
    world
        .write_directory(vec![(key, Record::Caller(std::sync::Arc::new(caller)))])
        .await;
}

#[tokio::test]
async fn p40_a_caller_is_judged_by_its_record_though_the_tail_is_stale_and_a_removed_role_is_gone() {
    let world = World::with_outbox().await;
    let (mut record, token) = caller(&world, &[Role::RevocationsWrite, Role::SessionsRead]).await;
    let bearer = Credentials::Bearer(token);
    // The log is away for a minute: the caller may still revoke.
    world.log.go_down();
    world.clock.advance(60_000);
    assert!(!world.authority.is_fresh());
    let identity = world.authority.authenticate(&bearer).await.unwrap();
    identity.demand(Role::RevocationsWrite).unwrap();
    identity.demand_tenant(world.tenant).unwrap();
    assert_eq!(
        identity.demand(Role::Admin).unwrap_err().reason,
        Reason::CallerRole
    );
    assert_eq!(
        identity.demand_tenant(RIVAL).unwrap_err().reason,
        Reason::CallerTenant
    );
    assert_eq!(
        identity.demand_all_tenants().unwrap_err().reason,
        Reason::CallerTenant
    );
    // A role that was taken away is gone within the age of the view, whatever the token says.
    let other = world.another_node("other", 12);
    other.authenticate(&bearer).await.unwrap();
    record.roles = vec![Role::SessionsRead];
    put_caller(&world, record.clone()).await;
    world.clock.advance(1_000);
    for node in [&world.authority, &other] {
        let identity = node.authenticate(&bearer).await.unwrap();
        assert_eq!(
            identity.demand(Role::RevocationsWrite).unwrap_err().reason,
            Reason::CallerRole
        );
    }
    record.disables = vec![curfew_core::ids::RecordId::from_random([1; 16])];
    put_caller(&world, record).await;
    assert_eq!(
        world.authority.authenticate(&bearer).await.unwrap_err().reason,
        Reason::CallerUnknown
    );
}

#[tokio::test]
async fn p40_a_stale_tail_asks_the_store_and_takes_absence_for_no_permission() {
    let world = World::new().await;
    let (record, token) = caller(&world, &[Role::Admin]).await;
    let bearer = Credentials::Bearer(token);
    world.hear().await;
    // Fresh: the index is enough, as it is for a guard.
    world.authority.poll_directory().await.unwrap();
    let before = world.store.counts().reads;
    world.authority.authenticate(&bearer).await.unwrap();
    assert_eq!(world.store.counts().reads, before);
    let subject: SubjectId = record.id.as_str().parse().unwrap();
    world.clock.advance(60_000);
    // Cut off by a record that this node has not heard: the store knows.
    let mut request = world.revoking(Target::Subject(subject, None));
    request.tenant = system(&world);
    world.authority.create_revocation(request).await.unwrap();
    assert_eq!(
        world.authority.authenticate(&bearer).await.unwrap_err().reason,
        Reason::TokenRevoked
    );
    world.store.go_down();
    let refused = world.authority.authenticate(&bearer).await.unwrap_err();
    assert_eq!(refused.reason.class(), Class::Retry);
}

#[tokio::test]
async fn a_caller_whose_gate_is_lost_is_nobody_while_the_tail_is_stale() {
    let world = World::new().await;
    let (_, token) = caller(&world, &[Role::Admin]).await;
    world.clock.advance(60_000);
    world
        .authority
        .authenticate(&Credentials::Bearer(token.clone()))
        .await
        .unwrap();
    let key = world.subject_key(system(&world), "back-end");
    world
        .write(key.partition(), vec![(Key::Gate(key), Write::Delete)])
        .await;
    let refused = world
        .authority
        .authenticate(&Credentials::Bearer(token))
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::CallerUnknown);
}

#[tokio::test]
async fn a_secret_is_good_for_a_token_and_for_nothing_else() {
    let world = World::new().await;
    let (id, secret) = world.authority.create_first_admin().await.unwrap().unwrap();
    let by_secret = Credentials::Secret {
        id: id.clone(),
        secret,
    };
    let identity = world.authority.authenticate(&by_secret).await.unwrap();
    assert!(identity.roles.is_empty());
    let nobody = [
        Credentials::RootKey([0; 16]),
        Credentials::Secret {
            id,
            secret: String::new(),
        },
        Credentials::Secret {
            id: CallerId::new("nobody").unwrap(),
            secret: "x".into(),
        },
    ];
    for credentials in nobody {
        let refused = world.authority.authenticate(&credentials).await.unwrap_err();
        assert_eq!(refused.reason, Reason::CallerUnknown);
    }
    for junk in ["", "a.b.c", "cfr_AAAA", "é"] {
        let refused = world
            .authority
            .authenticate(&Credentials::Bearer(junk.into()))
            .await
            .unwrap_err();
        assert_eq!(refused.reason.class(), Class::Unauthenticated, "{junk}");
    }
    // An app-only token of a tenant's client names no caller, whatever its client is called.
    let app = world.authority.issue_app_token(world.app("web")).await.unwrap();
    let refused = world
        .authority
        .authenticate(&Credentials::Bearer(app.access_token))
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::AudienceWrong);
}

#[tokio::test]
async fn p45_a_client_is_told_the_class_of_the_initiator_and_no_name() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    let mut request = world.revoking(Target::Subject(SubjectId::new("alice").unwrap(), None));
    request.motive.initiator = Initiator::Admin;
    request.motive.correlation_id = Some("ticket of mister-smith".into());
    world.authority.create_revocation(request).await.unwrap();
    let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
    assert_eq!(refused.by.as_ref().unwrap().initiator, Initiator::Admin);
    let told = format!("{refused} {refused:?}");
    assert!(told.contains("by admin") && told.contains("cause test"), "{told}");
    assert!(!told.contains("smith") && !told.contains("alice"), "{told}");
}

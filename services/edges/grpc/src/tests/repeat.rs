//! Repeats: the same request id with the same content, with other content; page tokens of others.

use curfew_proto::admin::v1 as admin;
use curfew_proto::revocation::v1 as revocation;
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::session::v1 as session;
use tonic::Code;

use super::world::{TENANT, World, by, reason};

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_other_content_is_refused() {
    let world = World::new().await;
    let mut request = session::CreateSessionRequest {
        parent: TENANT.to_owned(),
        session: Some(session::Session {
            subject: format!("{TENANT}/subjects/alice"),
            ..Default::default()
        }),
        request_id: world.id(),
        ..Default::default()
    };
    let mut sessions = world.sessions();
    let first = sessions
        .create_session(by(&world.backend, request.clone()))
        .await
        .unwrap()
        .into_inner();
    let again = sessions
        .create_session(by(&world.backend, request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.session.unwrap().name, again.session.unwrap().name);
    request.session.as_mut().unwrap().persistent = true;
    let refused = sessions
        .create_session(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::AlreadyExists, "REQUEST_ID_REUSED")
    );

    let mut request = revocation::CreateRevocationRequest {
        parent: TENANT.to_owned(),
        scope: Some(Scope::Device(revocation::DeviceScope {
            device: "d1".to_owned(),
        })),
        request_id: world.id(),
        ..Default::default()
    };
    let mut revocations = world.revocations();
    let first = revocations
        .create_revocation(by(&world.backend, request.clone()))
        .await
        .unwrap()
        .into_inner();
    let again = revocations
        .create_revocation(by(&world.backend, request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.revocation, again.revocation);
    assert_eq!(
        first.acknowledgement, again.acknowledgement,
        "a repeat knows how far its own work is"
    );
    request.scope = Some(Scope::Device(revocation::DeviceScope {
        device: "d2".to_owned(),
    }));
    let refused = revocations
        .create_revocation(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::AlreadyExists, "REQUEST_ID_REUSED")
    );
}

#[tokio::test]
async fn seeds_are_created_once_and_a_secret_is_told_once() {
    let world = World::new().await;
    let request = admin::CreateClientRequest {
        parent: TENANT.to_owned(),
        client_id: "second".to_owned(),
        client: Some(admin::Client {
            auth_method: admin::ClientAuthMethod::ClientSecret.into(),
            ..Default::default()
        }),
        request_id: world.id(),
        ..Default::default()
    };
    let mut clients = world.clients();
    let first = clients
        .create_client(by(&world.admin, request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert!(first.secret_value.starts_with("cfs_"));
    let again = clients
        .create_client(by(&world.admin, request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((again.secret_value.as_str(), again.client), ("", first.client));
    let other = admin::CreateClientRequest {
        request_id: world.id(),
        ..request
    };
    let refused = clients.create_client(by(&world.admin, other)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::AlreadyExists, "ALREADY_EXISTS")
    );

    let request = admin::CreateTenantRequest {
        tenant_id: "twice".to_owned(),
        request_id: world.id(),
        ..Default::default()
    };
    let mut tenants = world.tenants();
    let first = tenants
        .create_tenant(by(&world.admin, request.clone()))
        .await
        .unwrap()
        .into_inner();
    let again = tenants
        .create_tenant(by(&world.admin, request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);
    let other = admin::CreateTenantRequest {
        request_id: world.id(),
        ..request
    };
    let refused = tenants.create_tenant(by(&world.admin, other)).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_page_token_is_good_for_its_caller_and_its_filter_alone() {
    let world = World::new().await;
    for _ in 0..3 {
        world.open("alice").await;
    }
    let list = |token: &str, subject: &str| session::ListSessionsRequest {
        parent: TENANT.to_owned(),
        page_size: 1,
        page_token: token.to_owned(),
        filter: Some(session::SessionFilter {
            subject: format!("{TENANT}/subjects/{subject}"),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut sessions = world.sessions();
    let page = sessions
        .list_sessions(by(&world.backend, list("", "alice")))
        .await
        .unwrap()
        .into_inner();
    let token = page.next_page_token;
    sessions
        .list_sessions(by(&world.backend, list(&token, "alice")))
        .await
        .unwrap();
    let other = world.caller("other", &["sessions.read"], &[TENANT]).await;
    let cases = [
        (&other, list(&token, "alice")),
        (&world.backend, list(&token, "bob")),
        (&world.backend, list("nonsense", "alice")),
        (&world.backend, list(&format!("{token}A"), "alice")),
    ];
    for (caller, request) in cases {
        let refused = sessions.list_sessions(by(caller, request)).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "PAGE_TOKEN")
        );
    }
    let clients = admin::ListClientsRequest {
        parent: TENANT.to_owned(),
        page_token: token,
        ..Default::default()
    };
    let refused = world
        .clients()
        .list_clients(by(&world.admin, clients))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "PAGE_TOKEN", "a token of another method");
}

#[tokio::test]
async fn lists_of_seeds_are_paged_to_their_end() {
    let world = World::new().await;
    for id in ["a", "b", "c", "d"] {
        world.caller(id, &["sessions.read"], &["*"]).await;
    }
    let mut callers = world.callers();
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let request = admin::ListCallersRequest {
            page_size: 2,
            page_token: token,
        };
        let page = callers
            .list_callers(by(&world.admin, request))
            .await
            .unwrap()
            .into_inner();
        assert!(page.callers.len() <= 2);
        found.extend(page.callers.into_iter().map(|caller| caller.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(
        found,
        ["a", "admin", "b", "backend", "c", "d"].map(|id| format!("callers/{id}"))
    );
}

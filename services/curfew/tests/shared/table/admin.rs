//! Directory records and subjects.

use std::collections::BTreeSet;

use curfew_proto::admin::v1 as pb;
use tonic::Code;

use super::Pair;
use crate::process::{TENANT, request_id};
use crate::servers::told;

const ISSUER: &str = "0191d2b0-0000-4000-8000-00000000000a";

/// Tenants, resources, clients, issuers and callers: made here, read and listed there.
pub(super) async fn records_made_here_are_known_there(pair: &Pair) {
    tenants(pair).await;
    resources(pair).await;
    clients(pair).await;
    issuers(pair).await;
    callers(pair).await;
    let info = |way: super::Way| async move {
        let info = way.server().get_server_info(pb::GetServerInfoRequest {}).await;
        info.map(|info| (info.get_ref().log_id.clone(), info.get_ref().store_engine.clone()))
    };
    let (log, store) = pair.twice(async |way| info(way).await).await;
    assert_eq!((log.len(), store.as_str()), (16, "redis"));
}

async fn tenants(pair: &Pair) {
    let request = pb::CreateTenantRequest {
        tenant_id: "second".to_owned(),
        tenant: Some(pb::Tenant::default()),
        request_id: request_id(),
        ..Default::default()
    };
    let made = pair
        .twice(async |way| {
            let made = way.tenants().create_tenant(request.clone()).await?.into_inner();
            Ok(made.tenant.unwrap())
        })
        .await;
    let found = pair
        .known_there(async |way| {
            let request = pb::GetTenantRequest {
                name: made.name.clone(),
            };
            Ok(way
                .tenants()
                .get_tenant(request)
                .await?
                .into_inner()
                .tenant
                .unwrap())
        })
        .await;
    assert_eq!(found, made);
    let listed = pair.pages(async |way, page_token| {
        let request = pb::ListTenantsRequest {
            page_size: 1,
            page_token,
        };
        let page = way.tenants().list_tenants(request).await?.into_inner();
        Ok((page.tenants, page.next_page_token))
    });
    let listed: BTreeSet<_> = listed.await.into_iter().map(|tenant| tenant.name).collect();
    assert!(
        listed.contains(&made.name) && listed.contains(TENANT),
        "{listed:?}"
    );
}

async fn resources(pair: &Pair) {
    let request = pb::CreateResourceRequest {
        parent: TENANT.to_owned(),
        resource_id: "files".to_owned(),
        resource: Some(pb::Resource {
            audience: "https://files.acme.example".to_owned(),
            scopes: vec!["files.read".to_owned()],
            roles: vec!["files.sweep".to_owned()],
            ..Default::default()
        }),
        request_id: request_id(),
        ..Default::default()
    };
    let made = pair
        .twice(async |way| {
            let made = way
                .resources()
                .create_resource(request.clone())
                .await?
                .into_inner();
            Ok(made.resource.unwrap())
        })
        .await;
    let found = pair
        .known_there(async |way| {
            let request = pb::GetResourceRequest {
                name: made.name.clone(),
            };
            Ok(way
                .resources()
                .get_resource(request)
                .await?
                .into_inner()
                .resource
                .unwrap())
        })
        .await;
    assert_eq!(found, made);
    let listed = pair.pages(async |way, page_token| {
        let request = pb::ListResourcesRequest {
            parent: TENANT.to_owned(),
            page_size: 1,
            page_token,
        };
        let page = way.resources().list_resources(request).await?.into_inner();
        Ok((page.resources, page.next_page_token))
    });
    assert_eq!(listed.await.len(), 2);
}

async fn clients(pair: &Pair) {
    let request = pb::CreateClientRequest {
        parent: TENANT.to_owned(),
        client_id: "native".to_owned(),
        client: Some(pb::Client {
            auth_method: pb::ClientAuthMethod::None.into(),
            ..Default::default()
        }),
        request_id: request_id(),
        ..Default::default()
    };
    let made = pair
        .twice(async |way| {
            let made = way.clients().create_client(request.clone()).await?.into_inner();
            Ok(made.client.unwrap())
        })
        .await;
    let found = pair
        .known_there(async |way| {
            let request = pb::GetClientRequest {
                name: made.name.clone(),
            };
            Ok(way
                .clients()
                .get_client(request)
                .await?
                .into_inner()
                .client
                .unwrap())
        })
        .await;
    assert_eq!(found, made);
    let listed = pair.pages(async |way, page_token| {
        let request = pb::ListClientsRequest {
            parent: TENANT.to_owned(),
            page_size: 1,
            page_token,
        };
        let page = way.clients().list_clients(request).await?.into_inner();
        Ok((page.clients, page.next_page_token))
    });
    assert_eq!(listed.await.len(), 2);
}

async fn issuers(pair: &Pair) {
    let issuer = |id: &str, host: &str| pb::CreateIssuerRequest {
        parent: TENANT.to_owned(),
        issuer_id: id.to_owned(),
        issuer: Some(pb::Issuer {
            spellings: vec![format!("https://{host}")],
            longest_life: Some(prost_types::Duration {
                seconds: 3_600,
                nanos: 0,
            }),
            claims: vec!["sub".to_owned()],
            audiences: vec!["https://orders.acme.example".to_owned()],
            jwks_uri: format!("https://{host}/jwks"),
            ..Default::default()
        }),
        request_id: request_id(),
        ..Default::default()
    };
    let request = issuer(ISSUER, "login.partner.example");
    let made = pair
        .twice(async |way| {
            let made = way.issuers().create_issuer(request.clone()).await?.into_inner();
            Ok(made.issuer.unwrap())
        })
        .await;
    let found = pair
        .known_there(async |way| {
            let request = pb::GetIssuerRequest {
                name: made.name.clone(),
            };
            Ok(way
                .issuers()
                .get_issuer(request)
                .await?
                .into_inner()
                .issuer
                .unwrap())
        })
        .await;
    assert_eq!(found, made);
    let other = issuer("0191d2b0-0000-4000-8000-00000000000b", "login.other.example");
    let other = pair
        .there
        .issuers()
        .create_issuer(other)
        .await
        .unwrap()
        .into_inner();
    let other = other.issuer.unwrap().name;
    // The tenant's own is listed by nobody; two are two pages of one.
    let until_both = async || {
        let request = pb::GetIssuerRequest { name: other.clone() };
        pair.here.issuers().get_issuer(request).await.ok().map(drop)
    };
    crate::servers::until("the first node knows it", until_both).await;
    let listed = pair.pages(async |way, page_token| {
        let request = pb::ListIssuersRequest {
            parent: TENANT.to_owned(),
            page_size: 1,
            page_token,
        };
        let page = way.issuers().list_issuers(request).await?.into_inner();
        Ok((page.issuers, page.next_page_token))
    });
    assert_eq!(listed.await.len(), 2);
}

async fn callers(pair: &Pair) {
    let request = pb::CreateCallerRequest {
        caller_id: "reader".to_owned(),
        caller: Some(pb::Caller {
            roles: vec!["sessions.read".to_owned()],
            tenants: vec!["*".to_owned()],
            ..Default::default()
        }),
        request_id: request_id(),
        ..Default::default()
    };
    let mut secrets = Vec::new();
    let made = pair
        .twice(async |way| {
            let made = way.callers().create_caller(request.clone()).await?.into_inner();
            secrets.push(made.secret_value);
            Ok(made.caller.unwrap())
        })
        .await;
    assert!(
        !secrets[0].is_empty() && secrets[1].is_empty(),
        "a secret is told once"
    );
    let found = pair
        .known_there(async |way| {
            let request = pb::GetCallerRequest {
                name: made.name.clone(),
            };
            Ok(way
                .callers()
                .get_caller(request)
                .await?
                .into_inner()
                .caller
                .unwrap())
        })
        .await;
    assert_eq!(found, made);
    let listed = pair.pages(async |way, page_token| {
        let request = pb::ListCallersRequest {
            page_size: 1,
            page_token,
        };
        let page = way.callers().list_callers(request).await?.into_inner();
        Ok((page.callers, page.next_page_token))
    });
    assert_eq!(listed.await.len(), 3);
}

/// Disabled, enabled and deleted here; refused there.
pub(super) async fn subjects_disabled_here_are_refused_there(pair: &Pair) {
    let name = format!("{TENANT}/subjects/dora");
    let session = super::sessions::open(&pair.here, "dora").await;
    let request = pb::DisableSubjectRequest {
        name: name.clone(),
        request_id: request_id(),
        ..Default::default()
    };
    pair.twice(async |way| {
        let disabled = way
            .subjects()
            .disable_subject(request.clone())
            .await?
            .into_inner();
        assert_eq!(disabled.subject.unwrap().state(), pb::State::Disabled);
        Ok((disabled.disable_id, disabled.acknowledgement.unwrap().revocation))
    })
    .await;
    let get = pb::GetSubjectRequest { name: name.clone() };
    let found = pair
        .there
        .subjects()
        .get_subject(get.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.subject.unwrap().state(), pb::State::Disabled);
    let refused = super::tokens::issue(&pair.there, &session).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let refused = super::sessions::opened(&pair.there, "dora", &request_id())
        .await
        .unwrap_err();
    assert_eq!(told(&refused).1, "SUBJECT_DISABLED");

    let request = pb::EnableSubjectRequest {
        name: name.clone(),
        request_id: request_id(),
        ..Default::default()
    };
    pair.twice(async |way| {
        let enabled = way.subjects().enable_subject(request.clone()).await?.into_inner();
        Ok(enabled.subject.unwrap().state())
    })
    .await;
    let found = pair.there.subjects().get_subject(get).await.unwrap().into_inner();
    assert_eq!(found.subject.unwrap().state(), pb::State::Active);
    super::sessions::open(&pair.there, "dora").await;

    let request = pb::DeleteSubjectRequest {
        name,
        request_id: request_id(),
        ..Default::default()
    };
    pair.twice(async |way| {
        let deleted = way.subjects().delete_subject(request.clone()).await?.into_inner();
        Ok(deleted.acknowledgement.unwrap().revocation)
    })
    .await;
    let refused = super::tokens::issue(&pair.there, &session).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
}

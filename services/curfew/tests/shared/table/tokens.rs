//! Tokens.

use curfew_proto::admin::v1 as admin;
use curfew_proto::token::v1 as pb;
use curfew_proto::token::v1::client_authentication::Method;
use tonic::Status;

use super::{Pair, Way};
use crate::process::{TENANT, request_id};
use crate::servers::{told, until};

pub(super) async fn issued(way: &Way, session: &str, request_id: &str) -> Result<pb::TokenSet, Status> {
    let request = pb::IssueTokensRequest {
        session: session.to_owned(),
        client: format!("{TENANT}/clients/native"),
        resource: format!("{TENANT}/resources/files"),
        scopes: ["offline_access", "files.read"].map(str::to_owned).to_vec(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    Ok(way
        .tokens()
        .issue_tokens(request)
        .await?
        .into_inner()
        .tokens
        .unwrap())
}

/// Of the client and for the resource that the first step made.
pub(super) async fn issue(way: &Way, session: &str) -> Result<pb::TokenSet, Status> {
    issued(way, session, &request_id()).await
}

pub(super) async fn refresh(way: &Way, refresh_token: &str) -> Result<pb::TokenSet, Status> {
    let request = pb::RefreshTokensRequest {
        refresh_token: refresh_token.to_owned(),
        client: format!("{TENANT}/clients/native"),
        ..Default::default()
    };
    Ok(way
        .tokens()
        .refresh_tokens(request)
        .await?
        .into_inner()
        .tokens
        .unwrap())
}

async fn is_active(way: &Way, token: &str) -> bool {
    let request = pb::IntrospectTokenRequest {
        parent: TENANT.to_owned(),
        token: token.to_owned(),
        ..Default::default()
    };
    way.tokens()
        .introspect_token(request)
        .await
        .unwrap()
        .into_inner()
        .active
}

/// Issued here, refreshed there and here in turns, read on either, revoked there.
pub(super) async fn tokens_issued_here_are_good_there(pair: &Pair) {
    let session = super::sessions::open(&pair.here, "bob").await;
    let id = request_id();
    let grant = pair
        .twice(async |way| Ok(issued(&way, &session, &id).await?.grant))
        .await;
    let issued = issue(&pair.here, &session).await.unwrap();
    assert_ne!(issued.grant, grant);
    // Presented at both, it has one successor, which either takes.
    let mut newest = issued;
    for _ in 0..3 {
        let presented = newest.refresh_token.clone();
        let successor = pair
            .twice(async |way| Ok(refresh(&way, &presented).await?.refresh_token))
            .await;
        newest = refresh(&pair.here, &successor).await.unwrap();
    }
    for way in [&pair.here, &pair.there] {
        assert!(is_active(way, &newest.access_token).await);
        let request = pb::ExplainTokenRequest {
            parent: TENANT.to_owned(),
            token: newest.access_token.clone(),
            ..Default::default()
        };
        let told = way.tokens().explain_token(request).await.unwrap().into_inner();
        assert!(told.explanation.unwrap().alive);
    }
    let keys = pair.twice(async |way| {
        let request = pb::GetKeySetRequest {
            parent: TENANT.to_owned(),
        };
        Ok(way.tokens().get_key_set(request).await?.into_inner().keys)
    });
    assert_eq!(keys.await.len(), 2);

    let request = pb::RevokeTokenRequest {
        client: format!("{TENANT}/clients/native"),
        token: newest.refresh_token.clone(),
        request_id: request_id(),
        ..Default::default()
    };
    pair.twice(async |way| {
        let revoked = way.tokens().revoke_token(request.clone()).await?.into_inner();
        Ok((revoked.kind(), revoked.acknowledgement.unwrap().revocation))
    })
    .await;
    for way in [&pair.here, &pair.there] {
        let refused = refresh(way, &newest.refresh_token).await.unwrap_err();
        assert_eq!(told(&refused).1, "GRANT_ENDED");
        until("the access token is dead", async || {
            (!is_active(way, &newest.access_token).await).then_some(())
        })
        .await;
    }
}

/// Of a client that was made here: its secret opens there, and what either signs is good at the other.
pub(super) async fn app_tokens_issued_here_are_good_there(pair: &Pair) {
    let request = admin::CreateClientRequest {
        parent: TENANT.to_owned(),
        client_id: "sweeper".to_owned(),
        client: Some(admin::Client {
            auth_method: admin::ClientAuthMethod::ClientSecret.into(),
            app_roles: vec![admin::AppRoles {
                resource: format!("{TENANT}/resources/files"),
                roles: vec!["files.sweep".to_owned()],
            }],
            ..Default::default()
        }),
        request_id: request_id(),
        ..Default::default()
    };
    let made = pair
        .here
        .clients()
        .create_client(request)
        .await
        .unwrap()
        .into_inner();
    let issue = async |way: Way| {
        let request = pb::IssueAppTokenRequest {
            client: format!("{TENANT}/clients/sweeper"),
            client_authentication: Some(pb::ClientAuthentication {
                method: Some(Method::ClientSecret(made.secret_value.clone())),
            }),
            resource: format!("{TENANT}/resources/files"),
            request_id: request_id(),
            ..Default::default()
        };
        Ok(way
            .tokens()
            .issue_app_token(request)
            .await?
            .into_inner()
            .tokens
            .unwrap())
    };
    let there = pair.known_there(issue).await;
    assert_eq!(there.roles, ["files.sweep"]);
    assert!(is_active(&pair.here, &there.access_token).await);
    let here = issue(pair.here.clone()).await.unwrap();
    assert!(is_active(&pair.there, &here.access_token).await);
}

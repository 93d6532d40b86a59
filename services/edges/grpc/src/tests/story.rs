//! The main job, end to end.

use curfew_proto::admin::v1 as admin;
use curfew_proto::admin::v1::issuer_service_client::IssuerServiceClient;
use curfew_proto::admin::v1::key_service_client::KeyServiceClient;
use curfew_proto::admin::v1::server_service_client::ServerServiceClient;
use curfew_proto::admin::v1::subject_service_client::SubjectServiceClient;
use curfew_proto::revocation::v1 as revocation;
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::session::v1 as session;
use curfew_proto::token::v1 as token;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::world::{TENANT, World, by, reason};

impl World {
    async fn is_active(&self, access_token: &str) -> bool {
        let request = token::IntrospectTokenRequest {
            parent: TENANT.to_owned(),
            token: access_token.to_owned(),
            ..Default::default()
        };
        let seen = self
            .tokens()
            .introspect_token(by(&self.backend, request))
            .await
            .unwrap();
        seen.into_inner().active
    }

    async fn explain(&self, any: &str, sent_to: &str) -> token::TokenExplanation {
        let request = token::ExplainTokenRequest {
            parent: TENANT.to_owned(),
            token: any.to_owned(),
            sent_to: sent_to.to_owned(),
        };
        let told = self
            .tokens()
            .explain_token(by(&self.backend, request))
            .await
            .unwrap();
        told.into_inner().explanation.unwrap()
    }

    fn revoke(&self, scope: Scope) -> revocation::CreateRevocationRequest {
        revocation::CreateRevocationRequest {
            parent: TENANT.to_owned(),
            scope: Some(scope),
            request_id: self.id(),
            ..Default::default()
        }
    }
}

#[tokio::test]
async fn a_session_gives_tokens_a_refresh_their_successors_and_an_end_kills_them() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let first = world.issue(&session).await;
    assert_eq!(first.token_type, "Bearer");
    assert_eq!(first.audience, "https://orders.example");
    assert_eq!(first.resource, format!("{TENANT}/resources/orders"));
    assert!(first.grant.starts_with(&format!("{session}/grants/")));
    assert!(!first.id_token.is_empty() && first.refresh_token.starts_with("cfr_"));

    let second = world.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(second.cause(), token::RefreshCause::Rotated);
    let again = world.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(again.cause(), token::RefreshCause::Replayed);
    let second = second.tokens.unwrap();
    assert_eq!(second.refresh_token, again.tokens.unwrap().refresh_token);

    assert!(world.is_active(&second.access_token).await);
    assert!(
        !world.is_active(&second.id_token).await,
        "an ID token authorizes nothing"
    );
    let told = world.explain(&second.id_token, "https://orders.example").await;
    assert_eq!(
        (told.kind(), told.reason.as_str()),
        (token::TokenKind::Id, "TOKEN_IS_ID_TOKEN")
    );
    assert_eq!(
        told.help_uri,
        "https://id.example/errors/CURFEW_TOKEN_IS_ID_TOKEN"
    );
    let told = world.explain(&second.access_token, "").await;
    assert_eq!(
        (told.kind(), told.alive, told.session.as_str()),
        (token::TokenKind::Access, true, &*session)
    );

    let request = session::EndSessionRequest {
        name: session.clone(),
        request_id: world.id(),
        ..Default::default()
    };
    let ended = world
        .sessions()
        .end_session(by(&world.backend, request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ended.session.unwrap().state(), session::SessionState::Ended);
    let told = ended.acknowledgement.unwrap();
    assert_eq!(
        (told.level(), told.positions.len()),
        (revocation::AckLevel::Durable, 1)
    );
    let again = world
        .sessions()
        .end_session(by(&world.backend, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.acknowledgement.unwrap().revocation, told.revocation);

    assert!(!world.is_active(&second.access_token).await);
    let refused = world.refresh(&second.refresh_token).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "SESSION_ENDED")
    );
    let details = refused.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.metadata["stage"], "silent_renewal");
    assert_eq!(info.metadata["stage_number"], "8");
    assert_eq!(info.metadata["rfc_word"], "invalid_grant");
    assert!(details.localized_message().is_some() && details.retry_info().is_none());
    assert_eq!(
        details.help().unwrap().links[0].url,
        "https://id.example/errors/CURFEW_SESSION_ENDED"
    );
}

#[tokio::test]
async fn sessions_are_listed_changed_stepped_up_and_ended_elsewhere() {
    let world = World::new().await;
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(world.open("alice").await);
        world.advance(1_000).await;
    }
    let mut sessions = world.sessions();
    let list = |token: String, order: session::SessionOrder| session::ListSessionsRequest {
        parent: TENANT.to_owned(),
        page_size: 2,
        page_token: token,
        filter: Some(session::SessionFilter {
            subject: format!("{TENANT}/subjects/alice"),
            ..Default::default()
        }),
        order: order.into(),
    };
    for (order, expected) in [
        (session::SessionOrder::CreateTimeAsc, names.clone()),
        (
            session::SessionOrder::Unspecified,
            names.iter().rev().cloned().collect(),
        ),
    ] {
        let mut found = Vec::new();
        let mut token = String::new();
        loop {
            let page = sessions
                .list_sessions(by(&world.backend, list(token, order)))
                .await
                .unwrap()
                .into_inner();
            found.extend(page.sessions.into_iter().map(|session| session.name));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "{order:?}");
    }

    let update = session::UpdateSessionRequest {
        session: Some(session::Session {
            name: names[0].clone(),
            device: Some(session::Device {
                id: "phone".to_owned(),
                label: "Anna's phone".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["device".to_owned()],
        }),
        request_id: world.id(),
        ..Default::default()
    };
    let updated = sessions
        .update_session(by(&world.backend, update))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(updated.session.unwrap().device.unwrap().label, "Anna's phone");

    let step_up = session::StepUpSessionRequest {
        name: names[0].clone(),
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        acr: "urn:example:2fa".to_owned(),
        request_id: world.id(),
        ..Default::default()
    };
    let stepped = sessions
        .step_up_session(by(&world.backend, step_up))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stepped.session.unwrap().amr, ["pwd", "otp"]);

    let devices = session::ListDevicesRequest {
        parent: format!("{TENANT}/subjects/alice"),
        ..Default::default()
    };
    let devices = sessions
        .list_devices(by(&world.backend, devices))
        .await
        .unwrap()
        .into_inner()
        .devices;
    assert_eq!(devices.iter().map(|device| device.session_count).sum::<i32>(), 3);
    assert_eq!(devices.len(), 2);

    let others = session::EndOtherSessionsRequest {
        name: names[0].clone(),
        request_id: world.id(),
        ..Default::default()
    };
    let ended = sessions
        .end_other_sessions(by(&world.backend, others))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ended.ended_count, 2);
    assert!(ended.acknowledgement.unwrap().cut_off_time.is_some());
    let batch = session::BatchGetSessionsRequest {
        parent: TENANT.to_owned(),
        names: names.clone(),
    };
    let found = sessions
        .batch_get_sessions(by(&world.backend, batch))
        .await
        .unwrap()
        .into_inner()
        .sessions;
    let states: Vec<_> = found.iter().map(session::Session::state).collect();
    use session::SessionState::{Active, Ended};
    assert_eq!(states, [Active, Ended, Ended]);

    // A token for a subject that was cut off is not released before the cut-off's second is over.
    world.advance(2_000).await;
    let tokens = world.issue(&names[0]).await;
    let grants = session::ListGrantsRequest {
        parent: names[0].clone(),
        only_active: true,
        ..Default::default()
    };
    let grants = sessions
        .list_grants(by(&world.backend, grants))
        .await
        .unwrap()
        .into_inner()
        .grants;
    assert_eq!((grants.len(), grants[0].name.as_str()), (1, &*tokens.grant));
    let end = session::EndGrantRequest {
        name: tokens.grant.clone(),
        request_id: world.id(),
        ..Default::default()
    };
    let ended = sessions
        .end_grant(by(&world.backend, end))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ended.grant.unwrap().state(), session::GrantState::Ended);
}

#[tokio::test]
async fn revocations_are_previewed_made_read_listed_and_waited_for() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let tokens = world.issue(&session).await;
    let mut revocations = world.revocations();
    let subject = Scope::Subject(revocation::SubjectScope {
        subject: format!("{TENANT}/subjects/alice"),
        except: Vec::new(),
    });
    let mut request = world.revoke(subject);
    request.validate_only = true;
    let preview = revocations
        .create_revocation(by(&world.backend, request.clone()))
        .await
        .unwrap()
        .into_inner();
    let preview = preview.preview.unwrap();
    assert_eq!(
        (preview.session_count, preview.grant_count, preview.exact),
        (1, 1, true)
    );
    assert!(
        world.is_active(&tokens.access_token).await,
        "a preview ends nothing"
    );

    request.validate_only = false;
    request.cause = "stolen_laptop".to_owned();
    let made = revocations
        .create_revocation(by(&world.backend, request))
        .await
        .unwrap()
        .into_inner();
    let made = made.revocation.unwrap();
    assert_eq!(
        (made.scope.as_str(), made.cause.as_str()),
        ("subject", "stolen_laptop")
    );
    assert!(!world.is_active(&tokens.access_token).await);
    let told = world.explain(&tokens.access_token, "").await;
    let covered = told.covered_by.unwrap();
    assert_eq!(
        (covered.cause.as_str(), covered.revocation.as_str()),
        ("stolen_laptop", &*made.name)
    );

    let wait = revocation::WaitRevocationRequest {
        name: made.name.clone(),
        ..Default::default()
    };
    let waited = revocations
        .wait_revocation(by(&world.backend, wait))
        .await
        .unwrap()
        .into_inner();
    assert!(waited.reached);
    assert_eq!(
        waited.acknowledgement.unwrap().level(),
        revocation::AckLevel::Durable
    );
    let get = revocation::GetRevocationRequest {
        name: made.name.clone(),
    };
    let got = revocations
        .get_revocation(by(&world.backend, get))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        got.revocation.unwrap().subject,
        format!("{TENANT}/subjects/alice")
    );
    let list = revocation::ListRevocationsRequest {
        parent: TENANT.to_owned(),
        ..Default::default()
    };
    let listed = revocations
        .list_revocations(by(&world.backend, list))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.revocations.len(), 1);

    let nobody = revocation::WaitRevocationRequest {
        name: format!("{TENANT}/revocations/{}", world.id()),
        timeout: Some(prost_types::Duration {
            seconds: 0,
            nanos: 1_000_000,
        }),
        ..Default::default()
    };
    let waited = revocations
        .wait_revocation(by(&world.backend, nobody))
        .await
        .unwrap()
        .into_inner();
    assert!(!waited.reached, "not reaching the level in time is an answer");
}

#[tokio::test]
async fn a_batch_tells_of_each_what_became_of_it() {
    let world = World::new().await;
    let device = |id: &str| {
        Scope::Device(revocation::DeviceScope {
            device: id.to_owned(),
        })
    };
    let mut bad = world.revoke(device(""));
    bad.parent.clear();
    let batch = revocation::BatchCreateRevocationsRequest {
        parent: TENANT.to_owned(),
        requests: vec![world.revoke(device("d1")), bad, world.revoke(device("d2"))],
    };
    let results = world
        .revocations()
        .batch_create_revocations(by(&world.backend, batch))
        .await
        .unwrap();
    let results = results.into_inner().results;
    use revocation::batch_result::Result as Became;
    assert!(matches!(results[0].result, Some(Became::Response(_))));
    let Some(Became::Failure(failure)) = &results[1].result else {
        panic!("{results:?}")
    };
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::InvalidArgument.into(), "FIELD_INVALID")
    );
    assert!(failure.message.contains("device.device"), "{failure:?}");
    let Some(Became::Response(made)) = &results[2].result else {
        panic!("{results:?}")
    };
    let told = made.acknowledgement.as_ref().unwrap();
    assert_eq!(
        told.positions.len(),
        4,
        "a wide record lies in every log partition"
    );
    assert!(told.not_before_time.is_some());
}

#[tokio::test]
async fn a_foreign_issuers_tokens_are_revoked_by_sub() {
    let world = World::new().await;
    let mut issuers = IssuerServiceClient::new(world.channel.clone());
    let id = "0191d2b0-0000-4000-8000-00000000000a";
    let request = admin::CreateIssuerRequest {
        parent: TENANT.to_owned(),
        issuer_id: id.to_owned(),
        issuer: Some(admin::Issuer {
            spellings: vec!["https://login.partner.example".to_owned()],
            longest_life: Some(prost_types::Duration {
                seconds: 3_600,
                nanos: 0,
            }),
            claims: vec!["sub".to_owned()],
            audiences: vec!["https://orders.example".to_owned()],
            jwks_uri: "https://login.partner.example/jwks".to_owned(),
            ..Default::default()
        }),
        request_id: world.id(),
        ..Default::default()
    };
    let issuer = issuers
        .create_issuer(by(&world.admin, request))
        .await
        .unwrap()
        .into_inner()
        .issuer
        .unwrap();
    assert_eq!(issuer.name, format!("{TENANT}/issuers/{id}"));
    let mut request = world.revoke(Scope::Subject(revocation::SubjectScope {
        subject: format!("{TENANT}/subjects/bob"),
        except: Vec::new(),
    }));
    request.issuer = issuer.name.clone();
    let made = world
        .revocations()
        .create_revocation(by(&world.backend, request))
        .await
        .unwrap()
        .into_inner();
    let made = made.revocation.unwrap();
    assert_eq!((made.issuer.as_str(), made.ends_sessions), (&*issuer.name, false));
    let mut request = world.revoke(Scope::Criteria(revocation::Criteria {
        all_of: vec![curfew_proto::log::v1::ClaimMatch {
            claim: "email".to_owned(),
            value: "x".to_owned(),
        }],
        ..Default::default()
    }));
    request.issuer = issuer.name;
    let refused = world
        .revocations()
        .create_revocation(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "CLAIM_NOT_CARRIED")
    );
}

#[tokio::test]
async fn a_client_revokes_its_own_tokens_and_learns_nothing_of_others() {
    let world = World::new().await;
    let tokens = world.issue(&world.open("alice").await).await;
    let revoke = |token: &str| token::RevokeTokenRequest {
        client: format!("{TENANT}/clients/web"),
        client_authentication: Some(world.web()),
        token: token.to_owned(),
        request_id: world.id(),
        ..Default::default()
    };
    let mut service = world.tokens();
    let nothing = service
        .revoke_token(by(&world.backend, revoke("cfr_nonsense")))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (nothing.kind(), nothing.acknowledgement),
        (token::TokenKind::Unspecified, None)
    );
    let access = service
        .revoke_token(by(&world.backend, revoke(&tokens.access_token)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(access.kind(), token::TokenKind::Access);
    assert!(!world.is_active(&tokens.access_token).await);
    let refresh = service
        .revoke_token(by(&world.backend, revoke(&tokens.refresh_token)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(refresh.kind(), token::TokenKind::Refresh);
    let refused = world.refresh(&tokens.refresh_token).await.unwrap_err();
    assert_eq!(reason(&refused), "GRANT_ENDED");
}

#[tokio::test]
async fn subjects_are_disabled_and_enabled_and_nothing_revives() {
    let world = World::new().await;
    let tokens = world.issue(&world.open("alice").await).await;
    let mut subjects = SubjectServiceClient::new(world.channel.clone());
    let name = format!("{TENANT}/subjects/alice");
    let request = admin::DisableSubjectRequest {
        name: name.clone(),
        request_id: world.id(),
        ..Default::default()
    };
    let disabled = subjects
        .disable_subject(by(&world.admin, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(disabled.subject.unwrap().state(), admin::State::Disabled);
    assert!(!disabled.disable_id.is_empty() && disabled.acknowledgement.is_some());
    let refused = world.refresh(&tokens.refresh_token).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let request = admin::EnableSubjectRequest {
        name: name.clone(),
        request_id: world.id(),
        ..Default::default()
    };
    let enabled = subjects
        .enable_subject(by(&world.admin, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(enabled.subject.unwrap().state(), admin::State::Active);
    assert_eq!(
        world.refresh(&tokens.refresh_token).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    let nobody = admin::GetSubjectRequest {
        name: format!("{TENANT}/subjects/nobody"),
    };
    assert_eq!(
        subjects
            .get_subject(by(&world.admin, nobody))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    let request = admin::DeleteSubjectRequest {
        name,
        request_id: world.id(),
        ..Default::default()
    };
    let deleted = subjects
        .delete_subject(by(&world.admin, request))
        .await
        .unwrap()
        .into_inner();
    assert!(deleted.acknowledgement.is_some());
}

#[tokio::test]
async fn keys_are_told_without_secrets_rotated_when_old_enough_and_revoked_at_once() {
    let world = World::new().await;
    let mut keys = KeyServiceClient::new(world.channel.clone());
    let list = admin::ListKeysRequest {
        r#use: admin::KeyUse::Sign.into(),
        ..Default::default()
    };
    let before = keys
        .list_keys(by(&world.admin, list.clone()))
        .await
        .unwrap()
        .into_inner()
        .keys;
    assert_eq!(before.len(), 2);
    let rotate = |world: &World| admin::RotateKeyRequest {
        r#use: admin::KeyUse::Sign.into(),
        request_id: world.id(),
        ..Default::default()
    };
    let refused = keys
        .rotate_key(by(&world.admin, rotate(&world)))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "KEY_UNAVAILABLE")
    );
    assert!(refused.get_error_details().retry_info().is_some());

    let active = before
        .iter()
        .find(|key| key.state() == admin::KeyState::Active)
        .unwrap();
    let revoke = admin::RevokeKeyRequest {
        name: active.name.clone(),
        request_id: world.id(),
        ..Default::default()
    };
    let revoked = keys
        .revoke_key(by(&world.admin, revoke))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(revoked.key.unwrap().state(), admin::KeyState::Revoked);
    assert_eq!(revoked.active.unwrap().state(), admin::KeyState::Active);
    assert!(!revoked.acknowledgements.is_empty());
    let refused = keys.list_keys(by(&world.admin, list)).await.unwrap_err();
    assert_eq!(
        refused.code(),
        Code::Unauthenticated,
        "the admin's token was signed by that key"
    );
}

#[tokio::test]
async fn the_server_says_what_it_is_to_any_caller() {
    let world = World::new().await;
    let mut server = ServerServiceClient::new(world.channel.clone());
    let info = server
        .get_server_info(by(&world.backend, admin::GetServerInfoRequest {}))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((info.store_partitions, info.log_partitions), (1_024, 4));
    assert_eq!(
        (info.store_engine.as_str(), info.log_engine.as_str()),
        ("fake", "fake")
    );
    assert_eq!(info.issuer_base, "https://id.example");
    let set = token::GetKeySetRequest {
        parent: TENANT.to_owned(),
    };
    let set = world
        .tokens()
        .get_key_set(by(&world.backend, set))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(set.keys.len(), 2);
    let unknown = token::GetKeySetRequest {
        parent: "tenants/nobody".to_owned(),
    };
    let refused = world
        .tokens()
        .get_key_set(by(&world.backend, unknown))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "TENANT_UNKNOWN")
    );
}

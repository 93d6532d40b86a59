//! Bad input: every fault is named, all of them at once, and nothing happens.

use curfew_core::time::Clock as _;
use curfew_proto::admin::v1 as admin;
use curfew_proto::revocation::v1 as revocation;
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::session::v1 as session;
use curfew_proto::token::v1 as token;
use prost_types::value::Kind;
use prost_types::{Duration, Struct, Timestamp, Value};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::world::{TENANT, World, by, faults, reason};

fn long() -> String {
    "a".repeat(100_000)
}

#[tokio::test]
async fn all_faults_of_a_session_are_told_at_once() {
    let world = World::new().await;
    let nan = Struct {
        fields: [(
            "x".to_owned(),
            Value {
                kind: Some(Kind::NumberValue(f64::NAN)),
            },
        )]
        .into(),
    };
    let request = session::CreateSessionRequest {
        parent: TENANT.to_owned(),
        session: Some(session::Session {
            subject: format!("{TENANT}/subjects/a\u{7}"),
            amr: vec![String::new(); 65],
            acr: long(),
            auth_time: Some(Timestamp {
                seconds: -1,
                nanos: 0,
            }),
            claims: Some(nan),
            device: Some(session::Device {
                id: long(),
                ..Default::default()
            }),
            user_agent: "a\nb".to_owned(),
            idle_timeout: Some(Duration {
                seconds: -1,
                nanos: 0,
            }),
            max_lifetime: Some(Duration {
                seconds: i64::MAX,
                nanos: 0,
            }),
            ..Default::default()
        }),
        request_id: "7".to_owned(),
        correlation_id: "b".repeat(129),
    };
    let refused = world
        .sessions()
        .create_session(by(&world.backend, request))
        .await
        .unwrap_err();
    let expected = [
        "request_id",
        "correlation_id",
        "session.subject",
        "session.auth_time",
        "session.acr",
        "session.amr",
        "session.idle_timeout",
        "session.max_lifetime",
        "session.device.id",
        "session.claims",
        "session.user_agent",
    ];
    assert_eq!(faults(&refused), expected);
    assert_eq!(reason(&refused), "FIELD_INVALID");
}

/// An hour either way, as a machine has it that was set to the wrong time zone.
#[tokio::test]
async fn a_back_end_whose_clock_is_an_hour_off_is_told_so_or_loses_nothing() {
    const HOUR_MS: i64 = 3_600_000;
    let world = World::new().await;
    let at = |ms: i64| {
        let now = world.clock.now().wall.plus_ms(ms);
        Some(Timestamp {
            seconds: now.as_unix_ms() / 1_000,
            nanos: 0,
        })
    };
    let sign_in = async |auth_time| {
        let request = session::CreateSessionRequest {
            parent: TENANT.to_owned(),
            session: Some(session::Session {
                subject: format!("{TENANT}/subjects/alice"),
                auth_time,
                ..Default::default()
            }),
            request_id: world.id(),
            ..Default::default()
        };
        let opened = world
            .sessions()
            .create_session(by(&world.backend, request))
            .await?;
        Ok::<_, tonic::Status>(opened.into_inner().session.unwrap())
    };
    let told = |refused: &tonic::Status, field: &str| {
        assert_eq!(faults(refused), [field]);
        let details = refused.get_error_details();
        let why = &details.bad_request().unwrap().field_violations[0].description;
        assert!(
            why.contains("3600 s in the future") && why.contains("set the clock"),
            "{why}"
        );
    };

    told(&sign_in(at(HOUR_MS)).await.unwrap_err(), "session.auth_time");
    let session = sign_in(at(-HOUR_MS)).await.unwrap();
    let issue = async |authorize_time| {
        let request = token::IssueTokensRequest {
            authorize_time,
            ..world.issue_request(&session.name)
        };
        let issued = world.tokens().issue_tokens(by(&world.backend, request)).await?;
        Ok::<_, tonic::Status>(issued.into_inner().tokens.unwrap())
    };
    told(&issue(at(HOUR_MS)).await.unwrap_err(), "authorize_time");
    let mut tokens = issue(at(-HOUR_MS)).await.unwrap();
    for _ in 0..3 {
        world.advance(1_000).await;
        tokens = world
            .refresh(&tokens.refresh_token)
            .await
            .unwrap()
            .tokens
            .unwrap();
    }
}

#[tokio::test]
async fn what_is_required_is_asked_for() {
    let world = World::new().await;
    let mut sessions = world.sessions();
    let refused = sessions
        .create_session(by(&world.backend, Default::default()))
        .await
        .unwrap_err();
    assert_eq!(faults(&refused), ["parent", "request_id"]);
    let request = token::IssueTokensRequest {
        session: TENANT.to_owned(),
        ..Default::default()
    };
    let refused = world
        .tokens()
        .issue_tokens(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(faults(&refused), ["request_id", "session", "client"]);
    let request = revocation::CreateRevocationRequest {
        parent: TENANT.to_owned(),
        ..Default::default()
    };
    let refused = world
        .revocations()
        .create_revocation(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(faults(&refused), ["request_id", "scope"]);
    let refused = world
        .revocations()
        .report_progress(by(&world.backend, Default::default()))
        .await
        .unwrap_err();
    assert_eq!(faults(&refused), ["report_id", "log_id", "subscriber"]);
}

#[tokio::test]
async fn fields_that_this_release_cannot_keep_are_refused_by_name() {
    let world = World::new().await;
    let client = admin::Client {
        auth_method: admin::ClientAuthMethod::PrivateKeyJwt.into(),
        jwks: "{}".to_owned(),
        first_party: true,
        origins: vec!["https://x.example".to_owned()],
        certificates: vec![admin::CertificateMatch {
            san_dns: "x".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let request = admin::CreateClientRequest {
        parent: TENANT.to_owned(),
        client_id: "other".to_owned(),
        client: Some(client),
        request_id: world.id(),
        ..Default::default()
    };
    let refused = world
        .clients()
        .create_client(by(&world.admin, request))
        .await
        .unwrap_err();
    let found = faults(&refused);
    for field in [
        "client.jwks",
        "client.first_party",
        "client.origins",
        "client.auth_method",
        "client.certificates[0].san_dns",
        "client.certificates[0].x5t_s256",
    ] {
        assert!(found.iter().any(|fault| fault == field), "{field}: {found:?}");
    }
    let mut request = world.issue_request(&world.open("alice").await);
    request.code = "c".to_owned();
    request.grant_lifetime = Some(Duration { seconds: 1, nanos: 0 });
    request.claims_challenge = "{}".to_owned();
    let refused = world
        .tokens()
        .issue_tokens(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(faults(&refused), ["claims_challenge", "code", "grant_lifetime"]);
}

#[tokio::test]
async fn criteria_are_bounded_and_sorted_and_twice_the_same_claim_is_refused() {
    let world = World::new().await;
    let of = |claims: &[(&str, &str)]| {
        let all_of = claims
            .iter()
            .map(|(claim, value)| curfew_proto::log::v1::ClaimMatch {
                claim: (*claim).to_owned(),
                value: (*value).to_owned(),
            });
        revocation::CreateRevocationRequest {
            parent: TENANT.to_owned(),
            scope: Some(Scope::Criteria(revocation::Criteria {
                all_of: all_of.collect(),
                ..Default::default()
            })),
            request_id: world.id(),
            ..Default::default()
        }
    };
    let mut revocations = world.revocations();
    let five = [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")];
    let refused = revocations
        .create_revocation(by(&world.backend, of(&five)))
        .await
        .unwrap_err();
    assert_eq!(faults(&refused), ["criteria.all_of"]);
    let refused = revocations
        .create_revocation(by(&world.backend, of(&[("a", "")])))
        .await
        .unwrap_err();
    assert_eq!(faults(&refused), ["criteria.all_of[0].value"]);
    let twice = [("deviceid", "1"), ("deviceid", "2")];
    let refused = revocations
        .create_revocation(by(&world.backend, of(&twice)))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "CRITERIA_INVALID")
    );
    let unsorted = [("idp", "x"), ("deviceid", "d")];
    revocations
        .create_revocation(by(&world.backend, of(&unsorted)))
        .await
        .unwrap();
}

/// Tokens in a request: what is wrong with them is never said of the caller.
#[tokio::test]
async fn a_tokens_fault_is_told_apart_from_a_callers() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let tokens = world.issue(&session).await;
    let mut forged = tokens.refresh_token.clone().into_bytes();
    forged[50] = if forged[50] == b'A' { b'B' } else { b'A' };
    for (presented, code, expected) in [
        ("nonsense".to_owned(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        (
            tokens.refresh_token.clone() + "=",
            Code::InvalidArgument,
            "TOKEN_MALFORMED",
        ),
        (
            String::from_utf8(forged).unwrap(),
            Code::InvalidArgument,
            "TOKEN_FORGED",
        ),
        (
            tokens.access_token.clone(),
            Code::InvalidArgument,
            "TOKEN_IS_ACCESS_TOKEN",
        ),
        (
            tokens.id_token.clone(),
            Code::InvalidArgument,
            "TOKEN_IS_ID_TOKEN",
        ),
    ] {
        let refused = world.refresh(&presented).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, expected));
    }
    let mut request = world.issue_request(&session);
    request.client_authentication = None;
    let refused = world
        .tokens()
        .issue_tokens(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unauthenticated, "CLIENT_AUTHENTICATION")
    );
    let mut request = world.issue_request(&session);
    request.scopes.push("nonsense".to_owned());
    let refused = world
        .tokens()
        .issue_tokens(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "SCOPE_UNKNOWN")
    );
    let mut request = world.issue_request(&session);
    request.resource = format!("{TENANT}/resources/nonsense");
    let refused = world
        .tokens()
        .issue_tokens(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "RESOURCE_UNKNOWN")
    );
    let refused = world.refresh(&"a".repeat(20_000)).await.unwrap_err();
    assert_eq!(faults(&refused), ["refresh_token"]);
}

/// A subject may hold what a resource name may not.
#[tokio::test]
async fn a_subject_with_a_slash_and_a_percent_sign_keeps_its_name() {
    let world = World::new().await;
    let session = world.open("a%2Fb%25c").await;
    let request = session::GetSessionRequest { name: session };
    let got = world
        .sessions()
        .get_session(by(&world.backend, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        got.session.unwrap().subject,
        format!("{TENANT}/subjects/a%2Fb%25c")
    );
}

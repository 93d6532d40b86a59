//! Too much at once: shares, reserves, rates, guesses, deadlines.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curfew_ports::testing::Held;
use curfew_proto::session::v1 as session;
use curfew_proto::token::v1 as token;
use tokio::task::JoinHandle;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use super::world::{TENANT, World, by, reason};
use crate::Rate;
use crate::access::{Rank, TABLE};

/// Refused by a limit: neither dead nor like nobody, with the delay after which to come again.
fn over(status: &Status, expected: &str) -> Duration {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::ResourceExhausted, expected),
        "{status:?}"
    );
    let details = status.get_error_details();
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    delay.expect("a delay")
}

type Opening = JoinHandle<Result<Response<session::CreateSessionResponse>, Status>>;

/// A sign-in whose commit stands still; it goes on when the hold is dropped.
async fn held(world: &World, authorization: &str, subject: &str) -> (Held, Opening) {
    let request = session::CreateSessionRequest {
        parent: TENANT.to_owned(),
        session: Some(session::Session {
            subject: format!("{TENANT}/subjects/{subject}"),
            amr: vec!["pwd".to_owned()],
            ..Default::default()
        }),
        request_id: world.id(),
        ..Default::default()
    };
    let held = world.store.delay_next();
    let (mut sessions, request) = (world.sessions(), by(authorization, request));
    let opening = tokio::spawn(async move { sessions.create_session(request).await });
    held.arrived().await;
    (held, opening)
}

async fn get(world: &World, authorization: &str, name: &str) -> Result<(), Status> {
    let request = session::GetSessionRequest {
        name: name.to_owned(),
    };
    let got = world.sessions().get_session(by(authorization, request)).await;
    got.map(drop)
}

#[test]
fn every_call_that_ends_something_outranks_and_no_other_does() {
    for rule in TABLE {
        let method = rule.path.rsplit('/').next().unwrap();
        let verbs = [
            "End",
            "Revoke",
            "Disable",
            "Delete",
            "CreateRevocation",
            "BatchCreateRevocations",
        ];
        let ends = verbs.iter().any(|verb| method.starts_with(verb));
        assert_eq!(rule.rank == Rank::Ends, ends, "{method}");
    }
}

#[tokio::test]
async fn one_caller_cannot_take_every_place_and_the_next_one_gets_in() {
    // Seven places for common calls and one in reserve: alone a caller gets four.
    let world = World::with(|settings| settings.calls_max = 8).await;
    let other = world
        .caller("other", &["sessions.write", "sessions.read"], &[TENANT])
        .await;
    let session = world.open("alice").await;
    let mut holds = Vec::new();
    for n in 0..4 {
        holds.push(held(&world, &world.backend, &format!("subject-{n}")).await);
    }
    let refused = get(&world, &world.backend, &session).await.unwrap_err();
    over(&refused, "CALLER_SHARE");
    assert!(refused.message().contains("backend"), "{refused:?}");
    get(&world, &other, &session).await.unwrap();
    for (held, opening) in holds {
        held.release();
        opening.await.unwrap().unwrap();
    }
    get(&world, &world.backend, &session).await.unwrap();
}

#[tokio::test]
async fn a_revocation_gets_through_when_every_other_place_is_taken() {
    let world = World::with(|settings| settings.calls_max = 16).await;
    let session = world.open("alice").await;
    let other = world.caller("other", &["sessions.write"], &[TENANT]).await;
    let mut holds = Vec::new();
    for n in 0..7 {
        holds.push(held(&world, &world.backend, &format!("subject-{n}")).await);
    }
    for n in 0..4 {
        holds.push(held(&world, &other, &format!("another-{n}")).await);
    }
    over(
        &get(&world, &world.backend, &session).await.unwrap_err(),
        "CALLER_SHARE",
    );
    let end = session::EndSessionRequest {
        name: session.clone(),
        request_id: world.id(),
        ..Default::default()
    };
    world
        .sessions()
        .end_session(by(&world.backend, end))
        .await
        .expect("it has a reserve");
    for (held, opening) in holds {
        held.release();
        opening.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn streams_of_one_caller_leave_room_for_those_of_others() {
    let world = World::with(|settings| settings.subscribers_max = 4).await;
    let other = world.caller("other", &["revocations.read"], &[TENANT]).await;
    let watch = || curfew_proto::revocation::v1::WatchRevocationsRequest {
        tenants: vec![TENANT.to_owned()],
        ..Default::default()
    };
    let mut service = world.revocations();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let stream = service.watch_revocations(by(&world.backend, watch())).await;
        streams.push(stream.unwrap());
    }
    let refused = service.watch_revocations(by(&world.backend, watch())).await;
    over(&refused.unwrap_err(), "CALLER_SHARE");
    let stream = service.watch_revocations(by(&other, watch())).await;
    streams.push(stream.unwrap());
}

#[tokio::test]
async fn a_caller_over_its_rate_is_told_the_real_delay_and_others_are_not_touched() {
    let world = World::with(|settings| {
        settings.caller_rate = Rate {
            amount: 1,
            per: Duration::from_secs(10),
            burst: 6,
        };
    })
    .await;
    let other = world.caller("other", &["sessions.read"], &[TENANT]).await;
    let session = world.open("alice").await;
    // Its token and the session were two.
    for _ in 0..4 {
        get(&world, &world.backend, &session).await.unwrap();
    }
    let refused = get(&world, &world.backend, &session).await.unwrap_err();
    assert_eq!(over(&refused, "RATE_LIMITED"), Duration::from_secs(10));
    get(&world, &other, &session).await.unwrap();
    world.clock.advance(9_999);
    let refused = get(&world, &world.backend, &session).await.unwrap_err();
    assert_eq!(over(&refused, "RATE_LIMITED"), Duration::from_millis(1));
    world.clock.advance(1);
    world.authority.beat_once().await;
    get(&world, &world.backend, &session).await.unwrap();
}

#[tokio::test]
async fn a_client_over_its_rate_is_refused_and_its_grant_lives() {
    let world = World::with(|settings| {
        settings.client_rate = Rate {
            amount: 1,
            per: Duration::from_secs(1),
            burst: 2,
        };
    })
    .await;
    let session = world.open("alice").await;
    let first = world.issue(&session).await.refresh_token;
    let second = world.refresh(&first).await.unwrap().tokens.unwrap().refresh_token;
    let refused = world.refresh(&second).await.unwrap_err();
    assert_eq!(over(&refused, "RATE_LIMITED"), Duration::from_secs(1));
    world.clock.advance(1_000);
    world.refresh(&second).await.unwrap();
}

/// Asks for the caller's own token with this secret.
async fn sign_in(world: &World, id: &str, secret: &str) -> Result<(), Status> {
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let request = token::IssueAppTokenRequest {
        client: format!("tenants/curfew/clients/{id}"),
        resource: "tenants/curfew/resources/curfew".to_owned(),
        request_id: world.id(),
        ..Default::default()
    };
    let issued = world.tokens().issue_app_token(by(&basic, request)).await;
    issued.map(drop)
}

fn few_guesses(settings: &mut crate::Settings) {
    settings.guess_rate = Rate {
        amount: 1,
        per: Duration::from_secs(5),
        burst: 3,
    };
}

#[tokio::test]
async fn wrong_secrets_are_not_judged_at_speed_and_whoever_was_right_before_passes() {
    let world = World::with(few_guesses).await;
    let request = curfew_proto::admin::v1::CreateCallerRequest {
        caller_id: "shop".to_owned(),
        caller: Some(curfew_proto::admin::v1::Caller {
            roles: vec!["sessions.read".to_owned()],
            tenants: vec![TENANT.to_owned()],
            ..Default::default()
        }),
        request_id: world.id(),
        ..Default::default()
    };
    let made = world.callers().create_caller(by(&world.admin, request)).await;
    let secret = made.unwrap().into_inner().secret_value;
    let guess = |n: usize| format!("{secret}{n}");
    // A guesser that comes before the caller was ever right uses up its address's tries for that id.
    for n in 0..3 {
        let refused = sign_in(&world, "shop", &guess(n)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    }
    let refused = sign_in(&world, "shop", &guess(3)).await.unwrap_err();
    assert_eq!(over(&refused, "RATE_LIMITED"), Duration::from_secs(5));
    let refused = sign_in(&world, "shop", &secret).await.unwrap_err();
    over(&refused, "RATE_LIMITED");
    // Other ids are not touched.
    let refused = sign_in(&world, "backend", &guess(0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    world.clock.advance(5_000);
    world.authority.beat_once().await;
    sign_in(&world, "shop", &secret).await.unwrap();
    // From now on no guesser stands in the way.
    over(
        &sign_in(&world, "shop", &guess(4)).await.unwrap_err(),
        "RATE_LIMITED",
    );
    for _ in 0..10 {
        sign_in(&world, "shop", &secret).await.unwrap();
    }
}

#[tokio::test]
async fn made_up_ids_share_one_budget() {
    let world = World::with(few_guesses).await;
    for n in 0..3 {
        let refused = sign_in(&world, &format!("made-up-{n}"), "x").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    over(
        &sign_in(&world, "made-up-3", "x").await.unwrap_err(),
        "RATE_LIMITED",
    );
}

#[tokio::test]
async fn a_proof_of_the_root_key_is_not_guessed_at_speed() {
    let world = World::with(few_guesses).await;
    let make = async |proof: String| {
        let request = curfew_proto::admin::v1::CreateCallerRequest {
            caller_id: "second".to_owned(),
            request_id: world.id(),
            ..Default::default()
        };
        let authorization = format!("Curfew-Root {proof}");
        let made = world.callers().create_caller(by(&authorization, request)).await;
        made.unwrap_err()
    };
    // The first of three tries was the right one, which made the first admin.
    for n in 0..2 {
        let refused = make(format!("{n:032x}")).await;
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    }
    over(&make(format!("{:032x}", 9)).await, "RATE_LIMITED");
    // The right one was right before: whatever it is told now, it is not that.
    let told = make("ab".repeat(16)).await;
    assert_ne!(reason(&told), "RATE_LIMITED", "{told:?}");
}

#[tokio::test]
async fn a_clients_secret_is_not_guessed_at_speed_and_the_right_one_passes_meanwhile() {
    let world = World::with(few_guesses).await;
    let session = world.open("alice").await;
    let refresh_token = world.issue(&session).await.refresh_token;
    let refresh = async |secret: String, client_ip: &str| {
        let request = token::RefreshTokensRequest {
            refresh_token: refresh_token.clone(),
            client: format!("{TENANT}/clients/web"),
            client_authentication: Some(token::ClientAuthentication {
                method: Some(token::client_authentication::Method::ClientSecret(secret)),
            }),
            client_ip: client_ip.to_owned(),
            ..Default::default()
        };
        world.tokens().refresh_tokens(by(&world.backend, request)).await
    };
    for n in 0..3 {
        let refused = refresh(format!("wrong-{n}"), "192.0.2.7").await.unwrap_err();
        assert_eq!(reason(&refused), "CLIENT_AUTHENTICATION");
    }
    let refused = refresh("wrong-3".to_owned(), "192.0.2.7").await.unwrap_err();
    over(&refused, "RATE_LIMITED");
    // From another address a wrong one is still told as wrong.
    let refused = refresh("wrong-4".to_owned(), "192.0.2.8").await.unwrap_err();
    assert_eq!(reason(&refused), "CLIENT_AUTHENTICATION");
    refresh(world.web_secret.clone(), "192.0.2.7").await.unwrap();
}

#[tokio::test]
async fn a_call_whose_deadline_has_passed_is_not_begun() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let commits = world.store.counts().commits;
    let mut request = by(
        &world.backend,
        session::EndSessionRequest {
            name: session.clone(),
            request_id: world.id(),
            ..Default::default()
        },
    );
    // The client's own timer is not set, so that the server's answer is what is seen.
    request
        .metadata_mut()
        .insert("grpc-timeout", "0m".parse().unwrap());
    let refused = world.sessions().end_session(request).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::ResourceExhausted | Code::Cancelled),
        "{refused:?}"
    );
    assert_eq!(world.store.counts().commits, commits, "nothing was begun");
    get(&world, &world.backend, &session).await.unwrap();
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_a_fault_by_name() {
    let world = World::new().await;
    let mut request: Request<_> = by(
        &world.backend,
        session::GetSessionRequest { name: "x".to_owned() },
    );
    request
        .metadata_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    let refused = world.sessions().get_session(request).await.unwrap_err();
    assert_eq!(super::world::faults(&refused), ["(metadata) grpc-timeout"]);
}

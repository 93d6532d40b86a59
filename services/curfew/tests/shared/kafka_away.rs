//! Kafka goes away and comes back: what is told meanwhile, and what is delivered afterwards.

use std::time::Duration;

use curfew_guard::Requirements;
use curfew_proto::revocation::v1 as revocation;
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::session::v1 as session;
use curfew_proto::token::v1 as token;
use tonic::{Code, Request, Status};

use super::process::{Backend, TENANT, request_id};
use super::servers::{Servers, backend, guard, id_of, metric, readiness, told, until};

/// What callers wait for an answer; an answer that came later would be none.
const DEADLINE: Duration = Duration::from_secs(4);

async fn end(backend: &Backend, session: &str) -> Result<revocation::Acknowledgement, Status> {
    let mut request = Request::new(session::EndSessionRequest {
        name: session.to_owned(),
        cause: "signed_out".to_owned(),
        request_id: request_id(),
        ..Default::default()
    });
    request.set_timeout(DEADLINE);
    let ended = backend.sessions.clone().end_session(request).await?.into_inner();
    Ok(ended.acknowledgement.unwrap())
}

/// A wide one.
async fn revoke_device(backend: &Backend, device: &str) -> revocation::Acknowledgement {
    let mut request = Request::new(revocation::CreateRevocationRequest {
        parent: TENANT.to_owned(),
        scope: Some(Scope::Device(revocation::DeviceScope {
            device: device.to_owned(),
        })),
        request_id: request_id(),
        ..Default::default()
    });
    request.set_timeout(DEADLINE);
    let made = backend
        .revocations
        .clone()
        .create_revocation(request)
        .await
        .unwrap();
    made.into_inner().acknowledgement.unwrap()
}

async fn is_active(backend: &Backend, access_token: &str) -> Result<bool, Status> {
    let request = token::IntrospectTokenRequest {
        parent: TENANT.to_owned(),
        token: access_token.to_owned(),
        ..Default::default()
    };
    let told = backend.tokens.clone().introspect_token(request).await?;
    Ok(told.into_inner().active)
}

async fn is_ended(backend: &Backend, session: &str) -> bool {
    let request = session::GetSessionRequest {
        name: session.to_owned(),
    };
    let found = backend.sessions.clone().get_session(request).await.unwrap();
    found.into_inner().session.unwrap().state() == session::SessionState::Ended
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_a_revocation_is_stored_and_told_so_holds_at_refresh_and_is_delivered_later() {
    let servers = Servers::start();
    let ([first, second], secrets) = servers.seeded_nodes();
    let secret = secrets.backend;
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let doomed = on_first.sign_in("alice").await.unwrap();
    let of_doomed = on_first.issue(&doomed).await.unwrap();
    let other = on_first.sign_in("bob").await.unwrap();
    let mut of_other = on_first.issue(&other).await.unwrap();
    let (guard, _running) = guard(&second, &on_second, &of_doomed.access_token).await;
    let route = Requirements::scope("orders.read");
    guard.check(&of_doomed.access_token, &route).unwrap();
    assert_eq!(servers.revocations().await.len(), 0);

    servers.kafka.stop_the_clock(0);
    let narrow = end(&on_first, &doomed).await.unwrap();
    let wide = revoke_device(&on_second, "lost-phone").await;
    for told in [&narrow, &wide] {
        assert_eq!(
            (told.level(), told.positions.len()),
            (revocation::AckLevel::Stored, 0)
        );
    }
    // Enforced at refresh, everywhere; and nobody else is signed out, however long it takes.
    for backend in [&on_first, &on_second] {
        let refused = backend.refresh(&of_doomed.refresh_token).await.unwrap_err();
        assert_eq!(
            told(&refused),
            (Code::FailedPrecondition, "SESSION_ENDED".to_owned(), false)
        );
    }
    for server in [&first, &second] {
        until("a node that hears nothing is not ready", async || {
            let (is_ready, said) = readiness(server).await;
            assert_eq!((&said["directory"], &said["key"]), (&true.into(), &true.into()));
            (!is_ready && said["tail"] == false).then_some(())
        })
        .await;
        assert!(metric(server, "curfew_watermark_age_seconds{partition=\"0\"}").await > 10.0);
    }
    for backend in [&on_first, &on_second] {
        of_other = backend.refresh(&of_other.refresh_token).await.unwrap();
        // The token's own partition may have been heard of a moment later than the first that is stale.
        let refused = until("introspection is refused", async || {
            is_active(backend, &of_other.access_token).await.err()
        })
        .await;
        assert_eq!(
            told(&refused),
            (Code::Unavailable, "FRESHNESS_STALE".to_owned(), true)
        );
    }

    servers.kafka.go_on(0);
    for server in [&first, &second] {
        until("ready again", async || readiness(server).await.0.then_some(())).await;
    }
    until("the guard refuses", async || {
        let refused = guard.check(&of_doomed.access_token, &route).err()?;
        (refused.short_code() == "TOKEN_REVOKED").then_some(())
    })
    .await;
    until("the outboxes are empty", async || {
        (servers.outbox() == 0).then_some(())
    })
    .await;
    let published = servers.revocations().await;
    let mut ids: Vec<_> = published.keys().map(String::as_str).collect();
    let mut expected = [id_of(&narrow.revocation), id_of(&wide.revocation)];
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected, "one id each");
    for backend in [&on_first, &on_second] {
        assert!(!is_active(backend, &of_doomed.access_token).await.unwrap());
        assert!(is_active(backend, &of_other.access_token).await.unwrap());
        of_other = backend.refresh(&of_other.refresh_token).await.unwrap();
    }
    let again = end(&on_first, &other).await.unwrap();
    assert_eq!(again.level(), revocation::AckLevel::Durable);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_node_committed_and_did_not_append_is_delivered_once_by_another() {
    let mut servers = Servers::start();
    let ([first, second], secrets) = servers.seeded_nodes();
    let secret = secrets.backend;
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let session = on_first.sign_in("alice").await.unwrap();
    let tokens = on_first.issue(&session).await.unwrap();
    let (guard, _running) = guard(&second, &on_second, &tokens.access_token).await;
    let route = Requirements::scope("orders.read");
    guard.check(&tokens.access_token, &route).unwrap();

    servers.kafka.kill(0);
    let ending = tokio::spawn({
        let session = session.clone();
        async move { end(&on_first, &session).await }
    });
    until("it is committed", async || {
        is_ended(&on_second, &session).await.then_some(())
    })
    .await;
    first.kill();
    ending.await.unwrap().expect_err("nobody was told");
    assert!(servers.outbox() > 0);
    servers.kafka.restart(0).unwrap();

    until("the guard refuses", async || {
        let refused = guard.check(&tokens.access_token, &route).err()?;
        (refused.short_code() == "TOKEN_REVOKED").then_some(())
    })
    .await;
    until("the outboxes are empty", async || {
        (servers.outbox() == 0).then_some(())
    })
    .await;
    assert_eq!(servers.revocations().await.len(), 1, "one id");
}

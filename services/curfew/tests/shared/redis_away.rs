//! Redis goes away and comes back: stopped for a while, and killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use curfew_guard::Requirements;
use curfew_proto::session::v1 as session;
use curfew_proto::token::v1 as token;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::process::{Backend, Server, TENANT, channel, request_id};
use super::servers::{Servers, backend, guard, readiness, told, until};

/// What callers wait for an answer: less than a call of the store may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// What was acknowledged is on the disk.
const ALWAYS: &[&str] = &["appendfsync always"];

fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

async fn refresh(backend: &Backend, refresh_token: &str) -> Result<String, Status> {
    let request = patient(token::RefreshTokensRequest {
        refresh_token: refresh_token.to_owned(),
        client: format!("{TENANT}/clients/web"),
        ..Default::default()
    });
    let refreshed = backend.tokens.clone().refresh_tokens(request).await?;
    Ok(refreshed.into_inner().tokens.unwrap().refresh_token)
}

/// What a client is told that repeats where it is told to.
pub(crate) async fn answered(backend: &Backend, refresh_token: &str) -> Result<String, Status> {
    until("an answer that is one", async || {
        let answer = refresh(backend, refresh_token).await;
        let is_hiccup = answer
            .as_ref()
            .is_err_and(|status| status.code() == Code::Unavailable);
        (!is_hiccup).then_some(answer)
    })
    .await
}

async fn open(backend: &Backend, subject: &str, request_id: &str) -> Result<String, Status> {
    let request = patient(session::CreateSessionRequest {
        parent: TENANT.to_owned(),
        session: Some(session::Session {
            subject: format!("{TENANT}/subjects/{subject}"),
            ..Default::default()
        }),
        request_id: request_id.to_owned(),
        ..Default::default()
    });
    let opened = backend.sessions.clone().create_session(request).await?;
    Ok(opened.into_inner().session.unwrap().name)
}

pub(crate) async fn end(backend: &Backend, session: &str, request_id: &str) -> Result<(), Status> {
    let request = patient(session::EndSessionRequest {
        name: session.to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    });
    backend.sessions.clone().end_session(request).await.map(drop)
}

async fn health(server: &Server) -> ServingStatus {
    let mut client = HealthClient::new(channel(&server.grpc).await);
    let request = HealthCheckRequest {
        service: "ready".to_owned(),
    };
    client.check(request).await.unwrap().into_inner().status()
}

async fn is_ready(server: &Server) {
    until("the node is ready", async || {
        (readiness(server).await.0 && health(server).await == ServingStatus::Serving).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_hangs_callers_are_told_to_repeat_and_repeats_know_their_own_work() {
    let servers = Servers::start();
    let ([node], secrets) = servers.seeded_nodes();
    let secret = secrets.backend;
    let backend = backend(&node, &secret).await;
    let (alice, bob) = (
        backend.sign_in("alice").await.unwrap(),
        backend.sign_in("bob").await.unwrap(),
    );
    let of_alice = backend.issue(&alice).await.unwrap().refresh_token;
    let of_bob = backend.issue(&bob).await.unwrap().refresh_token;
    is_ready(&node).await;

    let ids = [request_id(), request_id()];
    servers.redis.stop_the_clock();
    let refused = tokio::join!(
        refresh(&backend, &of_alice),
        open(&backend, "carol", &ids[0]),
        end(&backend, &bob, &ids[1]),
    );
    let refused = [
        refused.0.unwrap_err(),
        refused.1.unwrap_err(),
        refused.2.unwrap_err(),
    ];
    until("the node is not ready", async || {
        let (is_ready, said) = readiness(&node).await;
        let is_told = !is_ready && said["directory"] == false;
        (is_told && health(&node).await == ServingStatus::NotServing).then_some(())
    })
    .await;
    let late = refresh(&backend, &of_alice).await.unwrap_err();
    servers.redis.go_on();
    for status in refused.iter().chain([&late]) {
        let (code, reason, repeats) = told(status);
        assert_eq!((code, repeats), (Code::Unavailable, true), "{status:?}");
        assert!(
            ["STORE_UNAVAILABLE", "DIRECTORY_STALE"].contains(&&*reason),
            "{status:?}"
        );
    }

    is_ready(&node).await;
    let first = refresh(&backend, &of_alice).await.unwrap();
    assert_eq!(
        refresh(&backend, &of_alice).await.unwrap(),
        first,
        "one successor"
    );
    refresh(&backend, &first).await.unwrap();
    let carol = open(&backend, "carol", &ids[0]).await.unwrap();
    assert_eq!(open(&backend, "carol", &ids[0]).await.unwrap(), carol);
    end(&backend, &bob, &ids[1]).await.unwrap();
    let over = refresh(&backend, &of_bob).await.unwrap_err();
    assert_eq!(
        told(&over),
        (Code::FailedPrecondition, "SESSION_ENDED".to_owned(), false)
    );
}

/// What a worker was told.
#[derive(Default)]
struct Told {
    /// Sessions and their newest refresh token.
    alive: BTreeMap<String, String>,
    ended: BTreeMap<String, String>,
}

/// Signs in, refreshes and ends, until nobody answers.
async fn work(backend: Backend, worker: usize, told: Arc<Mutex<Told>>) -> Status {
    for n in 0.. {
        let worked = async {
            let session = open(&backend, &format!("u{worker}-{n}"), &request_id()).await?;
            let issued = backend.issue(&session).await?.refresh_token;
            told.lock().unwrap().alive.insert(session.clone(), issued.clone());
            let newest = refresh(&backend, &issued).await?;
            told.lock().unwrap().alive.insert(session.clone(), newest.clone());
            if n % 2 == 0 {
                // From here on it may have ended, or not.
                told.lock().unwrap().alive.remove(&session);
                end(&backend, &session, &request_id()).await?;
                told.lock().unwrap().ended.insert(session, newest);
            }
            Ok(())
        };
        if let Err(status) = worked.await {
            return status;
        }
    }
    unreachable!("workers end when nobody answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_killed_and_restarted_is_recovered_by_its_nodes_and_has_all_that_was_acknowledged() {
    let mut servers = Servers::start_with(ALWAYS);
    let ([node], secrets) = servers.seeded_nodes();
    let secret = secrets.backend;
    let backend = backend(&node, &secret).await;
    let acknowledged = Arc::new(Mutex::new(Told::default()));
    let workers: Vec<_> = (0..4)
        .map(|worker| tokio::spawn(work(backend.clone(), worker, acknowledged.clone())))
        .collect();
    until("there is something to lose", async || {
        let told = acknowledged.lock().unwrap();
        (told.alive.len() >= 20 && told.ended.len() >= 20).then_some(())
    })
    .await;
    servers.redis.kill();
    for worker in workers {
        let (code, reason, repeats) = told(&worker.await.unwrap());
        assert_eq!((code, repeats), (Code::Unavailable, true), "{reason}");
    }

    servers.redis.restart().unwrap();
    let Told { alive, ended } = std::mem::take(&mut *acknowledged.lock().unwrap());
    is_ready(&node).await;
    for (session, refresh_token) in &alive {
        let kept = answered(&backend, refresh_token).await;
        kept.unwrap_or_else(|status| panic!("{session} was signed out: {status:?}"));
    }
    for refresh_token in ended.values() {
        let over = answered(&backend, refresh_token).await.unwrap_err();
        assert_eq!(
            told(&over),
            (Code::FailedPrecondition, "SESSION_ENDED".to_owned(), false)
        );
    }
    println!("{} alive, {} ended", alive.len(), ended.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_down_what_is_revoked_goes_to_the_log_first_and_is_merged_when_it_is_back() {
    let mut servers = Servers::start_with(ALWAYS);
    let ([node], secrets) = servers.seeded_nodes();
    let backend = backend(&node, &secrets.backend).await;
    let (alice, bob) = (
        backend.sign_in("alice").await.unwrap(),
        backend.sign_in("bob").await.unwrap(),
    );
    let (of_alice, of_bob) = (
        backend.issue(&alice).await.unwrap(),
        backend.issue(&bob).await.unwrap(),
    );
    let (guard, _running) = guard(&node, &backend, &of_bob.access_token).await;
    is_ready(&node).await;

    servers.redis.kill();
    let id = request_id();
    // Where a commit was under way its outcome is not known, and is asked for again.
    until("it is revoked", async || end(&backend, &alice, &id).await.ok()).await;
    let route = Requirements::scope("orders.read");
    until("the guard refuses what was revoked", async || {
        guard.check(&of_alice.access_token, &route).is_err().then_some(())
    })
    .await;
    guard.check(&of_bob.access_token, &route).unwrap();
    assert_eq!(servers.revocations().await.len(), 1);

    servers.redis.restart().unwrap();
    let over = answered(&backend, &of_alice.refresh_token).await.unwrap_err();
    assert_eq!(
        told(&over),
        (Code::FailedPrecondition, "SESSION_ENDED".to_owned(), false)
    );
    answered(&backend, &of_bob.refresh_token).await.unwrap();
    // A retry knows its own work.
    until("a repeat is answered", async || {
        end(&backend, &alice, &id).await.ok()
    })
    .await;
    assert_eq!(servers.revocations().await.len(), 1, "one revocation, one id");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_were_all_gone_while_redis_was_restarted_recover_it_when_they_start() {
    let mut servers = Servers::start_with(ALWAYS);
    let ([node], secrets) = servers.seeded_nodes();
    let held = {
        let backend = backend(&node, &secrets.backend).await;
        let session = backend.sign_in("alice").await.unwrap();
        backend.issue(&session).await.unwrap().refresh_token
    };
    node.kill();
    servers.redis.restart().unwrap();
    // Long enough that every heartbeat on the log is old: the first node that starts beats before it recovers.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let nodes: [Server; 2] = servers.nodes();
    for node in &nodes {
        let backend = backend(node, &secrets.backend).await;
        answered(&backend, &held).await.unwrap();
    }
}

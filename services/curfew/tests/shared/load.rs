//! Clients that refresh without a pause, through a balancer, while a node is added and another one is killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use curfew_proto::session::v1::EndSessionRequest;
use futures_util::future::join_all;
use tonic::{Code, Request, Status};

use super::balancer::Balancer;
use super::process::{Backend, caller_token, channel, request_id};
use super::servers::{Servers, backend, id_of, until};

const CLIENTS: usize = 12;
/// Refreshes of each phase: some a client, so that whatever the phase began with is over.
const PHASE: usize = 120;
/// After so many refreshes every third client signs out.
const SIGNS_OUT_AFTER: usize = 10;
const DEADLINE: Duration = Duration::from_secs(4);
/// Tries of one call: a node that was killed is missed for some milliseconds.
const TRIES_MAX: usize = 100;

#[derive(Default)]
struct Progress {
    refreshed: AtomicUsize,
    repeated: AtomicUsize,
    is_over: AtomicBool,
}

/// What became of a client.
struct Client {
    refresh_token: String,
    /// The revocation that was acknowledged.
    revocation: Option<String>,
}

/// Repeats what nobody answered, or what a node told to repeat.
async fn repeated<T>(
    progress: &Progress,
    mut call: impl AsyncFnMut() -> Result<T, Status>,
) -> Result<T, Status> {
    for _ in 0..TRIES_MAX {
        match call().await {
            Err(status) if is_hiccup(status.code()) => {
                progress.repeated.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answered => return answered,
        }
    }
    panic!("nobody answers")
}

/// A connection that broke under a call is `Unknown` or `Cancelled` to the client library.
fn is_hiccup(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DeadlineExceeded, Unavailable, Unknown};
    [Aborted, Cancelled, DeadlineExceeded, Unavailable, Unknown].contains(&code)
}

async fn end(backend: &Backend, session: &str, request_id: &str) -> Result<String, Status> {
    let mut request = Request::new(EndSessionRequest {
        name: session.to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    });
    request.set_timeout(DEADLINE);
    let ended = backend.sessions.clone().end_session(request).await?.into_inner();
    Ok(ended.acknowledgement.unwrap().revocation)
}

/// Two connections, which lead to two nodes or to one.
async fn client(number: usize, address: &str, token: &str, progress: &Progress) -> Client {
    let way = async || Backend::with(channel(address).await, token.to_owned());
    let ways = [way().await, way().await];
    let session = repeated(progress, async || {
        ways[0].sign_in(&format!("user-{number}")).await
    });
    let session = session.await.unwrap();
    let tokens = repeated(progress, async || ways[1].issue(&session).await)
        .await
        .unwrap();
    let mut refresh_token = tokens.refresh_token;
    for turn in 0.. {
        let way = &ways[turn % 2];
        if progress.is_over.load(Ordering::Relaxed) {
            break;
        }
        if number.is_multiple_of(3) && turn == SIGNS_OUT_AFTER {
            let id = request_id();
            let record = repeated(progress, async || end(way, &session, &id).await)
                .await
                .unwrap();
            return Client {
                refresh_token,
                revocation: Some(id_of(&record).to_owned()),
            };
        }
        // Presented by both at once, now and then: whoever is second gets the same successor.
        let one = repeated(progress, async || way.refresh(&refresh_token).await);
        let next = if turn % 5 == 4 {
            let other = repeated(progress, async || {
                ways[(turn + 1) % 2].refresh(&refresh_token).await
            });
            let (one, other) = tokio::join!(one, other);
            let (one, other) = (one.unwrap(), other.unwrap());
            assert_eq!(one.refresh_token, other.refresh_token, "one successor");
            one
        } else {
            one.await
                .unwrap_or_else(|status| panic!("client {number} was signed out: {status:?}"))
        };
        refresh_token = next.refresh_token;
        progress.refreshed.fetch_add(1, Ordering::Relaxed);
    }
    Client {
        refresh_token,
        revocation: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_added_and_a_node_killed_under_load_sign_nobody_out_and_revive_nobody() {
    let servers = Arc::new(Servers::start());
    let ([first, second], secrets) = servers.seeded_nodes();
    let secret = secrets.backend;
    for node in [&first, &second] {
        backend(node, &secret).await;
    }
    let balancer = Balancer::before(&[&first, &second]).await;
    let token = caller_token(channel(&balancer.address).await, "backend", &secret)
        .await
        .unwrap();
    let progress = Progress::default();
    let clients = (0..CLIENTS).map(|number| client(number, &balancer.address, &token, &progress));
    let a_phase_later = async |what| {
        let wanted = progress.refreshed.load(Ordering::Relaxed) + PHASE;
        let is_there = async || (progress.refreshed.load(Ordering::Relaxed) >= wanted).then_some(());
        until(what, is_there).await;
    };
    let phases = async {
        a_phase_later("two nodes answer").await;
        let starting = servers.clone();
        let third = tokio::task::spawn_blocking(move || starting.node())
            .await
            .unwrap();
        balancer.add(&third);
        a_phase_later("three nodes answer").await;
        let taken = balancer.taken();
        first.kill();
        a_phase_later("the two that are left answer").await;
        progress.is_over.store(true, Ordering::Relaxed);
        assert!(
            balancer.taken() > taken,
            "somebody was at the node that was killed"
        );
        third
    };
    let (third, clients) = tokio::join!(phases, join_all(clients));
    let mut alive = Vec::new();
    let mut over = Vec::new();
    for client in clients {
        match client.revocation {
            None => alive.push(client.refresh_token),
            Some(revocation) => over.push((client.refresh_token, revocation)),
        }
    }
    println!(
        "{} refreshes, {} repeated, {} alive, {} signed out",
        progress.refreshed.load(Ordering::Relaxed),
        progress.repeated.load(Ordering::Relaxed),
        alive.len(),
        over.len()
    );
    assert_eq!((alive.len(), over.len()), (CLIENTS - CLIENTS / 3, CLIENTS / 3));

    for node in [&second, &third] {
        let backend = backend(node, &secret).await;
        for newest in &mut alive {
            *newest = backend.refresh(newest).await.unwrap().refresh_token;
        }
        for (newest, _) in &over {
            let refused = backend.refresh(newest).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        }
    }
    let acknowledged: BTreeSet<_> = over.into_iter().map(|(_, revocation)| revocation).collect();
    until("the log has every revocation", async || {
        let published: BTreeSet<_> = servers.revocations().await.into_keys().collect();
        assert!(
            published.is_subset(&acknowledged),
            "{published:?} {acknowledged:?}"
        );
        (published == acknowledged).then_some(())
    })
    .await;
}

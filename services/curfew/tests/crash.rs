//! Crash loops on the real process: kill -9 at random points under load.
//!
//! No acknowledged revocation is missing from the log, none is published that was not committed, and
//! nobody whose refresh was answered is signed out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use curfew_proto::revocation::v1 as revocation;
use process::{Backend, Server, TENANT, seeded};

const LOOPS: u64 = 8;
const WORKERS: usize = 4;

#[derive(Default)]
struct Told {
    /// Sessions whose ending was acknowledged, and the revocation that tells it.
    ended: BTreeMap<String, String>,
    /// Sessions whose ending was asked for and never answered: unknown.
    unknown: BTreeSet<String>,
    /// Live sessions and their newest refresh token.
    alive: BTreeMap<String, String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_acknowledged_revocation_and_publishes_none_that_was_not_committed() {
    let seed: u64 = std::env::var("CURFEW_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()) << 16 | u64::from(request_bits()));
    println!("seed {seed} (replay with CURFEW_SEED={seed})");
    let dir = tempfile::tempdir().unwrap();
    let (_, secret) = seeded(dir.path());
    let data = dir.path().join("data");
    let told = Arc::new(Mutex::new(Told::default()));
    let mut random = seed;
    for round in 0..LOOPS {
        let server = Server::start(&data);
        let backend = Backend::new(&server, &secret).await;
        check(&backend, &told).await;
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| tokio::spawn(work(backend.clone(), told.clone(), round, worker)))
            .collect();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis(100 + (random >> 33) % 400)).await;
        server.kill();
        for worker in workers {
            worker.await.unwrap();
        }
    }
    let server = Server::start(&data);
    let backend = Backend::new(&server, &secret).await;
    check(&backend, &told).await;
    let told = told.lock().unwrap();
    println!(
        "{} endings acknowledged, {} unknown, {} alive",
        told.ended.len(),
        told.unknown.len(),
        told.alive.len()
    );
    assert!(
        told.ended.len() > 20 && !told.alive.is_empty(),
        "the interesting thing happened"
    );
}

fn request_bits() -> u16 {
    let [a, b, ..] = *uuid::Uuid::new_v4().as_bytes();
    u16::from_be_bytes([a, b])
}

/// Signs in, refreshes and ends, until the node is gone.
async fn work(backend: Backend, told: Arc<Mutex<Told>>, round: u64, worker: usize) {
    for n in 0.. {
        let Ok(session) = backend.sign_in(&format!("u{round}-{worker}-{n}")).await else {
            return;
        };
        let Ok(tokens) = backend.issue(&session).await else {
            return;
        };
        told.lock()
            .unwrap()
            .alive
            .insert(session.clone(), tokens.refresh_token.clone());
        let Ok(next) = backend.refresh(&tokens.refresh_token).await else {
            return;
        };
        told.lock()
            .unwrap()
            .alive
            .insert(session.clone(), next.refresh_token);
        if n % 3 == 0 {
            continue;
        }
        {
            let mut told = told.lock().unwrap();
            told.alive.remove(&session);
            told.unknown.insert(session.clone());
        }
        let Ok(record) = backend.end(&session).await else {
            return;
        };
        let mut told = told.lock().unwrap();
        told.unknown.remove(&session);
        told.ended.insert(session, record);
    }
}

/// What was told is true after the crash.
async fn check(backend: &Backend, told: &Mutex<Told>) {
    let (ended, unknown, alive) = {
        let told = told.lock().unwrap();
        (told.ended.clone(), told.unknown.clone(), told.alive.clone())
    };
    let mut published = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = revocation::ListRevocationsRequest {
            parent: TENANT.into(),
            page_size: 100,
            page_token,
            filter: None,
        };
        let page = backend
            .revocations
            .clone()
            .list_revocations(request)
            .await
            .unwrap()
            .into_inner();
        for revocation in page.revocations {
            let sid = revocation.criteria.unwrap().all_of.first().unwrap().value.clone();
            let again = published.insert(format!("{TENANT}/sessions/{sid}"), revocation.name);
            assert_eq!(again, None, "one ending, one record");
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    for (session, record) in &ended {
        assert_eq!(
            published.get(session),
            Some(record),
            "an acknowledged revocation is on the log"
        );
    }
    for session in published.keys() {
        assert!(
            ended.contains_key(session) || unknown.contains(session),
            "{session} was never asked to end"
        );
        let request = curfew_proto::session::v1::GetSessionRequest {
            name: session.clone(),
        };
        let state = backend
            .sessions
            .clone()
            .get_session(request)
            .await
            .unwrap()
            .into_inner()
            .session
            .unwrap()
            .state();
        assert_eq!(
            state,
            curfew_proto::session::v1::SessionState::Ended,
            "what is published was committed"
        );
    }
    for (session, token) in alive.iter().rev().take(20) {
        let next = backend
            .refresh(token)
            .await
            .unwrap_or_else(|status| panic!("{session} was signed out: {status}"));
        told.lock()
            .unwrap()
            .alive
            .insert(session.clone(), next.refresh_token);
    }
}

//! A disk that is full: of Redis, and of a broker.

use tonic::Code;

use super::ask::{ended, opened, refresh_once, refreshed, refused};
use super::group::{Group, refuses, sentinels, three_brokers};
use super::servers::{Servers, backend, guard, told, until};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_of_redis_is_full_callers_are_told_to_repeat_and_afterwards_nothing_is_missing() {
    let servers = Servers::start();
    let ([node], secrets) = servers.seeded_nodes();
    let backend = backend(&node, &secrets.backend).await;
    let kept = opened(&backend, "alice").await;
    let doomed = opened(&backend, "bob").await;
    ended(&backend, &doomed.session).await;

    servers.redis.fill_disk().unwrap();
    let mut held = kept;
    let status = until("Redis says that its disk is full", async || {
        match refresh_once(&backend, &held).await {
            // It notices once a second.
            Ok((next, _)) => {
                held = next;
                None
            }
            Err(status) => Some(status),
        }
    })
    .await;
    let (code, reason, repeats) = told(&status);
    assert_eq!((code, repeats), (Code::Unavailable, true), "{reason}");
    servers.redis.free_disk().unwrap();
    refreshed(&backend, &held).await.unwrap();
    assert_eq!(refused(&backend, &doomed).await, "SESSION_ENDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_disk_is_full_is_missed_by_no_revocation() {
    let mut group = Group::of(sentinels(), three_brokers());
    let ([first, second], secret) = group.nodes();
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let sample = opened(&on_first, "alice").await;
    let (guard, _running) = guard(&second, &on_second, &sample.access_token).await;

    group.kafka.fill_disk(0).unwrap();
    let mut over = Vec::new();
    let mut number = 0;
    while group.kafka.is_running(0).unwrap() {
        let doomed = opened(&on_first, &format!("user-{number}")).await;
        ended(&on_second, &doomed.session).await;
        over.push(doomed);
        number += 1;
        assert!(number < 2_000, "it goes on without a disk");
    }
    let doomed = opened(&on_first, "last").await;
    ended(&on_second, &doomed.session).await;
    over.push(doomed);
    group.kafka.restart(0).unwrap();
    for held in &over {
        refused(&on_first, held).await;
        refuses(&guard, &held.access_token).await;
    }
    refreshed(&on_second, &sample).await.unwrap();
}

/// Whoever keeps nothing over a restart has lost everything, and is not taken for a first start.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_kept_nothing_is_not_served_from_as_if_it_were_new() {
    let mut servers = Servers::start_with(&["appendonly no", "save \"\""]);
    let ([node], secrets) = servers.seeded_nodes();
    let backend = backend(&node, &secrets.backend).await;
    let kept = opened(&backend, "alice").await;
    let doomed = opened(&backend, "bob").await;
    ended(&backend, &doomed.session).await;
    servers.redis.kill();
    servers.redis.restart().unwrap();
    assert_eq!(
        servers.redis.command(&["DBSIZE"]).unwrap().trim(),
        "0",
        "it was really lost"
    );
    // Absence is never permission: neither token gets anything, nor does anybody open a session.
    until("the node has noticed", async || {
        let refused = refresh_once(&backend, &kept)
            .await
            .expect_err("a token from nothing");
        (refused.code() == Code::Unavailable).then_some(())
    })
    .await;
    for held in [&kept, &doomed] {
        refresh_once(&backend, held)
            .await
            .expect_err("a token from nothing");
    }
    backend.sign_in("carol").await.expect_err("a session in nothing");
}

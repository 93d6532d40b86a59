//! Redis comes back with less than it had acknowledged: the log has the rest.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use tonic::Code;

use super::process::request_id;
use super::redis_away::{answered, end};
use super::servers::{Servers, backend, metric, told, until};

/// Sessions that are ended in what is lost; `CURFEW_LOST` measures with more.
const LOST: usize = 300;
/// Sessions that live on.
const KEPT: usize = 50;
/// Calls under way.
const AT_ONCE: usize = 64;
/// All is lost that the last snapshot does not have.
const SNAPSHOTS: &[&str] = &["appendonly no"];

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_lost_with_its_last_seconds_the_log_has_and_nobody_is_signed_out() {
    let lost: usize = std::env::var("CURFEW_LOST").map_or(LOST, |text| text.parse().unwrap());
    let mut servers = Servers::start_with(SNAPSHOTS);
    let ([node], secrets) = servers.seeded_nodes();
    let backend = backend(&node, &secrets.backend).await;
    let opened: Vec<_> = stream::iter(0..lost + KEPT)
        .map(|n| {
            let backend = backend.clone();
            async move {
                let session = backend.sign_in(&format!("user-{n}")).await.unwrap();
                let tokens = backend.issue(&session).await.unwrap();
                (session, tokens.refresh_token)
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    servers.redis.command(&["SAVE"]).unwrap();
    let (ended, kept) = opened.split_at(lost);
    stream::iter(ended.to_vec())
        .for_each_concurrent(AT_ONCE, |(session, _)| {
            let backend = backend.clone();
            async move { end(&backend, &session, &request_id()).await.unwrap() }
        })
        .await;
    let size = |servers: &Servers| {
        servers
            .redis
            .command(&["DBSIZE"])
            .unwrap()
            .trim()
            .parse::<usize>()
            .unwrap()
    };
    let before = size(&servers);
    servers.redis.kill();
    servers.redis.restart().unwrap();
    let back = Instant::now();
    // Each ending left an operation and an outbox entry.
    assert!(
        size(&servers) + lost <= before,
        "nothing was lost, so nothing is tested"
    );
    let opened = "curfew_partitions_opened_total";
    until("all partitions are open", async || {
        (metric(&node, opened).await >= 1_024.0).then_some(())
    })
    .await;
    let took = back.elapsed();
    let merged = metric(&node, "curfew_records_merged_total").await;
    assert!(merged >= lost as f64, "{merged} of {lost} were merged");
    for (session, refresh_token) in kept {
        let answer = answered(&backend, refresh_token).await;
        answer.unwrap_or_else(|status| panic!("{session} was signed out: {status:?}"));
    }
    for (session, refresh_token) in ended.iter().take(LOST) {
        let over = answered(&backend, refresh_token).await.unwrap_err();
        let expected = (Code::FailedPrecondition, "SESSION_ENDED".to_owned(), false);
        assert_eq!(told(&over), expected, "{session}");
    }
    println!("{merged} records merged, all partitions open {took:.2?} after Redis answered again");
}

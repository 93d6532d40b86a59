//! A node that is stopped between its commit and its append, and goes on when everything is over.

use curfew_servers::Kafka;

use super::ask::{end_once, opened, refreshed, refused};
use super::group::{Group, refuses, sentinels};
use super::process::request_id;
use super::servers::{backend, guard, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stopped_between_commit_and_append_publishes_late_what_others_have_finished_and_nothing_is_lost()
 {
    let group = Group::of(sentinels(), Kafka::start().unwrap());
    let ([first, second], secret) = group.nodes();
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let kept = opened(&on_second, "alice").await;
    let doomed = opened(&on_first, "bob").await;
    let (guard, _running) = guard(&second, &on_second, &doomed.access_token).await;

    // The log takes nothing: what is committed waits to be appended.
    group.kafka.stop_the_clock(0);
    let ending = tokio::spawn({
        let (backend, session) = (on_first.clone(), doomed.session.clone());
        async move { end_once(&backend, &session, &request_id()).await }
    });
    until("it is committed", async || {
        let refused = super::ask::refresh_once(&on_second, &doomed).await.err()?;
        (super::servers::told(&refused).1 == "SESSION_ENDED").then_some(())
    })
    .await;
    first.stop_the_clock();
    group.kafka.go_on(0);

    // Another one delivers it.
    refuses(&guard, &doomed.access_token).await;
    // The history changes while the first one sleeps.
    let old = group.store.master().unwrap();
    group.store.fail_over().unwrap();
    group.store.wait_for_replica(old).unwrap();
    let (kept, _) = refreshed(&on_second, &kept).await.unwrap();
    refused(&on_second, &doomed).await;

    // It wakes in another world, with an append and an answer that are late.
    first.go_on();
    drop(ending.await);
    refreshed(&on_first, &kept).await.unwrap();
    for backend in [&on_first, &on_second] {
        refused(backend, &doomed).await;
    }
    refuses(&guard, &doomed.access_token).await;
}

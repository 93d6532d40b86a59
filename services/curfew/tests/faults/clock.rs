//! A node whose clock jumps three seconds ahead.

use tonic::Code;

use super::ask::{ended, opened, refresh_once, refreshed, refused};
use super::group::{Group, refuses, sentinels};
use super::servers::{backend, guard, told, until};
use curfew_servers::Kafka;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_three_seconds_fast_mints_nothing_and_drives_nobodys_clock_away() {
    let group = Group::of(sentinels(), Kafka::start().unwrap());
    let ([first, _second], secret) = group.nodes();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ahead");
    std::fs::write(&file, "0").unwrap();
    let fast = group.node_with(&[], &[("CURFEW_TEST_CLOCK_FILE", file.to_str().unwrap())]);
    let (on_first, on_fast) = (backend(&first, &secret).await, backend(&fast, &secret).await);
    let held = opened(&on_fast, "alice").await;
    let doomed = opened(&on_first, "bob").await;
    let (guard, _running) = guard(&first, &on_first, &held.access_token).await;
    refreshed(&on_fast, &doomed).await.unwrap();

    std::fs::write(&file, "3000").unwrap();
    for _ in 0..20 {
        let status = refresh_once(&on_fast, &held)
            .await
            .expect_err("a token of a clock that is wrong");
        let (code, reason, repeats) = told(&status);
        assert_eq!((code, repeats), (Code::Unavailable, true), "{reason}");
        on_fast
            .sign_in("carol")
            .await
            .expect_err("a session of a clock that is wrong");
    }
    // Whoever has the right time goes on: nobody's clock was driven away, and no guard is misled.
    let (held, _) = refresh_once(&on_first, &held).await.unwrap();
    ended(&on_first, &doomed.session).await;
    refuses(&guard, &doomed.access_token).await;
    opened(&on_first, "alice").await;
    opened(&on_first, "carol").await;

    std::fs::write(&file, "0").unwrap();
    let held = until("the node mints again", async || {
        refresh_once(&on_fast, &held).await.ok().map(|(held, _)| held)
    })
    .await;
    refused(&on_fast, &doomed).await;
    refreshed(&on_first, &held).await.unwrap();
}

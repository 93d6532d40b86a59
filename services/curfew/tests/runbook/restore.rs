//! A data directory comes back from a copy.

use std::sync::Arc;

use curfew_clock::SystemClock;
use curfew_embedded::{Embedded, Options};
use curfew_keys::SystemEntropy;
use tonic::Code;

use super::process::{Backend, Server, curfew, seeded};
use super::servers::{guard, told};
use super::{Following, admits, refuses};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_restored_as_the_page_says_and_nothing_that_was_ended_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (_, secret) = seeded(dir.path());
    // As the page calls it.
    let data = dir.path().join("curfew-data");
    std::fs::rename(dir.path().join("data"), &data).unwrap();
    let server = Server::start(&data);
    let asked = Backend::new(&server, &secret).await;
    let (alice, bob) = (
        asked.sign_in("alice").await.unwrap(),
        asked.sign_in("bob").await.unwrap(),
    );
    let (of_alice, of_bob) = (
        asked.issue(&alice).await.unwrap(),
        asked.issue(&bob).await.unwrap(),
    );
    assert_eq!(server.terminate(), 0);

    let mut page = Following::page("A data directory comes back from a copy", dir.path(), &[]);
    page.next();
    let server = Server::start(&data);
    let asked = Backend::new(&server, &secret).await;
    asked.end(&alice).await.unwrap();
    // A node has it: that is no copy.
    let (from, to) = (data.to_str().unwrap(), dir.path().join("elsewhere"));
    let live = curfew(&["restore", "--from", from, "--data", to.to_str().unwrap()]);
    assert_eq!(live.code, 2, "{}", live.stdout);
    assert!(live.stderr.contains("a node is running on"), "{}", live.stderr);
    assert!(!to.exists(), "nothing is left of it");
    assert_eq!(server.terminate(), 0);
    page.next();
    page.end();

    let restored = dir.path().join("restored");
    let server = Server::start(&restored);
    let asked = Backend::new(&server, &secret).await;
    for tokens in [&of_alice, &of_bob] {
        let over = asked.refresh(&tokens.refresh_token).await.unwrap_err();
        assert_eq!(
            (over.code(), told(&over).1.as_str()),
            (Code::FailedPrecondition, "FLOOR_PASSED")
        );
    }
    let again = asked.sign_in("alice").await.unwrap();
    let again = asked.issue(&again).await.unwrap();
    asked.refresh(&again.refresh_token).await.unwrap();
    let (guard, _running) = guard(&server, &asked, &again.access_token).await;
    admits(&guard, &again.access_token).await;
    for tokens in [&of_alice, &of_bob] {
        refuses(&guard, &tokens.access_token).await;
    }
    assert_eq!(server.terminate(), 0);

    // Not over what is there, and a second copy is a third history.
    let copy = dir.path().join("copy");
    let copy = copy.to_str().unwrap();
    let refused = curfew(&["restore", "--from", copy, "--data", restored.to_str().unwrap()]);
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(refused.stderr.contains("is not empty"), "{}", refused.stderr);
    let second = dir.path().join("second");
    let made = curfew(&[
        "restore",
        "--from",
        copy,
        "--data",
        second.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!(made["partitions"], 1_024);
    let histories = [data, restored, second].map(|data| {
        let options = Options::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
        let engine = Embedded::open(&data, options).unwrap();
        (engine.incarnation(), engine.log_identity())
    });
    let [first, second, third] = histories;
    for (one, other) in [(first, second), (first, third), (second, third)] {
        assert!(one.0 != other.0 && one.1 != other.1, "{one:?} {other:?}");
    }
}

//! A partition is lost; a data directory comes back from a copy: the store's pages.

use curfew_core::ids::SessionId;
use tonic::Code;

use super::servers::{self, ROOT_KEY, Servers, backend, guard, id_of, until};
use super::{Following, admits, refuses};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_partition_opens_with_a_floor_as_the_page_says() {
    let servers = Servers::start();
    let ([node], secrets) = servers.seeded_nodes::<1>();
    let asked = backend(&node, &secrets.backend).await;
    let alice = asked.sign_in("alice").await.unwrap();
    let lost = asked.issue(&alice).await.unwrap();
    let partition = |session: &str| id_of(session).parse::<SessionId>().unwrap().partition().number();
    // Somebody of another partition, whom it does not concern.
    let mut other = None;
    for n in 0..8 {
        let session = asked.sign_in(&format!("other-{n}")).await.unwrap();
        if partition(&session) != partition(&alice) {
            other = Some(asked.issue(&session).await.unwrap());
            break;
        }
    }
    let other = other.unwrap();
    let (guard, _running) = guard(&node, &asked, &other.access_token).await;
    admits(&guard, &lost.access_token).await;

    let key = format!("curfew{{{:03x}}}p", partition(&alice));
    assert_eq!(
        servers.redis.command(&["DEL", &key]).unwrap().trim(),
        "1",
        "{key}"
    );
    let fenced = until("it is fenced", async || {
        asked.refresh(&lost.refresh_token).await.err()
    })
    .await;
    assert_eq!(servers::told(&fenced).1, "FENCED");

    let directory = tempfile::tempdir().unwrap();
    let environment = [
        ("CURFEW_ADDRESS", node.grpc.as_str()),
        ("CURFEW_SECRET", secrets.admin.as_str()),
    ];
    let mut page = Following::page("A partition is lost", directory.path(), &environment);
    page.next();
    page.next();
    let still = asked.refresh(&lost.refresh_token).await.unwrap_err();
    assert_eq!(servers::told(&still).1, "FENCED", "a dry run opens nothing");
    page.next();
    page.end();

    let over = asked.refresh(&lost.refresh_token).await.unwrap_err();
    assert_eq!(over.code(), Code::FailedPrecondition, "{over:?}");
    assert_eq!(servers::told(&over).1, "FLOOR_PASSED");
    refuses(&guard, &lost.access_token).await;
    admits(&guard, &other.access_token).await;
    asked.refresh(&other.refresh_token).await.unwrap();
    let again = asked.sign_in("alice").await.unwrap();
    let again = asked.issue(&again).await.unwrap();
    admits(&guard, &again.access_token).await;
    asked.refresh(&again.refresh_token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_a_fenced_directory_proves_to_hold_the_root_key() {
    let servers = Servers::start();
    let ([node], _secrets) = servers.seeded_nodes::<1>();
    servers.redis.command(&["DEL", "curfew{000}p"]).unwrap();
    let asks = |root_key: &str, more: &[&str]| {
        let mut all = vec!["admin"];
        all.extend(more);
        all.extend(["--by-root-key", "--address", node.grpc.as_str(), "--json"]);
        super::process::curfew_in(&[("CURFEW_KEYS_ROOT_KEY", root_key)], &all)
    };
    let wrong = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let refused = asks(wrong, &["partitions"]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    assert!(refused.stderr.contains("CALLER_UNKNOWN"), "{}", refused.stderr);
    let told = asks(ROOT_KEY, &["partitions"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["troubles"][0]["partition"], 0);
    let opened = asks(ROOT_KEY, &["open-partition", "0", "--floor", "now"]);
    assert_eq!(opened.code, 0, "{}", opened.stderr);
    let opened = asks(ROOT_KEY, &["partitions"]);
    let opened: serde_json::Value = serde_json::from_str(&opened.stdout).unwrap();
    assert_eq!(opened["openCount"], 1_024);
}

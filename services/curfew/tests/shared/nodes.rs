//! Two nodes and more are one service.

use super::process::curfew_in;
use super::servers::{ROOT_KEY, Servers, backend, line};

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_start_together_are_one_service() {
    let servers = Servers::start();
    let [first, second] = servers.nodes();
    assert_eq!(line(&first, "key ring"), line(&second, "key ring"), "one ring");
    assert!(line(&first, "data").contains("redis") && line(&first, "data").contains("kafka"));
    let secret = servers.seeded().backend;
    let (first, second) = (backend(&first, &secret).await, backend(&second, &secret).await);

    let session = first.sign_in("alice").await.unwrap();
    let tokens = second.issue(&session).await.unwrap();
    let refreshed = first.refresh(&tokens.refresh_token).await.unwrap();
    let again = second.refresh(&refreshed.refresh_token).await.unwrap();
    let record = second.end(&session).await.unwrap();
    assert!(!record.is_empty());
    let refused = first.refresh(&again.refresh_token).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_is_missed_by_nobody_and_one_that_is_added_knows_everything() {
    let servers = Servers::start();
    let ([first, second], secrets) = servers.seeded_nodes();
    let secret = secrets.backend;
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let session = on_first.sign_in("alice").await.unwrap();
    let tokens = on_first.issue(&session).await.unwrap();
    first.kill();
    let tokens = on_second.refresh(&tokens.refresh_token).await.unwrap();
    let third = servers.node();
    let on_third = backend(&third, &secret).await;
    let tokens = on_third.refresh(&tokens.refresh_token).await.unwrap();
    on_third.end(&session).await.unwrap();
    let refused = on_second.refresh(&tokens.refresh_token).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
}

#[test]
fn the_demo_tells_the_same_story_on_them() {
    let servers = Servers::start();
    let flags = servers.flags();
    let mut args = vec!["demo", "--json"];
    args.extend(flags.iter().map(String::as_str));
    let told = curfew_in(&[], &args);
    let steps: Vec<serde_json::Value> = told
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let failed: Vec<_> = steps.iter().filter(|step| step["ok"] != true).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(told.code, 0, "{}", told.stderr);
    let summary = steps.last().unwrap();
    assert_eq!(
        (&summary["store"], &summary["log"]),
        (&"redis".into(), &"kafka".into())
    );
}

#[test]
fn a_shared_state_in_halves_or_without_a_root_key_is_refused_by_name() {
    for (flags, environment, words) in [
        (
            &["--redis", "redis://127.0.0.1:1"][..],
            &[("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)][..],
            "`kafka.bootstrap`",
        ),
        (
            &["--kafka", "127.0.0.1:1"],
            &[("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)],
            "`redis.url`",
        ),
        (
            &["--redis", "redis://127.0.0.1:1", "--kafka", "127.0.0.1:1"],
            &[],
            "CURFEW_KEYS_ROOT_KEY",
        ),
        (
            &[
                "--redis",
                "redis://:hunter2@127.0.0.1:1",
                "--kafka",
                "127.0.0.1:1",
            ],
            &[("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)],
            "CURFEW_REDIS_PASSWORD",
        ),
        (&["--roles", "authority"], &[], "roles"),
    ] {
        let mut args = vec!["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        args.extend(flags);
        let refused = curfew_in(environment, &args);
        assert_ne!(refused.code, 0, "{flags:?}");
        assert!(refused.stderr.contains(words), "{words} in {}", refused.stderr);
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    }
}

#[test]
fn servers_that_are_away_are_named_and_nothing_listens() {
    let mut args = vec!["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    args.extend(["--redis", "redis://127.0.0.1:1", "--kafka", "127.0.0.1:1"]);
    let refused = curfew_in(&[("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)], &args);
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.to_lowercase().contains("redis") && refused.stderr.contains("127.0.0.1:1"),
        "{}",
        refused.stderr
    );
}

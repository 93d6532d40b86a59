//! Nodes that share their state: real Redis, real Kafka, real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;

use curfew_servers::{Kafka, Redis};
use process::{Backend, Output, SEEDS, Server, curfew_in};
use std::time::Duration;
use tempfile::TempDir;

/// 32 bytes of no value.
const ROOT_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// One Redis, one Kafka, and what nodes on them are told.
struct Servers {
    redis: Redis,
    kafka: Kafka,
    dir: TempDir,
}

impl Servers {
    fn start() -> Self {
        Self {
            redis: Redis::start().unwrap(),
            kafka: Kafka::start().unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn flags(&self) -> Vec<String> {
        let servers = [self.redis.url(), self.kafka.bootstrap()];
        let [redis, kafka] = servers;
        vec!["--redis".into(), redis, "--kafka".into(), kafka]
    }

    fn node(&self) -> Server {
        self.node_with(&[])
    }

    fn node_with(&self, more: &[&str]) -> Server {
        let flags = self.flags();
        let flags: Vec<_> = flags
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        Server::start_in(
            &self.dir.path().join("unused"),
            &flags,
            &[("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)],
        )
    }

    /// A command on the same servers.
    fn command(&self, secret: &str, args: &[&str]) -> Output {
        let sets = [
            format!("redis.url={}", self.redis.url()),
            format!("kafka.bootstrap={}", self.kafka.bootstrap()),
        ];
        let mut all = args.to_vec();
        for set in &sets {
            all.extend(["--set", set]);
        }
        let environment = [("CURFEW_KEYS_ROOT_KEY", ROOT_KEY), ("CURFEW_SECRET", secret)];
        curfew_in(&environment, &all)
    }

    /// Bootstraps and seeds; the back end's secret.
    fn seeded(&self) -> String {
        let made = self.command("", &["bootstrap", "--json"]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        let made: serde_json::Value = serde_json::from_str(made.stdout.trim()).unwrap();
        let admin = made["secret"].as_str().unwrap().to_owned();
        let again = self.command("", &["bootstrap", "--json"]);
        let again: serde_json::Value = serde_json::from_str(again.stdout.trim()).unwrap();
        assert_eq!(again["created"], false, "one secret, told once");

        let file = self.dir.path().join("seeds.toml");
        std::fs::write(&file, SEEDS).unwrap();
        let applied = self.command(&admin, &["apply", file.to_str().unwrap(), "--json"]);
        assert_eq!(applied.code, 0, "{}", applied.stderr);
        let backend = applied
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|line| line["name"] == "callers/backend")
            .unwrap();
        backend["secret"].as_str().unwrap().to_owned()
    }
}

/// A back end at this node. The node reads once a second whether the directory has changed; an age of ten
/// seconds it would not answer with.
async fn backend(server: &Server, secret: &str) -> Backend {
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match Backend::known(server, secret).await {
            Ok(backend) => return backend,
            Err(status) if status.code() == tonic::Code::Unauthenticated => {
                assert!(tokio::time::Instant::now() < until, "{status:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(status) => panic!("{status:?}"),
        }
    }
}

fn line<'s>(server: &'s Server, name: &str) -> &'s str {
    let found = server.told.iter().find(|line| line.starts_with(name));
    found.unwrap_or_else(|| panic!("no {name} in {:?}", server.told))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_start_together_are_one_service() {
    let servers = Servers::start();
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| servers.node());
        let second = scope.spawn(|| servers.node());
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_eq!(line(&first, "key ring"), line(&second, "key ring"), "one ring");
    assert!(line(&first, "data").contains("redis") && line(&first, "data").contains("kafka"));
    let secret = servers.seeded();
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
    let (first, second) = (servers.node(), servers.node());
    let secret = servers.seeded();
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

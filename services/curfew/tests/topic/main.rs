//! The topic that a real node writes, on a real Redis and a real Kafka: followed by guards, read by strangers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod guards;
#[path = "../page/mod.rs"]
mod page;
#[path = "../process/mod.rs"]
mod process;
mod readers;
#[path = "../terminal/mod.rs"]
mod terminal;

use std::time::Duration;

use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::revocation::v1::{Acknowledgement, CreateRevocationRequest};
use curfew_servers::{Kafka, Redis};
use process::{Backend, SEEDS, Server, TENANT, curfew_in, request_id, secret_in};
use tempfile::TempDir;

/// 32 bytes of no value.
const ROOT_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// A second client, so that one of the two can be cut off.
const CLI: &str = "
[[tenant.client]]
id = \"cli\"
auth = \"none\"
";

/// One node on a Redis and a Kafka of its own, and a back end at it.
struct World {
    backend: Backend,
    node: Server,
    kafka: Kafka,
    _redis: Redis,
    _dir: TempDir,
}

impl World {
    async fn start() -> Self {
        let (redis, kafka, node, secret, dir) = tokio::task::spawn_blocking(|| {
            let (redis, kafka) = (Redis::start().unwrap(), Kafka::start().unwrap());
            let dir = tempfile::tempdir().unwrap();
            let servers = [("redis.url", redis.url()), ("kafka.bootstrap", kafka.bootstrap())]
                .map(|(name, value)| format!("{name}={value}"));
            let sets = ["--set", servers[0].as_str(), "--set", servers[1].as_str()];
            let made = curfew_in(
                &[("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)],
                &[&["bootstrap", "--json"], &sets[..]].concat(),
            );
            assert_eq!(made.code, 0, "{}", made.stderr);
            let made: serde_json::Value = serde_json::from_str(made.stdout.trim()).unwrap();
            let seeds = dir.path().join("seeds.toml");
            std::fs::write(
                &seeds,
                SEEDS.replace("\n[[caller]]", &format!("{CLI}\n[[caller]]")),
            )
            .unwrap();
            let environment = [
                ("CURFEW_KEYS_ROOT_KEY", ROOT_KEY),
                ("CURFEW_SECRET", made["secret"].as_str().unwrap()),
            ];
            let apply = ["apply", seeds.to_str().unwrap(), "--json"];
            let applied = curfew_in(&environment, &[&apply, &sets[..]].concat());
            let secret = secret_in(&applied, "callers/backend");
            let node = Server::start_in(&dir.path().join("unused"), &sets, &environment[..1]);
            (redis, kafka, node, secret, dir)
        })
        .await
        .unwrap();
        Self {
            backend: Backend::new(&node, &secret).await,
            node,
            kafka,
            _redis: redis,
            _dir: dir,
        }
    }

    async fn revoke(&self, scope: Scope) -> Acknowledgement {
        let request = CreateRevocationRequest {
            parent: TENANT.into(),
            scope: Some(scope),
            request_id: request_id(),
            ..Default::default()
        };
        let answer = self.backend.revocations.clone().create_revocation(request).await;
        answer.unwrap().into_inner().acknowledgement.unwrap()
    }
}

/// Waits for what somebody else does.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(120), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

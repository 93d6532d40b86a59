//! One Redis, one Kafka, nodes on them; what lies on both, read past every node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_clock::SystemClock;
use curfew_guard::{Config, FixedToken, Guard, HubSource, JwksSource, OwnIssuer, Running, Source};
use curfew_ports::log::{Log as _, TailFrom};
use curfew_servers::{Kafka, Redis, RedisOptions};
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::process::{Backend, Output, SEEDS, Server, curfew_in};

/// 32 bytes of no value.
pub(crate) const ROOT_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// How long something may take that takes a second or two: machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// The outboxes of all partitions.
const OUTBOXES: &str = "local n = 0 for p = 0, 1023 do \
    n = n + redis.call('ZCARD', string.format('curfew{%03x}ix', p)) end return n";

/// One Redis, one Kafka, and what nodes on them are told.
pub(crate) struct Servers {
    pub(crate) redis: Redis,
    pub(crate) kafka: Kafka,
    dir: TempDir,
}

/// What was told once.
pub(crate) struct Secrets {
    pub(crate) admin: String,
    pub(crate) backend: String,
}

impl Servers {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more lines of `redis.conf`.
    pub(crate) fn start_with(lines: &[&str]) -> Self {
        let options = RedisOptions {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..RedisOptions::default()
        };
        Self {
            redis: Redis::start_with(&options).unwrap(),
            kafka: Kafka::start().unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn flags(&self) -> Vec<String> {
        let [redis, kafka] = [self.redis.url(), self.kafka.bootstrap()];
        vec!["--redis".into(), redis, "--kafka".into(), kafka]
    }

    pub(crate) fn node(&self) -> Server {
        self.node_with(&[])
    }

    pub(crate) fn node_with(&self, more: &[&str]) -> Server {
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

    /// So many nodes, started together.
    pub(crate) fn nodes<const N: usize>(&self) -> [Server; N] {
        self.nodes_with(&[])
    }

    pub(crate) fn nodes_with<const N: usize>(&self, more: &[&str]) -> [Server; N] {
        std::thread::scope(|scope| {
            let started = [(); N].map(|()| scope.spawn(|| self.node_with(more)));
            started.map(|node| node.join().unwrap())
        })
    }

    /// A file with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    /// A command on the same servers.
    pub(crate) fn command(&self, secret: &str, args: &[&str]) -> Output {
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

    /// So many nodes, started together on an empty store, which one of them seeds.
    pub(crate) fn seeded_nodes<const N: usize>(&self) -> ([Server; N], Secrets) {
        let seeds = self.file("seeds.toml", SEEDS);
        let nodes: [Server; N] = self.nodes_with(&["--seed", seeds.to_str().unwrap()]);
        let secret = |caller: &str| {
            let lines = nodes.iter().flat_map(|node| &node.told);
            let mut secrets = lines.filter_map(|line| line.trim().strip_prefix(caller)?.strip_prefix(": "));
            secrets.next().unwrap().to_owned()
        };
        let secrets = Secrets {
            admin: secret("callers/admin"),
            backend: secret("callers/backend"),
        };
        (nodes, secrets)
    }

    /// Bootstraps and seeds, by commands.
    pub(crate) fn seeded(&self) -> Secrets {
        let made = self.command("", &["bootstrap", "--json"]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        let made: serde_json::Value = serde_json::from_str(made.stdout.trim()).unwrap();
        let admin = made["secret"].as_str().unwrap().to_owned();
        let again = self.command("", &["bootstrap", "--json"]);
        let again: serde_json::Value = serde_json::from_str(again.stdout.trim()).unwrap();
        assert_eq!(again["created"], false, "one secret, told once");

        let file = self.file("seeds.toml", SEEDS);
        let applied = self.command(&admin, &["apply", file.to_str().unwrap(), "--json"]);
        assert_eq!(applied.code, 0, "{}", applied.stderr);
        let backend = applied
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|line| line["name"] == "callers/backend")
            .unwrap();
        Secrets {
            admin,
            backend: backend["secret"].as_str().unwrap().to_owned(),
        }
    }

    /// How many records of each revocation lie on the topic, by its name in the tenant.
    pub(crate) async fn revocations(&self) -> BTreeMap<String, usize> {
        let log = curfew_kafka::Kafka::open(curfew_kafka::Options::new(&self.kafka.bootstrap()))
            .await
            .unwrap();
        let bounds = log.bounds().await.unwrap();
        let mut next: Vec<_> = bounds.iter().map(|bounds| bounds.start).collect();
        let mut tail = log.tail(TailFrom::Offsets(next.clone())).await.unwrap();
        let mut found = BTreeMap::new();
        while next.iter().zip(&bounds).any(|(next, bounds)| *next < bounds.end) {
            let entries = tokio::time::timeout(PATIENCE, tail.next()).await;
            for entry in entries.expect("the topic is read to its end").unwrap() {
                next[entry.position.partition.index()] = entry.position.offset + 1;
                if let curfew_core::record::LogRecord::Revocation(revocation) = entry.record {
                    *found.entry(revocation.id.to_string()).or_default() += 1;
                }
            }
        }
        found
    }

    /// How many entries all outboxes have.
    pub(crate) fn outbox(&self) -> usize {
        let said = self.redis.command(&["EVAL", OUTBOXES, "0"]).unwrap();
        said.trim().parse().unwrap()
    }
}

/// A back end at this node. The node reads once a second whether the directory has changed; an age of ten
/// seconds it would not answer with.
pub(crate) async fn backend(server: &Server, secret: &str) -> Backend {
    until("the node knows the caller", async || {
        match Backend::known(server, secret).await {
            Ok(backend) => Some(backend),
            Err(status) if status.code() == Code::Unauthenticated => None,
            Err(status) => panic!("{status:?}"),
        }
    })
    .await
}

/// Looks, with pauses, until there is something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < end,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A guard of the orders API at this node, ready.
pub(crate) async fn guard(server: &Server, backend: &Backend, access_token: &str) -> (Guard, Running) {
    let (guard, running) = guard_on(server, access_token, hub(server, backend));
    until("the guard is ready", async || guard.is_ready().then_some(())).await;
    (guard, running)
}

/// A node's stream.
pub(crate) fn hub(server: &Server, backend: &Backend) -> Box<dyn Source> {
    let source = HubSource::connect(&format!("http://{}", server.grpc), "orders", "1").unwrap();
    let bearer = FixedToken(backend.token.clone());
    source.bearer(Arc::new(bearer)).boxed()
}

/// A guard of the orders API that follows this, with the keys of this node; it gets ready by itself.
pub(crate) fn guard_on(server: &Server, access_token: &str, source: Box<dyn Source>) -> (Guard, Running) {
    let claims = access_token.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    let mut config = Config::new(["https://orders.acme.example"]);
    config.own = vec![OwnIssuer::new(
        claims["tid"].as_str().unwrap().parse().unwrap(),
        claims["iss"].as_str().unwrap(),
        JwksSource::Url(format!("{}/.well-known/jwks.json", server.http)),
    )];
    let guard = Guard::new(config, Arc::new(SystemClock)).unwrap();
    let running = guard.start([source]);
    (guard, running)
}

/// The reason of a refusal, and whether it says when to repeat.
pub(crate) fn told(status: &Status) -> (Code, String, bool) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    let repeats = details
        .retry_info()
        .is_some_and(|info| info.retry_delay.is_some());
    (status.code(), reason.unwrap_or_default(), repeats)
}

/// The last part of a resource name.
pub(crate) fn id_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap()
}

/// Whether the node says that it is ready, and what it says.
pub(crate) async fn readiness(server: &Server) -> (bool, serde_json::Value) {
    let answer = get(server, "/health/ready").await;
    let is_ready = answer.status().is_success();
    (
        is_ready,
        serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
    )
}

async fn get(server: &Server, path: &str) -> reqwest::Response {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::get(format!("{}{path}", server.http)).await.unwrap()
}

/// The value of a series, as `/metrics` writes it; 0 where it is not there.
pub(crate) async fn metric(server: &Server, series: &str) -> f64 {
    let text = get(server, "/metrics").await.text().await.unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

pub(crate) fn line<'s>(server: &'s Server, name: &str) -> &'s str {
    let found = server.told.iter().find(|line| line.starts_with(name));
    found.unwrap_or_else(|| panic!("no {name} in {:?}", server.told))
}

//! Nodes on a Redis of any layout and on brokers.

use curfew_guard::Guard;
use curfew_servers::{ClusterOptions, Kafka, KafkaOptions, RedisCluster, SentinelOptions, Sentinels};
use tempfile::TempDir;

use super::process::{SEEDS, Server};
use super::servers::{ROOT_KEY, until};

/// What a primary with replicas must be set to.
pub(crate) const REPLICATED: [&str; 2] = ["min-replicas-to-write 1", "min-replicas-max-lag 10"];

/// A primary with two replicas, each behind a proxy of its own.
pub(crate) fn sentinels() -> Sentinels {
    Sentinels::start_with(&SentinelOptions {
        lines: REPLICATED.map(str::to_owned).into(),
        proxied: true,
        ..SentinelOptions::default()
    })
    .unwrap()
}

pub(crate) fn cluster() -> RedisCluster {
    RedisCluster::start_with(&ClusterOptions {
        lines: REPLICATED.map(str::to_owned).into(),
        proxied: true,
        ..ClusterOptions::default()
    })
    .unwrap()
}

pub(crate) fn three_brokers() -> Kafka {
    Kafka::start_with(&KafkaOptions {
        brokers: 3,
        ..KafkaOptions::default()
    })
    .unwrap()
}

/// Where nodes find a store.
pub(crate) trait Store {
    fn environment(&self) -> Vec<(&'static str, String)>;
}

impl Store for Sentinels {
    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CURFEW_REDIS_SENTINELS", addresses(&self.urls())),
            ("CURFEW_REDIS_MASTER", self.name().to_owned()),
        ]
    }
}

impl Store for RedisCluster {
    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("CURFEW_REDIS_CLUSTER", addresses(&self.urls()))]
    }
}

fn addresses(urls: &[String]) -> String {
    let addresses = urls.iter().map(|url| url.trim_start_matches("redis://"));
    addresses.collect::<Vec<_>>().join(",")
}

/// A store, the brokers, and what nodes on them are told.
pub(crate) struct Group<S> {
    pub(crate) store: S,
    pub(crate) kafka: Kafka,
    dir: TempDir,
}

impl<S: Store + Sync> Group<S> {
    pub(crate) fn of(store: S, kafka: Kafka) -> Self {
        Self {
            store,
            kafka,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn node_with(&self, more: &[&str], environment: &[(&str, &str)]) -> Server {
        let found = self.store.environment();
        let mut all = vec![("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)];
        all.extend(found.iter().map(|(name, value)| (*name, value.as_str())));
        all.extend(environment);
        let bootstrap = self.kafka.bootstrap();
        let flags: Vec<_> = ["--kafka", &bootstrap]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        Server::start_in(&self.dir.path().join("unused"), &flags, &all)
    }

    /// A node that knows one Redis and no Sentinel.
    pub(crate) fn node_alone(&self, url: &str) -> Server {
        let bootstrap = self.kafka.bootstrap();
        let flags = ["--redis", url, "--kafka", &bootstrap];
        let environment = [("CURFEW_KEYS_ROOT_KEY", ROOT_KEY)];
        Server::start_in(&self.dir.path().join("unused"), &flags, &environment)
    }

    /// Two nodes, which one of them seeds, and the secret of a back end.
    pub(crate) fn nodes(&self) -> ([Server; 2], String) {
        let seeds = self.dir.path().join("seeds.toml");
        std::fs::write(&seeds, SEEDS).unwrap();
        let first = self.node_with(&["--seed", seeds.to_str().unwrap()], &[]);
        let second = self.node_with(&[], &[]);
        let mut secrets = first
            .told
            .iter()
            .filter_map(|line| line.trim().strip_prefix("callers/backend: "));
        let secret = secrets.next().unwrap().to_owned();
        ([first, second], secret)
    }
}

/// Waits until this guard refuses a token because it was revoked.
pub(crate) async fn refuses(guard: &Guard, access_token: &str) {
    let route = curfew_guard::Requirements::scope("orders.read");
    until("the guard refuses", async || {
        let refused = guard.check(access_token, &route).err()?;
        (refused.short_code() == "TOKEN_REVOKED").then_some(())
    })
    .await;
}

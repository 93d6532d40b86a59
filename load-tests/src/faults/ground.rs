//! Where faults are injected: a store of one layout, and nodes on it. Brokers are shared by all.
//!
//! **Invariant:** whatever was started here ends with it.

use curfew_servers::{
    ClusterOptions, Kafka, Lease, Redis, RedisCluster, RedisOptions, SentinelOptions, Sentinels,
};

use super::fault::Topology;
use crate::backend::Identity;
use crate::failure::Failure;
use crate::node::{Node, Setup};
use crate::shared::Shared;

/// What a primary with replicas must be set to.
const REPLICATED: [&str; 2] = ["min-replicas-to-write 1", "min-replicas-max-lag 10"];
/// How long a primary that hears nothing of its replicas goes on, s: as [`REPLICATED`] says, in whole seconds, and it
/// looks once a second; the third one is for a machine that is busy.
pub(crate) const DEAF_MAX_S: u64 = 10 + 1 + 1 + 1;

/// The servers of a store.
#[derive(Debug)]
pub(crate) enum Store {
    Single(Box<Redis>),
    Sentinel(Sentinels),
    Cluster(RedisCluster),
}

/// A node that may be dead for a moment.
#[derive(Debug)]
pub(crate) struct Place {
    port: Lease,
    pub(crate) node: Option<Node>,
}

/// A store with nodes on it.
#[derive(Debug)]
pub(crate) struct Ground {
    // Nodes end before what they stand on.
    pub(crate) places: Vec<Place>,
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    /// What keys begin with.
    pub(crate) prefix: String,
    pub(crate) topic_prefix: String,
    setup: Setup,
    _home: tempfile::TempDir,
}

impl Ground {
    /// Starts a store, seeds it, and starts so many nodes.
    pub(crate) fn start(
        topology: Topology,
        kafka: &Kafka,
        nodes: usize,
        curfew: &std::path::Path,
    ) -> Result<Self, Failure> {
        let home = tempfile::tempdir()?;
        let store = Store::start(topology)?;
        let shared = Shared::new(store.url(), kafka.bootstrap());
        let mut environment = shared.environment(home.path())?;
        environment.retain(|(name, _)| *name != "CURFEW_REDIS_URL");
        environment.extend(store.environment());
        let setup = Setup {
            curfew: curfew.to_owned(),
            data: home.path().join("data"),
            environment,
        };
        let identity = setup.seed()?;
        let mut ground = Self {
            places: Vec::new(),
            store,
            identity,
            topic_prefix: shared.topic_prefix(),
            prefix: shared.prefix,
            setup,
            _home: home,
        };
        for number in 1..=nodes {
            let port = Lease::take()?;
            let node = Some(ground.setup.start_at(number, port.port())?);
            ground.places.push(Place { port, node });
        }
        Ok(ground)
    }

    /// Where the nodes answer, dead or alive.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let ports = self.places.iter().map(|place| place.port.port());
        ports.map(|port| format!("127.0.0.1:{port}")).collect()
    }

    /// SIGKILL to a node.
    pub(crate) fn kill_node(&mut self, index: usize) {
        if let Some(node) = self.places.get_mut(index).and_then(|place| place.node.take()) {
            node.kill();
        }
    }

    /// Starts it again, where it answered before.
    pub(crate) fn start_node(&mut self, index: usize) -> Result<(), Failure> {
        let place = self.places.get_mut(index).ok_or("there is no such node")?;
        let node = self.setup.start_at(index + 1, place.port.port())?;
        place.node = Some(node);
        Ok(())
    }

    /// What each node logged last.
    pub(crate) fn logged(&self) -> String {
        let nodes = self.places.iter().filter_map(|place| place.node.as_ref());
        nodes.map(Node::logged).collect::<Vec<_>>().join("\n")
    }
}

impl Store {
    fn start(topology: Topology) -> Result<Self, Failure> {
        let lines = REPLICATED.map(str::to_owned).to_vec();
        Ok(match topology {
            Topology::Single => Self::Single(Box::new(Redis::start_with(&RedisOptions::default())?)),
            Topology::Sentinel => Self::Sentinel(Sentinels::start_with(&SentinelOptions {
                lines,
                proxied: true,
                ..SentinelOptions::default()
            })?),
            Topology::Cluster => Self::Cluster(RedisCluster::start_with(&ClusterOptions {
                lines,
                proxied: true,
                ..ClusterOptions::default()
            })?),
        })
    }

    fn url(&self) -> String {
        match self {
            Self::Single(redis) => redis.url(),
            Self::Sentinel(_) | Self::Cluster(_) => String::new(),
        }
    }

    /// Where nodes find it.
    fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Single(redis) => vec![("CURFEW_REDIS_URL", redis.url())],
            Self::Sentinel(sentinels) => vec![
                ("CURFEW_REDIS_SENTINELS", addresses(&sentinels.urls())),
                ("CURFEW_REDIS_MASTER", sentinels.name().to_owned()),
            ],
            Self::Cluster(cluster) => vec![("CURFEW_REDIS_CLUSTER", addresses(&cluster.urls()))],
        }
    }
}

/// `HOST:PORT,…` of URLs.
fn addresses(urls: &[String]) -> String {
    let addresses = urls.iter().map(|url| url.trim_start_matches("redis://"));
    addresses.collect::<Vec<_>>().join(",")
}

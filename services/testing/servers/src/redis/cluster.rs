//! A Redis Cluster of six nodes: three masters with a replica each.
//!
//! **Invariant:** when `start` returns, every node says that the cluster is well, and every replica follows its master.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::config::Kind;
use super::{Redis, RedisOptions, RedisProgram, RedisTls, cli};
use crate::clock::Deadline;
use crate::error::Error;
use crate::left::Left;
use crate::ports::Lease;
use crate::proxy::Proxy;

/// Three masters, the least that Redis accepts, and a replica for each.
const NODES: usize = 6;
/// Nodes hear of one another within a few seconds; the rest is for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);
/// Within what an ordered failover comes about: several tries, on a machine that is busy.
const FAILOVER_LIMIT: Duration = Duration::from_secs(120);
/// A master votes about another one once in twice the node time-out, and what was denied is over after that.
const AGAIN: Duration = Duration::from_secs(5);

/// How a replica takes its master's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failover {
    /// The master waits until its replica has everything: nothing is lost.
    Agreed,
    /// `FORCE`: the master is not asked, and may be dead; the other masters vote.
    Forced,
    /// `TAKEOVER`: nobody is asked.
    TakenOver,
}

/// How a cluster is started.
#[derive(Clone, Default)]
pub struct ClusterOptions {
    /// As [`RedisOptions::program`].
    pub program: RedisProgram,
    /// More lines of every node: `requirepass …`, `masterauth …`, `cluster-node-timeout …`.
    pub lines: Vec<String>,
    /// As whom commands are sent: name and password.
    pub user: Option<(String, String)>,
    /// TLS everywhere.
    pub tls: Option<RedisTls>,
    /// Whether clients and replicas reach a node through a [`Proxy`] alone; without TLS. The bus of the nodes is left.
    pub proxied: bool,
    /// As [`RedisOptions::stays_in`].
    pub stays_in: Option<PathBuf>,
}

/// Passwords do not get into a log this way.
impl fmt::Debug for ClusterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterOptions")
            .field("stays_in", &self.stays_in)
            .finish_non_exhaustive()
    }
}

/// Six `redis-server` processes that are one store.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
    /// One before each node, where it was asked for.
    proxies: Vec<Proxy>,
}

impl RedisCluster {
    /// Starts it.
    ///
    /// # Errors
    /// Redis is not installed, or something did not answer.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&ClusterOptions::default())
    }

    /// Starts it with more settings.
    ///
    /// # Errors
    /// As [`RedisCluster::start`].
    pub fn start_with(options: &ClusterOptions) -> Result<Self, Error> {
        let mut nodes = Vec::new();
        let mut proxies = Vec::new();
        for index in 0..NODES {
            let bus = Lease::take()?;
            let mut lines = options.lines.clone();
            if options.proxied {
                let proxy = Proxy::start()?;
                lines.push(format!("cluster-announce-port {}", proxy.port()));
                lines.push(format!("cluster-announce-bus-port {}", bus.port()));
                proxies.push(proxy);
            }
            let options = RedisOptions {
                program: options.program,
                lines,
                user: options.user.clone(),
                tls: options.tls.clone(),
                stays_in: options
                    .stays_in
                    .as_ref()
                    .map(|directory| directory.join(format!("redis-{index}"))),
            };
            let node = Redis::start_as(Kind::InCluster { bus }, &options)?;
            if let Some(proxy) = proxies.last() {
                proxy.lead_to(node.port());
            }
            nodes.push(node);
        }
        let this = Self { nodes, proxies };
        this.create()?;
        this.wait_until_well()?;
        Ok(this)
    }

    /// `redis://127.0.0.1:PORT` of each node.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// The node of this index, 0 to 5.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, index: usize) -> Result<&Redis, Error> {
        self.nodes
            .get(index)
            .ok_or(Error::Options("there is no node of this index"))
    }

    /// The same, to be killed and started again.
    ///
    /// # Errors
    /// There is none.
    pub fn node_mut(&mut self, index: usize) -> Result<&mut Redis, Error> {
        self.nodes
            .get_mut(index)
            .ok_or(Error::Options("there is no node of this index"))
    }

    /// What clients and replicas pass who want to that node.
    ///
    /// # Errors
    /// There is none: [`ClusterOptions::proxied`] was not asked for.
    pub fn proxy(&self, index: usize) -> Result<&Proxy, Error> {
        self.proxies
            .get(index)
            .ok_or(Error::Options("there is no proxy before the node of this index"))
    }

    /// Whether that node is told by this port.
    fn has_port(&self, index: usize, port: u16) -> bool {
        self.nodes.get(index).is_some_and(|node| node.port() == port)
            || self.proxies.get(index).is_some_and(|proxy| proxy.port() == port)
    }

    /// Runs one command on whichever node has its key.
    ///
    /// # Errors
    /// A node answered with an error, or none answered.
    pub fn command(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut last = Error::Options("a cluster has nodes");
        for node in &self.nodes {
            match cli::run_following(&node.options, node.port(), arguments) {
                Ok(said) => return Ok(said),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The index of the master that has this key now.
    ///
    /// # Errors
    /// No node answers, or none has it.
    pub fn master_of(&self, key: &str) -> Result<usize, Error> {
        let slot: u16 = self
            .command(&["CLUSTER", "KEYSLOT", key])?
            .parse()
            .map_err(|_| Error::Options("a slot is a number"))?;
        let nodes = self.command(&["CLUSTER", "NODES"])?;
        let port = nodes.lines().find_map(|line| port_of_master_with(line, slot));
        (0..self.nodes.len())
            .find(|index| port.is_some_and(|port| self.has_port(*index, port)))
            .ok_or(Error::Options("no master has this slot"))
    }

    /// Waits until every living node says that the cluster is well and living replicas follow.
    ///
    /// # Errors
    /// It took more than a minute.
    pub fn wait_until_well(&self) -> Result<(), Error> {
        self.wait("cluster_state:ok on every node", || self.is_well())
    }

    /// Waits until another node than this one has the key, and all living ones are well; its index.
    ///
    /// # Errors
    /// It took more than a minute.
    pub fn wait_for_master_other_than(&self, old: usize, key: &str) -> Result<usize, Error> {
        self.wait("another master", || {
            self.is_well() && self.master_of(key).is_ok_and(|master| master != old)
        })?;
        self.master_of(key)
    }

    /// The replica of the master that has this key takes its place; the index of the new master.
    ///
    /// It is ordered only once every living node knows whose replica it is, and again where nothing came of it.
    ///
    /// # Errors
    /// It took more than two minutes; the error has what was refused last.
    pub fn fail_over(&self, key: &str, failover: Failover) -> Result<usize, Error> {
        let deadline = Deadline::after(FAILOVER_LIMIT);
        let (mut old, mut refused) = (None, String::new());
        let mut next = Deadline::after(Duration::ZERO);
        loop {
            let master = self.master_of(key).ok();
            match (old, master) {
                (None, Some(master)) => old = Some(master),
                (Some(old), Some(master)) if master != old => return Ok(master),
                (Some(_) | None, Some(_) | None) => {}
            }
            if next.is_over()
                && let Some(replica) = old.and_then(|old| self.replica_of(old))
            {
                let said = match failover {
                    Failover::Agreed => replica.command(&["CLUSTER", "FAILOVER"]),
                    Failover::Forced => replica.command(&["CLUSTER", "FAILOVER", "FORCE"]),
                    Failover::TakenOver => replica.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]),
                };
                refused = said.err().map(|error| error.to_string()).unwrap_or_default();
                next = Deadline::after(AGAIN);
            }
            if !deadline.pause() {
                return Err(Error::Silent {
                    server: "Redis Cluster".to_owned(),
                    waited_s: FAILOVER_LIMIT.as_secs(),
                    what: "a failover that was ordered".to_owned(),
                    last_lines: refused,
                });
            }
        }
    }

    /// The living replica of this master, as all living nodes see it: a master votes for no replica that it takes for
    /// something else.
    #[must_use]
    pub fn replica_of(&self, master: usize) -> Option<&Redis> {
        let mut found = None;
        for observer in &self.nodes {
            let Ok(nodes) = observer.command(&["CLUSTER", "NODES"]) else {
                continue;
            };
            let replica = port_of_replica_of(&nodes, |port| self.has_port(master, port))?;
            if found.is_some_and(|found| found != replica) {
                return None;
            }
            found = Some(replica);
        }
        let index =
            (0..self.nodes.len()).find(|index| found.is_some_and(|port| self.has_port(*index, port)))?;
        self.nodes.get(index)
    }

    /// Lets all nodes run on; who they are. They must have been started with [`ClusterOptions::stays_in`].
    #[must_use]
    pub fn leave(self) -> Vec<Left> {
        self.nodes.into_iter().map(Redis::leave).collect()
    }

    fn create(&self) -> Result<(), Error> {
        let first = self.node(0)?;
        let addresses: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        let mut arguments = vec!["--cluster", "create"];
        arguments.extend(addresses.iter().map(String::as_str));
        arguments.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        cli::run(&first.options, first.port(), &arguments).map(drop)
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) -> Result<(), Error> {
        let deadline = Deadline::after(LIMIT);
        while !done() {
            if !deadline.pause() {
                return Err(Error::Silent {
                    server: "Redis Cluster".to_owned(),
                    waited_s: LIMIT.as_secs(),
                    what: what.to_owned(),
                    last_lines: self.nodes.first().map(Redis::last_lines).unwrap_or_default(),
                });
            }
        }
        Ok(())
    }

    fn is_well(&self) -> bool {
        let mut living = 0_usize;
        for node in &self.nodes {
            let Ok(info) = node.command(&["CLUSTER", "INFO"]) else {
                continue;
            };
            let Ok(replication) = node.command(&["INFO", "replication"]) else {
                continue;
            };
            living = living.saturating_add(1);
            let follows =
                replication.contains("role:master") || replication.contains("master_link_status:up");
            if !(info.contains("cluster_state:ok") && follows) {
                return false;
            }
        }
        living >= NODES / 2
    }
}

/// The living replica of the master with such a port, in what a node says of all.
fn port_of_replica_of(nodes: &str, is_master: impl Fn(u16) -> bool) -> Option<u16> {
    let lines = || {
        nodes
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
    };
    let id = lines().find_map(|words| {
        let is_wanted = port_of(words.get(1)?).is_some_and(&is_master);
        is_wanted.then(|| words.first().copied())?
    })?;
    lines().find_map(|words| {
        let mut flags = words.get(2)?.split(',');
        let is_living = flags.all(|flag| matches!(flag, "slave" | "myself"));
        (is_living && words.get(3) == Some(&id)).then(|| port_of(words.get(1)?))?
    })
}

/// Of `127.0.0.1:PORT@BUS,HOST`.
fn port_of(address: &str) -> Option<u16> {
    address.split(['@', ',']).next()?.rsplit(':').next()?.parse().ok()
}

/// `ID 127.0.0.1:PORT@BUS,HOST master - 0 0 1 connected 0-5460 5462`.
fn port_of_master_with(line: &str, slot: u16) -> Option<u16> {
    let words: Vec<_> = line.split_whitespace().collect();
    let is_living_master = words
        .get(2)?
        .split(',')
        .all(|flag| matches!(flag, "master" | "myself"));
    let has_slot = words.iter().skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let range = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
        range.is_some_and(|(first, last)| (first..=last).contains(&slot))
    });
    if !(is_living_master && has_slot) {
        return None;
    }
    port_of(words.get(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_of_a_slot_is_read_from_the_nodes() {
        let line = "07c3 127.0.0.1:30004@31004,h myself,master - 0 1426238317239 4 connected 0-5460 7000";
        for (slot, port) in [
            (0, Some(30_004)),
            (5_460, Some(30_004)),
            (5_461, None),
            (7_000, Some(30_004)),
        ] {
            assert_eq!(port_of_master_with(line, slot), port);
        }
        assert_eq!(
            port_of_master_with(&line.replace("myself,master", "master,fail"), 0),
            None
        );
        assert_eq!(
            port_of_master_with(&line.replace("myself,master", "slave"), 0),
            None
        );
        assert_eq!(port_of_master_with("", 0), None);
    }
    #[test]
    fn the_living_replica_of_a_master_is_read_from_the_nodes() {
        let nodes = "07c3 127.0.0.1:30001@31001,h myself,master - 0 1426238317239 4 connected 0-5460\n\
                     07c4 127.0.0.1:30002@31002,h slave,fail 07c3 0 1426238317239 4 connected\n\
                     07c5 127.0.0.1:30003@31003,h slave 07c3 0 1426238317239 4 connected";
        assert_eq!(port_of_replica_of(nodes, |port| port == 30_001), Some(30_003));
        assert_eq!(port_of_replica_of(nodes, |port| port == 30_003), None);
        assert_eq!(port_of_replica_of(nodes, |port| port == 30_009), None);
    }
}

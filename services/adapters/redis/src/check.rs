//! What a server must be set to, and what the user must be permitted: looked at before anything starts, by `doctor`,
//! and, as far as settings go, of every server that comes to decide later.
//!
//! **Invariant:** a setting that cannot be read is a fault unless it is accepted by name.

use std::fmt;
use std::sync::Arc;

use curfew_core::place::{Incarnation, Partition};
use curfew_core::time::{Clock, DELTA_MS, Millis};
use redis::Value;

use crate::acl::acl_rule;
use crate::fault::{Effect, Fault};
use crate::keys::Keys;
use crate::link::Link;
use crate::options::{Options, Servers};
use crate::replication::{field, hex_of};
use crate::route::Route;
use crate::wire::{Script, Wire, array, text, time_of};

/// The largest `min-replicas-max-lag`, in seconds (DESIGN section 5).
const LAG_SECONDS_MAX: u64 = 10;
/// The oldest Redis.
const MAJOR_MIN: u64 = 7;

/// What was found in one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The server, or what leads to it.
    pub node: String,
    /// The setting, or what was tried.
    pub setting: &'static str,
    /// Its value, or what happened.
    pub found: String,
    /// What to make of it.
    pub judgement: Judgement,
}

/// What to make of a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// As it must be.
    Fine,
    /// It cannot be read, and that is accepted by name.
    Accepted,
    /// It cannot be looked at: a server that is not there.
    Absent,
    /// Not now, and nothing to configure: a server without its replicas, a failover.
    NotNow,
    /// Wrong: the store does not open.
    Wrong {
        /// What mends it: a line to be typed, or what to do.
        mend: String,
    },
}

impl Finding {
    /// Whether the store refuses to open because of it.
    #[must_use]
    pub const fn is_wrong(&self) -> bool {
        matches!(self.judgement, Judgement::Wrong { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is {}", self.node, self.setting, self.found)?;
        match &self.judgement {
            Judgement::Fine => Ok(()),
            Judgement::Absent => f.write_str(" (start it, or name another one)"),
            Judgement::Accepted => f.write_str(" (accepted by configuration)"),
            Judgement::NotNow => f.write_str(" (may pass)"),
            Judgement::Wrong { mend } => write!(f, "; {mend}"),
        }
    }
}

/// Looks at every node that decides, and compares its clock with ours where there is one to compare with.
pub(crate) async fn findings(
    options: &Options,
    route: &Route,
    keys: &Keys,
    clock: Option<&dyn Clock>,
) -> Vec<Finding> {
    let nodes = match route.all().await {
        Ok(nodes) => nodes,
        Err(fault) => return vec![connection_of("redis".to_owned(), &fault, options)],
    };
    let mut all = Vec::new();
    for (link, partition) in nodes {
        match of_node(options, &link, partition, keys, clock).await {
            Ok(found) => all.extend(found),
            Err(fault) => all.push(connection_of(link.address.to_string(), &fault, options)),
        }
    }
    all
}

/// What is wrong with the settings of a node that decides now; `None`: nothing. A replica was never looked at before
/// it was promoted.
pub(crate) async fn fault_of(options: &Options, name: String, wire: &Wire) -> Result<Option<Fault>, Fault> {
    let node = Node { options, name, wire };
    let mut found = vec![node.policy().await?];
    found.extend(node.replicas().await?);
    let wrong: Vec<_> = found
        .iter()
        .filter(|finding| finding.is_wrong())
        .map(ToString::to_string)
        .collect();
    Ok((!wrong.is_empty()).then(|| Fault::new(Effect::Refused, wrong.join("; "))))
}

/// A server that does not let us in is wrong; one that is not there may come.
fn connection_of(node: String, fault: &Fault, options: &Options) -> Finding {
    let (found, judgement) = if fault.effect == Effect::Refused {
        let mend = format!(
            "give the user its password and what it lacks: {}",
            rule_of(options)
        );
        ("refused", Judgement::Wrong { mend })
    } else {
        ("not there", Judgement::Absent)
    };
    Finding {
        node,
        setting: "the connection",
        found: format!("{found} ({fault})"),
        judgement,
    }
}

fn rule_of(options: &Options) -> String {
    let user = options
        .credentials
        .as_ref()
        .and_then(|credentials| credentials.user.as_deref());
    acl_rule(user.unwrap_or("curfew"), &options.prefix)
}

async fn of_node(
    options: &Options,
    link: &Arc<Link>,
    partition: Partition,
    keys: &Keys,
    clock: Option<&dyn Clock>,
) -> Result<Vec<Finding>, Fault> {
    let live = link.live().await?;
    let node = Node {
        options,
        name: link.address.to_string(),
        wire: live.any()?,
    };
    let mut found = node.kind().await?;
    found.push(node.policy().await?);
    found.extend(node.replicas().await?);
    found.push(node.commits(partition, keys).await);
    if let Some(clock) = clock {
        found.push(node.clock(clock).await?);
    }
    Ok(found)
}

/// One server under examination.
struct Node<'a> {
    options: &'a Options,
    name: String,
    wire: &'a Wire,
}

impl Node<'_> {
    fn finding(&self, setting: &'static str, found: impl Into<String>, judgement: Judgement) -> Finding {
        Finding {
            node: self.name.clone(),
            setting,
            found: found.into(),
            judgement,
        }
    }

    /// Version and mode.
    async fn kind(&self) -> Result<Vec<Finding>, Fault> {
        let info = self.info("server").await?;
        let valkey = field(&info, "valkey_version");
        let version = valkey
            .or_else(|| field(&info, "redis_version"))
            .unwrap_or("unknown");
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse::<u64>().ok());
        let judgement = if major.is_some_and(|major| major >= MAJOR_MIN) {
            Judgement::Fine
        } else {
            wrong("run Redis 7 or later, or Valkey")
        };
        // Valkey has names of its own since 8.
        let mode = field(&info, "redis_mode").or_else(|| field(&info, "server_mode"));
        let mode = mode.unwrap_or("unknown");
        let is_cluster = matches!(self.options.servers, Servers::Cluster { .. });
        let fits = if (mode == "cluster") == is_cluster {
            Judgement::Fine
        } else if is_cluster {
            wrong("name this server alone, or by its Sentinels: it is no cluster")
        } else {
            wrong("configure it as a cluster, with this address as a seed")
        };
        Ok(vec![
            self.finding("the version", version, judgement),
            self.finding("the mode", mode, fits),
        ])
    }

    /// Nothing may be evicted: absence is a loss here.
    async fn policy(&self) -> Result<Finding, Fault> {
        const SETTING: &str = "maxmemory-policy";
        let info = self.info("memory").await?;
        Ok(match field(&info, "maxmemory_policy") {
            Some("noeviction") => self.finding(SETTING, "noeviction", Judgement::Fine),
            Some(other) => self.finding(SETTING, other, wrong("CONFIG SET maxmemory-policy noeviction")),
            None => self.unread(SETTING, "not told by INFO memory"),
        })
    }

    /// Where there are replicas, a primary that has lost them must refuse.
    async fn replicas(&self) -> Result<Vec<Finding>, Fault> {
        let replication = self.wire.probe().await?;
        let is_alone = matches!(self.options.servers, Servers::Single(_)) && replication.replicas == 0;
        if is_alone {
            return Ok(vec![self.finding("replicas", "none", Judgement::Fine)]);
        }
        let count = self
            .number(
                "min-replicas-to-write",
                |count| count >= 1,
                "CONFIG SET min-replicas-to-write 1",
            )
            .await;
        let is_lag = |lag: u64| (1..=LAG_SECONDS_MAX).contains(&lag);
        let lag = self
            .number(
                "min-replicas-max-lag",
                is_lag,
                "CONFIG SET min-replicas-max-lag 10",
            )
            .await;
        Ok(vec![count, lag])
    }

    async fn number(&self, setting: &'static str, is_fine: impl Fn(u64) -> bool, mend: &str) -> Finding {
        match self.setting(setting).await {
            Ok(value) if value.parse().is_ok_and(is_fine) => self.finding(setting, value, Judgement::Fine),
            Ok(value) => self.finding(setting, value, wrong(mend)),
            Err(fault) => self.unread(setting, &fault.to_string()),
        }
    }

    /// Commits twice for the sake of it: writes, then deletes. So whatever the script may not do is
    /// found before anything stands on it.
    async fn commits(&self, partition: Partition, keys: &Keys) -> Finding {
        const SETTING: &str = "the commit script";
        let tried = async {
            let incarnation = self.wire.incarnation();
            let (now, until) = self.times().await?;
            for (value, until, command) in [("0123456789abcdef.", until.as_str(), "ZADD"), ("", "", "ZREM")] {
                let request = probe(partition, keys, incarnation, &now, [value, until, command]);
                let answer = self.wire.run(Script::Commit, &request.0, &request.1).await?;
                if answer != Value::Int(1) {
                    return Err(Fault::new(
                        Effect::Nothing,
                        "it was fenced: a failover is under way",
                    ));
                }
            }
            Ok(())
        };
        let Err(fault) = tried.await else {
            return self.finding(SETTING, "permitted", Judgement::Fine);
        };
        if fault.effect != Effect::Refused {
            return self.finding(SETTING, fault.to_string(), Judgement::NotNow);
        }
        let mend = format!(
            "it must see INFO replication and TIME, or a failover would go unnoticed, and write its keys: {}; \
             a service that refuses INFO inside scripts cannot be used",
            rule_of(self.options)
        );
        self.finding(SETTING, format!("refused ({fault})"), wrong(&mend))
    }

    /// Commits compare the two clocks, and answer `CLOCK_SUSPECT` where they differ by more than δ.
    async fn clock(&self, clock: &dyn Clock) -> Result<Finding, Fault> {
        const SETTING: &str = "the clock";
        let before = clock.now().wall;
        let server = self.time().await?;
        let after = clock.now().wall;
        // Between the two instants it read its own: what lies outside of them is an error.
        let error_ms = server.ms_since(after).max(0) - before.ms_since(server).max(0);
        Ok(if error_ms.abs() <= DELTA_MS {
            self.finding(SETTING, "that of this machine", Judgement::Fine)
        } else {
            let found = format!(
                "{} ms {} this machine's",
                error_ms.abs(),
                if error_ms > 0 { "ahead of" } else { "behind" }
            );
            let mend = format!("set both clocks (NTP): beyond {DELTA_MS} ms every commit is refused");
            self.finding(SETTING, found, wrong(&mend))
        })
    }

    /// The server's clock, and ten seconds later, in ms.
    async fn times(&self) -> Result<(String, String), Fault> {
        let now = self.time().await?;
        let text = |at: Millis| at.as_unix_ms().to_string();
        Ok((text(now), text(now.plus_ms(10_000))))
    }

    /// The server's clock.
    async fn time(&self) -> Result<Millis, Fault> {
        let answer = self.wire.ask(&redis::cmd("TIME")).await?;
        time_of(&answer).ok_or_else(|| Fault::unreadable("TIME"))
    }

    fn unread(&self, setting: &'static str, why: &str) -> Finding {
        let is_accepted = self
            .options
            .accept_unread
            .iter()
            .any(|accepted| accepted == setting);
        let judgement = if is_accepted {
            Judgement::Accepted
        } else {
            wrong(&format!(
                "permit it with +config|get, or where the service never will, make sure of it and accept it \
                 with accept_unread = \"{setting}\" (several: commas between)"
            ))
        };
        self.finding(setting, format!("not readable ({why})"), judgement)
    }

    async fn info(&self, section: &str) -> Result<String, Fault> {
        let answer = self.wire.ask(redis::cmd("INFO").arg(section)).await?;
        let info = text(&answer).map(str::to_owned);
        info.ok_or_else(|| Fault::unreadable("INFO"))
    }

    async fn setting(&self, name: &str) -> Result<String, Fault> {
        let answer = self.wire.ask(redis::cmd("CONFIG").arg("GET").arg(name)).await?;
        let pair = array(answer, "CONFIG GET")?;
        let value = pair.get(1).and_then(text).map(str::to_owned);
        value.ok_or_else(|| Fault::new(Effect::Refused, "CONFIG GET does not tell it"))
    }
}

/// A commit of one record that no rule knows, with an index of its own.
fn probe(
    partition: Partition,
    keys: &Keys,
    incarnation: Incarnation,
    now: &str,
    [value, until, command]: [&str; 3],
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    // Its own letter: no kind of record has it. Two nodes that start together each write the same.
    let places = [b"p".as_slice(), b"~", b"i~"].map(|key| keys.place_of_bytes(partition, key));
    let incarnation = hex_of(incarnation);
    // The clock is its own, a moment ago: ten seconds are more than any answer may take.
    let args = [
        incarnation.as_str(),
        now,
        "10000",
        "0",
        "1",
        value,
        until,
        command,
        "~",
    ];
    (places.to_vec(), args.map(|arg| arg.as_bytes().to_vec()).to_vec())
}

fn wrong(mend: &str) -> Judgement {
    Judgement::Wrong {
        mend: mend.to_owned(),
    }
}

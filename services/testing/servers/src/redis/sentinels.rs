//! Three Redis, one of them the master, under the eyes of three Sentinels.
//!
//! **Invariant:** when `start` returns, every Sentinel knows the master, both replicas and both other Sentinels:
//! a failover would succeed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::config::Kind;
use super::{Redis, RedisOptions, RedisProgram, RedisTls};
use crate::clock::Deadline;
use crate::error::Error;
use crate::left::Left;
use crate::proxy::Proxy;

/// The name by which Sentinels know the master.
const NAME: &str = "curfew";
/// Two of three must agree that the master is gone.
const QUORUM: usize = 2;
/// They find one another by messages that are sent every two seconds; the rest is for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);
/// Within what an ordered failover comes about: several tries, on a machine that is busy.
const FAILOVER_LIMIT: Duration = Duration::from_secs(120);
/// What a Sentinel has begun and not finished by then it has given up (`failover-timeout`).
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);
/// After a refusal: they hear of one another, and of replicas, once in some seconds.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// How they are started.
#[derive(Clone, Default)]
pub struct SentinelOptions {
    /// More lines of every Redis: `requirepass …`, `masterauth …`.
    pub lines: Vec<String>,
    /// More lines of every Sentinel: `requirepass …`, `sentinel auth-pass curfew …`.
    pub sentinel_lines: Vec<String>,
    /// As whom commands are sent to a Redis: name and password.
    pub user: Option<(String, String)>,
    /// As whom commands are sent to a Sentinel.
    pub sentinel_user: Option<(String, String)>,
    /// TLS everywhere.
    pub tls: Option<RedisTls>,
    /// Whether everybody reaches a Redis through a [`Proxy`] alone: clients, replicas and Sentinels; without TLS.
    pub proxied: bool,
    /// As [`RedisOptions::stays_in`].
    pub stays_in: Option<PathBuf>,
}

/// Passwords do not get into a log this way.
impl fmt::Debug for SentinelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentinelOptions")
            .field("stays_in", &self.stays_in)
            .finish_non_exhaustive()
    }
}

/// One master, two replicas, three Sentinels.
#[derive(Debug)]
pub struct Sentinels {
    // Before those that they watch, so that none of their deaths is a failover.
    sentinels: Vec<Redis>,
    redis: Vec<Redis>,
    /// One before each Redis, where it was asked for.
    proxies: Vec<Proxy>,
}

impl Sentinels {
    /// Starts them; the Redis of index 0 is the master.
    ///
    /// # Errors
    /// Redis is not installed, or something did not answer.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&SentinelOptions::default())
    }

    /// Starts them with more settings.
    ///
    /// # Errors
    /// As [`Sentinels::start`].
    pub fn start_with(options: &SentinelOptions) -> Result<Self, Error> {
        let place = |name: String| options.stays_in.as_ref().map(|directory| directory.join(name));
        let mut redis: Vec<Redis> = Vec::new();
        let mut proxies = Vec::new();
        let mut master = 0;
        for index in 0..3 {
            let mut lines = options.lines.clone();
            if index > 0 {
                lines.push(format!("replicaof 127.0.0.1 {master}"));
            }
            if options.proxied {
                let proxy = Proxy::start()?;
                lines.push("replica-announce-ip 127.0.0.1".to_owned());
                lines.push(format!("replica-announce-port {}", proxy.port()));
                proxies.push(proxy);
            }
            let options = RedisOptions {
                program: RedisProgram::Redis,
                lines,
                user: options.user.clone(),
                tls: options.tls.clone(),
                stays_in: place(format!("redis-{index}")),
            };
            let started = Redis::start_as(Kind::Alone, &options)?;
            let told = proxies.get(index).map(|proxy| {
                proxy.lead_to(started.port());
                proxy.port()
            });
            if index == 0 {
                master = told.unwrap_or_else(|| started.port());
            }
            redis.push(started);
        }
        let mut this = Self {
            sentinels: Vec::new(),
            redis,
            proxies,
        };
        // Sentinels ask a master for its replicas every ten seconds, so it had better have them when first asked.
        for replica in 1..3 {
            this.wait_for_replica(replica)?;
        }
        for index in 0..3 {
            let mut lines = vec![
                format!("sentinel monitor {NAME} 127.0.0.1 {master} {QUORUM}"),
                // Half a minute in production.
                format!("sentinel down-after-milliseconds {NAME} 1000"),
                format!(
                    "sentinel failover-timeout {NAME} {}",
                    FAILOVER_TIMEOUT.as_millis()
                ),
            ];
            lines.extend(options.sentinel_lines.iter().cloned());
            let options = RedisOptions {
                program: RedisProgram::Redis,
                lines,
                user: options.sentinel_user.clone(),
                tls: options.tls.clone(),
                stays_in: place(format!("sentinel-{index}")),
            };
            this.sentinels.push(Redis::start_as(Kind::Sentinel, &options)?);
        }
        this.wait_for_agreement()?;
        Ok(this)
    }

    /// The name by which the master is asked for.
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// `redis://127.0.0.1:PORT` of each Sentinel.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Redis::url).collect()
    }

    /// The Redis of this index, 0 to 2: it may be master or replica by now.
    ///
    /// # Errors
    /// There is none.
    pub fn redis(&self, index: usize) -> Result<&Redis, Error> {
        self.redis
            .get(index)
            .ok_or(Error::Options("there is no Redis of this index"))
    }

    /// The same, to be killed and started again.
    ///
    /// # Errors
    /// There is none.
    pub fn redis_mut(&mut self, index: usize) -> Result<&mut Redis, Error> {
        self.redis
            .get_mut(index)
            .ok_or(Error::Options("there is no Redis of this index"))
    }

    /// What everybody passes who wants to that Redis.
    ///
    /// # Errors
    /// There is none: [`SentinelOptions::proxied`] was not asked for.
    pub fn proxy(&self, index: usize) -> Result<&Proxy, Error> {
        self.proxies
            .get(index)
            .ok_or(Error::Options("there is no proxy before the Redis of this index"))
    }

    /// The Sentinel of this index, 0 to 2.
    ///
    /// # Errors
    /// There is none.
    pub fn sentinel(&self, index: usize) -> Result<&Redis, Error> {
        self.sentinels
            .get(index)
            .ok_or(Error::Options("there is no Sentinel of this index"))
    }

    /// The same, to be killed and started again.
    ///
    /// # Errors
    /// There is none.
    pub fn sentinel_mut(&mut self, index: usize) -> Result<&mut Redis, Error> {
        self.sentinels
            .get_mut(index)
            .ok_or(Error::Options("there is no Sentinel of this index"))
    }

    /// The index of the Redis that the Sentinels call master; they may still be at odds with it.
    ///
    /// # Errors
    /// No Sentinel answers.
    pub fn master(&self) -> Result<usize, Error> {
        let mut last = Error::Options("no Sentinel knows the master");
        for sentinel in &self.sentinels {
            match sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]) {
                Ok(said) => {
                    let port = said.lines().nth(1).and_then(|port| port.parse::<u16>().ok());
                    let is_of = |index: usize| {
                        let own = self.redis.get(index).map(Redis::port);
                        port.is_some() && (own == port || self.proxies.get(index).map(Proxy::port) == port)
                    };
                    let index = (0..self.redis.len()).find(|index| is_of(*index));
                    if let Some(index) = index {
                        return Ok(index);
                    }
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Waits until the Sentinels have another master than this one, and it says so itself; its index.
    ///
    /// # Errors
    /// It took more than a minute.
    pub fn wait_for_master_other_than(&self, old: usize) -> Result<usize, Error> {
        let mut found = None;
        wait(LIMIT, "another master", || {
            found = self.master_other_than(old);
            found.is_some()
        })?;
        found.ok_or(Error::Options("no Sentinel knows the master"))
    }

    /// Makes another Redis the master, and waits until the Sentinels and it say so; its index.
    ///
    /// Any Sentinel that answers is told, and told again where it refused (another failover is under way, it knows
    /// of no good replica yet) or gave up what it had begun.
    ///
    /// # Errors
    /// It took more than two minutes; the error has what was refused last.
    pub fn fail_over(&self) -> Result<usize, Error> {
        let mut old = None;
        wait(LIMIT, "a Sentinel that knows the master", || {
            old = self.master().ok();
            old.is_some()
        })?;
        let old = old.ok_or(Error::Options("no Sentinel knows the master"))?;
        let mut found = None;
        let mut refused = String::new();
        let mut next = Deadline::after(Duration::ZERO);
        let waited = wait(FAILOVER_LIMIT, "a failover that was ordered", || {
            found = self.master_other_than(old);
            if found.is_none() && next.is_over() {
                let ordered = self.order_failover();
                next = Deadline::after(match ordered {
                    Ok(()) => FAILOVER_TIMEOUT,
                    Err(_) => REFUSED_PAUSE,
                });
                if let Err(error) = ordered {
                    refused = error.to_string();
                }
            }
            found.is_some()
        });
        match (waited, found) {
            (Ok(()), Some(found)) => Ok(found),
            (
                Err(Error::Silent {
                    server,
                    waited_s,
                    what,
                    ..
                }),
                _,
            ) => Err(Error::Silent {
                server,
                waited_s,
                what,
                last_lines: refused,
            }),
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(Error::Options("no Sentinel knows the master")),
        }
    }

    /// The first Sentinel that takes the order carries it out.
    fn order_failover(&self) -> Result<(), Error> {
        let mut last = Error::Options("there is no Sentinel");
        for sentinel in &self.sentinels {
            match sentinel.command(&["SENTINEL", "FAILOVER", NAME]) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A command may fail while somebody is reconfigured: its connections are killed then.
    fn master_other_than(&self, old: usize) -> Option<usize> {
        let master = self.master().ok().filter(|master| *master != old)?;
        let role = self.redis(master).ok()?.command(&["ROLE"]).unwrap_or_default();
        role.starts_with("master").then_some(master)
    }

    /// Waits until this one follows a master and has all of it: it was started again, or put back.
    ///
    /// # Errors
    /// It took more than a minute.
    pub fn wait_for_replica(&self, index: usize) -> Result<(), Error> {
        let replica = self.redis(index)?;
        wait(LIMIT, "a replica that follows", || {
            // Sentinel kills the connections of whomever it reconfigures: a command may fail for a moment.
            let said = replica.command(&["INFO", "replication"]).unwrap_or_default();
            said.contains("role:slave") && said.contains("master_link_status:up")
        })
    }

    /// Lets all of them run on; who they are. They must have been started with [`SentinelOptions::stays_in`].
    #[must_use]
    pub fn leave(self) -> Vec<Left> {
        self.sentinels
            .into_iter()
            .chain(self.redis)
            .map(Redis::leave)
            .collect()
    }

    fn wait_for_agreement(&self) -> Result<(), Error> {
        wait(LIMIT, "Sentinels that know one another", || {
            self.sentinels.iter().all(|sentinel| {
                let said = sentinel
                    .command(&["SENTINEL", "MASTER", NAME])
                    .unwrap_or_default();
                let has = |name: &str, value: &str| said.contains(&format!("{name}\n{value}\n"));
                has("num-slaves", "2") && has("num-other-sentinels", "2") && has("flags", "master")
            })
        })
    }
}

fn wait(limit: Duration, what: &str, mut done: impl FnMut() -> bool) -> Result<(), Error> {
    let deadline = Deadline::after(limit);
    while !done() {
        if !deadline.pause() {
            return Err(Error::Silent {
                server: "Sentinel".to_owned(),
                waited_s: limit.as_secs(),
                what: what.to_owned(),
                last_lines: String::new(),
            });
        }
    }
    Ok(())
}

//! One Redis server.
//!
//! **Invariant:** it keeps what it acknowledged as production would: append-only file, synced every second, no eviction.

mod cli;
mod cluster;
mod config;
mod sentinels;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::directory::Directory;
use crate::error::Error;
use crate::left::Left;
use crate::ports::Lease;
use crate::process::{Process, Start};
use crate::program::{Program, REDIS_SERVER, VALKEY_SERVER};

pub use self::cluster::{ClusterOptions, Failover, RedisCluster};
use self::config::Kind;
pub use self::sentinels::{SentinelOptions, Sentinels};

/// A Redis answers after some 10 ms, and after a second or so when it reads a large file first; the rest is for a
/// machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(30);

/// In its directory.
const CONFIG: &str = "redis.conf";

/// Whose server it is: both take the same file, and are spoken to by `redis-cli`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RedisProgram {
    /// `redis-server`.
    #[default]
    Redis,
    /// `valkey-server`.
    Valkey,
}

impl RedisProgram {
    const fn program(self) -> Program {
        match self {
            Self::Redis => REDIS_SERVER,
            Self::Valkey => VALKEY_SERVER,
        }
    }
}

/// How a Redis is started.
#[derive(Clone, Default)]
pub struct RedisOptions {
    /// Which program.
    pub program: RedisProgram,
    /// More lines of `redis.conf`; of two that say the same, the last holds: `requirepass …`, `user …`, `replicaof …`.
    pub lines: Vec<String>,
    /// As whom [`Redis::command`] speaks, where the default user may not: name and password.
    pub user: Option<(String, String)>,
    /// TLS instead of plain text.
    pub tls: Option<RedisTls>,
    /// A directory for its files that stays, and with it the server, once [`Redis::leave`] was called. Without one,
    /// it has a temporary directory, and ends with the process that started it.
    pub stays_in: Option<PathBuf>,
}

/// Passwords and rules do not get into a log this way.
impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions")
            .field("program", &self.program)
            .field("lines", &self.lines.len())
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("tls", &self.tls)
            .field("stays_in", &self.stays_in)
            .finish()
    }
}

/// Certificates, each a PEM file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisTls {
    /// Who signed the clients' certificates, and the server's.
    pub ca: PathBuf,
    /// The server's certificate, for 127.0.0.1; [`Redis::command`] shows it too.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whether clients must show a certificate.
    pub clients_must_show_one: bool,
}

/// One `redis-server` process.
#[derive(Debug)]
pub struct Redis {
    options: RedisOptions,
    kind: Kind,
    // Before the directory and the port: it is gone before they are.
    process: Process,
    directory: Directory,
    lease: Lease,
}

impl Redis {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Redis is not installed, or did not answer.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&RedisOptions::default())
    }

    /// Starts one with more settings.
    ///
    /// # Errors
    /// Redis is not installed, or did not answer: the error has the end of its log.
    pub fn start_with(options: &RedisOptions) -> Result<Self, Error> {
        Self::start_as(Kind::Alone, options)
    }

    fn start_as(kind: Kind, options: &RedisOptions) -> Result<Self, Error> {
        let lease = Lease::take()?;
        let directory = Directory::new(options.stays_in.as_deref())?;
        // Only once: Redis itself writes into it, when Sentinel tells it whom to follow.
        directory.write(CONFIG, &config::text(&kind, options, lease.port()))?;
        let mut redis = Self {
            process: process(&kind, options, directory.path(), lease.port())?,
            options: options.clone(),
            kind,
            directory,
            lease,
        };
        redis.wait()?;
        Ok(redis)
    }

    /// `redis://127.0.0.1:PORT`, or `rediss://` with TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.lease.port()
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The end of its log.
    #[must_use]
    pub fn last_lines(&self) -> String {
        self.process.last_lines()
    }

    /// SIGKILL, and waits until it is gone. The port stays ours.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, on the same port and in the same directory; kills it first where it lives.
    ///
    /// # Errors
    /// As [`Redis::start_with`].
    pub fn restart(&mut self) -> Result<(), Error> {
        self.process.kill();
        self.process = process(&self.kind, &self.options, self.directory.path(), self.port())?;
        self.wait()
    }

    /// SIGSTOP: connections stay, and nothing is answered.
    pub fn stop_the_clock(&self) {
        self.process.stop_the_clock();
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.process.go_on();
    }

    /// Its disk is full: every write to a file fails, and it says so to whoever wants to write.
    ///
    /// # Errors
    /// This system does not let us.
    pub fn fill_disk(&self) -> Result<(), Error> {
        self.process.limit_files(Some(1))
    }

    /// There is room on its disk again.
    ///
    /// # Errors
    /// This system does not let us.
    pub fn free_disk(&self) -> Result<(), Error> {
        self.process.limit_files(None)
    }

    /// Runs one command by `redis-cli`, and gives back what it prints.
    ///
    /// # Errors
    /// The server answered with an error, or not at all. The error names the first word alone.
    pub fn command(&self, arguments: &[&str]) -> Result<String, Error> {
        cli::run(&self.options, self.port(), arguments)
    }

    /// Waits until so many replicas have all that this master has now. (`WAIT` counts only what its own connection
    /// wrote, and every command has one of its own.)
    ///
    /// # Errors
    /// It took longer than [`Redis::start`] may.
    pub fn wait_for_replicas(&mut self, count: usize) -> Result<(), Error> {
        let (options, port) = (&self.options, self.lease.port());
        let mut wanted = None;
        self.process
            .ready(START_LIMIT, "replicas that have everything", || {
                // A command may fail for a moment: Sentinel kills the connections of whomever it reconfigures.
                let Ok(said) = replication(options, port) else {
                    return Ok(false);
                };
                let offset = *wanted.get_or_insert(said.offset);
                Ok(said.replicas.iter().filter(|&&has| has >= offset).count() >= count)
            })
    }

    /// Lets it run on; who it is. It must have been started with [`RedisOptions::stays_in`].
    #[must_use]
    pub fn leave(mut self) -> Left {
        self.process.leave();
        Left {
            name: self.kind.name().to_owned(),
            pid: self.pid(),
            port: self.port(),
        }
    }

    fn wait(&mut self) -> Result<(), Error> {
        let (options, port) = (&self.options, self.lease.port());
        let answers = || match cli::run(options, port, &["PING"]) {
            Ok(said) => Ok(said == "PONG"),
            // Not listening yet, or loading; or it wants a password that we were not given, which is an answer.
            Err(Error::Refused { said, .. }) => {
                Ok(said.starts_with("NOAUTH") || said.starts_with("NOPERM") || said.starts_with("WRONGPASS"))
            }
            Err(other) => Err(other),
        };
        self.process.ready(START_LIMIT, "PONG to a PING", answers)
    }
}

fn process(kind: &Kind, options: &RedisOptions, directory: &Path, port: u16) -> Result<Process, Error> {
    let config = directory.join(CONFIG).display().to_string();
    let mut arguments = vec![config];
    arguments.extend(kind.argument().map(str::to_owned));
    Process::start(Start {
        program: options.program.program(),
        name: format!("{} on port {port}", kind.name()),
        arguments,
        directory,
        stays: options.stays_in.is_some(),
    })
}

/// What a master says of itself and its replicas.
struct Replication {
    offset: u64,
    /// Of each replica that is online.
    replicas: Vec<u64>,
}

fn replication(options: &RedisOptions, port: u16) -> Result<Replication, Error> {
    let said = cli::run(options, port, &["INFO", "replication"])?;
    let mut found = Replication {
        offset: 0,
        replicas: Vec::new(),
    };
    for line in said.lines().map(str::trim) {
        if let Some(offset) = line.strip_prefix("master_repl_offset:") {
            found.offset = offset.parse().unwrap_or(u64::MAX);
        } else if line.starts_with("slave") && line.contains("state=online") {
            // `slave0:ip=127.0.0.1,port=12345,state=online,offset=42,lag=0`
            let offset = line.split(',').find_map(|part| part.strip_prefix("offset="));
            found
                .replicas
                .extend(offset.and_then(|offset| offset.parse::<u64>().ok()));
        }
    }
    Ok(found)
}

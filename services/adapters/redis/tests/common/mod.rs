//! A real Redis server for one test: its own port, its own directory, gone afterwards.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod proxy;
pub(crate) mod single;

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use curfew_core::place::{Incarnation, Partition};
use curfew_core::stored::{Key, Record, Write};
use curfew_ports::store::{Commit, CommitOutcome, Store, View};
use curfew_redis::{ACL_COMMANDS, Address, Credentials, Options, Redis, Secret, Servers};
use curfew_servers::{RedisOptions, RedisProgram, RedisTls};

/// Looks, 10 ms apart, until something has come about: 20 s, where some 100 ms are usual.
pub(crate) const LOOKS_MAX: usize = 2_000;
pub(crate) const PASSWORD: &str = "of-a-minimal-user";
pub(crate) const ADMIN: &str = "of-an-administrator";

/// One server, with its files where a test can get at them.
pub(crate) struct Server {
    redis: curfew_servers::Redis,
    dir: tempfile::TempDir,
}

impl Server {
    /// With the minimal user, and what `lines` add to its configuration.
    pub(crate) fn start(lines: &[&str]) -> Self {
        Self::start_with(lines, None)
    }

    pub(crate) fn start_with(lines: &[&str], tls: Option<RedisTls>) -> Self {
        Self::start_as(RedisProgram::Redis, lines, tls)
    }

    pub(crate) fn start_as(program: RedisProgram, lines: &[&str], tls: Option<RedisTls>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = [
            format!("dir {}", dir.path().display()),
            "enable-debug-command local".to_owned(),
            format!("user default on >{ADMIN} ~* &* +@all"),
            format!("user curfew on >{PASSWORD} ~curfew{{* resetchannels {ACL_COMMANDS}"),
        ];
        let lines = own.into_iter().chain(lines.iter().map(|line| (*line).to_owned()));
        let options = RedisOptions {
            program,
            lines: lines.collect(),
            user: Some(("default".to_owned(), ADMIN.to_owned())),
            tls,
            stays_in: None,
        };
        let redis = curfew_servers::Redis::start_with(&options).unwrap();
        Self { redis, dir }
    }

    pub(crate) fn port(&self) -> u16 {
        self.redis.port()
    }

    /// Waits until an answer holds a text.
    pub(crate) fn until(&self, args: &[&str], text: &str) {
        for _ in 0..LOOKS_MAX {
            if self.cli(args).contains(text) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no `{text}` in {args:?}: {}", self.cli(args));
    }

    /// As the administrator.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        self.redis.command(args).unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.redis.kill();
    }

    /// Killed and started again; what it had acknowledged is kept.
    pub(crate) fn restart_whole(&mut self) {
        written(&self.redis);
        self.restart();
    }

    pub(crate) fn restart(&mut self) {
        self.redis.restart().unwrap();
    }

    pub(crate) fn stop_the_clock(&self) {
        self.redis.stop_the_clock();
    }

    pub(crate) fn go_on(&self) {
        self.redis.go_on();
    }

    /// Takes the last writing commits from the file, as a failover to a replica that lacked them does.
    pub(crate) fn lose(&mut self, commits: usize) {
        written(&self.redis);
        self.kill();
        let dir = self.dir.path().join("appendonlydir");
        let files = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        let file: PathBuf = files
            .filter(|path| path.to_string_lossy().contains(".incr."))
            .max()
            .unwrap();
        let text = fs::read(&file).unwrap();
        let starts = commits_in(&text);
        let keep = starts[starts.len() - commits];
        fs::write(&file, &text[..keep]).unwrap();
        self.restart();
    }

    pub(crate) fn address(&self) -> Address {
        Address::new("127.0.0.1", self.port())
    }

    /// As the minimal user.
    pub(crate) fn options(&self) -> Options {
        Options {
            credentials: Some(credentials()),
            ..Options::new(Servers::Single(self.address()))
        }
    }
}

pub(crate) fn credentials() -> Credentials {
    Credentials {
        user: Some("curfew".to_owned()),
        password: Secret::new(PASSWORD),
    }
}

/// Where each writing commit begins: a command, or a transaction with all that is in it.
fn commits_in(text: &[u8]) -> Vec<usize> {
    let mut commits = Vec::new();
    let (mut at, mut is_inside) = (0, false);
    while at < text.len() {
        let start = at;
        let end = text[at..].windows(2).position(|two| two == b"\r\n").unwrap() + at;
        let count: usize = std::str::from_utf8(&text[at + 1..end]).unwrap().parse().unwrap();
        at = end + 2;
        let mut name = Vec::new();
        for n in 0..count {
            let end = text[at..].windows(2).position(|two| two == b"\r\n").unwrap() + at;
            let length: usize = std::str::from_utf8(&text[at + 1..end]).unwrap().parse().unwrap();
            if n == 0 {
                name = text[end + 2..end + 2 + length].to_ascii_uppercase();
            }
            at = end + 2 + length + 2;
        }
        match name.as_slice() {
            b"SELECT" => {}
            b"MULTI" => {
                commits.push(start);
                is_inside = true;
            }
            b"EXEC" => is_inside = false,
            _ if is_inside => {}
            _ => commits.push(start),
        }
    }
    commits
}

/// A small commit on what was read: the partition's sequence.
pub(crate) fn commit_of(view: &View, sequence: u64) -> Commit {
    Commit {
        partition: Partition::DIRECTORY,
        incarnation: view.incarnation,
        now: view.store_time,
        nonce: RandomState::new().hash_one("nonce").to_be_bytes(),
        expected: Vec::new(),
        writes: vec![(Key::Sequence, Write::put(Record::Sequence(sequence)))],
        publish: Vec::new(),
    }
}

/// The same, of another history than the one that was there: whoever was left may answer for a moment.
pub(crate) async fn settled_after(store: &Redis, partition: Partition, before: Incarnation) -> View {
    for _ in 0..LOOKS_MAX {
        let view = settled(store, partition).await;
        if view.incarnation != before {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody takes over");
}

/// Waits until all that was acknowledged is in the file: Redis answers before it writes while a sync is
/// slow, and writes to no file at all while it rewrites one after a full resynchronization.
pub(crate) fn written(redis: &curfew_servers::Redis) {
    for _ in 0..LOOKS_MAX {
        let info = redis.command(&["INFO", "persistence"]).unwrap();
        let is = |line: &str| info.lines().any(|present| present.trim() == line);
        if is("aof_rewrite_in_progress:0") && is("aof_rewrite_scheduled:0") && is("aof_buffer_length:0") {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the append-only file is never written");
}

/// Opens as soon as the servers can be looked at.
pub(crate) async fn opened(options: &Options) -> Redis {
    for _ in 0..LOOKS_MAX {
        match Redis::open(options).await {
            Ok(store) => return store,
            Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the servers do not come");
}

/// Waits until the store commits again: after a failover, replicas have to come back.
pub(crate) async fn settled(store: &Redis, partition: Partition) -> View {
    for _ in 0..LOOKS_MAX {
        if let Ok(view) = store.read(partition, &[Key::Sequence]).await {
            let mut empty = commit_of(&view, 0);
            empty.partition = partition;
            empty.writes.clear();
            if let Ok(CommitOutcome::Committed(_)) = store.commit(empty).await {
                return view;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the store does not commit again");
}

/// Both users, for servers with replicas; a prefix for each law.
pub(crate) fn lines_of_a_group() -> Vec<String> {
    vec![
        format!("user default on >{ADMIN} ~* &* +@all"),
        format!("user curfew on >{PASSWORD} ~curfew*{{* resetchannels {ACL_COMMANDS}"),
        format!("masterauth {ADMIN}"),
        "min-replicas-to-write 1".to_owned(),
        "min-replicas-max-lag 10".to_owned(),
    ]
}

pub(crate) fn admin() -> Option<(String, String)> {
    Some(("default".to_owned(), ADMIN.to_owned()))
}

/// Of a URL of ours.
pub(crate) fn address_of(url: &str) -> Address {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    Address::new("127.0.0.1", port.unwrap())
}

/// Reads until the store answers again; the store's own pauses are what paces it.
pub(crate) async fn read_until(store: &Redis, partition: Partition) -> View {
    for _ in 0..LOOKS_MAX {
        if let Ok(view) = store.read(partition, &[Key::Sequence]).await {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the store does not come back");
}

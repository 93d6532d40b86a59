//! The limit of a shared store in a process of its own: the bare compare-and-commit script, and the read before it.
//!
//! It sends what a refresh of this harness sends and nothing else: one `TIME` with one `MGET` of five
//! records, then the script, which compares four and writes the row over. No record is decoded.
//!
//! **Invariant:** every commit compares the version that its own read saw; one that found another is no commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use curfew_clock::SystemClock;
use curfew_core::time::{Clock as _, DELTA_MS};
use curfew_redis::COMMIT_SCRIPT;
use redis::Value;
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};

use crate::clock::Mono;
use crate::failure::Failure;
use crate::latency::Latencies;
use crate::servers::{RedisCost, RedisLook, client, connect};
use crate::shared::Shared;
use crate::usage::Usage;

/// Rows that take turns: the population of a usual run.
const ROWS: u64 = 4_000;
/// As many connections as a node of defaults has.
const CONNECTIONS: usize = 2;
/// Bytes of the records of this harness's sessions behind their version: row, gate, partition, sequence.
const ROW_BYTES: usize = 258;
const GATE_BYTES: usize = 65;
const PARTITION_BYTES: usize = 37;
const SEQUENCE_BYTES: usize = 5;
/// With and without `INFO` take turns, so that a machine that changes changes for both.
const TURNS: u32 = 2;

/// Reads with their commits, by so many callers at once.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Scripts {
    pub(crate) callers: u64,
    pub(crate) per_s: f64,
    /// Of a read and its commit, one after the other.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Commits that found another version than they had read.
    pub(crate) conflicts: u64,
    /// Of Redis for each of them.
    pub(crate) redis: RedisCost,
    /// Processor time of the client, µs.
    pub(crate) client_us: f64,
}

/// What this part found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) alone: Scripts,
    pub(crate) together: Scripts,
    /// The same script without its `INFO replication`.
    pub(crate) without_info: Scripts,
}

/// Which script, and who runs it.
#[derive(Clone)]
struct Bench {
    connections: Vec<MultiplexedConnection>,
    prefix: Arc<str>,
    incarnation: Arc<str>,
    sha: Arc<str>,
}

/// What several turns of one kind found.
struct Tally {
    latencies: Latencies,
    conflicts: u64,
    seconds: f64,
    client_ms: f64,
    redis: Vec<(RedisLook, RedisLook)>,
}

/// Measures below a prefix that nobody else uses, and prints what it found.
pub(crate) fn run(shared: &Shared, length: Duration, callers: u64) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut eye = connect(shared)?;
    let replication: String = redis::cmd("INFO").arg("replication").query(&mut eye)?;
    let incarnation = replication
        .lines()
        .find_map(|line| line.strip_prefix("master_replid:"));
    let incarnation = incarnation.and_then(|id| id.get(..16));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(runtime.block_on(client(shared)?.get_multiplexed_async_connection())?);
    }
    let mut load = |script: &str| -> Result<Arc<str>, Failure> {
        let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(script).query(&mut eye)?;
        Ok(sha.into())
    };
    let (whole, without) = (load(COMMIT_SCRIPT)?, load(&without_info(COMMIT_SCRIPT)?)?);
    let bench = |sha: &Arc<str>| Bench {
        connections: connections.clone(),
        prefix: shared.prefix.as_str().into(),
        incarnation: incarnation.unwrap_or_default().into(),
        sha: sha.clone(),
    };
    let (whole, without) = (bench(&whole), bench(&without));
    runtime.block_on(whole.fill())?;
    let mut measure = |bench: &Bench, callers: u64, length: Duration, tally: &mut Tally| {
        let before = (RedisLook::at(&mut eye)?, Usage::own(), Mono::now());
        runtime.block_on(bench.drive(callers, length, tally))?;
        tally.seconds += Mono::now().since(before.2).as_secs_f64();
        tally.client_ms += Usage::own().cpu_ms_since(&before.1);
        tally.redis.push((before.0, RedisLook::at(&mut eye)?));
        Ok::<_, Failure>(())
    };
    // The first second is the connections' own, and is nobody's.
    measure(&whole, callers, length / 4, &mut Tally::new())?;
    let (mut alone, mut together, mut bare) = (Tally::new(), Tally::new(), Tally::new());
    measure(&whole, 1, length / 2, &mut alone)?;
    for _ in 0..TURNS {
        measure(&whole, callers, length / TURNS, &mut together)?;
        measure(&without, callers, length / TURNS, &mut bare)?;
    }
    let found = Found {
        alone: alone.told(1)?,
        together: together.told(callers)?,
        without_info: bare.told(callers)?,
    };
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

/// The script as it would be if it did not ask whose history it writes into.
fn without_info(script: &str) -> Result<String, Failure> {
    let from = script.find("local info =");
    let to = script.find("local time =");
    let parts = from.zip(to).and_then(|(from, to)| {
        let (head, rest) = (script.get(..from)?, script.get(to..)?);
        Some([head, rest].concat())
    });
    Ok(parts.ok_or("the script asks INFO no more: there is nothing to leave out")?)
}

impl Bench {
    /// Every record is there before anything is measured.
    async fn fill(&self) -> Result<(), Failure> {
        let mut connection = self.connections.first().cloned().ok_or("no connection")?;
        for n in 0..ROWS {
            let mut pipeline = redis::pipe();
            for (key, length) in [
                ("p", PARTITION_BYTES),
                ("q", SEQUENCE_BYTES),
                ("s", ROW_BYTES),
                ("g", GATE_BYTES),
            ] {
                let value = vec![7_u8; 16 + length];
                pipeline.cmd("SET").arg(self.key(n, key)).arg(value).ignore();
            }
            pipeline.query_async::<()>(&mut connection).await?;
        }
        Ok(())
    }

    /// As long as those of a node: 16 bytes of a session's id, 8 of a subject's key.
    fn key(&self, n: u64, kind: &str) -> String {
        let tag = format!("{}{{{:03x}}}", self.prefix, n % 1_024);
        match kind {
            "s" | "t" => format!("{tag}{kind}{n:016}"),
            "g" => format!("{tag}{kind}{n:08}"),
            _ => format!("{tag}{kind}"),
        }
    }

    async fn drive(&self, callers: u64, length: Duration, tally: &mut Tally) -> Result<(), Failure> {
        let until = Mono::now().plus(length);
        let next = Arc::new(AtomicU64::new(0));
        let tasks = (0..callers).map(|_| {
            let (bench, next) = (self.clone(), next.clone());
            tokio::spawn(async move {
                let (mut latencies, mut conflicts) = (Latencies::new(3), 0);
                while Mono::now() < until {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let asked = Mono::now();
                    if bench.refresh(n).await? {
                        latencies.record(Mono::now().since(asked));
                    } else {
                        conflicts += 1;
                    }
                }
                Ok::<_, Failure>((latencies, conflicts))
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            let (latencies, conflicts) = task.await??;
            tally.latencies.add(&latencies);
            tally.conflicts += conflicts;
        }
        Ok(())
    }

    /// One read and one commit; whether it was one.
    async fn refresh(&self, turn: u64) -> Result<bool, Failure> {
        let n = turn % ROWS;
        let connection = usize::try_from(turn)?.checked_rem(self.connections.len());
        let connection = connection.and_then(|at| self.connections.get(at));
        let mut connection = connection.cloned().ok_or("no connection")?;
        let [p, q, s, t, g] = ["p", "q", "s", "t", "g"].map(|kind| self.key(n, kind));
        let mut read = redis::pipe();
        read.cmd("TIME").ignore();
        read.cmd("MGET").arg(&[&p, &q, &s, &g, &t]);
        let (values,): (Vec<Option<Vec<u8>>>,) = read.query_async(&mut connection).await?;
        let version = |at: usize| {
            let value = values.get(at).and_then(Option::as_ref);
            value.and_then(|value| value.get(..16)).unwrap_or_default()
        };
        let mut row = vec![7_u8; 16 + ROW_BYTES];
        if let Some(version) = row.first_chunk_mut::<8>() {
            *version = fastrand::u64(..).to_be_bytes();
        }
        let mut commit = redis::cmd("EVALSHA");
        commit.arg(&*self.sha).arg(6).arg(&[&p, &p, &s, &g, &t, &s]);
        commit
            .arg(&*self.incarnation)
            .arg(SystemClock.now().wall.as_unix_ms())
            .arg(DELTA_MS)
            .arg(4)
            .arg(1);
        for at in [0, 2, 3, 4] {
            commit.arg(version(at));
        }
        // The year 2100: nothing is collected while it is measured.
        commit.arg(row).arg(4_102_444_800_000_i64);
        let answer: Value = commit.query_async(&mut connection).await?;
        if answer == Value::Int(1) || answer == Value::Int(0) {
            return Ok(answer == Value::Int(1));
        }
        Err(format!("the bare script answered {answer:?}").into())
    }
}

impl Tally {
    fn new() -> Self {
        Self {
            latencies: Latencies::new(3),
            conflicts: 0,
            seconds: 0.0,
            client_ms: 0.0,
            redis: Vec::new(),
        }
    }

    fn told(&self, callers: u64) -> Result<Scripts, Failure> {
        let told = self.latencies.percentiles();
        let count = told.count.max(1) as f64;
        Ok(Scripts {
            callers,
            per_s: told.count as f64 / self.seconds,
            p50_ms: told.p50,
            p99_ms: told.p99,
            conflicts: self.conflicts,
            redis: RedisCost::of(&self.redis, told.count, self.seconds).ok_or("nothing was measured")?,
            client_us: self.client_ms * 1e3 / count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_the_question_for_the_history_alone() {
        let without = without_info(COMMIT_SCRIPT).unwrap();
        assert!(without.starts_with("#!lua") && without.contains("redis.call('TIME')"));
        assert!(!without.contains("redis.call('INFO'") && !without.contains("fenced'"));
        assert!(without_info("return 1").is_err());
    }
}

//! What a Redis says of itself: processor time, commands, bytes, memory.
//!
//! **Invariant:** a cost is a difference of two looks at the same server; others on it are counted too.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Client, Connection, ConnectionInfo, IntoConnectionInfo as _};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::shared::Shared;

/// How long a connection, and one answer, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Below a two-hundredth of a call for each request a command is somebody's probe.
const EACH_LEAST: f64 = 0.005;

/// A connection of our own to look through.
pub(crate) fn connect(shared: &Shared) -> Result<Connection, Failure> {
    let connection = client(shared)?.get_connection_with_timeout(PATIENCE);
    let connection = connection.map_err(|error| format!("no Redis answers at {}: {error}", shared.redis))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

/// A client for connections in plain text.
pub(crate) fn client(shared: &Shared) -> Result<Client, Failure> {
    let info: ConnectionInfo = shared
        .redis
        .as_str()
        .into_connection_info()
        .map_err(|error| format!("--redis takes redis://HOST:PORT, in plain text: {error}"))?;
    let mut settings = info.redis_settings().clone();
    if let Some(password) = &shared.redis_password {
        settings = settings.set_password(&password.0);
    }
    Ok(Client::open(info.set_redis_settings(settings))?)
}

/// A look at a server.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct RedisLook {
    cpu_us: f64,
    /// Calls of each command since the server's start.
    calls: BTreeMap<String, f64>,
    input_bytes: f64,
    output_bytes: f64,
    pub(crate) used_memory_bytes: f64,
    pub(crate) rss_bytes: f64,
}

/// What a run cost a Redis; of each answered request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RedisCost {
    /// Of the whole process, µs.
    pub(crate) total_us: f64,
    /// Cores kept busy.
    pub(crate) cores: f64,
    /// Calls of each command, those in scripts included.
    pub(crate) calls: BTreeMap<String, f64>,
    /// Bytes that it was sent, and that it answered.
    pub(crate) input_bytes: f64,
    pub(crate) output_bytes: f64,
    /// At the end, MiB.
    pub(crate) used_memory_mib: f64,
    pub(crate) rss_mib: f64,
}

impl RedisLook {
    pub(crate) fn at(connection: &mut Connection) -> Result<Self, Failure> {
        let text: String = redis::cmd("INFO").arg("everything").query(connection)?;
        Ok(Self::read(&text))
    }

    fn read(text: &str) -> Self {
        let mut look = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.trim().split_once(':')) {
            let number = || value.parse().unwrap_or(0.0);
            match name {
                "used_cpu_user" | "used_cpu_sys" => look.cpu_us += number() * 1e6,
                "total_net_input_bytes" => look.input_bytes = number(),
                "total_net_output_bytes" => look.output_bytes = number(),
                "used_memory" => look.used_memory_bytes = number(),
                "used_memory_rss" => look.rss_bytes = number(),
                _ => {
                    if let Some(command) = name.strip_prefix("cmdstat_") {
                        look.calls.insert(command.to_owned(), calls_of(value));
                    }
                }
            }
        }
        look
    }
}

impl RedisCost {
    /// What was spent between pairs of looks, of each of so many requests in so many seconds.
    pub(crate) fn of(looks: &[(RedisLook, RedisLook)], answered: u64, seconds: f64) -> Option<Self> {
        let (_, last) = looks.last()?;
        let spent = |of: &dyn Fn(&RedisLook) -> f64| {
            let spent: f64 = looks.iter().map(|(before, after)| of(after) - of(before)).sum();
            spent / answered.max(1) as f64
        };
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        let calls = last.calls.keys().map(|command| {
            let calls = |look: &RedisLook| look.calls.get(command).copied().unwrap_or(0.0);
            (command.clone(), spent(&calls))
        });
        let total_us = spent(&|look| look.cpu_us);
        Some(Self {
            total_us,
            cores: total_us * answered as f64 / 1e6 / seconds,
            calls: calls.filter(|(_, each)| *each >= EACH_LEAST).collect(),
            input_bytes: spent(&|look| look.input_bytes),
            output_bytes: spent(&|look| look.output_bytes),
            used_memory_mib: mib(last.used_memory_bytes),
            rss_mib: mib(last.rss_bytes),
        })
    }

    /// Reads outside scripts and scripts: each is one round trip.
    pub(crate) fn round_trips(&self) -> f64 {
        let calls = |command: &str| self.calls.get(command).copied().unwrap_or(0.0);
        // Every commit reads what it compares within its script.
        (calls("mget") - calls("evalsha")).max(0.0) + calls("evalsha")
    }
}

/// `calls=12,usec=…`.
fn calls_of(value: &str) -> f64 {
    let calls = value.split(',').find_map(|part| part.strip_prefix("calls="));
    calls.and_then(|calls| calls.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(calls: u32, cpu: f64) -> String {
        format!(
            "# CPU\r\nused_cpu_sys:{cpu}\r\nused_cpu_user:1.5\r\nused_cpu_sys_children:9\r\n# Memory\r\n\
             used_memory:1048576\r\nused_memory_rss:2097152\r\n# Stats\r\ntotal_net_input_bytes:{}\r\n\
             total_net_output_bytes:5\r\n# Commandstats\r\ncmdstat_evalsha:calls={calls},usec=7,\
             usec_per_call=1.00\r\ncmdstat_mget:calls={},usec=1\r\ncmdstat_config|get:calls=3,usec=1\r\n",
            calls * 100,
            calls * 2
        )
    }

    #[test]
    fn a_cost_is_what_was_spent_between_two_looks_for_each_request() {
        let (before, after) = (
            RedisLook::read(&text(10, 0.5)),
            RedisLook::read(&text(1_010, 0.52)),
        );
        let cost = RedisCost::of(&[(before, after)], 1_000, 2.0).unwrap();
        assert!((cost.total_us - 20.0).abs() < 1e-6, "{cost:?}");
        assert!((cost.cores - 0.01).abs() < 1e-9, "{cost:?}");
        assert_eq!((cost.calls["evalsha"], cost.calls["mget"]), (1.0, 2.0));
        assert!(
            !cost.calls.contains_key("config|get"),
            "it was not called: {cost:?}"
        );
        assert_eq!(
            (cost.round_trips(), cost.input_bytes, cost.output_bytes),
            (2.0, 100.0, 0.0)
        );
        assert_eq!((cost.used_memory_mib, cost.rss_mib), (1.0, 2.0));
        assert!(RedisCost::of(&[], 1, 1.0).is_none());
    }
}

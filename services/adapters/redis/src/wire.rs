//! One connection to one node that decides, and what is asked over it.
//!
//! **Invariant:** the incarnation of a connection was that of its server at some moment since it was
//! made; so what is read later is never older than it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use curfew_core::place::Incarnation;
use curfew_core::time::Millis;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};

use crate::dial::{Dial, Driver};
use crate::fault::{Effect, Fault};
use crate::options::Address;
use crate::replication::Replication;

/// The scripts that a server must have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Script {
    Commit,
    Prune,
}

impl Script {
    const fn source(self) -> &'static str {
        match self {
            Self::Commit => crate::COMMIT_SCRIPT,
            Self::Prune => include_str!("prune.lua"),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    connection: MultiplexedConnection,
    _driver: Driver,
    address: String,
    response: Duration,
    incarnation: AtomicU64,
    commit: String,
    prune: String,
    /// Answers that did not come in time since the last that did.
    pub(crate) silences: AtomicU32,
}

impl Wire {
    /// Connects to a node that decides, and gives it the scripts.
    pub(crate) async fn open(dial: &Dial, address: &Address) -> Result<Self, Fault> {
        let (connection, driver) = dial.connect(address).await?;
        let mut wire = Self {
            connection,
            _driver: driver,
            address: address.to_string(),
            response: Duration::from_millis(dial.response_ms),
            incarnation: AtomicU64::new(0),
            commit: String::new(),
            prune: String::new(),
            silences: AtomicU32::new(0),
        };
        let prepared = async {
            wire.probe().await?;
            wire.commit = wire.load(Script::Commit).await?;
            wire.prune = wire.load(Script::Prune).await?;
            Ok(())
        };
        prepared.await.map_err(Fault::before_sending)?;
        Ok(wire)
    }

    /// The newest known.
    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::Acquire).to_be_bytes())
    }

    pub(crate) fn learn(&self, incarnation: Incarnation) {
        let number = u64::from_be_bytes(incarnation.0);
        self.incarnation.store(number, Ordering::Release);
    }

    /// Whether the server lives and decides, and its incarnation.
    pub(crate) async fn probe(&self) -> Result<Replication, Fault> {
        let answer = self.ask(redis::cmd("INFO").arg("replication")).await?;
        let replication = text(&answer)
            .and_then(Replication::parse)
            .ok_or_else(|| Fault::unreadable("INFO replication"))?;
        let replication = replication
            .of_a_master()
            .map_err(|fault| fault.at(&self.address))?;
        self.learn(replication.incarnation);
        Ok(replication)
    }

    /// One command.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, Fault> {
        let mut connection = self.connection.clone();
        self.answered(async move { connection.send_packed_command(command).await })
            .await
            .and_then(|value| self.checked(value))
    }

    /// Several commands, one round trip.
    pub(crate) async fn ask_all(&self, commands: &Pipeline, count: usize) -> Result<Vec<Value>, Fault> {
        let mut connection = self.connection.clone();
        let values = self
            .answered(async move { connection.send_packed_commands(commands, 0, count).await })
            .await?;
        values.into_iter().map(|value| self.checked(value)).collect()
    }

    /// Runs a script; a server that has lost it is given it again, once.
    pub(crate) async fn run(
        &self,
        script: Script,
        keys: &[Vec<u8>],
        args: &[Vec<u8>],
    ) -> Result<Value, Fault> {
        let sha = match script {
            Script::Commit => &self.commit,
            Script::Prune => &self.prune,
        };
        let mut command = redis::cmd("EVALSHA");
        command.arg(sha).arg(keys.len());
        for part in keys.iter().chain(args) {
            command.arg(part.as_slice());
        }
        match self.ask(&command).await {
            Err(fault) if fault.effect == Effect::NoScript => {
                self.load(script).await.map_err(Fault::before_sending)?;
                self.ask(&command).await
            }
            answer => answer,
        }
    }

    async fn load(&self, script: Script) -> Result<String, Fault> {
        let answer = self
            .ask(redis::cmd("SCRIPT").arg("LOAD").arg(script.source()))
            .await?;
        let sha = text(&answer).map(str::to_owned);
        sha.ok_or_else(|| Fault::unreadable("SCRIPT LOAD"))
    }

    async fn answered<T>(&self, asking: impl Future<Output = redis::RedisResult<T>>) -> Result<T, Fault> {
        let answer = tokio::time::timeout(self.response, asking).await;
        let Ok(answer) = answer else {
            self.silences.fetch_add(1, Ordering::Relaxed);
            let ms = u64::try_from(self.response.as_millis()).unwrap_or(u64::MAX);
            return Err(Fault::silent(&self.address, ms));
        };
        if self.silences.load(Ordering::Relaxed) != 0 {
            self.silences.store(0, Ordering::Relaxed);
        }
        answer.map_err(|error| Fault::from(error).at(&self.address))
    }

    fn checked(&self, value: Value) -> Result<Value, Fault> {
        value
            .extract_error()
            .map_err(|error| Fault::from(error).at(&self.address))
    }
}

/// Text, in whichever form the server sends it.
pub(crate) fn text(value: &Value) -> Option<&str> {
    if let Value::BulkString(bytes) = value {
        return std::str::from_utf8(bytes).ok();
    }
    if let Value::SimpleString(text) = value {
        return Some(text);
    }
    None
}

/// Bytes; `None` is absence.
pub(crate) fn bytes(value: Value) -> Result<Option<Vec<u8>>, Fault> {
    if let Value::BulkString(bytes) = value {
        return Ok(Some(bytes));
    }
    if value == Value::Nil {
        return Ok(None);
    }
    Err(Fault::unreadable("MGET"))
}

/// What `TIME` answers: seconds and microseconds.
pub(crate) fn time_of(value: &Value) -> Option<Millis> {
    let Value::Array(parts) = value else { return None };
    let [seconds, micros] = parts.as_slice() else {
        return None;
    };
    let seconds: i64 = text(seconds)?.parse().ok()?;
    let micros: i64 = text(micros)?.parse().ok()?;
    Some(Millis::from_unix_seconds(seconds).plus_ms(micros / 1_000))
}

/// An array's values.
pub(crate) fn array(value: Value, what: &str) -> Result<Vec<Value>, Fault> {
    if let Value::Array(values) = value {
        return Ok(values);
    }
    Err(Fault::unreadable(what))
}

//! A commit as the script takes it, and its answer.
//!
//! **Invariant:** what a commit publishes is written under its outbox key by the same script.

use curfew_core::place::Version;
use curfew_core::record::Outgoing;
use curfew_core::stored::{Key, OutboxEntry, Record, Write};
use curfew_core::time::{DELTA_MS, Millis};
use curfew_ports::store::{Commit, CommitOutcome, Committed, KEYS_MAX, StoreError};
use curfew_wire::encode_record;
use redis::Value;

use crate::fault::Fault;
use crate::keys::Keys;
use crate::replication::{hex_of, incarnation_of};
use crate::wire::{Wire, text};

/// The largest record: a ledger of 1,000 sessions takes 60 kB, a row of 64 grants 40 kB.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// The end of the year 9999: what is collected later than this stays.
const COLLECT_AT_MAX_MS: i64 = 253_402_300_799_999;

/// Keys and arguments of the script.
#[derive(Debug)]
pub(crate) struct Request {
    version: Version,
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) args: Vec<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(keys: &Keys, commit: &Commit) -> Result<Self, StoreError> {
        let lengths = [commit.expected.len(), commit.writes.len(), commit.publish.len()];
        if lengths.iter().any(|length| *length > KEYS_MAX) {
            return Err(StoreError::Limit {
                what: "keys of a commit",
            });
        }
        let outbox = commit
            .publish
            .iter()
            .map(|outgoing| entry_of(outgoing, commit.now));
        let outbox = outbox.collect::<Result<Vec<_>, _>>()?;
        let writes = || commit.writes.iter().chain(&outbox);

        let partition = commit.partition;
        let version = Version::new(commit.incarnation, commit.nonce);
        let mut request = Self {
            version,
            keys: vec![keys.place_of(partition, &Key::Partition)],
            args: vec![
                hex_of(commit.incarnation).into_bytes(),
                number(commit.now.as_unix_ms()),
                number(DELTA_MS),
                commit.expected.len().to_string().into_bytes(),
                writes().count().to_string().into_bytes(),
            ],
        };
        for (key, version) in &commit.expected {
            request.keys.push(keys.place_of(partition, key));
            request
                .args
                .push(version.map_or_else(Vec::new, |version| version.0.to_vec()));
        }
        for (key, write) in writes() {
            request.keys.push(keys.place_of(partition, key));
            let (value, collect_at) = written(version, write)?;
            request.args.extend([value, collect_at]);
        }
        for (key, write) in writes() {
            if let Some(listed) = key.listed() {
                request.keys.push(keys.index_of(partition, listed));
                let command = match write {
                    Write::Put { .. } => b"ZADD",
                    Write::Delete => b"ZREM",
                };
                request.args.extend([command.to_vec(), key.to_bytes()]);
            }
        }
        Ok(request)
    }

    /// What the script answered. A fence teaches the connection which history it talks to now.
    pub(crate) fn outcome_of(&self, answer: Value, wire: &Wire) -> Result<CommitOutcome, Fault> {
        let unreadable = || Fault::unreadable("the commit script");
        if answer == Value::Int(1) {
            return Ok(CommitOutcome::Committed(Committed {
                version: self.version,
                positions: None,
            }));
        }
        if answer == Value::Int(0) {
            return Ok(CommitOutcome::Conflict);
        }
        let Value::Array(parts) = answer else {
            return Err(unreadable());
        };
        let [what, value] = parts.as_slice() else {
            return Err(unreadable());
        };
        match (text(what), value) {
            (Some("fenced"), value) => {
                let present = text(value).and_then(incarnation_of);
                wire.learn(present.ok_or_else(unreadable)?);
                Ok(CommitOutcome::Fenced)
            }
            (Some("clock"), Value::Int(ms)) => Ok(CommitOutcome::ClockSuspect {
                store_time: Millis::from_unix_ms(*ms),
            }),
            (Some(_) | None, _) => Err(unreadable()),
        }
    }
}

/// Value and time of collection, as the script takes them.
fn written(version: Version, write: &Write) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let Write::Put { record, collect_at } = write else {
        return Ok((Vec::new(), Vec::new()));
    };
    let record = encode_record(record);
    if record.len() > RECORD_BYTES_MAX {
        return Err(StoreError::Limit {
            what: "bytes of a record",
        });
    }
    let collect_at = collect_at
        .map(Millis::as_unix_ms)
        .filter(|at| *at <= COLLECT_AT_MAX_MS)
        // Redis takes no time before the epoch.
        .map_or_else(Vec::new, |at| number(at.max(1)));
    Ok(([version.0.as_slice(), &record].concat(), collect_at))
}

fn entry_of(outgoing: &Outgoing, now: Millis) -> Result<(Key, Write), StoreError> {
    let Some(id) = outgoing.record.event_id() else {
        return Err(StoreError::Limit {
            what: "only records with an id of their own are published",
        });
    };
    let entry = OutboxEntry {
        outgoing: outgoing.clone(),
        at: now,
        lacking: Vec::new(),
    };
    Ok((Key::Outbox(id), Write::put(Record::Outbox(entry))))
}

fn number(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

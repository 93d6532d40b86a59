//! The store port.
//!
//! **Invariant:** a record that cannot be read is told as such, never as absent; a commit whose outcome
//! is unknown is never repeated here.

use std::time::Duration;

use async_trait::async_trait;
use curfew_core::place::{Incarnation, Partition, Version};
use curfew_core::stored::{Key, Listed};
use curfew_core::time::{DELTA_MS, Millis};
use curfew_ports::store::{
    Commit, CommitOutcome, KEYS_MAX, PAGE_MAX, Page, Store, StoreError, Versioned, View,
};
use curfew_wire::{decode_key, decode_record};
use redis::Value;

use crate::Redis;
use crate::call::Ask;
use crate::commit::Request;
use crate::fault::Fault;
use crate::keys::Keys;
use crate::wire::{Script, Wire, array, bytes, time_of};

#[async_trait]
impl Store for Redis {
    async fn read(&self, partition: Partition, keys: &[Key]) -> Result<View, StoreError> {
        if keys.len() > KEYS_MAX {
            return Err(StoreError::Limit {
                what: "keys of a read",
            });
        }
        let read = Read::new(&self.inner.keys, partition, keys);
        let seen = self.call(partition, &read).await;
        let seen = seen.map_err(|fault| fault.of_store("read"))?;
        let values = keys.iter().zip(seen.values);
        let values = values.map(|(key, value)| versioned(key, value, "read"));
        Ok(View {
            incarnation: seen.incarnation,
            store_time: seen.store_time,
            values: values.collect::<Result<_, _>>()?,
        })
    }

    async fn commit(&self, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let request = Request::new(&self.inner.keys, &commit)?;
        let outcome = self.call(commit.partition, &request).await;
        outcome.map_err(|fault| fault.of_store("commit"))
    }

    async fn list(
        &self,
        partition: Partition,
        listed: Listed,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        if limit == 0 || limit > PAGE_MAX {
            return Err(StoreError::Limit {
                what: "records of a page",
            });
        }
        let listing = Listing {
            keys: &self.inner.keys,
            partition,
            listed,
            cursor,
            limit,
        };
        let found = self.call(partition, &listing).await;
        let (mut members, values) = found.map_err(|fault| fault.of_store("list"))?;
        let has_more = members.len() > limit;
        members.truncate(limit);
        let next = if has_more { members.last().cloned() } else { None };
        let mut records = Vec::with_capacity(members.len());
        for (member, value) in members.iter().zip(values) {
            let key = decode_key(member)
                .ok_or_else(|| Fault::unreadable("a key of a newer version").of_store("list"))?;
            // Collected by time, or gone since the index was read.
            if let Some(value) = versioned(&key, value, "list")? {
                records.push((key, value));
            }
        }
        Ok(Page { records, next })
    }

    fn kind(&self) -> &'static str {
        "redis"
    }
}

/// A read: the clock and the values, in one round trip.
struct Read {
    pipeline: redis::Pipeline,
    count: usize,
}

/// What a read saw.
struct Seen {
    incarnation: Incarnation,
    store_time: Millis,
    values: Vec<Value>,
}

impl Read {
    fn new(keys: &Keys, partition: Partition, asked: &[Key]) -> Self {
        let mut places: Vec<_> = asked.iter().map(|key| keys.place_of(partition, key)).collect();
        if places.is_empty() {
            // A key of the partition, so that another node of a cluster says that it is another one.
            places.push(keys.place_of(partition, &Key::Partition));
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME").cmd("MGET").arg(&places);
        Self {
            pipeline,
            count: places.len(),
        }
    }
}

impl Ask for Read {
    type Answer = Seen;
    const IS_HARMLESS: bool = true;
    const PATIENCE: Duration = Duration::MAX;

    async fn ask(&self, wire: &Wire) -> Result<Seen, Fault> {
        // Before the read is sent: an incarnation is never newer than what is read under it.
        let incarnation = wire.incarnation();
        let answers = wire.ask_all(&self.pipeline, 2).await?;
        let [time, values] =
            <[Value; 2]>::try_from(answers).map_err(|_| Fault::unreadable("TIME and MGET"))?;
        Ok(Seen {
            incarnation,
            store_time: time_of(&time).ok_or_else(|| Fault::unreadable("TIME"))?,
            values: values_of(values, self.count)?,
        })
    }
}

impl Ask for Request {
    type Answer = CommitOutcome;
    const IS_HARMLESS: bool = false;
    /// Its `now` grows old: later than this the script would only call our clock suspect.
    const PATIENCE: Duration = Duration::from_millis(DELTA_MS.unsigned_abs() * 4 / 5);

    async fn ask(&self, wire: &Wire) -> Result<CommitOutcome, Fault> {
        let answer = wire.run(Script::Commit, &self.keys, &self.args).await?;
        self.outcome_of(answer, wire)
    }
}

struct Listing<'a> {
    keys: &'a Keys,
    partition: Partition,
    listed: Listed,
    cursor: Option<Vec<u8>>,
    limit: usize,
}

impl Ask for Listing<'_> {
    type Answer = (Vec<Vec<u8>>, Vec<Value>);
    const IS_HARMLESS: bool = true;
    const PATIENCE: Duration = Duration::MAX;

    /// One member of the index more than `limit`, where there is one, and the values of the others.
    async fn ask(&self, wire: &Wire) -> Result<Self::Answer, Fault> {
        let index = self.keys.index_of(self.partition, self.listed);
        let from = self.cursor.as_ref();
        let from = from.map_or_else(
            || b"-".to_vec(),
            |cursor| [b"(".as_slice(), cursor.as_slice()].concat(),
        );
        let mut command = redis::cmd("ZRANGE");
        command.arg(&index).arg(from).arg("+").arg("BYLEX");
        command.arg("LIMIT").arg(0).arg(self.limit.saturating_add(1));
        let members = array(wire.ask(&command).await?, "ZRANGE")?;
        let members = members
            .into_iter()
            .map(|member| bytes(member)?.ok_or_else(|| Fault::unreadable("ZRANGE")))
            .collect::<Result<Vec<_>, _>>()?;
        let places: Vec<_> = members
            .iter()
            .take(self.limit)
            .map(|member| self.keys.place_of_bytes(self.partition, member))
            .collect();
        if places.is_empty() {
            return Ok((members, Vec::new()));
        }
        let mut command = redis::cmd("MGET");
        command.arg(&places);
        let values = values_of(wire.ask(&command).await?, places.len())?;
        prune(wire, index, &members, &places, &values).await;
        Ok((members, values))
    }
}

fn values_of(answer: Value, count: usize) -> Result<Vec<Value>, Fault> {
    let values = array(answer, "MGET")?;
    if values.len() != count {
        return Err(Fault::unreadable("MGET"));
    }
    Ok(values)
}

/// What was collected by time leaves the index, by whoever reads it.
async fn prune(wire: &Wire, index: Vec<u8>, members: &[Vec<u8>], places: &[Vec<u8>], values: &[Value]) {
    let mut keys = vec![index];
    let mut args = Vec::new();
    for ((member, place), value) in members.iter().zip(places).zip(values) {
        if *value == Value::Nil {
            keys.push(place.clone());
            args.push(member.clone());
        }
    }
    if args.is_empty() {
        return;
    }
    if let Err(fault) = wire.run(Script::Prune, &keys, &args).await {
        // The next reader does it.
        tracing::debug!(why = %fault, "an index was not pruned");
    }
}

/// A stored value: the version, then the record.
fn versioned(key: &Key, value: Value, what: &'static str) -> Result<Option<Versioned>, StoreError> {
    let Some(value) = bytes(value).map_err(|fault| fault.of_store(what))? else {
        return Ok(None);
    };
    let corrupt = |why: String| StoreError::Corrupt {
        key: key.clone(),
        why,
    };
    let (version, record) = value
        .split_first_chunk::<16>()
        .ok_or_else(|| corrupt("it is shorter than a version".to_owned()))?;
    Ok(Some(Versioned {
        version: Version(*version),
        record: decode_record(record).map_err(|error| corrupt(error.to_string()))?,
    }))
}

//! The store port.
//!
//! **Invariant:** a record that cannot be read is told as such, never as absent.

use async_trait::async_trait;
use curfew_core::place::{Partition, Version};
use curfew_core::record::Outgoing;
use curfew_core::stored::{Key, Listed, Write};
use curfew_ports::store::{
    Commit, CommitOutcome, KEYS_MAX, PAGE_MAX, Page, Store, StoreError, Versioned, View,
};
use curfew_wire::{decode_key, decode_record, encode_log, encode_record};
use redb::ReadableDatabase;

use crate::Embedded;
use crate::batch::{CommitJob, NewRecord, Published};
use crate::fault::Fault;
use crate::schema::{RECORDS, place_of, place_of_bytes, unpack};
use crate::writer::Request;

/// The largest record: a ledger of 1,000 sessions takes 60 kB, a row of 64 grants 40 kB.
const RECORD_BYTES_MAX: usize = 1 << 20;

#[async_trait]
impl Store for Embedded {
    async fn read(&self, partition: Partition, keys: &[Key]) -> Result<View, StoreError> {
        if keys.len() > KEYS_MAX {
            return Err(StoreError::Limit {
                what: "keys of a read",
            });
        }
        let places: Vec<_> = keys.iter().map(|key| place_of(partition, key)).collect();
        // Before the read begins: an incarnation is never newer than what is read under it.
        let incarnation = self.inner.shared.incarnation();
        let found = self.reading(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            let values = places.iter().map(|place| match table.get(place.as_slice())? {
                None => Ok(None),
                Some(value) => owned(value.value()).map(Some),
            });
            values.collect::<Result<Vec<_>, Fault>>()
        });
        let found = found.await.map_err(|fault| fault.of_store("read"))?;
        let values = keys.iter().zip(found).map(|(key, value)| {
            value
                .map(|(version, bytes)| versioned(key, version, &bytes))
                .transpose()
        });
        Ok(View {
            incarnation,
            store_time: self.inner.shared.store_time(),
            values: values.collect::<Result<_, _>>()?,
        })
    }

    async fn commit(&self, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let job = job_of(&commit)?;
        let answer = self.ask(|reply| Request::Commit { job, reply }).await;
        answer.map_err(|fault| fault.of_store("commit"))
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
        let found = self.reading(|database| page(database, partition, listed, cursor.as_deref(), limit));
        let mut found = found.await.map_err(|fault| fault.of_store("list"))?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = if has_more {
            found.last().map(|(key, _, _)| key.to_bytes())
        } else {
            None
        };
        let records = found.into_iter().map(|(key, version, bytes)| {
            let value = versioned(&key, version, &bytes)?;
            Ok((key, value))
        });
        Ok(Page {
            records: records.collect::<Result<_, StoreError>>()?,
            next,
        })
    }

    fn is_log(&self) -> bool {
        true
    }

    fn kind(&self) -> &'static str {
        "embedded"
    }
}

fn owned(value: &[u8]) -> Result<(Version, Vec<u8>), Fault> {
    unpack(value).map(|(version, _, record)| (version, record.to_vec()))
}

fn versioned(key: &Key, version: Version, bytes: &[u8]) -> Result<Versioned, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt {
        key: key.clone(),
        why,
    };
    let record = decode_record(bytes).map_err(|error| corrupt(error.to_string()))?;
    Ok(Versioned { version, record })
}

/// One record more than `limit`, where there is one.
fn page(
    database: &redb::Database,
    partition: Partition,
    listed: Listed,
    cursor: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Key, Version, Vec<u8>)>, Fault> {
    // The kinds of a list begin with one letter of their own, so no other record is walked over but
    // the directory's three single ones.
    let (from, to): (&[u8], &[u8]) = match listed {
        Listed::Directory => (b"d", b"e"),
        Listed::Outbox => (b"x", b"y"),
    };
    let first = place_of_bytes(partition, cursor.map_or(from, |cursor| cursor.max(from)));
    let end = place_of_bytes(partition, to);
    let table = database.begin_read()?.open_table(RECORDS)?;
    let mut found = Vec::new();
    if first >= end {
        return Ok(found);
    }
    for entry in table.range(first.as_slice()..end.as_slice())? {
        let (place, value) = entry?;
        let bytes = place.value().get(2..).unwrap_or_default();
        if cursor.is_some_and(|cursor| bytes <= cursor) {
            continue;
        }
        let key = decode_key(bytes).ok_or_else(|| Fault::new("a stored key is of a newer version"))?;
        if key.listed() != Some(listed) {
            continue;
        }
        let (version, record) = owned(value.value())?;
        found.push((key, version, record));
        if found.len() > limit {
            break;
        }
    }
    Ok(found)
}

fn job_of(commit: &Commit) -> Result<CommitJob, StoreError> {
    if commit.expected.len() > KEYS_MAX || commit.writes.len() > KEYS_MAX || commit.publish.len() > KEYS_MAX {
        return Err(StoreError::Limit {
            what: "keys of a commit",
        });
    }
    let expected = commit.expected.iter();
    let writes = commit.writes.iter().map(|(key, write)| {
        let record = match write {
            Write::Put { record, collect_at } => Some(NewRecord {
                bytes: bounded(encode_record(record))?,
                collect_at: *collect_at,
            }),
            Write::Delete => None,
        };
        Ok((place_of(commit.partition, key), record))
    });
    Ok(CommitJob {
        incarnation: commit.incarnation,
        now: commit.now,
        nonce: commit.nonce,
        expected: expected
            .map(|(key, version)| (place_of(commit.partition, key), *version))
            .collect(),
        writes: writes.collect::<Result<_, StoreError>>()?,
        publish: commit.publish.iter().map(published).collect::<Result<_, _>>()?,
    })
}

fn published(outgoing: &Outgoing) -> Result<Published, StoreError> {
    if outgoing.record.event_id().is_none() {
        return Err(StoreError::Limit {
            what: "only records with an id of their own are published",
        });
    }
    let envelope = bounded(encode_log(&outgoing.record))?;
    Ok(Published {
        home: outgoing.home,
        wide: outgoing.wide,
        envelope,
    })
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(StoreError::Limit {
            what: "bytes of a record",
        });
    }
    Ok(bytes)
}

//! Samples: every kind of record, once with every field set and once with none that may be absent.
//!
//! Codecs and stores are tested with them. All lie in [`Partition::DIRECTORY`]; keys are distinct.
//!
//! **Invariant:** a kind that is added to the core without a sample fails a test here.

mod directory;
mod log;
mod subject;

use std::sync::Arc;

use curfew_core::ids::{GrantId, RecordId, SessionId, SubjectKey, TenantId};
use curfew_core::place::{Incarnation, LogIdentity, Partition};
use curfew_core::record::Outgoing;
use curfew_core::stored::{Checkpoint, Key, OutboxEntry, PartitionRecord, Record};
use curfew_core::time::Millis;

pub use log::{sample_log_records, sample_revocation};

/// An instant that real records have: 2025-10-09, plus `ms`.
#[must_use]
pub const fn instant(ms: i64) -> Millis {
    Millis::from_unix_ms(1_760_000_000_000 + ms)
}

/// The `n`th sample tenant.
#[must_use]
pub fn tenant_id(n: u8) -> TenantId {
    TenantId::from_random([n; 16])
}

/// The `n`th sample id of a record.
#[must_use]
pub fn record_id(n: u64) -> RecordId {
    let [a, b, c, d, e, f, g, h] = n.to_be_bytes();
    RecordId::from_random([a, b, c, d, e, f, 0, g, 0, h, 0, 0, 0, 0, 0, 1])
}

/// The `n`th sample session, born `n` ms after the first one.
#[must_use]
pub fn session_id(n: u32) -> SessionId {
    let [a, b, c, d] = n.to_be_bytes();
    SessionId::new(
        instant(i64::from(n)),
        Partition::DIRECTORY,
        [0, 0, 0, 0, a, b, c, d],
    )
}

/// The `n`th sample grant.
#[must_use]
pub fn grant_id(n: u32) -> GrantId {
    let [a, b, c, d] = n.to_be_bytes();
    GrantId::new(
        instant(i64::from(n)),
        Partition::DIRECTORY,
        [1, 0, 0, 0, a, b, c, d],
    )
}

/// The `n`th sample subject; its first ten bits are zero.
#[must_use]
pub const fn subject_key(n: u8) -> SubjectKey {
    SubjectKey([0, 0x3f, n, 0xff, 0, 1, 2, 3])
}

/// The sample log, of eight partitions.
#[must_use]
pub const fn log_identity() -> LogIdentity {
    LogIdentity {
        log_id: [0xa7; 16],
        partitions: 8,
    }
}

const fn incarnation(n: u8) -> Incarnation {
    Incarnation([n, 0, 0xff, 0x80, 1, 2, 3, n])
}

fn text(value: &str) -> Arc<str> {
    value.into()
}

fn texts(values: &[&str]) -> Vec<Arc<str>> {
    values.iter().map(|value| text(value)).collect()
}

/// One of every kind of stored record, with every field set and with none.
#[must_use]
pub fn sample_records() -> Vec<(Key, Record)> {
    let mut records = of_the_partition();
    records.extend(outbox());
    records.extend(subject::records());
    records.extend(directory::records());
    records
}

fn of_the_partition() -> Vec<(Key, Record)> {
    let partition = PartitionRecord {
        incarnation: incarnation(1),
        opened: instant(1),
        floor: Millis::ZERO,
        log: log_identity(),
    };
    let checkpoint = Checkpoint {
        offset: u64::MAX,
        incarnation: incarnation(2),
        at: instant(2),
    };
    vec![
        (Key::Partition, Record::Partition(partition)),
        (Key::Sequence, Record::Sequence(u64::MAX)),
        (Key::Checkpoint, Record::Checkpoint(checkpoint)),
        (Key::DirectoryVersion, Record::DirectoryVersion),
        (Key::LogIdentity, Record::LogIdentity(log_identity())),
    ]
}

fn outbox() -> Vec<(Key, Record)> {
    let events = sample_log_records()
        .into_iter()
        .filter_map(|record| Some((record.event_id()?, record)));
    let entries = events.enumerate().map(|(n, (id, record))| {
        let wide = n % 2 == 1;
        let outgoing = Outgoing {
            home: Partition::DIRECTORY,
            wide,
            record,
        };
        let lacking = if wide { vec![0, 7] } else { Vec::new() };
        (
            Key::Outbox(id),
            Record::Outbox(OutboxEntry {
                outgoing,
                at: instant(3),
                lacking,
            }),
        )
    });
    entries.collect()
}

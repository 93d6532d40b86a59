//! Sample records of the log.

use std::sync::Arc;

use curfew_core::ids::{Cause, OperationId, SubjectId};
use curfew_core::place::{LogPartition, Partition};
use curfew_core::record::{
    Before, Criterion, DirectoryChange, Heartbeat, Initiator, LogRecord, OperationRef, PreviousHeartbeat,
    Revocation, Skip, SubjectChange, SubjectState,
};

use super::{incarnation, instant, log_identity, record_id, session_id, subject_key, tenant_id, text};

/// One of every kind of log record that can be read, with every field set and with none. Revocations
/// are valid.
#[must_use]
pub fn sample_log_records() -> Vec<LogRecord> {
    let mut records: Vec<_> = (60..64)
        .map(|n| LogRecord::Revocation(Arc::new(sample_revocation(n))))
        .collect();
    records.extend(heartbeats().map(LogRecord::Heartbeat));
    records.extend(states().map(|state| LogRecord::SubjectState(Arc::new(state))));
    records.extend(changes().map(|change| LogRecord::Directory(Arc::new(change))));
    records.push(LogRecord::Skip(Skip {
        log: log_identity(),
        partition: LogPartition(7),
        offset: u64::MAX,
        record_hash: [0x5c; 32],
        by: text("operator"),
        reason: text("written by a newer version"),
    }));
    records
}

const fn operation(n: u8) -> OperationRef {
    OperationRef {
        id: OperationId::from_bytes([n; 16]),
        request_hash: [n; 32],
    }
}

/// A valid revocation with the id `record_id(n)`; four of them in a row differ in every field.
#[must_use]
pub fn sample_revocation(n: u64) -> Revocation {
    let bare = Revocation {
        id: record_id(n),
        operation: None,
        tenant: tenant_id(1),
        issuer: tenant_id(1).own_issuer(),
        all_of: vec![Criterion::new("jti", "any text 🙂")],
        before: None,
        except: Vec::new(),
        keep_until: instant(1_000_000),
        decided_at: instant(60),
        cause: Cause::new("admin").unwrap(),
        initiator: Initiator::Admin,
        home: Partition::DIRECTORY,
        wide: false,
        sequence: 0,
        incarnation: None,
        subject_key: None,
        row: None,
        scope: text("token"),
        correlation_id: None,
        trace: None,
    };
    let before = |claim, ms| {
        Some(Before {
            claim: text(claim),
            instant: instant(ms),
        })
    };
    match n % 4 {
        0 => bare,
        1 => Revocation {
            operation: Some(operation(61)),
            all_of: vec![Criterion::new("oid", "alice")],
            before: before("sid", 61),
            except: vec![session_id(1), session_id(2)],
            initiator: Initiator::User,
            sequence: u64::MAX,
            incarnation: Some(incarnation(4)),
            subject_key: Some(subject_key(1)),
            row: Some(session_id(3)),
            scope: text("subject"),
            correlation_id: Some(text("correlation-1")),
            ..bare
        },
        2 => Revocation {
            all_of: vec![
                Criterion::new("client_id", "web"),
                Criterion::new("deviceid", "d"),
            ],
            before: before("gid", 10_060),
            initiator: Initiator::Policy,
            wide: true,
            scope: text("client"),
            ..bare
        },
        _ => Revocation {
            all_of: vec![Criterion::new("jose.kid", "key-1")],
            initiator: Initiator::System,
            wide: true,
            scope: text("key"),
            ..bare
        },
    }
}

fn heartbeats() -> impl Iterator<Item = Heartbeat> {
    let bare = Heartbeat {
        id: record_id(70),
        log: log_identity(),
        stamp: instant(70),
        emitter: text("authority-1"),
        interval_ms: 1_000,
        previous: None,
    };
    let previous = Some(PreviousHeartbeat {
        id: record_id(70),
        records_between: 3,
    });
    [
        bare.clone(),
        Heartbeat {
            id: record_id(71),
            previous,
            ..bare
        },
    ]
    .into_iter()
}

fn states() -> impl Iterator<Item = SubjectState> {
    let disable = SubjectState {
        id: record_id(72),
        operation: Some(operation(72)),
        tenant: tenant_id(1),
        subject: SubjectId::new("älice").unwrap(),
        subject_key: subject_key(1),
        partition: Partition::DIRECTORY,
        sequence: 72,
        incarnation: Some(incarnation(5)),
        change: SubjectChange::Disable,
        decided_at: instant(72),
        cause: Cause::new("left-the-company").unwrap(),
        trace: None,
    };
    let enable = SubjectState {
        id: record_id(73),
        operation: None,
        incarnation: None,
        change: SubjectChange::Enable {
            lifts: vec![record_id(72), record_id(74)],
        },
        ..disable.clone()
    };
    [disable, enable].into_iter()
}

fn changes() -> impl Iterator<Item = DirectoryChange> {
    let change = DirectoryChange {
        id: record_id(75),
        operation: Some(operation(75)),
        name: text("tenants/t/clients/web"),
        version: instant(75),
        body: Some(vec![0, 0xff, 1]),
        sequence: 75,
        incarnation: Some(incarnation(6)),
        trace: None,
    };
    let deletion = DirectoryChange {
        id: record_id(76),
        operation: None,
        body: None,
        incarnation: None,
        ..change.clone()
    };
    [change, deletion].into_iter()
}

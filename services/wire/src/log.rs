//! The records of the log, as `curfew.log.v1.Envelope`.
//!
//! **Invariant:** decoding is total: what this version cannot read stays as the bytes that lie on
//! the log, and encodes to them again.

use std::sync::Arc;

use curfew_core::ids::{RecordId, SubjectKey, TenantId};
use curfew_core::place::{LogPartition, PARTITIONS};
use curfew_core::record::{
    DirectoryChange, Heartbeat, LogRecord, PreviousHeartbeat, READER, Skip, SubjectChange, SubjectState,
    UnknownRecord,
};
use curfew_proto::log::v1 as log;
use curfew_proto::log::v1::envelope::Body;
use prost::Message;

use crate::error::{DecodeError, Why};
use crate::field::{
    Decoded, bytes_of, fixed, id, ids, log_identity, log_partition, message, ms, operation, operation_bytes,
    optional_incarnation, optional_message, partition, text,
};
use crate::revocation::{decode_revocation, encode_revocation};

/// The longest `traceparent` that is carried: version 00 has 55 characters, later ones may have more.
const TRACE_LEN_MAX: usize = 256;

/// The bytes of a record, as they lie on the log.
#[must_use]
pub fn encode_log(record: &LogRecord) -> Vec<u8> {
    let (kind, body) = match record {
        LogRecord::Revocation(revocation) => (
            log::Kind::Revocation,
            Body::Revocation(encode_revocation(revocation)),
        ),
        LogRecord::Heartbeat(heartbeat) => {
            (log::Kind::Heartbeat, Body::Heartbeat(encode_heartbeat(heartbeat)))
        }
        LogRecord::SubjectState(state) => (log::Kind::SubjectState, Body::SubjectState(encode_state(state))),
        LogRecord::Directory(change) => (
            log::Kind::DirectoryRecord,
            Body::DirectoryRecord(encode_directory(change)),
        ),
        LogRecord::Skip(skip) => (log::Kind::Skip, Body::Skip(encode_skip(skip))),
        LogRecord::Unknown(unknown) => return unknown.raw.to_vec(),
        // Only a hub's stream says this, and it says it with no bytes; no log ever holds it.
        LogRecord::Withheld => return Vec::new(),
    };
    log::Envelope {
        format: READER,
        // Every kind of the first version can be read by its first reader.
        min_reader: 1,
        kind: kind.into(),
        trace: record.trace().map(ToString::to_string).unwrap_or_default(),
        body: Some(body),
    }
    .encode_to_vec()
}

/// The record that these bytes are, or why this version cannot tell.
#[must_use]
pub fn decode_log(bytes: &[u8]) -> LogRecord {
    read(bytes).unwrap_or_else(|error| {
        LogRecord::Unknown(UnknownRecord {
            raw: bytes.into(),
            why: error.to_string().into(),
        })
    })
}

fn read(bytes: &[u8]) -> Decoded<LogRecord> {
    let mut envelope =
        log::Envelope::decode(bytes).map_err(|_| DecodeError::new("envelope", Why::NotAMessage))?;
    let trace = std::mem::take(&mut envelope.trace);
    let mut record = read_body(envelope)?;
    // Whatever it is, it steers nothing; what cannot be one is left out rather than carried on.
    if (1..=TRACE_LEN_MAX).contains(&trace.len()) && trace.bytes().all(|byte| byte.is_ascii_graphic()) {
        record.set_trace(&trace.into());
    }
    Ok(record)
}

fn read_body(envelope: log::Envelope) -> Decoded<LogRecord> {
    if envelope.format == 0 {
        return Err(DecodeError::missing("format"));
    }
    match envelope.min_reader {
        0 => return Err(DecodeError::missing("min_reader")),
        1..=READER => {}
        newer => return Err(DecodeError::unknown("min_reader", newer)),
    }
    let kind = log::Kind::try_from(envelope.kind).map_err(|_| DecodeError::unknown("kind", envelope.kind))?;
    match (kind, envelope.body) {
        (log::Kind::Revocation, Some(Body::Revocation(revocation))) => decode_revocation(revocation)
            .map(|revocation| LogRecord::Revocation(Arc::new(revocation)))
            .map_err(|error| error.under("revocation")),
        (log::Kind::Heartbeat, Some(Body::Heartbeat(heartbeat))) => decode_heartbeat(heartbeat)
            .map(LogRecord::Heartbeat)
            .map_err(|error| error.under("heartbeat")),
        (log::Kind::SubjectState, Some(Body::SubjectState(state))) => decode_state(state)
            .map(|state| LogRecord::SubjectState(Arc::new(state)))
            .map_err(|error| error.under("subject_state")),
        (log::Kind::DirectoryRecord, Some(Body::DirectoryRecord(change))) => decode_directory(change)
            .map(|change| LogRecord::Directory(Arc::new(change)))
            .map_err(|error| error.under("directory_record")),
        (log::Kind::Skip, Some(Body::Skip(skip))) => decode_skip(skip)
            .map(LogRecord::Skip)
            .map_err(|error| error.under("skip")),
        (log::Kind::Unspecified, _) => Err(DecodeError::missing("kind")),
        (
            log::Kind::Revocation
            | log::Kind::Heartbeat
            | log::Kind::SubjectState
            | log::Kind::DirectoryRecord
            | log::Kind::Skip,
            None,
        ) => Err(DecodeError::missing("body")),
        (kind, Some(_)) => Err(DecodeError::invalid(
            "body",
            format_args!("not the one that {} names", kind.as_str_name()),
        )),
    }
}

fn encode_heartbeat(heartbeat: &Heartbeat) -> log::Heartbeat {
    log::Heartbeat {
        id: heartbeat.id.as_bytes().to_vec(),
        log_id: heartbeat.log.log_id.to_vec(),
        partitions: heartbeat.log.partitions.into(),
        store_partitions: PARTITIONS.into(),
        stamp_ms: heartbeat.stamp.as_unix_ms(),
        emitter: heartbeat.emitter.to_string(),
        interval_ms: heartbeat.interval_ms,
        previous: heartbeat.previous.map(|previous| log::PreviousHeartbeat {
            id: previous.id.as_bytes().to_vec(),
            records_between: previous.records_between,
        }),
    }
}

fn decode_heartbeat(heartbeat: log::Heartbeat) -> Decoded<Heartbeat> {
    let names = ["log_id", "partitions", "store_partitions"];
    Ok(Heartbeat {
        id: id(&heartbeat.id, "id", RecordId::from_bytes)?,
        log: log_identity(
            &heartbeat.log_id,
            heartbeat.partitions,
            Some(heartbeat.store_partitions),
            names,
        )?,
        stamp: ms(heartbeat.stamp_ms),
        emitter: heartbeat.emitter.into(),
        interval_ms: heartbeat.interval_ms,
        previous: optional_message(heartbeat.previous, "previous", |previous| {
            let id = id(&previous.id, "id", RecordId::from_bytes)?;
            Ok(PreviousHeartbeat {
                id,
                records_between: previous.records_between,
            })
        })?,
    })
}

fn encode_state(state: &SubjectState) -> log::SubjectState {
    let (operation_id, request_hash) = operation_bytes(state.operation.as_ref());
    let change = match &state.change {
        SubjectChange::Disable => log::subject_state::Change::Disable(log::Disable {}),
        SubjectChange::Enable { lifts } => log::subject_state::Change::Enable(log::Enable {
            lifts: lifts.iter().map(|id| id.as_bytes().to_vec()).collect(),
        }),
    };
    log::SubjectState {
        id: state.id.as_bytes().to_vec(),
        operation_id,
        request_hash,
        tenant: state.tenant.as_bytes().to_vec(),
        subject: state.subject.to_string(),
        subject_key: state.subject_key.0.to_vec(),
        partition: state.partition.number().into(),
        sequence: state.sequence,
        incarnation: bytes_of(state.incarnation),
        change: Some(change),
        decided_at_ms: state.decided_at.as_unix_ms(),
        cause: state.cause.to_string(),
        ..Default::default()
    }
}

fn decode_state(state: log::SubjectState) -> Decoded<SubjectState> {
    Ok(SubjectState {
        id: id(&state.id, "id", RecordId::from_bytes)?,
        operation: operation(&state.operation_id, &state.request_hash)?,
        tenant: id(&state.tenant, "tenant", TenantId::from_bytes)?,
        subject: text(&state.subject, "subject")?,
        subject_key: SubjectKey(fixed(&state.subject_key, "subject_key")?),
        partition: partition(state.partition, "partition")?,
        sequence: state.sequence,
        incarnation: optional_incarnation(&state.incarnation, "incarnation")?,
        change: message(state.change, "change", |change| match change {
            log::subject_state::Change::Disable(log::Disable {}) => Ok(SubjectChange::Disable),
            log::subject_state::Change::Enable(enable) => Ok(SubjectChange::Enable {
                lifts: ids(&enable.lifts, "lifts", RecordId::from_bytes)?,
            }),
        })?,
        decided_at: ms(state.decided_at_ms),
        cause: text(&state.cause, "cause")?,
        trace: None,
    })
}

fn encode_directory(change: &DirectoryChange) -> log::DirectoryRecord {
    let (operation_id, request_hash) = operation_bytes(change.operation.as_ref());
    let content = match &change.body {
        Some(body) => log::directory_record::Content::SealedBody(body.clone()),
        None => log::directory_record::Content::Deleted(log::Deleted {}),
    };
    log::DirectoryRecord {
        id: change.id.as_bytes().to_vec(),
        operation_id,
        request_hash,
        name: change.name.to_string(),
        version: Some(log::DirectoryVersion {
            logical_ms: change.version.as_unix_ms(),
            id: change.id.as_bytes().to_vec(),
        }),
        content: Some(content),
        sequence: change.sequence,
        incarnation: bytes_of(change.incarnation),
    }
}

fn decode_directory(change: log::DirectoryRecord) -> Decoded<DirectoryChange> {
    let record_id = id(&change.id, "id", RecordId::from_bytes)?;
    if change.name.is_empty() {
        return Err(DecodeError::missing("name"));
    }
    Ok(DirectoryChange {
        id: record_id,
        operation: operation(&change.operation_id, &change.request_hash)?,
        name: change.name.into(),
        version: message(change.version, "version", |version| {
            // The core breaks a tie of instants by the record's own id, so another one cannot be kept.
            if id(&version.id, "id", RecordId::from_bytes)? != record_id {
                return Err(DecodeError::invalid("id", "not the record's own"));
            }
            Ok(ms(version.logical_ms))
        })?,
        body: message(change.content, "content", |content| match content {
            log::directory_record::Content::SealedBody(body) => Ok(Some(body)),
            log::directory_record::Content::Deleted(log::Deleted {}) => Ok(None),
        })?,
        sequence: change.sequence,
        incarnation: optional_incarnation(&change.incarnation, "incarnation")?,
        trace: None,
    })
}

fn encode_skip(skip: &Skip) -> log::Skip {
    log::Skip {
        log_id: skip.log.log_id.to_vec(),
        partition: skip.partition.0.into(),
        position: skip.offset,
        record_hash: skip.record_hash.to_vec(),
        by: skip.by.to_string(),
        reason: skip.reason.to_string(),
        log_partitions: skip.log.partitions.into(),
    }
}

fn decode_skip(skip: log::Skip) -> Decoded<Skip> {
    let names = ["log_id", "log_partitions", ""];
    Ok(Skip {
        log: log_identity(&skip.log_id, skip.log_partitions, None, names)?,
        partition: LogPartition(log_partition(skip.partition, "partition")?),
        offset: skip.position,
        record_hash: fixed(&skip.record_hash, "record_hash")?,
        by: skip.by.into(),
        reason: skip.reason.into(),
    })
}

#[cfg(test)]
mod tests;

//! A partition's own records, operations, single-use items and the outbox.
//!
//! **Invariant:** an outbox entry keeps the envelope as it will lie on the log.

use curfew_core::ids::{OperationId, RecordId};
use curfew_core::place::{LogIdentity, PARTITIONS};
use curfew_core::record::Outgoing;
use curfew_core::stored::{Checkpoint, Operation, OutboxEntry, PartitionRecord, SingleUse};
use curfew_proto::row::v1 as row;

use super::{SCHEMA, own_schema};
use crate::error::DecodeError;
use crate::field::{Decoded, each, fixed, id, ids, incarnation, log_identity, log_partition, ms, partition};
use crate::log::{decode_log, encode_log};

pub(super) fn encode_partition(record: &PartitionRecord) -> row::Partition {
    row::Partition {
        schema: SCHEMA,
        incarnation: record.incarnation.0.to_vec(),
        opened_ms: record.opened.as_unix_ms(),
        floor_ms: record.floor.as_unix_ms(),
        log_id: record.log.log_id.to_vec(),
        log_partitions: record.log.partitions.into(),
        ..Default::default()
    }
}

pub(super) fn decode_partition(record: row::Partition) -> Decoded<PartitionRecord> {
    own_schema(record.schema)?;
    Ok(PartitionRecord {
        incarnation: incarnation(&record.incarnation, "incarnation")?,
        opened: ms(record.opened_ms),
        floor: ms(record.floor_ms),
        log: log_identity(
            &record.log_id,
            record.log_partitions,
            None,
            ["log_id", "log_partitions", ""],
        )?,
    })
}

pub(super) fn encode_checkpoint(record: &Checkpoint) -> row::Checkpoint {
    row::Checkpoint {
        next_offset: record.offset,
        incarnation: record.incarnation.0.to_vec(),
        moved_at_ms: record.at.as_unix_ms(),
        ..Default::default()
    }
}

pub(super) fn decode_checkpoint(record: row::Checkpoint) -> Decoded<Checkpoint> {
    Ok(Checkpoint {
        offset: record.next_offset,
        incarnation: incarnation(&record.incarnation, "incarnation")?,
        at: ms(record.moved_at_ms),
    })
}

pub(super) fn encode_log_identity(record: &LogIdentity) -> row::LogIdentity {
    row::LogIdentity {
        log_id: record.log_id.to_vec(),
        partitions: record.partitions.into(),
        store_partitions: PARTITIONS.into(),
        ..Default::default()
    }
}

pub(super) fn decode_log_identity(record: row::LogIdentity) -> Decoded<LogIdentity> {
    let names = ["log_id", "partitions", "store_partitions"];
    log_identity(
        &record.log_id,
        record.partitions,
        Some(record.store_partitions),
        names,
    )
}

pub(super) fn encode_operation(record: &Operation) -> row::Operation {
    row::Operation {
        id: record.id.as_bytes().to_vec(),
        request_hash: record.request_hash.to_vec(),
        result: record.result.to_vec(),
        record_ids: record.records.iter().map(|id| id.as_bytes().to_vec()).collect(),
        at_ms: record.at.as_unix_ms(),
        ..Default::default()
    }
}

pub(super) fn decode_operation(record: row::Operation) -> Decoded<Operation> {
    Ok(Operation {
        id: id(&record.id, "id", OperationId::from_bytes)?,
        request_hash: fixed(&record.request_hash, "request_hash")?,
        result: record.result.into(),
        records: ids(&record.record_ids, "record_ids", RecordId::from_bytes)?,
        at: ms(record.at_ms),
    })
}

pub(super) fn encode_single_use(record: &SingleUse) -> row::SingleUseItem {
    row::SingleUseItem {
        issued_at_ms: record.issued_at.as_unix_ms(),
        expires_at_ms: record.expires_at.as_unix_ms(),
        body: record.body.to_vec(),
        used: record.used,
        ..Default::default()
    }
}

pub(super) fn decode_single_use(record: row::SingleUseItem) -> Decoded<SingleUse> {
    Ok(SingleUse {
        issued_at: ms(record.issued_at_ms),
        expires_at: ms(record.expires_at_ms),
        // Whichever of the two says so: an item must not become unused by being read.
        used: record.used || record.used_at_ms != 0,
        body: record.body.into(),
    })
}

pub(super) fn encode_outbox(record: &OutboxEntry) -> row::OutboxEntry {
    let outgoing = &record.outgoing;
    row::OutboxEntry {
        record_id: outgoing
            .record
            .event_id()
            .map(|id| id.as_bytes().to_vec())
            .unwrap_or_default(),
        envelope: encode_log(&outgoing.record),
        lacking: record.lacking.iter().map(|number| u32::from(*number)).collect(),
        written_at_ms: record.at.as_unix_ms(),
        home_partition: outgoing.home.number().into(),
        wide: outgoing.wide,
        ..Default::default()
    }
}

pub(super) fn decode_outbox(record: row::OutboxEntry) -> Decoded<OutboxEntry> {
    if record.envelope.is_empty() {
        return Err(DecodeError::missing("envelope"));
    }
    Ok(OutboxEntry {
        outgoing: Outgoing {
            home: partition(record.home_partition, "home_partition")?,
            wide: record.wide,
            record: decode_log(&record.envelope),
        },
        at: ms(record.written_at_ms),
        lacking: each(record.lacking, "lacking", |number| log_partition(number, ""))?,
    })
}

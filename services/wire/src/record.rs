//! What a store keeps, as `curfew.row.v1.Record`.
//!
//! **Invariant:** a record of a newer schema is refused, never read in part.

mod directory;
mod directory_parts;
mod lease;
mod partition;
mod session;
mod subject;

use std::sync::Arc;

use curfew_core::stored::Record;
use curfew_proto::row::v1 as row;
use curfew_proto::row::v1::record::Body;
use prost::Message;

use crate::error::{DecodeError, Why};
use crate::field::Decoded;

/// The schema that this code writes and the newest it reads.
const SCHEMA: u32 = 1;

/// The bytes of a stored record.
#[must_use]
pub fn encode_record(record: &Record) -> Vec<u8> {
    let body = match record {
        Record::Partition(record) => Body::Partition(partition::encode_partition(record)),
        Record::Sequence(last) => Body::Sequence(row::Sequence { last: *last }),
        Record::Checkpoint(record) => Body::Checkpoint(partition::encode_checkpoint(record)),
        Record::Session(record) => Body::Session(session::encode_session(record)),
        Record::Gate(record) => Body::Gate(subject::encode_gate(record)),
        Record::Ledger(record) => Body::Ledger(subject::encode_ledger(record)),
        Record::Tombstone(record) => Body::Tombstone(subject::encode_tombstone(record)),
        Record::Operation(record) => Body::Operation(partition::encode_operation(record)),
        Record::SingleUse(record) => Body::SingleUseItem(partition::encode_single_use(record)),
        Record::Outbox(record) => Body::OutboxEntry(partition::encode_outbox(record)),
        Record::DirectoryVersion => Body::DirectoryVersion(row::DirectoryVersion::default()),
        Record::LogIdentity(record) => Body::LogIdentity(partition::encode_log_identity(record)),
        Record::Lifetimes(record) => Body::Lifetimes(directory_parts::encode_lifetimes(record)),
        Record::WideMark(record) => Body::WideMark(directory_parts::encode_wide_mark(record)),
        Record::Tenant(record) => Body::Tenant(directory::encode_tenant(record)),
        Record::Client(record) => Body::Client(directory::encode_client(record)),
        Record::Resource(record) => Body::Resource(directory::encode_resource(record)),
        Record::Issuer(record) => Body::ForeignIssuer(directory::encode_issuer(record)),
        Record::Caller(record) => Body::Caller(directory_parts::encode_caller(record)),
        Record::RingKey(record) => Body::Key(directory_parts::encode_key(record)),
        Record::Lease(record) => Body::Lease(lease::encode_lease(record)),
    };
    row::Record {
        schema: SCHEMA,
        body: Some(body),
    }
    .encode_to_vec()
}

/// The stored record that these bytes are.
pub fn decode_record(bytes: &[u8]) -> Decoded<Record> {
    let record = row::Record::decode(bytes).map_err(|_| DecodeError::new("record", Why::NotAMessage))?;
    match record.schema {
        0 => return Err(DecodeError::missing("schema")),
        SCHEMA => {}
        newer => return Err(DecodeError::unknown("schema", newer)),
    }
    match record.body.ok_or_else(|| DecodeError::missing("body"))? {
        Body::Partition(body) => read(body, "partition", partition::decode_partition, Record::Partition),
        Body::Sequence(body) => Ok(Record::Sequence(body.last)),
        Body::Checkpoint(body) => read(
            body,
            "checkpoint",
            partition::decode_checkpoint,
            Record::Checkpoint,
        ),
        Body::Session(body) => shared(body, "session", session::decode_session, Record::Session),
        Body::Gate(body) => shared(body, "gate", subject::decode_gate, Record::Gate),
        Body::Ledger(body) => shared(body, "ledger", subject::decode_ledger, Record::Ledger),
        Body::Tombstone(body) => read(body, "tombstone", subject::decode_tombstone, Record::Tombstone),
        Body::Operation(body) => read(body, "operation", partition::decode_operation, Record::Operation),
        Body::SingleUseItem(body) => read(
            body,
            "single_use_item",
            partition::decode_single_use,
            Record::SingleUse,
        ),
        Body::OutboxEntry(body) => read(body, "outbox_entry", partition::decode_outbox, Record::Outbox),
        Body::DirectoryVersion(_) => Ok(Record::DirectoryVersion),
        Body::LogIdentity(body) => read(
            body,
            "log_identity",
            partition::decode_log_identity,
            Record::LogIdentity,
        ),
        Body::Lifetimes(body) => read(
            body,
            "lifetimes",
            directory_parts::decode_lifetimes,
            Record::Lifetimes,
        ),
        Body::WideMark(body) => shared(
            body,
            "wide_mark",
            directory_parts::decode_wide_mark,
            Record::WideMark,
        ),
        Body::Tenant(body) => shared(body, "tenant", directory::decode_tenant, Record::Tenant),
        Body::Client(body) => shared(body, "client", directory::decode_client, Record::Client),
        Body::Resource(body) => shared(body, "resource", directory::decode_resource, Record::Resource),
        Body::ForeignIssuer(body) => shared(body, "foreign_issuer", directory::decode_issuer, Record::Issuer),
        Body::Caller(body) => shared(body, "caller", directory_parts::decode_caller, Record::Caller),
        Body::Key(body) => shared(body, "key", directory_parts::decode_key, Record::RingKey),
        Body::Lease(body) => shared(body, "lease", lease::decode_lease, Record::Lease),
    }
}

fn read<M, T>(
    body: M,
    name: &str,
    decode: impl FnOnce(M) -> Decoded<T>,
    wrap: impl FnOnce(T) -> Record,
) -> Decoded<Record> {
    decode(body).map(wrap).map_err(|error| error.under(name))
}

fn shared<M, T>(
    body: M,
    name: &str,
    decode: impl FnOnce(M) -> Decoded<T>,
    wrap: impl FnOnce(Arc<T>) -> Record,
) -> Decoded<Record> {
    read(body, name, decode, |record| wrap(Arc::new(record)))
}

/// A message that carries its own schema is refused like the wrapper.
fn own_schema(schema: u32) -> Decoded<()> {
    match schema {
        0 => Err(DecodeError::missing("schema")),
        SCHEMA => Ok(()),
        newer => Err(DecodeError::unknown("schema", newer)),
    }
}

#[cfg(test)]
mod tests;

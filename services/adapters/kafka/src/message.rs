//! A record as a message of Kafka: the value is the envelope; key and headers are for people and tools.
//!
//! | part | what |
//! |---|---|
//! | value | `curfew.log.v1.Envelope` |
//! | key | the store partition that the record is of, as decimal text; none for heartbeats and skips |
//! | header `curfew-kind` | `revocation`, `heartbeat`, `subject-state`, `directory`, `skip` |
//! | header `traceparent` | the W3C trace context of what caused it, where something did |
//!
//! **Invariant:** a reader decides by the value alone; key and headers repeat what it says.

use curfew_core::place::{LogPartition, Partition, Position};
use curfew_core::record::LogRecord;
use curfew_core::time::Millis;
use curfew_ports::log::LogEntry;
use curfew_wire::decode_log;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};

/// Which kind of record it is.
pub const HEADER_KIND: &str = "curfew-kind";
/// What caused it.
pub const HEADER_TRACE: &str = "traceparent";

/// Whoever copies the topic by key keeps the order of each store partition.
pub(crate) fn key(record: &LogRecord) -> Option<String> {
    let home = match record {
        LogRecord::Revocation(revocation) => revocation.home,
        LogRecord::SubjectState(state) => state.partition,
        LogRecord::Directory(_) => Partition::DIRECTORY,
        LogRecord::Heartbeat(_) | LogRecord::Skip(_) | LogRecord::Unknown(_) | LogRecord::Withheld => {
            return None;
        }
    };
    Some(home.number().to_string())
}

pub(crate) fn headers(record: &LogRecord) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new();
    if let Some(kind) = kind(record) {
        headers = headers.insert(Header {
            key: HEADER_KIND,
            value: Some(kind),
        });
    }
    if let Some(trace) = record.trace() {
        headers = headers.insert(Header {
            key: HEADER_TRACE,
            value: Some(&**trace),
        });
    }
    headers
}

const fn kind(record: &LogRecord) -> Option<&'static str> {
    match record {
        LogRecord::Revocation(_) => Some("revocation"),
        LogRecord::Heartbeat(_) => Some("heartbeat"),
        LogRecord::SubjectState(_) => Some("subject-state"),
        LogRecord::Directory(_) => Some("directory"),
        LogRecord::Skip(_) => Some("skip"),
        LogRecord::Unknown(_) | LogRecord::Withheld => None,
    }
}

/// The entry that a message is; `None`: its place has no number that this port knows.
pub(crate) fn entry(message: &BorrowedMessage<'_>) -> Option<LogEntry> {
    let position = Position {
        partition: LogPartition(u16::try_from(message.partition()).ok()?),
        offset: u64::try_from(message.offset()).ok()?,
    };
    Some(LogEntry {
        position,
        appended_at: Millis::from_unix_ms(message.timestamp().to_millis().unwrap_or(0)),
        // No value at all is no record: it decodes to an unknown one of no bytes.
        record: decode_log(message.payload().unwrap_or_default()),
    })
}

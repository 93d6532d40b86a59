//! A record as a message of Kafka: the value is the envelope; key and headers are for people and tools.
//!
//! | part | what |
//! |---|---|
//! | value | `curfew.log.v1.Envelope` |
//! | key | the store partition that the record is of, as decimal text; none for heartbeats and skips |
//! | header `content-type` | `application/protobuf` |
//! | header `curfew-kind` | `revocation`, `heartbeat`, `subject-state`, `directory`, `skip` |
//! | header `traceparent` | the W3C trace context of the call that caused it, where one did |
//!
//! **Invariant:** a reader decides by the value alone; key and headers repeat what it says.

use curfew_core::place::{LogPartition, Partition, Position};
use curfew_core::record::LogRecord;
use curfew_core::time::Millis;
use curfew_ports::log::LogEntry;
use curfew_wire::decode_log;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};

/// What the value is, for tools that read topics of all sorts.
pub const HEADER_CONTENT_TYPE: &str = "content-type";
/// The value is an encoded message of protocol buffers.
pub const CONTENT_TYPE: &str = "application/protobuf";
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
    let mut headers = OwnedHeaders::new().insert(Header {
        key: HEADER_CONTENT_TYPE,
        value: Some(CONTENT_TYPE),
    });
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

#[cfg(test)]
mod tests {
    use curfew_ports::testing::sample_log_records;
    use rdkafka::message::Headers as _;

    use super::*;

    fn headers_of(record: &LogRecord) -> Vec<(String, String)> {
        let headers = headers(record);
        let pairs = headers.iter().map(|header| {
            let value = String::from_utf8(header.value.unwrap().to_vec()).unwrap();
            (header.key.to_owned(), value)
        });
        pairs.collect()
    }

    #[test]
    fn every_message_says_what_it_is_and_what_caused_it() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into();
        let mut traced = 0;
        let mut kinds = std::collections::BTreeSet::new();
        let with_trace = |mut record: LogRecord| {
            record.set_trace(&trace);
            record
        };
        let caused = sample_log_records().into_iter().map(with_trace);
        for record in sample_log_records().into_iter().chain(caused) {
            let headers = headers_of(&record);
            let of = |name: &str| {
                let mut found = headers.iter().filter(|(key, _)| key == name);
                let value = found.next().map(|(_, value)| value.as_str());
                assert!(found.next().is_none(), "{name} once");
                value
            };
            assert_eq!(of(HEADER_CONTENT_TYPE), Some(CONTENT_TYPE));
            assert_eq!(of(HEADER_KIND), kind(&record));
            assert_eq!(of(HEADER_TRACE), record.trace().map(|trace| &**trace));
            traced += usize::from(of(HEADER_TRACE).is_some());
            kinds.extend(kind(&record));
        }
        assert!(traced > 0, "no record has a cause");
        let told = ["directory", "heartbeat", "revocation", "skip", "subject-state"];
        assert!(kinds.iter().eq(&told), "{kinds:?}");
    }

    #[test]
    fn heartbeats_and_skips_have_no_key_and_everything_else_that_of_its_partition() {
        for record in sample_log_records() {
            let is_keyed = !matches!(
                record,
                LogRecord::Heartbeat(_) | LogRecord::Skip(_) | LogRecord::Unknown(_) | LogRecord::Withheld
            );
            let key = key(&record);
            assert_eq!(key.is_some(), is_keyed, "{record:?}");
            assert!(key.is_none_or(|key| key.parse::<u16>().is_ok_and(|number| number < 1_024)));
        }
    }
}

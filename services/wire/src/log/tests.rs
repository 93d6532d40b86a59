use curfew_core::ids::Cause;
use curfew_core::place::{Incarnation, Partition};
use curfew_core::record::{Before, Criterion, Initiator, Revocation};

use curfew_ports::testing::{sample_log_records, samples::sample_revocation};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::strategies;

/// What an envelope becomes that is changed before it is read.
fn changed(record: &LogRecord, change: impl FnOnce(&mut log::Envelope)) -> (Vec<u8>, LogRecord) {
    let mut envelope = log::Envelope::decode(encode_log(record).as_slice()).unwrap();
    change(&mut envelope);
    let bytes = envelope.encode_to_vec();
    let read = decode_log(&bytes);
    (bytes, read)
}

fn revocation() -> LogRecord {
    LogRecord::Revocation(Arc::new(sample_revocation(1)))
}

#[track_caller]
fn check_refused(because: &str, change: impl FnOnce(&mut log::Revocation)) {
    let (bytes, read) = changed(&revocation(), |envelope| match &mut envelope.body {
        Some(Body::Revocation(revocation)) => change(revocation),
        other => panic!("{other:?}"),
    });
    check_unknown(&bytes, &read, because);
}

#[track_caller]
fn check_unknown(bytes: &[u8], read: &LogRecord, because: &str) {
    let LogRecord::Unknown(unknown) = read else {
        panic!("{read:?} is not refused")
    };
    assert_eq!(&*unknown.why, because);
    assert_eq!(&*unknown.raw, bytes);
    assert_eq!(encode_log(read), bytes, "it is forwarded as it came");
}

proptest! {
    #[test]
    fn every_record_round_trips(record in strategies::log_record()) {
        let bytes = encode_log(&record);
        let read = decode_log(&bytes);
        prop_assert_eq!(&read, &record);
        prop_assert_eq!(encode_log(&read), bytes);
    }

    #[test]
    fn any_bytes_are_read_and_kept(bytes: Vec<u8>) {
        let read = decode_log(&bytes);
        if let LogRecord::Unknown(unknown) = &read {
            prop_assert_eq!(&*unknown.raw, bytes.as_slice());
            prop_assert_eq!(encode_log(&read), bytes);
        }
    }

    #[test]
    fn a_record_with_one_byte_changed_is_a_record_or_kept(
        record in strategies::log_record(), at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = encode_log(&record);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let LogRecord::Unknown(unknown) = decode_log(&bytes) {
            prop_assert_eq!(&*unknown.raw, bytes.as_slice());
        }
    }
}

#[test]
fn every_sample_round_trips() {
    for record in sample_log_records() {
        assert_eq!(decode_log(&encode_log(&record)), record);
    }
}

#[test]
fn a_record_for_a_newer_reader_is_kept_as_it_came() {
    let (bytes, read) = changed(&revocation(), |envelope| envelope.min_reader = 2);
    check_unknown(&bytes, &read, "field `min_reader` has the unknown value 2");
}

#[test]
fn a_newer_format_that_old_readers_can_read_is_read() {
    let (_, read) = changed(&revocation(), |envelope| envelope.format = 2);
    assert_eq!(read, revocation());
}

#[test]
fn an_unknown_kind_with_an_unknown_body_is_kept_as_it_came() {
    let mut bytes = log::Envelope {
        format: 1,
        min_reader: 1,
        kind: 99,
        ..Default::default()
    }
    .encode_to_vec();
    // Field 60, length-delimited, three bytes: a body that this version does not know.
    bytes.extend_from_slice(&[0xe2, 0x03, 3, 1, 2, 3]);
    check_unknown(
        &bytes,
        &decode_log(&bytes),
        "field `kind` has the unknown value 99",
    );
}

#[test]
fn an_envelope_says_what_it_is_and_is_it() {
    let (bytes, read) = changed(&revocation(), |envelope| envelope.kind = log::Kind::Skip.into());
    check_unknown(
        &bytes,
        &read,
        "field `body` is invalid: not the one that KIND_SKIP names",
    );
    let (bytes, read) = changed(&revocation(), |envelope| envelope.body = None);
    check_unknown(&bytes, &read, "field `body` is missing");
    let (bytes, read) = changed(&revocation(), |envelope| envelope.kind = 0);
    check_unknown(&bytes, &read, "field `kind` is missing");
    let (bytes, read) = changed(&revocation(), |envelope| envelope.min_reader = 0);
    check_unknown(&bytes, &read, "field `min_reader` is missing");
    let (bytes, read) = changed(&revocation(), |envelope| envelope.format = 0);
    check_unknown(&bytes, &read, "field `format` is missing");
    check_unknown(
        b"\xff\xff",
        &decode_log(b"\xff\xff"),
        "field `envelope` is no encoded message",
    );
    check_unknown(b"", &decode_log(b""), "field `format` is missing");
}

#[test]
fn a_revocation_is_refused_by_the_name_of_its_field() {
    check_refused("field `revocation.id` is missing", |r| r.id.clear());
    check_refused("field `revocation.id` has 15 bytes, expected 16", |r| {
        r.id.truncate(15)
    });
    check_refused("field `revocation.tenant` is missing", |r| r.tenant.clear());
    check_refused("field `revocation.issuer` has 17 bytes, expected 16", |r| {
        r.issuer.push(0)
    });
    check_refused("field `revocation.all_of` is invalid: `all_of` is empty", |r| {
        r.all_of.clear()
    });
    check_refused("field `revocation.cause` is missing", |r| r.cause.clear());
    check_refused("field `revocation.initiator` has the unknown value 9", |r| {
        r.initiator = 9
    });
    check_refused(
        "field `revocation.home_partition` is invalid: 1024 is not below 1024",
        |r| {
            r.home_partition = 1_024;
        },
    );
    check_refused("field `revocation.incarnation` has 7 bytes, expected 8", |r| {
        r.incarnation = vec![0; 7]
    });
    check_refused("field `revocation.subject_key` has 1 bytes, expected 8", |r| {
        r.subject_key = vec![0]
    });
    check_refused(
        "field `revocation.sid` is invalid: not an identifier of a session, grant or token: wrong version or reserved bits",
        |r| r.sid = vec![0; 16],
    );
    check_refused("field `revocation.except[1]` has 3 bytes, expected 16", |r| {
        let sid = curfew_ports::testing::samples::session_id(1).as_bytes().to_vec();
        r.except = vec![sid, vec![1; 3]];
    });
    check_refused("field `revocation.request_hash` is missing", |r| {
        r.operation_id = vec![1; 16];
        r.request_hash.clear();
    });
    check_refused("field `revocation.operation_id` is missing", |r| {
        r.operation_id.clear();
        r.request_hash = vec![1; 32];
    });
}

#[test]
fn what_every_reader_refuses_of_a_revocation_is_not_decoded() {
    let mut malformed = sample_revocation(1);
    malformed.all_of = vec![Criterion::new("b", "x"), Criterion::new("a", "x")];
    let bytes = encode_log(&LogRecord::Revocation(Arc::new(malformed)));
    let because = "field `revocation.all_of` is invalid: `all_of` is not sorted by distinct claim names";
    check_unknown(&bytes, &decode_log(&bytes), because);
}

#[test]
fn a_heartbeat_of_another_n_or_an_impossible_m_is_refused() {
    let heartbeat = sample_log_records()
        .into_iter()
        .find(|r| matches!(r, LogRecord::Heartbeat(_)))
        .unwrap();
    let with = |change: &dyn Fn(&mut log::Heartbeat)| {
        changed(&heartbeat, |envelope| match &mut envelope.body {
            Some(Body::Heartbeat(heartbeat)) => change(heartbeat),
            other => panic!("{other:?}"),
        })
    };
    let (bytes, read) = with(&|h| h.store_partitions = 512);
    check_unknown(
        &bytes,
        &read,
        "field `heartbeat.store_partitions` is invalid: not 1024",
    );
    let (bytes, read) = with(&|h| h.partitions = 3);
    check_unknown(
        &bytes,
        &read,
        "field `heartbeat.partitions` is invalid: 3 does not divide 1024",
    );
}

#[test]
fn the_bytes_of_a_revocation_do_not_change() {
    // Whoever changes them changes what lies on every log and in every backup.
    let revocation = Revocation {
        id: RecordId::from_bytes([1; 16]),
        operation: None,
        tenant: TenantId::from_bytes([2; 16]),
        issuer: TenantId::from_bytes([2; 16]).own_issuer(),
        all_of: vec![Criterion::new("oid", "alice")],
        before: Some(Before {
            claim: "sid".into(),
            instant: ms(1_760_000_000_000),
        }),
        except: Vec::new(),
        keep_until: ms(1_760_000_600_000),
        decided_at: ms(1_760_000_000_000),
        cause: Cause::new("sign_out").unwrap(),
        initiator: Initiator::User,
        home: Partition::new(513).unwrap(),
        wide: false,
        sequence: 7,
        incarnation: Some(Incarnation([3; 8])),
        subject_key: Some(SubjectKey([4; 8])),
        row: None,
        scope: "subject".into(),
        correlation_id: None,
        trace: None,
    };
    let hex: String = encode_log(&LogRecord::Revocation(Arc::new(revocation)))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, GOLDEN);
}

const GOLDEN: &str = concat!(
    "0801100118015291010a10010101010101010101010101010101012210020202020202020202020202020202",
    "022a1002020202020202020202020202020202320c0a036f69641205616c6963653a0c0a03736964108080b3",
    "c19c3348c0cfd7c19c33508080b3c19c335a087369676e5f6f75746001688104780782010803030303030303",
    "038a010804040404040404049a01077375626a656374",
);

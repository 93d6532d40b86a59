//! The bytes of the log, to the letter: whoever changes them breaks guards that nobody can update.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fmt::Write as _;

use curfew_proto::log::v1::envelope::Body;
use curfew_proto::log::v1::{
    Before, ClaimMatch, Envelope, Heartbeat, Initiator, Kind, PreviousHeartbeat, Revocation,
};
use prost::Message as _;

/// A cut-off of subject `anna`, sparing one session.
fn revocation() -> Envelope {
    Envelope {
        format: 1,
        min_reader: 1,
        kind: Kind::Revocation.into(),
        trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        body: Some(Body::Revocation(Revocation {
            id: vec![0x11; 16],
            operation_id: vec![0x22; 16],
            request_hash: vec![0x33; 32],
            tenant: vec![0x44; 16],
            issuer: vec![0x44; 16],
            all_of: vec![ClaimMatch {
                claim: "oid".to_owned(),
                value: "anna".to_owned(),
            }],
            before: Some(Before {
                claim: "sid".to_owned(),
                instant_ms: 1_790_000_000_001,
            }),
            except: vec![vec![0x55; 16]],
            keep_until_ms: 1_790_003_720_000,
            decided_at_ms: 1_790_000_000_000,
            cause: "sign_out_elsewhere".to_owned(),
            initiator: Initiator::User.into(),
            home_partition: 1_023,
            wide: false,
            sequence: 7,
            incarnation: vec![0x66; 8],
            subject_key: vec![0xff, 0xc0, 3, 4, 5, 6, 7, 8],
            sid: Vec::new(),
            scope: "subject".to_owned(),
            correlation_id: "c-1".to_owned(),
        })),
    }
}

const REVOCATION: &str = "\
    080110011801223730302d34626639326633353737623334646136613363653932396430653065343733362d30306630\
    3637616130626139303262372d303152e6010a1011111111111111111111111111111111121022222222222222222222\
    2222222222221a2033333333333333333333333333333333333333333333333333333333333333332210444444444444\
    444444444444444444442a1044444444444444444444444444444444320b0a036f69641204616e6e613a0c0a03736964\
    1081d8c1a28c3442105555555555555555555555555555555548c0dea4a48c345080d8c1a28c345a127369676e5f6f75\
    745f656c73657768657265600168ff07780782010866666666666666668a0108ffc00304050607089a01077375626a65\
    6374a20103632d31";

/// A heartbeat of one of eight log partitions.
fn heartbeat() -> Envelope {
    Envelope {
        format: 1,
        min_reader: 1,
        kind: Kind::Heartbeat.into(),
        trace: String::new(),
        body: Some(Body::Heartbeat(Heartbeat {
            id: vec![0x77; 16],
            log_id: vec![0x88; 16],
            partitions: 8,
            store_partitions: 1_024,
            stamp_ms: 1_790_000_000_000,
            emitter: "authority-0".to_owned(),
            interval_ms: 1_000,
            previous: Some(PreviousHeartbeat {
                id: vec![0x99; 16],
                records_between: 3,
            }),
        })),
    }
}

const HEARTBEAT: &str = "\
    0801100118025a560a107777777777777777777777777777777712108888888888888888888888888888888818082080\
    082880d8c1a28c34320b617574686f726974792d3038e80742140a10999999999999999999999999999999991003";

#[test]
fn a_revocation_has_these_bytes() {
    check(&revocation(), REVOCATION);
}

#[test]
fn a_heartbeat_has_these_bytes() {
    check(&heartbeat(), HEARTBEAT);
}

#[test]
fn a_record_of_tomorrow_is_recognised_as_unknown() {
    // Kind 99 with a body in field 99, format 2, min_reader 2: all that a reader of today may rely on.
    let tomorrow = bytes("0802100218639a0603080110");
    let envelope = Envelope::decode(&*tomorrow).unwrap();
    assert_eq!((envelope.format, envelope.min_reader, envelope.kind), (2, 2, 99));
    assert_eq!(envelope.body, None);
    // Which is why readers keep bytes: what is decoded and encoded again has lost the body.
    assert_ne!(envelope.encode_to_vec(), tomorrow);
}

fn check(envelope: &Envelope, golden: &str) {
    assert_eq!(hex(&envelope.encode_to_vec()), golden);
    let decoded = Envelope::decode(&*bytes(golden)).unwrap();
    assert_eq!(&decoded, envelope);
    assert_eq!(hex(&decoded.encode_to_vec()), golden);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}

use curfew_core::stored::Key;
use curfew_ports::testing::sample_records;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::decode_key;
use crate::strategies;

/// The sample of one kind with every field set.
fn sample(is_it: impl Fn(&Record) -> bool) -> Record {
    sample_records()
        .into_iter()
        .map(|(_, record)| record)
        .find(is_it)
        .unwrap()
}

#[track_caller]
fn check_refused(record: &Record, because: &str, change: impl FnOnce(&mut Body)) {
    let mut message = row::Record::decode(encode_record(record).as_slice()).unwrap();
    change(message.body.as_mut().unwrap());
    let error = decode_record(&message.encode_to_vec()).unwrap_err();
    assert_eq!(error.to_string(), because);
}

/// Changes the body of one kind, and fails on every other.
macro_rules! in_body {
    ($kind:ident, $change:expr) => {
        |body: &mut Body| match body {
            Body::$kind(body) => {
                let change: &dyn Fn(&mut _) = &$change;
                change(body)
            }
            other => panic!("{other:?}"),
        }
    };
}

proptest! {
    #[test]
    fn every_row_round_trips(row in strategies::row()) {
        let record = Record::Session(Arc::new(row));
        let bytes = encode_record(&record);
        let read = decode_record(&bytes).unwrap();
        prop_assert_eq!(encode_record(&read), bytes);
        prop_assert_eq!(read, record);
    }

    #[test]
    fn every_gate_round_trips(gate in strategies::gate()) {
        let record = Record::Gate(Arc::new(gate));
        let bytes = encode_record(&record);
        let read = decode_record(&bytes).unwrap();
        prop_assert_eq!(encode_record(&read), bytes);
        prop_assert_eq!(read, record);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = decode_record(&bytes);
        if let Some(key) = decode_key(&bytes) {
            prop_assert_eq!(key.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_key_after_its_letter_is_read_or_refused(letter in "[pqkslgtoux]|d[vilwtcrfake]", rest: Vec<u8>) {
        let bytes = [letter.as_bytes(), &rest].concat();
        if let Some(key) = decode_key(&bytes) {
            prop_assert_eq!(key.to_bytes(), bytes);
        }
    }
}

#[test]
fn every_sample_round_trips_under_its_key() {
    for (key, record) in sample_records() {
        assert_eq!(decode_record(&encode_record(&record)).unwrap(), record);
        assert_eq!(decode_key(&key.to_bytes()), Some(key));
    }
}

#[test]
fn a_key_of_a_text_that_its_type_refuses_is_none() {
    let key = Key::Caller("caller".parse().unwrap()).to_bytes();
    assert!(decode_key(&key).is_some());
    assert_eq!(decode_key(b"da"), None, "empty");
    assert_eq!(decode_key(b"daa/b"), None, "a slash");
    assert_eq!(decode_key(b"px"), None, "longer than its kind");
    assert_eq!(decode_key(b"dwx"), None, "shorter than its kind");
    assert_eq!(decode_key(b""), None);
    assert_eq!(decode_key(b"de\0\0\0\x05ab"), None, "a length beyond the end");
    assert_eq!(
        decode_key(&[b'u', 9].iter().chain(&[0; 32]).copied().collect::<Vec<_>>()),
        None
    );
}

#[test]
fn a_record_of_another_schema_or_without_a_body_is_refused() {
    let refused = |record: row::Record| decode_record(&record.encode_to_vec()).unwrap_err().to_string();
    let body = Some(Body::Sequence(row::Sequence { last: 1 }));
    assert_eq!(
        refused(row::Record {
            schema: 0,
            body: body.clone()
        }),
        "field `schema` is missing"
    );
    assert_eq!(
        refused(row::Record { schema: 2, body }),
        "field `schema` has the unknown value 2"
    );
    assert_eq!(
        refused(row::Record {
            schema: 1,
            body: None
        }),
        "field `body` is missing"
    );
    assert_eq!(
        decode_record(b"\xff").unwrap_err().to_string(),
        "field `record` is no encoded message"
    );
}

#[test]
fn a_row_is_refused_by_the_name_of_its_field() {
    let row = sample(|record| matches!(record, Record::Session(row) if !row.grants.is_empty()));
    let check = |because: &str, change: &dyn Fn(&mut row::Session)| {
        check_refused(&row, because, in_body!(Session, change));
    };
    check("field `session.schema` has the unknown value 2", &|s| {
        s.schema = 2
    });
    check("field `session.sid` is missing", &|s| s.sid.clear());
    check("field `session.tenant` has 3 bytes, expected 16", &|s| {
        s.tenant.truncate(3)
    });
    check("field `session.subject` is missing", &|s| s.subject.clear());
    check(
        "field `session.claims_json` is invalid: not a JSON object",
        &|s| s.claims_json = b"[1]".to_vec(),
    );
    check("field `session.login_hint_hash` has 1 bytes, expected 32", &|s| {
        s.login_hint_hash = vec![1]
    });
    check("field `session.grants[0].secret` is missing", &|s| {
        s.grants[0].secret.clear()
    });
    check(
        "field `session.grants[0].client` is invalid: holds a character that is not permitted there",
        &|s| {
            s.grants[0].client = "a/b".to_owned();
        },
    );
    check("field `session.grants[0].scopes[0]` is missing", &|s| {
        s.grants[0].scopes = vec![String::new()]
    });
    check("field `session.grants[0].incarnation` is missing", &|s| {
        s.grants[0].incarnation.clear()
    });
    check("field `session.grants[0].key.thumbprint` is missing", &|s| {
        s.grants[0].key = Some(row::KeyBinding { thumbprint: None });
    });
    check("field `session.grants[0].ending.record_id` is missing", &|s| {
        s.grants[0].ending = Some(row::Ending {
            cause: "x".to_owned(),
            ..Default::default()
        });
    });
}

#[test]
fn directory_records_refuse_what_they_do_not_know() {
    let client = sample(|record| matches!(record, Record::Client(_)));
    let check = |because: &str, change: &dyn Fn(&mut row::Client)| {
        check_refused(&client, because, in_body!(Client, change));
    };
    check("field `client.auth_method` is missing", &|c| c.auth_method = 0);
    check("field `client.auth_method` has the unknown value 77", &|c| {
        c.auth_method = 77
    });
    check("field `client.late` has the unknown value 77", &|c| c.late = 77);
    check("field `client.window.window` is missing", &|c| {
        c.window = Some(row::ReplayWindow { window: None });
    });
    let caller = sample(|record| matches!(record, Record::Caller(_)));
    check_refused(
        &caller,
        "field `caller.roles[0]` has the unknown value root",
        in_body!(Caller, |c: &mut row::Caller| c.roles = vec!["root".to_owned()]),
    );
    let key = sample(|record| matches!(record, Record::RingKey(_)));
    check_refused(
        &key,
        "field `key.use` is missing",
        in_body!(Key, |k: &mut row::Key| k.r#use = 0),
    );
    check_refused(
        &key,
        "field `key.mac_key_id` is invalid: more than a byte",
        in_body!(Key, |k: &mut row::Key| k.mac_key_id = Some(256)),
    );
    let lease = sample(|record| matches!(record, Record::Lease(lease) if lease.positions.len() > 1));
    check_refused(
        &lease,
        "field `lease.positions` is invalid: not one for each log partition, in order",
        in_body!(Lease, |l: &mut row::Lease| l.positions.swap(0, 1)),
    );
}

#[test]
fn a_limit_of_nothing_does_not_become_no_limit() {
    let tenant = sample(|record| matches!(record, Record::Tenant(_)));
    let Record::Tenant(tenant) = tenant else { panic!() };
    let strict = curfew_core::directory::Tenant {
        sign_in_frequency_ms: Some(0),
        ..(*tenant).clone()
    };
    let read = decode_record(&encode_record(&Record::Tenant(Arc::new(strict)))).unwrap();
    let Record::Tenant(read) = read else { panic!() };
    assert_eq!(read.sign_in_frequency_ms, Some(1));
}

#[test]
fn a_used_item_stays_used() {
    let used = sample(|record| matches!(record, Record::SingleUse(item) if item.used));
    let mut message = row::Record::decode(encode_record(&used).as_slice()).unwrap();
    let Some(Body::SingleUseItem(item)) = &mut message.body else {
        panic!()
    };
    (item.used, item.used_at_ms) = (false, 5);
    assert_eq!(decode_record(&message.encode_to_vec()).unwrap(), used);
}

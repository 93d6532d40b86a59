use super::*;
use crate::claims::JsonClaims;
use crate::ids::SessionId;
use serde_json::json;

const NOW: Millis = Millis::from_unix_ms(1_800_000_000_000);

fn log(id: u8) -> LogIdentity {
    LogIdentity::new([id; 16], 4).unwrap()
}

fn found() -> Found {
    let incarnation = Incarnation([1; 8]);
    Found {
        partition: Partition::new(5).unwrap(),
        incarnation,
        record: Some(PartitionRecord {
            incarnation,
            opened: Millis::ZERO,
            floor: Millis::ZERO,
            log: log(1),
        }),
        sequence: Some(7),
        checkpoint: Some(Checkpoint {
            offset: 40,
            incarnation,
            at: Millis::ZERO,
        }),
        log: log(1),
        log_start: 40,
    }
}

fn fenced() -> Found {
    Found {
        incarnation: Incarnation([2; 8]),
        ..found()
    }
}

#[test]
fn p8_only_what_nobody_can_recover_needs_an_operator() {
    let lost = [
        Found {
            record: None,
            ..fenced()
        },
        Found {
            sequence: None,
            ..found()
        },
    ];
    let behind = [
        Found {
            checkpoint: None,
            ..fenced()
        },
        Found {
            log_start: 41,
            ..fenced()
        },
    ];
    let cases = [(found(), Standing::Open), (fenced(), Standing::Fenced)]
        .into_iter()
        .chain(lost.map(|found| (found, Standing::Lost)))
        .chain(behind.map(|found| (found, Standing::Behind)))
        .chain([
            (
                Found {
                    log: log(2),
                    ..fenced()
                },
                Standing::OtherLog,
            ),
            // One that serves is not behind: its checkpoint says what the next recovery will need.
            (
                Found {
                    log_start: 41,
                    ..found()
                },
                Standing::Open,
            ),
        ]);
    for (found, expected) in cases {
        assert_eq!(found.standing(), expected, "{found:?}");
        let is_recovered = matches!(expected, Standing::Open | Standing::Fenced);
        assert_eq!(expected.needs_an_operator(), !is_recovered);
    }
}

#[test]
fn a_floor_opens_for_the_present_history_and_merges_all_that_the_log_retains() {
    let lost = Found {
        record: None,
        sequence: None,
        checkpoint: None,
        ..fenced()
    };
    let [(_, partition), (_, sequence), (_, checkpoint)] = open(&lost, NOW, Millis::ZERO, NOW).unwrap();
    let expected = PartitionRecord {
        incarnation: lost.incarnation,
        opened: NOW,
        floor: NOW,
        log: log(1),
    };
    assert_eq!(partition, Write::put(Record::Partition(expected)));
    let Write::Put {
        record: Record::Sequence(number),
        ..
    } = sequence
    else {
        panic!()
    };
    assert!(number > 1_000_000_000_000, "no number is given twice");
    let Write::Put {
        record: Record::Checkpoint(checkpoint),
        ..
    } = checkpoint
    else {
        panic!()
    };
    assert_eq!(
        (checkpoint.offset, checkpoint.incarnation),
        (40, lost.incarnation)
    );
}

#[test]
fn what_is_open_and_well_and_a_floor_ahead_or_too_low_are_refused() {
    let reason = |found: &Found, floor: Millis, oldest| {
        open(found, floor, found.least_floor(oldest, NOW), NOW)
            .map(drop)
            .map_err(|refusal| refusal.reason)
    };
    assert_eq!(reason(&found(), NOW, None), Err(Reason::AlreadyExists));
    assert_eq!(
        reason(&fenced(), NOW.plus_ms(501), None),
        Err(Reason::FieldInvalid)
    );
    let lost = Found {
        record: None,
        ..fenced()
    };
    let oldest = NOW.plus_ms(-60_000);
    assert_eq!(
        reason(&lost, oldest.plus_ms(-1), Some(oldest)),
        Err(Reason::FieldInvalid)
    );
    assert_eq!(reason(&lost, oldest, Some(oldest)), Ok(()));
    assert_eq!(
        reason(&lost, NOW.plus_ms(-1), None),
        Err(Reason::FieldInvalid),
        "an empty log tells nothing"
    );
    // All that recovery needs is there: an operator who opens it may choose.
    assert_eq!(reason(&fenced(), Millis::ZERO, Some(oldest)), Ok(()));
}

#[test]
fn a_floor_never_falls() {
    let mut found = fenced();
    found.record.as_mut().unwrap().floor = NOW.plus_ms(-5);
    let [(_, partition), ..] = open(&found, NOW.plus_ms(-9), Millis::ZERO, NOW).unwrap();
    let Write::Put {
        record: Record::Partition(record),
        ..
    } = partition
    else {
        panic!()
    };
    assert_eq!(record.floor, NOW.plus_ms(-5));
}

#[test]
fn q29_guards_are_told_of_a_floor_by_a_mark_on_the_partition_before_sid() {
    let tenant = TenantId::from_bytes([3; 16]);
    let operation = OperationId::from_bytes([9; 16]);
    let mark = |floor| mark(&found(), tenant, floor, 3_600_000, operation, NOW);
    mark(NOW).validate().unwrap();
    assert_eq!(mark(NOW).id, mark(NOW).id, "a repeated command publishes one id");
    let covers = |partition: u16, born: Millis, name: &str| {
        let sid = SessionId::new(born, Partition::new(partition).unwrap(), [1; 8]);
        let claims = json!({name: sid.to_string()});
        let claims = JsonClaims::own(claims.as_object().unwrap(), None).unwrap();
        mark(NOW).covers(tenant, tenant.own_issuer(), &claims).unwrap()
    };
    for name in ["sid", "gid"] {
        assert!(covers(5, NOW.plus_ms(-1), name), "{name}");
        assert!(!covers(5, NOW, name), "born after the floor");
        assert!(!covers(6, NOW.plus_ms(-1), name), "of another partition");
    }
    let rival = TenantId::from_bytes([4; 16]);
    let claims = json!({"partition": 5});
    let foreign = JsonClaims::foreign(claims.as_object().unwrap(), None);
    assert!(!mark(NOW).covers(rival, rival.own_issuer(), &foreign).unwrap());
}

#[test]
fn a_floor_that_a_failover_lost_is_read_from_the_log() {
    let tenant = TenantId::from_bytes([3; 16]);
    let told_of = |number: u16, floor: i64| {
        let found = Found {
            partition: Partition::new(number).unwrap(),
            ..found()
        };
        let operation = OperationId::from_bytes([9; 16]);
        let mark = mark(&found, tenant, NOW.plus_ms(floor), 1, operation, NOW);
        LogRecord::Revocation(std::sync::Arc::new(mark))
    };
    let records = [told_of(5, -3), told_of(5, -1), told_of(6, 0), LogRecord::Withheld];
    assert_eq!(told(found().partition, records.iter()), NOW.plus_ms(-1));
    assert_eq!(told(Partition::DIRECTORY, records.iter()), Millis::ZERO);
}

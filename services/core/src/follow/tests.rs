use super::*;
use crate::record::{PreviousHeartbeat, Skip, UnknownRecord};

const X: i64 = 5_000;

fn now(wall: i64, boot: i64) -> Now {
    Now {
        wall: Millis::from_unix_ms(wall),
        boot_ms: boot,
    }
}

fn log() -> LogIdentity {
    LogIdentity::new([1; 16], 2).unwrap()
}

fn at(offset: u64) -> Position {
    Position {
        partition: LogPartition(0),
        offset,
    }
}

fn beat(id: u8, stamp: i64, previous: Option<(u8, u64)>) -> LogRecord {
    LogRecord::Heartbeat(Heartbeat {
        id: RecordId::from_bytes([id; 16]),
        log: log(),
        stamp: Millis::from_unix_ms(stamp),
        emitter: "test".into(),
        interval_ms: 1_000,
        previous: previous.map(|(id, records_between)| PreviousHeartbeat {
            id: RecordId::from_bytes([id; 16]),
            records_between,
        }),
    })
}

fn unknown() -> LogRecord {
    LogRecord::Unknown(UnknownRecord {
        raw: Arc::from([9, 9].as_slice()),
        why: "min_reader 2".into(),
    })
}

fn fresh(follower: &Follower, now: Now) -> bool {
    follower.of(Partition::DIRECTORY).unwrap().is_fresh(now, X)
}

#[test]
fn p7_freshness_ends_by_the_wall_clock_and_by_the_boot_clock() {
    let follower = Follower::new(log());
    assert!(!fresh(&follower, now(0, 0)), "nothing was read");
    follower
        .apply(at(0), &beat(1, 10_000, None), now(10_000, 500))
        .unwrap();
    assert!(fresh(&follower, now(14_999, 600)));
    assert!(!fresh(&follower, now(15_000, 600)), "by the wall clock");
    assert!(
        !fresh(&follower, now(9_000, 5_500)),
        "by the boot clock, though the wall clock stepped back"
    );
}

#[test]
fn p7_a_heartbeat_from_the_future_counts_as_none_and_is_told() {
    let follower = Follower::new(log());
    follower
        .apply(at(0), &beat(1, 11_001, None), now(10_000, 0))
        .unwrap();
    assert!(!fresh(&follower, now(10_000, 0)));
    assert_eq!(follower.of(Partition::DIRECTORY).unwrap().heartbeats_ahead(), 1);
    follower
        .apply(at(1), &beat(2, 11_000, None), now(10_000, 0))
        .unwrap();
    assert!(fresh(&follower, now(10_000, 0)));
}

#[test]
fn p9_another_log_means_reload() {
    let follower = Follower::new(log());
    let mut other = beat(1, 0, None);
    if let LogRecord::Heartbeat(heartbeat) = &mut other {
        heartbeat.log = LogIdentity::new([1; 16], 4).unwrap();
    }
    // Before the first of its own: a topic that was adopted begins with some of the log that was lost.
    assert_eq!(follower.apply(at(0), &other, now(0, 0)), Ok(Applied::Other));
    assert!(!fresh(&follower, now(0, 0)), "they prove nothing");
    let names_another = || follower.of(Partition::DIRECTORY).unwrap().names_another_log();
    assert!(names_another());
    follower.apply(at(1), &beat(2, 0, None), now(0, 0)).unwrap();
    assert!(fresh(&follower, now(0, 0)) && !names_another());
    assert_eq!(follower.apply(at(2), &other, now(0, 0)), Err(Reload::OtherLog));
}

#[test]
fn q33_an_adopted_log_is_fresh_by_its_own_heartbeats_alone() {
    let follower = Follower::new(log());
    follower.apply(at(0), &beat(1, 0, None), now(0, 0)).unwrap();
    let adopted = LogIdentity::new([2; 16], 2).unwrap();
    assert!(
        !follower.adopt(LogIdentity::new([1; 16], 8).unwrap()),
        "another M"
    );
    assert!(fresh(&follower, now(0, 0)));
    assert!(follower.adopt(adopted));
    assert!(
        !fresh(&follower, now(0, 0)),
        "what the old one proved is forgotten"
    );
    follower.apply(at(1), &beat(2, 0, None), now(0, 0)).unwrap();
    assert!(!fresh(&follower, now(0, 0)), "a late one of the old log");
    let mut own = beat(3, 0, None);
    if let LogRecord::Heartbeat(heartbeat) = &mut own {
        heartbeat.log = adopted;
    }
    follower.apply(at(2), &own, now(0, 0)).unwrap();
    assert!(fresh(&follower, now(0, 0)));
}

#[test]
fn q20_p23_an_unreadable_record_freezes_freshness_until_it_is_skipped_by_its_hash() {
    let follower = Follower::new(log());
    follower
        .apply(at(0), &beat(1, 1_000, None), now(1_000, 0))
        .unwrap();
    assert_eq!(
        follower.apply(at(1), &unknown(), now(1_000, 0)),
        Ok(Applied::Froze)
    );
    assert!(!fresh(&follower, now(1_000, 0)));
    follower
        .apply(at(2), &beat(2, 1_500, None), now(1_500, 0))
        .unwrap();
    assert!(!fresh(&follower, now(1_500, 0)), "heartbeats do not thaw");
    let skip = |hash| {
        LogRecord::Skip(Skip {
            log: log(),
            partition: LogPartition(0),
            offset: 1,
            record_hash: hash,
            by: "op".into(),
            reason: "test".into(),
        })
    };
    follower.apply(at(3), &skip([0; 32]), now(1_500, 0)).unwrap();
    assert!(follower.of(Partition::DIRECTORY).unwrap().frozen.is_some());
    follower
        .apply(at(4), &skip(crate::mac::sha256(&[9, 9])), now(1_500, 0))
        .unwrap();
    follower
        .apply(at(5), &beat(3, 1_600, None), now(1_600, 0))
        .unwrap();
    assert!(fresh(&follower, now(1_600, 0)));
}

#[test]
fn a_hole_or_another_count_of_records_means_reload_and_copies_mean_nothing() {
    let follower = Follower::new(log());
    follower.apply(at(0), &beat(1, 0, None), now(0, 0)).unwrap();
    follower.apply(at(1), &unknown(), now(0, 0)).unwrap();
    follower
        .apply(at(2), &beat(2, 0, Some((1, 0))), now(0, 0))
        .unwrap();
    assert_eq!(follower.apply(at(1), &unknown(), now(0, 0)), Ok(Applied::Seen));
    let skipped = follower.apply(at(5), &unknown(), now(0, 0));
    assert!(matches!(skipped, Err(Reload::History { offset: 5, .. })));
    let miscounted = follower.apply(at(3), &beat(3, 0, Some((2, 7))), now(0, 0));
    assert!(matches!(miscounted, Err(Reload::History { offset: 3, .. })));
    assert_eq!(
        follower.apply(at(3), &beat(3, 0, Some((2, 1))), now(0, 0)),
        Ok(Applied::Other)
    );
}

#[test]
fn each_unreadable_record_must_be_skipped_by_its_own_hash() {
    let follower = Follower::new(log());
    let raw = |n: u8| -> Arc<[u8]> { Arc::from([n].as_slice()) };
    for n in 0..2 {
        let record = LogRecord::Unknown(UnknownRecord {
            raw: raw(n),
            why: "unknown kind".into(),
        });
        follower.apply(at(n.into()), &record, now(0, 0)).unwrap();
    }
    let skip = |n: u8| {
        LogRecord::Skip(Skip {
            log: log(),
            partition: LogPartition(0),
            offset: n.into(),
            record_hash: crate::mac::sha256(&raw(n)),
            by: "op".into(),
            reason: "test".into(),
        })
    };
    follower.apply(at(2), &skip(0), now(0, 0)).unwrap();
    let frozen = || {
        follower
            .of(Partition::DIRECTORY)
            .unwrap()
            .frozen
            .as_ref()
            .map(|frozen| frozen.offset)
    };
    assert_eq!(frozen(), Some(1), "the second one still freezes");
    follower.apply(at(3), &skip(1), now(0, 0)).unwrap();
    assert_eq!(frozen(), None);
}

#[test]
fn a_heartbeat_that_was_delayed_for_long_makes_nobody_reload() {
    let follower = Follower::new(log());
    for n in 0..100_u8 {
        let previous = n.checked_sub(1).filter(|n| *n > 0).map(|n| (n, 0));
        follower
            .apply(
                at(n.into()),
                &beat(n, 1_000 + i64::from(n), previous),
                now(1_100, 0),
            )
            .unwrap();
    }
    let late = beat(200, 900, Some((3, 0)));
    assert_eq!(follower.apply(at(100), &late, now(1_100, 0)), Ok(Applied::Other));
    let unheard = beat(201, 1_100, Some((3, 0)));
    assert!(matches!(
        follower.apply(at(101), &unheard, now(1_100, 0)),
        Err(Reload::History { .. })
    ));
}

#[test]
fn q33_a_topic_that_was_made_again_begins_with_a_heartbeat_that_names_one_nobody_has() {
    let follower = Follower::new(log());
    let told = follower.apply(at(0), &beat(9, 10_000, Some((8, 0))), now(10_000, 500));
    assert!(matches!(told, Err(Reload::History { .. })), "{told:?}");
    assert!(!fresh(&follower, now(10_000, 500)));
    // Where retention took the beginning, what a heartbeat names may have lain there.
    let follower = Follower::new(log());
    follower
        .apply(at(7), &beat(9, 10_000, Some((8, 0))), now(10_000, 500))
        .unwrap();
    assert!(fresh(&follower, now(10_000, 500)));
    // The very first of a log names none.
    let follower = Follower::new(log());
    follower
        .apply(at(0), &beat(1, 10_000, None), now(10_000, 500))
        .unwrap();
    follower
        .apply(at(1), &beat(2, 11_000, Some((1, 0))), now(11_000, 1_500))
        .unwrap();
    assert!(fresh(&follower, now(11_000, 1_500)));
}

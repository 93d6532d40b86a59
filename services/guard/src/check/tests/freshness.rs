//! Freshness and the stale ladder.

use std::sync::Arc;

use curfew_core::place::{LogIdentity, LogPartition, Partition, Position};
use curfew_core::record::{LogRecord, UnknownRecord};
use curfew_core::refusal::Reason;
use curfew_core::time::Now;
use serde_json::json;

use crate::testing::*;
use crate::{Ground, Requirements, Stale};

fn home() -> LogPartition {
    LOG.home_of(partition())
}

#[test]
fn a_partition_is_fresh_for_less_than_x() {
    let bench = Bench::new();
    bench.clock.advance(BOUND_MS - 1);
    bench.admitted(&bench.token());
    assert!(!bench.guard.is_stale());
    bench.clock.advance(1);
    let refused = bench.refused(&bench.token(), Reason::FreshnessStale);
    assert!(refused.is_retryable());
    assert_eq!(refused.retry_after_s(), Some(5));
    assert_eq!(refused.www_authenticate(), None);
    assert!(bench.guard.is_stale() && bench.guard.is_ready());
    bench.beat();
    bench.admitted(&bench.token());
}

#[test]
fn p19_a_token_is_judged_by_its_own_partition_alone() {
    let bench = Bench::new();
    bench.clock.advance(BOUND_MS);
    let others = LOG.all().filter(|partition| *partition != home());
    others.for_each(|partition| bench.beat_in(partition, bench.guard.now().wall));
    bench.refused(&bench.token(), Reason::FreshnessStale);
    let elsewhere = Partition::new(1).unwrap();
    let app = curfew_core::ids::TokenId::new(NOW, elsewhere, [1; 8]).to_string();
    let app = with(with(app_only(), "jti", json!(app)), "gid", json!(app));
    bench.admitted(&bench.sign(&app));
}

#[test]
fn p7_a_heartbeat_from_ahead_counts_as_none() {
    let bench = Bench::new();
    bench.beat_in(home(), NOW.plus_ms(600_000));
    assert_eq!(bench.guard.heartbeats_ahead(), 1);
    bench.clock.advance(BOUND_MS);
    bench.refused(&bench.token(), Reason::FreshnessStale);
}

#[test]
fn p7_a_machine_that_slept_or_whose_wall_clock_was_set_knows_it() {
    for change in [
        |now: Now| Now {
            boot_ms: now.boot_ms + BOUND_MS,
            ..now
        },
        |now: Now| Now {
            wall: now.wall.plus_ms(BOUND_MS),
            ..now
        },
        |now: Now| Now {
            wall: now.wall.plus_ms(-60_000),
            boot_ms: now.boot_ms + BOUND_MS,
        },
    ] {
        let bench = Bench::new();
        bench.admitted(&bench.token());
        bench.clock.set(change);
        bench.refused(&bench.token(), Reason::FreshnessStale);
    }
}

#[test]
fn p6_nothing_is_fresh_before_a_heartbeat_stamped_after_the_registration() {
    let bench = Bench::new();
    let feed = bench.guard.follow(LOG, NOW);
    let place = |offset| Position {
        partition: home(),
        offset,
    };
    bench.refused(&bench.token(), Reason::FreshnessStale);
    feed.apply(place(0), &heartbeat(NOW)).unwrap();
    bench.refused(&bench.token(), Reason::FreshnessStale);
    assert!(!bench.guard.is_ready());
    feed.apply(place(1), &heartbeat(NOW.plus_ms(1))).unwrap();
    bench.admitted(&bench.token());
    // One partition is not all.
    assert!(!bench.guard.is_ready());
}

#[test]
fn without_any_view_nothing_is_fresh() {
    let clock = TestClock::new();
    let signer = key(curfew_jose::Algorithm::Es256, "k1");
    let guard = crate::Guard::new(config(&signer, &signer), std::sync::Arc::new(clock)).unwrap();
    let refused = guard
        .check(&sign(&signer, "at+jwt", &delegated()), &Requirements::any())
        .unwrap_err();
    assert_eq!(refused.reason, Reason::FreshnessStale);
    assert!(guard.is_live() && !guard.is_ready() && guard.is_stale());
    assert_eq!(guard.freshness_age_ms(), None);
}

#[test]
fn q20_a_record_that_cannot_be_read_freezes_its_partition_and_later_records_still_apply() {
    let bench = Bench::new();
    let unknown = LogRecord::Unknown(UnknownRecord {
        raw: b"2027".as_slice().into(),
        why: "min_reader 2".into(),
    });
    bench.apply(home(), &unknown);
    bench.beat();
    bench.refused(&bench.token(), Reason::FreshnessFrozen);
    assert_eq!(bench.guard.frozen(), [home()]);
    bench.revoke(revocation("sub", "alice"));
    bench.refused(&bench.token(), Reason::TokenRevoked);
    assert!(bench.guard.is_stale());
}

#[test]
fn a_changed_history_ends_the_freshness_and_not_the_denials() {
    let bench = Bench::new();
    bench.revoke(revocation("sid", &sid(9).to_string()));
    bench.admitted(&bench.token());
    let gap = Position {
        partition: home(),
        offset: 99,
    };
    assert!(bench.feed.apply(gap, &heartbeat(NOW)).is_err());
    bench.refused(&bench.token(), Reason::FreshnessStale);
    let revoked = bench.token_with("sid", json!(sid(9).to_string()));
    bench.refused(&revoked, Reason::TokenRevoked);
    // The next view begins empty and unseen: what was known goes on denying until it is live.
    let feed = bench.guard.begin(LOG, NOW);
    bench.refused(&revoked, Reason::TokenRevoked);
    feed.go_live();
    bench.refused(&revoked, Reason::FreshnessStale);
    assert_eq!(bench.guard.metrics().reloads(), 1);
}

#[test]
fn a_view_that_keeps_denies_by_both_at_once_and_proves_nothing_before_it_is_live() {
    let other = LogIdentity::new([8; 16], 2).unwrap();
    for (log, partition) in [(LOG, home()), (other, other.home_of(partition()))] {
        let bench = Bench::new();
        let of = |n| bench.token_with("sid", json!(sid(n).to_string()));
        bench.revoke(revocation("sid", &sid(8).to_string()));
        let next = vec![5; usize::from(log.partitions)];
        let feed = bench.guard.begin_keeping(log, NOW.plus_ms(-1), &next);
        let place = |offset| Position { partition, offset };
        let revoked = LogRecord::Revocation(Arc::new(revocation("sid", &sid(9).to_string())));
        feed.apply(place(5), &revoked).unwrap();
        for n in [8, 9] {
            bench.refused(&of(n), Reason::TokenRevoked);
        }
        feed.go_live();
        bench.refused(&of(1), Reason::FreshnessStale);
        let LogRecord::Heartbeat(beat) = heartbeat(NOW) else {
            unreachable!()
        };
        let beat = LogRecord::Heartbeat(curfew_core::record::Heartbeat { log, ..beat });
        feed.apply(place(6), &beat).unwrap();
        bench.admitted(&of(1));
        for n in [8, 9] {
            bench.refused(&of(n), Reason::TokenRevoked);
        }
        assert_eq!(bench.guard.metrics().reloads(), 1);
    }
}

#[test]
fn each_rung_of_the_ladder_does_what_it_says() {
    let bench = Bench::new();
    bench.clock.advance(BOUND_MS);
    // Issued 60 s before the test began, so 65 s old now.
    for (rule, ground) in [
        (Stale::AgeCap { cap_ms: 65_001 }, Some(Ground::Young)),
        (Stale::AgeCap { cap_ms: 65_000 }, None),
        (Stale::Introspect, None),
        (Stale::Deny, None),
        (Stale::Allow, Some(Ground::Allowed)),
    ] {
        let admitted = bench
            .guard
            .check(&bench.token(), &Requirements::any().stale(rule));
        assert_eq!(
            admitted.ok().map(|admission| admission.ground()),
            ground,
            "{rule:?}"
        );
    }
    assert_eq!(bench.guard.metrics().admitted_stale(), 2);
    // A covered token is dead on every rung.
    bench.revoke(revocation("sub", "alice"));
    for rule in [
        Stale::AgeCap { cap_ms: 600_000 },
        Stale::Introspect,
        Stale::Deny,
        Stale::Allow,
    ] {
        let refused = bench
            .guard
            .check(&bench.token(), &Requirements::any().stale(rule))
            .unwrap_err();
        assert_eq!(refused.reason, Reason::TokenRevoked);
    }
}

#[test]
fn an_issue_instant_ahead_makes_no_token_younger_than_it_can_be() {
    let bench = Bench::new();
    bench.clock.advance(BOUND_MS);
    let route = Requirements::any().stale(Stale::AgeCap { cap_ms: 1 });
    // Within the skew: as young as can be; beyond it, not valid yet.
    let ahead = |s: i64| bench.token_with("iat", json!(NOW.seconds_floor() + s));
    assert!(bench.guard.check(&ahead(65), &route).is_ok());
    assert_eq!(
        bench.guard.check(&ahead(66), &route).unwrap_err().reason,
        Reason::TokenNotYetValid
    );
}

//! The rule of ENFORCED, sentence by sentence.

use super::*;
use crate::place::LogPartition;

const LOG: [u8; 16] = [7; 16];
const LEASE_MS: i64 = 30_000;
const X: i64 = 5_000;
/// When the record became durable.
const A: i64 = 1_000_000;

fn at(ms: i64) -> Millis {
    Millis::from_unix_ms(ms)
}

fn place(partition: u16, offset: u64) -> Position {
    Position {
        partition: LogPartition(partition),
        offset,
    }
}

/// A guard that was heard when the record became durable, and has told these positions.
fn guard(name: &str, bound_ms: Option<i64>, positions: &[u64]) -> Arc<Lease> {
    let mut lease = Lease {
        name: name.into(),
        replica: "r1".into(),
        caller: "guards".into(),
        version: "1".into(),
        source: "hub".into(),
        audiences: Vec::new(),
        min_reader: 1,
        routes: Vec::new(),
        bound_ms,
        positions: positions.to_vec(),
        log_id: LOG,
        registered: at(A - 60_000),
        seen: Millis::ZERO,
        counts_until: Millis::ZERO,
    };
    lease.hear(at(A), LEASE_MS);
    Arc::new(lease)
}

fn but(lease: Arc<Lease>, change: impl FnOnce(&mut Lease)) -> Arc<Lease> {
    let mut lease = Lease::clone(&lease);
    change(&mut lease);
    Arc::new(lease)
}

/// In one log partition, at offset 7 of the second of two.
fn narrow(leases: &[Arc<Lease>], lost: Option<Lost>, now: i64) -> Enforced {
    let revoked = Revoked {
        log_id: LOG,
        positions: &[place(1, 7)],
        durable_at: at(A),
    };
    enforced(&revoked, leases, lost, at(now))
}

fn names(list: &[Counted]) -> Vec<&str> {
    list.iter().map(|counted| &*counted.lease.name).collect()
}

#[test]
fn a_guard_that_reported_past_it_confirms() {
    let told = narrow(&[guard("orders", Some(X), &[0, 8])], None, A);
    assert!(told.is_reached() && told.next_at().is_none());
    assert_eq!(names(&told.confirmed), ["orders"]);
    assert_eq!(told.confirmed[0].at, at(A), "when it was heard");
}

#[test]
fn the_record_itself_must_be_applied_not_only_what_lies_before() {
    let told = narrow(&[guard("orders", Some(X), &[99, 7])], None, A);
    assert_eq!(names(&told.pending), ["orders"]);
    assert!(!told.is_reached());
}

#[test]
fn a_wide_record_counts_in_all_partitions() {
    let revoked = Revoked {
        log_id: LOG,
        positions: &[place(0, 3), place(1, 7)],
        durable_at: at(A),
    };
    let leases = [guard("all", Some(X), &[4, 8]), guard("one", Some(X), &[3, 8])];
    let told = enforced(&revoked, &leases, None, at(A));
    assert_eq!(names(&told.confirmed), ["all"]);
    assert_eq!(names(&told.pending), ["one"]);
}

#[test]
fn nobody_registered_is_enforced_at_once() {
    assert!(narrow(&[], None, A).is_reached());
}

#[test]
fn a_guard_that_stalls_is_waited_out_after_its_own_bound_and_no_sooner() {
    let stalled = guard("orders", Some(X), &[0, 7]);
    let told = narrow(std::slice::from_ref(&stalled), None, A + X + EPSILON_MS - 1);
    assert_eq!(names(&told.pending), ["orders"]);
    assert_eq!(told.next_at(), Some(at(A + X + EPSILON_MS)));
    let told = narrow(&[stalled], None, A + X + EPSILON_MS);
    assert!(told.is_reached());
    assert_eq!(names(&told.waited_out), ["orders"]);
}

#[test]
fn a_guard_on_the_age_cap_is_waited_out_after_the_cap() {
    let cap_ms = 600_000;
    let capped = guard("files", Some(cap_ms), &[0, 7]);
    let told = narrow(&[guard("orders", Some(X), &[0, 8]), capped], None, A + 60_000);
    assert_eq!(names(&told.confirmed), ["orders"]);
    assert_eq!(names(&told.pending), ["files"]);
    assert_eq!(told.next_at(), Some(at(A + cap_ms + EPSILON_MS)));
}

#[test]
fn q19_a_guard_that_died_counts_until_its_lapse_and_its_bound() {
    let dead = but(guard("orders", Some(X), &[0, 7]), |dead| {
        dead.seen = at(A - LEASE_MS - 2_000);
        dead.hear(dead.seen, LEASE_MS);
    });
    assert!(!dead.is_live(at(A)), "it had lapsed two seconds before");
    let told = narrow(std::slice::from_ref(&dead), None, A);
    assert_eq!(names(&told.pending), ["orders"]);
    let over = A - 2_000 + X + EPSILON_MS;
    assert_eq!(told.next_at(), Some(at(over)));
    assert!(narrow(std::slice::from_ref(&dead), None, over).is_reached());
    // One whose lapse and bound were over before is nobody's to wait for.
    let over = but(dead, |dead| dead.counts_until = at(A));
    let told = narrow(&[over], None, A);
    assert!(told.is_reached() && told.waited_out.is_empty());
}

#[test]
fn a_guard_that_registers_after_the_revocation_is_not_waited_for() {
    let late = but(guard("orders", Some(X), &[]), |late| {
        late.registered = at(A + EPSILON_MS + 1)
    });
    assert!(narrow(&[late], None, A + 2_000).is_reached());
}

#[test]
fn a_guard_that_registered_at_about_the_same_time_is_waited_for() {
    let close = but(guard("orders", Some(X), &[]), |close| {
        close.registered = at(A + EPSILON_MS)
    });
    assert_eq!(names(&narrow(&[close], None, A + 2_000).pending), ["orders"]);
}

#[test]
fn a_guard_that_registers_late_with_an_old_view_is_waited_for() {
    let back = but(guard("orders", Some(X), &[0, 7]), |back| {
        back.registered = at(A + 3_000)
    });
    assert_eq!(names(&narrow(&[back], None, A + 4_000).pending), ["orders"]);
}

#[test]
fn a_guard_without_a_bound_is_told_and_not_waited_for() {
    let open = guard("orders", None, &[0, 7]);
    let told = narrow(std::slice::from_ref(&open), None, A);
    assert!(told.is_reached());
    assert_eq!(names(&told.unbounded), ["orders"]);
    let past = narrow(&[guard("orders", None, &[0, 8])], None, A);
    assert_eq!(names(&past.confirmed), ["orders"]);
}

#[test]
fn positions_of_another_log_confirm_nothing() {
    let other = but(guard("orders", Some(X), &[99, 99]), |other| {
        other.log_id = [8; 16]
    });
    assert_eq!(names(&narrow(&[other], None, A).pending), ["orders"]);
}

#[test]
fn an_authority_counts_as_a_guard_does() {
    let authority = but(guard("authority", Some(X), &[0, 7]), |authority| {
        authority.source = "authority".into()
    });
    assert_eq!(names(&narrow(&[authority], None, A).pending), ["authority"]);
}

#[test]
fn q19_after_a_change_of_the_directorys_incarnation_every_answer_waits_the_largest_bound() {
    let cap_ms = 600_000;
    let lost = Some(Lost::at(at(A - 1_000), LEASE_MS, cap_ms));
    let all = [guard("orders", Some(X), &[0, 8])];
    let told = narrow(&all, lost, A);
    assert!(!told.is_reached(), "though whoever is known has confirmed");
    assert_eq!(told.next_at(), Some(at(A + cap_ms + EPSILON_MS)));
    assert!(narrow(&all, lost, A + cap_ms + EPSILON_MS).is_reached());
}

#[test]
fn a_change_is_over_once_no_lost_registration_can_count() {
    let changed = A - LEASE_MS - X;
    let all = [guard("orders", Some(X), &[0, 8])];
    let lost = |changed| Some(Lost::at(at(changed), LEASE_MS, X));
    assert!(narrow(&all, lost(changed), A).is_reached());
    assert!(!narrow(&all, lost(changed + 1), A).is_reached());
}

//! Endings: each way publishes exactly one revocation id, and caps, ledgers and gates around them.

use std::sync::Arc;

use curfew_core::decide::end::Ended;
use curfew_core::decide::revoke::{self, Cut};
use curfew_core::decide::subject_state::Change;
use curfew_core::decide::{Verdict, open};
use curfew_core::directory::{AtCap, OnReuse};
use curfew_core::ids::{SessionId, SubjectId};
use curfew_core::place::Partition;
use curfew_core::refusal::Reason;
use curfew_core::session::{Device, GRANTS_MAX, GRANTS_PER_CLIENT_MAX, GRANTS_TOLD_MAX, SESSIONS_MAX};
use curfew_core::stored::{Key, Record, Write};
use curfew_core::subject::{Ledger, LedgerEntry};
use curfew_core::time::Millis;

use crate::world::{
    CLIENTS, DAY, HOUR, MINUTE, Told, World, client, key_of, motive, present, subject, tenant_id,
};

const ADA: &str = "ada";

fn count<T>(told: &Told<T>) -> usize {
    assert!(matches!(told.verdict, Verdict::Granted(_) | Verdict::Refused(_)));
    told.revocations.len()
}

/// A world in which the subject has sessions up to the cap; of the rows, only the named ones are there.
fn at_the_cap(with_row: &[usize]) -> (World, Vec<SessionId>) {
    let mut world = World::new(3);
    let real = world.sign_in(ADA);
    let template = (*world.row(real).unwrap()).clone();
    let mut ledger = Ledger::new(tenant_id(), subject(ADA));
    let mut sids = Vec::new();
    for n in 0..SESSIONS_MAX {
        let birth = world.now.plus_ms(i64::try_from(n).unwrap() - 10_000);
        let sid = SessionId::new(birth, Partition::DIRECTORY, [0x11; 8]);
        ledger.add(LedgerEntry {
            sid,
            last_used: birth,
            expires_at: template.expires_at,
        });
        if with_row.contains(&n) {
            let row = curfew_core::session::Row {
                sid,
                ..template.clone()
            };
            world.put(Key::Session(sid), Record::Session(Arc::new(row)));
        }
        sids.push(sid);
    }
    ledger.clock = world.now;
    world.put(Key::Ledger(key_of(ADA)), Record::Ledger(Arc::new(ledger)));
    (world, sids)
}

fn reuse(world: &mut World, policy: OnReuse) -> usize {
    world.tenant(|tenant| tenant.on_reuse = policy);
    let sid = world.sign_in(ADA);
    let first = world.authorize(ADA, sid, "spa").refresh;
    let second = world.refresh(ADA, &present(&first, "spa")).granted().refresh;
    world.refresh(ADA, &present(&second, "spa")).granted();
    let told = world.refresh(ADA, &present(&first, "spa"));
    let again = world.refresh(ADA, &present(&first, "spa"));
    assert!(again.did_nothing());
    count(&told)
}

fn wide(world: &mut World, all_of: &[(&str, &str)], cut: Cut) -> usize {
    let request = world.revocation(all_of, cut);
    count(&world.revoke_wide(&request))
}

#[test]
fn invariant_11_every_way_to_end_publishes_exactly_one_revocation_id() {
    type Way = (&'static str, fn(&mut World) -> usize);
    let ways: [Way; 17] = [
        ("a session is ended", |w| {
            let sid = w.sign_in(ADA);
            let ended = w.end_session(ADA, sid);
            let again = w.end_session(ADA, sid);
            assert!(again.revocations.is_empty());
            assert!(matches!(again.granted(), Ended::Before(_)));
            count(&ended)
        }),
        ("a grant is ended", |w| {
            let sid = w.sign_in(ADA);
            let gid = w.authorize(ADA, sid, "spa").access.gid;
            let ended = w.end_grant(ADA, sid, gid);
            assert!(w.end_grant(ADA, sid, gid).revocations.is_empty());
            count(&ended)
        }),
        ("the other sessions are ended", |w| {
            let (spared, _) = (w.sign_in(ADA), w.sign_in(ADA));
            count(&w.cut_off(ADA, Some(spared)))
        }),
        ("a subject is cut off", |w| {
            w.sign_in(ADA);
            count(&w.cut_off(ADA, None))
        }),
        ("a subject that nobody knows is cut off", |w| {
            count(&w.cut_off("nobody", None))
        }),
        ("a subject is disabled", |w| {
            let told = w.change(ADA, Change::Disable);
            assert_eq!(told.others, 1, "and its state is told");
            count(&told)
        }),
        ("a subject is deleted", |w| count(&w.change(ADA, Change::Delete))),
        ("a device is cut off", |w| {
            wide(w, &[("deviceid", "d")], Cut::BeforeNow("sid"))
        }),
        ("a client is cut off", |w| {
            wide(w, &[("client_id", "spa")], Cut::BeforeNow("gid"))
        }),
        ("a tenant is cut off", |w| {
            wide(w, &[("tid", &tenant_id().to_string())], Cut::BeforeNow("sid"))
        }),
        ("a provider is cut off", |w| {
            wide(w, &[("idp", "https://idp.example")], Cut::BeforeNow("sid"))
        }),
        ("a key is revoked", |w| wide(w, &[("jose.kid", "k1")], Cut::Plain)),
        ("a token is revoked by its jti", |w| {
            let sid = w.sign_in(ADA);
            let jti = w.authorize(ADA, sid, "spa").access.jti.to_string();
            let request = w.revocation(&[("jti", &jti)], Cut::Plain);
            count(
                &w.decide(|_, context, entropy| revoke::log_only(context, &request, entropy, |_| Vec::new())),
            )
        }),
        ("a reused token ends its grant", |w| reuse(w, OnReuse::EndGrant)),
        ("a reused token ends its session", |w| {
            reuse(w, OnReuse::EndSession)
        }),
        ("the cap of sessions ends one", |_| {
            let (mut world, _) = at_the_cap(&[0]);
            let request = world.opening(ADA);
            count(&world.open(&request))
        }),
        ("the cap of grants ends one", |w| {
            let sid = w.sign_in(ADA);
            for _ in 0..GRANTS_PER_CLIENT_MAX {
                w.authorize(ADA, sid, "spa");
            }
            let mut request = w.issuing(ADA, sid, "spa");
            request.resource = Some("api".into());
            count(&w.issue(ADA, &request, None))
        }),
    ];
    for (name, way) in ways {
        assert_eq!(way(&mut World::new(4)), 1, "{name}");
    }
}

#[test]
fn invariant_11_an_enable_and_what_time_ends_publish_no_revocation() {
    let mut world = World::new(4);
    world.change(ADA, Change::Disable).granted();
    assert!(world.change(ADA, Change::Enable).revocations.is_empty());
    let sid = world.sign_in(ADA);
    let gid = world.authorize(ADA, sid, "spa").access.gid;
    world.pass(91 * DAY);
    for told in [world.end_grant(ADA, sid, gid), world.end_session(ADA, sid)] {
        assert!(told.revocations.is_empty());
        assert_eq!(told.granted(), Ended::Expired);
    }
    world.sign_in(ADA);
    assert_eq!(world.log.len(), 1, "the disable's cut-off");
}

#[test]
fn an_expired_session_is_ended_and_published_while_a_guard_may_still_admit_its_last_token() {
    for (ms, is_published) in [(0, true), (61_000, true), (61_001, false)] {
        let mut world = World::new(4);
        let sid = world.sign_in(ADA);
        world.pass(90 * DAY - 5 * MINUTE);
        world.change_row(sid, |row| row.last_used = row.expires_at.plus_ms(-5 * MINUTE));
        let issued = world.authorize(ADA, sid, "spa");
        assert_eq!(issued.access.expires_at, issued.session_expires_at);
        world.now = issued.session_expires_at.plus_ms(ms);
        let told = world.end_session(ADA, sid);
        assert_eq!(
            told.revocations.len(),
            usize::from(is_published),
            "{ms} ms after the end"
        );

        let mut world = World::new(4);
        world.client("spa", |client| client.grant_life_ms = Some(5 * MINUTE));
        let sid = world.sign_in(ADA);
        let issued = world.authorize(ADA, sid, "spa");
        world.now = issued.grant_expires_at.plus_ms(ms);
        let told = world.end_grant(ADA, sid, issued.access.gid);
        assert_eq!(
            told.revocations.len(),
            usize::from(is_published),
            "{ms} ms after the grant's"
        );
    }
}

#[test]
fn p3_invariant_8_keep_until_outlives_every_token_of_the_row_and_of_a_lost_suffix() {
    let mut world = World::new(4);
    let sid = world.sign_in(ADA);
    let issued = world.authorize(ADA, sid, "spa");
    world.pass(MINUTE);
    let record = world.end_session(ADA, sid).revocations.remove(0);
    assert_eq!(record.keep_until, issued.access.expires_at.plus_ms(61_000));
    // Under a new incarnation the row may have forgotten a token that lives as long as L permits.
    let sid = world.sign_in(ADA);
    let kept = world.states();
    world.fail_over(kept);
    world.pass(MINUTE);
    let record = world.end_session(ADA, sid).revocations.remove(0);
    assert!(record.keep_until >= world.now.plus_ms(-MINUTE + DAY + 2 * MINUTE));
}

#[test]
fn a_record_without_living_tokens_is_kept_until_a_checkpoint_has_passed_it() {
    let mut world = World::new(4);
    let sid = world.sign_in(ADA);
    world.authorize(ADA, sid, "spa");
    world.pass(8 * HOUR);
    let record = world.end_session(ADA, sid).revocations.remove(0);
    // Checkpoints move every 30 s: what a failover un-ends is refused by the index until it is merged.
    assert!(record.keep_until.ms_since(world.now) >= 60_000);
}

#[test]
fn q1_except_spares_exactly_its_session_and_only_from_its_own_record() {
    let mut world = World::new(5);
    let (a, b, c) = (world.sign_in(ADA), world.sign_in(ADA), world.sign_in(ADA));
    let tokens = [a, b, c].map(|sid| (sid, world.authorize(ADA, sid, "spa").refresh));
    world.cut_off(ADA, Some(b)).granted();
    world.pass(2_000);
    for (sid, token) in &tokens {
        let told = world.refresh(ADA, &present(token, "spa"));
        assert_eq!(told.is_granted(), *sid == b);
    }
    // A session that an earlier record covers cannot be spared, nor can one that is over.
    assert_eq!(world.cut_off(ADA, Some(a)).refused(), Reason::ExceptedNotAlive);
    world.end_session(ADA, b).granted();
    assert_eq!(world.cut_off(ADA, Some(b)).refused(), Reason::ExceptedNotAlive);
    assert_eq!(world.cut_off("eve", Some(b)).refused(), Reason::ExceptedNotAlive);
    assert_eq!(world.log.len(), 2);
}

#[test]
fn q1_a_session_that_only_the_index_or_a_wide_mark_covers_cannot_be_spared() {
    for wide in [false, true] {
        let mut world = World::new(5);
        let mut request = world.opening(ADA);
        request.device = Some(device("d"));
        let stolen = world.open(&request).granted().row.sid;
        if wide {
            let request = world.revocation(&[("deviceid", "d")], Cut::BeforeNow("sid"));
            world.revoke_wide(&request).granted();
        } else {
            world
                .index
                .insert(&crate::world::heard(&[("sid", &stolen.to_string())]));
        }
        assert_eq!(
            world.cut_off(ADA, Some(stolen)).refused(),
            Reason::ExceptedNotAlive
        );
    }
}

pub(crate) fn device(id: &str) -> Device {
    Device {
        id: id.parse().unwrap(),
        label: None,
        platform: None,
        managed: false,
        compliant: false,
    }
}

#[test]
fn p26_a_cut_off_empties_the_list_so_that_the_cap_ends_nothing_that_is_dead() {
    let (mut world, sids) = at_the_cap(&[0, 999]);
    world.cut_off(ADA, Some(sids[999])).granted();
    assert_eq!(
        world
            .ledger(ADA)
            .unwrap()
            .sessions
            .iter()
            .map(|e| e.sid)
            .collect::<Vec<_>>(),
        [sids[999]]
    );
    let request = world.opening(ADA);
    world.pass(2_000);
    let told = world.open(&request);
    assert!(told.revocations.is_empty());
    assert_eq!(told.granted().ended, None);
}

#[test]
fn at_the_cap_of_sessions_the_longest_unused_ends_or_the_opening_is_refused() {
    // (rows that are there, policy, what is ended or refused)
    let cases = [
        (&[0_usize][..], AtCap::EndLongestUnused, Ok(true)),
        // What is over does not count: the list is a hint (Q17).
        (&[], AtCap::EndLongestUnused, Ok(false)),
        (&[0], AtCap::Refuse, Err(Reason::CapSessions)),
        (&[], AtCap::Refuse, Ok(false)),
    ];
    for (rows, at_cap, expected) in cases {
        let (mut world, sids) = at_the_cap(rows);
        world.tenant(|tenant| tenant.at_cap = at_cap);
        let request = world.opening(ADA);
        let first = world.decide(|world, context, entropy| {
            let (gate, ledger) = (world.gate(ADA), world.ledger(ADA));
            let read = open::Read {
                gate: gate.as_deref(),
                ledger: ledger.as_deref(),
                longest_unused: None,
            };
            open::open(context, read, &request, entropy, |_| Vec::new())
        });
        assert!(matches!(first.verdict, Verdict::NeedsRow(sid) if sid == sids[0]));
        assert!(first.did_nothing());
        let told = world.open(&request);
        match expected {
            Err(reason) => {
                assert_eq!(told.refused(), reason);
                assert!(told.did_nothing());
            }
            Ok(is_ended) => {
                let opened = told.granted();
                assert_eq!(opened.ended.map(|(sid, _)| sid), is_ended.then_some(sids[0]));
                let ledger = world.ledger(ADA).unwrap();
                assert_eq!(ledger.sessions.len(), SESSIONS_MAX);
                assert!(ledger.sessions.iter().any(|entry| entry.sid == opened.row.sid));
            }
        }
    }
}

#[test]
fn p30_grants_are_capped_per_client_and_per_session_and_the_longest_unused_goes() {
    let mut world = World::new(6);
    let sid = world.sign_in(ADA);
    let first = world.authorize(ADA, sid, "spa").access.gid;
    for _ in 1..GRANTS_PER_CLIENT_MAX {
        world.pass(1_000);
        assert_eq!(world.authorize(ADA, sid, "spa").ended, None);
    }
    world.authorize(ADA, sid, "web");
    assert_eq!(world.authorize(ADA, sid, "spa").ended.unwrap().0, first);
    world.tenant(|tenant| tenant.at_cap = AtCap::Refuse);
    let mut request = world.issuing(ADA, sid, "spa");
    request.resource = Some("api".into());
    let told = world.issue(ADA, &request, None);
    assert_eq!(told.refused(), Reason::CapGrants);
    assert!(told.did_nothing());

    for n in 0..GRANTS_MAX {
        let id = format!("c{}", n / GRANTS_PER_CLIENT_MAX);
        let record = client(&id, curfew_core::directory::ClientAuthMethod::None);
        world
            .directory
            .clients
            .insert((tenant_id(), record.id.clone()), Arc::new(record));
        let mut request = world.issuing(ADA, sid, "spa");
        request.client = crate::world::proven(&id);
        request.resource = Some("api".into());
        let told = world.issue(ADA, &request, None);
        assert_eq!(
            told.is_granted(),
            n < GRANTS_MAX - GRANTS_PER_CLIENT_MAX - 1,
            "the {n}th"
        );
    }
    assert_eq!(world.row(sid).unwrap().live_grants().count(), GRANTS_MAX);
}

#[test]
fn p30_a_row_does_not_grow_with_use() {
    let mut world = World::new(6);
    let sid = world.sign_in(ADA);
    for n in 0..400 {
        world.pass(2 * MINUTE);
        world.authorize(ADA, sid, CLIENTS[n % 3]);
        let row = world.row(sid).unwrap();
        // Living ones, those whose access tokens are not over, and the few of which is told how they ended.
        assert!(
            row.grants.len() <= 3 * GRANTS_PER_CLIENT_MAX + 6 + GRANTS_TOLD_MAX,
            "{}",
            row.grants.len()
        );
    }
    world.pass(DAY + 1);
    world.authorize(ADA, sid, "spa");
    assert!(world.row(sid).unwrap().grants.len() <= 3 * GRANTS_PER_CLIENT_MAX + 1);
}

#[test]
fn grants_that_time_has_ended_hold_no_place_and_are_ended_by_nobody() {
    let mut world = World::new(6);
    world.client("spa", |client| client.grant_life_ms = Some(HOUR));
    world.tenant(|tenant| tenant.at_cap = AtCap::Refuse);
    let sid = world.sign_in(ADA);
    for _ in 0..3 {
        for _ in 0..GRANTS_PER_CLIENT_MAX {
            world.authorize(ADA, sid, "spa");
        }
        world.pass(HOUR);
    }
    assert!(world.log.is_empty());
    assert_eq!(world.row(sid).unwrap().grants.len(), GRANTS_PER_CLIENT_MAX);
}

fn collected_at(writes: &[(Key, Write)], key: &Key) -> Option<Millis> {
    let written = writes
        .iter()
        .find(|(written, _)| written == key)
        .map(|(_, write)| write);
    match written {
        Some(Write::Put { collect_at, .. }) => *collect_at,
        Some(Write::Delete) | None => panic!("{key:?} was not written"),
    }
}

#[test]
fn a_ledger_is_not_collected_while_another_session_lives() {
    let mut world = World::new(7);
    let mut request = world.opening(ADA);
    request.max_lifetime_ms = Some(HOUR);
    let short = world.open(&request).granted().row.sid;
    let long = world.sign_in(ADA);
    let told = world.end_session(ADA, short);
    let at = collected_at(&told.writes, &Key::Ledger(key_of(ADA)));
    assert!(at.unwrap() > world.row(long).unwrap().expires_at);
    world.pass(3 * DAY);
    world.collect(&told.writes);
    assert_eq!(world.ledger(ADA).unwrap().sessions.len(), 1);
}

#[test]
fn a_disabled_subjects_gate_is_never_collected_whatever_is_written_to_it_afterwards() {
    let mut world = World::new(7);
    world.sign_in(ADA);
    world.change(ADA, Change::Disable).granted();
    let narrow = world.revocation(&[("client_id", "spa"), ("oid", ADA)], Cut::Plain);
    let written = [
        world.change(ADA, Change::Disable).writes,
        world.cut_off(ADA, None).writes,
        world.revoke_narrow(ADA, None, &narrow).writes,
        world.change(ADA, Change::Delete).writes,
    ];
    for writes in written {
        assert_eq!(collected_at(&writes, &Key::Gate(key_of(ADA))), None);
    }
    assert_eq!(world.open(&world.opening(ADA)).refused(), Reason::SubjectDisabled);
    let lifted = world.change(ADA, Change::Enable);
    assert!(collected_at(&lifted.writes, &Key::Gate(key_of(ADA))).is_some());
}

#[test]
fn p8_a_cut_off_of_a_subject_whose_gate_was_lost_outlives_every_row_behind_it() {
    let mut world = World::new(7);
    world.tenant(|tenant| tenant.session_life_max_ms = 800 * DAY);
    let sid = world.sign_in(ADA);
    let token = world.authorize(ADA, sid, "spa").refresh;
    world.lose(&Key::Gate(key_of(ADA)));
    let narrow = world.revocation(&[("client_id", "spa"), ("oid", ADA)], Cut::BeforeNow("gid"));
    let marked = world.revoke_narrow(ADA, None, &narrow).writes;
    let end = world.row(sid).unwrap().expires_at;
    assert!(collected_at(&marked, &Key::Gate(key_of(ADA))).unwrap() > end);
    world.pass(2 * DAY);
    world.collect(&marked);
    world.sign_in(ADA);
    assert_eq!(
        world.refresh(ADA, &present(&token, "spa")).refused(),
        Reason::Revoked
    );

    world.lose(&Key::Gate(key_of(ADA)));
    let cut = world.cut_off(ADA, None).writes;
    assert!(collected_at(&cut, &Key::Gate(key_of(ADA))).unwrap() > end);
    world.pass(2 * DAY);
    world.collect(&cut);
    // A new sign-in would make a new gate, and the old session would refresh again.
    world.sign_in(ADA);
    assert_eq!(
        world.refresh(ADA, &present(&token, "spa")).refused(),
        Reason::Revoked
    );
}

#[test]
fn q14_a_disable_is_lifted_by_its_id_and_nothing_from_before_it_revives() {
    let mut world = World::new(8);
    let sid = world.sign_in(ADA);
    let token = world.authorize(ADA, sid, "spa").refresh;
    let first = world.change(ADA, Change::Disable).granted();
    let second = world.change(ADA, Change::Disable).granted();
    assert_eq!(second.disables, [first.state.unwrap(), second.state.unwrap()]);
    assert_eq!(world.open(&world.opening(ADA)).refused(), Reason::SubjectDisabled);
    assert!(world.change(ADA, Change::Enable).granted().disables.is_empty());
    let gate = world.gate(ADA).unwrap();
    assert_eq!(gate.lifted, [first.state.unwrap(), second.state.unwrap()]);
    world.pass(2_000);
    assert_eq!(
        world.refresh(ADA, &present(&token, "spa")).refused(),
        Reason::Revoked
    );
    let new = world.sign_in(ADA);
    world.authorize(ADA, new, "spa");
    // Nothing is left to be lifted: nothing is told.
    let again = world.change(ADA, Change::Enable);
    assert!(again.did_nothing());
}

#[test]
fn q30_another_subject_of_the_same_key_is_refused_everywhere() {
    let mut world = World::new(8);
    world.sign_in(ADA);
    world.change(ADA, Change::Disable).granted();
    let eve: SubjectId = subject("eve");
    for change in [Change::Enable, Change::Disable, Change::Delete] {
        let told = world.decide(|world, context, entropy| {
            let (gate, ledger) = (world.gate(ADA), world.ledger(ADA));
            let whole = curfew_core::decide::end::Subject {
                subject: &eve,
                key: key_of(ADA),
                gate: gate.as_deref(),
                ledger: ledger.as_deref(),
            };
            let motive = motive("test");
            curfew_core::decide::subject_state::change(context, whole, change, &motive, entropy, |_| {
                Vec::new()
            })
        });
        assert_eq!(told.refused(), Reason::SubjectMismatch, "{change:?}");
        assert!(told.did_nothing());
    }
    let mut request = world.opening("eve");
    request.subject_key = key_of(ADA);
    let told = world.decide(|world, context, entropy| {
        let (gate, ledger) = (world.gate(ADA), world.ledger(ADA));
        let read = open::Read {
            gate: gate.as_deref(),
            ledger: ledger.as_deref(),
            longest_unused: None,
        };
        open::open(context, read, &request, entropy, |_| Vec::new())
    });
    assert_eq!(told.refused(), Reason::SubjectMismatch);
}

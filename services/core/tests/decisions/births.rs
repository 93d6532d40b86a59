//! Births and cut-offs: old dies, new lives, whatever the clocks within their permitted error do; and
//! how long a token may live.

use std::collections::BTreeSet;
use std::sync::Arc;

use curfew_core::access_token::Authority;
use curfew_core::decide::revoke::{self, Cut, Home};
use curfew_core::decide::subject_state::Change;
use curfew_core::decide::update;
use curfew_core::directory::{ForeignIssuer, Lifetimes};
use curfew_core::ids::{GrantId, IssuerId, SessionId};
use curfew_core::index::Index;
use curfew_core::record::{Criterion, Revocation};
use curfew_core::refusal::Reason;
use curfew_core::session::Proof;
use curfew_core::stored::Key;
use curfew_core::time::{DELTA_MS, Millis, WIDE_AHEAD_MS};
use proptest::prelude::*;

use crate::endings::device;
use crate::histories::config;
use crate::world::{DAY, HOUR, MINUTE, START, Told, World, heard, present, scopes, tenant_id};

const ADA: &str = "ada";

fn cut(world: &mut World, all_of: &[(&str, &str)], claim: &'static str) -> Revocation {
    let request = world.revocation(all_of, Cut::BeforeNow(claim));
    world.revoke_wide(&request).granted()
}

fn b(record: &Revocation) -> Millis {
    record.before.as_ref().unwrap().instant
}

#[test]
fn p10_q23_nothing_new_is_minted_in_a_scope_before_the_clock_has_passed_b() {
    let scopes: [(&[(&str, &str)], &str); 5] = [
        (&[("tid", &tenant_id().to_string())], "sid"),
        (&[("idp", "https://idp.example")], "sid"),
        (&[("deviceid", "d")], "sid"),
        (&[("deviceid", "d")], "iat"),
        (&[("deviceid", "d")], "gid"),
    ];
    for (all_of, claim) in scopes {
        let mut world = World::new(1);
        let mut request = world.opening(ADA);
        request.device = Some(device("d"));
        let old = world.open(&request).granted().row.sid;
        let token = world.authorize(ADA, old, "spa").refresh;
        world.pass(1_234);
        let record = cut(&mut world, all_of, claim);
        let ahead = b(&record).ms_since(world.now);
        assert!(
            (WIDE_AHEAD_MS..WIDE_AHEAD_MS + 1_000).contains(&ahead),
            "{all_of:?}"
        );
        for _ in 0..2 {
            let opening = world.open(&request);
            assert_eq!(
                opening.not_before(),
                Some(b(&record)),
                "{all_of:?} before {claim}"
            );
            assert!(opening.did_nothing());
            let issuing = world.issue(ADA, &world.issuing(ADA, old, "spa"), None);
            assert!(issuing.did_nothing() && !issuing.is_granted());
            let refresh = world.refresh(ADA, &present(&token, "spa"));
            assert_eq!(
                refresh.refused(),
                Reason::Revoked,
                "refreshes are refused at once"
            );
            world.now = b(&record).plus_ms(-1);
        }
        world.now = b(&record);
        let new = world.open(&request).granted().row.sid;
        assert!(new.birth() >= b(&record));
        let issued = world.authorize(ADA, new, "spa");
        world.pass(HOUR);
        assert!(world.refresh(ADA, &present(&issued.refresh, "spa")).is_granted());
        // Only `iat` ends tokens and not sessions.
        assert_eq!(
            world.refresh(ADA, &present(&token, "spa")).is_granted(),
            claim == "iat"
        );
    }
}

#[test]
fn q23_app_only_tokens_wait_for_b_as_well() {
    let mut world = World::new(1);
    let old = world.app_token("web").granted();
    let record = cut(&mut world, &[("client_id", "web")], "gid");
    assert!(old.gid.birth() < b(&record));
    let told = world.app_token("web");
    assert_eq!(told.not_before(), Some(b(&record)));
    assert!(told.did_nothing());
    world.now = b(&record);
    assert!(world.app_token("web").granted().gid.birth() >= b(&record));
}

#[test]
fn p11_a_client_cut_off_compares_the_grants_birth_and_not_the_sessions() {
    let mut world = World::new(1);
    let sid = world.sign_in(ADA);
    let old = world.authorize(ADA, sid, "spa").refresh;
    let other = world.authorize(ADA, sid, "web").refresh;
    world.pass(DAY);
    let code_issued_at = world.now;
    let record = cut(&mut world, &[("client_id", "spa")], "gid");
    let mut request = world.issuing(ADA, sid, "spa");
    request.resource = Some("api".into());
    assert_eq!(world.issue(ADA, &request, None).not_before(), Some(b(&record)));
    world.now = b(&record);
    let new = world.issue(ADA, &request, None).granted();
    // A code from before B, redeemed after it, is dead.
    request.authorized_at = Some(code_issued_at);
    assert_eq!(world.issue(ADA, &request, None).refused(), Reason::Revoked);
    world.pass(MINUTE);
    assert_eq!(
        world.refresh(ADA, &present(&old, "spa")).refused(),
        Reason::Revoked
    );
    assert!(world.refresh(ADA, &present(&new.refresh, "spa")).is_granted());
    assert!(world.refresh(ADA, &present(&other, "web")).is_granted());
}

#[test]
fn a_grant_is_born_when_its_authorization_is_given_in_the_session_and_not_in_the_future() {
    let mut world = World::new(1);
    let sid = world.sign_in(ADA);
    world.pass(HOUR);
    let cases = [
        (None, world.now),
        (Some(world.now.plus_ms(-MINUTE)), world.now.plus_ms(-MINUTE)),
        (Some(Millis::ZERO), sid.birth()),
        (Some(Millis::MAX), world.now),
    ];
    for (authorized_at, birth) in cases {
        let mut request = world.issuing(ADA, sid, "spa");
        request.resource = Some("api".into());
        request.authorized_at = authorized_at;
        assert_eq!(
            world.issue(ADA, &request, None).granted().access.gid.birth(),
            birth
        );
    }
}

#[test]
fn q3_a_key_is_revoked_without_before_and_at_once() {
    let mut world = World::new(1);
    let sid = world.sign_in(ADA);
    let token = world.authorize(ADA, sid, "spa").refresh;
    let before = world.revocation(&[("jose.kid", "k1")], Cut::BeforeNow("sid"));
    let told = world.revoke_wide(&before);
    assert_eq!(told.refused(), Reason::CriteriaInvalid);
    assert!(told.did_nothing());
    let plain = world.revocation(&[("jose.kid", "k1")], Cut::Plain);
    world.revoke_wide(&plain).granted();
    assert_eq!(
        world.refresh(ADA, &present(&token, "spa")).refused(),
        Reason::Revoked
    );
    assert_eq!(world.app_token("web").refused(), Reason::Revoked);
}

#[test]
fn q10_criteria_that_would_cover_everybody_or_another_tenant_are_refused() {
    let many: Vec<_> = ["a", "b", "c", "d", "e"].map(|claim| (claim, "v")).to_vec();
    let cases: [(&[(&str, &str)], Cut); 9] = [
        (&[], Cut::Plain),
        (&[("tid", "t")], Cut::Plain),
        (&[("aud", "https://orders.example"), ("tid", "t")], Cut::Plain),
        (&[("deviceid", "")], Cut::Plain),
        (&[("", "d")], Cut::Plain),
        (&[("deviceid", "d"), ("deviceid", "e")], Cut::Plain),
        (&[("deviceid", "d"), ("client_id", "spa")], Cut::Plain),
        (&many, Cut::Plain),
        (&[("deviceid", "d")], Cut::BeforeNow("jti")),
    ];
    for (all_of, cut) in cases {
        let mut world = World::new(1);
        let request = world.revocation(all_of, cut);
        let told = world.revoke_wide(&request);
        assert_eq!(told.refused(), Reason::CriteriaInvalid, "{all_of:?}");
        assert!(told.did_nothing());
    }
    let mut world = World::new(1);
    let mut request = world.revocation(&[("oid", ADA)], Cut::Plain);
    request.issuer = IssuerId::from_bytes([9; 16]);
    assert_eq!(world.revoke_wide(&request).refused(), Reason::IssuerEntryUnknown);
    assert_eq!(
        world.revoke_narrow(ADA, None, &request).refused(),
        Reason::IssuerEntryUnknown
    );
}

#[test]
fn q6_a_mark_is_accepted_only_where_what_it_covers_could_be_refreshed() {
    type Case<'a> = (&'a [(&'a str, &'a str)], bool, Option<Home>);
    let cases: [Case<'_>; 9] = [
        (&[("oid", "ada")], false, Some(Home::Subject)),
        (&[("client_id", "spa"), ("oid", "ada")], true, Some(Home::Subject)),
        (&[("sid", "s")], false, Some(Home::Session)),
        (&[("gid", "g"), ("sid", "s")], false, Some(Home::Session)),
        (&[("gid", "g")], false, None),
        (&[("sub", "ada")], false, None),
        (&[("jti", "t")], false, Some(Home::Log)),
        (&[("jti", "t")], true, None),
        (&[("acr", "pwd"), ("deviceid", "d")], true, Some(Home::Directory)),
    ];
    for (all_of, has_before, home) in cases {
        let all_of: Vec<_> = all_of.iter().map(|(c, v)| Criterion::new(c, v)).collect();
        assert_eq!(revoke::home_of(&all_of, has_before).ok(), home, "{all_of:?}");
    }
    let mut world = World::new(1);
    let device = world.revocation(&[("deviceid", "d")], Cut::Plain);
    let eve = world.revocation(&[("oid", "eve")], Cut::Plain);
    assert_eq!(
        world.revoke_narrow(ADA, None, &device).refused(),
        Reason::CriteriaInvalid
    );
    assert_eq!(
        world.revoke_narrow(ADA, None, &eve).refused(),
        Reason::CriteriaInvalid
    );
    let told = world.decide(|_, context, entropy| revoke::log_only(context, &eve, entropy, |_| Vec::new()));
    assert_eq!(told.refused(), Reason::CriteriaInvalid);
}

#[test]
fn q6_a_mark_in_the_gate_outlives_the_logs_keep_until() {
    let mut world = World::new(1);
    world.follows = true;
    let sid = world.sign_in(ADA);
    let spa = world.authorize(ADA, sid, "spa").refresh;
    let web = world.authorize(ADA, sid, "web").refresh;
    let request = world.revocation(&[("client_id", "spa"), ("oid", ADA)], Cut::BeforeNow("gid"));
    let record = world.revoke_narrow(ADA, None, &request).granted();
    world.pass(2 * DAY);
    assert!(record.keep_until < world.now);
    world.index.collect(world.now);
    assert!(world.index.is_empty());
    assert_eq!(
        world.refresh(ADA, &present(&spa, "spa")).refused(),
        Reason::Revoked
    );
    assert!(world.refresh(ADA, &present(&web, "web")).is_granted());
    let again = world.authorize(ADA, sid, "spa").refresh;
    assert!(
        world.refresh(ADA, &present(&again, "spa")).is_granted(),
        "only older ones were meant"
    );
}

#[test]
fn q4_a_wide_mark_lives_as_long_as_a_session_from_before_b_could() {
    let mut world = World::new(1);
    let record = cut(&mut world, &[("deviceid", "d")], "sid");
    let mark = &world.directory.wide_marks[&record.id];
    assert_eq!(mark.lives_until, b(&record).plus_ms(90 * DAY));
    assert!(
        world.has(&Key::DirectoryVersion),
        "every authority is told that the directory changed"
    );
}

fn foreign() -> ForeignIssuer {
    ForeignIssuer {
        tenant: tenant_id(),
        id: IssuerId::from_bytes([0xf0; 16]),
        display_name: "Entra".into(),
        spellings: vec!["https://login.example/v2".into()],
        life_ms: 28 * HOUR,
        claims: vec!["oid".into(), "sid".into()],
        clock_error_ms: 2_000,
        audiences: Vec::new(),
        jwks_uri: None,
        jwks: None,
    }
}

fn revoke_foreign(world: &mut World, issuer: &ForeignIssuer, request: &revoke::Request) -> Told<Revocation> {
    world.decide(|_, context, entropy| revoke::foreign(context, issuer, request, entropy, |_| Vec::new()))
}

#[test]
fn q7_q27_a_foreign_revocation_is_kept_for_that_issuers_longest_life_and_its_b_is_now() {
    let mut world = World::new(1);
    let issuer = foreign();
    for (add_clock_error, ahead) in [(false, 0), (true, 2_000)] {
        let mut request = world.revocation(&[("oid", ADA)], Cut::BeforeNow("iat"));
        request.issuer = issuer.id;
        request.add_clock_error = add_clock_error;
        let record = revoke_foreign(&mut world, &issuer, &request).granted();
        assert_eq!(b(&record), world.now.plus_ms(ahead));
        assert_eq!(record.keep_until, world.now.plus_ms(28 * HOUR + 2 * MINUTE));
        assert_eq!((record.issuer, record.tenant), (issuer.id, tenant_id()));
    }
}

#[test]
fn q10_q7_a_foreign_revocation_names_a_registered_issuer_and_claims_that_its_tokens_carry() {
    let issuer = foreign();
    let too_unsure = ForeignIssuer {
        clock_error_ms: 60_000,
        ..foreign()
    };
    type Case<'a> = (&'a ForeignIssuer, &'a [(&'a str, &'a str)], Cut, Reason);
    let cases: [Case<'_>; 5] = [
        (&issuer, &[("deviceid", "d")], Cut::Plain, Reason::ClaimNotCarried),
        (
            &issuer,
            &[("oid", ADA)],
            Cut::BeforeNow("sid"),
            Reason::CriteriaInvalid,
        ),
        (
            &issuer,
            &[("jose.kid", "k")],
            Cut::BeforeNow("iat"),
            Reason::CriteriaInvalid,
        ),
        (&issuer, &[], Cut::Plain, Reason::CriteriaInvalid),
        // B further ahead than 10 s is malformed: every reader of the log would freeze on it.
        (
            &too_unsure,
            &[("oid", ADA)],
            Cut::BeforeNow("iat"),
            Reason::CriteriaInvalid,
        ),
    ];
    for (issuer, all_of, cut, reason) in cases {
        let mut world = World::new(1);
        let mut request = world.revocation(all_of, cut);
        request.issuer = issuer.id;
        request.add_clock_error = true;
        let told = revoke_foreign(&mut world, issuer, &request);
        assert_eq!(told.refused(), reason, "{all_of:?}");
        assert!(told.did_nothing());
    }
    let mut world = World::new(1);
    let request = world.revocation(&[("oid", ADA)], Cut::Plain);
    assert_eq!(
        revoke_foreign(&mut world, &issuer, &request).refused(),
        Reason::IssuerEntryUnknown
    );
}

#[test]
fn p5_an_opening_takes_its_birth_from_the_clock_and_waits_while_that_is_far_ahead() {
    let mut world = World::new(1);
    world.sign_in(ADA);
    world.pass(-400);
    let sid = world.sign_in(ADA);
    assert_eq!(
        sid.birth(),
        Millis::from_unix_ms(START),
        "born on the subject's clock"
    );
    assert_eq!(world.ledger(ADA).unwrap().clock, sid.birth());
    world.pass(-101);
    let request = world.opening(ADA);
    let told = world.open(&request);
    assert_eq!(told.not_before(), Some(Millis::from_unix_ms(START - DELTA_MS)));
    assert!(told.did_nothing());
}

#[test]
fn q24_after_an_opening_of_the_partition_a_cut_off_lies_six_clock_errors_above_it() {
    let mut world = World::new(1);
    assert_eq!(
        b(&world.cut_off(ADA, None).granted()),
        world.now.plus_ms(1),
        "0 at bootstrap"
    );
    let kept = world.states();
    world.fail_over(kept);
    let opened = world.now;
    let above = opened.plus_ms(6 * DELTA_MS + 1);
    assert_eq!(b(&world.cut_off("eve", None).granted()), above);
    let device = world.revocation(&[("deviceid", "d"), ("oid", "bob")], Cut::BeforeNow("sid"));
    assert_eq!(
        b(&world.revoke_narrow("bob", None, &device).granted()),
        above,
        "a narrow one likewise"
    );
    world.pass(MINUTE);
    assert_eq!(b(&world.cut_off(ADA, None).granted()), world.now.plus_ms(1));
}

/// What happens next, by which authority's error.
#[derive(Clone, Debug)]
enum Step {
    Open { ada: bool },
    Issue,
    AppToken,
    CutOff { ada: bool },
    CutGrants,
    CutWorkload,
    FailOver { lost: usize, pause: i64 },
}

/// One subject that signs in and is cut off while its store restarts again and again, as `births2.py` has it.
fn restarts() -> impl Strategy<Value = Vec<(i64, i64, Step)>> {
    let step = prop_oneof![
        45 => Just(Step::Open { ada: true }),
        40 => Just(Step::CutOff { ada: true }),
        15 => (0_usize..12, prop_oneof![Just(0_i64), Just(200), Just(2_000)])
            .prop_map(|(lost, pause)| Step::FailOver { lost, pause }),
    ];
    let skew = prop_oneof![2 => Just(-DELTA_MS), 2 => Just(DELTA_MS), 1 => -DELTA_MS..=DELTA_MS];
    let passes = proptest::sample::select(vec![0_i64, 0, 1, 1, 1, 5, 100, 400]);
    proptest::collection::vec((passes, skew, step), 100..300)
}

fn steps() -> impl Strategy<Value = Vec<(i64, i64, Step)>> {
    let step = prop_oneof![
        6 => any::<bool>().prop_map(|ada| Step::Open { ada }),
        4 => Just(Step::Issue),
        4 => Just(Step::AppToken),
        3 => any::<bool>().prop_map(|ada| Step::CutOff { ada }),
        3 => Just(Step::CutGrants),
        3 => Just(Step::CutWorkload),
        3 => (0_usize..6, prop_oneof![Just(0_i64), Just(200), Just(2_000)])
            .prop_map(|(lost, pause)| Step::FailOver { lost, pause }),
    ];
    let skew = prop_oneof![Just(-DELTA_MS), Just(DELTA_MS), -DELTA_MS..=DELTA_MS];
    let passes = prop_oneof![3 => Just(0_i64), 3 => Just(1), 1 => Just(5), 1 => Just(100), 1 => Just(400), 1 => Just(1_100)];
    proptest::collection::vec((passes, skew, step), 1..250)
}

fn old_dies_and_new_lives(steps: Vec<(i64, i64, Step)>) {
    let mut world = World::new(9);
    let mut time = START;
    // What was born and not yet cut off, in lost suffixes too.
    let mut sessions: Vec<(&str, SessionId)> = Vec::new();
    let mut grants: Vec<GrantId> = Vec::new();
    let mut tokens: Vec<GrantId> = Vec::new();
    let mut cut_offs: [Millis; 4] = [Millis::ZERO; 4];
    let names = ["ada", "bob"];
    for (passes, skew, step) in steps {
        time += passes;
        world.now = Millis::from_unix_ms(time + skew);
        match step {
            Step::Open { ada } => {
                let name = names[usize::from(ada)];
                let request = world.opening(name);
                let told = world.open(&request);
                if told.not_before().is_none() {
                    let sid = told.granted().row.sid;
                    assert!(sid.birth() >= cut_offs[usize::from(ada)], "new lives");
                    sessions.push((name, sid));
                }
            }
            Step::Issue => {
                let Some((name, sid)) = sessions.last().copied() else {
                    continue;
                };
                let mut request = world.issuing(name, sid, "spa");
                request.resource = Some("api".into());
                let told = world.issue(name, &request, None);
                if told.is_granted() {
                    let gid = told.granted().access.gid;
                    assert!(name != "bob" || gid.birth() >= cut_offs[2], "new lives");
                    if name == "bob" {
                        grants.push(gid);
                    }
                }
            }
            Step::AppToken => {
                let told = world.app_token("web");
                if told.is_granted() {
                    let gid = told.granted().gid;
                    assert!(gid.birth() >= cut_offs[3], "new lives");
                    tokens.push(gid);
                }
            }
            Step::CutOff { ada } => {
                let name = names[usize::from(ada)];
                let before = b(&world.cut_off(name, None).granted());
                for (_, sid) in sessions.iter().filter(|(of, _)| *of == name) {
                    assert!(
                        sid.birth() < before,
                        "old dies: {:?} not before {:?}",
                        sid.birth(),
                        before
                    );
                }
                sessions.retain(|(of, _)| *of != name);
                cut_offs[usize::from(ada)] = before;
            }
            Step::CutGrants => {
                let request =
                    world.revocation(&[("client_id", "spa"), ("oid", "bob")], Cut::BeforeNow("gid"));
                let told = world.revoke_narrow("bob", None, &request);
                if told.is_granted() {
                    let before = b(&told.granted());
                    assert!(grants.iter().all(|gid| gid.birth() < before), "old dies");
                    grants.clear();
                    cut_offs[2] = before;
                }
            }
            Step::CutWorkload => {
                let before = b(&world.cut_off("web", None).granted());
                assert!(tokens.iter().all(|gid| gid.birth() < before), "old dies");
                tokens.clear();
                cut_offs[3] = before;
            }
            Step::FailOver { lost, pause } => {
                time += pause;
                world.now = Millis::from_unix_ms(time + skew);
                let kept = world.states().saturating_sub(lost);
                world.fail_over(kept);
                // A lost cut-off is merged from the log before the partition opens; here it is forgotten.
                cut_offs = [Millis::ZERO; 4];
            }
        }
    }
}

proptest! {
    #![proptest_config(config(400))]

    /// `reference/models/births2.py` over the real decisions, with grants and workloads beside sessions.
    #[test]
    fn invariant_6_old_dies_and_new_lives_under_arbitrary_clocks_and_failovers(steps in steps()) {
        old_dies_and_new_lives(steps);
    }

    #[test]
    fn q24_invariant_6_holds_while_a_store_restarts_again_and_again(steps in restarts()) {
        old_dies_and_new_lives(steps);
    }
}

#[test]
fn a_cut_off_by_what_is_told_in_whole_seconds_refuses_no_token_of_its_own_second_for_good() {
    let mut world = World::new(1);
    world.pass(250);
    let record = cut(&mut world, &[("client_id", "web")], "iat");
    assert_eq!(b(&record).as_unix_ms() % 1_000, 0);
    let mut last = world.now;
    while world.now < b(&record).plus_ms(1_000) {
        let told = world.app_token("web");
        match told.not_before() {
            // It is told to wait, and never told that it is dead.
            Some(instant) => assert_eq!(instant, b(&record)),
            None => drop(told.granted()),
        }
        last = world.now;
        world.pass(99);
    }
    assert!(last > b(&record));
}

#[test]
fn p13_a_step_up_reaches_a_client_only_through_a_new_authorization() {
    let mut world = World::new(1);
    let sid = world.sign_in(ADA);
    let stolen = world.authorize(ADA, sid, "spa").refresh;
    world.pass(HOUR);
    let proof = Proof {
        auth_time: world.now,
        acr: Some("mfa".into()),
        amr: vec!["pwd".into(), "otp".into()],
    };
    let request = update::Request {
        proof: Some(proof.clone()),
        ..update::Request::default()
    };
    assert_eq!(world.update(ADA, sid, &request).granted().proof, proof);
    let acr = |authority: &Authority| match authority {
        Authority::Delegated { proof, .. } => (proof.acr.clone(), proof.auth_time),
        Authority::AppOnly { .. } => panic!("delegated"),
    };
    let refreshed = world.refresh(ADA, &present(&stolen, "spa")).granted();
    assert_eq!(
        acr(&refreshed.access.authority),
        (Some("pwd".into()), Millis::from_unix_ms(START))
    );
    assert_eq!(refreshed.id.unwrap().proof.acr, Some("pwd".into()));
    let issued = world.authorize(ADA, sid, "spa");
    assert_eq!(acr(&issued.access.authority), (Some("mfa".into()), world.now));
}

#[test]
fn a_session_that_is_over_or_covered_cannot_be_updated() {
    type Case = (fn(&mut World, SessionId), Reason);
    let cases: [Case; 5] = [
        (|w, sid| drop(w.end_session(ADA, sid)), Reason::SessionEnded),
        (|w, _| drop(w.cut_off(ADA, None)), Reason::Revoked),
        (
            |w, _| drop(w.change(ADA, Change::Disable)),
            Reason::SubjectDisabled,
        ),
        (
            |w, sid| w.index.insert(&heard(&[("sid", &sid.to_string())])),
            Reason::Revoked,
        ),
        (
            |w, _| drop(cut(w, &[("idp", "https://idp.example")], "sid")),
            Reason::Revoked,
        ),
    ];
    for (change, reason) in cases {
        let mut world = World::new(1);
        let sid = world.sign_in(ADA);
        change(&mut world, sid);
        let request = update::Request {
            is_activity: true,
            ..update::Request::default()
        };
        let told = world.update(ADA, sid, &request);
        assert_eq!(told.refused(), reason);
        assert!(told.did_nothing());
    }
}

#[test]
fn p28_a_retried_issue_gives_what_its_first_try_gave_and_never_the_token_that_lives_now() {
    let mut world = World::new(1);
    let sid = world.sign_in(ADA);
    let mut request = world.issuing(ADA, sid, "spa");
    request.resource = Some("api".into());
    let first = world.issue(ADA, &request, None).granted();
    let gid = first.access.gid;
    let mut token = first.refresh.clone();
    for _ in 0..3 {
        world.pass(MINUTE);
        let again = world.issue(ADA, &request, Some(gid)).granted();
        assert_eq!((again.refresh.generation, again.access.gid), (0, gid));
        assert!(again.refresh.salt.matches(&first.refresh.salt));
        let row = world.row(sid).unwrap();
        assert_eq!(row.grants.len(), 1);
        assert!(again.access.expires_at <= row.latest_expiry);
        token = world.refresh(ADA, &present(&token, "spa")).granted().refresh;
    }
    let mut other = request.clone();
    other.client = crate::world::proven("web");
    assert_eq!(
        world.issue(ADA, &other, Some(gid)).refused(),
        Reason::GrantUnknown
    );
    world.end_grant(ADA, sid, gid).granted();
    assert_eq!(
        world.issue(ADA, &request, Some(gid)).refused(),
        Reason::GrantEnded
    );
}

#[test]
fn nothing_is_issued_to_a_client_that_did_not_authenticate_or_in_a_disabled_tenant() {
    let mut world = World::new(1);
    let sid = world.sign_in(ADA);
    let mut request = world.issuing(ADA, sid, "web");
    request.resource = Some("api".into());
    request.client.is_authenticated = false;
    assert_eq!(
        world.issue(ADA, &request, None).refused(),
        Reason::ClientAuthenticationFailed
    );
    request.client.is_authenticated = true;
    world.tenant(|tenant| tenant.disables.push(heard(&[("a", "b")]).id));
    assert_eq!(world.issue(ADA, &request, None).refused(), Reason::TenantDisabled);
    assert_eq!(world.app_token("web").refused(), Reason::TenantDisabled);
    assert_eq!(world.open(&world.opening(ADA)).refused(), Reason::TenantDisabled);
}

#[test]
fn p43_jitter_shortens_only_by_a_tenth_at_most_and_exp_is_a_whole_second() {
    let mut lives = BTreeSet::new();
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.pass(i64::try_from(seed).unwrap() * 37);
        let sid = world.sign_in(ADA);
        let access = world.authorize(ADA, sid, "spa").access;
        let life = access.expires_at.ms_since(world.now);
        assert!((9 * MINUTE - 1_000..=10 * MINUTE).contains(&life), "{life}");
        assert_eq!(access.expires_at.as_unix_ms() % 1_000, 0);
        assert!(access.expires_at <= world.row(sid).unwrap().latest_expiry);
        lives.insert(life / 1_000);
    }
    assert!(lives.len() > 30, "renewals are spread");
}

#[test]
fn exp_is_never_later_than_session_grant_policy_and_l() {
    type Bound = fn(&mut World, SessionId) -> Millis;
    let bounds: [(&str, Bound); 6] = [
        ("the session", |w, sid| {
            w.change_row(sid, |row| row.expires_at = Millis::from_unix_ms(START + 90_500));
            Millis::from_unix_ms(START + 90_500)
        }),
        ("the tenant's longest life, shortened", |w, _| {
            w.tenant(|tenant| tenant.session_life_max_ms = 90_500);
            Millis::from_unix_ms(START + 90_500)
        }),
        ("the grant", |w, sid| {
            w.change_row(sid, |row| {
                row.grants[0].expires_at = Millis::from_unix_ms(START + 90_500)
            });
            Millis::from_unix_ms(START + 90_500)
        }),
        ("the sign-in frequency", |w, _| {
            w.tenant(|tenant| tenant.sign_in_frequency_ms = Some(90_500));
            Millis::from_unix_ms(START + 90_500)
        }),
        ("L", |w, _| {
            w.directory.lifetimes = Some(Lifetimes {
                keep_ms: 30_500,
                mint_ms: DAY,
                mint_from: Millis::ZERO,
            });
            w.now.plus_ms(30_500)
        }),
        ("L before it may be minted", |w, _| {
            w.resource("api", |resource| resource.access_token_life_ms = Some(HOUR));
            w.directory.lifetimes = Some(Lifetimes {
                keep_ms: DAY,
                mint_ms: DAY,
                mint_from: Millis::MAX,
            });
            w.now.plus_ms(10 * MINUTE)
        }),
    ];
    for (what, bound) in bounds {
        let mut world = World::new(1);
        let sid = world.sign_in(ADA);
        let token = world.authorize(ADA, sid, "spa").refresh;
        world.pass(MINUTE);
        let at_most = bound(&mut world, sid);
        let refreshed = world.refresh(ADA, &present(&token, "spa")).granted();
        assert!(refreshed.access.expires_at <= at_most, "{what}");
        assert!(
            refreshed.id.unwrap().expires_at <= refreshed.session_expires_at,
            "{what}"
        );
        assert!(
            refreshed.access.expires_at <= refreshed.session_expires_at,
            "{what}"
        );
    }
}

#[test]
fn p38_a_long_life_needs_every_one_of_its_conditions() {
    type Lack = fn(&mut World);
    let lacks: [(&str, &str, Lack); 9] = [
        ("nothing lacks", "web", |_| {}),
        ("nothing lacks, bound", "phone", |_| {}),
        ("the client's record lacks cp1", "web", |w| {
            w.client("web", |client| client.cp1 = false)
        }),
        ("the resource is not guarded", "web", |w| {
            w.resource("api", |resource| resource.guarded = false)
        }),
        ("no guard lives now", "web", |w| w.guarded_now.clear()),
        ("another API's guard lives", "web", |w| {
            w.guarded_now = BTreeSet::from(["https://mail.example".into()])
        }),
        ("the tail is stale", "web", |w| w.tail_is_fresh = false),
        ("neither bound nor authenticated", "spa", |_| {}),
        ("the grant did not say cp1", "web", |w| {
            let Some(sid) = w.ledger(ADA).unwrap().sessions.first().map(|entry| entry.sid) else {
                return;
            };
            w.change_row(sid, |row| row.grants[0].cp1 = false);
        }),
    ];
    for (what, client, lack) in lacks {
        let mut world = World::new(1);
        world.client(client, |client| client.cp1 = true);
        world.resource("api", |resource| {
            resource.guarded = true;
            resource.access_token_life_ms = Some(DAY);
        });
        world.guarded_now = BTreeSet::from([Arc::from("https://api.example")]);
        let sid = world.sign_in(ADA);
        let token = world.authorize(ADA, sid, client).refresh;
        lack(&mut world);
        let access = world.refresh(ADA, &present(&token, client)).granted().access;
        let life = access.expires_at.ms_since(world.now);
        assert_eq!(life > HOUR, what.starts_with("nothing"), "{what}: {life} ms");
        assert!(life > 50 * MINUTE && life <= DAY);
    }
}

#[test]
fn a_disabled_or_mismatched_workload_gets_no_token_and_roles_are_those_that_it_holds() {
    let mut world = World::new(1);
    let token = world.app_token("web").granted();
    assert_eq!(
        token.authority,
        Authority::AppOnly {
            roles: scopes("Orders.Read")
        }
    );
    assert_eq!(token.gid, GrantId::of_token(token.jti));
    assert_eq!(world.app_token("spa").refused(), Reason::ClientNotPermitted);
    world.change("web", Change::Disable).granted();
    assert_eq!(world.app_token("web").refused(), Reason::SubjectDisabled);
}

#[test]
fn shapes_are_counted_over_both_layers_of_the_index() {
    let mut world = World::new(1);
    for n in 0..31 {
        world.index.insert(&heard(&[(&format!("claim{n}"), "v")]));
    }
    world.index.collect(Millis::ZERO);
    world.index.insert(&heard(&[("claim0", "w")]));
    world.index.insert(&heard(&[("deviceid", "d")]));
    assert_eq!(world.index.shapes_of(tenant_id()), 32);
    let known = world.revocation(&[("deviceid", "e")], Cut::Plain);
    let new = world.revocation(&[("client_id", "spa"), ("deviceid", "e")], Cut::Plain);
    assert!(world.revoke_wide(&known).is_granted());
    assert_eq!(world.revoke_wide(&new).refused(), Reason::TooManyShapes);
    assert!(Index::default().is_empty());
}

#[test]
fn a_cut_off_of_a_subject_whose_clock_was_driven_away_is_refused_and_published_nowhere() {
    let mut world = World::new(1);
    let now = world.now;
    world.now = now.plus_ms(30 * DAY);
    world.sign_in(ADA);
    world.now = now;
    let told = world.cut_off(ADA, None);
    assert_eq!(told.refused(), Reason::ClockSuspect);
    assert!(told.did_nothing());
}

//! The refresh table (DESIGN section 3), one test for each line and for each way of being refused.

use std::sync::Arc;

use curfew_core::decide::refresh::{Outcome, Refreshed};
use curfew_core::decide::revoke::Cut;
use curfew_core::decide::subject_state::Change;
use curfew_core::directory::{Activity, Late, OnReuse, Window};
use curfew_core::ids::{GrantId, RecordId, SessionId};
use curfew_core::mac;
use curfew_core::place::Incarnation;
use curfew_core::refresh_token::RefreshToken;
use curfew_core::refusal::{Class, Reason};
use curfew_core::secret::Salt;
use curfew_core::session::{Grant, KeyBinding};
use curfew_core::stored::{Key, Record};
use curfew_core::subject::Tombstone;
use curfew_core::time::Millis;

use crate::world::{
    DAY, HOUR, MINUTE, Presentation, START, Told, World, client_id, heard, key_of, present, subject,
};

const ADA: &str = "ada";

/// A signed-in subject with one grant, and the token that its client is about to present.
struct Scene {
    world: World,
    sid: SessionId,
    gid: GrantId,
    client: &'static str,
    presentation: Presentation,
}

fn scene(client: &'static str) -> Scene {
    let mut world = World::new(1);
    let sid = world.sign_in(ADA);
    let issued = world.authorize(ADA, sid, client);
    world.pass(MINUTE);
    Scene {
        sid,
        gid: issued.access.gid,
        client,
        presentation: present(&issued.refresh, client),
        world,
    }
}

impl Scene {
    fn refresh(&mut self) -> Told<Refreshed> {
        self.world.refresh(ADA, &self.presentation)
    }

    /// Presents the token and goes on with its successor.
    #[track_caller]
    fn go_on(&mut self) -> Refreshed {
        let refreshed = self.refresh().granted();
        self.presentation = present(&refreshed.refresh, self.client);
        refreshed
    }

    #[track_caller]
    fn presents(&mut self, token: &RefreshToken, outcome: Outcome) -> Refreshed {
        let refreshed = self.world.refresh(ADA, &present(token, self.client)).granted();
        assert_eq!(refreshed.outcome, outcome);
        refreshed
    }

    fn grant(&self) -> Grant {
        self.world.grant(self.sid, self.gid)
    }

    #[track_caller]
    fn is_refused(&mut self, reason: Reason) {
        let before = self.world.row(self.sid);
        let told = self.refresh();
        assert_eq!(told.refused(), reason);
        assert!(
            told.did_nothing(),
            "a refusal writes nothing and publishes nothing"
        );
        assert_eq!(self.world.row(self.sid), before, "no generation is spent");
    }
}

macro_rules! refused {
    ($($name:ident $client:literal $reason:ident $change:expr;)*) => { $(
        #[test]
        fn $name() {
            let mut scene = scene($client);
            let change: fn(&mut Scene) = $change;
            change(&mut scene);
            scene.is_refused(Reason::$reason);
        }
    )* };
}

refused! {
    refused_where_the_client_did_not_authenticate "web" ClientAuthenticationFailed
        |s| s.presentation.client.is_authenticated = false;
    refused_where_the_key_was_not_proven "phone" BindingMissing |s| s.presentation.client.key = None;
    refused_where_another_key_was_proven "phone" BindingWrong
        |s| s.presentation.client.key = Some(KeyBinding::Dpop("another".into()));
    refused_where_the_same_thumbprint_came_by_another_method "phone" BindingWrong
        |s| s.presentation.client.key = Some(KeyBinding::Mtls("thumbprint".into()));
    refused_for_another_client "spa" ClientMismatch |s| s.presentation.client.id = client_id("web");
    p8_refused_where_the_gate_is_absent "spa" SubjectUnknown |s| s.world.lose(&Key::Gate(key_of(ADA)));
    q30_refused_where_the_gate_is_another_subjects "spa" SubjectMismatch |s| {
        let mut gate = (*s.world.gate(ADA).unwrap()).clone();
        gate.subject = subject("eve");
        s.world.put(Key::Gate(key_of(ADA)), Record::Gate(Arc::new(gate)));
    };
    refused_where_the_session_was_ended "spa" SessionEnded |s| drop(s.world.end_session(ADA, s.sid).granted());
    refused_where_the_session_is_at_its_end "spa" SessionExpired
        |s| s.world.change_row(s.sid, |row| row.expires_at = Millis::from_unix_ms(START + MINUTE));
    refused_where_the_tenants_longest_life_was_shortened_since "spa" SessionExpired
        |s| s.world.tenant(|tenant| tenant.session_life_max_ms = MINUTE);
    refused_where_the_session_was_not_used "spa" SessionIdle |s| s.world.pass(14 * DAY);
    refused_below_the_floor "spa" FloorPassed |s| s.world.partition(|p| p.floor = Millis::from_unix_ms(START + 1));
    refused_where_the_grant_was_ended "spa" GrantEnded |s| drop(s.world.end_grant(ADA, s.sid, s.gid).granted());
    refused_where_the_grant_is_at_its_end "spa" GrantExpired
        |s| s.world.change_row(s.sid, |row| row.grants[0].expires_at = Millis::from_unix_ms(START + MINUTE));
    refused_where_the_sign_in_is_too_old "spa" SignInFrequency
        |s| s.world.tenant(|tenant| tenant.sign_in_frequency_ms = Some(MINUTE));
    refused_where_the_subject_is_disabled "spa" SubjectDisabled
        |s| drop(s.world.change(ADA, Change::Disable).granted());
    refused_where_the_client_is_gone "spa" ClientUnknown |s| s.world.directory.clients.clear();
    refused_where_the_client_is_disabled "spa" ClientDisabled
        |s| s.world.client("spa", |client| client.disables.push(RecordId::from_bytes([1; 16])));
    refused_where_the_tenant_is_disabled "spa" TenantDisabled
        |s| s.world.tenant(|tenant| tenant.disables.push(RecordId::from_bytes([1; 16])));
    refused_where_the_subject_was_cut_off "spa" Revoked |s| drop(s.world.cut_off(ADA, None).granted());
    q6_refused_where_a_mark_in_the_gate_covers_the_client "spa" Revoked |s| {
        let request = s.world.revocation(&[("client_id", "spa"), ("oid", ADA)], Cut::Plain);
        s.world.revoke_narrow(ADA, None, &request).granted();
    };
    q23_refused_at_once_where_a_wide_cut_off_lies_ahead "spa" Revoked |s| {
        let request = s.world.revocation(&[("client_id", "spa")], Cut::BeforeNow("gid"));
        let record = s.world.revoke_wide(&request).granted();
        assert!(record.before.unwrap().instant > s.world.now);
    };
    refused_where_only_the_authoritys_own_index_knows_of_the_end "spa" Revoked
        |s| s.world.index.insert(&heard(&[("sid", &s.sid.to_string())]));
    q3_refused_where_the_signing_key_is_revoked "spa" Revoked |s| {
        let request = s.world.revocation(&[("jose.kid", "k1")], Cut::Plain);
        s.world.revoke_wide(&request).granted();
    };
    refused_where_a_scope_is_beyond_the_grant "spa" ScopeWidened |s| s.presentation.scopes = "read admin";
    refused_where_the_resource_is_unknown "spa" ResourceUnknown |s| s.presentation.resource = Some("nowhere");
    refused_where_the_client_may_not_name_the_resource "spa" ResourceNotPermitted
        |s| s.world.client("spa", |client| client.resources = vec!["mail".parse().unwrap()]);
    refused_where_a_tombstone_lies_in_the_rows_place "spa" SessionEnded |s| {
        let (sid, record, until) = (s.sid, RecordId::from_bytes([1; 16]), Millis::MAX);
        s.world.lose(&Key::Session(sid));
        s.world.put(Key::Tombstone(sid), Record::Tombstone(Tombstone { sid, record, until }));
    };
    impossible_with_another_salt "spa" RefreshImpossible |s| s.presentation.token.salt = Salt::new([0; 16]);
    impossible_with_the_salt_of_another_generation "spa" RefreshImpossible |s| s.presentation.token.generation = 1;
    impossible_with_a_generation_that_was_never_given_out "spa" RefreshImpossible |s| {
        let salt = s.grant().salt(9);
        s.presentation.token = RefreshToken { generation: 9, salt, ..s.presentation.token.clone() };
    };
    impossible_without_the_session_under_the_present_incarnation "spa" RefreshImpossible
        |s| s.world.lose(&Key::Session(s.sid));
    rolled_back_without_the_session_under_another_incarnation "spa" RefreshRolledBack |s| {
        s.world.lose(&Key::Session(s.sid));
        s.presentation.token.incarnation = Incarnation([9; 8]);
    };
    q8d_rolled_back_without_the_grant_under_another_incarnation "spa" RefreshRolledBack |s| {
        s.world.change_row(s.sid, |row| row.grants.clear());
        s.presentation.token.incarnation = Incarnation([9; 8]);
    };
    an_absent_grant_of_an_ended_session_is_told_as_ended_and_not_as_rolled_back "spa" SessionEnded |s| {
        s.world.change_row(s.sid, |row| row.grants.clear());
        s.world.end_session(ADA, s.sid).granted();
        s.presentation.token.incarnation = Incarnation([9; 8]);
    };
    a_session_collected_long_ago_pages_nobody "spa" SessionUnknown |s| {
        s.world.lose(&Key::Session(s.sid));
        s.world.pass(90 * DAY);
    };
    generations_end_before_they_overflow "spa" GrantExpired |s| {
        s.world.change_row(s.sid, |row| row.grants[0].generation = u32::MAX);
        let salt = s.grant().salt(u32::MAX);
        s.presentation.token = RefreshToken { generation: u32::MAX, salt, ..s.presentation.token.clone() };
    };
    a_healed_generation_does_not_overflow_either "spa" GrantExpired |s| {
        let salt = s.grant().salt(u32::MAX);
        let incarnation = Incarnation([9; 8]);
        s.presentation.token =
            RefreshToken { generation: u32::MAX, salt, incarnation, ..s.presentation.token.clone() };
    };
}

#[test]
fn what_waits_or_may_be_repeated_is_never_told_as_a_dead_grant() {
    let mut scene = scene("spa");
    scene.world.cut_off(ADA, Some(scene.sid)).granted();
    // Receivers that know only seconds: nothing is released before the cut-off's second is over (P31).
    let told = scene.refresh();
    let second = told.not_before().expect("the cut-off lies within a second");
    assert_eq!(second.as_unix_ms() % 1_000, 0);
    assert!(told.did_nothing());
    scene.world.now = second;
    let access = scene.go_on().access;
    assert!(access.issued_at >= second);
    assert_eq!(Reason::Revoked.class(), Class::Dead);
}

#[test]
fn rotated_moves_the_generation_and_keeps_the_presented_one() {
    let mut scene = scene("spa");
    let first = scene.presentation.token.clone();
    let refreshed = scene.go_on();
    let grant = scene.grant();
    assert_eq!(refreshed.outcome, Outcome::Rotated);
    assert_eq!((grant.generation, grant.presented), (1, Some(0)));
    assert_eq!(
        (grant.rotated_at, grant.incarnation),
        (scene.world.now, scene.world.incarnation)
    );
    assert_eq!(refreshed.refresh.generation, 1);
    assert!(refreshed.refresh.salt.matches(&mac::salt(&grant.secret, 1)));
    assert!(!refreshed.refresh.salt.matches(&first.salt));
    assert_eq!(
        scene.world.row(scene.sid).unwrap().latest_expiry,
        refreshed.access.expires_at.max(grant.latest_expiry)
    );
    assert!(refreshed.id.is_some(), "the grant has openid");
}

#[test]
fn p26_a_refresh_writes_its_row_and_nothing_else() {
    let mut scene = scene("spa");
    let told = scene.refresh();
    assert_eq!(told.writes.len(), 1);
    assert_eq!(told.writes[0].0, Key::Session(scene.sid));
    assert!(told.revocations.is_empty() && told.others == 0);
}

#[test]
fn a_refresh_may_narrow_this_access_token_and_never_the_grant() {
    let mut scene = scene("spa");
    scene.presentation.scopes = "read";
    let refreshed = scene.go_on();
    assert_eq!(refreshed.scopes.len(), 1);
    assert!(refreshed.id.is_none());
    assert_eq!(scene.go_on().scopes.len(), 3);
}

#[test]
fn replayed_gives_the_same_successor_and_p20_a_token_for_whatever_resource_it_asks() {
    let mut scene = scene("spa");
    let token = scene.presentation.token.clone();
    let first = scene.presents(&token, Outcome::Rotated);
    let mut again = present(&token, "spa");
    again.resource = Some("mail");
    scene.world.pass(1_000);
    let replayed = scene.world.refresh(ADA, &again).granted();
    assert_eq!(replayed.outcome, Outcome::Replayed);
    assert_eq!(replayed.refresh.generation, first.refresh.generation);
    assert!(replayed.refresh.salt.matches(&first.refresh.salt));
    assert_eq!(&*replayed.access.audience, "https://mail.example");
    assert_ne!(replayed.access.jti, first.access.jti);
}

#[test]
fn p20_a_replay_is_checked_as_a_rotation_is() {
    let mut scene = scene("spa");
    let token = scene.presentation.token.clone();
    scene.go_on();
    scene.presentation = present(&token, "spa");
    scene.world.end_session(ADA, scene.sid).granted();
    scene.is_refused(Reason::SessionEnded);
}

#[test]
fn q22_a_replay_near_expiry_gives_a_full_life_and_raises_the_rows_latest_expiry_and_nothing_else() {
    let mut scene = scene("web");
    let token = scene.presentation.token.clone();
    scene.presents(&token, Outcome::Rotated);
    let before = (*scene.world.row(scene.sid).unwrap()).clone();
    scene.world.pass(HOUR);
    let replayed = scene.presents(&token, Outcome::Replayed);
    assert!(replayed.access.expires_at.ms_since(scene.world.now) >= 9 * MINUTE - 1_000);
    let after = (*scene.world.row(scene.sid).unwrap()).clone();
    assert_eq!(after.latest_expiry, replayed.access.expires_at);
    let mut expected = before;
    expected.latest_expiry = replayed.access.expires_at;
    expected.grants[0].latest_expiry = replayed.access.expires_at;
    expected.written_at = after.written_at;
    assert_eq!(after, expected);
}

#[test]
fn p3_no_answer_of_a_replay_outlives_what_the_row_remembers() {
    for seed in 0..64 {
        let mut scene = scene("web");
        scene.world.pass(seed);
        let token = scene.presentation.token.clone();
        scene.presents(&token, Outcome::Rotated);
        for step in 0..20 {
            scene.world.pass(step * 7_001);
            let replayed = scene.presents(&token, Outcome::Replayed);
            let row = scene.world.row(scene.sid).unwrap();
            assert!(replayed.access.expires_at <= row.latest_expiry);
            assert!(replayed.access.expires_at <= row.grants[0].latest_expiry);
            assert!(
                replayed.access.expires_at.ms_since(scene.world.now) > 8 * MINUTE,
                "never a stub"
            );
        }
    }
}

#[test]
fn superseded_takes_the_answer_as_lost_and_the_unpresented_successor_is_reused_when_it_shows_up() {
    let mut scene = scene("spa");
    let token = scene.presentation.token.clone();
    let lost = scene.presents(&token, Outcome::Rotated).refresh;
    scene.world.pass(8 * HOUR);
    let second = scene.presents(&token, Outcome::Superseded).refresh;
    assert_eq!((second.generation, scene.grant().presented), (2, Some(0)));
    // A retry of the retry, inside the window that it opened: the same successor again.
    let third = scene.presents(&token, Outcome::Replayed).refresh;
    assert!(third.salt.matches(&second.salt));
    let told = scene.world.refresh(ADA, &present(&lost, "spa"));
    assert_eq!(told.refused(), Reason::RefreshReused);
    assert_eq!(told.revocations.len(), 1);
    // Both copies are out.
    scene.presentation = present(&second, "spa");
    scene.is_refused(Reason::GrantEnded);
}

#[test]
fn late_may_mean_reuse() {
    let mut scene = scene("spa");
    scene.world.client("spa", |client| client.late = Late::Reuse);
    let token = scene.presentation.token.clone();
    scene.presents(&token, Outcome::Rotated);
    scene.world.pass(29_999);
    scene.presents(&token, Outcome::Replayed);
    scene.world.pass(1);
    scene.presentation = present(&token, "spa");
    assert_eq!(scene.refresh().refused(), Reason::RefreshReused);
}

#[test]
fn the_window_is_counted_from_the_first_rotation_and_no_replay_prolongs_it() {
    let mut scene = scene("spa");
    let token = scene.presentation.token.clone();
    scene.presents(&token, Outcome::Rotated);
    for _ in 0..2 {
        scene.world.pass(14_000);
        scene.presents(&token, Outcome::Replayed);
    }
    scene.world.pass(2_000);
    scene.presents(&token, Outcome::Superseded);
}

#[test]
fn a_strict_window_replays_nothing_not_even_to_a_slower_clock() {
    for late_ms in [0, -500, 1] {
        let mut scene = scene("spa");
        scene.world.client("spa", |client| {
            client.window = Some(Window::Time(0));
            client.late = Late::Reuse;
        });
        let token = scene.presentation.token.clone();
        scene.presents(&token, Outcome::Rotated);
        scene.world.pass(late_ms);
        scene.presentation = present(&token, "spa");
        assert_eq!(
            scene.refresh().refused(),
            Reason::RefreshReused,
            "{late_ms} ms later"
        );
    }
}

#[test]
fn until_presented_replays_for_as_long_as_nobody_presented_the_successor() {
    for client in ["web", "phone"] {
        let mut scene = scene(client);
        let token = scene.presentation.token.clone();
        let successor = scene.presents(&token, Outcome::Rotated).refresh;
        scene.world.pass(7 * DAY);
        scene.presents(&token, Outcome::Replayed);
        scene.presents(&successor, Outcome::Rotated);
        scene.presentation = present(&token, client);
        assert_eq!(scene.refresh().refused(), Reason::RefreshReused);
    }
}

#[test]
fn fixed_rotates_nothing_for_bound_confidential_clients_only() {
    let mut scene = scene("phone");
    scene.world.client("phone", |client| client.fixed = true);
    assert_eq!(
        scene.go_on().outcome,
        Outcome::Rotated,
        "it is bound, and not confidential"
    );
    scene.world.client("phone", |client| {
        client.auth_method = curfew_core::directory::ClientAuthMethod::Mtls
    });
    scene.presentation.client.is_authenticated = true;
    let token = scene.presentation.token.clone();
    for _ in 0..3 {
        scene.world.pass(HOUR);
        let told = scene.refresh();
        let refreshed = told.granted();
        assert_eq!(refreshed.outcome, Outcome::Fixed);
        assert_eq!(refreshed.refresh.generation, token.generation);
        assert_eq!(
            scene.world.row(scene.sid).unwrap().written_at,
            scene.world.now,
            "a floor may not kill it silently"
        );
    }
    scene.presentation.client.is_authenticated = false;
    scene.is_refused(Reason::ClientAuthenticationFailed);
}

#[test]
fn idle_expiry_counts_activity_only() {
    let cases = [
        (Some(Activity::User), Activity::Background, true),
        (Some(Activity::Background), Activity::User, false),
        (None, Activity::User, true),
        (None, Activity::Background, false),
    ];
    for (said, default, counts) in cases {
        let mut scene = scene("spa");
        scene
            .world
            .client("spa", |client| client.default_activity = default);
        scene.presentation.activity = said;
        scene.world.pass(13 * DAY);
        scene.go_on();
        scene.world.pass(2 * DAY);
        if counts {
            scene.go_on();
        } else {
            scene.is_refused(Reason::SessionIdle);
        }
    }
}

#[test]
fn reused_ends_the_grant_or_by_policy_the_session_and_tells_the_cause() {
    for (policy, ends_session) in [(OnReuse::EndGrant, false), (OnReuse::EndSession, true)] {
        let mut scene = scene("spa");
        scene.world.tenant(|tenant| tenant.on_reuse = policy);
        let other = scene.world.authorize(ADA, scene.sid, "web").refresh;
        let stolen = scene.presentation.clone();
        scene.go_on();
        scene.go_on();
        let told = scene.world.refresh(ADA, &stolen);
        assert_eq!(told.refused(), Reason::RefreshReused);
        let [record] = told.revocations.as_slice() else {
            panic!("one record: {:?}", told.revocations)
        };
        let (claim, value) = if ends_session {
            ("sid", scene.sid.to_string())
        } else {
            ("gid", scene.gid.to_string())
        };
        assert_eq!(
            (&*record.all_of[0].claim, &*record.all_of[0].value),
            (claim, value.as_str())
        );
        assert_eq!(record.cause.as_str(), "refresh_token_reused");
        assert_eq!(
            (record.row, record.subject_key),
            (Some(scene.sid), Some(key_of(ADA)))
        );
        let curfew_core::decide::Verdict::Refused(refusal) = told.verdict else {
            panic!()
        };
        assert_eq!(refusal.by.unwrap().record, record.id);
        // P32: what is over publishes nothing, whoever presents what.
        scene.is_refused(if ends_session {
            Reason::SessionEnded
        } else {
            Reason::GrantEnded
        });
        scene.presentation = stolen;
        scene.is_refused(if ends_session {
            Reason::SessionEnded
        } else {
            Reason::GrantEnded
        });
        assert_eq!(
            scene.world.refresh(ADA, &present(&other, "web")).is_granted(),
            !ends_session
        );
    }
}

#[test]
fn whoever_comes_second_is_told_of_the_reuse_hours_after_the_last_access_token() {
    let mut scene = scene("spa");
    let stolen = scene.presentation.clone();
    scene.go_on();
    scene.go_on();
    scene.world.pass(8 * HOUR);
    assert_eq!(scene.world.refresh(ADA, &stolen).refused(), Reason::RefreshReused);
    scene.world.pass(HOUR);
    scene.is_refused(Reason::GrantEnded);
    let curfew_core::decide::Verdict::Refused(refusal) = scene.refresh().verdict else {
        panic!()
    };
    assert_eq!(refusal.detail.as_deref(), Some("cause refresh_token_reused"));
}

// Healing (Q8). A failover is an explicit step to an earlier state.

#[test]
fn q8a_another_clients_refresh_after_the_failover_is_in_nobodys_way() {
    let mut scene = scene("web");
    let other = scene.world.authorize(ADA, scene.sid, "spa").refresh;
    let kept = scene.world.states();
    scene.go_on();
    scene.world.fail_over(kept);
    scene.presents_other(&other);
    assert_eq!(scene.go_on().outcome, Outcome::Healed);
}

#[test]
fn q8b_a_duplicate_in_flight_over_a_failover_gives_the_same_successor() {
    for client in crate::world::CLIENTS {
        let mut scene = scene(client);
        let duplicate = scene.presentation.token.clone();
        let kept = scene.world.states();
        let answer = scene.go_on().refresh;
        scene.world.fail_over(kept);
        let again = scene.presents(&duplicate, Outcome::Rotated).refresh;
        assert_eq!(again.generation, answer.generation);
        assert!(again.salt.matches(&answer.salt));
        assert_eq!(scene.go_on().outcome, Outcome::Rotated);
    }
}

#[test]
fn q8c_invariant_13_no_kind_of_client_is_signed_out_by_lost_rotations() {
    for client in crate::world::CLIENTS {
        let mut scene = scene(client);
        let kept = scene.world.states();
        for _ in 0..5 {
            scene.go_on();
        }
        scene.world.fail_over(kept);
        assert_eq!(scene.grant().generation, 0);
        let healed = scene.go_on();
        assert_eq!(healed.outcome, Outcome::Healed);
        let grant = scene.grant();
        assert_eq!(
            (grant.generation, grant.presented, grant.incarnation),
            (6, Some(5), scene.world.incarnation)
        );
        assert_eq!(scene.go_on().outcome, Outcome::Rotated);
    }
}

#[test]
fn q8d_a_token_of_a_lost_grant_never_reaches_another_grant() {
    let mut scene = scene("web");
    let kept = scene.world.states();
    let lost = scene.world.authorize(ADA, scene.sid, "web").refresh;
    scene.world.fail_over(kept);
    let innocent = scene.world.authorize(ADA, scene.sid, "web");
    scene.presentation = present(&lost, "web");
    scene.is_refused(Reason::RefreshRolledBack);
    let token = innocent.refresh.clone();
    assert_eq!(
        scene
            .world
            .refresh(ADA, &present(&token, "web"))
            .granted()
            .outcome,
        Outcome::Rotated
    );
}

#[test]
fn q8e_a_stolen_old_token_from_before_the_failover_is_still_reuse() {
    let mut scene = scene("web");
    let stolen = scene.presentation.clone();
    scene.go_on();
    scene.go_on();
    let kept = scene.world.states();
    scene.world.fail_over(kept);
    assert_eq!(scene.world.refresh(ADA, &stolen).refused(), Reason::RefreshReused);
}

#[test]
fn q8f_what_was_opened_in_the_lost_suffix_is_told_as_rolled_back() {
    let mut world = World::new(1);
    let kept = world.states();
    let sid = world.sign_in(ADA);
    let token = world.authorize(ADA, sid, "spa").refresh;
    world.fail_over(kept);
    let told = world.refresh(ADA, &present(&token, "spa"));
    assert_eq!(told.refused(), Reason::RefreshRolledBack);
    assert!(told.did_nothing());
    assert!(
        !world.has(&Key::Session(sid)),
        "invariant 5: a refresh never creates a row"
    );
}

#[test]
fn a_token_of_the_present_incarnation_is_never_healed() {
    let mut scene = scene("spa");
    let kept = scene.world.states();
    scene.go_on();
    scene.world.fail_over(kept);
    scene.presentation.token.incarnation = scene.world.incarnation;
    scene.is_refused(Reason::RefreshImpossible);
}

impl Scene {
    #[track_caller]
    fn presents_other(&mut self, token: &RefreshToken) {
        let refreshed = self.world.refresh(ADA, &present(token, "spa")).granted();
        assert_eq!(refreshed.outcome, Outcome::Rotated);
    }
}

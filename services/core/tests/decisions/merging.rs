//! Merging: after a failover the store and the log together say what the store said before, whatever order and
//! copies the records come in.

use std::collections::BTreeMap;

use curfew_core::decide::Verdict;
use curfew_core::decide::revoke::Cut;
use curfew_core::decide::subject_state::Change;
use curfew_core::ids::{GrantId, SessionId};
use curfew_core::mac::sha256;
use curfew_core::record::LogRecord;
use curfew_core::refresh_token::RefreshToken;
use curfew_core::refusal::Reason;
use curfew_core::stored::{Key, Record};
use curfew_core::time::Millis;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::histories::config;
use crate::world::{CLIENTS, World, present};

const SUBJECTS: [&str; 2] = ["ada", "bob"];

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Issue(usize, usize),
    Refresh(usize),
    EndSession(usize),
    EndGrant(usize),
    EndOthers(usize),
    CutOff(usize),
    Mark(usize),
    Disable(usize),
    Enable(usize),
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = || 0_usize..16;
    let step = prop_oneof![
        5 => any().prop_map(Step::Open),
        6 => (any(), any()).prop_map(|(s, c)| Step::Issue(s, c)),
        6 => any().prop_map(Step::Refresh),
        3 => any().prop_map(Step::EndSession),
        3 => any().prop_map(Step::EndGrant),
        2 => any().prop_map(Step::EndOthers),
        2 => any().prop_map(Step::CutOff),
        2 => any().prop_map(Step::Mark),
        2 => any().prop_map(Step::Disable),
        2 => any().prop_map(Step::Enable),
        4 => prop_oneof![Just(1_i64), Just(2_000), Just(60_000)].prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 5..60)
}

#[derive(Clone, Debug)]
struct Holder {
    subject: &'static str,
    sid: SessionId,
    gid: GrantId,
    client: &'static str,
    token: RefreshToken,
    /// How many states the store had when the grant was there first.
    since: usize,
}

struct Script {
    world: World,
    sessions: Vec<(&'static str, SessionId)>,
    holders: Vec<Holder>,
}

impl Script {
    fn run(steps: &[Step]) -> Self {
        let mut script = Self {
            world: World::new(11),
            sessions: Vec::new(),
            holders: Vec::new(),
        };
        script
            .world
            .directory
            .resources
            .retain(|(_, id), _| id.as_str() == "api");
        for step in steps {
            script.step(step);
        }
        script
    }

    fn session(&self, n: usize) -> Option<(&'static str, SessionId)> {
        (!self.sessions.is_empty()).then(|| self.sessions[n % self.sessions.len()])
    }

    fn step(&mut self, step: &Step) {
        let world = &mut self.world;
        match *step {
            Step::Open(n) => {
                let name = SUBJECTS[n % SUBJECTS.len()];
                let request = world.opening(name);
                let told = world.open(&request);
                if let Verdict::Granted(opened) = told.verdict {
                    self.sessions.push((name, opened.row.sid));
                }
            }
            Step::Issue(s, c) => {
                let Some((name, sid)) = self.session(s) else {
                    return;
                };
                let client = CLIENTS[c % CLIENTS.len()];
                let request = self.world.issuing(name, sid, client);
                if let Verdict::Granted(issued) = self.world.issue(name, &request, None).verdict {
                    self.holders.push(Holder {
                        subject: name,
                        sid,
                        gid: issued.access.gid,
                        client,
                        token: issued.refresh,
                        since: self.world.states(),
                    });
                }
            }
            Step::Refresh(n) => {
                let Some(n) = (!self.holders.is_empty()).then(|| n % self.holders.len()) else {
                    return;
                };
                let holder = &mut self.holders[n];
                let what = present(&holder.token, holder.client);
                if let Verdict::Granted(refreshed) = world.refresh(holder.subject, &what).verdict {
                    holder.token = refreshed.refresh;
                }
            }
            Step::EndSession(s) => {
                let Some((name, sid)) = self.session(s) else {
                    return;
                };
                self.world.end_session(name, sid);
            }
            Step::EndGrant(n) => {
                let Some(holder) = self.holders.get(n % self.holders.len().max(1)) else {
                    return;
                };
                world.end_grant(holder.subject, holder.sid, holder.gid);
            }
            Step::EndOthers(s) => {
                let Some((name, sid)) = self.session(s) else {
                    return;
                };
                self.world.cut_off(name, Some(sid));
            }
            Step::CutOff(n) => drop(world.cut_off(SUBJECTS[n % SUBJECTS.len()], None)),
            Step::Mark(n) => {
                let name = SUBJECTS[n % SUBJECTS.len()];
                let client = CLIENTS[n % CLIENTS.len()];
                let request =
                    world.revocation(&[("client_id", client), ("oid", name)], Cut::BeforeNow("gid"));
                world.revoke_narrow(name, None, &request);
            }
            Step::Disable(n) => drop(world.change(SUBJECTS[n % SUBJECTS.len()], Change::Disable)),
            Step::Enable(n) => drop(world.change(SUBJECTS[n % SUBJECTS.len()], Change::Enable)),
            Step::Pass(ms) => world.pass(ms),
        }
    }

    /// Whether a holder's newest token would be taken now, and why not.
    fn answer(&mut self, holder: &Holder) -> Result<(), Reason> {
        let request = self.world.asking(&present(&holder.token, holder.client));
        let entropy = self.world.entropy();
        match self
            .world
            .decide_refresh(holder.subject, &request, entropy)
            .outcome
        {
            Verdict::Granted(_) | Verdict::NotBefore(_) => Ok(()),
            Verdict::Refused(refusal) => Err(refusal.reason),
            Verdict::NeedsRow(_) => unreachable!("a refresh reads its row"),
        }
    }
}

fn shuffled(records: &[LogRecord], seed: u64) -> Vec<LogRecord> {
    let mut all: Vec<_> = records.iter().chain(records.iter().step_by(3)).cloned().collect();
    let mut n = 0_u64;
    all.sort_by_cached_key(|_| {
        n += 1;
        sha256(&[seed.to_be_bytes(), n.to_be_bytes()].concat())
    });
    all
}

/// What the store holds, but for the order of lists that have none, and for when a gate may be collected: that is a
/// year of slack behind whatever asked for it last.
fn normal(world: &World) -> BTreeMap<Key, Record> {
    let mut records = world.records().clone();
    for record in records.values_mut() {
        if let Record::Gate(gate) = record {
            let mut sorted = (**gate).clone();
            sorted.disables.sort();
            sorted.lifted.sort();
            sorted.marks.sort_by_key(|mark| mark.id);
            sorted.needed_until = Millis::ZERO;
            *gate = sorted.into();
        }
    }
    records
}

#[test]
fn invariant_3_and_13_with_what_the_log_has_a_lost_suffix_changes_who_is_let_in_for_nobody() {
    let mut runner = TestRunner::new(config(400));
    let strategy = (steps(), 0_usize..40);
    runner
        .run(&strategy, |(steps, lost)| {
            let mut full = Script::run(&steps);
            let mut lost_some = Script::run(&steps);
            let kept = full.world.states().saturating_sub(lost).max(1);
            lost_some.world.fail_over(kept);
            let records = lost_some.world.heard.clone();
            lost_some.world.merge(&records);
            for holder in full.holders.clone() {
                let (before, after) = (full.answer(&holder), lost_some.answer(&holder));
                if holder.since <= kept {
                    prop_assert_eq!(before.is_ok(), after.is_ok(), "{:?} became {:?}", before, after);
                } else {
                    // Opened in the lost suffix: told as rolled back, or as what ended it.
                    prop_assert!(after.is_err(), "invariant 5: absence never permits");
                    prop_assert_ne!(after, Err(Reason::RefreshImpossible));
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn merging_is_a_join_any_order_and_copies_leave_the_same_store() {
    let mut runner = TestRunner::new(config(300));
    let strategy = (steps(), 0_usize..40, any::<u64>());
    runner
        .run(&strategy, |(steps, lost, seed)| {
            let merged = |order: &dyn Fn(&[LogRecord]) -> Vec<LogRecord>| {
                let mut script = Script::run(&steps);
                let kept = script.world.states().saturating_sub(lost).max(1);
                script.world.fail_over(kept);
                let records = order(&script.world.heard);
                script.world.merge(&records);
                normal(&script.world)
            };
            let in_order = merged(&|records| records.to_vec());
            let twice = merged(&|records| [records, records].concat());
            let shuffled = merged(&|records| shuffled(records, seed));
            prop_assert_eq!(&in_order, &twice);
            prop_assert_eq!(&in_order, &shuffled);
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_was_committed_under_the_present_history_is_not_merged_again() {
    let mut world = World::new(12);
    let sid = world.sign_in("ada");
    world.end_session("ada", sid);
    world.change_row(sid, |row| row.life = curfew_core::session::Life::Alive);
    let records = world.heard.clone();
    world.merge(&records);
    assert!(
        world.row(sid).unwrap().life.is_alive(),
        "its own commit is the truth"
    );
    let states = world.states();
    world.fail_over(states);
    world.merge(&records);
    assert!(!world.row(sid).unwrap().life.is_alive());
}

#[test]
fn a_row_that_is_merged_into_is_no_younger_than_before() {
    let mut world = World::new(13);
    let sid = world.sign_in("ada");
    let gid = world.authorize("ada", sid, "web").access.gid;
    let other = world.authorize("ada", sid, "web").access.gid;
    let written_at = world.row(sid).unwrap().written_at;
    world.end_grant("ada", sid, gid);
    let kept = world.states() - 1;
    world.pass(60_000);
    world.fail_over(kept);
    let records = world.heard.clone();
    world.merge(&records);
    let row = world.row(sid).unwrap();
    assert!(!row.grant(gid).unwrap().life.is_alive());
    assert!(row.grant(other).unwrap().life.is_alive());
    assert_eq!(row.written_at, written_at, "a floor still ends it");
}

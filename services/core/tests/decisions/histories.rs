//! Random histories: clients, grants, sessions, a thief, failovers, endings and cut-offs; after every
//! step the invariants of DESIGN section 10.
//!
//! What ought to be true is kept apart from the world, state by state, so that a failover takes both
//! back to the same earlier state.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};

use curfew_core::decide::refresh::Outcome;
use curfew_core::decide::subject_state::Change;
use curfew_core::decide::{Verdict, revoke::Cut};
use curfew_core::ids::{GrantId, SessionId};
use curfew_core::refresh_token::RefreshToken;
use curfew_core::refusal::Reason;
use curfew_core::time::Millis;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::world::{CLIENTS, World, present};

/// A configuration whose seed is told; `PROPTEST_RNG_SEED` replays one.
pub(crate) fn config(cases: u32) -> Config {
    let mut config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(RandomState::new().hash_one(0));
    }
    if let RngSeed::Fixed(seed) = config.rng_seed {
        println!("PROPTEST_RNG_SEED={seed}");
    }
    config
}

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Issue(usize, usize),
    /// The owner presents its newest token; its answer may be lost, or the request be sent twice.
    Refresh(usize, Arrival),
    /// The owner's token arrives from another client.
    Misplace(usize),
    Steal(usize),
    ThiefRefreshes(usize),
    /// An older token is presented by whoever kept it.
    PresentOld(usize, usize),
    EndSession(usize),
    EndGrant(usize),
    EndOthers(usize),
    CutOff(usize),
    CutClient(usize),
    DisableAndEnable(usize),
    FailOver(usize),
    Pass(i64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Arrival {
    Once,
    AnswerLost,
    Twice,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = || 0_usize..64;
    let arrival =
        prop_oneof![6 => Just(Arrival::Once), 3 => Just(Arrival::AnswerLost), 2 => Just(Arrival::Twice)];
    let step = prop_oneof![
        6 => any().prop_map(Step::Open),
        8 => (any(), any()).prop_map(|(s, c)| Step::Issue(s, c)),
        30 => (any(), arrival).prop_map(|(g, a)| Step::Refresh(g, a)),
        2 => any().prop_map(Step::Misplace),
        2 => any().prop_map(Step::Steal),
        5 => any().prop_map(Step::ThiefRefreshes),
        3 => (any(), any()).prop_map(|(g, t)| Step::PresentOld(g, t)),
        2 => any().prop_map(Step::EndSession),
        2 => any().prop_map(Step::EndGrant),
        1 => any().prop_map(Step::EndOthers),
        1 => any().prop_map(Step::CutOff),
        1 => any().prop_map(Step::CutClient),
        1 => any().prop_map(Step::DisableAndEnable),
        2 => (0_usize..6).prop_map(Step::FailOver),
        8 => prop_oneof![Just(0_i64), Just(900), Just(29_000), Just(31_000), Just(700_000)].prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 20..160)
}

/// A grant as its owner and its thief see it.
#[derive(Clone, Debug)]
struct Holder {
    subject: &'static str,
    sid: SessionId,
    gid: GrantId,
    client: &'static str,
    token: RefreshToken,
    stolen: Option<RefreshToken>,
    /// Only its owner's newest token was ever presented.
    is_clean: bool,
    given: Vec<RefreshToken>,
}

/// What ought to be true of one state of the store.
#[derive(Clone, Debug, Default)]
struct Truth {
    opened: BTreeSet<SessionId>,
    issued: BTreeSet<GrantId>,
    ended_sessions: BTreeSet<SessionId>,
    ended_grants: BTreeSet<GrantId>,
    disabled: BTreeSet<&'static str>,
    /// (subject, B, spared session).
    cut_offs: Vec<(&'static str, Millis, Option<SessionId>)>,
    /// Of each token, the successor that its successes returned.
    successors: BTreeMap<(GrantId, u32), u32>,
}

/// What happened at all.
#[derive(Clone, Copy, Default, Debug)]
struct Happened {
    failovers: u32,
    rotations: u32,
    replays: u32,
    supersessions: u32,
    heals: u32,
    reuses: u32,
    refusals: u32,
    rolled_back: u32,
    spared: u32,
}

const SUBJECTS: [&str; 3] = ["ada", "bob", "eve"];

struct History {
    world: World,
    states: Vec<Truth>,
    sessions: Vec<(&'static str, SessionId)>,
    holders: Vec<Holder>,
    /// Wide cut-offs of clients: the directory does not fail over here.
    client_cut_offs: Vec<(&'static str, Millis)>,
    /// Tokens that a late retry superseded in some history, and with it their successor.
    superseded: BTreeSet<(GrantId, u32)>,
    successors: BTreeMap<(GrantId, u32), u32>,
    ids: BTreeSet<curfew_core::ids::RecordId>,
    happened: Happened,
}

impl History {
    fn new() -> Self {
        let mut world = World::new(10);
        world
            .directory
            .resources
            .retain(|(_, id), _| id.as_str() == "api");
        Self {
            world,
            states: vec![Truth::default()],
            sessions: Vec::new(),
            holders: Vec::new(),
            client_cut_offs: Vec::new(),
            superseded: BTreeSet::new(),
            successors: BTreeMap::new(),
            ids: BTreeSet::new(),
            happened: Happened::default(),
        }
    }

    fn truth(&self) -> &Truth {
        self.states.last().unwrap()
    }

    /// The truth of the state that a commit has made.
    fn commit<R>(&mut self, change: impl FnOnce(&mut Truth) -> R) {
        let mut truth = self.truth().clone();
        change(&mut truth);
        self.states.push(truth);
        assert_eq!(
            self.states.len(),
            self.world.states(),
            "every commit has its truth"
        );
    }

    fn settle(&mut self) {
        // A commit whose truth is that of the state before it.
        while self.states.len() < self.world.states() {
            let truth = self.truth().clone();
            self.states.push(truth);
        }
    }

    fn holder(&self, n: usize) -> Option<usize> {
        (!self.holders.is_empty()).then(|| n % self.holders.len())
    }

    /// Whether the store still has the grant, and no revocation of this history covers it.
    fn is_alive(&self, holder: &Holder) -> bool {
        let truth = self.truth();
        truth.issued.contains(&holder.gid)
            && !truth.disabled.contains(holder.subject)
            && !truth.ended_sessions.contains(&holder.sid)
            && !truth.ended_grants.contains(&holder.gid)
            && !truth.cut_offs.iter().any(|(subject, before, spared)| {
                *subject == holder.subject && holder.sid.birth() < *before && *spared != Some(holder.sid)
            })
            && !self
                .client_cut_offs
                .iter()
                .any(|(client, before)| *client == holder.client && holder.gid.birth() < *before)
    }

    /// Presents a token, waiting where it must, and checks what must hold of the answer.
    fn present(&mut self, n: usize, token: &RefreshToken, client: &'static str) -> Option<RefreshToken> {
        let holder = self.holders[n].clone();
        let before = self.world.row(holder.sid);
        let what = present(token, client);
        let mut told = self.world.refresh(holder.subject, &what);
        while let Some(instant) = told.not_before() {
            assert!(told.did_nothing() && instant > self.world.now);
            self.world.now = instant;
            told = self.world.refresh(holder.subject, &what);
        }
        let after = self.world.row(holder.sid);
        invariant_5_a_refresh_never_creates_a_row(before.is_some(), after.is_some());
        self.publishes(&told.revocations, usize::from(self.is_reuse(&told)));
        let given_to = before.as_ref().and_then(|row| row.grant(holder.gid).cloned());
        match &told.verdict {
            Verdict::Granted(refreshed) => {
                let grant = given_to.expect("invariant 5: absence never permits");
                let (outcome, successor) = (refreshed.outcome, refreshed.refresh.clone());
                assert!(
                    self.is_alive(&holder),
                    "invariant 3: no success after a revocation"
                );
                let is_present = token.incarnation == self.world.incarnation;
                invariant_4_nothing_older_than_the_predecessor_succeeds(&grant, token, is_present);
                self.invariant_2_one_successor(&holder, token, outcome, &successor);
                self.count(outcome);
                let key = (holder.gid, token.generation);
                if told.writes.is_empty() {
                    assert_eq!(
                        outcome,
                        Outcome::Replayed,
                        "invariant 1: only a replay may write nothing"
                    );
                } else {
                    self.commit(|truth| truth.successors.insert(key, successor.generation));
                }
                self.holders[n].given.push(successor.clone());
                self.invariant_2_at_most_one_unpresented_successor_is_alive(n);
                Some(successor)
            }
            Verdict::Refused(refusal) if refusal.reason == Reason::RefreshReused => {
                self.happened.reuses += 1;
                let gid = holder.gid;
                self.commit(|truth| truth.ended_grants.insert(gid));
                assert!(!self.world.grant(holder.sid, gid).life.is_alive());
                None
            }
            Verdict::Refused(refusal) => {
                assert!(
                    told.writes.is_empty(),
                    "invariant 1: a refusal is no operation on the row"
                );
                assert_eq!(before, after);
                self.happened.refusals += 1;
                self.happened.rolled_back += u32::from(refusal.reason == Reason::RefreshRolledBack);
                assert_ne!(
                    refusal.reason,
                    Reason::RefreshImpossible,
                    "nobody forged anything"
                );
                None
            }
            Verdict::NotBefore(_) | Verdict::NeedsRow(_) => panic!("{told:?}"),
        }
    }

    fn is_reuse<T>(&self, told: &crate::world::Told<T>) -> bool {
        matches!(&told.verdict, Verdict::Refused(refusal) if refusal.reason == Reason::RefreshReused)
    }

    /// Invariant 11: this many revocation ids, all of them new.
    fn publishes(&mut self, revocations: &[curfew_core::record::Revocation], expected: usize) {
        assert_eq!(revocations.len(), expected, "invariant 11: {revocations:?}");
        for record in revocations {
            assert!(
                self.ids.insert(record.id),
                "invariant 11: an id is published once"
            );
        }
    }

    fn invariant_2_one_successor(
        &mut self,
        holder: &Holder,
        token: &RefreshToken,
        outcome: Outcome,
        successor: &RefreshToken,
    ) {
        let key = (holder.gid, token.generation);
        let grant = self.world.grant(holder.sid, holder.gid);
        assert!(
            successor.salt.matches(&grant.salt(successor.generation)),
            "the salt follows the generation"
        );
        if outcome == Outcome::Superseded {
            self.superseded.insert(key);
        } else {
            let in_this_history = self.truth().successors.get(&key);
            assert!(
                in_this_history.is_none_or(|known| *known == successor.generation),
                "invariant 2: within one history {outcome:?} returned another successor"
            );
            let ever = self.successors.get(&key);
            assert!(
                self.superseded.contains(&key) || ever.is_none_or(|known| *known == successor.generation),
                "invariant 2: through failovers {outcome:?} returned another successor"
            );
        }
        self.successors.insert(key, successor.generation);
    }

    /// Of all tokens given out under the present incarnation, at most one that nobody presented lives.
    fn invariant_2_at_most_one_unpresented_successor_is_alive(&self, n: usize) {
        let holder = &self.holders[n];
        let grant = self.world.grant(holder.sid, holder.gid);
        let alive: BTreeSet<u32> = holder
            .given
            .iter()
            .filter(|token| token.incarnation == self.world.incarnation)
            .filter(|token| {
                grant
                    .presented
                    .is_none_or(|presented| token.generation > presented)
            })
            .filter(|token| token.generation == grant.generation)
            .map(|token| token.generation)
            .collect();
        assert!(alive.len() <= 1, "{alive:?}");
    }

    /// Invariant 13: an owner who only ever presents its newest token is not signed out by failovers.
    fn invariant_13_a_clean_owner_is_not_signed_out(&self, n: usize, succeeded: bool) {
        let holder = &self.holders[n];
        assert!(
            succeeded || !holder.is_clean || !self.is_alive(holder),
            "signed out: {holder:?}"
        );
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Rotated => self.happened.rotations += 1,
            Outcome::Replayed => self.happened.replays += 1,
            Outcome::Superseded => self.happened.supersessions += 1,
            Outcome::Healed => self.happened.heals += 1,
            Outcome::Fixed => panic!("no client here is fixed"),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Open(n) => {
                let name = SUBJECTS[n % SUBJECTS.len()];
                if self.truth().disabled.contains(name) {
                    let request = self.world.opening(name);
                    assert_eq!(self.world.open(&request).refused(), Reason::SubjectDisabled);
                    return;
                }
                let sid = self.world.sign_in(name);
                let truth = self.truth();
                let later = truth
                    .cut_offs
                    .iter()
                    .all(|(of, before, _)| *of != name || sid.birth() >= *before);
                assert!(later, "invariant 6: one born after a cut-off is alive");
                self.sessions.push((name, sid));
                self.commit(|truth| truth.opened.insert(sid));
            }
            Step::Issue(s, c) => self.issue(s, CLIENTS[c % CLIENTS.len()]),
            Step::Refresh(n, arrival) => {
                let Some(n) = self.holder(n) else { return };
                let (token, client) = (self.holders[n].token.clone(), self.holders[n].client);
                let answer = self.present(n, &token, client);
                self.invariant_13_a_clean_owner_is_not_signed_out(n, answer.is_some());
                let Some(successor) = answer else { return };
                if arrival == Arrival::Twice {
                    let again = self
                        .present(n, &token, client)
                        .expect("a duplicate in flight succeeds");
                    assert_eq!(again.generation, successor.generation, "invariant 2");
                }
                if arrival != Arrival::AnswerLost {
                    self.holders[n].token = successor;
                }
            }
            Step::Misplace(n) => {
                let Some(n) = self.holder(n) else { return };
                let token = self.holders[n].token.clone();
                let other = CLIENTS
                    .into_iter()
                    .find(|client| *client != self.holders[n].client)
                    .unwrap();
                assert!(self.present(n, &token, other).is_none());
            }
            Step::Steal(n) => {
                let Some(n) = self.holder(n) else { return };
                self.holders[n].stolen = Some(self.holders[n].token.clone());
            }
            Step::ThiefRefreshes(n) => {
                let Some(n) = self.holder(n) else { return };
                let Some(token) = self.holders[n].stolen.clone() else {
                    return;
                };
                self.holders[n].is_clean = false;
                let client = self.holders[n].client;
                if let Some(successor) = self.present(n, &token, client) {
                    self.holders[n].stolen = Some(successor);
                }
            }
            Step::PresentOld(n, t) => {
                let Some(n) = self.holder(n) else { return };
                self.holders[n].is_clean = false;
                let (given, client) = (&self.holders[n].given, self.holders[n].client);
                let token = given[t % given.len()].clone();
                self.present(n, &token, client);
            }
            Step::EndSession(n) => {
                let Some((name, sid)) = self.session(n) else {
                    return;
                };
                let exists = self.truth().opened.contains(&sid);
                let is_over = self.truth().ended_sessions.contains(&sid);
                let told = self.world.end_session(name, sid);
                self.publishes(&told.revocations, usize::from(exists && !is_over));
                if exists && !is_over {
                    self.commit(|truth| truth.ended_sessions.insert(sid));
                }
            }
            Step::EndGrant(n) => {
                let Some(n) = self.holder(n) else { return };
                let Holder {
                    subject, sid, gid, ..
                } = self.holders[n];
                let truth = self.truth();
                let exists = truth.issued.contains(&gid);
                let is_over = truth.ended_grants.contains(&gid) || truth.ended_sessions.contains(&sid);
                let told = self.world.end_grant(subject, sid, gid);
                self.publishes(&told.revocations, usize::from(exists && !is_over));
                if exists && !is_over {
                    self.commit(|truth| truth.ended_grants.insert(gid));
                }
            }
            Step::EndOthers(n) => {
                let Some((name, sid)) = self.session(n) else {
                    return;
                };
                self.cut_off(name, Some(sid));
            }
            Step::CutOff(n) => self.cut_off(SUBJECTS[n % SUBJECTS.len()], None),
            Step::CutClient(n) => {
                let client = CLIENTS[n % CLIENTS.len()];
                let request = self
                    .world
                    .revocation(&[("client_id", client)], Cut::BeforeNow("gid"));
                let told = self.world.revoke_wide(&request);
                self.publishes(&told.revocations, 1);
                let before = told.granted().before.unwrap().instant;
                self.client_cut_offs.push((client, before));
                self.settle();
            }
            Step::DisableAndEnable(n) => {
                let name = SUBJECTS[n % SUBJECTS.len()];
                let told = self.world.change(name, Change::Disable);
                self.publishes(&told.revocations, 1);
                let before = told.granted().cut_off.unwrap().before.unwrap().instant;
                self.commit(|truth| {
                    truth.cut_offs.push((name, before, None));
                    truth.disabled.insert(name);
                });
                let told = self.world.change(name, Change::Enable);
                self.publishes(&told.revocations, 0);
                self.commit(|truth| truth.disabled.remove(name));
            }
            Step::FailOver(lost) => {
                let kept = self.states.len().saturating_sub(lost).max(1);
                self.world.fail_over(kept);
                self.states.truncate(kept);
                self.happened.failovers += 1;
            }
            Step::Pass(ms) => self.world.pass(ms),
        }
    }

    fn session(&self, n: usize) -> Option<(&'static str, SessionId)> {
        (!self.sessions.is_empty()).then(|| self.sessions[n % self.sessions.len()])
    }

    fn issue(&mut self, s: usize, client: &'static str) {
        let Some((subject, sid)) = self.session(s) else {
            return;
        };
        let request = self.world.issuing(subject, sid, client);
        let mut told = self.world.issue(subject, &request, None);
        for _ in 0..2 {
            if let Some(instant) = told.not_before() {
                self.world.now = instant;
                told = self.world.issue(subject, &request, None);
            }
        }
        let ended = told.revocations.clone();
        if !told.is_granted() {
            assert!(told.did_nothing());
            return;
        }
        let issued = told.granted();
        self.publishes(&ended, usize::from(issued.ended.is_some()));
        let gid = issued.access.gid;
        self.commit(|truth| {
            truth.issued.insert(gid);
            truth.ended_grants.extend(issued.ended.map(|(gid, _)| gid));
        });
        let holder = Holder {
            subject,
            sid,
            gid,
            client,
            token: issued.refresh.clone(),
            stolen: None,
            is_clean: true,
            given: vec![issued.refresh],
        };
        assert!(self.is_alive(&holder), "what is issued is alive");
        self.holders.push(holder);
    }

    fn cut_off(&mut self, name: &'static str, spared: Option<SessionId>) {
        let told = self.world.cut_off(name, spared);
        let is_granted = told.is_granted();
        self.publishes(&told.revocations, usize::from(is_granted));
        if !is_granted {
            assert_eq!(told.refused(), Reason::ExceptedNotAlive);
            return;
        }
        let before = told.granted().before.unwrap().instant;
        let truth = self.truth();
        for (_, sid) in self
            .sessions
            .iter()
            .filter(|(of, sid)| *of == name && truth.opened.contains(sid))
        {
            assert!(
                sid.birth() < before,
                "invariant 6: one born before a cut-off is dead"
            );
        }
        self.happened.spared += u32::from(spared.is_some());
        self.commit(|truth| truth.cut_offs.push((name, before, spared)));
    }
}

fn invariant_5_a_refresh_never_creates_a_row(was_there: bool, is_there: bool) {
    assert!(was_there || !is_there, "invariant 5");
}

fn invariant_4_nothing_older_than_the_predecessor_succeeds(
    grant: &curfew_core::session::Grant,
    token: &RefreshToken,
    is_present: bool,
) {
    let is_current = token.generation == grant.generation;
    let is_predecessor = Some(token.generation) == grant.presented;
    let is_lost = token.generation > grant.generation && !is_present;
    assert!(
        is_current || is_predecessor || is_lost,
        "invariant 4: g{} of {grant:?}",
        token.generation
    );
}

#[test]
fn invariants_1_to_6_11_and_13_hold_in_every_random_history() {
    let happened = RefCell::new(Happened::default());
    let mut runner = TestRunner::new(config(500));
    let found = runner.run(&steps(), |steps| {
        let mut history = History::new();
        for step in &steps {
            history.step(step);
            assert_eq!(history.states.len(), history.world.states(), "after {step:?}");
        }
        let mut all = happened.borrow_mut();
        let one = history.happened;
        all.failovers += one.failovers;
        all.rotations += one.rotations;
        all.replays += one.replays;
        all.supersessions += one.supersessions;
        all.heals += one.heals;
        all.reuses += one.reuses;
        all.refusals += one.refusals;
        all.rolled_back += one.rolled_back;
        all.spared += one.spared;
        Ok(())
    });
    if let Err(failure) = found {
        panic!("{failure}");
    }
    let all = happened.into_inner();
    println!("{all:?}");
    let each = [
        all.failovers,
        all.rotations,
        all.replays,
        all.supersessions,
        all.heals,
        all.reuses,
        all.refusals,
        all.rolled_back,
        all.spared,
    ];
    assert!(
        each.iter().all(|times| *times > 0),
        "not everything happened: {all:?}"
    );
}

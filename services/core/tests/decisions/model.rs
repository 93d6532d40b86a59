//! The exhaustive model of one grant (`reference/models/refresh.py`), over the real decision.
//!
//! A token is (generation, incarnation); a row is (G, P, window open); a failover returns the row to
//! any earlier one. The model's own counts of states are asserted, so that port and model agree.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use curfew_core::decide::Verdict;
use curfew_core::decide::refresh::Outcome;
use curfew_core::directory::{Late, Window};
use curfew_core::ids::SessionId;
use curfew_core::place::Incarnation;
use curfew_core::refresh_token::RefreshToken;
use curfew_core::refusal::Reason;
use curfew_core::time::Millis;

use crate::world::{HOUR, World, present};

/// (G, P, window open); `None`: the grant was revoked.
type Row = Option<(u32, Option<u32>, bool)>;
/// (generation, incarnation).
type Token = (u32, u32);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Said {
    Rotated,
    Replayed,
    Superseded,
    Healed,
    Reused,
    Refused,
    Impossible,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Authenticated,
    Public,
    Strict,
}

type Answer = (Said, Row, Option<u32>);

/// The real decision, asked about one row of the model at a time.
struct Real {
    world: RefCell<World>,
    client: &'static str,
    sid: SessionId,
    token: RefreshToken,
    known: RefCell<HashMap<(Row, u32, bool), Answer>>,
}

impl Real {
    fn new(kind: Kind) -> Self {
        let mut world = World::new(2);
        let client = if kind == Kind::Authenticated { "web" } else { "spa" };
        if kind == Kind::Strict {
            world.client("spa", |client| {
                client.window = Some(Window::Time(30_000));
                client.late = Late::Reuse;
            });
        }
        let sid = world.sign_in("ada");
        let token = world.authorize("ada", sid, client).refresh;
        world.pass(HOUR);
        Self {
            world: RefCell::new(world),
            client,
            sid,
            token,
            known: RefCell::default(),
        }
    }

    fn present(&self, row: Row, (generation, minted): Token, incarnation: u32) -> Answer {
        let is_present = minted == incarnation;
        *self
            .known
            .borrow_mut()
            .entry((row, generation, is_present))
            .or_insert_with(|| self.ask(row, generation, is_present))
    }

    fn ask(&self, row: Row, generation: u32, is_present: bool) -> Answer {
        let Some((g, p, is_open)) = row else {
            return (Said::Refused, row, None);
        };
        let mut world = self.world.borrow_mut();
        let now = world.now;
        world.change_row(self.sid, |row| {
            let grant = &mut row.grants[0];
            grant.life = curfew_core::session::Life::Alive;
            (grant.generation, grant.presented) = (g, p);
            grant.rotated_at = if is_open { now } else { Millis::ZERO };
        });
        let salt = world.row(self.sid).unwrap().grants[0].salt(generation);
        let incarnation = if is_present {
            world.incarnation
        } else {
            Incarnation([9; 8])
        };
        let token = RefreshToken {
            generation,
            salt,
            incarnation,
            ..self.token.clone()
        };
        let told = world.refresh("ada", &present(&token, self.client));
        let after = world.row(self.sid).unwrap().grants[0].clone();
        let is_open = after.rotated_at == now;
        let present = after
            .life
            .is_alive()
            .then_some((after.generation, after.presented, is_open));
        match &told.verdict {
            Verdict::Granted(refreshed) => {
                assert!(told.revocations.is_empty());
                let said = match refreshed.outcome {
                    Outcome::Rotated => Said::Rotated,
                    Outcome::Replayed => Said::Replayed,
                    Outcome::Superseded => Said::Superseded,
                    Outcome::Healed => Said::Healed,
                    Outcome::Fixed => panic!("no client here is fixed"),
                };
                (said, present, Some(refreshed.refresh.generation))
            }
            Verdict::Refused(refusal) if refusal.reason == Reason::RefreshReused => {
                assert_eq!(told.revocations.len(), 1);
                (Said::Reused, present, None)
            }
            Verdict::Refused(_) | Verdict::NotBefore(_) | Verdict::NeedsRow(_) => {
                assert_eq!(told.refused(), Reason::RefreshImpossible);
                (Said::Impossible, present, None)
            }
        }
    }
}

const FIRST: Row = Some((0, None, false));

fn tick(history: &[Row]) -> Option<Vec<Row>> {
    let (last, earlier) = history.split_last()?;
    let (g, p, is_open) = (*last)?;
    is_open.then(|| [earlier, &[Some((g, p, false))]].concat())
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    incarnation: u32,
    history: Vec<Row>,
    token: Token,
    duplicate: Option<Token>,
    failovers: u32,
    presented: u32,
}

/// Either how many states were explored, all of them good, or how the honest client was signed out.
fn honest(
    kind: Kind,
    duplicates: bool,
    late: bool,
    failovers: u32,
    most: u32,
) -> (Result<usize, Vec<String>>, BTreeSet<Said>) {
    let real = Real::new(kind);
    let first = State {
        incarnation: 1,
        history: vec![FIRST],
        token: (0, 1),
        duplicate: None,
        failovers: 0,
        presented: 0,
    };
    let mut said = BTreeSet::new();
    let mut parents: HashMap<State, Option<(State, String)>> = HashMap::from([(first.clone(), None)]);
    let mut queue = VecDeque::from([first]);
    let trace = |parents: &HashMap<State, Option<(State, String)>>, state: &State, last: String| {
        let mut steps = vec![last];
        let mut at = state.clone();
        while let Some((before, step)) = parents[&at].clone() {
            steps.push(step);
            at = before;
        }
        steps.reverse();
        steps
    };
    while let Some(state) = queue.pop_front() {
        let mut next: Vec<(String, State)> = Vec::new();
        let row = state.history[state.history.len() - 1];
        if state.failovers < failovers {
            for kept in 0..state.history.len() {
                let history = state.history[..=kept].to_vec();
                let (incarnation, failovers) = (state.incarnation + 1, state.failovers + 1);
                let lost = state.history.len() - 1 - kept;
                next.push((
                    format!("failover lost {lost}"),
                    State {
                        incarnation,
                        history,
                        failovers,
                        ..state.clone()
                    },
                ));
            }
        }
        if (late || state.duplicate.is_none())
            && let Some(history) = tick(&state.history)
        {
            next.push((
                "tick".into(),
                State {
                    history,
                    ..state.clone()
                },
            ));
        }
        let appended = |after: Row| {
            let mut history = state.history.clone();
            if after != row {
                history.push(after);
            }
            history
        };
        if state.presented < most && state.duplicate.is_none() {
            let (outcome, after, successor) = real.present(row, state.token, state.incarnation);
            said.insert(outcome);
            let step = format!("g{} {outcome:?}", state.token.0);
            let Some(successor) = successor else {
                return (Err(trace(&parents, &state, step)), said);
            };
            let (history, presented) = (appended(after), state.presented + 1);
            let token = (successor, state.incarnation);
            let moved = State {
                history,
                presented,
                ..state.clone()
            };
            next.push((
                step.clone(),
                State {
                    token,
                    ..moved.clone()
                },
            ));
            next.push((format!("{step}, answer lost"), moved.clone()));
            if duplicates {
                let duplicate = Some(state.token);
                next.push((
                    format!("{step}, duplicate in flight"),
                    State {
                        token,
                        duplicate,
                        ..moved
                    },
                ));
            }
        }
        if let Some(duplicate) = state.duplicate {
            let (outcome, after, successor) = real.present(row, duplicate, state.incarnation);
            said.insert(outcome);
            let step = format!("duplicate g{} {outcome:?}", duplicate.0);
            if successor.is_none() {
                return (Err(trace(&parents, &state, step)), said);
            }
            next.push((
                step,
                State {
                    history: appended(after),
                    duplicate: None,
                    ..state.clone()
                },
            ));
        }
        for (step, to) in next {
            if !parents.contains_key(&to) {
                parents.insert(to.clone(), Some((state.clone(), step)));
                queue.push_back(to);
            }
        }
    }
    (Ok(parents.len()), said)
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Theft {
    incarnation: u32,
    history: Vec<Row>,
    owner: Token,
    thief: Option<Token>,
    failovers: u32,
    presented: u32,
    owner_succeeded: bool,
    successes: u32,
}

/// The most successes of a thief after a success of the owner after the theft, and the states explored.
fn theft(kind: Kind, failovers: u32, most: u32) -> (u32, usize) {
    let real = Real::new(kind);
    let mut best = 0;
    let mut seen = HashSet::new();
    let mut stack = vec![Theft {
        incarnation: 1,
        history: vec![FIRST],
        owner: (0, 1),
        thief: None,
        failovers: 0,
        presented: 0,
        owner_succeeded: false,
        successes: 0,
    }];
    while let Some(state) = stack.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        best = best.max(state.successes);
        let row = state.history[state.history.len() - 1];
        if state.failovers < failovers {
            for kept in 0..state.history.len() {
                stack.push(Theft {
                    incarnation: state.incarnation + 1,
                    history: state.history[..=kept].to_vec(),
                    failovers: state.failovers + 1,
                    owner_succeeded: false,
                    successes: 0,
                    ..state.clone()
                });
            }
        }
        if let Some(history) = tick(&state.history) {
            stack.push(Theft {
                history,
                ..state.clone()
            });
        }
        if state.thief.is_none() {
            stack.push(Theft {
                thief: Some(state.owner),
                ..state.clone()
            });
        }
        if state.presented >= most {
            continue;
        }
        for (is_owner, token) in [(true, Some(state.owner)), (false, state.thief)] {
            let Some(token) = token else { continue };
            let (outcome, after, successor) = real.present(row, token, state.incarnation);
            // Inside the window: told as not promised (DESIGN section 11).
            let (Some(successor), true) = (successor, outcome != Said::Replayed) else {
                continue;
            };
            let mut history = state.history.clone();
            if after != row {
                history.push(after);
            }
            let token = (successor, state.incarnation);
            let moved = Theft {
                history,
                presented: state.presented + 1,
                ..state.clone()
            };
            stack.push(if is_owner {
                let owner_succeeded = state.owner_succeeded || state.thief.is_some();
                Theft {
                    owner: token,
                    owner_succeeded,
                    ..moved
                }
            } else {
                let successes = state.successes + u32::from(state.owner_succeeded);
                Theft {
                    thief: Some(token),
                    successes,
                    ..moved
                }
            });
        }
    }
    (best, seen.len())
}

#[test]
fn invariant_13_an_honest_client_is_never_signed_out_by_lost_answers_and_two_failovers() {
    use Said::{Healed, Replayed, Rotated, Superseded};
    let cases: [(Kind, bool, usize, &[Said]); 3] = [
        (Kind::Authenticated, false, 3_028, &[Rotated, Replayed, Healed]),
        (Kind::Authenticated, true, 6_019, &[Rotated, Replayed, Healed]),
        (
            Kind::Public,
            false,
            7_162,
            &[Rotated, Replayed, Superseded, Healed],
        ),
    ];
    for (kind, duplicates, states, outcomes) in cases {
        let (found, said) = honest(kind, duplicates, true, 2, 5);
        assert_eq!(found, Ok(states), "{kind:?}");
        assert_eq!(said.into_iter().collect::<Vec<_>>(), outcomes, "{kind:?}");
    }
}

#[test]
fn invariant_13_nor_are_duplicates_in_flight_that_arrive_inside_the_window() {
    let (found, said) = honest(Kind::Public, true, false, 2, 5);
    assert!(found.is_ok(), "{found:?}");
    assert!(said.contains(&Said::Healed) && said.contains(&Said::Replayed));
}

#[test]
fn not_promised_an_unbound_client_that_sends_an_older_copy_after_the_window() {
    let (found, _) = honest(Kind::Public, true, true, 2, 5);
    let steps = found.unwrap_err();
    assert_eq!(steps.len(), 4, "{steps:?}");
    assert_eq!(steps[2], "duplicate g0 Superseded");
    assert_eq!(steps[3], "g1 Reused");
}

#[test]
fn not_promised_a_strict_client_that_lost_an_answer_for_longer_than_its_window() {
    for duplicates in [false, true] {
        let (found, _) = honest(Kind::Strict, duplicates, true, 2, 5);
        assert_eq!(
            found.unwrap_err(),
            ["g0 Rotated, answer lost", "tick", "g0 Reused"]
        );
    }
}

#[test]
fn a_thief_is_detected_as_late_as_the_model_says_and_no_later() {
    let cases = [
        (Kind::Public, 0, 5, 2_054),
        (Kind::Public, 1, 5, 18_598),
        (Kind::Strict, 0, 0, 1_538),
        (Kind::Strict, 1, 4, 14_486),
    ];
    for (kind, failovers, successes, states) in cases {
        assert_eq!(
            theft(kind, failovers, 6),
            (successes, states),
            "{kind:?} with {failovers} failovers"
        );
    }
}

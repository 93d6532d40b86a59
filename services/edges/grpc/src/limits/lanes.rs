//! Who waits, and who is next.
//!
//! Three lanes: what ends things goes first, tokens before reading. Within a lane callers take turns, one
//! call each, so a caller with a thousand calls delays another's by one call and not by a thousand.
//!
//! **Invariant:** nobody starves: of eight turns one goes to the lane that has waited longest behind others.

use std::collections::{HashMap, VecDeque};

use curfew_core::ids::CallerId;
use tokio::sync::oneshot;

use crate::access::Rank;

/// Of so many turns the last lane that waits gets one.
const TURNS: u32 = 8;

/// Whose turn it is among: a caller, or whoever has no id.
pub(super) type Whose = Option<CallerId>;

#[derive(Debug)]
struct Waiter {
    id: u64,
    call: oneshot::Sender<()>,
}

#[derive(Default, Debug)]
struct Lane {
    /// Callers with somebody waiting, each once.
    order: VecDeque<Whose>,
    waiting: HashMap<Whose, VecDeque<Waiter>>,
    len: usize,
}

impl Lane {
    fn push(&mut self, whose: Whose, waiter: Waiter) {
        let queue = self.waiting.entry(whose.clone()).or_default();
        if queue.is_empty() {
            self.order.push_back(whose);
        }
        queue.push_back(waiter);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Waiter> {
        let whose = self.order.pop_front()?;
        let queue = self.waiting.get_mut(&whose)?;
        let next = queue.pop_front();
        self.len -= usize::from(next.is_some());
        if queue.is_empty() {
            self.waiting.remove(&whose);
        } else {
            self.order.push_back(whose);
        }
        next
    }

    fn remove(&mut self, whose: &Whose, id: u64) {
        let Some(queue) = self.waiting.get_mut(whose) else {
            return;
        };
        // Whoever gives up has mostly waited longest: it stands in front.
        let Some(at) = queue.iter().position(|waiter| waiter.id == id) else {
            return;
        };
        queue.remove(at);
        self.len -= 1;
        if queue.is_empty() {
            self.waiting.remove(whose);
            self.order.retain(|other| other != whose);
        }
    }

    /// How many go before a new one of this caller.
    fn ahead_of(&self, whose: &Whose) -> usize {
        let own = self.waiting.get(whose).map_or(0, VecDeque::len);
        // In each round one of every caller.
        self.len
            .min(own.saturating_add(1).saturating_mul(self.order.len()))
    }
}

/// The lanes.
#[derive(Default, Debug)]
pub(super) struct Lanes {
    urgent: Lane,
    tokens: Lane,
    reads: Lane,
    next_id: u64,
    turns: u32,
}

impl Lanes {
    const fn lane(&mut self, rank: Rank) -> &mut Lane {
        match rank {
            Rank::Ends => &mut self.urgent,
            Rank::Tokens => &mut self.tokens,
            Rank::Reads => &mut self.reads,
        }
    }

    /// A place at the end of the caller's line.
    pub(super) fn push(&mut self, rank: Rank, whose: Whose) -> (u64, oneshot::Receiver<()>) {
        let (call, called) = oneshot::channel();
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.lane(rank).push(whose, Waiter { id, call });
        (id, called)
    }

    /// Leaves the line.
    pub(super) fn remove(&mut self, rank: Rank, whose: &Whose, id: u64) {
        self.lane(rank).remove(whose, id);
    }

    /// Whether anybody waits, of this rank.
    pub(super) const fn waits(&self, rank: Rank) -> bool {
        match rank {
            Rank::Ends => self.urgent.len > 0,
            Rank::Tokens => self.tokens.len > 0,
            Rank::Reads => self.reads.len > 0,
        }
    }

    /// Everybody who waits.
    pub(super) const fn len(&self) -> usize {
        self.urgent.len + self.tokens.len + self.reads.len
    }

    /// How many go before a new one of this rank and caller, as near as makes no odds.
    pub(super) fn ahead_of(&self, rank: Rank, whose: &Whose) -> usize {
        match rank {
            Rank::Ends => self.urgent.ahead_of(whose),
            Rank::Tokens => self.urgent.len + self.tokens.ahead_of(whose),
            Rank::Reads => {
                let before = self.urgent.len + self.tokens.len;
                let own = self.reads.ahead_of(whose);
                // One turn of eight is theirs, however long the other lanes are.
                before
                    .saturating_add(own)
                    .min(own.saturating_add(1).saturating_mul(8))
            }
        }
    }

    /// Calls the next one whose turn it is; `false`: nobody waits. `only_urgent`: the reserve.
    pub(super) fn call_next(&mut self, only_urgent: bool) -> bool {
        loop {
            let next = if only_urgent {
                self.urgent.pop()
            } else {
                self.turns = self.turns.wrapping_add(1);
                if self.turns.is_multiple_of(TURNS) {
                    let last = self.reads.pop().or_else(|| self.tokens.pop());
                    last.or_else(|| self.urgent.pop())
                } else {
                    let first = self.urgent.pop().or_else(|| self.tokens.pop());
                    first.or_else(|| self.reads.pop())
                }
            };
            match next {
                // Whoever is gone already is no turn.
                Some(waiter) => {
                    if waiter.call.send(()).is_ok() {
                        return true;
                    }
                }
                None => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(text: &str) -> Whose {
        Some(text.parse().unwrap())
    }

    /// The order in which everybody is called.
    fn called(lanes: &mut Lanes, waiting: Vec<(&'static str, oneshot::Receiver<()>)>) -> Vec<&'static str> {
        let mut waiting = waiting;
        let mut order = Vec::new();
        while lanes.call_next(false) {
            let at = waiting
                .iter_mut()
                .position(|(_, called)| called.try_recv().is_ok())
                .unwrap();
            order.push(waiting.remove(at).0);
        }
        assert!(waiting.is_empty());
        order
    }

    #[test]
    fn callers_take_turns_whoever_came_with_more() {
        let mut lanes = Lanes::default();
        let mut waiting = Vec::new();
        for (name, n) in [("first", 5), ("second", 2)] {
            for _ in 0..n {
                waiting.push((name, lanes.push(Rank::Tokens, whose(name)).1));
            }
        }
        assert_eq!(lanes.ahead_of(Rank::Tokens, &whose("third")), 2);
        assert_eq!(
            called(&mut lanes, waiting),
            ["first", "second", "first", "second", "first", "first", "first"]
        );
        assert_eq!(lanes.len(), 0);
    }

    #[test]
    fn what_ends_things_goes_first_and_reading_is_not_starved() {
        let mut lanes = Lanes::default();
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(("read", lanes.push(Rank::Reads, whose("a")).1));
            waiting.push(("token", lanes.push(Rank::Tokens, whose("a")).1));
        }
        waiting.push(("end", lanes.push(Rank::Ends, whose("a")).1));
        let order = called(&mut lanes, waiting);
        assert_eq!(
            order[..7],
            ["end", "token", "token", "token", "token", "token", "token"]
        );
        let reads = order[..24].iter().filter(|name| **name == "read").count();
        assert_eq!(reads, 3, "one turn of eight");
    }

    #[test]
    fn whoever_gave_up_is_passed_over() {
        let mut lanes = Lanes::default();
        let (gone, _) = lanes.push(Rank::Tokens, whose("a"));
        let (_, dropped) = lanes.push(Rank::Tokens, whose("b"));
        drop(dropped);
        let (_, mut called) = lanes.push(Rank::Tokens, whose("c"));
        lanes.remove(Rank::Tokens, &whose("a"), gone);
        assert!(lanes.call_next(false));
        called.try_recv().unwrap();
        assert!(!lanes.call_next(false));
        assert_eq!(lanes.len(), 0);
    }
}

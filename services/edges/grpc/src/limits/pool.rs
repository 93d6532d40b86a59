//! One pool, and each caller's share of it.
//!
//! A caller may hold no more than what it leaves free (dynamic thresholds, Choudhury and Hahne 1998): alone
//! it gets half of the pool, two greedy ones a third each, n of them 1/(n+1) each, and as much is always
//! left for whoever comes next. No figure has to be set, and none goes wrong when callers are added.
//!
//! **Invariant:** what outranks is counted by itself and has a reserve: the calls that end things get in
//! however many others are in progress.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use curfew_core::ids::CallerId;

/// Whether a call outranks the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It may not touch the reserve.
    Common,
    /// It may.
    Outranking,
}

/// What one caller holds, or all of them.
#[derive(Clone, Copy, Default, Debug)]
struct Held {
    common: usize,
    outranking: usize,
}

impl Held {
    const fn of(&mut self, standing: Standing) -> &mut usize {
        match standing {
            Standing::Common => &mut self.common,
            Standing::Outranking => &mut self.outranking,
        }
    }

    const fn all(self) -> usize {
        self.common.saturating_add(self.outranking)
    }
}

#[derive(Default, Debug)]
struct State {
    total: Held,
    /// Callers that hold something; at most as many as places.
    by_caller: HashMap<CallerId, Held>,
}

/// A bounded number of places.
#[derive(Debug)]
pub(crate) struct Pool {
    places: usize,
    reserve: usize,
    state: Mutex<State>,
}

/// The pool has no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// The caller holds its share; so many places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ShareHeld(pub(crate) usize);

impl Pool {
    /// A pool of so many places, some of them for what outranks alone.
    pub(crate) fn new(places: usize, reserve: usize) -> Arc<Self> {
        Arc::new(Self {
            places,
            reserve,
            state: Mutex::default(),
        })
    }

    /// Places that are taken, and all of them.
    pub(crate) fn used(&self) -> (usize, usize) {
        (self.lock().total.all(), self.places)
    }

    /// What is left for a call of this standing.
    const fn free(&self, total: Held, standing: Standing) -> usize {
        match standing {
            Standing::Outranking => self.places.saturating_sub(total.all()),
            Standing::Common => self
                .places
                .saturating_sub(self.reserve)
                .saturating_sub(total.common)
                // The outranking fill their reserve first.
                .saturating_sub(total.outranking.saturating_sub(self.reserve)),
        }
    }

    /// A place for a call of a caller that is not known yet.
    pub(crate) fn enter(self: &Arc<Self>, standing: Standing) -> Result<Place, Full> {
        let mut state = self.lock();
        if self.free(state.total, standing) == 0 {
            return Err(Full);
        }
        *state.total.of(standing) += 1;
        drop(state);
        Ok(Place {
            pool: self.clone(),
            standing,
            caller: None,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a pool, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pool: Arc<Pool>,
    standing: Standing,
    caller: Option<CallerId>,
}

impl Place {
    /// The place is this caller's, where it does not hold its share already.
    pub(crate) fn named(mut self, caller: &CallerId) -> Result<Self, ShareHeld> {
        let mut state = self.pool.lock();
        let free = self.pool.free(state.total, self.standing);
        let mut held = state.by_caller.get(caller).copied().unwrap_or_default();
        let present = held.of(self.standing);
        if *present > free {
            return Err(ShareHeld(*present));
        }
        *present += 1;
        state.by_caller.insert(caller.clone(), held);
        drop(state);
        self.caller = Some(caller.clone());
        Ok(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let total = state.total.of(self.standing);
        *total = total.saturating_sub(1);
        let Some(caller) = &self.caller else { return };
        let Some(held) = state.by_caller.get_mut(caller) else {
            return;
        };
        let present = held.of(self.standing);
        *present = present.saturating_sub(1);
        if held.all() == 0 {
            state.by_caller.remove(caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Common, Outranking};
    use super::*;

    fn id(text: &str) -> CallerId {
        text.parse().unwrap()
    }

    /// As many places as the caller gets.
    fn take(pool: &Arc<Pool>, caller: &str, standing: Standing) -> Vec<Place> {
        let mut held = Vec::new();
        while let Ok(place) = pool.enter(standing)
            && let Ok(place) = place.named(&id(caller))
        {
            held.push(place);
        }
        held
    }

    #[test]
    fn a_caller_alone_gets_half_and_greedy_callers_leave_room_for_the_next() {
        let pool = Pool::new(1_024, 128);
        let places = 1_024 - 128;
        let first = take(&pool, "first", Common);
        assert_eq!(first.len(), places / 2);
        let second = take(&pool, "second", Common);
        assert_eq!(
            second.len(),
            places / 4,
            "the first came first and keeps its places"
        );
        let third = take(&pool, "third", Common);
        assert_eq!(third.len(), places / 8);
        drop((first, second, third));
        assert!(pool.lock().by_caller.is_empty());
        assert_eq!(pool.lock().total.all(), 0);
    }

    #[test]
    fn callers_that_come_in_turn_get_the_same() {
        let pool = Pool::new(1_024, 128);
        let mut held: HashMap<&str, Vec<Place>> = HashMap::new();
        for _ in 0..1_024 {
            for caller in ["first", "second"] {
                let place = pool.enter(Common).map(|place| place.named(&id(caller)));
                held.entry(caller)
                    .or_default()
                    .extend(place.into_iter().flatten());
            }
        }
        // 896 places: (896 - 2n) = n where both hold n.
        assert_eq!((held["first"].len(), held["second"].len()), (299, 299));
        assert!(pool.enter(Common).unwrap().named(&id("third")).is_ok());
    }

    #[test]
    fn what_outranks_gets_in_when_the_rest_is_full() {
        let pool = Pool::new(64, 8);
        let strangers: Vec<_> = std::iter::from_fn(|| pool.enter(Common).ok()).collect();
        assert_eq!(strangers.len(), 56);
        assert_eq!(pool.enter(Common).unwrap_err(), Full);
        let urgent = take(&pool, "first", Outranking);
        assert_eq!(urgent.len(), 4, "half of the reserve");
        assert!(pool.enter(Outranking).unwrap().named(&id("second")).is_ok());
    }

    #[test]
    fn a_callers_own_flood_does_not_hold_up_what_outranks() {
        let pool = Pool::new(64, 8);
        let flood = take(&pool, "first", Common);
        assert_eq!(
            pool.enter(Common).unwrap().named(&id("first")).unwrap_err(),
            ShareHeld(flood.len())
        );
        assert!(pool.enter(Outranking).unwrap().named(&id("first")).is_ok());
    }

    #[test]
    fn a_pool_of_one_is_a_pool() {
        let pool = Pool::new(1, 0);
        let one = pool.enter(Common).unwrap().named(&id("first")).unwrap();
        assert_eq!(pool.enter(Common).unwrap_err(), Full);
        assert_eq!(pool.enter(Outranking).unwrap_err(), Full);
        drop(one);
        assert!(pool.enter(Common).unwrap().named(&id("second")).is_ok());
    }
}

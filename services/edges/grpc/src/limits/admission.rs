//! Whether a call begins now, waits its turn, or is told when to come again.
//!
//! As many run at once as the [`Window`] found good; the others wait in [`Lanes`], and nobody waits longer
//! than `wait_max`. A call that would, or whose caller will not wait that long, is refused at once: what is
//! admitted is answered within the bound of the wait and the time of a call, however much is asked.
//!
//! A refused call is told a time of its own: the refused are spread over the time that they will take, so
//! that a herd does not come back as a herd.
//!
//! **Invariant:** what was refused was not begun; what ends things runs beside the rest, in a reserve.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::lanes::{Lanes, Whose};
use super::window::Window;
use crate::access::Rank;

/// The longest delay that a refused call is told: a person waits no longer, and by then much has changed.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// The least distance of two delays: 1,000 refused calls a second come back as 1,000 a second.
const RETRY_STEP: Duration = Duration::from_millis(1);
/// How often an overload is logged.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Of the calls at once, one part in so many is kept for what ends things.
const RESERVE_PART: usize = 8;

/// Why a call was not begun, and when to come again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shed {
    /// The wait would be longer than any may be.
    Busy(Duration),
    /// The wait would be longer than the caller's own deadline.
    Deadline(Duration),
}

#[derive(Debug)]
struct State {
    window: Window,
    lanes: Lanes,
    running: usize,
    /// The time that the last refused call was told.
    promised: Option<Instant>,
    shed: u64,
    told: Option<Instant>,
}

/// Admits calls.
#[derive(Debug)]
pub(crate) struct Admission {
    state: Mutex<State>,
    reserve: usize,
    wait_max: Duration,
}

impl Admission {
    /// At most `calls_max` at once, fewer where they take longer than `target`; nobody waits beyond `wait_max`.
    pub(crate) fn new(calls_max: usize, target: Duration, wait_max: Duration) -> Arc<Self> {
        let state = State {
            window: Window::new(target, calls_max),
            lanes: Lanes::default(),
            running: 0,
            promised: None,
            shed: 0,
            told: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            reserve: calls_max / RESERVE_PART,
            wait_max,
        })
    }

    /// A turn, now or within the bound. `left`: what is left of the caller's deadline.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        rank: Rank,
        whose: Whose,
        left: Option<Duration>,
    ) -> Result<Turn, Shed> {
        let now = Instant::now();
        let patience = left.map_or(self.wait_max, |left| left.min(self.wait_max));
        let (id, called) = {
            let mut state = self.lock();
            if left == Some(Duration::ZERO) {
                return Err(Shed::Deadline(state.later(now)));
            }
            let extra = if rank == Rank::Ends { self.reserve } else { 0 };
            let is_free = state.running < state.window.at_once().saturating_add(extra);
            if is_free && !state.lanes.waits(rank) {
                state.running += 1;
                drop(state);
                return Ok(Turn {
                    admission: self.clone(),
                    began: now,
                });
            }
            state.window.held_back(now);
            let ahead = state.lanes.ahead_of(rank, &whose).saturating_add(1);
            let wait = state.window.time_for(ahead);
            if wait > patience {
                return Err(state.shed(now, wait <= self.wait_max));
            }
            state.lanes.push(rank, whose.clone())
        };
        let mut waiting = Waiting {
            admission: self,
            rank,
            whose,
            id,
            called: Some(called),
        };
        let called = tokio::time::timeout(patience, waiting.called()).await;
        let now = Instant::now();
        match called {
            Ok(true) => {
                // From here on the turn gives the place back.
                waiting.called = None;
                Ok(Turn {
                    admission: self.clone(),
                    began: now,
                })
            }
            Ok(false) | Err(_) => Err(self.lock().shed(now, patience < self.wait_max)),
        }
    }

    /// When a call that found no place at all may come again.
    pub(crate) fn later(&self) -> Duration {
        let now = Instant::now();
        let mut state = self.lock();
        state.window.held_back(now);
        match state.shed(now, false) {
            Shed::Busy(delay) | Shed::Deadline(delay) => delay,
        }
    }

    /// A place is free: whoever is next runs.
    fn free(&self, began: Option<Instant>) {
        let now = Instant::now();
        let mut state = self.lock();
        state.running = state.running.saturating_sub(1);
        if let Some(began) = began {
            state.window.ended(now.saturating_duration_since(began), now);
        }
        while state.running < state.window.at_once() && state.lanes.call_next(false) {
            state.running += 1;
        }
        let most = state.window.at_once().saturating_add(self.reserve);
        while state.running < most && state.lanes.call_next(true) {
            state.running += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn shed(&mut self, now: Instant, is_deadline: bool) -> Shed {
        let delay = self.later(now);
        self.shed = self.shed.saturating_add(1);
        let is_due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        if is_due {
            self.told = Some(now);
            let (shed, running, waiting) = (self.shed, self.running, self.lanes.len());
            let at_once = self.window.at_once();
            tracing::warn!(shed, running, at_once, waiting, "calls are shed");
            self.shed = 0;
        }
        if is_deadline {
            Shed::Deadline(delay)
        } else {
            Shed::Busy(delay)
        }
    }

    /// A time behind whoever waits and whoever was told a time before.
    fn later(&mut self, now: Instant) -> Duration {
        let step = self.window.time_for(1).max(RETRY_STEP);
        let first = now + self.window.time_for(self.lanes.len());
        let next = self.promised.map_or(first, |promised| promised.max(first)) + step;
        // Beyond the longest delay they begin in front again: denser, and still spread.
        let next = if next > now + RETRY_MAX {
            (first + step).min(now + RETRY_MAX)
        } else {
            next
        };
        self.promised = Some(next);
        next.saturating_duration_since(now)
    }
}

/// One that waits; leaving the line costs nobody a turn.
struct Waiting<'a> {
    admission: &'a Admission,
    rank: Rank,
    whose: Whose,
    id: u64,
    called: Option<oneshot::Receiver<()>>,
}

impl Waiting<'_> {
    async fn called(&mut self) -> bool {
        match &mut self.called {
            Some(called) => called.await.is_ok(),
            None => false,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(mut called) = self.called.take() else {
            return;
        };
        self.admission
            .lock()
            .lanes
            .remove(self.rank, &self.whose, self.id);
        called.close();
        // Called in the same moment: the turn goes to the next.
        if called.try_recv().is_ok() {
            self.admission.free(None);
        }
    }
}

/// A call that runs; the next one may when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    admission: Arc<Admission>,
    began: Instant,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.admission.free(Some(self.began));
    }
}

#[cfg(test)]
mod tests;

//! The open loop: requests leave when the schedule says, whatever the target does.
//!
//! One thread sleeps from arrival to arrival and gives each request to the runtime; it never waits
//! for an answer. Latency is counted from the intended time, so a target that stalls is charged with
//! every request that it made wait.
//!
//! **Invariant:** a full house of requests under way delays nothing: what would exceed it is not sent
//! and counts as the time-out.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock::{Mono, sleep_until};
use crate::recorder::{Ended, Observed, Operation, Recorded, Recorder};
use crate::schedule::Schedule;

/// What requests are sent to.
pub(crate) trait Target: Send + Sync + 'static {
    /// What one request needs: a session, say, that no other request has.
    type Job: Send + 'static;

    /// Chooses what the next request does, and takes what it needs; `Err`: nothing is free for it.
    fn choose(&self) -> (Operation, Option<Self::Job>);

    /// Sends it and waits for the answer.
    fn send(&self, job: Self::Job) -> impl Future<Output = Result<(), String>> + Send;
}

/// Bounds of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Requests under way at once.
    pub(crate) in_flight_max: usize,
    /// What is not answered after that long is given up, and counts as that long.
    pub(crate) time_out: Duration,
    /// How much of the schedule's beginning is not reported.
    pub(crate) warm_up: Duration,
}

/// Live numbers of a run, for whoever shows them.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) answered: AtomicUsize,
    pub(crate) not_answered: AtomicUsize,
    pub(crate) in_flight: AtomicUsize,
    /// The warm-up is over.
    pub(crate) is_measuring: AtomicBool,
}

/// What an ended run gives.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) recorded: Recorded,
    /// When the measured part began, and when its last request was over.
    pub(crate) measured_from: Mono,
    pub(crate) measured_to: Mono,
}

struct Shared<T> {
    target: T,
    recorder: Mutex<Recorder>,
    live: Arc<Live>,
    bounds: Bounds,
    start: Mono,
}

impl<T> Shared<T> {
    fn record(&self, observed: &Observed) {
        let is_answered = observed.ended == Ended::Answered;
        let counter = if is_answered {
            &self.live.answered
        } else {
            &self.live.not_answered
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.recorder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(observed);
    }
}

/// Runs a schedule against a target. `at_measuring` is called once when the warm-up is over.
///
/// Blocks: call it outside the runtime whose handle it is given.
pub(crate) fn drive<T: Target>(
    runtime: &Handle,
    target: T,
    schedule: &Schedule,
    bounds: Bounds,
    live: &Arc<Live>,
    at_measuring: impl FnOnce(),
) -> Done {
    let start = Mono::now();
    let shared = Arc::new(Shared {
        target,
        recorder: Mutex::new(Recorder::new(bounds.warm_up, bounds.time_out)),
        live: live.clone(),
        bounds,
        start,
    });
    let mut at_measuring = Some(at_measuring);
    for offset in schedule.arrivals() {
        let intended = start.plus(offset);
        sleep_until(intended);
        if offset >= bounds.warm_up
            && let Some(begin) = at_measuring.take()
        {
            live.is_measuring.store(true, Ordering::Relaxed);
            begin();
        }
        let (operation, job) = shared.target.choose();
        let not_sent = |ended| Observed {
            operation,
            intended: offset,
            lag: Duration::ZERO,
            latency: Duration::ZERO,
            ended,
        };
        let Some(job) = job else {
            shared.record(&not_sent(Ended::Starved));
            continue;
        };
        if live.in_flight.load(Ordering::Relaxed) >= bounds.in_flight_max {
            // Dropping the job gives back what it took.
            drop(job);
            shared.record(&not_sent(Ended::Overrun));
            continue;
        }
        live.in_flight.fetch_add(1, Ordering::Relaxed);
        runtime.spawn(one(shared.clone(), operation, job, offset));
    }
    // Every request is given up after the time-out, so this ends.
    while live.in_flight.load(Ordering::Acquire) > 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let measured_to = Mono::now();
    let empty = Recorder::new(bounds.warm_up, bounds.time_out);
    let mut recorder = shared.recorder.lock().unwrap_or_else(PoisonError::into_inner);
    Done {
        recorded: std::mem::replace(&mut *recorder, empty).finish(),
        measured_from: start.plus(bounds.warm_up),
        measured_to,
    }
}

async fn one<T: Target>(shared: Arc<Shared<T>>, operation: Operation, job: T::Job, offset: Duration) {
    let intended = shared.start.plus(offset);
    let lag = Mono::now().since(intended);
    let sent = tokio::time::timeout(shared.bounds.time_out, shared.target.send(job)).await;
    let latency = Mono::now().since(intended);
    let ended = match sent {
        Ok(Ok(())) => Ended::Answered,
        Ok(Err(reason)) => Ended::Failed(reason),
        Err(_) => Ended::Failed("time-out of the generator".to_owned()),
    };
    shared.record(&Observed {
        operation,
        intended: offset,
        lag,
        latency,
        ended,
    });
    shared.live.in_flight.fetch_sub(1, Ordering::Release);
}

#[cfg(test)]
mod tests;

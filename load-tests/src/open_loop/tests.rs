//! The open loop against targets that stall, refuse and never answer.

use std::sync::atomic::AtomicU64;

use tokio::runtime::Runtime;

use super::*;
use crate::schedule::Shape;

/// Answers nothing until it is released, then at once.
struct Stalled {
    released: tokio::sync::watch::Receiver<bool>,
}

impl Target for Stalled {
    type Job = ();

    fn choose(&self) -> (Operation, Option<()>) {
        (Operation::Refresh, Some(()))
    }

    async fn send(&self, (): ()) -> Result<(), String> {
        let mut released = self.released.clone();
        released
            .wait_for(|released| *released)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

/// Has so many sessions and gives none back.
struct Sessions(AtomicU64);

impl Target for Sessions {
    type Job = ();

    fn choose(&self) -> (Operation, Option<()>) {
        let left = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        (Operation::Refresh, left.ok().map(drop))
    }

    async fn send(&self, (): ()) -> Result<(), String> {
        Ok(())
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn schedule(rate: f64, ms: u64) -> Schedule {
    Schedule {
        shape: Shape::Constant,
        rate,
        length: Duration::from_millis(ms),
        seed: 1,
        stairs: 1,
    }
}

fn bounds(in_flight_max: usize, time_out_ms: u64) -> Bounds {
    Bounds {
        in_flight_max,
        time_out: Duration::from_millis(time_out_ms),
        warm_up: Duration::ZERO,
    }
}

#[test]
fn a_stalled_target_is_charged_with_the_wait_of_every_request_that_it_delayed() {
    let runtime = runtime();
    let (release, released) = tokio::sync::watch::channel(false);
    let live = Arc::new(Live::default());
    // Released only once the whole schedule was sent: the loop did not wait for a single answer.
    let all_sent = live.clone();
    let releaser = std::thread::spawn(move || {
        while all_sent.in_flight.load(Ordering::Relaxed) < 200 {
            std::thread::yield_now();
        }
        release.send_replace(true);
    });
    let done = drive(
        runtime.handle(),
        Stalled { released },
        &schedule(1_000.0, 200),
        bounds(1_000, 60_000),
        &live,
        || {},
    );
    releaser.join().unwrap();
    let refresh = &done.recorded.operations[0];
    assert_eq!((refresh.intended, refresh.answered), (200, 200));
    // Intended at 0, 1, … 199 ms and answered after 199 ms: the k-th waited at least 199 − k ms.
    assert!(refresh.latency_ms.max >= 199.0, "{refresh:?}");
    assert!(refresh.latency_ms.p50 >= 99.0, "{refresh:?}");
    assert!(refresh.latency_ms.mean >= 99.0, "{refresh:?}");
}

#[test]
fn what_exceeds_the_bound_is_not_sent_and_counts_as_the_time_out() {
    let runtime = runtime();
    let (_never, released) = tokio::sync::watch::channel(false);
    let live = Arc::new(Live::default());
    let done = drive(
        runtime.handle(),
        Stalled { released },
        &schedule(1_000.0, 50),
        bounds(10, 2_000),
        &live,
        || {},
    );
    let refresh = &done.recorded.operations[0];
    assert_eq!((refresh.intended, refresh.answered), (50, 0));
    assert_eq!((refresh.failed, refresh.overrun), (10, 40));
    assert!(refresh.latency_ms.p50 >= 1_990.0, "{refresh:?}");
    assert_eq!(refresh.reasons.len(), 1, "{refresh:?}");
}

#[test]
fn a_request_without_a_free_session_is_starved_and_counts_as_the_time_out() {
    let runtime = runtime();
    let live = Arc::new(Live::default());
    let done = drive(
        runtime.handle(),
        Sessions(AtomicU64::new(20)),
        &schedule(1_000.0, 50),
        bounds(100, 1_000),
        &live,
        || {},
    );
    let refresh = &done.recorded.operations[0];
    assert_eq!((refresh.answered, refresh.starved), (20, 30));
    assert!(refresh.latency_ms.p99 >= 990.0, "{refresh:?}");
    assert!(refresh.answered_ms.count == 20);
}

#[test]
fn the_measured_part_begins_once_when_the_warm_up_is_over() {
    let runtime = runtime();
    let live = Arc::new(Live::default());
    let mut bounds = bounds(100, 1_000);
    bounds.warm_up = Duration::from_millis(30);
    let begun = AtomicU64::new(0);
    let done = drive(
        runtime.handle(),
        Sessions(AtomicU64::new(1_000)),
        &schedule(1_000.0, 50),
        bounds,
        &live,
        || {
            begun.fetch_add(1, Ordering::SeqCst);
        },
    );
    assert_eq!(begun.into_inner(), 1);
    assert_eq!(done.recorded.operations[0].intended, 20);
    assert!(done.measured_to > done.measured_from);
}

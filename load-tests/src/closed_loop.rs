//! The closed loop: so many requests under way, each followed by the next. Good for one question alone,
//! how much a target can do at most.
//!
//! **Invariant:** its latencies are service times under its own pressure; they are never told as those of an open loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock::Mono;
use crate::latency::{Latencies, Percentiles};
use crate::open_loop::Target;

/// What a closed loop found.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Most {
    pub(crate) answered: u64,
    /// What failed, by reason.
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) per_s: f64,
    pub(crate) service_ms: Percentiles,
}

/// Keeps `workers` requests under way for that long, after a warm-up of a fifth of it.
pub(crate) fn drive<T: Target>(
    runtime: &Handle,
    target: T,
    workers: usize,
    length: Duration,
    at_measuring: impl FnOnce(),
) -> Most {
    let target = Arc::new(target);
    let begun = Mono::now();
    let from = begun.plus(length / 5);
    let until = from.plus(length);
    let tasks: Vec<_> = (0..workers)
        .map(|_| runtime.spawn(work(target.clone(), from, until)))
        .collect();
    crate::clock::sleep_until(from);
    at_measuring();
    let mut all = Latencies::new(3);
    let mut failures = BTreeMap::new();
    for task in tasks {
        if let Ok((latencies, failed)) = runtime.block_on(task) {
            all.add(&latencies);
            for (reason, count) in failed {
                *failures.entry(reason).or_default() += count;
            }
        }
    }
    let service_ms = all.percentiles();
    Most {
        answered: service_ms.count,
        failures,
        per_s: service_ms.count as f64 / Mono::now().since(from).as_secs_f64(),
        service_ms,
    }
}

async fn work<T: Target>(target: Arc<T>, from: Mono, until: Mono) -> (Latencies, BTreeMap<String, u64>) {
    let mut latencies = Latencies::new(3);
    let mut failed = BTreeMap::new();
    loop {
        let sent = Mono::now();
        if sent >= until {
            return (latencies, failed);
        }
        let (_, Some(job)) = target.choose() else {
            // Fewer sessions than workers: this one has nothing to do for the moment.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let answer = target.send(job).await;
        if sent < from {
            continue;
        }
        match answer {
            Ok(()) => latencies.record(Mono::now().since(sent)),
            Err(reason) => {
                *failed.entry(reason).or_default() += 1;
                // A target that refuses everything at once must not be asked a million times a second.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

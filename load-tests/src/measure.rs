//! One measured run: the open loop over a workload, what it cost, and whether it counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::closed_loop;
use crate::open_loop::{self, Bounds, Live, Target};
use crate::progress::Progress;
use crate::recorder::Recorded;
use crate::schedule::Schedule;
use crate::usage::Usage;
use crate::verdict::Verdict;

/// Processor time of one part over a run's measured time.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// For each answered request, µs.
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    pub(crate) total_us: f64,
    /// Cores kept busy.
    pub(crate) cores: f64,
    /// Memory at the end, MiB.
    pub(crate) rss_mib: f64,
}

impl Cost {
    fn of(before: Usage, after: Usage, answered: u64, seconds: f64) -> Self {
        let each = |ms: f64| {
            if answered == 0 {
                0.0
            } else {
                ms * 1e3 / answered as f64
            }
        };
        Self {
            user_us: each(after.user_ms - before.user_ms),
            system_us: each(after.system_ms - before.system_ms),
            total_us: each(after.cpu_ms_since(&before)),
            cores: after.cpu_ms_since(&before) / 1e3 / seconds,
            rss_mib: after.rss_mib,
        }
    }
}

/// One run of an open loop.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `refresh at half load`.
    pub(crate) name: String,
    pub(crate) schedule: Schedule,
    /// Sessions at its beginning.
    pub(crate) sessions: u64,
    pub(crate) in_flight_max: usize,
    pub(crate) warm_up_s: f64,
    /// From the end of the warm-up to the last answer.
    pub(crate) measured_s: f64,
    /// Answered requests of all operations a second of it.
    pub(crate) answered_per_s: f64,
    pub(crate) verdict: Verdict,
    #[serde(flatten)]
    pub(crate) recorded: Recorded,
    /// Of the target, where it runs on this machine and was started by us.
    pub(crate) target_cost: Option<Cost>,
    pub(crate) generator_cost: Cost,
}

/// The most that a target does in a closed loop.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Ceiling {
    pub(crate) name: String,
    /// Requests under way all the while.
    pub(crate) workers: usize,
    pub(crate) answered_per_s: f64,
    pub(crate) failed: u64,
    /// Service times under that pressure, ms: not the latencies of an open loop.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) target_cost: Option<Cost>,
    pub(crate) generator_cost: Cost,
}

/// Who is measured, and how it is shown.
#[derive(Debug)]
pub(crate) struct Stand<'a> {
    pub(crate) runtime: &'a Handle,
    /// The target's process, where it is ours.
    pub(crate) pid: Option<u32>,
    pub(crate) progress: &'a Progress,
}

impl Stand<'_> {
    fn look(&self) -> (Option<Usage>, Usage) {
        (self.pid.and_then(Usage::of), Usage::own())
    }

    /// Runs a schedule.
    pub(crate) fn open_loop<T: Target>(
        &self,
        name: &str,
        target: T,
        sessions: u64,
        schedule: &Schedule,
        bounds: Bounds,
    ) -> Run {
        let live = Arc::new(Live::default());
        let shown = self.progress.run(name, schedule.length, live.clone());
        let mut before = self.look();
        let done = open_loop::drive(self.runtime, target, schedule, bounds, &live, || {
            before = self.look()
        });
        let after = self.look();
        live.is_measuring.store(false, Ordering::Relaxed);
        shown.finish();
        let answered = done
            .recorded
            .operations
            .iter()
            .map(|operation| operation.answered)
            .sum();
        let seconds = done.measured_to.since(done.measured_from).as_secs_f64().max(1e-9);
        Run {
            name: name.to_owned(),
            schedule: *schedule,
            sessions,
            in_flight_max: bounds.in_flight_max,
            warm_up_s: bounds.warm_up.as_secs_f64(),
            measured_s: seconds,
            answered_per_s: answered as f64 / seconds,
            verdict: Verdict::of(&done.recorded),
            target_cost: cost_of(before.0, after.0, answered, seconds),
            generator_cost: Cost::of(before.1, after.1, answered, seconds),
            recorded: done.recorded,
        }
    }

    /// Finds the most that a target does.
    pub(crate) fn closed_loop<T: Target>(
        &self,
        name: &str,
        target: T,
        workers: usize,
        length: Duration,
    ) -> Ceiling {
        let shown = self.progress.wait(name);
        let mut before = self.look();
        let most = closed_loop::drive(self.runtime, target, workers, length, || before = self.look());
        let after = self.look();
        shown.finish();
        let seconds = length.as_secs_f64();
        Ceiling {
            name: name.to_owned(),
            workers,
            answered_per_s: most.per_s,
            failed: most.failed,
            p50_ms: most.service_ms.p50,
            p99_ms: most.service_ms.p99,
            target_cost: cost_of(before.0, after.0, most.answered, seconds),
            generator_cost: Cost::of(before.1, after.1, most.answered, seconds),
        }
    }
}

fn cost_of(before: Option<Usage>, after: Option<Usage>, answered: u64, seconds: f64) -> Option<Cost> {
    Some(Cost::of(before?, after?, answered, seconds))
}

//! One measured run: the open loop over a workload, what it cost, and whether it counts.

use std::collections::BTreeMap;
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
use crate::servers::{RedisCost, RedisLook, Servers};
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
    /// Of the target, where it runs on this machine and was started by us; of several nodes the sum.
    pub(crate) target_cost: Option<Cost>,
    pub(crate) generator_cost: Cost,
    /// Of the Redis and the Kafka that nodes share, where they share any.
    #[serde(default)]
    pub(crate) redis_cost: Option<RedisCost>,
    #[serde(default)]
    pub(crate) kafka_cost: Option<Cost>,
}

/// The most that a target does in a closed loop.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Ceiling {
    pub(crate) name: String,
    /// Requests under way all the while.
    pub(crate) workers: usize,
    pub(crate) answered_per_s: f64,
    pub(crate) failed: u64,
    /// By reason.
    #[serde(default)]
    pub(crate) failures: BTreeMap<String, u64>,
    /// Service times under that pressure, ms: not the latencies of an open loop.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) target_cost: Option<Cost>,
    pub(crate) generator_cost: Cost,
    #[serde(default)]
    pub(crate) redis_cost: Option<RedisCost>,
    #[serde(default)]
    pub(crate) kafka_cost: Option<Cost>,
}

/// Who is measured, and how it is shown.
#[derive(Debug)]
pub(crate) struct Stand<'a> {
    pub(crate) runtime: &'a Handle,
    /// The target's processes, where they are ours.
    pub(crate) pids: Vec<u32>,
    /// What they share.
    pub(crate) servers: Option<&'a Servers>,
    pub(crate) progress: &'a Progress,
}

/// One look at all that is charged with a run.
#[derive(Debug)]
struct Look {
    target: Option<Usage>,
    generator: Usage,
    redis: Option<RedisLook>,
    kafka: Option<Usage>,
}

/// What was spent between two looks, of each answered request.
#[derive(Debug)]
struct Spent {
    target: Option<Cost>,
    generator: Cost,
    redis: Option<RedisCost>,
    kafka: Option<Cost>,
}

impl Look {
    fn spent_since(&self, earlier: &Self, answered: u64, seconds: f64) -> Spent {
        let cost =
            |before: Option<Usage>, after: Option<Usage>| Some(Cost::of(before?, after?, answered, seconds));
        let redis = earlier.redis.clone().zip(self.redis.clone());
        Spent {
            target: cost(earlier.target, self.target),
            generator: Cost::of(earlier.generator, self.generator, answered, seconds),
            redis: redis.and_then(|looks| RedisCost::of(&[looks], answered, seconds)),
            kafka: cost(earlier.kafka, self.kafka),
        }
    }
}

impl Stand<'_> {
    fn look(&self) -> Look {
        Look {
            target: (!self.pids.is_empty()).then(|| Usage::of_all(&self.pids)),
            generator: Usage::own(),
            redis: self.servers.and_then(Servers::redis),
            kafka: self.servers.and_then(Servers::kafka),
        }
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
        let spent = after.spent_since(&before, answered, seconds);
        Run {
            name: name.to_owned(),
            schedule: *schedule,
            sessions,
            in_flight_max: bounds.in_flight_max,
            warm_up_s: bounds.warm_up.as_secs_f64(),
            measured_s: seconds,
            answered_per_s: answered as f64 / seconds,
            verdict: Verdict::of(&done.recorded),
            target_cost: spent.target,
            generator_cost: spent.generator,
            redis_cost: spent.redis,
            kafka_cost: spent.kafka,
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
        let spent = after.spent_since(&before, most.answered, seconds);
        Ceiling {
            name: name.to_owned(),
            workers,
            answered_per_s: most.per_s,
            failed: most.failures.values().sum(),
            failures: most.failures,
            p50_ms: most.service_ms.p50,
            p99_ms: most.service_ms.p99,
            target_cost: spent.target,
            generator_cost: spent.generator,
            redis_cost: spent.redis,
            kafka_cost: spent.kafka,
        }
    }
}

//! What a run saw: latencies by operation, a timeline, lag of the generator, reasons of failures.
//!
//! **Invariant:** every intended request is counted exactly once, sent or not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency::{Latencies, Percentiles};

/// What was asked of the target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// A refresh of one grant.
    Refresh,
    /// A session opened and its first tokens issued: two calls, one after the other.
    Open,
    /// A session ended, answered when durable.
    Revoke,
}

impl Operation {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Open => "open",
            Self::Revoke => "revoke",
        }
    }
}

/// How one request ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// As it should.
    Answered,
    /// The target said no, or nothing; the reason that it named.
    Failed(String),
    /// The generator had as many requests under way as it may: not sent.
    Overrun,
    /// No session was free, every one had a request under way: not sent.
    Starved,
}

/// One request, as the recorder takes it. Times are offsets from the run's start.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) operation: Operation,
    pub(crate) intended: Duration,
    /// From the intended time to the time it left.
    pub(crate) lag: Duration,
    /// From the intended time to the answer.
    pub(crate) latency: Duration,
    pub(crate) ended: Ended,
}

/// What is told of one kind of operation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct OperationReport {
    pub(crate) operation: Operation,
    /// Requests that the schedule asked for, after the warm-up.
    pub(crate) intended: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) overrun: u64,
    pub(crate) starved: u64,
    /// Reasons of failures.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Of all that were intended; what was not answered counts as the time-out.
    pub(crate) latency_ms: Percentiles,
    /// Of the answered ones alone.
    pub(crate) answered_ms: Percentiles,
    /// (1/(1−q), ms), of all that were intended.
    pub(crate) curve: Vec<[f64; 2]>,
}

/// One second of a run, by intended time; warm-up included.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Second {
    pub(crate) at_s: u32,
    pub(crate) warm_up: bool,
    pub(crate) intended: u64,
    pub(crate) answered: u64,
    pub(crate) not_answered: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

struct Kind {
    intended: Latencies,
    answered: Latencies,
    counts: [u64; 3],
    reasons: BTreeMap<String, u64>,
}

struct Moment {
    intended: u64,
    answered: u64,
    latencies: Latencies,
}

/// Takes what happens while it happens.
pub(crate) struct Recorder {
    warm_up: Duration,
    time_out: Duration,
    kinds: BTreeMap<Operation, Kind>,
    timeline: Vec<Moment>,
    lag: Latencies,
}

/// Everything that a recorder tells.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) operations: Vec<OperationReport>,
    pub(crate) timeline: Vec<Second>,
    /// From the intended to the real time of sending, after the warm-up.
    pub(crate) lag_ms: Percentiles,
}

/// More names than this are counted under one: a target that answers nonsense does not fill memory.
const REASONS_MAX: usize = 64;
/// Seconds of a timeline: an hour. Longer runs are told without their tail's timeline.
const SECONDS_MAX: usize = 3_600;

impl Recorder {
    pub(crate) fn new(warm_up: Duration, time_out: Duration) -> Self {
        Self {
            warm_up,
            time_out,
            kinds: BTreeMap::new(),
            timeline: Vec::new(),
            lag: Latencies::new(3),
        }
    }

    pub(crate) fn record(&mut self, observed: &Observed) {
        let is_answered = observed.ended == Ended::Answered;
        let counted = if is_answered {
            observed.latency
        } else {
            self.time_out.max(observed.latency)
        };
        self.record_second(observed, is_answered, counted);
        if observed.intended < self.warm_up {
            return;
        }
        let kind = self.kinds.entry(observed.operation).or_insert_with(|| Kind {
            intended: Latencies::new(3),
            answered: Latencies::new(3),
            counts: [0; 3],
            reasons: BTreeMap::new(),
        });
        kind.intended.record(counted);
        let [failed, overrun, starved] = &mut kind.counts;
        match &observed.ended {
            Ended::Answered => kind.answered.record(observed.latency),
            Ended::Failed(reason) => {
                *failed += 1;
                let is_new = !kind.reasons.contains_key(reason);
                let reason = if is_new && kind.reasons.len() >= REASONS_MAX {
                    "other"
                } else {
                    reason
                };
                *kind.reasons.entry(reason.to_owned()).or_default() += 1;
            }
            Ended::Overrun => *overrun += 1,
            Ended::Starved => *starved += 1,
        }
        if matches!(observed.ended, Ended::Answered | Ended::Failed(_)) {
            self.lag.record(observed.lag);
        }
    }

    fn record_second(&mut self, observed: &Observed, is_answered: bool, counted: Duration) {
        let second = usize::try_from(observed.intended.as_secs()).unwrap_or(usize::MAX);
        if second >= SECONDS_MAX {
            return;
        }
        while self.timeline.len() <= second {
            self.timeline.push(Moment {
                intended: 0,
                answered: 0,
                latencies: Latencies::new(2),
            });
        }
        if let Some(moment) = self.timeline.get_mut(second) {
            moment.intended += 1;
            moment.answered += u64::from(is_answered);
            moment.latencies.record(counted);
        }
    }

    pub(crate) fn finish(self) -> Recorded {
        let operations = self.kinds.into_iter().map(|(operation, kind)| {
            let [failed, overrun, starved] = kind.counts;
            let answered_ms = kind.answered.percentiles();
            let latency_ms = kind.intended.percentiles();
            OperationReport {
                operation,
                intended: latency_ms.count,
                answered: answered_ms.count,
                failed,
                overrun,
                starved,
                reasons: kind.reasons,
                latency_ms,
                answered_ms,
                curve: kind.intended.curve(),
            }
        });
        let warm_up_s = self.warm_up.as_secs();
        let timeline = (0_u32..).zip(&self.timeline).map(|(at_s, moment)| {
            let told = moment.latencies.percentiles();
            Second {
                at_s,
                warm_up: u64::from(at_s) < warm_up_s,
                intended: moment.intended,
                answered: moment.answered,
                not_answered: moment.intended - moment.answered,
                p50_ms: told.p50,
                p99_ms: told.p99,
                max_ms: told.max,
            }
        });
        Recorded {
            operations: operations.collect(),
            timeline: timeline.collect(),
            lag_ms: self.lag.percentiles(),
        }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("warm_up", &self.warm_up)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(intended_ms: u64, latency_ms: u64, ended: Ended) -> Observed {
        Observed {
            operation: Operation::Refresh,
            intended: Duration::from_millis(intended_ms),
            lag: Duration::ZERO,
            latency: Duration::from_millis(latency_ms),
            ended,
        }
    }

    #[test]
    fn failures_count_as_the_time_out_and_the_warm_up_is_apart() {
        let mut recorder = Recorder::new(Duration::from_secs(1), Duration::from_secs(10));
        recorder.record(&observed(500, 9_000, Ended::Answered));
        for n in 0..98 {
            recorder.record(&observed(1_000 + n, 2, Ended::Answered));
        }
        recorder.record(&observed(1_500, 1, Ended::Failed("OVERLOADED".to_owned())));
        recorder.record(&observed(2_500, 0, Ended::Overrun));
        let told = recorder.finish();
        let [refresh] = told.operations.as_slice() else {
            panic!("one operation: {told:?}")
        };
        assert_eq!((refresh.intended, refresh.answered), (100, 98));
        assert_eq!((refresh.failed, refresh.overrun, refresh.starved), (1, 1, 0));
        assert_eq!(refresh.reasons["OVERLOADED"], 1);
        assert!(
            refresh.latency_ms.p99 >= 9_990.0,
            "two of a hundred got no answer: {refresh:?}"
        );
        assert!(
            refresh.answered_ms.max < 3.0,
            "the warm-up's nine seconds are apart"
        );
        let warm_up: Vec<_> = told.timeline.iter().map(|second| second.warm_up).collect();
        assert_eq!(warm_up, [true, false, false]);
        assert_eq!(told.timeline[2].not_answered, 1);
    }

    #[test]
    fn reasons_are_bounded() {
        let mut recorder = Recorder::new(Duration::ZERO, Duration::from_secs(1));
        for n in 0..1_000 {
            recorder.record(&observed(0, 1, Ended::Failed(format!("reason {n}"))));
        }
        let told = recorder.finish();
        assert!(told.operations[0].reasons.len() <= REASONS_MAX + 1);
        assert_eq!(told.operations[0].reasons.values().sum::<u64>(), 1_000);
    }
}

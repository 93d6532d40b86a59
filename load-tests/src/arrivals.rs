//! When each revocation arrived at each guard.
//!
//! **Invariant:** each pair of a revocation and a guard counts exactly once; one that never arrived, and
//! one that a guard told of before the revocation was sent, counts as the time-out.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Mono;
use crate::latency::{Latencies, Percentiles};

/// What is told of the arrivals.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Arrived {
    /// Pairs of a revocation and a guard that never refused.
    pub(crate) never: u64,
    /// Refused for another reason than a revocation; these are among the former.
    pub(crate) others: BTreeMap<String, u64>,
    /// Revocations that the node did not acknowledge, by reason.
    pub(crate) not_acknowledged: BTreeMap<String, u64>,
    /// From the intended send to the first refusal, of every pair.
    pub(crate) each_ms: Percentiles,
    /// To the first refusal at the last guard, of every revocation.
    pub(crate) last_guard_ms: Percentiles,
    /// To the acknowledgement: durable.
    pub(crate) acknowledged_ms: Percentiles,
    /// From the intended to the real send.
    pub(crate) lag_ms: Percentiles,
    /// (1/(1−q), ms), of every pair.
    pub(crate) curve: Vec<[f64; 2]>,
}

/// Takes arrivals while they happen.
#[derive(Debug)]
pub(crate) struct Arrivals {
    intended: Vec<Mono>,
    time_out: Duration,
    /// By revocation, then by guard.
    taken: Vec<Vec<Option<Duration>>>,
    left: usize,
    others: BTreeMap<String, u64>,
    not_acknowledged: BTreeMap<String, u64>,
    acknowledged: Latencies,
    lag: Latencies,
}

impl Arrivals {
    pub(crate) fn new(intended: Vec<Mono>, guards: usize, time_out: Duration) -> Self {
        Self {
            taken: vec![vec![None; guards]; intended.len()],
            left: intended.len().saturating_mul(guards),
            intended,
            time_out,
            others: BTreeMap::new(),
            not_acknowledged: BTreeMap::new(),
            acknowledged: Latencies::new(3),
            lag: Latencies::new(3),
        }
    }

    /// Pairs of which nothing was heard yet.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// When the last revocation's time is over.
    pub(crate) fn until(&self) -> Mono {
        self.intended.last().map_or(Mono(0), |at| at.plus(self.time_out))
    }

    pub(crate) fn refused(&mut self, guard: usize, revocation: usize, at: Mono) {
        let Some(intended) = self.intended.get(revocation) else {
            return;
        };
        let pair = self.taken.get_mut(revocation).and_then(|of| of.get_mut(guard));
        let Some(pair) = pair.filter(|pair| pair.is_none()) else {
            return;
        };
        self.left -= 1;
        // A refusal before the revocation was sent proves that something else is measured.
        *pair = Some(if at < *intended {
            self.time_out
        } else {
            at.since(*intended)
        });
    }

    /// A guard will not refuse it any more because of the revocation.
    pub(crate) fn other(&mut self, reason: String) {
        self.left = self.left.saturating_sub(1);
        *self.others.entry(reason).or_default() += 1;
    }

    pub(crate) fn acknowledge(&mut self, lag: Duration, taken: Duration, answer: Result<(), String>) {
        self.lag.record(lag);
        match answer {
            Ok(()) => self.acknowledged.record(taken),
            Err(reason) => {
                self.acknowledged.record(self.time_out.max(taken));
                *self.not_acknowledged.entry(reason).or_default() += 1;
            }
        }
    }

    pub(crate) fn finish(self) -> Arrived {
        let (mut each, mut last, mut never) = (Latencies::new(3), Latencies::new(3), 0);
        for of in &self.taken {
            let times = of.iter().map(|taken| match taken {
                Some(taken) if *taken < self.time_out => *taken,
                Some(_) | None => {
                    never += 1;
                    self.time_out
                }
            });
            let mut slowest = Duration::ZERO;
            for taken in times {
                each.record(taken);
                slowest = slowest.max(taken);
            }
            last.record(slowest);
        }
        Arrived {
            never,
            others: self.others,
            not_acknowledged: self.not_acknowledged,
            each_ms: each.percentiles(),
            last_guard_ms: last.percentiles(),
            acknowledged_ms: self.acknowledged.percentiles(),
            lag_ms: self.lag.percentiles(),
            curve: each.curve(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_guard_that_never_refused_counts_as_the_time_out() {
        let mut arrivals = Arrivals::new(vec![Mono(10 * MS), Mono(20 * MS)], 2, Duration::from_secs(10));
        arrivals.refused(0, 0, Mono(15 * MS));
        arrivals.refused(1, 0, Mono(17 * MS));
        arrivals.refused(0, 1, Mono(23 * MS));
        assert_eq!(arrivals.left(), 1);
        let told = arrivals.finish();
        assert_eq!(
            (told.never, told.each_ms.count, told.last_guard_ms.count),
            (1, 4, 2)
        );
        assert!(told.each_ms.p50 < 5.1 && told.each_ms.max > 9_990.0, "{told:?}");
        assert!(
            (6.9..7.1).contains(&told.last_guard_ms.p50),
            "the slower of both guards: {told:?}"
        );
    }

    #[test]
    fn a_refusal_before_the_send_and_one_for_another_reason_are_no_arrivals() {
        let mut arrivals = Arrivals::new(vec![Mono(10 * MS)], 2, Duration::from_secs(1));
        arrivals.refused(0, 0, Mono(9 * MS));
        arrivals.other("TOKEN_EXPIRED".to_owned());
        assert_eq!(arrivals.left(), 0);
        let told = arrivals.finish();
        assert_eq!((told.never, told.others["TOKEN_EXPIRED"]), (2, 1));
        assert!(told.each_ms.p50 > 990.0, "{told:?}");
    }

    #[test]
    fn a_pair_counts_once_and_what_is_nobodys_is_ignored() {
        let mut arrivals = Arrivals::new(vec![Mono(0)], 1, Duration::from_secs(1));
        arrivals.refused(0, 0, Mono(MS));
        arrivals.refused(0, 0, Mono(2 * MS));
        arrivals.refused(7, 0, Mono(2 * MS));
        arrivals.refused(0, 7, Mono(2 * MS));
        let told = arrivals.finish();
        assert_eq!((told.never, told.each_ms.count), (0, 1));
        assert!(told.each_ms.max < 1.1, "the first counts: {told:?}");
    }

    #[test]
    fn a_revocation_without_an_answer_is_told_with_its_reason() {
        let mut arrivals = Arrivals::new(vec![Mono(0)], 0, Duration::from_secs(1));
        arrivals.acknowledge(
            Duration::ZERO,
            Duration::from_millis(2),
            Err("OVERLOADED".to_owned()),
        );
        let told = arrivals.finish();
        assert_eq!(told.not_acknowledged["OVERLOADED"], 1);
        assert!(told.acknowledged_ms.max > 990.0);
    }
}

//! Whether a run measured its target, or the generator that was to measure it.
//!
//! Lag is the time between the moment a request was intended and the moment it left. It is part of
//! every latency, so it can only make the target look worse; where it is a large part, the figure is
//! the generator's.
//!
//! **Invariant:** a void run keeps its figures and says that they are void, with the reason.

use serde::{Deserialize, Serialize};

use crate::recorder::Recorded;

/// Lag below this is the scheduler's: one slice of a busy core is 3 ms.
const LAG_P99_MS_FLOOR: f64 = 3.0;
/// The part of the 99th percentile that may be the generator's own.
const LAG_PART_MAX: f64 = 0.25;

/// What a run is worth.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "why")]
pub(crate) enum Verdict {
    /// The target was measured.
    Valid,
    /// The generator fell behind: nothing is proven about the target.
    Void(String),
}

impl Verdict {
    /// Judges by lag: void where its 99th percentile exceeds 3 ms and a quarter of the latency's.
    pub(crate) fn of(recorded: &Recorded) -> Self {
        let lag = recorded.lag_ms.p99;
        let latency = recorded
            .operations
            .iter()
            .map(|operation| operation.latency_ms.p99)
            .fold(0.0, f64::max);
        if recorded.operations.is_empty() {
            return Self::Void("nothing was sent after the warm-up".to_owned());
        }
        Self::of_times(lag, latency)
    }

    /// The same, by the 99th percentiles of lag and latency, ms.
    pub(crate) fn of_times(lag: f64, latency: f64) -> Self {
        if lag > LAG_P99_MS_FLOOR && lag > latency * LAG_PART_MAX {
            return Self::Void(format!(
                "the generator fell behind: its lag has a p99 of {lag:.1} ms, more than {LAG_P99_MS_FLOOR} ms and \
                 more than a quarter of the p99 of {latency:.1} ms; give it more of the machine or lower the rate"
            ));
        }
        Self::Valid
    }

    pub(crate) const fn is_void(&self) -> bool {
        matches!(self, Self::Void(_))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recorder::{Ended, Observed, Operation, Recorder};

    fn run(lag_ms: u64, latency_ms: u64) -> Verdict {
        let mut recorder = Recorder::new(Duration::ZERO, Duration::from_secs(10));
        for n in 0..100 {
            recorder.record(&Observed {
                operation: Operation::Refresh,
                intended: Duration::from_millis(n),
                lag: Duration::from_millis(lag_ms),
                latency: Duration::from_millis(latency_ms),
                ended: Ended::Answered,
            });
        }
        Verdict::of(&recorder.finish())
    }

    #[test]
    fn a_generator_that_fell_behind_voids_its_run_and_says_why() {
        let Verdict::Void(why) = run(20, 30) else {
            panic!("20 of 30 ms are the generator's")
        };
        assert!(why.contains("20.0 ms") && why.contains("30.0 ms"), "{why}");
    }

    #[test]
    fn a_small_lag_and_a_small_part_of_a_long_latency_are_no_reason() {
        assert_eq!(run(2, 2), Verdict::Valid, "below a slice of the scheduler");
        assert_eq!(run(20, 2_000), Verdict::Valid, "one part in a hundred");
    }

    #[test]
    fn a_run_that_sent_nothing_proves_nothing() {
        assert!(Verdict::of(&Recorder::new(Duration::ZERO, Duration::ZERO).finish()).is_void());
    }
}

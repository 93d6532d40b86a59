//! When requests are to be sent, decided before the first one is.
//!
//! **Invariant:** a schedule knows nothing of answers: whatever the target does, intended times stay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How arrivals lie in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// One every 1/rate.
    Constant,
    /// Independent arrivals: exponential gaps of mean 1/rate, from a seed.
    Poisson,
    /// Constant, but the rate climbs in equal stairs to the given one.
    Step,
}

/// Arrivals of one run.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Schedule {
    /// How arrivals lie.
    pub(crate) shape: Shape,
    /// Requests a second; of a step schedule, of its last stair.
    pub(crate) rate: f64,
    /// How long it lasts, warm-up included.
    pub(crate) length: Duration,
    /// Where the chance of a Poisson schedule begins.
    pub(crate) seed: u64,
    /// Stairs of a step schedule.
    pub(crate) stairs: u32,
}

impl Schedule {
    /// Offsets from the start, ascending.
    pub(crate) fn arrivals(&self) -> Arrivals {
        Arrivals {
            schedule: *self,
            chance: fastrand::Rng::with_seed(self.seed),
            at_s: 0.0,
        }
    }

    /// The rate that holds at an offset.
    pub(crate) fn rate_at(&self, at_s: f64) -> f64 {
        match self.shape {
            Shape::Constant | Shape::Poisson => self.rate,
            Shape::Step => {
                let stairs = f64::from(self.stairs.max(1));
                let stair = (at_s / self.length.as_secs_f64() * stairs).floor();
                self.rate * (stair.min(stairs - 1.0) + 1.0) / stairs
            }
        }
    }
}

/// The arrivals of a schedule, one after another.
#[derive(Debug)]
pub(crate) struct Arrivals {
    schedule: Schedule,
    chance: fastrand::Rng,
    at_s: f64,
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = self.at_s;
        // A rate that is no number sends nothing either.
        if self.schedule.rate.is_nan()
            || self.schedule.rate <= 0.0
            || at >= self.schedule.length.as_secs_f64()
        {
            return None;
        }
        let gap = 1.0 / self.schedule.rate_at(at);
        self.at_s += match self.schedule.shape {
            Shape::Constant | Shape::Step => gap,
            // 1 − u lies in (0, 1], so its logarithm is finite.
            Shape::Poisson => -(1.0 - self.chance.f64()).ln() * gap,
        };
        Some(Duration::from_secs_f64(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: Shape, rate: f64, seconds: u64) -> Schedule {
        Schedule {
            shape,
            rate,
            length: Duration::from_secs(seconds),
            seed: 7,
            stairs: 4,
        }
    }

    #[test]
    fn a_constant_schedule_is_evenly_spaced() {
        let offsets: Vec<_> = schedule(Shape::Constant, 4.0, 1).arrivals().collect();
        assert_eq!(offsets, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn a_poisson_schedule_has_its_rate_and_exponential_gaps_and_replays_from_its_seed() {
        let poisson = schedule(Shape::Poisson, 1_000.0, 20);
        let offsets: Vec<_> = poisson.arrivals().collect();
        // 20,000 expected; the standard deviation is 141, and the seed is fixed.
        assert!((19_500..20_500).contains(&offsets.len()), "{}", offsets.len());
        let gaps = offsets.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
        let longer_than_mean = gaps.filter(|gap| *gap > 0.001).count() as f64;
        // e^-1 of exponential gaps are longer than their mean; of constant ones none is.
        assert!((longer_than_mean / offsets.len() as f64 - 0.368).abs() < 0.02);
        assert_eq!(offsets, poisson.arrivals().collect::<Vec<_>>());
        let other = Schedule { seed: 8, ..poisson };
        assert_ne!(offsets, other.arrivals().collect::<Vec<_>>());
    }

    #[test]
    fn a_step_schedule_climbs_to_its_rate() {
        let step = schedule(Shape::Step, 400.0, 4);
        let offsets: Vec<_> = step.arrivals().collect();
        let in_second = |s| offsets.iter().filter(|offset| offset.as_secs() == s).count();
        let counts = [0, 1, 2, 3].map(in_second);
        for (count, expected) in counts.into_iter().zip([100_usize, 200, 300, 400]) {
            assert!(count.abs_diff(expected) <= 1, "{counts:?}");
        }
    }

    #[test]
    fn no_rate_is_no_arrival() {
        assert_eq!(schedule(Shape::Poisson, 0.0, 1).arrivals().count(), 0);
    }
}

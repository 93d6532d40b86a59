//! Latencies: a histogram in microseconds, and what is told of it.
//!
//! **Invariant:** what was not answered counts as the time-out: no failure makes a percentile better.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest that is told apart, µs: two minutes, longer than any time-out.
const LONGEST_US: u64 = 120_000_000;

/// Durations, three significant digits each: 140 KB.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// What is told of a histogram. Times in ms.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latencies {
    /// With `digits` significant digits, 1 to 5.
    pub(crate) fn new(digits: u8) -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, digits.clamp(1, 5)).unwrap_or_else(|_| never()))
    }

    pub(crate) fn record(&mut self, length: Duration) {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the bounds above, so nothing can be outside.
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.at_ms(quantile);
        Percentiles {
            count: self.0.len(),
            mean: self.0.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: if self.0.is_empty() { 0.0 } else { ms(self.0.max()) },
        }
    }

    fn at_ms(&self, quantile: f64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        ms(self.0.value_at_quantile(quantile))
    }

    /// Points of the percentile curve: (1/(1−q), ms), as far as there are samples to tell.
    pub(crate) fn curve(&self) -> Vec<[f64; 2]> {
        let last = self.0.len() as f64;
        let points = std::iter::successors(Some(1.0_f64), |x| Some(x * 1.25));
        points
            .take_while(|x| *x <= last)
            .map(|x| [x, self.at_ms(1.0 - 1.0 / x)])
            .collect()
    }
}

/// Microseconds as milliseconds; two minutes of µs are exact in an f64.
fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// The bounds are constants that the histogram takes.
fn never() -> Histogram<u64> {
    unreachable!("1..120,000,000 µs with 1 to 5 digits is a histogram")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new(3);
        for n in 1..=1_000 {
            latencies.record(Duration::from_micros(n * 100));
        }
        let told = latencies.percentiles();
        assert_eq!(told.count, 1_000);
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.002;
        assert!(near(told.p50, 50.0), "{told:?}");
        assert!(near(told.p90, 90.0), "{told:?}");
        assert!(near(told.p99, 99.0), "{told:?}");
        assert!(near(told.p999, 99.9), "{told:?}");
        assert!(near(told.max, 100.0), "{told:?}");
        assert!(near(told.mean, 50.05), "{told:?}");
    }

    #[test]
    fn nothing_recorded_is_told_as_nothing() {
        let empty = Latencies::new(3);
        assert_eq!(empty.percentiles(), Percentiles::default());
        assert!(empty.curve().is_empty());
    }

    #[test]
    fn sums_are_what_both_recorded_and_longer_than_the_longest_counts_as_it() {
        let (mut one, mut other) = (Latencies::new(3), Latencies::new(3));
        one.record(Duration::from_millis(1));
        other.record(Duration::from_secs(3_600));
        one.add(&other);
        let told = one.percentiles();
        assert_eq!(told.count, 2);
        assert!(told.max >= 119_000.0 && told.max < 122_000.0, "{told:?}");
    }

    #[test]
    fn the_curve_climbs_and_ends_where_samples_end() {
        let mut latencies = Latencies::new(3);
        for n in 1..=100 {
            latencies.record(Duration::from_millis(n));
        }
        let curve = latencies.curve();
        assert!(curve.windows(2).all(|pair| pair[0][1] <= pair[1][1]));
        assert!(
            curve.last().unwrap()[0] <= 100.0,
            "p99.9 of 100 samples is a guess"
        );
    }
}

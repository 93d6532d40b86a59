//! One family of series: its name, what it is, and its samples.

use std::fmt;

use curfew_authority::{Histogram, LATENCY_BOUNDS_US};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// Labels and their values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A counter: one sample for each set of labels. `name` is without `_total`, which the format adds.
pub(super) fn counter<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in samples {
        labelled(&mut family, &labels, |encoder| {
            encoder.encode_counter::<NoLabelSet, _, f64>(&count, None)
        })?;
    }
    Ok(())
}

/// A gauge; `name` is without its unit, which is added.
pub(super) fn gauge<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    samples: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (labels, value) in samples {
        labelled(&mut family, &labels, |encoder| encoder.encode_gauge(&value))?;
    }
    Ok(())
}

/// A histogram of durations; `name` is without `_seconds`, which is added.
pub(super) fn seconds<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, &'a Histogram)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for (labels, histogram) in samples {
        let bounds = LATENCY_BOUNDS_US.iter().map(|us| in_seconds(*us));
        // Read once: the count is the sum of what is shown, though somebody counts meanwhile.
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(histogram.buckets()).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = in_seconds(histogram.sum_us());
        labelled(&mut family, &labels, |encoder| {
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        })?;
    }
    Ok(())
}

/// Microseconds as seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53 µs, which is 285 years"
)]
fn in_seconds(us: u64) -> f64 {
    us as f64 / 1_000_000.0
}

/// A count as a gauge's value.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub(super) fn float(count: usize) -> f64 {
    count as f64
}

/// Milliseconds as seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53 ms, which is 285,000 years"
)]
pub(super) fn ms_in_seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

fn labelled(
    family: &mut MetricEncoder<'_>,
    labels: Labels<'_>,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() {
        return encode(family);
    }
    encode(&mut family.encode_family(&labels)?)
}

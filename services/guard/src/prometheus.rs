//! A guard's numbers in the Prometheus text format (0.0.4), with the feature `prometheus`.
//!
//! Every family is described in `services/METRICS.md`; a test compares the two.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::guard::Guard;
use crate::metrics::REVOKE_TO_REJECT_BOUNDS_MS;

impl Guard {
    /// Everything that it counts and holds, in the Prometheus text format: append it to what the guarded
    /// service answers on its own `/metrics`. No label is a subject, a session or a token.
    ///
    /// # Errors
    /// Only if writing to a string fails.
    pub fn prometheus_text(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scraped(self.clone())));
        let mut text = String::new();
        prometheus_client::encoding::prometheus_text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Scraped(Guard);

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let guard = &self.0;
        let metrics = guard.metrics();
        let (fetches, failed) = guard.key_fetches();
        let counters = [
            (
                "admitted",
                "Calls admitted, whatever the ground",
                metrics.admitted(),
            ),
            (
                "admitted_stale",
                "Calls admitted although freshness could not be proven",
                metrics.admitted_stale(),
            ),
            (
                "introspections",
                "Questions that an authority answered",
                metrics.introspected(),
            ),
            (
                "would_refuse",
                "Calls that report-only let through",
                metrics.would_refuse(),
            ),
            (
                "revocations_applied",
                "Revocations applied, copies included",
                metrics.records(),
            ),
            ("reloads", "How often the view was begun again", metrics.reloads()),
            (
                "reports_dropped",
                "Refusals and activity that were not kept for a report",
                metrics.reports_dropped(),
            ),
            (
                "heartbeats_ahead",
                "Heartbeats stamped too far ahead of this clock",
                guard.heartbeats_ahead(),
            ),
            ("key_fetches", "How often key sets were fetched", fetches),
            ("key_fetches_failed", "How often in vain", failed),
        ];
        for (name, help, count) in counters {
            let name = format!("curfew_guard_{name}");
            let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            family.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
        self.refusals(&mut encoder)?;
        self.gauges(&mut encoder)?;
        self.revoke_to_reject(&mut encoder)
    }
}

impl Scraped {
    fn refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Calls refused, by reason; those that report-only let through are among them";
        let mut family =
            encoder.encode_descriptor("curfew_guard_refusals", help, None, MetricType::Counter)?;
        for (reason, count) in self.0.metrics().refusals() {
            let labels = [("reason", reason.code())];
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
        Ok(())
    }

    fn gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let guard = &self.0;
        let (keys, skipped) = guard.keys();
        let flag = |is: bool| Some(f64::from(u8::from(is)));
        let gauges = [
            ("ready", "1 while its view is whole", None, flag(guard.is_ready())),
            (
                "stale",
                "1 while some partition cannot prove its freshness",
                None,
                flag(guard.is_stale()),
            ),
            (
                "freshness_age",
                "Age of the oldest partition's proof of freshness",
                Some(Unit::Seconds),
                guard.freshness_age_ms().map(in_seconds),
            ),
            (
                "frozen_partitions",
                "Log partitions that hold a record which it cannot read",
                None,
                Some(float(guard.frozen().len())),
            ),
            (
                "index_entries",
                "Marks in its index",
                None,
                Some(float(guard.index_len())),
            ),
            ("keys", "Usable keys", None, Some(float(keys))),
            (
                "keys_skipped",
                "Entries of key sets that are none",
                None,
                Some(float(skipped)),
            ),
        ];
        for (name, help, unit, value) in gauges {
            let name = format!("curfew_guard_{name}");
            let mut family = encoder.encode_descriptor(&name, help, unit.as_ref(), MetricType::Gauge)?;
            if let Some(value) = value {
                family.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn revoke_to_reject(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = self.0.metrics();
        let bounds = REVOKE_TO_REJECT_BOUNDS_MS.iter().map(|ms| in_seconds(*ms));
        let buckets: Vec<_> = bounds
            .chain([f64::INFINITY])
            .zip(metrics.revoke_to_reject())
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let help = "From the decision of a revocation until its first refusal here, by the clocks of both";
        let mut family = encoder.encode_descriptor(
            "curfew_guard_revoke_to_reject",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        family.encode_histogram::<NoLabelSet>(
            in_seconds(i64::try_from(metrics.revoke_to_reject_sum_ms()).unwrap_or(i64::MAX)),
            count,
            &buckets,
            None,
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ms")]
fn in_seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::route::Requirements;
    use crate::testing::*;

    #[test]
    fn the_page_names_every_metric_of_a_guard_and_no_other() {
        let bench = Bench::new();
        bench.admitted(&bench.token());
        bench.revoke(revocation("sub", "alice"));
        let route = Requirements::any();
        bench.guard.check(&bench.token(), &route).unwrap_err();
        let text = bench.guard.prometheus_text().unwrap();
        let told: BTreeSet<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        let page = include_str!("../../METRICS.md");
        let rows = page.lines().filter(|line| line.starts_with("| `curfew_guard_"));
        let written: Vec<String> = rows
            .map(|row| {
                let mut cells = row.split('|').map(str::trim).skip(1);
                let (name, kind) = (cells.next().unwrap(), cells.next().unwrap());
                format!("{} {kind}", name.trim_matches('`'))
            })
            .collect();
        assert_eq!(told, written.iter().map(String::as_str).collect());
        for line in [
            "curfew_guard_admitted_total 1",
            "curfew_guard_refusals_total{reason=\"CURFEW_TOKEN_REVOKED\"} 1",
            "curfew_guard_revocations_applied_total 1",
            "curfew_guard_ready 1.0",
            "curfew_guard_revoke_to_reject_seconds_count 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
    }
}

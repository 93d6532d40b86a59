//! Every figure beside the physical limits: how many bare commits, signatures and empty calls it is.
//!
//! **Invariant:** times are compared with times of a machine at rest, rates with rates of many at once,
//! processor time with processor time.

use serde::Serialize;

use crate::measure::{Ceiling, Cost};
use crate::report::Report;
use crate::scenario::limits::Limits;
use crate::servers::RedisCost;

/// What kind a figure is of, and so what it is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Milliseconds of one request.
    Ms,
    /// Requests a second.
    PerSecond,
    /// Processor time of the target for each request, µs.
    CpuUs,
}

/// The three limits in one unit.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct ToLimits {
    /// A bare commit with fsync; of nodes that share a store, a bare read and script, client and Redis together.
    pub(crate) commit: f64,
    /// One ES256 signature.
    pub(crate) signature: f64,
    /// One empty gRPC call.
    pub(crate) echo: f64,
    /// All three, as a refresh needs them: one after another for times, the scarcest for rates.
    pub(crate) all: f64,
}

/// A figure of the report.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    /// Times the limit; `None`: the limits were not measured in this run.
    pub(crate) ratio: Option<ToLimits>,
}

impl Unit {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Ms => "ms",
            Self::PerSecond => "/s",
            Self::CpuUs => "µs of processor",
        }
    }

    /// The limits in this unit.
    pub(crate) fn of_limits(self, limits: &Limits, cores: usize) -> ToLimits {
        let bare = &limits.bare;
        let script = limits.shared.as_ref().map(|shared| &shared.script);
        let echo_us = limits.echo_together.target_cost.map_or(0.0, |cost| cost.total_us);
        let sum = |commit, signature, echo| ToLimits {
            commit,
            signature,
            echo,
            all: commit + signature + echo,
        };
        match self {
            Self::Ms => sum(
                script.map_or(bare.commits_alone.p50_ms, |script| script.alone.p50_ms),
                bare.signature_us / 1e3,
                limits.echo_alone.p50_ms,
            ),
            Self::CpuUs => sum(
                script.map_or(bare.commits_together.cpu_us, |script| {
                    script.together.redis.total_us + script.together.client_us
                }),
                bare.signature_us,
                echo_us,
            ),
            Self::PerSecond => {
                let cpu = Self::CpuUs.of_limits(limits, cores);
                let commit = script.map_or(bare.commits_together.per_s, |script| {
                    // One thread decides: no second core helps it.
                    script.together.per_s.max(1e6 / script.together.redis.total_us)
                });
                let echo = limits.echo_together.answered_per_s;
                let signature = cores as f64 * 1e6 / bare.signature_us;
                // All cores at nothing but the three; no more than the disk takes.
                let all = (cores as f64 * 1e6 / cpu.all).min(commit);
                ToLimits {
                    commit,
                    signature,
                    echo,
                    all,
                }
            }
        }
    }
}

/// The limits themselves, which have no ratio.
pub(crate) fn limits(report: &Report) -> Vec<Figure> {
    let Some(limits) = &report.limits else {
        return Vec::new();
    };
    let figure = |name: &str, value, unit| Figure {
        name: format!("limit: {name}"),
        value,
        unit,
        ratio: None,
    };
    let bare = &limits.bare;
    let cpu = Unit::CpuUs.of_limits(limits, report.machine.cores);
    let mut of_shared = Vec::new();
    if let Some(shared) = &limits.shared {
        let (script, log) = (&shared.script, &shared.log);
        of_shared = vec![
            figure("bare script, p50", script.alone.p50_ms, Unit::Ms),
            figure(
                "bare scripts, many at once",
                script.together.per_s,
                Unit::PerSecond,
            ),
            figure("bare scripts, Redis", script.together.redis.total_us, Unit::CpuUs),
            figure(
                "bare scripts without INFO, Redis",
                script.without_info.redis.total_us,
                Unit::CpuUs,
            ),
            figure("bare produce→consume, p50", log.consumed_ms.p50, Unit::Ms),
            figure("bare produce→consume, p99", log.consumed_ms.p99, Unit::Ms),
        ];
    }
    let of_machine = vec![
        figure("bare commit, p50", bare.commits_alone.p50_ms, Unit::Ms),
        figure(
            "bare commits, many at once",
            bare.commits_together.per_s,
            Unit::PerSecond,
        ),
        figure(
            "bare commits, many at once",
            bare.commits_together.cpu_us,
            Unit::CpuUs,
        ),
        figure("ES256 signature", cpu.signature, Unit::CpuUs),
        figure("gRPC echo, p50", limits.echo_alone.p50_ms, Unit::Ms),
        figure(
            "gRPC echo, many at once",
            limits.echo_together.answered_per_s,
            Unit::PerSecond,
        ),
        figure("gRPC echo, many at once", cpu.echo, Unit::CpuUs),
    ];
    [of_machine, of_shared].concat()
}

/// How the sum of both is called.
const WITH_REDIS: &str = "node and Redis";

/// Processor time of the node, of Redis where there is one, and of both.
fn of_costs(name: &str, node: Option<Cost>, redis: Option<&RedisCost>) -> Vec<(String, f64)> {
    let (node, redis) = (node.map(|cost| cost.total_us), redis.map(|cost| cost.total_us));
    let both = node.zip(redis).map(|(node, redis)| node + redis);
    let parts = [("node", node), ("Redis", redis), (WITH_REDIS, both)];
    let told = parts.into_iter().filter_map(|(part, us)| Some((part, us?)));
    told.map(|(part, us)| (format!("{name}, {part}"), us)).collect()
}

/// All figures of a report.
pub(crate) fn figures(report: &Report) -> Vec<Figure> {
    let mut figures = Vec::new();
    let is_shared = report
        .limits
        .as_ref()
        .is_some_and(|limits| limits.shared.is_some());
    let mut tell = |name: String, value: f64, unit: Unit| {
        // A part of what is spent is not the whole of it: of nodes that share a store only the sum is compared.
        let is_part = is_shared && unit == Unit::CpuUs && !name.ends_with(WITH_REDIS);
        let limits = report.limits.as_ref().filter(|_| !is_part);
        let ratio = limits.map(|limits| {
            let limit = unit.of_limits(limits, report.machine.cores);
            ToLimits {
                commit: value / limit.commit,
                signature: value / limit.signature,
                echo: value / limit.echo,
                all: value / limit.all,
            }
        });
        figures.push(Figure {
            name,
            value,
            unit,
            ratio,
        });
    };
    let mut costs = Vec::new();
    for Ceiling {
        name,
        answered_per_s,
        target_cost,
        redis_cost,
        ..
    } in &report.ceilings
    {
        tell(format!("{name}, answered"), *answered_per_s, Unit::PerSecond);
        costs.extend(of_costs(name, *target_cost, redis_cost.as_ref()));
    }
    for run in &report.runs {
        for operation in &run.recorded.operations {
            let name = format!("{}, {}", run.name, operation.operation.text());
            let told = operation.latency_ms;
            tell(format!("{name} p50"), told.p50, Unit::Ms);
            tell(format!("{name} p99"), told.p99, Unit::Ms);
            tell(format!("{name} p99.9"), told.p999, Unit::Ms);
        }
        costs.extend(of_costs(&run.name, run.target_cost, run.redis_cost.as_ref()));
    }
    for (name, us) in costs {
        tell(name, us, Unit::CpuUs);
    }
    for found in &report.revoke_to_reject {
        let name = format!("revoke to reject, {}", found.guards());
        tell(format!("{name} p50"), found.arrived.each_ms.p50, Unit::Ms);
        tell(format!("{name} p99"), found.arrived.each_ms.p99, Unit::Ms);
        tell(format!("{name} max"), found.arrived.each_ms.max, Unit::Ms);
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn ratio(report: &Report, name: &str) -> ToLimits {
        let figures = figures(report);
        let figure = figures.iter().find(|figure| figure.name == name);
        figure
            .unwrap_or_else(|| panic!("no {name} in {figures:?}"))
            .ratio
            .unwrap()
    }

    #[test]
    fn each_figure_is_compared_with_the_limits_of_its_own_kind() {
        let report = sample::report();
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.01;
        let cpu = ratio(&report, "refresh, node");
        assert!(
            near(cpu.commit, 4.0) && near(cpu.signature, 4.0) && near(cpu.echo, 8.0),
            "{cpu:?}"
        );
        assert!(near(cpu.all, 80.0 / 50.0), "{cpu:?}");
        let time = ratio(&report, "refresh, refresh p50");
        assert!(near(time.commit, 4.0) && near(time.all, 4.0 / 1.12), "{time:?}");
        let rate = ratio(&report, "refresh, answered");
        // Two cores at 50 µs each would do 40,000; the disk takes 20,000.
        assert!(
            near(rate.all, 0.5) && near(rate.echo, 0.2) && near(rate.signature, 0.1),
            "{rate:?}"
        );
        let arrival = ratio(&report, "revoke to reject, 1 guard p50");
        assert!(near(arrival.commit, 3.0), "{arrival:?}");
    }

    #[test]
    fn without_limits_a_figure_has_no_ratio() {
        let mut report = sample::report();
        report.limits = None;
        let figures = figures(&report);
        assert!(!figures.is_empty() && figures.iter().all(|figure| figure.ratio.is_none()));
    }
}

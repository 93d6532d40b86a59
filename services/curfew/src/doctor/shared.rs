//! The servers that nodes share: what is reachable, and which setting or permission is wrong.
//!
//! Redis is asked to commit a record of no kind and to delete it again, as every start of a node does: whether
//! the script may run is not to be known otherwise.

use curfew_clock::SystemClock;
use curfew_kafka::{Report, Severity};
use curfew_redis::{Judgement, Redis};

use super::finding::{Findings, words};
use crate::config::Shared;

pub(super) async fn look(shared: &Shared, findings: &mut Findings) {
    redis(&shared.redis, findings).await;
    let report = curfew_kafka::examine(&shared.kafka).await;
    kafka(&shared.kafka, report, findings);
    watermarks(&shared.kafka, findings).await;
}

async fn redis(options: &curfew_redis::Options, findings: &mut Findings) {
    let check = "redis";
    let found = match Redis::examine(options, &SystemClock).await {
        Ok(found) => found,
        Err(error) => {
            return findings.fault(
                check,
                words(&error),
                "change it; `curfew config sample` shows each setting",
            );
        }
    };
    for finding in found {
        let what = format!("{}: {} is {}", finding.node, finding.setting, finding.found);
        match finding.judgement {
            Judgement::Fine => findings.well(check, what),
            Judgement::Accepted => findings.well(check, format!("{what}; accepted by `redis.accept_unread`")),
            Judgement::NotNow => {
                findings.warning(
                    check,
                    what,
                    "look again soon; if it stays, the server's own log says why",
                );
            }
            Judgement::Absent => findings.fault(check, what, "start it, or name another one"),
            Judgement::Wrong { mend } => findings.fault(check, what, mend),
        }
    }
}

/// The topic on which nodes tell one another of their followers.
async fn watermarks(options: &curfew_kafka::Options, findings: &mut Findings) {
    let report = curfew_kafka::examine_watermarks(options).await;
    let topic = format!("{}{}", options.prefix, curfew_kafka::WATERMARKS_TOPIC);
    if report.is_made_at_start {
        findings.well(
            "kafka",
            format!("topic {topic} is not there yet; the first start makes it"),
        );
    } else if report.partitions.is_some() {
        findings.well(
            "kafka",
            format!("topic {topic} is there: nodes tell one another of their followers"),
        );
    }
    for finding in report.findings {
        let what = format!(
            "{} is {}, wanted {}: {}",
            finding.what, finding.found, finding.wanted, finding.why
        );
        let mend = format!(
            "{}\n# where Strimzi owns topics:\n{}",
            finding.mend.join("\n"),
            report.yaml
        );
        findings.warning("kafka", what, mend);
    }
}

fn kafka(options: &curfew_kafka::Options, report: Report, findings: &mut Findings) {
    let check = "kafka";
    let topic = options.topic_name();
    if report.brokers > 0 {
        let cluster = report
            .cluster_id
            .as_deref()
            .unwrap_or("that does not tell its id");
        findings.well(
            check,
            format!("cluster {cluster} answers; brokers in it: {}", report.brokers),
        );
    }
    if let Some(partitions) = report.partitions {
        findings.well(check, format!("topic {topic} has {partitions} partitions"));
    } else if report.is_made_at_start {
        findings.well(
            check,
            format!("topic {topic} is not there yet; the first start makes it"),
        );
    }
    // One line mends one thing; where an operator owns topics, its resource is what is to be changed.
    let last = report
        .findings
        .iter()
        .rposition(|finding| finding.severity == Severity::Wrong)
        .filter(|_| !report.yaml.is_empty());
    for (number, finding) in report.findings.into_iter().enumerate() {
        let what = format!(
            "{} is {}, wanted {}: {}",
            finding.what, finding.found, finding.wanted, finding.why
        );
        let mut mend = match finding.mend.is_empty() {
            true => "compare it with the settings of `kafka`".to_owned(),
            false => finding.mend.join("\n"),
        };
        if Some(number) == last {
            mend = format!("{mend}\n# where Strimzi owns topics:\n{}", report.yaml);
        }
        match finding.severity {
            Severity::Wrong => findings.fault(check, what, mend),
            Severity::Advice => findings.warning(check, what, mend),
        }
    }
}

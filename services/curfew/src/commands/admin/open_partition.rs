//! `curfew admin open-partition`: partitions of which something is lost open with a floor.

use clap::{ArgGroup, Args};
use curfew_proto::admin::v1 as pb;

use super::{Service, ranges, state};
use crate::cli::Failure;
use crate::client::request_id;
use crate::commands::progress::waiting;
use crate::commands::{Common, json, print, time};

/// Opens partitions of which something is lost: whatever was last written before the floor is over.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["partitions", "all_lost"]))]
pub(super) struct OpenPartition {
    /// The partitions, by number.
    #[arg(value_name = "PARTITION")]
    partitions: Vec<u32>,
    /// All that need an operator.
    #[arg(long)]
    all_lost: bool,
    /// What was last written before this is over: an instant such as `2026-01-31T12:00:00Z`, or `now`.
    #[arg(long, value_name = "INSTANT", value_parser = floor)]
    floor: Floor,
    /// Only say what would be opened.
    #[arg(long)]
    dry_run: bool,
}

/// A floor, as it was said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Floor {
    /// Now, by the clock of the node.
    Now,
    At(prost_types::Timestamp),
}

fn floor(text: &str) -> Result<Floor, String> {
    match text {
        "now" => Ok(Floor::Now),
        text => time::instant(text).map(Floor::At),
    }
}

pub(super) async fn run(common: &Common, mut service: Service, open: OpenPartition) -> Result<(), Failure> {
    let request = pb::OpenPartitionsRequest {
        partitions: open.partitions,
        all_lost: open.all_lost,
        floor_time: match open.floor {
            Floor::Now => None,
            Floor::At(at) => Some(at),
        },
        validate_only: open.dry_run,
        request_id: request_id(),
    };
    let opening = service.open_partitions(request);
    let answer = waiting("opening partitions", opening).await?.into_inner();
    common.show(|| json::of(&answer), || told(&answer, open.dry_run))
}

fn told(answer: &pb::OpenPartitionsResponse, dry_run: bool) -> String {
    if answer.opened.is_empty() {
        return "no partition needs an operator\n".to_owned();
    }
    let states: std::collections::BTreeSet<_> = answer.opened.iter().map(state).collect();
    let states = states.into_iter().collect::<Vec<_>>().join(", ");
    let verb = if dry_run { "would be opened" } else { "opened" };
    print::fields([
        (verb, format!("{} partitions ({states})", answer.opened.len())),
        (
            "which",
            ranges(answer.opened.iter().map(|trouble| trouble.partition)),
        ),
        ("floor", time::at(answer.floor_time)),
        ("records for guards", answer.revocation_count.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_an_instant_or_now() {
        assert_eq!(floor("now"), Ok(Floor::Now));
        let at = prost_types::Timestamp {
            seconds: 1_769_860_800,
            nanos: 0,
        };
        assert_eq!(floor("2026-01-31T12:00:00Z"), Ok(Floor::At(at)));
        assert!(floor("yesterday").unwrap_err().contains("not an instant"));
    }

    #[test]
    fn a_dry_run_says_that_nothing_was_done() {
        let answer = pb::OpenPartitionsResponse {
            opened: vec![pb::PartitionTrouble {
                partition: 7,
                state: pb::PartitionState::Lost.into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert!(told(&answer, true).contains("would be opened"));
        assert!(!told(&answer, false).contains("would be"));
        assert!(told(&pb::OpenPartitionsResponse::default(), false).contains("no partition"));
    }
}

//! `curfew admin partitions`: what is to be done, as a list.

use std::collections::BTreeMap;

use curfew_proto::admin::v1 as pb;

use super::{Service, hex, ranges, state};
use crate::cli::Failure;
use crate::commands::{Common, json, print, time};

pub(super) async fn run(common: &Common, mut service: Service) -> Result<(), Failure> {
    let answer = service.get_recovery_state(pb::GetRecoveryStateRequest {}).await?;
    let answer = answer.into_inner();
    common.show(|| json::of(&answer), || told(&answer))
}

fn told(answer: &pb::GetRecoveryStateResponse) -> String {
    let mut text = format!("{} partitions are open\n", answer.open_count);
    let mut by_state: BTreeMap<i32, Vec<&pb::PartitionTrouble>> = BTreeMap::new();
    for trouble in &answer.troubles {
        by_state.entry(trouble.state).or_default().push(trouble);
    }
    let rows = by_state.into_values().filter_map(|troubles| {
        let first = troubles.first()?;
        let least = troubles.iter().filter_map(|trouble| trouble.least_floor_time);
        let least = least.max_by_key(|at| (at.seconds, at.nanos));
        Some([
            state(first),
            troubles.len().to_string(),
            ranges(troubles.iter().map(|trouble| trouble.partition)),
            time::at(least),
            first.detail.clone(),
        ])
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&print::rows(
            ["STATE", "COUNT", "PARTITIONS", "LEAST FLOOR", "WHAT IT IS"],
            rows,
        ));
        text.push_str(
            "\nwhat needs an operator: curfew admin open-partition --all-lost --floor now --dry-run\n",
        );
    }
    for frozen in &answer.frozen_records {
        text.push_str(&format!(
            "\nlog partition {} is frozen by the record at offset {}: {}\nto step over it: curfew admin skip --partition {} --offset {} --hash {} --reason WHY\n",
            frozen.log_partition,
            frozen.offset,
            print::plain(&frozen.reason),
            frozen.log_partition,
            frozen.offset,
            hex(&frozen.record_hash),
        ));
    }
    if answer.log_lost {
        text.push_str("\nthe log that was followed is lost: curfew admin adopt-log --dry-run\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_stands_beside_what_is_wrong() {
        let lost = |partition| pb::PartitionTrouble {
            partition,
            state: pb::PartitionState::Lost.into(),
            detail: "its record is gone".into(),
            ..Default::default()
        };
        let answer = pb::GetRecoveryStateResponse {
            open_count: 1_021,
            troubles: vec![lost(3), lost(4), lost(9)],
            frozen_records: vec![pb::FrozenRecord {
                log_partition: 2,
                offset: 17,
                record_hash: vec![0xab; 32],
                reason: "min_reader 9\u{1b}[2J".into(),
            }],
            log_lost: true,
        };
        let text = told(&answer);
        for part in [
            "1021 partitions are open",
            "3-4, 9",
            "lost",
            "open-partition --all-lost",
            "--offset 17 --hash abab",
            "adopt-log",
            "\\u{1b}",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let well = told(&pb::GetRecoveryStateResponse {
            open_count: 1_024,
            ..Default::default()
        });
        assert_eq!(well, "1024 partitions are open\n");
    }
}

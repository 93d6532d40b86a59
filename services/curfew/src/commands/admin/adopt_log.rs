//! `curfew admin adopt-log`: the topic that is there is the log from now on.

use clap::Args;
use curfew_proto::admin::v1 as pb;

use super::{Service, hex};
use crate::cli::Failure;
use crate::client::request_id;
use crate::commands::progress::waiting;
use crate::commands::{Common, json, print};

/// Takes the topic that is there as the log, after the one before was lost.
#[derive(Args, Clone, Debug)]
pub(super) struct AdoptLog {
    /// Although the node has not noticed that the log is lost.
    #[arg(long)]
    force: bool,
    /// No node is left that knows what the old log said: every access token that was issued before now is over as well.
    #[arg(long)]
    end_access_tokens: bool,
    /// Only say what would be appended.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(common: &Common, mut service: Service, adopt: AdoptLog) -> Result<(), Failure> {
    let request = pb::AdoptLogRequest {
        force: adopt.force,
        validate_only: adopt.dry_run,
        request_id: request_id(),
        end_access_tokens: adopt.end_access_tokens,
    };
    let adopting = service.adopt_log(request);
    let answer = waiting("adopting the log", adopting).await?.into_inner();
    common.show(|| json::of(&answer), || told(&answer, adopt.dry_run))
}

fn told(answer: &pb::AdoptLogResponse, dry_run: bool) -> String {
    let verb = if dry_run { "would be appended" } else { "appended" };
    let mut fields = vec![
        ("the log before", hex(&answer.former_log_id)),
        (verb, format!("{} living records", answer.record_count)),
    ];
    if !dry_run {
        fields.push(("the log from now on", hex(&answer.log_id)));
        fields.push(("partitions that name it", answer.partition_count.to_string()));
    }
    print::fields(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_names_no_log() {
        let answer = pb::AdoptLogResponse {
            former_log_id: vec![1; 16],
            record_count: 3,
            ..Default::default()
        };
        let text = told(&answer, true);
        assert!(
            text.contains("would be appended") && !text.contains("from now on"),
            "{text}"
        );
        assert!(told(&answer, false).contains("partitions that name it"));
    }
}

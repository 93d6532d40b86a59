//! What an operator asks after a loss, where there was none.

use curfew_proto::admin::v1 as pb;
use tonic::Code;

use super::Pair;
use crate::process::request_id;

/// The same at either node: everything is open, nothing would be opened, and nothing is there to be skipped.
pub(super) async fn where_nothing_is_lost_both_say_so_and_change_nothing(pair: &Pair) {
    for way in [&pair.here, &pair.there] {
        let mut recovery = way.recovery();
        let asked = pb::GetRecoveryStateRequest::default();
        let state = recovery.get_recovery_state(asked).await.unwrap().into_inner();
        assert_eq!((state.open_count, state.log_lost), (1_024, false));
        assert_eq!((state.troubles, state.frozen_records), (Vec::new(), Vec::new()));
        let asked = pb::OpenPartitionsRequest {
            all_lost: true,
            request_id: request_id(),
            ..Default::default()
        };
        let opened = recovery.open_partitions(asked).await.unwrap().into_inner();
        assert_eq!((opened.opened, opened.revocation_count), (Vec::new(), 0));
        let asked = pb::AdoptLogRequest {
            request_id: request_id(),
            ..Default::default()
        };
        let refused = recovery.adopt_log(asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
        let asked = pb::SkipRecordRequest {
            record_hash: vec![7; 32],
            reason: "nothing is there".to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        let refused = recovery.skip_record(asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    }
}

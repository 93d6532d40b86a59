//! RecoveryService: what only an operator may decide after a loss.
//!
//! **Invariant:** whoever proves to hold the root key is taken as well: a directory that is fenced knows no caller.

use std::sync::Arc;

use curfew_authority::{AdoptRequest, OpenRequest, Trouble};
use curfew_core::decide::floor::Standing;
use curfew_core::follow::Frozen;
use curfew_core::ids::OperationId;
use curfew_core::place::{LogPartition, PARTITIONS, Partition};
use curfew_core::time::Millis;
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::recovery_service_server::RecoveryService;
use tonic::{Request, Response};

use super::Answered;
use crate::check::{Check, TEXT_MAX};
use crate::convert::timestamp;
use crate::shared::{Call, Shared};
use crate::status::Of;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Recovery(pub(crate) Arc<Shared>);

fn state(standing: Standing) -> pb::PartitionState {
    match standing {
        Standing::Open => pb::PartitionState::Open,
        Standing::Fenced => pb::PartitionState::Fenced,
        Standing::Lost => pb::PartitionState::Lost,
        Standing::Behind => pb::PartitionState::Behind,
        Standing::OtherLog => pb::PartitionState::OtherLog,
    }
}

fn trouble(trouble: &Trouble) -> pb::PartitionTrouble {
    let told = |at: Millis| (at > Millis::ZERO).then(|| timestamp(at));
    let record = trouble.found.record;
    pb::PartitionTrouble {
        partition: trouble.found.partition.number().into(),
        state: state(trouble.standing).into(),
        detail: trouble.standing.what().to_owned(),
        open_time: record.and_then(|record| told(record.opened)),
        floor_time: record.and_then(|record| told(record.floor)),
        least_floor_time: told(trouble.least_floor),
    }
}

fn frozen((partition, frozen): &(LogPartition, Frozen)) -> pb::FrozenRecord {
    pb::FrozenRecord {
        log_partition: partition.0.into(),
        offset: frozen.offset,
        record_hash: frozen.record_hash.to_vec(),
        reason: frozen.why.to_string(),
    }
}

/// Who asks, for people.
fn by(call: &Call) -> Arc<str> {
    call.caller
        .id()
        .map_or_else(|| "the holder of the root key".into(), |id| id.as_str().into())
}

fn partitions(check: &mut Check, request: &pb::OpenPartitionsRequest) -> Option<Option<Vec<Partition>>> {
    match (request.all_lost, request.partitions.as_slice()) {
        (true, []) => Some(None),
        (true, _) => {
            check.fault("partitions", "none is named where `all_lost` is set");
            None
        }
        (false, []) => {
            check.fault("partitions", "name one, or set `all_lost`");
            None
        }
        (false, named) => {
            if !check.count("partitions", named.len(), PARTITIONS.into()) {
                return None;
            }
            let mut partitions = Vec::with_capacity(named.len());
            for (i, number) in named.iter().enumerate() {
                match u16::try_from(*number).ok().and_then(Partition::new) {
                    Some(partition) => partitions.push(partition),
                    None => check.fault(format!("partitions[{i}]"), format!("not below {PARTITIONS}")),
                }
            }
            partitions.sort_unstable();
            partitions.dedup();
            Some(Some(partitions))
        }
    }
}

#[tonic::async_trait]
impl RecoveryService for Recovery {
    async fn get_recovery_state(
        &self,
        request: Request<pb::GetRecoveryStateRequest>,
    ) -> Answered<pb::GetRecoveryStateResponse> {
        let (call, _) = self.0.open(request)?;
        let examined = call.authority().examine().await;
        let examined = examined.map_err(call.refuse(Of::Request))?;
        Ok(Response::new(pb::GetRecoveryStateResponse {
            open_count: u32::try_from(examined.open).unwrap_or(u32::MAX),
            troubles: examined.troubles.iter().map(trouble).collect(),
            frozen_records: examined.frozen.iter().map(frozen).collect(),
            log_lost: examined.log_is_lost,
        }))
    }

    async fn skip_record(&self, request: Request<pb::SkipRecordRequest>) -> Answered<pb::SkipRecordResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        check.operation(&request.request_id, "SkipRecord", &request);
        let reason = check.required("reason", &request.reason, TEXT_MAX);
        let hash: Option<[u8; 32]> = request.record_hash.as_slice().try_into().ok();
        if hash.is_none() {
            check.fault("record_hash", "not a SHA-256, which has 32 bytes");
        }
        let partition = u16::try_from(request.log_partition).ok().map(LogPartition);
        if partition.is_none() {
            check.fault("log_partition", "there is no such partition");
        }
        let parsed = partition.zip(hash).zip(reason);
        let ((partition, hash), reason) = call.done(check, parsed)?;
        let by = by(&call);
        let skipped = call
            .authority()
            .skip_record(partition, request.offset, hash, &by, reason)
            .await;
        let position = skipped.map_err(call.refuse(Of::Named))?;
        let rest = call.authority().frozen();
        let rest = rest.iter().filter(|(there, frozen)| {
            *there == partition && (frozen.offset != request.offset || frozen.record_hash != hash)
        });
        Ok(Response::new(pb::SkipRecordResponse {
            skip_offset: position.offset,
            frozen_records: rest.map(frozen).collect(),
        }))
    }

    async fn open_partitions(
        &self,
        request: Request<pb::OpenPartitionsRequest>,
    ) -> Answered<pb::OpenPartitionsResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let operation: Option<OperationId> = check.id("request_id", &request.request_id);
        let floor = check.instant("floor_time", request.floor_time);
        let partitions = partitions(&mut check, &request);
        let ((operation, floor), partitions) = call.done(check, operation.zip(floor).zip(partitions))?;
        let asked = OpenRequest {
            partitions,
            floor,
            validate_only: request.validate_only,
            operation,
            by: by(&call),
        };
        let opened = call.authority().open_partitions(asked).await;
        let opened = opened.map_err(call.refuse(Of::Named))?;
        Ok(Response::new(pb::OpenPartitionsResponse {
            opened: opened.partitions.iter().map(trouble).collect(),
            floor_time: Some(timestamp(opened.floor)),
            revocation_count: u32::try_from(opened.revocations).unwrap_or(u32::MAX),
        }))
    }

    async fn adopt_log(&self, request: Request<pb::AdoptLogRequest>) -> Answered<pb::AdoptLogResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let operation: Option<OperationId> = check.id("request_id", &request.request_id);
        call.done(check, operation)?;
        let asked = AdoptRequest {
            force: request.force,
            validate_only: request.validate_only,
            nobody_knows: request.end_access_tokens,
            by: by(&call),
        };
        let adopted = call.authority().adopt_log(&asked).await;
        let adopted = adopted.map_err(call.refuse(Of::Named))?;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Response::new(pb::AdoptLogResponse {
            log_id: adopted.log.map(|log| log.log_id.to_vec()).unwrap_or_default(),
            former_log_id: adopted.former.log_id.to_vec(),
            record_count: count(adopted.records),
            partition_count: count(adopted.partitions),
        }))
    }
}

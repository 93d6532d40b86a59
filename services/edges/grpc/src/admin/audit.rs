//! AuditService: declared, and offered by a later release.

use std::sync::Arc;

use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::audit_service_server::AuditService;

use super::later;
use crate::shared::Shared;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Audit(pub(crate) Arc<Shared>);

impl AuditService for Audit {
    later! {
        get_audit_event(pb::GetAuditEventRequest) -> pb::GetAuditEventResponse;
        list_audit_events(pb::ListAuditEventsRequest) -> pb::ListAuditEventsResponse;
    }
}

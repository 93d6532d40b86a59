//! Revocations as callers see them.

use curfew_authority::RevocationAnswer;
use curfew_core::decide::Motive;
use curfew_core::directory::Tenant;
use curfew_core::record::Revocation;
use curfew_proto::log::v1::ClaimMatch;
use curfew_proto::revocation::v1 as pb;

use crate::convert::{initiator_number, timestamp};
use crate::name;
use crate::published::is_own;
use crate::shared::Call;

/// A record of the log.
pub(super) fn revocation(call: &Call, tenant: &Tenant, revocation: &Revocation) -> pb::Revocation {
    let value = |claim: &str| {
        let criterion = revocation
            .all_of
            .iter()
            .find(|criterion| &*criterion.claim == claim);
        criterion.map(|criterion| criterion.value.clone())
    };
    let is_own = is_own(revocation);
    let session = revocation
        .row
        .map(|sid| sid.to_string())
        .or_else(|| value("sid").filter(|_| is_own).map(|sid| sid.to_string()));
    let in_tenant = |collection: &str, id: &str| name::of(&tenant.name, collection, id);
    pb::Revocation {
        name: name::of(&tenant.name, "revocations", revocation.id),
        uid: revocation.id.to_string(),
        issuer: issuer(tenant, revocation),
        criteria: Some(criteria(revocation)),
        scope: revocation.scope.to_string(),
        cause: revocation.cause.to_string(),
        initiator: initiator_number(revocation.initiator),
        // The record says by which class it was begun, not by which caller.
        caller: String::new(),
        wide: revocation.wide,
        ends_sessions: is_own && value("jti").is_none(),
        create_time: Some(timestamp(revocation.decided_at)),
        expire_time: Some(timestamp(revocation.keep_until)),
        sequence: revocation.sequence,
        request_id: match revocation.operation {
            Some(operation) if call.tells_records() => operation.id.to_string(),
            Some(_) | None => String::new(),
        },
        correlation_id: revocation
            .correlation_id
            .as_deref()
            .unwrap_or_default()
            .to_owned(),
        subject: value("oid")
            .filter(|_| is_own)
            .map(|oid| in_tenant("subjects", &oid))
            .unwrap_or_default(),
        session: session.map(|sid| in_tenant("sessions", &sid)).unwrap_or_default(),
    }
}

/// What is known of a record that this node has not read from the log yet.
pub(super) fn unheard(tenant: &Tenant, answer: &RevocationAnswer, motive: &Motive) -> pb::Revocation {
    let Some(record) = answer.record else {
        // What was named had expired by itself: there is no record.
        return pb::Revocation::default();
    };
    pb::Revocation {
        name: name::of(&tenant.name, "revocations", record),
        uid: record.to_string(),
        issuer: name::tenant(&tenant.name),
        cause: motive.cause.to_string(),
        initiator: initiator_number(motive.initiator),
        correlation_id: motive.correlation_id.as_deref().unwrap_or_default().to_owned(),
        ..Default::default()
    }
}

/// The name of the issuer entry.
pub(super) fn issuer(tenant: &Tenant, revocation: &Revocation) -> String {
    if is_own(revocation) {
        name::tenant(&tenant.name)
    } else {
        name::of(&tenant.name, "issuers", revocation.issuer)
    }
}

fn criteria(revocation: &Revocation) -> pb::Criteria {
    pb::Criteria {
        all_of: revocation
            .all_of
            .iter()
            .map(|criterion| ClaimMatch {
                claim: criterion.claim.to_string(),
                value: criterion.value.to_string(),
            })
            .collect(),
        before: revocation.before.as_ref().map(|before| pb::BeforeInstant {
            claim: before.claim.to_string(),
            time: Some(timestamp(before.instant)),
        }),
        except: revocation.except.iter().map(ToString::to_string).collect(),
    }
}

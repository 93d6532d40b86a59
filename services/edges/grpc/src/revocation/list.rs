//! One revocation, or many: what this node remembers of the log.

use curfew_authority::JournalEntry;
use curfew_core::ids::{IssuerId, RecordId, SessionId, SubjectId};
use curfew_core::record::Initiator;
use curfew_core::refusal::Reason;
use curfew_core::time::Millis;
use curfew_proto::revocation::v1 as pb;
use prost::Message as _;
use tonic::Status;

use super::encode;
use super::target::issuer;
use crate::check::{Check, LONG_TEXT_MAX};
use crate::page::Paged;
use crate::published::{self, is_own};
use crate::shared::Call;
use crate::status::Of;

/// GetRevocation.
pub(super) fn get(
    call: &Call,
    request: &pb::GetRevocationRequest,
) -> Result<pb::GetRevocationResponse, Status> {
    let mut check = Check::default();
    let place = call.place(&mut check, "name", &request.name)?;
    let record = place.revocation(&mut check, "name", &request.name);
    let (tenant, record) = call.done(check, place.tenant().zip(record))?;
    let entry = call.authority().journal().get(record);
    let entry = entry
        .filter(|entry| entry.revocation.tenant == tenant.id)
        .ok_or_else(|| call.because(Of::Named, Reason::NotFound, &*request.name))?;
    Ok(pb::GetRevocationResponse {
        revocation: Some(encode::revocation(call, &tenant, &entry.revocation)),
        acknowledgement: Some(published::of_entry(&call.shared, &tenant, &entry)),
    })
}

/// Which revocations.
#[derive(Debug, Default)]
struct Filter {
    subject: Option<SubjectId>,
    session: Option<SessionId>,
    scope: String,
    cause: String,
    initiator: Option<Initiator>,
    // `Some(None)`: the tenant's own.
    issuer: Option<Option<IssuerId>>,
    from: Option<Millis>,
    before: Option<Millis>,
    correlation_id: String,
    claim: String,
    value: String,
}

impl Filter {
    fn keeps(&self, entry: &JournalEntry) -> bool {
        let revocation = &entry.revocation;
        let names = |claim: &str, value: &str| {
            revocation
                .all_of
                .iter()
                .any(|criterion| &*criterion.claim == claim && &*criterion.value == value)
        };
        let is_of_subject = |subject: &SubjectId| is_own(revocation) && names("oid", subject.as_str());
        let is_of_session = |sid: &SessionId| {
            revocation.row == Some(*sid) || (is_own(revocation) && names("sid", &sid.to_string()))
        };
        let has_claim = |criterion: &curfew_core::record::Criterion| {
            *criterion.claim == *self.claim && (self.value.is_empty() || *criterion.value == *self.value)
        };
        self.subject.as_ref().is_none_or(is_of_subject)
            && self.session.as_ref().is_none_or(is_of_session)
            && (self.scope.is_empty() || *revocation.scope == *self.scope)
            && (self.cause.is_empty() || revocation.cause.as_str() == self.cause)
            && self
                .initiator
                .is_none_or(|initiator| revocation.initiator == initiator)
            && self.issuer.is_none_or(|issuer| match issuer {
                None => is_own(revocation),
                Some(issuer) => revocation.issuer == issuer,
            })
            && self.from.is_none_or(|from| revocation.decided_at >= from)
            && self.before.is_none_or(|before| revocation.decided_at < before)
            && (self.correlation_id.is_empty()
                || revocation.correlation_id.as_deref() == Some(self.correlation_id.as_str()))
            && (self.claim.is_empty() || revocation.all_of.iter().any(has_claim))
    }
}

/// ListRevocations.
pub(super) async fn list(
    call: &Call,
    request: pb::ListRevocationsRequest,
) -> Result<pb::ListRevocationsResponse, Status> {
    let mut check = Check::default();
    let place = call.parent(&mut check, "parent", &request.parent)?;
    let canonical = pb::ListRevocationsRequest {
        page_size: 0,
        page_token: String::new(),
        ..request.clone()
    };
    let paged = Paged::of(
        &mut check,
        request.page_size,
        &request.page_token,
        "ListRevocations",
        canonical.encode_to_vec(),
    );
    let asked = request.filter.unwrap_or_default();
    for (name, text) in [
        ("scope", &asked.scope),
        ("cause", &asked.cause),
        ("correlation_id", &asked.correlation_id),
        ("claim", &asked.claim),
        ("value", &asked.value),
    ] {
        check.text(&format!("filter.{name}"), text, LONG_TEXT_MAX);
    }
    if !asked.value.is_empty() && asked.claim.is_empty() {
        check.fault("filter.value", "needs `claim`");
    }
    let initiator = crate::convert::initiator(asked.initiator);
    if initiator.is_none() {
        check.fault("filter.initiator", "no such value");
    }
    let from = check.instant("filter.create_time_from", asked.create_time_from);
    let before = check.instant("filter.create_time_before", asked.create_time_before);
    let issuer = if asked.issuer.is_empty() {
        Some(None)
    } else {
        issuer(&mut check, &place, &asked.issuer).map(Some)
    };
    let subject = place.optional_id(&mut check, "filter.subject", &asked.subject, "subjects");
    let session = place.optional_id(&mut check, "filter.session", &asked.session, "sessions");
    let parsed = (|| {
        let filter = Filter {
            subject: subject?,
            session: session?,
            scope: asked.scope,
            cause: asked.cause,
            initiator: initiator?,
            issuer: issuer?,
            from: from?,
            before: before?,
            correlation_id: asked.correlation_id,
            claim: asked.claim,
            value: asked.value,
        };
        Some((place.tenant()?, filter, paged?))
    })();
    let (tenant, filter, paged) = call.done(check, parsed)?;
    let after = match paged.cursor(call).await? {
        None => None,
        Some(bytes) => {
            let bytes: [u8; 16] = bytes
                .try_into()
                .map_err(|_| call.because(Of::Request, Reason::PageToken, "its cursor"))?;
            Some(RecordId::from_bytes(bytes))
        }
    };
    // One more than asked for tells whether there are more.
    let mut entries = call
        .authority()
        .journal()
        .list(tenant.id, after, paged.size + 1, |entry| filter.keeps(entry));
    let has_more = entries.len() > paged.size;
    entries.truncate(paged.size);
    let next_page_token = match entries.last() {
        Some(last) if has_more => paged.seal(call, last.revocation.id.as_bytes()).await?,
        Some(_) | None => String::new(),
    };
    Ok(pb::ListRevocationsResponse {
        revocations: entries
            .iter()
            .map(|entry| encode::revocation(call, &tenant, &entry.revocation))
            .collect(),
        next_page_token,
    })
}

//! What is to be revoked, from the wire.

use std::sync::Arc;

use curfew_authority::{RevocationRequest, Target};
use curfew_core::decide::Motive;
use curfew_core::ids::{ClientId, DeviceId, IssuerId, KeyId, SubjectId, TokenId};
use curfew_core::record::{CRITERIA_MAX, Criterion, Initiator};
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::create_revocation_request::Scope;

use crate::check::{Check, LONG_TEXT_MAX, TEXT_MAX};
use crate::shared::{Call, Place};

/// The request, in the use case's words; `None`: a fault was noted.
pub(super) fn request(
    check: &mut Check,
    call: &Call,
    place: &Place,
    request: pb::CreateRevocationRequest,
) -> Option<RevocationRequest> {
    let operation = check.operation(&request.request_id, "CreateRevocation", &request);
    let tenant = place.tenant()?;
    let issuer = issuer(check, place, &request.issuer);
    let cause = check.cause(&request.cause, "revoked");
    let initiator = check.initiator(request.initiator, Initiator::Admin);
    let correlation_id = check.correlation(&request.correlation_id);
    let target = match request.scope {
        Some(scope) => target(check, call, place, scope, issuer?.is_none()),
        None => {
            check.fault("scope", "required");
            None
        }
    };
    Some(RevocationRequest {
        tenant: tenant.id,
        issuer: issuer?,
        target: target?,
        add_clock_error: request.add_clock_error,
        motive: Motive {
            cause: cause?,
            initiator: initiator?,
            operation: Some(operation?),
            correlation_id,
        },
    })
}

/// The issuer entry; `Some(None)`: the tenant's own.
pub(super) fn issuer(check: &mut Check, place: &Place, name: &str) -> Option<Option<IssuerId>> {
    let tenant = place.tenant()?;
    if name.is_empty() || name == crate::name::tenant(&tenant.name) {
        return Some(None);
    }
    place.id(check, "issuer", name, "issuers").map(Some)
}

fn target(check: &mut Check, call: &Call, place: &Place, scope: Scope, is_own: bool) -> Option<Target> {
    match scope {
        Scope::Token(token) => {
            check.instant("token.expire_time", token.expire_time);
            check.id::<TokenId>("token.jti", &token.jti).map(Target::Token)
        }
        Scope::Grant(grant) => {
            let (sid, gid) = place.grant(check, "grant.grant", &grant.grant)?;
            Some(Target::Grant(sid, gid))
        }
        Scope::Session(session) => place
            .session(check, "session.session", &session.session)
            .map(Target::Session),
        Scope::Subject(subject) => {
            let spared = match subject.except.as_slice() {
                [] => Some(None),
                [one] => place.session(check, "subject.except[0]", one).map(Some),
                [_, _, ..] => {
                    check.fault("subject.except", "this release spares at most one session");
                    None
                }
            };
            let subject: SubjectId = place.id(check, "subject.subject", &subject.subject, "subjects")?;
            Some(Target::Subject(subject, spared?))
        }
        Scope::Device(device) => check
            .id::<DeviceId>("device.device", &device.device)
            .map(Target::Device),
        Scope::Client(client) => {
            let client: ClientId = place.id(check, "client.client", &client.client, "clients")?;
            Some(Target::Client(client))
        }
        Scope::Tenant(pb::TenantScope {}) => Some(Target::Tenant),
        Scope::Key(key) => {
            let kid: KeyId = check.id("key.kid", &key.kid)?;
            if is_own && call.loaded.view.keys.contains_key(&kid) {
                check.fault(
                    "key.kid",
                    "one of Curfew's own: KeyService revokes it and activates the standby",
                );
            }
            Some(Target::Key(kid))
        }
        Scope::Provider(provider) => check
            .required("provider.idp", &provider.idp, TEXT_MAX)
            .map(Target::Provider),
        Scope::Criteria(criteria) => self::criteria(check, criteria),
    }
}

fn criteria(check: &mut Check, criteria: pb::Criteria) -> Option<Target> {
    check.unsupported("criteria.except", !criteria.except.is_empty());
    if criteria.all_of.is_empty() {
        check.fault("criteria.all_of", "required");
    }
    if !check.count("criteria.all_of", criteria.all_of.len(), CRITERIA_MAX) {
        return None;
    }
    let mut all_of = Vec::with_capacity(criteria.all_of.len());
    for (i, one) in criteria.all_of.iter().enumerate() {
        let claim = check.required(&format!("criteria.all_of[{i}].claim"), &one.claim, 128);
        let value = check.required(&format!("criteria.all_of[{i}].value"), &one.value, LONG_TEXT_MAX);
        all_of.extend(claim.zip(value).map(|(claim, value)| Criterion { claim, value }));
    }
    // Sorted by name on the log; twice the same name is refused by the use case.
    all_of.sort();
    let before: Option<Arc<str>> = match criteria.before {
        None => None,
        Some(before) => {
            check.unsupported("criteria.before.time", before.time.is_some());
            match before.claim.as_str() {
                "sid" | "gid" | "iat" | "auth_time" => {}
                _ => check.fault(
                    "criteria.before.claim",
                    "none of `sid`, `gid`, `iat`, `auth_time`",
                ),
            }
            Some(before.claim.into())
        }
    };
    Some(Target::Criteria(all_of, before))
}

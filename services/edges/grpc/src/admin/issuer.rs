//! IssuerService: creates, reads, lists foreign issuers.
//!
//! The id of an entry in its name is its permanent id, a UUID: the record keeps no other.

use std::sync::Arc;

use curfew_core::directory::{ForeignIssuer, Tenant};
use curfew_core::ids::IssuerId;
use curfew_core::refusal::Reason;
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::issuer_service_server::IssuerService;
use tonic::{Request, Response};

use super::{Answered, later};
use crate::check::{Check, LIST_MAX, LONG_TEXT_MAX, TEXT_MAX};
use crate::convert::{duration, state_number};
use crate::name;
use crate::page::Paged;
use crate::session::SPAN_MIN_MS;
use crate::shared::{Place, Shared};
use crate::status::Of;

/// The longest key set that is kept, bytes.
const KEY_SET_MAX: usize = 64 << 10;
/// The longest clock error that is believed, ms.
const CLOCK_ERROR_MAX_MS: i64 = 600_000;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Issuers(pub(crate) Arc<Shared>);

fn issuer(
    check: &mut Check,
    place: &Place,
    id: Option<IssuerId>,
    asked: pb::Issuer,
) -> Option<ForeignIssuer> {
    let display_name = check.text("issuer.display_name", &asked.display_name, TEXT_MAX);
    let spellings = check.texts("issuer.spellings", &asked.spellings, LIST_MAX, LONG_TEXT_MAX);
    let claims = check.texts("issuer.claims", &asked.claims, LIST_MAX, TEXT_MAX);
    let audiences = check.texts("issuer.audiences", &asked.audiences, LIST_MAX, LONG_TEXT_MAX);
    for (field, is_empty) in [
        ("issuer.spellings", asked.spellings.is_empty()),
        ("issuer.claims", asked.claims.is_empty()),
        ("issuer.audiences", asked.audiences.is_empty()),
        ("issuer.longest_life", asked.longest_life.is_none()),
    ] {
        if is_empty {
            check.fault(field, "required");
        }
    }
    let life = check.span_ms("issuer.longest_life", asked.longest_life, SPAN_MIN_MS);
    let clock_error = check.span_ms("issuer.clock_error", asked.clock_error, 0);
    if clock_error.flatten().is_some_and(|ms| ms > CLOCK_ERROR_MAX_MS) {
        check.fault("issuer.clock_error", "longer than ten minutes");
    }
    let jwks_uri = check.text("issuer.jwks_uri", &asked.jwks_uri, LONG_TEXT_MAX);
    let jwks = key_set(check, &asked.jwks);
    if asked.jwks_uri.is_empty() == asked.jwks.is_empty() {
        check.fault("issuer.jwks_uri", "one of `jwks_uri` and `jwks` is required");
    }
    let id = id?;
    Some(ForeignIssuer {
        tenant: place.tenant()?.id,
        display_name: display_name.unwrap_or_else(|| id.to_string().into()),
        id,
        spellings,
        life_ms: life??,
        claims,
        clock_error_ms: clock_error?.unwrap_or(0),
        audiences,
        jwks_uri,
        jwks,
    })
}

fn key_set(check: &mut Check, jwks: &str) -> Option<Arc<str>> {
    if jwks.len() > KEY_SET_MAX {
        check.fault("issuer.jwks", format!("longer than {KEY_SET_MAX} bytes"));
        return None;
    }
    if jwks.is_empty() {
        return None;
    }
    if curfew_jose::KeySet::parse(jwks.as_bytes()).is_err() {
        check.fault("issuer.jwks", "not a JSON Web Key Set (RFC 7517 section 5)");
    }
    Some(jwks.into())
}

fn encode(tenant: &Tenant, issuer: &ForeignIssuer) -> pb::Issuer {
    let strings = |texts: &[Arc<str>]| texts.iter().map(ToString::to_string).collect();
    pb::Issuer {
        name: name::of(&tenant.name, "issuers", issuer.id),
        uid: issuer.id.to_string(),
        display_name: issuer.display_name.to_string(),
        spellings: strings(&issuer.spellings),
        longest_life: Some(duration(issuer.life_ms)),
        claims: strings(&issuer.claims),
        clock_error: Some(duration(issuer.clock_error_ms)),
        audiences: strings(&issuer.audiences),
        jwks_uri: issuer.jwks_uri.as_deref().unwrap_or_default().to_owned(),
        jwks: issuer.jwks.as_deref().unwrap_or_default().to_owned(),
        state: state_number(&[]),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl IssuerService for Issuers {
    async fn create_issuer(
        &self,
        request: Request<pb::CreateIssuerRequest>,
    ) -> Answered<pb::CreateIssuerResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "parent", &request.parent)?;
        let operation = check.operation(&request.request_id, "CreateIssuer", &request);
        check.correlation(&request.correlation_id);
        let id: Option<IssuerId> = check.id("issuer_id", &request.issuer_id);
        let asked = request.issuer.unwrap_or_default();
        let issuer = issuer(&mut check, &place, id, asked);
        let (tenant, issuer) = call.done(check, place.tenant().zip(issuer))?;
        let id = issuer.id;
        call.authority()
            .create_issuer(issuer, operation)
            .await
            .map_err(call.refuse(Of::Named))?;
        let loaded = call.authority().directory().loaded();
        let issuer = loaded
            .view
            .issuers
            .get(&(tenant.id, id))
            .ok_or_else(|| call.because(Of::Named, Reason::IssuerEntryUnknown, id.to_string()))?;
        Ok(Response::new(pb::CreateIssuerResponse {
            issuer: Some(encode(&tenant, issuer)),
        }))
    }

    async fn get_issuer(&self, request: Request<pb::GetIssuerRequest>) -> Answered<pb::GetIssuerResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let id: Option<IssuerId> = place.id(&mut check, "name", &request.name, "issuers");
        let (tenant, id) = call.done(check, place.tenant().zip(id))?;
        let issuer = call
            .loaded
            .view
            .issuers
            .get(&(tenant.id, id))
            .ok_or_else(|| call.because(Of::Named, Reason::IssuerEntryUnknown, id.to_string()))?;
        Ok(Response::new(pb::GetIssuerResponse {
            issuer: Some(encode(&tenant, issuer)),
        }))
    }

    async fn list_issuers(
        &self,
        request: Request<pb::ListIssuersRequest>,
    ) -> Answered<pb::ListIssuersResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "parent", &request.parent)?;
        let filter = request.parent.clone().into_bytes();
        let paged = Paged::of(
            &mut check,
            request.page_size,
            &request.page_token,
            "ListIssuers",
            filter,
        );
        let (tenant, paged) = call.done(check, place.tenant().zip(paged))?;
        let issuers = call
            .loaded
            .view
            .issuers
            .values()
            .filter(|issuer| issuer.tenant == tenant.id)
            .map(|issuer| (issuer.id.as_bytes().to_vec(), issuer));
        let (issuers, next_page_token) = paged.take(&call, issuers).await?;
        Ok(Response::new(pb::ListIssuersResponse {
            issuers: issuers
                .into_iter()
                .map(|issuer| encode(&tenant, issuer))
                .collect(),
            next_page_token,
        }))
    }

    later! {
        update_issuer(pb::UpdateIssuerRequest) -> pb::UpdateIssuerResponse;
        delete_issuer(pb::DeleteIssuerRequest) -> pb::DeleteIssuerResponse;
        disable_issuer(pb::DisableIssuerRequest) -> pb::DisableIssuerResponse;
        enable_issuer(pb::EnableIssuerRequest) -> pb::EnableIssuerResponse;
    }
}

//! TenantService: creates, reads, lists tenants.

use std::sync::Arc;

use curfew_core::directory::{AtCap, OnReuse, Tenant};
use curfew_core::ids::{TenantId, TenantName};
use curfew_core::mac::sha256;
use curfew_core::record::OperationRef;
use curfew_core::refusal::Reason;
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::tenant_service_server::TenantService;
use tonic::{Request, Response};

use super::{Answered, later};
use crate::check::{Check, LIST_MAX, LONG_TEXT_MAX, TEXT_MAX};
use crate::convert::{disabling, duration, state_number};
use crate::name;
use crate::page::Paged;
use crate::session::SPAN_MIN_MS;
use crate::shared::{Call, Shared};
use crate::status::Of;

/// A session's longest life where a tenant names none: 90 days, ms.
const SESSION_LIFE_MS: i64 = 90 * 24 * 3_600_000;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Tenants(pub(crate) Arc<Shared>);

/// A permanent id that a repeat of the same operation makes again.
pub(super) fn id_of(operation: OperationRef, domain: &str) -> [u8; 16] {
    let mut bytes = domain.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(operation.id.as_bytes());
    bytes.extend_from_slice(&operation.request_hash);
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(sha256(&bytes)) {
        *to = from;
    }
    id
}

fn tenant(
    check: &mut Check,
    base_url: &str,
    name: Option<TenantName>,
    operation: Option<OperationRef>,
    asked: pb::Tenant,
) -> Option<Tenant> {
    let display_name = check.text("tenant.display_name", &asked.display_name, TEXT_MAX);
    let former = check.texts(
        "tenant.former_issuers",
        &asked.former_issuers,
        LIST_MAX,
        LONG_TEXT_MAX,
    );
    let at_cap = match pb::AtCap::try_from(asked.at_cap) {
        Ok(pb::AtCap::Unspecified | pb::AtCap::EndLongestUnused) => Some(AtCap::EndLongestUnused),
        Ok(pb::AtCap::Refuse) => Some(AtCap::Refuse),
        Err(_) => {
            check.fault("tenant.at_cap", "no such value");
            None
        }
    };
    let on_reuse = match pb::OnReuse::try_from(asked.on_reuse) {
        Ok(pb::OnReuse::Unspecified | pb::OnReuse::Grant) => Some(OnReuse::EndGrant),
        Ok(pb::OnReuse::Session) => Some(OnReuse::EndSession),
        Err(_) => {
            check.fault("tenant.on_reuse", "no such value");
            None
        }
    };
    let longest = check.span_ms("tenant.max_lifetime", asked.max_lifetime, SPAN_MIN_MS);
    let idle = check.span_ms("tenant.idle_timeout", asked.idle_timeout, SPAN_MIN_MS);
    let frequency = check.span_ms("tenant.sign_in_frequency", asked.sign_in_frequency, SPAN_MIN_MS);
    check.unsupported("tenant.min_auth_time", asked.min_auth_time.is_some());
    check.unsupported("tenant.access_token_life", asked.access_token_life.is_some());
    check.unsupported("tenant.id_token_life", asked.id_token_life.is_some());
    check.unsupported("tenant.grant_lifetime", asked.grant_lifetime.is_some());
    check.unsupported("tenant.signing_alg", !asked.signing_alg.is_empty());
    let name = name?;
    let mut issuer_spellings: Vec<Arc<str>> = vec![format!("{base_url}/{name}").into()];
    issuer_spellings.extend(former);
    let session_life_max_ms = longest?.unwrap_or(SESSION_LIFE_MS);
    Some(Tenant {
        id: TenantId::from_random(id_of(operation?, "curfew/tenant-id/v1")),
        display_name: display_name.unwrap_or_else(|| name.as_str().into()),
        name,
        issuer_spellings,
        is_system: false,
        disables: Vec::new(),
        at_cap: at_cap?,
        on_reuse: on_reuse?,
        // Unset is "none": as long as the session lives.
        idle_timeout_ms: idle?.unwrap_or(session_life_max_ms),
        session_life_max_ms,
        sign_in_frequency_ms: frequency?,
    })
}

fn is_there(call: &Call, id: TenantId) -> bool {
    call.authority()
        .directory()
        .loaded()
        .view
        .tenants
        .contains_key(&id)
}

fn encode(tenant: &Tenant) -> pb::Tenant {
    let at_cap = match tenant.at_cap {
        AtCap::EndLongestUnused => pb::AtCap::EndLongestUnused,
        AtCap::Refuse => pb::AtCap::Refuse,
    };
    let on_reuse = match tenant.on_reuse {
        OnReuse::EndGrant => pb::OnReuse::Grant,
        OnReuse::EndSession => pb::OnReuse::Session,
    };
    let spellings: Vec<_> = tenant.issuer_spellings.iter().map(ToString::to_string).collect();
    pb::Tenant {
        name: name::tenant(&tenant.name),
        uid: tenant.id.to_string(),
        display_name: tenant.display_name.to_string(),
        former_issuers: spellings.iter().skip(1).cloned().collect(),
        issuer_spellings: spellings,
        at_cap: at_cap.into(),
        system: tenant.is_system,
        state: state_number(&tenant.disables),
        disables: disabling(&tenant.disables),
        idle_timeout: Some(duration(tenant.idle_timeout_ms)),
        max_lifetime: Some(duration(tenant.session_life_max_ms)),
        on_reuse: on_reuse.into(),
        sign_in_frequency: tenant.sign_in_frequency_ms.map(duration),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn create_tenant(
        &self,
        request: Request<pb::CreateTenantRequest>,
    ) -> Answered<pb::CreateTenantResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let operation = check.operation(&request.request_id, "CreateTenant", &request);
        check.correlation(&request.correlation_id);
        let name: Option<TenantName> = check.id("tenant_id", &request.tenant_id);
        let asked = request.tenant.unwrap_or_default();
        let base_url = &call.authority().config().base_url;
        let tenant = tenant(&mut check, base_url, name, operation, asked);
        let tenant = call.done(check, tenant)?;
        let id = tenant.id;
        match call.authority().create_tenant(tenant, operation).await {
            Ok(()) => {}
            // A repeat finds its own work: the id is made from the operation.
            Err(refusal) if refusal.reason == Reason::AlreadyExists && is_there(&call, id) => {}
            Err(refusal) => return Err(call.refused(Of::Named, &refusal)),
        }
        let loaded = call.authority().directory().loaded();
        let tenant = loaded
            .view
            .tenants
            .get(&id)
            .ok_or_else(|| call.because(Of::Named, Reason::TenantUnknown, id.to_string()))?;
        Ok(Response::new(pb::CreateTenantResponse {
            tenant: Some(encode(tenant)),
        }))
    }

    async fn get_tenant(&self, request: Request<pb::GetTenantRequest>) -> Answered<pb::GetTenantResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "name", &request.name)?;
        let tenant = call.done(check, place.tenant())?;
        Ok(Response::new(pb::GetTenantResponse {
            tenant: Some(encode(&tenant)),
        }))
    }

    async fn list_tenants(
        &self,
        request: Request<pb::ListTenantsRequest>,
    ) -> Answered<pb::ListTenantsResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let paged = Paged::of(
            &mut check,
            request.page_size,
            &request.page_token,
            "ListTenants",
            Vec::new(),
        );
        let paged = call.done(check, paged)?;
        let mut tenants: Vec<_> = call
            .loaded
            .view
            .tenants
            .values()
            .filter(|tenant| call.caller.may_touch(tenant.id))
            .map(|tenant| (tenant.name.as_str().as_bytes().to_vec(), tenant))
            .collect();
        tenants.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (tenants, next_page_token) = paged.take(&call, tenants).await?;
        Ok(Response::new(pb::ListTenantsResponse {
            tenants: tenants.into_iter().map(|tenant| encode(tenant)).collect(),
            next_page_token,
        }))
    }

    later! {
        update_tenant(pb::UpdateTenantRequest) -> pb::UpdateTenantResponse;
        delete_tenant(pb::DeleteTenantRequest) -> pb::DeleteTenantResponse;
        disable_tenant(pb::DisableTenantRequest) -> pb::DisableTenantResponse;
        enable_tenant(pb::EnableTenantRequest) -> pb::EnableTenantResponse;
    }
}

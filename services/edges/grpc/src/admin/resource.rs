//! ResourceService: creates, reads, lists resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use curfew_core::access_token::RESERVED;
use curfew_core::directory::{Resource, Tenant};
use curfew_core::ids::ResourceId;
use curfew_core::refusal::Reason;
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::resource_service_server::ResourceService;
use tonic::{Request, Response};

use super::{Answered, later};
use crate::check::{Check, LIST_MAX, LONG_TEXT_MAX, TEXT_MAX};
use crate::convert::{duration, state_number};
use crate::name;
use crate::page::Paged;
use crate::session::SPAN_MIN_MS;
use crate::shared::{Place, Shared};
use crate::status::Of;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Resources(pub(crate) Arc<Shared>);

fn resource(
    check: &mut Check,
    place: &Place,
    id: Option<ResourceId>,
    asked: &pb::Resource,
) -> Option<Resource> {
    check.unsupported("resource.display_name", !asked.display_name.is_empty());
    check.unsupported("resource.guarded_token_life", asked.guarded_token_life.is_some());
    check.unsupported("resource.signing_alg", !asked.signing_alg.is_empty());
    let audience = check.required("resource.audience", &asked.audience, LONG_TEXT_MAX);
    let scopes = check.scopes("resource.scopes", &asked.scopes);
    let roles = check.scopes("resource.roles", &asked.roles);
    let life = check.span_ms("resource.access_token_life", asked.access_token_life, SPAN_MIN_MS);
    let mut claims = BTreeMap::new();
    if check.count("resource.claims", asked.claims.len(), LIST_MAX) {
        for (to, from) in &asked.claims {
            // Map keys come from the caller: only a bounded one is told back.
            let field = format!("resource.claims[{}]", to.chars().take(64).collect::<String>());
            if RESERVED.contains(&to.as_str()) {
                check.fault(&*field, "a claim that Curfew itself writes");
            }
            let to = check.required(&field, to, TEXT_MAX);
            let from = check.required(&field, from, TEXT_MAX);
            claims.extend(to.zip(from));
        }
    }
    Some(Resource {
        tenant: place.tenant()?.id,
        id: id?,
        audience: audience?,
        scopes,
        roles,
        guarded: asked.guarded,
        access_token_life_ms: life?,
        claims,
    })
}

fn encode(tenant: &Tenant, resource: &Resource) -> pb::Resource {
    pb::Resource {
        name: name::of(&tenant.name, "resources", &resource.id),
        audience: resource.audience.to_string(),
        scopes: resource.scopes.iter().map(ToString::to_string).collect(),
        roles: resource.roles.iter().map(ToString::to_string).collect(),
        guarded: resource.guarded,
        access_token_life: resource.access_token_life_ms.map(duration),
        claims: resource
            .claims
            .iter()
            .map(|(to, from)| (to.to_string(), from.to_string()))
            .collect(),
        state: state_number(&[]),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl ResourceService for Resources {
    async fn create_resource(
        &self,
        request: Request<pb::CreateResourceRequest>,
    ) -> Answered<pb::CreateResourceResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "parent", &request.parent)?;
        let operation = check.operation(&request.request_id, "CreateResource", &request);
        check.correlation(&request.correlation_id);
        let id: Option<ResourceId> = check.id("resource_id", &request.resource_id);
        let asked = request.resource.unwrap_or_default();
        let resource = resource(&mut check, &place, id, &asked);
        let (tenant, resource) = call.done(check, place.tenant().zip(resource))?;
        let id = resource.id.clone();
        call.authority()
            .create_resource(resource, operation)
            .await
            .map_err(call.refuse(Of::Named))?;
        let loaded = call.authority().directory().loaded();
        let resource = loaded
            .view
            .resources
            .get(&(tenant.id, id.clone()))
            .ok_or_else(|| call.because(Of::Named, Reason::ResourceUnknown, id.to_string()))?;
        Ok(Response::new(pb::CreateResourceResponse {
            resource: Some(encode(&tenant, resource)),
        }))
    }

    async fn get_resource(
        &self,
        request: Request<pb::GetResourceRequest>,
    ) -> Answered<pb::GetResourceResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let id: Option<ResourceId> = place.id(&mut check, "name", &request.name, "resources");
        let (tenant, id) = call.done(check, place.tenant().zip(id))?;
        let resource = call
            .loaded
            .view
            .resources
            .get(&(tenant.id, id.clone()))
            .ok_or_else(|| call.because(Of::Named, Reason::ResourceUnknown, id.to_string()))?;
        Ok(Response::new(pb::GetResourceResponse {
            resource: Some(encode(&tenant, resource)),
        }))
    }

    async fn list_resources(
        &self,
        request: Request<pb::ListResourcesRequest>,
    ) -> Answered<pb::ListResourcesResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "parent", &request.parent)?;
        let filter = request.parent.clone().into_bytes();
        let paged = Paged::of(
            &mut check,
            request.page_size,
            &request.page_token,
            "ListResources",
            filter,
        );
        let (tenant, paged) = call.done(check, place.tenant().zip(paged))?;
        let resources = call
            .loaded
            .view
            .resources
            .values()
            .filter(|resource| resource.tenant == tenant.id)
            .map(|resource| (resource.id.as_str().as_bytes().to_vec(), resource));
        let (resources, next_page_token) = paged.take(&call, resources).await?;
        Ok(Response::new(pb::ListResourcesResponse {
            resources: resources
                .into_iter()
                .map(|resource| encode(&tenant, resource))
                .collect(),
            next_page_token,
        }))
    }

    later! {
        update_resource(pb::UpdateResourceRequest) -> pb::UpdateResourceResponse;
        delete_resource(pb::DeleteResourceRequest) -> pb::DeleteResourceResponse;
        disable_resource(pb::DisableResourceRequest) -> pb::DisableResourceResponse;
        enable_resource(pb::EnableResourceRequest) -> pb::EnableResourceResponse;
    }
}

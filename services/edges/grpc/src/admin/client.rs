//! ClientService: creates, reads, lists clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use curfew_core::directory::{Activity, Client, ClientAuthMethod, Late, SecretHash, Tenant, Window};
use curfew_core::ids::{ClientId, ResourceId};
use curfew_core::refusal::Reason;
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::client_service_server::ClientService;
use tonic::{Request, Response};

use super::{Answered, later};
use crate::check::{Check, LIST_MAX, LONG_TEXT_MAX, TEXT_MAX};
use crate::convert::{disabling, duration, state_number, timestamp};
use crate::name;
use crate::page::Paged;
use crate::session::SPAN_MIN_MS;
use crate::shared::{Place, Shared};
use crate::status::Of;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Clients(pub(crate) Arc<Shared>);

/// The longest window, ms: a day. Beyond, a stolen token would pass for a lost answer.
const WINDOW_MAX_MS: i64 = 24 * 3_600_000;

fn unsupported(check: &mut Check, asked: &pb::Client) {
    for (field, is_set) in [
        ("jwks", !asked.jwks.is_empty()),
        ("jwks_uri", !asked.jwks_uri.is_empty()),
        (
            "post_logout_redirect_uris",
            !asked.post_logout_redirect_uris.is_empty(),
        ),
        ("backchannel_logout_uri", !asked.backchannel_logout_uri.is_empty()),
        ("grant_types", !asked.grant_types.is_empty()),
        ("first_party", asked.first_party),
        ("require_key_binding", asked.require_key_binding),
        ("require_pushed_requests", asked.require_pushed_requests),
        ("access_token_life", asked.access_token_life.is_some()),
        ("origins", !asked.origins.is_empty()),
    ] {
        check.unsupported(&format!("client.{field}"), is_set);
    }
}

fn auth_method(check: &mut Check, number: i32) -> Option<ClientAuthMethod> {
    let field = "client.auth_method";
    match pb::ClientAuthMethod::try_from(number) {
        Ok(pb::ClientAuthMethod::None) => Some(ClientAuthMethod::None),
        Ok(pb::ClientAuthMethod::ClientSecret) => Some(ClientAuthMethod::Secret),
        Ok(pb::ClientAuthMethod::SelfSignedTlsClientAuth) => Some(ClientAuthMethod::Mtls),
        Ok(pb::ClientAuthMethod::PrivateKeyJwt | pb::ClientAuthMethod::TlsClientAuth) => {
            check.unsupported(field, true);
            None
        }
        Ok(pb::ClientAuthMethod::Unspecified) | Err(_) => {
            check.fault(field, "required");
            None
        }
    }
}

fn certificates(check: &mut Check, matches: &[pb::CertificateMatch]) -> Vec<Arc<str>> {
    if !check.count("client.certificates", matches.len(), LIST_MAX) {
        return Vec::new();
    }
    let mut thumbprints = Vec::new();
    for (i, one) in matches.iter().enumerate() {
        let field = |name: &str| format!("client.certificates[{i}].{name}");
        for (name, text) in [
            ("subject_dn", &one.subject_dn),
            ("san_dns", &one.san_dns),
            ("san_uri", &one.san_uri),
            ("san_email", &one.san_email),
        ] {
            check.unsupported(&field(name), !text.is_empty());
        }
        thumbprints.extend(check.thumbprint(&field("x5t_s256"), &one.x5t_s256));
    }
    thumbprints
}

/// The replay window. The outer `None`: a fault.
fn window(check: &mut Check, asked: Option<&pb::ReplayWindow>) -> Option<Option<Window>> {
    use pb::replay_window::Window as Asked;
    let field = "client.replay_window.duration";
    match asked.map(|window| window.window.as_ref()) {
        None => Some(None),
        Some(None) => {
            check.fault(
                "client.replay_window.window",
                "required where `replay_window` is set",
            );
            None
        }
        Some(Some(Asked::None(pb::NoWindow {}))) => Some(Some(Window::Time(0))),
        Some(Some(Asked::UntilPresented(pb::UntilPresented {}))) => Some(Some(Window::UntilPresented)),
        Some(Some(Asked::Duration(span))) => {
            let ms = check.span_ms(field, Some(*span), 1)??;
            if ms > WINDOW_MAX_MS {
                check.fault(field, "longer than a day");
                return None;
            }
            Some(Some(Window::Time(ms)))
        }
    }
}

fn app_roles(
    check: &mut Check,
    place: &Place,
    asked: &[pb::AppRoles],
) -> BTreeMap<ResourceId, Vec<curfew_core::ids::Scope>> {
    let mut roles = BTreeMap::new();
    if !check.count("client.app_roles", asked.len(), LIST_MAX) {
        return roles;
    }
    for (i, one) in asked.iter().enumerate() {
        let field = format!("client.app_roles[{i}].resource");
        let resource: Option<ResourceId> = place.id(check, &field, &one.resource, "resources");
        let held = check.scopes(&format!("client.app_roles[{i}].roles"), &one.roles);
        if let Some(resource) = resource
            && roles.insert(resource, held).is_some()
        {
            check.fault(field, "named twice");
        }
    }
    roles
}

fn client(
    check: &mut Check,
    place: &Place,
    id: Option<ClientId>,
    asked: pb::Client,
    secret: SecretHash,
) -> Option<Client> {
    unsupported(check, &asked);
    let display_name = check.text("client.display_name", &asked.display_name, TEXT_MAX);
    let auth_method = auth_method(check, asked.auth_method);
    let certificates = certificates(check, &asked.certificates);
    if (auth_method == Some(ClientAuthMethod::Mtls)) == certificates.is_empty() {
        check.fault(
            "client.certificates",
            "certificates and SELF_SIGNED_TLS_CLIENT_AUTH need each other",
        );
    }
    let window = window(check, asked.replay_window.as_ref());
    let late = match pb::Late::try_from(asked.late) {
        Ok(pb::Late::Unspecified | pb::Late::Supersede) => Some(Late::Supersede),
        Ok(pb::Late::Reuse) => Some(Late::Reuse),
        Err(_) => {
            check.fault("client.late", "no such value");
            None
        }
    };
    let default_activity = match pb::DefaultActivity::try_from(asked.default_activity) {
        Ok(pb::DefaultActivity::Unspecified | pb::DefaultActivity::User) => Some(Activity::User),
        Ok(pb::DefaultActivity::Background) => Some(Activity::Background),
        Err(_) => {
            check.fault("client.default_activity", "no such value");
            None
        }
    };
    if asked.fixed && auth_method == Some(ClientAuthMethod::None) {
        check.fault("client.fixed", "only for clients that authenticate");
    }
    let grant_life = check.span_ms("client.grant_lifetime", asked.grant_lifetime, SPAN_MIN_MS);
    let scopes = check.scopes("client.scopes", &asked.scopes);
    let mut resources = Vec::new();
    if check.count("client.resources", asked.resources.len(), LIST_MAX) {
        for (i, resource) in asked.resources.iter().enumerate() {
            let field = format!("client.resources[{i}]");
            resources.extend(place.id::<ResourceId>(check, &field, resource, "resources"));
        }
    }
    let app_roles = app_roles(check, place, &asked.app_roles);
    let redirect_uris = check.texts(
        "client.redirect_uris",
        &asked.redirect_uris,
        LIST_MAX,
        LONG_TEXT_MAX,
    );
    let (id, auth_method) = (id?, auth_method?);
    Some(Client {
        tenant: place.tenant()?.id,
        display_name: display_name.unwrap_or_else(|| id.as_str().into()),
        id,
        auth_method,
        secrets: if auth_method == ClientAuthMethod::Secret {
            vec![secret]
        } else {
            Vec::new()
        },
        jwks: None,
        certificates,
        disables: Vec::new(),
        window: window?,
        late: late?,
        fixed: asked.fixed,
        cp1: asked.cp1,
        default_activity: default_activity?,
        grant_life_ms: grant_life?,
        scopes,
        resources,
        app_roles,
        redirect_uris,
    })
}

/// A secret's identity.
pub(super) fn secret(secret: &SecretHash) -> pb::SecretInfo {
    pb::SecretInfo {
        id: secret.id.to_string(),
        label: String::new(),
        create_time: Some(timestamp(secret.created_at)),
        expire_time: secret.expires_at.map(timestamp),
    }
}

fn encode(tenant: &Tenant, client: &Client) -> pb::Client {
    use pb::replay_window::Window as Told;
    let auth_method = match client.auth_method {
        ClientAuthMethod::None => pb::ClientAuthMethod::None,
        ClientAuthMethod::Secret => pb::ClientAuthMethod::ClientSecret,
        ClientAuthMethod::PrivateKeyJwt => pb::ClientAuthMethod::PrivateKeyJwt,
        ClientAuthMethod::Mtls => pb::ClientAuthMethod::SelfSignedTlsClientAuth,
    };
    let window = client.window.map(|window| match window {
        Window::Time(0) => Told::None(pb::NoWindow {}),
        Window::Time(ms) => Told::Duration(duration(ms)),
        Window::UntilPresented => Told::UntilPresented(pb::UntilPresented {}),
    });
    let late = match client.late {
        Late::Supersede => pb::Late::Supersede,
        Late::Reuse => pb::Late::Reuse,
    };
    let default_activity = match client.default_activity {
        Activity::User => pb::DefaultActivity::User,
        Activity::Background => pb::DefaultActivity::Background,
    };
    let resource = |id: &ResourceId| name::of(&tenant.name, "resources", id);
    let strings = |texts: &[curfew_core::ids::Scope]| texts.iter().map(ToString::to_string).collect();
    pb::Client {
        name: name::of(&tenant.name, "clients", &client.id),
        display_name: client.display_name.to_string(),
        secrets: client.secrets.iter().map(secret).collect(),
        jwks: client.jwks.as_deref().unwrap_or_default().to_owned(),
        auth_method: auth_method.into(),
        certificates: client
            .certificates
            .iter()
            .map(|x5t| pb::CertificateMatch {
                x5t_s256: x5t.to_string(),
                ..Default::default()
            })
            .collect(),
        state: state_number(&client.disables),
        disables: disabling(&client.disables),
        replay_window: window.map(|window| pb::ReplayWindow { window: Some(window) }),
        late: late.into(),
        fixed: client.fixed,
        cp1: client.cp1,
        default_activity: default_activity.into(),
        grant_lifetime: client.grant_life_ms.map(duration),
        scopes: strings(&client.scopes),
        resources: client.resources.iter().map(resource).collect(),
        app_roles: client
            .app_roles
            .iter()
            .map(|(id, roles)| pb::AppRoles {
                resource: resource(id),
                roles: strings(roles),
            })
            .collect(),
        redirect_uris: client.redirect_uris.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl ClientService for Clients {
    async fn create_client(
        &self,
        request: Request<pb::CreateClientRequest>,
    ) -> Answered<pb::CreateClientResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "parent", &request.parent)?;
        let operation = check.operation(&request.request_id, "CreateClient", &request);
        check.correlation(&request.correlation_id);
        let id: Option<ClientId> = check.id("client_id", &request.client_id);
        let asked = request.client.unwrap_or_default();
        let (value, hash) = call.authority().new_secret("first");
        let client = client(&mut check, &place, id, asked, hash.clone());
        let (tenant, client) = call.done(check, place.tenant().zip(client))?;
        let id = client.id.clone();
        call.authority()
            .create_client(client, operation)
            .await
            .map_err(call.refuse(Of::Named))?;
        let loaded = call.authority().directory().loaded();
        let client = loaded
            .view
            .client(tenant.id, &id)
            .ok_or_else(|| call.because(Of::Named, Reason::ClientUnknown, id.to_string()))?;
        // A repeat finds the first secret stored, and this one nowhere.
        let is_new = client.secrets.iter().any(|stored| stored.sha256 == hash.sha256);
        Ok(Response::new(pb::CreateClientResponse {
            client: Some(encode(&tenant, client)),
            secret_value: if is_new { value } else { String::new() },
        }))
    }

    async fn get_client(&self, request: Request<pb::GetClientRequest>) -> Answered<pb::GetClientResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "name", &request.name)?;
        let id: Option<ClientId> = place.id(&mut check, "name", &request.name, "clients");
        let (tenant, id) = call.done(check, place.tenant().zip(id))?;
        let client = call
            .loaded
            .view
            .client(tenant.id, &id)
            .ok_or_else(|| call.because(Of::Named, Reason::ClientUnknown, id.to_string()))?;
        Ok(Response::new(pb::GetClientResponse {
            client: Some(encode(&tenant, client)),
        }))
    }

    async fn list_clients(
        &self,
        request: Request<pb::ListClientsRequest>,
    ) -> Answered<pb::ListClientsResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.parent(&mut check, "parent", &request.parent)?;
        let filter = request.parent.clone().into_bytes();
        let paged = Paged::of(
            &mut check,
            request.page_size,
            &request.page_token,
            "ListClients",
            filter,
        );
        let (tenant, paged) = call.done(check, place.tenant().zip(paged))?;
        let clients = call
            .loaded
            .view
            .clients
            .values()
            .filter(|client| client.tenant == tenant.id)
            .map(|client| (client.id.as_str().as_bytes().to_vec(), client));
        let (clients, next_page_token) = paged.take(&call, clients).await?;
        Ok(Response::new(pb::ListClientsResponse {
            clients: clients
                .into_iter()
                .map(|client| encode(&tenant, client))
                .collect(),
            next_page_token,
        }))
    }

    later! {
        update_client(pb::UpdateClientRequest) -> pb::UpdateClientResponse;
        delete_client(pb::DeleteClientRequest) -> pb::DeleteClientResponse;
        disable_client(pb::DisableClientRequest) -> pb::DisableClientResponse;
        enable_client(pb::EnableClientRequest) -> pb::EnableClientResponse;
        create_client_secret(pb::CreateClientSecretRequest) -> pb::CreateClientSecretResponse;
        end_client_secret(pb::EndClientSecretRequest) -> pb::EndClientSecretResponse;
    }
}

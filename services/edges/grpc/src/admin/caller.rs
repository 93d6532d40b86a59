//! CallerService: creates, reads, lists callers; makes the first admin for whoever proves the root key.

use std::sync::Arc;

use curfew_core::directory::{Caller, Role, TenantScope};
use curfew_core::ids::{CallerId, TenantId};
use curfew_core::refusal::Reason;
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::caller_service_server::CallerService;
use tonic::{Request, Response, Status};

use super::{Answered, client, later};
use crate::caller::Caller as Asking;
use crate::check::{Check, TEXT_MAX};
use crate::convert::{disabling, state_number};
use crate::name;
use crate::page::Paged;
use crate::shared::{Call, Shared};
use crate::status::Of;

/// The id of the first admin.
const FIRST: &str = "admin";
/// Tenants that one caller may name; whoever needs more names all.
const TENANTS_MAX: usize = 1_000;

/// Certificates that mean one caller: an old and a new one of each of a few hosts.
const CERTIFICATES_MAX: usize = 16;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Callers(pub(crate) Arc<Shared>);

fn tenants(check: &mut Check, call: &Call, names: &[String]) -> Option<TenantScope> {
    let field = "caller.tenants";
    if names.is_empty() {
        check.fault(field, "required: names of tenants, or `*`");
        return None;
    }
    if !check.count(field, names.len(), TENANTS_MAX) {
        return None;
    }
    if names.iter().any(|name| name == "*") {
        if names.len() > 1 {
            check.fault(field, "`*` stands alone");
        }
        return Some(TenantScope::All);
    }
    let mut ids: Vec<TenantId> = Vec::with_capacity(names.len());
    for (i, named) in names.iter().enumerate() {
        let tenant = name::ids(named, ["tenants"]).and_then(|[tenant]| {
            let found = call.loaded.view.tenant_by_name(&tenant)?;
            Some(found.id)
        });
        match tenant {
            Some(id) => ids.push(id),
            None => check.fault(format!("{field}[{i}]"), "no such tenant"),
        }
    }
    Some(TenantScope::Only(ids))
}

fn roles(check: &mut Check, words: &[String]) -> Vec<Role> {
    let field = "caller.roles";
    if words.is_empty() {
        check.fault(field, "required");
    }
    if !check.count(field, words.len(), Role::ALL.len()) {
        return Vec::new();
    }
    let mut roles = Vec::new();
    for (i, word) in words.iter().enumerate() {
        match Role::parse(word) {
            Some(role) if !roles.contains(&role) => roles.push(role),
            Some(_) => {}
            None => check.fault(format!("{field}[{i}]"), "no such role"),
        }
    }
    roles
}

/// The certificates that mean a caller, each as one name with its kind.
fn certificates(check: &mut Check, matches: &[pb::CertificateMatch]) -> Vec<Arc<str>> {
    let field = "caller.certificates";
    if !check.count(field, matches.len(), CERTIFICATES_MAX) {
        return Vec::new();
    }
    let mut names: Vec<Arc<str>> = Vec::new();
    for (i, wanted) in matches.iter().enumerate() {
        let field = format!("{field}[{i}]");
        // Distinguished names have many spellings; alternative names have one.
        check.unsupported(&format!("{field}.subject_dn"), !wanted.subject_dn.is_empty());
        if !wanted.x5t_s256.is_empty() {
            check.thumbprint(&format!("{field}.x5t_s256"), &wanted.x5t_s256);
        }
        let kinds = [
            ("dns", wanted.san_dns.to_ascii_lowercase()),
            ("uri", wanted.san_uri.clone()),
            ("email", wanted.san_email.clone()),
            ("x5t", wanted.x5t_s256.clone()),
        ];
        let mut set = kinds.into_iter().filter(|(_, value)| !value.is_empty());
        match (set.next(), set.next()) {
            (Some((kind, value)), None) => {
                if let Some(value) = check.text(&field, &value, TEXT_MAX) {
                    names.push(format!("{kind}:{value}").into());
                }
            }
            (None, _) => check.fault(field, "names nothing: set one alternative name or a thumbprint"),
            (Some(_), Some(_)) => check.fault(field, "set exactly one field; each match stands by itself"),
        }
    }
    names
}

fn certificate(name: &str) -> pb::CertificateMatch {
    let mut wanted = pb::CertificateMatch::default();
    match name.split_once(':') {
        Some(("dns", value)) => value.clone_into(&mut wanted.san_dns),
        Some(("uri", value)) => value.clone_into(&mut wanted.san_uri),
        Some(("email", value)) => value.clone_into(&mut wanted.san_email),
        Some(("x5t", value)) => value.clone_into(&mut wanted.x5t_s256),
        Some(_) | None => {}
    }
    wanted
}

fn encode(call: &Call, caller: &Caller) -> pb::Caller {
    let tenants = match &caller.tenants {
        TenantScope::All => vec!["*".to_owned()],
        TenantScope::Only(ids) => ids
            .iter()
            .filter_map(|id| call.loaded.view.tenants.get(id))
            .map(|tenant| name::tenant(&tenant.name))
            .collect(),
    };
    pb::Caller {
        name: name::top("callers", &caller.id),
        display_name: caller.display_name.to_string(),
        secrets: caller.secrets.iter().map(client::secret).collect(),
        certificates: caller
            .certificate_names
            .iter()
            .map(|name| certificate(name))
            .collect(),
        roles: caller.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        tenants,
        state: state_number(&caller.disables),
        disables: disabling(&caller.disables),
        ..Default::default()
    }
}

/// The first admin: everything of it is fixed, so that a stolen proof can make nothing else.
async fn first(call: &Call, request: &pb::CreateCallerRequest) -> Result<pb::CreateCallerResponse, Status> {
    let mut check = Check::default();
    if request.caller_id != FIRST {
        check.fault("caller_id", "the first caller is `admin`");
    }
    check.operation(&request.request_id, "CreateCaller", request);
    call.done(check, Some(()))?;
    let made = call
        .authority()
        .create_first_admin()
        .await
        .map_err(call.refuse(Of::Named))?;
    let Some((id, secret_value)) = made else {
        return Err(call.because(Of::Named, Reason::AlreadyExists, "there is an admin already"));
    };
    let loaded = call.authority().directory().loaded();
    let caller = loaded.view.callers.get(&id).map(|caller| encode(call, caller));
    Ok(pb::CreateCallerResponse { caller, secret_value })
}

#[tonic::async_trait]
impl CallerService for Callers {
    async fn create_caller(
        &self,
        request: Request<pb::CreateCallerRequest>,
    ) -> Answered<pb::CreateCallerResponse> {
        let (call, request) = self.0.open(request)?;
        if matches!(call.caller, Asking::RootKey) {
            return first(&call, &request).await.map(Response::new);
        }
        let mut check = Check::default();
        let operation = check.operation(&request.request_id, "CreateCaller", &request);
        check.correlation(&request.correlation_id);
        let id: Option<CallerId> = check.id("caller_id", &request.caller_id);
        let asked = request.caller.unwrap_or_default();
        let display_name = check.text("caller.display_name", &asked.display_name, TEXT_MAX);
        let certificate_names = certificates(&mut check, &asked.certificates);
        let roles = roles(&mut check, &asked.roles);
        let tenants = tenants(&mut check, &call, &asked.tenants);
        let (value, hash) = call.authority().new_secret("first");
        let (id, tenants) = call.done(check, id.zip(tenants))?;
        let caller = Caller {
            display_name: display_name.unwrap_or_else(|| id.as_str().into()),
            id: id.clone(),
            secrets: vec![hash.clone()],
            certificate_names,
            roles,
            tenants,
            disables: Vec::new(),
        };
        call.authority()
            .create_caller(caller, operation)
            .await
            .map_err(call.refuse(Of::Named))?;
        let loaded = call.authority().directory().loaded();
        let caller = loaded
            .view
            .callers
            .get(&id)
            .ok_or_else(|| call.because(Of::Named, Reason::NotFound, id.to_string()))?;
        // A repeat finds the first secret stored, and this one nowhere.
        let is_new = caller.secrets.iter().any(|stored| stored.sha256 == hash.sha256);
        Ok(Response::new(pb::CreateCallerResponse {
            caller: Some(encode(&call, caller)),
            secret_value: if is_new { value } else { String::new() },
        }))
    }

    async fn get_caller(&self, request: Request<pb::GetCallerRequest>) -> Answered<pb::GetCallerResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let named = name::ids(&request.name, ["callers"]);
        if named.is_none() {
            check.fault("name", "not of the form `callers/{caller}`");
        }
        let id: Option<CallerId> = named.and_then(|[id]| check.id("name", &id));
        let id = call.done(check, id)?;
        let caller = call
            .loaded
            .view
            .callers
            .get(&id)
            .ok_or_else(|| call.because(Of::Named, Reason::NotFound, id.to_string()))?;
        Ok(Response::new(pb::GetCallerResponse {
            caller: Some(encode(&call, caller)),
        }))
    }

    async fn list_callers(
        &self,
        request: Request<pb::ListCallersRequest>,
    ) -> Answered<pb::ListCallersResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let paged = Paged::of(
            &mut check,
            request.page_size,
            &request.page_token,
            "ListCallers",
            Vec::new(),
        );
        let paged = call.done(check, paged)?;
        let callers = call
            .loaded
            .view
            .callers
            .values()
            .map(|caller| (caller.id.as_str().as_bytes().to_vec(), caller));
        let (callers, next_page_token) = paged.take(&call, callers).await?;
        Ok(Response::new(pb::ListCallersResponse {
            callers: callers.into_iter().map(|caller| encode(&call, caller)).collect(),
            next_page_token,
        }))
    }

    later! {
        update_caller(pb::UpdateCallerRequest) -> pb::UpdateCallerResponse;
        delete_caller(pb::DeleteCallerRequest) -> pb::DeleteCallerResponse;
        disable_caller(pb::DisableCallerRequest) -> pb::DisableCallerResponse;
        enable_caller(pb::EnableCallerRequest) -> pb::EnableCallerResponse;
        create_caller_secret(pb::CreateCallerSecretRequest) -> pb::CreateCallerSecretResponse;
        end_caller_secret(pb::EndCallerSecretRequest) -> pb::EndCallerSecretResponse;
    }
}

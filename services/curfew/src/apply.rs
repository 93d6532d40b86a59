//! `curfew apply`: creates what a file names, where it is not there yet.

use std::path::Path;

use curfew_proto::admin::v1 as admin;
use tonic::{Code, Status};

use crate::bootstrap::attach;
use crate::cli::{CallerArgs, Failure};
use crate::client::{Calls, Credential, connect, request_id, token_of};
use crate::config::{self, ConfigArgs};
use crate::seeds::Seeds;

/// What became of one record.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Applied {
    /// Its name.
    pub(crate) name: String,
    /// `created` or `exists`.
    pub(crate) result: &'static str,
    /// A secret that was made with it, told this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
}

pub(crate) async fn run(
    file: &Path,
    node: &ConfigArgs,
    caller: &CallerArgs,
    json: bool,
) -> Result<(), Failure> {
    let seeds = Seeds::read(file)?;
    let (node, address) = attach(config::load(node, &[])?).await?;
    let applied = async {
        let credential = token_of(&address, &caller.caller, &caller.secret).await?;
        apply(&seeds, &address, credential).await
    }
    .await;
    if let Some(node) = node {
        node.stop().await;
    }
    for applied in applied? {
        if json {
            println!("{}", serde_json::to_string(&applied)?);
            continue;
        }
        println!("{:<8} {}", applied.result, applied.name);
        if let Some(secret) = applied.secret {
            println!("         secret, shown this once: {secret}");
        }
    }
    Ok(())
}

/// Applies seeds over gRPC; what exists is left as it is.
pub(crate) async fn apply(
    seeds: &Seeds,
    address: &str,
    credential: Credential,
) -> Result<Vec<Applied>, Failure> {
    let channel = connect(address).await?;
    let mut run = Run {
        tenants: admin::tenant_service_client::TenantServiceClient::with_interceptor(
            channel.clone(),
            credential.clone(),
        ),
        clients: admin::client_service_client::ClientServiceClient::with_interceptor(
            channel.clone(),
            credential.clone(),
        ),
        resources: admin::resource_service_client::ResourceServiceClient::with_interceptor(
            channel.clone(),
            credential.clone(),
        ),
        issuers: admin::issuer_service_client::IssuerServiceClient::with_interceptor(
            channel.clone(),
            credential.clone(),
        ),
        callers: admin::caller_service_client::CallerServiceClient::with_interceptor(channel, credential),
        applied: Vec::new(),
    };
    run.all(seeds).await?;
    Ok(run.applied)
}

struct Run {
    tenants: admin::tenant_service_client::TenantServiceClient<Calls>,
    clients: admin::client_service_client::ClientServiceClient<Calls>,
    resources: admin::resource_service_client::ResourceServiceClient<Calls>,
    issuers: admin::issuer_service_client::IssuerServiceClient<Calls>,
    callers: admin::caller_service_client::CallerServiceClient<Calls>,
    applied: Vec<Applied>,
}

impl Run {
    async fn all(&mut self, seeds: &Seeds) -> Result<(), Failure> {
        for tenant in &seeds.tenants {
            let parent = format!("tenants/{}", tenant.name);
            let request = admin::CreateTenantRequest {
                tenant_id: tenant.name.clone(),
                tenant: Some(tenant.to_proto()),
                request_id: request_id(),
                correlation_id: String::new(),
            };
            let made = self.tenants.create_tenant(request).await.map(drop);
            self.note(parent.clone(), made)?;
            for resource in &tenant.resources {
                let request = admin::CreateResourceRequest {
                    parent: parent.clone(),
                    resource_id: resource.id.clone(),
                    resource: Some(resource.to_proto()),
                    request_id: request_id(),
                    correlation_id: String::new(),
                };
                let made = self.resources.create_resource(request).await.map(drop);
                self.note(format!("{parent}/resources/{}", resource.id), made)?;
            }
            for client in &tenant.clients {
                self.client(&parent, &tenant.name, client).await?;
            }
            for issuer in &tenant.issuers {
                let request = admin::CreateIssuerRequest {
                    parent: parent.clone(),
                    issuer_id: issuer.id(&tenant.name),
                    issuer: Some(issuer.to_proto()),
                    request_id: request_id(),
                    correlation_id: String::new(),
                };
                let made = self.issuers.create_issuer(request).await.map(drop);
                self.note(format!("{parent}/issuers/{}", issuer.id(&tenant.name)), made)?;
            }
        }
        for caller in &seeds.callers {
            let name = format!("callers/{}", caller.id);
            let request = admin::CreateCallerRequest {
                caller_id: caller.id.clone(),
                caller: Some(caller.to_proto()),
                request_id: request_id(),
                correlation_id: String::new(),
            };
            let made = self.callers.create_caller(request).await;
            let secret = made.as_ref().ok().map(|made| made.get_ref().secret_value.clone());
            self.note(name, made.map(drop))?;
            self.keep(secret, caller.secret_file.as_deref())?;
        }
        Ok(())
    }

    async fn client(
        &mut self,
        parent: &str,
        tenant: &str,
        client: &crate::seeds::ClientSeed,
    ) -> Result<(), Failure> {
        let name = format!("{parent}/clients/{}", client.id);
        let request = admin::CreateClientRequest {
            parent: parent.to_owned(),
            client_id: client.id.clone(),
            client: Some(client.to_proto(tenant)),
            request_id: request_id(),
            correlation_id: String::new(),
        };
        let made = self.clients.create_client(request).await;
        let secret = made.as_ref().ok().map(|made| made.get_ref().secret_value.clone());
        self.note(name, made.map(drop))?;
        self.keep(secret, client.secret_file.as_deref())
    }

    /// Notes what became of a record.
    fn note(&mut self, name: String, made: Result<(), Status>) -> Result<(), Failure> {
        let result = match made {
            Ok(()) => "created",
            Err(status) if status.code() == Code::AlreadyExists => "exists",
            Err(status) => return Err(format!("{name}: {}", status.message()).into()),
        };
        self.applied.push(Applied {
            name,
            result,
            secret: None,
        });
        Ok(())
    }

    /// Writes a secret where the file says, or keeps it to be printed once.
    fn keep(&mut self, secret: Option<String>, file: Option<&Path>) -> Result<(), Failure> {
        let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
            return Ok(());
        };
        let Some(file) = file else {
            if let Some(last) = self.applied.last_mut() {
                last.secret = Some(secret);
            }
            return Ok(());
        };
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let open = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file);
        let mut open = open.map_err(|error| format!("{}: {error}", file.display()))?;
        open.write_all(secret.as_bytes())?;
        Ok(())
    }
}

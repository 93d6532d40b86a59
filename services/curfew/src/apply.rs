//! `curfew apply`: creates what a file names, where it is not there yet.

use std::path::{Path, PathBuf};

use curfew_proto::admin::v1 as admin;
use serde_json::json;
use tonic::{Code, Status};

use crate::bootstrap::attach;
use crate::cli::Failure;
use crate::client::connection::Reach;
use crate::client::{Calls, Credential, connect, request_id, token_on, with};
use crate::commands::fault::About;
use crate::commands::{print, progress};
use crate::config::{self, ConfigArgs};
use crate::seeds::Seeds;

/// Creates what a file names.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Apply {
    /// The file (TOML).
    file: PathBuf,
    /// Only check the file and say what is in it: nobody is asked and nothing is made.
    #[arg(long)]
    dry_run: bool,
    /// The node whose directory is meant, where no address is given; it is started for this where it is
    /// not running.
    #[command(flatten)]
    node: ConfigArgs,
    #[command(flatten)]
    reach: Reach,
    /// Print JSON, one object a line; errors as well.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

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

pub(crate) async fn run(args: Apply) -> Result<(), Failure> {
    let seeds = Seeds::read(&args.file)?;
    if args.dry_run {
        for name in seeds.names() {
            tell(
                &args,
                json!({"name": name, "result": "named"}),
                &format!("named    {name}\n"),
            )?;
        }
        return Ok(());
    }
    let reach = &args.reach;
    // Servers that are named here are meant, whatever node the environment names.
    if reach.address.is_some() && args.node.servers.named().is_none() {
        let calls = reach.open(&reach.address()?).await?;
        return report(&args, &seeds, calls).await;
    }
    let secret = reach.asker.required_secret()?;
    let (node, address) = attach(config::load(&args.node, &[])?).await?;
    let done = async {
        let channel = connect(&address).await?;
        let credential = token_on(channel.clone(), &reach.asker.caller, secret.expose_text()).await?;
        report(&args, &seeds, with(channel, credential)).await
    };
    let done = done.await;
    if let Some(node) = node {
        node.stop().await;
    }
    done
}

/// Applies, and tells each record as it is made: what was made is told even where the next one fails.
async fn report(args: &Apply, seeds: &Seeds, calls: Calls) -> Result<(), Failure> {
    let bar = progress::steps("applying", seeds.names().count());
    let mut run = Run::new(calls, |_: &Applied| bar.inc(1));
    let done = run.all(seeds).await;
    let applied = run.applied;
    bar.finish_and_clear();
    for applied in applied {
        let mut text = format!("{:<8} {}\n", applied.result, applied.name);
        if let Some(secret) = &applied.secret {
            text.push_str(&format!("         secret, shown this once: {secret}\n"));
        }
        tell(args, serde_json::to_value(&applied)?, &text)?;
    }
    done
}

fn tell(args: &Apply, json: serde_json::Value, text: &str) -> Result<(), Failure> {
    if args.json {
        print::json(&json)
    } else {
        print::text(text)
    }
}

/// Applies seeds over gRPC to a node on this machine; what exists is left as it is.
pub(crate) async fn apply(
    seeds: &Seeds,
    address: &str,
    credential: Credential,
) -> Result<Vec<Applied>, Failure> {
    let mut run = Run::new(with(connect(address).await?, credential), |_: &Applied| {});
    run.all(seeds).await?;
    Ok(run.applied)
}

struct Run<F> {
    tenants: admin::tenant_service_client::TenantServiceClient<Calls>,
    clients: admin::client_service_client::ClientServiceClient<Calls>,
    resources: admin::resource_service_client::ResourceServiceClient<Calls>,
    issuers: admin::issuer_service_client::IssuerServiceClient<Calls>,
    callers: admin::caller_service_client::CallerServiceClient<Calls>,
    applied: Vec<Applied>,
    each: F,
}

impl<F: FnMut(&Applied)> Run<F> {
    fn new(calls: Calls, each: F) -> Self {
        Self {
            tenants: admin::tenant_service_client::TenantServiceClient::new(calls.clone()),
            clients: admin::client_service_client::ClientServiceClient::new(calls.clone()),
            resources: admin::resource_service_client::ResourceServiceClient::new(calls.clone()),
            issuers: admin::issuer_service_client::IssuerServiceClient::new(calls.clone()),
            callers: admin::caller_service_client::CallerServiceClient::new(calls),
            applied: Vec::new(),
            each,
        }
    }

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
            Err(status) => return Err(About { name, status }.into()),
        };
        let applied = Applied {
            name,
            result,
            secret: None,
        };
        (self.each)(&applied);
        self.applied.push(applied);
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
        if let Err(error) = write_secret(file, &secret) {
            // It exists nowhere else: rather shown than lost.
            if let Some(last) = self.applied.last_mut() {
                last.secret = Some(secret);
            }
            return Err(format!("{}: {error}; its secret was shown instead", file.display()).into());
        }
        Ok(())
    }
}

fn write_secret(file: &Path, secret: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut open = std::fs::OpenOptions::new();
    let mut open = open.write(true).create_new(true).mode(0o600).open(file)?;
    open.write_all(secret.as_bytes())?;
    open.sync_all()
}

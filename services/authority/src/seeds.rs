//! Directory records, created if they are not there.
//!
//! **Invariant:** a file seeds the directory and never overwrites it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_core::decide::directory_change::{self, Sealed};
use curfew_core::directory::{Caller, Client, ForeignIssuer, Lifetimes, Resource, SecretHash, Tenant};
use curfew_core::mac::sha256;
use curfew_core::place::Partition;
use curfew_core::record::OperationRef;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Key, Record};

use crate::answer::{Answer, key_unavailable};
use crate::node::Authority;
use crate::transact::{Ask, AskTenant};

impl Authority {
    /// A new secret for a client or caller: its text, told once, and what is stored of it.
    #[must_use]
    pub fn new_secret(&self, id: &str) -> (String, SecretHash) {
        let secret = format!("cfs_{}", URL_SAFE_NO_PAD.encode(self.parts.entropy.draw()));
        let stored = SecretHash {
            id: id.into(),
            sha256: sha256(secret.as_bytes()),
            created_at: self.wall(),
            expires_at: None,
        };
        (secret, stored)
    }

    /// Creates a tenant. Its name is taken by no other.
    pub async fn create_tenant(&self, tenant: Tenant, operation: Option<OperationRef>) -> Answer<()> {
        let loaded = self.fresh_directory().await?;
        let taken = loaded.view.tenants.values().any(|other| {
            other.name == tenant.name
                || other
                    .issuer_spellings
                    .iter()
                    .any(|spelling| tenant.issuer_spellings.contains(spelling))
        });
        if taken {
            return Err(Refusal::new(Stage::Request, Reason::AlreadyExists).about(tenant.name.to_string()));
        }
        let tenant = Arc::new(tenant);
        let record = (Key::Tenant(tenant.id), Record::Tenant(tenant.clone()));
        self.create(AskTenant::Given(tenant), vec![record], operation)
            .await
    }

    /// Creates a client.
    pub async fn create_client(&self, client: Client, operation: Option<OperationRef>) -> Answer<()> {
        let tenant = client.tenant;
        let record = (
            Key::Client(tenant, client.id.clone()),
            Record::Client(Arc::new(client)),
        );
        self.create(tenant.into(), vec![record], operation).await
    }

    /// Creates a resource. Its audience is taken by no other of its tenant.
    pub async fn create_resource(&self, resource: Resource, operation: Option<OperationRef>) -> Answer<()> {
        let tenant = resource.tenant;
        let loaded = self.fresh_directory().await?;
        let taken = loaded.view.resources.values().any(|other| {
            other.tenant == tenant && other.audience == resource.audience && other.id != resource.id
        });
        if taken {
            let about = resource.audience.to_string();
            return Err(Refusal::new(Stage::Request, Reason::AlreadyExists).about(about));
        }
        let record = (
            Key::Resource(tenant, resource.id.clone()),
            Record::Resource(Arc::new(resource)),
        );
        self.create(tenant.into(), vec![record], operation).await
    }

    /// Creates a foreign issuer's entry. A spelling means one entry in its tenant.
    pub async fn create_issuer(&self, issuer: ForeignIssuer, operation: Option<OperationRef>) -> Answer<()> {
        let tenant = issuer.tenant;
        if let Some(template) = issuer.spellings.iter().find(|spelling| spelling.contains('{')) {
            return Err(Refusal::new(Stage::Request, Reason::IssuerTemplate).about(template.to_string()));
        }
        let loaded = self.fresh_directory().await?;
        let of_tenants = loaded
            .view
            .tenants
            .values()
            .flat_map(|tenant| tenant.issuer_spellings.iter());
        let of_issuers = loaded
            .view
            .issuers
            .values()
            .filter(|other| other.tenant == tenant && other.id != issuer.id)
            .flat_map(|other| other.spellings.iter());
        if let Some(taken) = of_tenants
            .chain(of_issuers)
            .find(|spelling| issuer.spellings.contains(spelling))
        {
            return Err(Refusal::new(Stage::Request, Reason::AlreadyExists).about(taken.to_string()));
        }
        let record = (Key::Issuer(tenant, issuer.id), Record::Issuer(Arc::new(issuer)));
        self.create(tenant.into(), vec![record], operation).await
    }

    /// Creates a caller.
    pub async fn create_caller(&self, caller: Caller, operation: Option<OperationRef>) -> Answer<()> {
        let system = self.system_tenant().await?;
        let record = (Key::Caller(caller.id.clone()), Record::Caller(Arc::new(caller)));
        self.create(AskTenant::Given(system), vec![record], operation)
            .await
    }

    /// Sets `L`, if it was never set.
    pub(crate) async fn create_lifetimes(&self, lifetimes: Lifetimes, system: Arc<Tenant>) -> Answer<()> {
        let record = (Key::Lifetimes, Record::Lifetimes(lifetimes));
        self.create(AskTenant::Given(system), vec![record], None).await
    }

    /// The tenant that holds Curfew's own callers.
    pub(crate) async fn system_tenant(&self) -> Answer<Arc<Tenant>> {
        let loaded = self.fresh_directory().await?;
        let system = loaded
            .view
            .tenants
            .values()
            .find(|tenant| tenant.is_system)
            .cloned();
        system.ok_or_else(|| Refusal::new(Stage::Request, Reason::TenantUnknown).about("system"))
    }

    pub(crate) async fn create(
        &self,
        tenant: AskTenant,
        records: Vec<(Key, Record)>,
        operation: Option<OperationRef>,
    ) -> Answer<()> {
        let id = match &tenant {
            AskTenant::Known(id) => *id,
            AskTenant::Given(tenant) => tenant.id,
        };
        let sealed = self.seal(records)?;
        let mut keys: Vec<Key> = sealed.iter().map(|sealed| sealed.key.clone()).collect();
        keys.push(Key::DirectoryVersion);
        keys.extend(operation.map(|operation| Key::Operation(id, operation.id)));
        let ask = Ask {
            tenant,
            partition: Partition::DIRECTORY,
            keys,
            stage: Stage::Request,
        };
        self.transact(ask, |context, seen, entropy| {
            if let Some(verdict) = seen.recall(id, operation, |_| Some(())) {
                return curfew_core::stored::Decision::of(context.partition, verdict);
            }
            let exists = sealed
                .iter()
                .map(|sealed| &sealed.key)
                .find(|key| seen.is_present(key));
            directory_change::create(context, sealed.clone(), exists, operation, entropy, || {
                crate::operation::Remembered::Expired.to_bytes()
            })
        })
        .await?;
        self.poll_directory().await
    }

    pub(crate) fn seal(&self, records: Vec<(Key, Record)>) -> Answer<Vec<Sealed>> {
        records
            .into_iter()
            .map(|(key, record)| {
                let name = key.directory_name().unwrap_or_default();
                let body = self
                    .parts
                    .vault
                    .seal_record(&name, &record)
                    .map_err(key_unavailable)?;
                Ok(Sealed { key, record, body })
            })
            .collect()
    }
}

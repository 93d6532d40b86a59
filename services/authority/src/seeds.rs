//! Directory records, created if they are not there.
//!
//! **Invariant:** a file seeds the directory and never overwrites it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_core::decide::Verdict;
use curfew_core::decide::directory_change::{self, Sealed};
use curfew_core::directory::{
    Caller, Client, DirectoryView, ForeignIssuer, Lifetimes, Resource, SecretHash, Tenant,
};
use curfew_core::mac::sha256;
use curfew_core::place::Partition;
use curfew_core::record::OperationRef;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Decision, Key, Record};

use crate::answer::{Answer, key_unavailable};
use crate::node::Authority;
use crate::operation::Remembered;
use crate::transact::{Ask, AskTenant};

/// Tries of one creation beside others that change the directory.
const TRIES_MAX: u32 = 16;

/// The longest life of a foreign token, ms: 31 days. Marks are kept as long.
const FOREIGN_LIFE_MAX_MS: i64 = 31 * 24 * 3_600_000;

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

    /// Creates a tenant. Its name and the spellings of its issuer are taken by no other.
    pub async fn create_tenant(&self, tenant: Tenant, operation: Option<OperationRef>) -> Answer<()> {
        let tenant = Arc::new(tenant);
        let record = (Key::Tenant(tenant.id), Record::Tenant(tenant.clone()));
        let taken = |view: &DirectoryView| {
            let is_alike = |other: &&Arc<Tenant>| {
                let spelled = |spelling| tenant.issuer_spellings.contains(spelling);
                other.name == tenant.name
                    || (other.is_system && tenant.is_system)
                    || other.issuer_spellings.iter().any(spelled)
            };
            let of_tenants = view
                .tenants
                .values()
                .find(is_alike)
                .map(|other| other.name.to_string());
            let spellings = view.issuers.values().flat_map(|issuer| issuer.spellings.iter());
            of_tenants.or_else(|| taken_among(spellings, &tenant.issuer_spellings))
        };
        self.create(AskTenant::Given(tenant.clone()), vec![record], operation, taken)
            .await
    }

    /// Creates a client.
    pub async fn create_client(&self, client: Client, operation: Option<OperationRef>) -> Answer<()> {
        let tenant = client.tenant;
        let record = (
            Key::Client(tenant, client.id.clone()),
            Record::Client(Arc::new(client)),
        );
        self.create(tenant.into(), vec![record], operation, unclaimed)
            .await
    }

    /// Creates a resource. Its audience is taken by no other of its tenant.
    pub async fn create_resource(&self, resource: Resource, operation: Option<OperationRef>) -> Answer<()> {
        let (tenant, id, audience) = (resource.tenant, resource.id.clone(), resource.audience.clone());
        let record = (
            Key::Resource(tenant, id.clone()),
            Record::Resource(Arc::new(resource)),
        );
        let taken = |view: &DirectoryView| {
            let mut others = view.resources.values();
            let is_alike = |other: &&Arc<Resource>| {
                other.tenant == tenant && other.audience == audience && other.id != id
            };
            others.find(is_alike).map(|_| audience.to_string())
        };
        self.create(tenant.into(), vec![record], operation, taken).await
    }

    /// Creates a foreign issuer's entry. A spelling means one entry in its tenant.
    pub async fn create_issuer(&self, issuer: ForeignIssuer, operation: Option<OperationRef>) -> Answer<()> {
        let (tenant, id) = (issuer.tenant, issuer.id);
        if let Some(template) = issuer.spellings.iter().find(|spelling| spelling.contains('{')) {
            return Err(Refusal::new(Stage::Request, Reason::IssuerTemplate).about(template.to_string()));
        }
        let invalid =
            |why: &str| Err(Refusal::new(Stage::Request, Reason::FieldInvalid).about(why.to_owned()));
        if id == tenant.own_issuer() {
            return invalid("the tenant's own entry has this id");
        }
        // Where tenants that are yet to be made will have their issuers.
        let ours = format!("{}/", self.config.base_url);
        if issuer
            .spellings
            .iter()
            .any(|spelling| spelling.starts_with(&ours))
        {
            return invalid("an issuer below this server's own base address is not foreign");
        }
        if issuer.life_ms > FOREIGN_LIFE_MAX_MS {
            return invalid("no foreign token lives longer than 31 days");
        }
        let issuer = Arc::new(issuer);
        let record = (Key::Issuer(tenant, id), Record::Issuer(issuer.clone()));
        let taken = |view: &DirectoryView| {
            let tenants = view.tenants.values();
            let of_tenants = tenants.flat_map(|tenant| tenant.issuer_spellings.iter());
            let of_issuers = view
                .issuers
                .values()
                .filter(|other| other.tenant == tenant && other.id != id)
                .flat_map(|other| other.spellings.iter());
            taken_among(of_tenants.chain(of_issuers), &issuer.spellings)
        };
        self.create(tenant.into(), vec![record], operation, taken).await
    }

    /// Creates a caller.
    pub async fn create_caller(&self, caller: Caller, operation: Option<OperationRef>) -> Answer<()> {
        let system = self.system_tenant().await?;
        let names = caller.certificate_names.clone();
        let record = (Key::Caller(caller.id.clone()), Record::Caller(Arc::new(caller)));
        // One certificate means one caller.
        let taken = move |view: &DirectoryView| {
            let name = names
                .iter()
                .find(|name| view.callers_by_certificate.contains_key(*name))?;
            Some(format!("another caller has the certificate name {name}"))
        };
        self.create(AskTenant::Given(system), vec![record], operation, taken)
            .await
    }

    /// Sets `L`, if it was never set.
    pub(crate) async fn create_lifetimes(&self, lifetimes: Lifetimes, system: Arc<Tenant>) -> Answer<()> {
        let record = (Key::Lifetimes, Record::Lifetimes(lifetimes));
        self.create(AskTenant::Given(system), vec![record], None, unclaimed)
            .await
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

    /// Creates records that are not there yet, unless `taken` names what stands in their way. It is asked
    /// about exactly the directory that the commit will compare: what somebody else makes at the same
    /// moment is seen by one of the two.
    pub(crate) async fn create(
        &self,
        tenant: AskTenant,
        records: Vec<(Key, Record)>,
        operation: Option<OperationRef>,
        taken: impl Fn(&DirectoryView) -> Option<String>,
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
        let mut tries = 0;
        loop {
            let made = self
                .transact(ask.clone(), |context, seen, entropy| {
                    let of = |verdict| Decision::of(context.partition, verdict);
                    if let Some(verdict) = seen.recall(id, operation, |_| Some(())) {
                        return of(verdict);
                    }
                    if seen.version(&Key::DirectoryVersion) != context.directory.version {
                        return of(Verdict::Refused(directory_changed()));
                    }
                    if let Some(what) = taken(context.directory) {
                        let refusal = Refusal::new(Stage::Request, Reason::AlreadyExists).about(what);
                        return of(Verdict::Refused(refusal));
                    }
                    let exists = sealed
                        .iter()
                        .map(|sealed| &sealed.key)
                        .find(|key| seen.is_present(key));
                    directory_change::create(context, sealed.clone(), exists, operation, entropy, || {
                        Remembered::Expired.to_bytes()
                    })
                })
                .await;
            match made {
                Err(refusal) if refusal.reason == Reason::Conflict && tries < TRIES_MAX => {
                    tries += 1;
                    self.poll_directory().await?;
                }
                Err(refusal) => return Err(refusal),
                Ok(_) => break,
            }
        }
        self.poll_after_commit().await;
        Ok(())
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

/// Nothing but its own name stands in its way.
pub(crate) fn unclaimed(_: &DirectoryView) -> Option<String> {
    None
}

/// The view that was decided on is not the version that the commit would compare.
pub(crate) fn directory_changed() -> Refusal {
    Refusal::new(Stage::Request, Reason::Conflict).about("the directory changed")
}

fn taken_among<'a>(mut present: impl Iterator<Item = &'a Arc<str>>, wanted: &[Arc<str>]) -> Option<String> {
    present
        .find(|spelling| wanted.contains(spelling))
        .map(ToString::to_string)
}

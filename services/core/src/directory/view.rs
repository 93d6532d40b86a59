//! The directory as one authority has read it.
//!
//! **Invariant:** a view is of one version; one that is too old decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::directory::{Caller, Client, ForeignIssuer, KeyRecord, Lifetimes, Resource, Tenant, WideMark};
use crate::ids::{CallerId, ClientId, IssuerId, KeyId, RecordId, ResourceId, TenantId};
use crate::index::Index;
use crate::place::{LogIdentity, Version};
use crate::time::Millis;

/// Everything that a decision may ask of the directory, as of one version.
#[derive(Clone, Debug, Default)]
pub struct DirectoryView {
    /// The polled version; `None` before the first read.
    pub version: Option<Version>,
    /// When it was read, on the reader's clock.
    pub read_at: Millis,
    /// The log.
    pub log: Option<LogIdentity>,
    /// `L`.
    pub lifetimes: Option<Lifetimes>,
    /// By permanent id.
    pub tenants: BTreeMap<TenantId, Arc<Tenant>>,
    /// By tenant and id.
    pub clients: BTreeMap<(TenantId, ClientId), Arc<Client>>,
    /// By tenant and id.
    pub resources: BTreeMap<(TenantId, ResourceId), Arc<Resource>>,
    /// By tenant and entry.
    pub issuers: BTreeMap<(TenantId, IssuerId), Arc<ForeignIssuer>>,
    /// By id.
    pub callers: BTreeMap<CallerId, Arc<Caller>>,
    /// The caller that a name of a certificate means.
    pub callers_by_certificate: BTreeMap<Arc<str>, CallerId>,
    /// By id.
    pub keys: BTreeMap<KeyId, Arc<KeyRecord>>,
    /// By record.
    pub wide_marks: BTreeMap<RecordId, Arc<WideMark>>,
    /// The wide marks, to judge by.
    pub wide_index: Index,
}

impl DirectoryView {
    /// The tenant of this name.
    #[must_use]
    pub fn tenant_by_name(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.tenants.values().find(|tenant| tenant.name.as_str() == name)
    }

    /// The client.
    #[must_use]
    pub fn client(&self, tenant: TenantId, id: &ClientId) -> Option<&Arc<Client>> {
        self.clients.get(&(tenant, id.clone()))
    }

    /// The resource of this id or, where no id matches, of this audience.
    #[must_use]
    pub fn resource(&self, tenant: TenantId, id_or_audience: &str) -> Option<&Arc<Resource>> {
        let mut of_tenant = self
            .resources
            .iter()
            .filter(|((of, _), _)| *of == tenant)
            .map(|(_, r)| r);
        let by_id = of_tenant
            .clone()
            .find(|resource| resource.id.as_str() == id_or_audience);
        by_id.or_else(|| of_tenant.find(|resource| &*resource.audience == id_or_audience))
    }

    /// Whether the view is too old to decide by (DESIGN section 4).
    #[must_use]
    pub fn is_stale(&self, now: Millis) -> bool {
        self.version.is_none() || now.ms_since(self.read_at).abs() > crate::time::DIRECTORY_AGE_MAX_MS
    }
}

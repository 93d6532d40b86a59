//! What a subscriber follows: tenants, issuer entries, and whether the caller may still see them.
//!
//! **Invariant:** one tenant's records never reach a caller that may not touch the tenant; their
//! places do, so that nothing seems to be missing.

use std::collections::BTreeSet;
use std::sync::Arc;

use curfew_authority::Loaded;
use curfew_core::directory::{Role, Tenant, TenantScope};
use curfew_core::ids::{CallerId, IssuerId, TenantId};
use curfew_core::record::LogRecord;
use curfew_core::refusal::Reason;
use curfew_proto::revocation::v1 as pb;
use tonic::Status;

use crate::check::Check;
use crate::convert::duration;
use crate::name;
use crate::shared::{Call, Place};
use crate::status::Of;

/// Issuer entries of one request.
const ISSUERS_MAX: usize = 1_000;

/// What is followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Scope {
    /// `None`: every tenant.
    tenants: Option<BTreeSet<TenantId>>,
    /// `None`: every entry of the tenants.
    issuers: Option<BTreeSet<(TenantId, IssuerId)>>,
    /// Whether the caller may see what lies above tenants.
    sees_all: bool,
    /// Whether the tenants are all that the caller may see, and follow its record.
    follows_caller: bool,
}

impl Scope {
    /// The scope that is asked for; tenants were demanded already.
    pub(super) fn of(
        check: &mut Check,
        call: &Call,
        named: Option<Vec<Arc<Tenant>>>,
        issuers: &[String],
    ) -> Result<Self, Status> {
        let sees_all = call.caller.may_touch_all();
        let follows_caller = named.is_none();
        let tenants = match named {
            Some(named) => Some(named.iter().map(|tenant| tenant.id).collect()),
            None if sees_all => None,
            None => Some(
                call.loaded
                    .view
                    .tenants
                    .keys()
                    .copied()
                    .filter(|tenant| call.caller.may_touch(*tenant))
                    .collect(),
            ),
        };
        let mut scope = Self {
            tenants,
            issuers: None,
            sees_all,
            follows_caller,
        };
        if !issuers.is_empty() && check.count("issuers", issuers.len(), ISSUERS_MAX) {
            let mut entries = BTreeSet::new();
            for (i, named) in issuers.iter().enumerate() {
                let field = format!("issuers[{i}]");
                let place = call.place(check, &field, named)?;
                let Some(tenant) = place.tenant() else { continue };
                if !scope.follows(tenant.id) {
                    check.fault(field, "of a tenant that `tenants` does not name");
                    continue;
                }
                entries.extend(entry(check, call, &place, &tenant, &field, named)?);
            }
            scope.issuers = Some(entries);
        }
        Ok(scope)
    }

    fn follows(&self, tenant: TenantId) -> bool {
        self.tenants
            .as_ref()
            .is_none_or(|tenants| tenants.contains(&tenant))
    }

    /// Whether marks of this tenant and entry are sent.
    pub(super) fn follows_entry(&self, tenant: TenantId, issuer: IssuerId) -> bool {
        let of_entries = |entries: &BTreeSet<(TenantId, IssuerId)>| entries.contains(&(tenant, issuer));
        self.follows(tenant) && self.issuers.as_ref().is_none_or(of_entries)
    }

    /// Whether a record is sent as it lies on the log.
    pub(super) fn shows(&self, record: &LogRecord) -> bool {
        match record {
            LogRecord::Revocation(revocation) => self.follows_entry(revocation.tenant, revocation.issuer),
            LogRecord::SubjectState(state) => self.follows(state.tenant),
            // Which tenants these concern cannot be told from outside.
            LogRecord::Directory(_) | LogRecord::Unknown(_) => self.sees_all && self.tenants.is_none(),
            LogRecord::Heartbeat(_) | LogRecord::Skip(_) => true,
            LogRecord::Withheld => false,
        }
    }

    /// Whether raw records, which nobody here can read, are sent.
    pub(super) const fn shows_raw(&self) -> bool {
        self.sees_all && self.tenants.is_none()
    }

    /// Whether the caller may still see all of it, by its record of now.
    pub(super) fn is_permitted(&self, loaded: &Loaded, caller: &CallerId) -> bool {
        let Some(record) = loaded.view.callers.get(caller) else {
            return false;
        };
        if !record.disables.is_empty() || !record.roles.contains(&Role::RevocationsRead) {
            return false;
        }
        match (&record.tenants, &self.tenants) {
            (TenantScope::All, _) => self.sees_all || !self.follows_caller,
            (TenantScope::Only(_), None) => false,
            (TenantScope::Only(only), Some(tenants)) => {
                let may_all = tenants.iter().all(|tenant| only.contains(tenant));
                // A tenant that was added since is followed from the next stream on.
                let is_whole = !self.follows_caller || only.iter().all(|tenant| tenants.contains(tenant));
                may_all && is_whole && !(self.sees_all && self.follows_caller)
            }
        }
    }

    /// The issuer entries that records may name, as of this directory.
    pub(super) fn issuers(&self, loaded: &Loaded, base_url: &str) -> Vec<pb::IssuerEntry> {
        let view = &loaded.view;
        let longest = view.lifetimes.map(|lifetimes| duration(lifetimes.keep_ms));
        let own = view
            .tenants
            .values()
            .filter(|tenant| self.follows_entry(tenant.id, tenant.id.own_issuer()))
            .map(|tenant| pb::IssuerEntry {
                issuer: tenant.id.own_issuer().as_bytes().to_vec(),
                tenant: tenant.id.as_bytes().to_vec(),
                tenant_name: name::tenant(&tenant.name),
                spellings: tenant.issuer_spellings.iter().map(ToString::to_string).collect(),
                jwks_uri: format!("{base_url}/{}/.well-known/jwks.json", tenant.name),
                longest_life: longest,
                ..Default::default()
            });
        let foreign = view
            .issuers
            .values()
            .filter(|issuer| self.follows_entry(issuer.tenant, issuer.id))
            .filter_map(|issuer| {
                let tenant = view.tenants.get(&issuer.tenant)?;
                let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
                Some(pb::IssuerEntry {
                    issuer: issuer.id.as_bytes().to_vec(),
                    tenant: issuer.tenant.as_bytes().to_vec(),
                    tenant_name: name::tenant(&tenant.name),
                    spellings: issuer.spellings.iter().map(ToString::to_string).collect(),
                    jwks_uri: text(&issuer.jwks_uri),
                    jwks: text(&issuer.jwks),
                    foreign: true,
                    longest_life: Some(duration(issuer.life_ms)),
                    audiences: issuer.audiences.iter().map(ToString::to_string).collect(),
                    clock_error: Some(duration(issuer.clock_error_ms)),
                    claims: issuer.claims.iter().map(ToString::to_string).collect(),
                })
            });
        own.chain(foreign).collect()
    }
}

fn entry(
    check: &mut Check,
    call: &Call,
    place: &Place,
    tenant: &Tenant,
    field: &str,
    named: &str,
) -> Result<Option<(TenantId, IssuerId)>, Status> {
    if named == name::tenant(&tenant.name) {
        return Ok(Some((tenant.id, tenant.id.own_issuer())));
    }
    let Some(issuer) = place.id::<IssuerId>(check, field, named, "issuers") else {
        return Ok(None);
    };
    if !call.loaded.view.issuers.contains_key(&(tenant.id, issuer)) {
        return Err(call.because(Of::Named, Reason::IssuerEntryUnknown, named));
    }
    Ok(Some((tenant.id, issuer)))
}

//! What all services share, and one call: who asks, in which tenant, how a refusal is told.
//!
//! **Invariant:** a handler gets a tenant's id from here alone, and only where the caller may touch it.

use std::str::FromStr;
use std::sync::Arc;

use curfew_authority::{Authority, Loaded};
use curfew_core::directory::{Role, Tenant};
use curfew_core::ids::{CallerId, GrantId, RecordId, ResourceId, SessionId};
use curfew_core::refusal::{Reason, Refusal, Stage};
use tokio::sync::watch;
use tonic::{Request, Status};

use crate::access::Rule;
use crate::arrival::Held;
use crate::caller::{Caller, Presented};
use crate::check::Check;
use crate::limits::Limits;
use crate::metrics::Counters;
use crate::name;
use crate::settings::Settings;
use crate::status::{self, Of, Words};

/// What all services share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) authority: Authority,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) counters: Arc<Counters>,
}

impl Shared {
    /// How refusals are told to a caller; `None`: to nobody in particular.
    pub(crate) fn words(&self, caller: Option<&Caller>) -> Words<'_> {
        Words {
            help_base: &self.settings.help_base,
            now: self.authority.now().wall,
            tells_records: caller.is_some_and(|caller| caller.holds(Role::SessionsRead)),
        }
    }

    /// Waits until the server drains.
    pub(crate) async fn drained(&self) {
        let mut draining = self.draining.clone();
        // A server that is gone has drained as well.
        drop(draining.wait_for(|is_draining| *is_draining).await);
    }

    /// Begins a call; the door has put the caller there.
    pub(crate) fn open<T>(self: &Arc<Self>, request: Request<T>) -> Result<(Call, T), Status> {
        let (_, extensions, request) = request.into_parts();
        let Some(caller) = extensions.get::<Caller>() else {
            let refusal = Refusal::new(Stage::Request, Reason::CallerUnknown);
            return Err(status::nobody(&refusal, self.words(None)));
        };
        let call = Call {
            shared: self.clone(),
            caller: caller.clone(),
            presented: extensions.get::<Presented>().cloned(),
            // A call that came by no line of the table may do the least.
            in_own_tenant: extensions
                .get::<&'static Rule>()
                .is_some_and(|rule| rule.in_own_tenant),
            turn: extensions.get::<Held>().cloned(),
            loaded: self.authority.directory().loaded(),
        };
        Ok((call, request))
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) caller: Caller,
    /// What it proved itself by, for streams.
    pub(crate) presented: Option<Presented>,
    /// Whether it may name Curfew's own tenant.
    in_own_tenant: bool,
    turn: Option<Held>,
    /// The directory as of the caller's authentication, no older than three seconds.
    pub(crate) loaded: Arc<Loaded>,
}

impl Call {
    /// The use cases.
    pub(crate) fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    /// Whether names of records and initiators are told.
    pub(crate) fn tells_records(&self) -> bool {
        self.caller.holds(Role::SessionsRead)
    }

    /// The caller's id, to bind page tokens to.
    pub(crate) fn caller_id(&self) -> Result<&CallerId, Status> {
        self.caller
            .id()
            .ok_or_else(|| self.refused(Of::Request, &Refusal::new(Stage::Request, Reason::CallerUnknown)))
    }

    /// A refusal, as this caller is told.
    pub(crate) fn refused(&self, of: Of, refusal: &Refusal) -> Status {
        status::status_of(refusal, of, self.shared.words(Some(&self.caller)))
    }

    /// The same, for `map_err`.
    pub(crate) fn refuse(&self, of: Of) -> impl Fn(Refusal) -> Status + '_ {
        move |refusal| self.refused(of, &refusal)
    }

    /// A refusal of the request for this reason, about this thing.
    pub(crate) fn because(&self, of: Of, reason: Reason, about: impl Into<String>) -> Status {
        self.refused(of, &Refusal::new(Stage::Request, reason).about(about))
    }

    /// What this release does not offer.
    pub(crate) fn later(&self, what: &str) -> Status {
        self.because(Of::Request, Reason::NotImplemented, what)
    }

    /// The parsed request, or every fault of it.
    pub(crate) fn done<T>(&self, check: Check, parsed: Option<T>) -> Result<T, Status> {
        check
            .done(parsed)
            .map_err(|faults| status::violations(faults, self.shared.words(Some(&self.caller))))
    }

    /// Its work is done and it only waits: others need not.
    pub(crate) fn rest(&self) {
        if let Some(turn) = &self.turn {
            turn.give_back();
        }
    }

    /// The tenant that a resource name begins with: resolved and demanded, before any other field is looked at.
    pub(crate) fn place(&self, check: &mut Check, field: &str, name: &str) -> Result<Place, Status> {
        let Some(tenant) = name::tenant_of(name) else {
            check.fault(
                field,
                if name.is_empty() {
                    "required"
                } else {
                    "does not begin with `tenants/{tenant}`"
                },
            );
            return Ok(Place { tenant: None });
        };
        match self.loaded.view.tenant_by_name(&tenant) {
            Some(tenant) if tenant.is_system && !self.in_own_tenant => Err(self.because(
                Of::Request,
                Reason::CallerTenant,
                "Curfew's own tenant is not for this call: its callers are administered as callers",
            )),
            Some(tenant) if self.caller.may_touch(tenant.id) => Ok(Place {
                tenant: Some(tenant.clone()),
            }),
            None if self.caller.may_touch_all() => {
                Err(self.because(Of::Named, Reason::TenantUnknown, tenant))
            }
            // Whoever may not touch a tenant is not told whether it is there.
            Some(_) | None => {
                Err(self.refused(Of::Request, &Refusal::new(Stage::Request, Reason::CallerTenant)))
            }
        }
    }

    /// The same where the name must be the tenant's own.
    pub(crate) fn parent(&self, check: &mut Check, field: &str, name: &str) -> Result<Place, Status> {
        let place = self.place(check, field, name)?;
        if place.tenant.is_some() && name::ids(name, ["tenants"]).is_none() {
            check.fault(field, "not of the form `tenants/{tenant}`");
        }
        Ok(place)
    }

    /// The tenants of a list, each demanded; none named: `None`.
    pub(crate) fn places(
        &self,
        check: &mut Check,
        field: &str,
        names: &[String],
    ) -> Result<Option<Vec<Arc<Tenant>>>, Status> {
        if names.is_empty() || !check.count(field, names.len(), 1_000) {
            return Ok(None);
        }
        let mut tenants = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            tenants.extend(self.parent(check, &format!("{field}[{i}]"), name)?.tenant);
        }
        Ok(Some(tenants))
    }
}

/// A tenant that the caller may touch; names inside the request must be of it.
#[derive(Debug)]
pub(crate) struct Place {
    tenant: Option<Arc<Tenant>>,
}

impl Place {
    /// A tenant that was demanded elsewhere.
    pub(crate) const fn at(tenant: Arc<Tenant>) -> Self {
        Self { tenant: Some(tenant) }
    }

    /// The tenant; `None`: a fault was noted.
    pub(crate) fn tenant(&self) -> Option<Arc<Tenant>> {
        self.tenant.clone()
    }

    fn ids<const N: usize>(
        &self,
        check: &mut Check,
        field: &str,
        name: &str,
        collections: [&str; N],
    ) -> Option<[String; N]> {
        let tenant = self.tenant.as_ref()?;
        let Some(ids) = name::ids(name, collections) else {
            let form = collections
                .map(|collection| format!("{collection}/{{…}}"))
                .join("/");
            check.fault(
                field,
                if name.is_empty() {
                    "required".to_owned()
                } else {
                    format!("not of the form `{form}`")
                },
            );
            return None;
        };
        if ids.first().is_none_or(|named| *named != tenant.name.as_str()) {
            check.fault(field, "names another tenant");
            return None;
        }
        Some(ids)
    }

    /// The id of a thing of this tenant.
    pub(crate) fn id<T>(&self, check: &mut Check, field: &str, name: &str, collection: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let [_, id] = self.ids(check, field, name, ["tenants", collection])?;
        check.id(field, &id)
    }

    /// The same, which may be absent. The outer `None`: a fault.
    pub(crate) fn optional_id<T>(
        &self,
        check: &mut Check,
        field: &str,
        name: &str,
        collection: &str,
    ) -> Option<Option<T>>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if name.is_empty() {
            return Some(None);
        }
        self.id(check, field, name, collection).map(Some)
    }

    /// A session.
    pub(crate) fn session(&self, check: &mut Check, field: &str, name: &str) -> Option<SessionId> {
        self.id(check, field, name, "sessions")
    }

    /// A grant of a session.
    pub(crate) fn grant(&self, check: &mut Check, field: &str, name: &str) -> Option<(SessionId, GrantId)> {
        let [_, sid, gid] = self.ids(check, field, name, ["tenants", "sessions", "grants"])?;
        check.id(field, &sid).zip(check.id(field, &gid))
    }

    /// A revocation.
    pub(crate) fn revocation(&self, check: &mut Check, field: &str, name: &str) -> Option<RecordId> {
        self.id(check, field, name, "revocations")
    }

    /// A resource that may be absent, as use cases take it.
    pub(crate) fn resource(&self, check: &mut Check, field: &str, name: &str) -> Option<Option<Arc<str>>> {
        let id: Option<ResourceId> = self.optional_id(check, field, name, "resources")?;
        Some(id.map(|id| id.as_str().into()))
    }
}

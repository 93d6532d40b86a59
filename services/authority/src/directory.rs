//! This authority's view of the directory: one key polled each second, everything read when it changed.
//!
//! **Invariant:** no decision stands on a view whose version was read more than three seconds ago,
//! nor on one whose store's clock is more than δ away (DESIGN section 4).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use curfew_core::directory::{Caller, Client, ClientAuthMethod, DirectoryView, KeyState, Tenant};
use curfew_core::ids::{ClientId, ResourceId, Scope, TenantId};
use curfew_core::place::{Partition, Version};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Key, Listed, Record};
use curfew_core::time::{DELTA_MS, DIRECTORY_AGE_MAX_MS, Millis};
use curfew_ports::store::PAGE_MAX;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::answer::{Answer, is_store_away, store_unavailable};
use crate::node::Authority;
use crate::ring::Ring;
use crate::seen::Seen;

/// The id of the resource that Curfew's own services are.
pub(crate) const OWN_RESOURCE: &str = "curfew";
/// A view older than this is read again before it is used, ms.
const POLL_MS: i64 = 1_000;
/// Tries to read a directory that others keep changing.
const LOAD_TRIES_MAX: u32 = 8;

/// One version of the directory, with its ring opened.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The records.
    pub view: DirectoryView,
    /// The opened keys.
    pub ring: Ring,
    // Every spelling of every own issuer: a token's `iss` is looked up on each call.
    issuers: BTreeMap<Arc<str>, TenantId>,
}

impl Loaded {
    fn new(view: DirectoryView, ring: Ring) -> Self {
        let issuers = view
            .tenants
            .values()
            .flat_map(|tenant| {
                let id = tenant.id;
                tenant
                    .issuer_spellings
                    .iter()
                    .map(move |spelling| (spelling.clone(), id))
            })
            .collect();
        Self { view, ring, issuers }
    }

    /// Whether a key of this name signs, or will.
    #[must_use]
    pub fn uses_key(&self, kid: &str) -> bool {
        let mut keys = self.view.keys.values();
        keys.any(|key| key.kid.as_str() == kid && matches!(key.state, KeyState::Active | KeyState::Standby))
    }

    /// The tenant one of whose issuer's spellings this is.
    #[must_use]
    pub fn tenant_of_issuer(&self, spelling: &str) -> Option<&Arc<Tenant>> {
        self.view.tenants.get(self.issuers.get(spelling)?)
    }
}

/// The present version, shared.
#[derive(Debug, Default)]
pub struct Directory {
    loaded: ArcSwap<Loaded>,
    read_at: AtomicI64,
    // How often the view was found to be old before its time.
    distrusts: AtomicU64,
    // How many reads have ended, well or badly, and whether the last one ended badly.
    polls: AtomicU64,
    has_failed: AtomicBool,
    // The log told of a change that was not read yet.
    is_behind: AtomicBool,
    // Somebody said that there is a newer one.
    heard: Notify,
    // One read at a time: the others wait and take what it found.
    loading: tokio::sync::Mutex<()>,
}

impl Directory {
    /// The present version, however old.
    #[must_use]
    pub fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// When its version was read last.
    #[must_use]
    pub fn read_at(&self) -> Millis {
        Millis::from_unix_ms(self.read_at.load(Ordering::Acquire))
    }

    /// No decision stands on this view any more: it is read again first.
    pub(crate) fn distrust(&self) {
        self.distrusts.fetch_add(1, Ordering::SeqCst);
        self.is_behind.store(true, Ordering::SeqCst);
        self.read_at.store(i64::MIN, Ordering::SeqCst);
    }

    /// What was read at this instant is the view, unless it was distrusted since so many times were counted.
    fn trust(&self, read_at: Millis, distrusts: u64) {
        self.read_at.store(read_at.as_unix_ms(), Ordering::SeqCst);
        if self.distrusts.load(Ordering::SeqCst) != distrusts {
            self.read_at.store(i64::MIN, Ordering::SeqCst);
        }
    }

    /// There is a newer version: it is read soon, and until then this one is as good as its age.
    pub(crate) fn hear(&self) {
        self.is_behind.store(true, Ordering::SeqCst);
        self.heard.notify_one();
    }

    pub(crate) fn age_ms(&self, now: Millis) -> i64 {
        now.ms_since(self.read_at()).saturating_abs()
    }
}

impl Authority {
    /// A view that a decision may stand on.
    pub async fn fresh_directory(&self) -> Answer<Arc<Loaded>> {
        let mut polled = Ok(());
        // More than once only where a view is distrusted while it is read.
        for _ in 0..LOAD_TRIES_MAX {
            if self.directory.age_ms(self.wall()) < POLL_MS {
                return Ok(self.directory.loaded());
            }
            polled = self.poll_once().await;
            if polled.is_err() {
                break;
            }
        }
        match polled {
            Ok(()) => Ok(self.directory.loaded()),
            // Younger than three seconds is still good, though the store did not answer just now. What it
            // did answer, a fence or another time, holds at once.
            Err(refusal)
                if matches!(refusal.reason, Reason::StoreUnavailable | Reason::DirectoryStale)
                    && self.directory.age_ms(self.wall()) < DIRECTORY_AGE_MAX_MS =>
            {
                Ok(self.directory.loaded())
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// A view to revoke by, and to know callers by: one that a decision may stand on or, while the store does not
    /// answer, the newest that was read, for as long as this node proves that the log tells of no change since.
    ///
    /// Nothing is minted on it.
    pub async fn known_directory(&self) -> Answer<Arc<Loaded>> {
        match self.fresh_directory().await {
            Err(refusal) if self.goes_log_first(&refusal) && self.is_directory_known() => {
                Ok(self.directory.loaded())
            }
            other => other,
        }
    }

    /// Whether what is revoked now goes to the log first: the store was not there, and the log may be.
    pub(crate) fn goes_log_first(&self, refusal: &Refusal) -> bool {
        is_store_away(refusal) && !self.parts.store.is_log()
    }

    fn is_directory_known(&self) -> bool {
        let state = self.follower.of(Partition::DIRECTORY);
        let is_fresh = state.is_some_and(|state| state.is_fresh(self.now(), self.config.staleness_ms));
        let is_behind = self.directory.is_behind.load(Ordering::SeqCst);
        is_fresh && !is_behind && self.directory.loaded.load().view.version.is_some()
    }

    /// Polls until dropped: each second, and as soon as a change is heard of.
    pub async fn keep_directory(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(POLL_MS.unsigned_abs()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.directory.heard.notified() => {}
            }
            if let Err(refusal) = self.poll_directory().await {
                tracing::warn!(%refusal, "the directory cannot be read now");
            }
        }
    }

    /// Reads the polled key, and everything where it changed.
    pub async fn poll_directory(&self) -> Answer<()> {
        let _one = self.directory.loading.lock().await;
        self.poll_alone().await
    }

    /// The same after a commit that is known: a failure to read is no failure of what was committed.
    pub(crate) async fn poll_after_commit(&self) {
        if self.poll_directory().await.is_err() {
            // The next decision reads, or is refused: it never stands on a view from before this commit.
            self.directory.distrust();
        }
    }

    /// The same for a request that merely needs a young view: whoever waited takes what was found meanwhile,
    /// so a thousand requests cost one read, and a store that is down costs them one timeout.
    async fn poll_once(&self) -> Answer<()> {
        let polls = self.directory.polls.load(Ordering::Acquire);
        let _one = self.directory.loading.lock().await;
        if self.directory.polls.load(Ordering::Acquire) != polls {
            if self.directory.age_ms(self.wall()) < POLL_MS {
                return Ok(());
            }
            if self.directory.has_failed.load(Ordering::Acquire) {
                return Err(Refusal::new(Stage::Request, Reason::DirectoryStale));
            }
            // What was found was distrusted before it could be taken.
        }
        self.poll_alone().await
    }

    async fn poll_alone(&self) -> Answer<()> {
        let polled = self.poll_and_load().await;
        self.directory
            .has_failed
            .store(polled.is_err(), Ordering::Release);
        self.directory.polls.fetch_add(1, Ordering::Release);
        polled
    }

    async fn poll_and_load(&self) -> Answer<()> {
        let mut was_behind = false;
        let polled = self.load_if_changed(&mut was_behind).await;
        if polled.is_err() && was_behind {
            // What the log told of was not read.
            self.directory.is_behind.store(true, Ordering::SeqCst);
        }
        polled
    }

    async fn load_if_changed(&self, was_behind: &mut bool) -> Answer<()> {
        for _ in 0..LOAD_TRIES_MAX {
            let distrusts = self.directory.distrusts.load(Ordering::SeqCst);
            let before = self.wall();
            // What is heard from here on may not be in what is read.
            *was_behind |= self.directory.is_behind.swap(false, Ordering::SeqCst);
            let version = self.directory_version().await?;
            if version.is_some() && version == self.directory.loaded.load().view.version {
                self.directory.trust(before, distrusts);
                return Ok(());
            }
            let mut view = self.read_directory().await?;
            // What was read is one version only if that version is still the present one.
            if self.directory_version().await? == version {
                view.version = version;
                view.read_at = before;
                let ring = Ring::open(&view, &*self.parts.vault, before);
                self.directory.loaded.store(Arc::new(Loaded::new(view, ring)));
                self.directory.trust(before, distrusts);
                return Ok(());
            }
        }
        Err(Refusal::new(Stage::Request, Reason::DirectoryStale))
    }

    async fn directory_version(&self) -> Answer<Option<Version>> {
        let before = self.wall();
        let keys = [Key::DirectoryVersion, Key::Partition];
        let read = self.parts.store.read(Partition::DIRECTORY, &keys).await;
        let view = read.map_err(store_unavailable)?;
        let after = self.wall();
        let is_off =
            before.ms_since(view.store_time) > DELTA_MS || view.store_time.ms_since(after) > DELTA_MS;
        if is_off {
            return Err(Refusal::new(Stage::Request, Reason::ClockSuspect));
        }
        let seen = Seen::new(&keys, view);
        // Decisions everywhere stand on the directory: a history of it that was not recovered is none.
        let is_open = seen
            .partition()
            .is_some_and(|record| record.incarnation == seen.incarnation);
        if !is_open {
            self.recovery.suspect();
            return Err(Refusal::new(Stage::Request, Reason::Fenced).about("the directory"));
        }
        Ok(seen.version(&Key::DirectoryVersion))
    }

    async fn read_directory(&self) -> Answer<DirectoryView> {
        let mut view = DirectoryView::default();
        let fixed = [Key::LogIdentity, Key::Lifetimes];
        let read = self
            .parts
            .store
            .read(Partition::DIRECTORY, &fixed)
            .await
            .map_err(store_unavailable)?;
        for value in read.values.into_iter().flatten() {
            add(&mut view, value.record);
        }
        let mut cursor = None;
        loop {
            let page = self
                .parts
                .store
                .list(Partition::DIRECTORY, Listed::Directory, cursor, PAGE_MAX)
                .await;
            let page = page.map_err(store_unavailable)?;
            for (_, value) in page.records {
                add(&mut view, value.record);
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        for mark in view.wide_marks.values() {
            view.wide_index.insert(&mark.record);
        }
        for caller in view.callers.values() {
            for name in &caller.certificate_names {
                view.callers_by_certificate
                    .insert(name.clone(), caller.id.clone());
            }
        }
        project_callers(&mut view);
        Ok(view)
    }
}

fn add(view: &mut DirectoryView, record: Record) {
    match record {
        Record::LogIdentity(log) => view.log = Some(log),
        Record::Lifetimes(lifetimes) => view.lifetimes = Some(lifetimes),
        Record::WideMark(mark) => drop(view.wide_marks.insert(mark.record.id, mark)),
        Record::Tenant(tenant) => drop(view.tenants.insert(tenant.id, tenant)),
        Record::Client(client) => drop(view.clients.insert((client.tenant, client.id.clone()), client)),
        Record::Resource(resource) => {
            drop(
                view.resources
                    .insert((resource.tenant, resource.id.clone()), resource),
            );
        }
        Record::Issuer(issuer) => drop(view.issuers.insert((issuer.tenant, issuer.id), issuer)),
        Record::Caller(caller) => drop(view.callers.insert(caller.id.clone(), caller)),
        Record::RingKey(key) => drop(view.keys.insert(key.kid.clone(), key)),
        // Leases are read where ENFORCED is decided; the others are no directory records.
        Record::Lease(_)
        | Record::DirectoryVersion
        | Record::Partition(_)
        | Record::Sequence(_)
        | Record::Checkpoint(_)
        | Record::Session(_)
        | Record::Gate(_)
        | Record::Ledger(_)
        | Record::Tombstone(_)
        | Record::Operation(_)
        | Record::SingleUse(_)
        | Record::Outbox(_) => {}
    }
}

/// Callers are clients of the system tenant, whose app roles at Curfew itself are their roles.
fn project_callers(view: &mut DirectoryView) {
    let Some(system) = view
        .tenants
        .values()
        .find(|tenant| tenant.is_system)
        .map(|tenant| tenant.id)
    else {
        return;
    };
    for caller in view.callers.values() {
        if let Some(client) = client_of(caller, system) {
            view.clients.insert((system, client.id.clone()), Arc::new(client));
        }
    }
}

fn client_of(caller: &Caller, system: TenantId) -> Option<Client> {
    let own = ResourceId::new(OWN_RESOURCE).ok()?;
    let roles = caller
        .roles
        .iter()
        .filter_map(|role| Scope::new(role.as_str()).ok())
        .collect();
    Some(Client {
        tenant: system,
        id: ClientId::new(caller.id.as_str()).ok()?,
        display_name: caller.display_name.clone(),
        auth_method: ClientAuthMethod::Secret,
        secrets: caller.secrets.clone(),
        jwks: None,
        certificates: Vec::new(),
        disables: caller.disables.clone(),
        window: None,
        late: Default::default(),
        fixed: false,
        cp1: false,
        default_activity: Default::default(),
        grant_life_ms: None,
        scopes: Vec::new(),
        resources: vec![own.clone()],
        app_roles: [(own, roles)].into(),
        redirect_uris: Vec::new(),
    })
}

//! The first start: partitions, log identity, `L`, the system tenant, the ring; and the first admin.
//!
//! **Invariant:** everything is created if absent, so two nodes that start together end with one ring.

use std::sync::Arc;

use curfew_core::directory::{
    AtCap, Caller, KeyState, KeyUse, Lifetimes, ORDINARY_LIFE_MS, OnReuse, Resource, Role, Tenant,
    TenantScope, UNDECLARED_LIFE_MAX_MS,
};
use curfew_core::ids::{CallerId, ResourceId, Scope, TenantId, TenantName};
use curfew_core::place::{Incarnation, Partition};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Checkpoint, Key, PartitionRecord, Record, Write};
use curfew_core::time::Millis;
use curfew_ports::store::{Commit, CommitOutcome};
use futures_join::join_all;

use crate::answer::{Answer, store_unavailable};
use crate::directory::OWN_RESOURCE;
use crate::node::Authority;
use crate::seeds::unclaimed;
use crate::transact::AskTenant;

mod futures_join {
    //! Waits for many commits at once, so that they share the engine's group commit.

    use std::future::Future;

    /// The results, in order; each future runs as its own task.
    pub(super) async fn join_all<F>(futures: Vec<F>) -> Vec<Result<F::Output, tokio::task::JoinError>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
        let mut results = Vec::with_capacity(tasks.len());
        for task in tasks {
            results.push(task.await);
        }
        results
    }
}

/// The name of the tenant that holds Curfew's own callers.
const SYSTEM: &str = "curfew";
/// The first admin.
const ADMIN: &str = "admin";

/// Tries of a partition's creation: at a first start a thousand commits wait for one another.
const TRIES_MAX: u32 = 8;

/// What a start found or made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bootstrapped {
    /// Partitions that were made now.
    pub partitions: usize,
    /// Whether the ring was made now.
    pub ring: bool,
}

impl Authority {
    /// Makes whatever a directory must have, where it is absent.
    pub async fn bootstrap(&self) -> Answer<Bootstrapped> {
        let partitions = self.create_partitions().await?;
        self.poll_directory().await?;
        let loaded = self.directory.loaded();
        let system = match loaded.view.tenants.values().find(|tenant| tenant.is_system) {
            Some(system) => system.clone(),
            None => self.create_system_tenant().await?,
        };
        if loaded.view.lifetimes.is_none() {
            let lifetimes = Lifetimes {
                keep_ms: UNDECLARED_LIFE_MAX_MS,
                mint_ms: UNDECLARED_LIFE_MAX_MS,
                mint_from: Millis::ZERO,
            };
            exists_is_fine(self.create_lifetimes(lifetimes, system.clone()).await)?;
        }
        if loaded.view.log.is_some_and(|log| log != self.follower.log()) {
            // What is revoked lies on the log that the directory names (P9).
            let refusal = Refusal::new(Stage::Request, Reason::LogUnavailable);
            return Err(refusal.about("the log is another one than the directory's"));
        }
        if loaded.view.log.is_none() {
            let record = (Key::LogIdentity, Record::LogIdentity(self.follower.log()));
            exists_is_fine(
                self.create(AskTenant::Given(system.clone()), vec![record], None, unclaimed)
                    .await,
            )?;
        }
        let own = ResourceId::new(OWN_RESOURCE).map_err(|_| internal())?;
        if !loaded.view.resources.contains_key(&(system.id, own.clone())) {
            let resource = Resource {
                tenant: system.id,
                id: own,
                audience: OWN_RESOURCE.into(),
                scopes: Vec::new(),
                roles: Role::ALL
                    .iter()
                    .filter_map(|role| Scope::new(role.as_str()).ok())
                    .collect(),
                guarded: false,
                access_token_life_ms: Some(ORDINARY_LIFE_MS),
                claims: Default::default(),
            };
            exists_is_fine(self.create_resource(resource, None).await)?;
        }
        let ring = loaded.view.keys.is_empty() && exists_is_fine(self.create_ring(system).await)?;
        self.poll_directory().await?;
        Ok(Bootstrapped { partitions, ring })
    }

    /// Makes the first admin; `None`: there is one already. The secret is told once.
    pub async fn create_first_admin(&self) -> Answer<Option<(CallerId, String)>> {
        self.poll_directory().await?;
        let id = CallerId::new(ADMIN).map_err(|_| internal())?;
        if self
            .directory
            .loaded()
            .view
            .callers
            .values()
            .any(|caller| caller.roles.contains(&Role::Admin))
        {
            return Ok(None);
        }
        let (secret, stored) = self.new_secret("first");
        let admin = Caller {
            id: id.clone(),
            display_name: "First administrator".into(),
            secrets: vec![stored],
            certificate_names: Vec::new(),
            roles: Role::ALL.to_vec(),
            tenants: TenantScope::All,
            disables: Vec::new(),
        };
        match self.create_caller(admin, None).await {
            Ok(()) => Ok(Some((id, secret))),
            Err(refusal) if refusal.reason == Reason::AlreadyExists => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    async fn create_partitions(&self) -> Answer<usize> {
        let first = self.read_partition(Partition::DIRECTORY).await?;
        if first {
            // All were made by one loop, and the directory's last.
            return Ok(0);
        }
        let others: Vec<_> = Partition::all()
            .filter(|partition| *partition != Partition::DIRECTORY)
            .collect();
        let mut made = 0;
        // 256 at a time share a few fsyncs of the embedded engine's group commit.
        for chunk in others.chunks(256) {
            let creations = chunk
                .iter()
                .map(|partition| {
                    let (authority, partition) = (self.clone(), *partition);
                    async move { authority.create_partition(partition).await }
                })
                .collect();
            for created in join_all(creations).await {
                // A partition that was silently left out would count as lost for ever.
                made += usize::from(created.map_err(|_| unfinished())??);
            }
        }
        made += usize::from(self.create_partition(Partition::DIRECTORY).await?);
        Ok(made)
    }

    async fn read_partition(&self, partition: Partition) -> Answer<bool> {
        let view = self
            .parts
            .store
            .read(partition, &[Key::Partition])
            .await
            .map_err(store_unavailable)?;
        Ok(view.values.first().is_some_and(Option::is_some))
    }

    async fn create_partition(&self, partition: Partition) -> Answer<bool> {
        for _ in 0..TRIES_MAX {
            if let Some(made) = self.try_create_partition(partition).await? {
                return Ok(made);
            }
        }
        Err(Refusal::new(Stage::Request, Reason::ClockSuspect))
    }

    /// One try; `None`: the commit arrived so late that its clock looked wrong.
    async fn try_create_partition(&self, partition: Partition) -> Answer<Option<bool>> {
        let keys = [Key::Partition, Key::Sequence, Key::Checkpoint];
        let view = self
            .parts
            .store
            .read(partition, &keys)
            .await
            .map_err(store_unavailable)?;
        if view.values.iter().any(Option::is_some) {
            return Ok(Some(false));
        }
        let now = self.wall();
        let incarnation: Incarnation = view.incarnation;
        let record = PartitionRecord {
            incarnation,
            opened: Millis::ZERO,
            floor: Millis::ZERO,
            log: self.follower.log(),
        };
        let checkpoint = Checkpoint {
            offset: 0,
            incarnation,
            at: now,
        };
        let commit = Commit {
            partition,
            incarnation,
            now,
            nonce: self.chance().draw(),
            expected: keys.iter().cloned().map(|key| (key, None)).collect(),
            writes: vec![
                (Key::Partition, Write::put(Record::Partition(record))),
                (Key::Sequence, Write::put(Record::Sequence(0))),
                (Key::Checkpoint, Write::put(Record::Checkpoint(checkpoint))),
            ],
            publish: Vec::new(),
        };
        match self.parts.store.commit(commit).await.map_err(store_unavailable)? {
            CommitOutcome::Committed(_) => Ok(Some(true)),
            // Somebody else made it.
            CommitOutcome::Conflict => Ok(Some(false)),
            CommitOutcome::Fenced => Err(Refusal::new(Stage::Request, Reason::Fenced)),
            CommitOutcome::ClockSuspect { store_time } if self.was_slow(now, store_time) => Ok(None),
            CommitOutcome::ClockSuspect { .. } => Err(Refusal::new(Stage::Request, Reason::ClockSuspect)),
        }
    }

    async fn create_system_tenant(&self) -> Answer<Arc<Tenant>> {
        let tenant = Tenant {
            id: TenantId::from_random(self.chance().draw()),
            name: TenantName::new(SYSTEM).map_err(|_| internal())?,
            display_name: "Curfew itself".into(),
            issuer_spellings: vec![format!("{}/{SYSTEM}", self.config.base_url).into()],
            is_system: true,
            disables: Vec::new(),
            at_cap: AtCap::EndLongestUnused,
            on_reuse: OnReuse::EndGrant,
            idle_timeout_ms: 24 * 3_600_000,
            session_life_max_ms: 24 * 3_600_000,
            sign_in_frequency_ms: None,
        };
        exists_is_fine(self.create_tenant(tenant, None).await)?;
        self.system_tenant().await
    }

    async fn create_ring(&self, system: Arc<Tenant>) -> Answer<()> {
        let wanted = [
            (KeyUse::Sign, KeyState::Active),
            (KeyUse::Sign, KeyState::Standby),
            (KeyUse::Mac, KeyState::Active),
            (KeyUse::Mac, KeyState::Standby),
            (KeyUse::Page, KeyState::Active),
            (KeyUse::Subject, KeyState::Active),
        ];
        let mut made = Vec::with_capacity(wanted.len());
        for (key_use, state) in wanted {
            let present: Vec<_> = made.iter().collect();
            made.push(self.new_key(key_use, state, &present)?);
        }
        let records = made
            .into_iter()
            .map(|key| (Key::RingKey(key.kid.clone()), Record::RingKey(Arc::new(key))))
            .collect();
        // Their names are random, so absence of these says nothing: two nodes that start at once must not
        // end with two rings, of which the subject key would split every subject in two.
        self.create(AskTenant::Given(system), records, None, |view| {
            view.keys.keys().next().map(ToString::to_string)
        })
        .await
    }
}

/// Whether it was made now; somebody else's will do.
fn exists_is_fine(made: Answer<()>) -> Answer<bool> {
    match made {
        Ok(()) => Ok(true),
        Err(refusal) if refusal.reason == Reason::AlreadyExists => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

fn unfinished() -> Refusal {
    Refusal::new(Stage::Request, Reason::StoreUnavailable)
}

fn internal() -> Refusal {
    Refusal::new(Stage::Request, Reason::FieldInvalid)
}

//! One authority on the fakes: a tenant, clients, two APIs, a clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use curfew_authority::{Authority, Config, IssuedTokens, Parts, operation_of};
use curfew_core::directory::{Client, ClientAuthMethod, KeyUse, Tenant};
use curfew_core::ids::{ClientId, OperationId, RecordId, SubjectId, SubjectKey, TenantId};
use curfew_core::mac::subject_key;
use curfew_core::place::{LogIdentity, Partition};
use curfew_core::record::{LogRecord, OperationRef, Revocation};
use curfew_core::stored::{Key, PartitionRecord, Record, Write};
use curfew_core::time::{Clock as _, Millis};
use curfew_keys::{RootKey, SealingVault};
use curfew_ports::store::{Commit, CommitOutcome, Store as _};
use curfew_ports::testing::{FakeLog, FakeStore, FakeWatermarks};
use curfew_testkit::{ManualClock, SeededEntropy};

use crate::asks::{client, resource, tenant_named};

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: FakeStore,
    pub(crate) log: FakeLog,
    pub(crate) tenant: TenantId,
    pub(crate) parts: Parts,
    pub(crate) identity: LogIdentity,
    next: AtomicU64,
}

/// Another tenant of the same deployment.
pub(crate) const RIVAL: TenantId = TenantId::from_bytes([0x22; 16]);

impl World {
    /// Store and log are one engine, as embedded.
    pub(crate) async fn new() -> Self {
        let (clock, log) = Self::clock_and_log();
        let store = FakeStore::with_log(clock.clone(), log.clone());
        Self::on(clock, store, log).await
    }

    /// The store keeps an outbox, as Redis does.
    pub(crate) async fn with_outbox() -> Self {
        let (clock, log) = Self::clock_and_log();
        let store = FakeStore::new(clock.clone());
        Self::on(clock, store, log).await
    }

    fn clock_and_log() -> (Arc<ManualClock>, FakeLog) {
        let clock = Arc::new(ManualClock::at(Millis::from_unix_ms(1_800_000_000_000)));
        let identity = LogIdentity::new([7; 16], 4).unwrap();
        let log = FakeLog::new(identity, clock.clone());
        (clock, log)
    }

    /// Parts on which nothing was made yet.
    pub(crate) fn parts_of(clock: &Arc<ManualClock>, store: &FakeStore, log: &FakeLog, seed: u64) -> Parts {
        Parts {
            store: Arc::new(store.clone()),
            log: Arc::new(log.clone()),
            watermarks: Arc::new(FakeWatermarks::default()),
            vault: Arc::new(SealingVault::new(&RootKey::generate().unwrap()).unwrap()),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(seed)),
        }
    }

    /// A clock, a store and a log, and nothing else.
    pub(crate) fn bare() -> (Parts, FakeStore, LogIdentity) {
        let (clock, log) = Self::clock_and_log();
        let store = FakeStore::with_log(clock.clone(), log.clone());
        let parts = Self::parts_of(&clock, &store, &log, 7);
        (parts, store, LogIdentity::new([7; 16], 4).unwrap())
    }

    async fn on(clock: Arc<ManualClock>, store: FakeStore, log: FakeLog) -> Self {
        let identity = LogIdentity::new([7; 16], 4).unwrap();
        let parts = Self::parts_of(&clock, &store, &log, 7);
        let authority = node(&parts, "test", identity);
        authority.bootstrap().await.unwrap();
        let tenant = TenantId::from_bytes([0x11; 16]);
        let world = Self {
            authority,
            clock,
            store,
            log,
            tenant,
            parts,
            identity,
            next: 1.into(),
        };
        for (id, name) in [(tenant, "acme"), (RIVAL, "rival")] {
            world
                .authority
                .create_tenant(tenant_named(id, name), None)
                .await
                .unwrap();
            for name in ["orders", "files"] {
                world
                    .authority
                    .create_resource(resource(id, name), None)
                    .await
                    .unwrap();
            }
            let clients = [("web", ClientAuthMethod::Secret), ("spa", ClientAuthMethod::None)];
            for (name, method) in clients {
                world
                    .authority
                    .create_client(client(id, name, method), None)
                    .await
                    .unwrap();
            }
        }
        world.hear().await;
        world
    }

    /// Another node over the same store and log.
    pub(crate) fn another_node(&self, name: &str, seed: u64) -> Authority {
        let parts = Parts {
            entropy: Arc::new(SeededEntropy::new(seed)),
            ..self.parts.clone()
        };
        node(&parts, name, self.identity)
    }

    pub(crate) fn operation(&self) -> OperationRef {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        operation_of(OperationId::from_bytes(id), "test", &n.to_be_bytes())
    }

    /// Lets time pass for whoever waits: needs a paused runtime, on which each wait is over at once.
    pub(crate) fn run_the_clock(&self) -> tokio::task::JoinHandle<()> {
        let clock = self.clock.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                clock.advance(10);
            }
        })
    }

    /// Writes records behind every authority's back, as an operator's command or a thief of the store does.
    pub(crate) async fn write(&self, partition: Partition, writes: Vec<(Key, Write)>) {
        let view = self.store.read(partition, &[Key::Partition]).await.unwrap();
        let commit = Commit {
            partition,
            incarnation: view.incarnation,
            now: self.clock.now().wall,
            nonce: self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes(),
            expected: Vec::new(),
            writes,
            publish: Vec::new(),
        };
        let outcome = self.store.commit(commit).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    }

    /// Opens every partition for the present incarnation, as a recovery with nothing to merge does.
    pub(crate) async fn open_partitions(&self) {
        let now = self.clock.now().wall;
        for partition in Partition::all() {
            let Some(Record::Partition(record)) = self.stored(partition, Key::Partition).await else {
                panic!("a partition record");
            };
            let record = PartitionRecord {
                incarnation: self.store.incarnation(),
                opened: now,
                ..record
            };
            self.write(
                partition,
                vec![(Key::Partition, Write::put(Record::Partition(record)))],
            )
            .await;
        }
        self.authority.poll_directory().await.unwrap();
    }

    /// Changes the directory in one commit, and has it read.
    pub(crate) async fn write_directory(&self, records: Vec<(Key, Record)>) {
        let mut writes: Vec<_> = records
            .into_iter()
            .map(|(key, record)| (key, Write::put(record)))
            .collect();
        writes.push((Key::DirectoryVersion, Write::put(Record::DirectoryVersion)));
        self.write(Partition::DIRECTORY, writes).await;
        self.authority.poll_directory().await.unwrap();
    }

    /// Changes the tenant's settings.
    pub(crate) async fn change_tenant(&self, change: impl FnOnce(&mut Tenant)) {
        let mut tenant = (*self.authority.directory().loaded().view.tenants[&self.tenant]).clone();
        change(&mut tenant);
        self.write_directory(vec![(Key::Tenant(tenant.id), Record::Tenant(Arc::new(tenant)))])
            .await;
    }

    /// Changes a client's settings.
    pub(crate) async fn change_client(&self, name: &str, change: impl FnOnce(&mut Client)) {
        let key = (self.tenant, ClientId::new(name).unwrap());
        let mut client = (*self.authority.directory().loaded().view.clients[&key]).clone();
        change(&mut client);
        self.write_directory(vec![(
            Key::Client(key.0, key.1),
            Record::Client(Arc::new(client)),
        )])
        .await;
    }

    /// The key of any subject, as only a holder of the root key can compute it.
    pub(crate) fn subject_key(&self, tenant: TenantId, subject: &str) -> SubjectKey {
        let loaded = self.authority.directory().loaded();
        let mut keys = loaded.view.keys.values();
        let key = keys.find(|key| key.key_use == KeyUse::Subject).unwrap();
        let key = self.parts.vault.mac_key(key).unwrap();
        subject_key(&key, tenant, &SubjectId::new(subject).unwrap())
    }

    /// One record as the store has it.
    pub(crate) async fn stored(&self, partition: Partition, key: Key) -> Option<Record> {
        let view = self.store.read(partition, &[key]).await.unwrap();
        view.values.into_iter().next().flatten().map(|value| value.record)
    }

    /// The ids of all revocations on the log.
    pub(crate) fn revocations(&self) -> BTreeMap<RecordId, Arc<Revocation>> {
        let records = self
            .identity
            .all()
            .flat_map(|partition| self.log.records(partition));
        records
            .filter_map(|record| {
                if let LogRecord::Revocation(revocation) = record {
                    Some((revocation.id, revocation))
                } else {
                    None
                }
            })
            .collect()
    }

    /// The key of a subject of this tenant, as its session tells.
    pub(crate) fn key_of(&self, tokens: &IssuedTokens) -> SubjectKey {
        tokens.issued.refresh.subject_key
    }
}

/// A node on these parts.
pub(crate) fn node(parts: &Parts, name: &str, identity: LogIdentity) -> Authority {
    Authority::new(
        parts.clone(),
        Config::embedded("https://id.example", name),
        identity,
    )
}

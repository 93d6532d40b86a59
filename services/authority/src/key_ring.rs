//! The ring's life: made, rotated on a schedule, revoked in an emergency.
//!
//! One standby key is always published; a key signs once its record is ENFORCED, by time, and its key set older than
//! what guards cache, so a rotation fails no verification. Tagging keys overlap for as long as what they tagged
//! may come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use curfew_core::decide::directory_change;
use curfew_core::decide::{Context, Motive, Verdict};
use curfew_core::directory::{KeyRecord, KeyState, KeyUse, UNDECLARED_LIFE_MAX_MS};
use curfew_core::ids::{KeyId, RecordId, TenantId};
use curfew_core::place::Partition;
use curfew_core::record::{Criterion, JOSE_KID_CLAIM, LogRecord, Revocation};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Decision, Key, Listed, Record, Write};
use curfew_core::time::{DIRECTORY_AGE_MAX_MS, EPSILON_MS, KEEP_SLACK_MS, Millis};
use curfew_ports::store::PAGE_MAX;

use crate::answer::{Answer, Published, key_unavailable, store_unavailable};
use crate::create_session::map;
use crate::directory::Loaded;
use crate::node::Authority;
use crate::operation::Remembered;
use crate::seeds::directory_changed;
use crate::transact::{Ask, AskTenant};

/// Tenants that are told of a revoked key by one commit: a mark each, beside the ring's own records, in
/// the 64 keys that a commit may name.
const TENANTS_MAX: usize = 40;
/// Pages of the outbox that are looked through for a key: 10,000 records.
const PAGES_MAX: usize = 10;
/// Tries of one revocation beside others that change the directory.
const TRIES_MAX: u32 = 16;

impl Authority {
    /// A new key record; a tagging key gets the lowest number that no other has.
    pub(crate) fn new_key(
        &self,
        key_use: KeyUse,
        state: KeyState,
        present: &[&KeyRecord],
    ) -> Answer<KeyRecord> {
        let algorithm = match key_use {
            KeyUse::Sign => self.config.signing_algorithm.as_str(),
            KeyUse::Mac | KeyUse::Page | KeyUse::Subject => "HS256",
        };
        let made = self
            .parts
            .vault
            .generate(key_use, algorithm)
            .map_err(key_unavailable)?;
        let now = self.wall();
        let mac_key_id = match key_use {
            KeyUse::Mac => {
                let taken: Vec<u8> = present.iter().filter_map(|key| key.mac_key_id).collect();
                let free = (1..=u8::MAX).find(|id| !taken.contains(id));
                Some(free.ok_or_else(|| Refusal::new(Stage::Request, Reason::KeyUnavailable))?)
            }
            KeyUse::Sign | KeyUse::Page | KeyUse::Subject => None,
        };
        Ok(KeyRecord {
            kid: made.kid,
            key_use,
            algorithm: algorithm.into(),
            state,
            created_at: now,
            published_at: now,
            // Where store and log are one, its commit is that; elsewhere it is used only once it has left the outbox.
            durable_at: Some(now),
            activated_at: (state == KeyState::Active).then_some(now),
            retired_at: None,
            sealed: made.sealed,
            public_jwk: made.public_jwk,
            mac_key_id,
        })
    }

    /// Rotates what is due; called on a timer. Returns the keys that changed.
    pub async fn rotate_due_keys(&self) -> Answer<Vec<KeyId>> {
        let loaded = self.fresh_directory().await?;
        let now = self.wall();
        let mut changed = Vec::new();
        for key_use in [KeyUse::Sign, KeyUse::Mac] {
            let is_due = loaded.view.keys.values().any(|key| {
                let since = key.activated_at.unwrap_or(key.created_at);
                let is_active = key.key_use == key_use && key.state == KeyState::Active;
                is_active && now.ms_since(since) >= self.config.key_life_ms
            });
            if is_due {
                match self.rotate(key_use).await {
                    // A standby that is too young is waited for.
                    Err(refusal) if refusal.reason == Reason::KeyUnavailable => {}
                    other => changed.extend(other?),
                }
            }
        }
        Ok(changed)
    }

    /// Activates the standby of a use, and publishes a new standby.
    pub async fn rotate(&self, key_use: KeyUse) -> Answer<Vec<KeyId>> {
        let enforced_ms = self.enforced_by_time_ms(key_use).await?;
        let on_the_way = self.keys_on_the_way().await?;
        self.poll_directory().await?;
        let loaded = self.fresh_directory().await?;
        let keys: Vec<&KeyRecord> = loaded.view.keys.values().map(|key| &**key).collect();
        let is_on_the_way = |key: &KeyRecord| {
            let name = Key::RingKey(key.kid.clone()).directory_name();
            key.state == KeyState::Standby && name.is_some_and(|name| on_the_way.contains(&*name))
        };
        if keys
            .iter()
            .any(|key| key.key_use == key_use && is_on_the_way(key))
        {
            let refusal = Refusal::new(Stage::Request, Reason::KeyUnavailable);
            return Err(refusal.about("the log has not the standby's record yet"));
        }
        // Nobody but authorities knows a tagging key; each has it once its view is younger than the key.
        let age_ms = if key_use == KeyUse::Sign {
            self.config.key_set_age_ms
        } else {
            2 * DIRECTORY_AGE_MAX_MS
        };
        let mut records = directory_change::rotated(&keys, key_use, age_ms, enforced_ms, self.wall())
            .ok_or_else(|| {
                Refusal::new(Stage::Request, Reason::KeyUnavailable).about("no standby is old enough")
            })?;
        records.push(self.new_key(key_use, KeyState::Standby, &keys)?);
        let kids = records.iter().map(|key| key.kid.clone()).collect();
        let motive = Motive::policy(curfew_core::decide::cause::key_revoked(), None);
        self.change_ring(&loaded, records, None, &motive).await?;
        self.poll_after_commit().await;
        Ok(kids)
    }

    /// How long after its record is DURABLE a key of this use may be used, ms: by then whoever follows has applied it,
    /// or its own bound is over (DESIGN section 8).
    async fn enforced_by_time_ms(&self, key_use: KeyUse) -> Answer<i64> {
        if key_use != KeyUse::Sign {
            // Authorities alone know it, each by a view of the directory that is never older than three seconds.
            return Ok(0);
        }
        self.read_leases().await?;
        let bound_ms = self.leases.largest_bound_ms(self.config.staleness_ms);
        Ok(bound_ms.saturating_add(EPSILON_MS))
    }

    /// Names of directory records that were committed and that the log may not have yet.
    async fn keys_on_the_way(&self) -> Answer<BTreeSet<Arc<str>>> {
        let mut names = BTreeSet::new();
        let mut cursor = None;
        // A log that was away for long leaves more than that; none of it is used until it is there.
        for _ in 0..PAGES_MAX {
            let page = self
                .parts
                .store
                .list(Partition::DIRECTORY, Listed::Outbox, cursor, PAGE_MAX)
                .await
                .map_err(store_unavailable)?;
            for (_, value) in page.records {
                if let Record::Outbox(entry) = value.record
                    && let LogRecord::Directory(change) = &entry.outgoing.record
                {
                    names.insert(change.name.clone());
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(names),
            }
        }
        Err(Refusal::new(Stage::Request, Reason::LogUnavailable).about("too many records wait for the log"))
    }

    /// Revokes a signing key at once: every guard refuses what it signed, the standby signs. Each tenant's
    /// guards are told by a record of their own, as a record covers one tenant's tokens.
    ///
    /// Repeated, it does what is left to be done, and publishes nothing that was published.
    pub async fn revoke_key(&self, kid: &KeyId, motive: &Motive) -> Answer<Vec<Published>> {
        let mut published = Vec::new();
        let mut tries = 0;
        loop {
            self.poll_directory().await?;
            let loaded = self.fresh_directory().await?;
            let keys: Vec<&KeyRecord> = loaded.view.keys.values().map(|key| &**key).collect();
            let revoked_at = keys
                .iter()
                .find(|key| key.kid == *kid && key.state == KeyState::Revoked)
                .map(|key| key.retired_at.unwrap_or(key.created_at));
            let untold: Vec<TenantId> = match revoked_at {
                None => loaded.view.tenants.keys().copied().collect(),
                Some(at) => self.untold(&loaded, kid, at),
            };
            let records = match revoked_at {
                Some(_) if untold.is_empty() => return Ok(published),
                Some(_) => Vec::new(),
                None => self.ring_without(&keys, kid)?,
            };
            let changes_ring = !records.is_empty();
            // The operation is remembered by the commit that changes the ring; what follows knows itself.
            let motive = Motive {
                operation: motive.operation.filter(|_| changes_ring),
                ..motive.clone()
            };
            let rest = untold.get(..TENANTS_MAX).unwrap_or(&untold);
            match self
                .change_ring(&loaded, records, Some((kid, rest)), &motive)
                .await
            {
                Ok(told) => published.extend(told),
                Err(refusal) if refusal.reason == Reason::Conflict && tries < TRIES_MAX => tries += 1,
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// The ring after its key was revoked, with a new standby where one was taken.
    fn ring_without(&self, keys: &[&KeyRecord], kid: &KeyId) -> Answer<Vec<KeyRecord>> {
        let mut records = directory_change::revoked(keys, kid, self.wall())?;
        let takes_standby = keys
            .iter()
            .any(|key| key.kid == *kid && matches!(key.state, KeyState::Active | KeyState::Standby));
        if takes_standby {
            records.push(self.new_key(KeyUse::Sign, KeyState::Standby, keys)?);
        }
        Ok(records)
    }

    /// Tenants that have not been told of a key's revocation, while a token of it may be alive.
    fn untold(&self, loaded: &Loaded, kid: &KeyId, revoked_at: Millis) -> Vec<TenantId> {
        let keep_ms = loaded
            .view
            .lifetimes
            .map_or(UNDECLARED_LIFE_MAX_MS, |lifetimes| lifetimes.keep_ms);
        if self.wall().ms_since(revoked_at) > keep_ms.saturating_add(KEEP_SLACK_MS) {
            return Vec::new();
        }
        let tells = |mark: &Revocation, tenant: TenantId| {
            let of_kid = |criterion: &Criterion| {
                &*criterion.claim == JOSE_KID_CLAIM && *criterion.value == *kid.as_str()
            };
            mark.tenant == tenant && mark.before.is_none() && matches!(&*mark.all_of, [only] if of_kid(only))
        };
        let marks = &loaded.view.wide_marks;
        let is_told = |tenant: TenantId| marks.values().any(|mark| tells(&mark.record, tenant));
        let tenants = loaded.view.tenants.keys().copied();
        tenants.filter(|tenant| !is_told(*tenant)).collect()
    }

    /// One commit of the ring, decided on `loaded` and refused where that is no more the directory.
    async fn change_ring(
        &self,
        loaded: &Loaded,
        records: Vec<KeyRecord>,
        revoke: Option<(&KeyId, &[TenantId])>,
        motive: &Motive,
    ) -> Answer<Vec<Published>> {
        let records = records
            .into_iter()
            .map(|key| (Key::RingKey(key.kid.clone()), Record::RingKey(Arc::new(key))))
            .collect();
        let sealed = self.seal(records)?;
        let system = self.system_tenant().await?;
        let tenant = system.id;
        let mut keys: Vec<Key> = sealed.iter().map(|sealed| sealed.key.clone()).collect();
        // Compared, so that two nodes do not rotate the same ring at once.
        keys.push(Key::DirectoryVersion);
        keys.extend(
            motive
                .operation
                .map(|operation| Key::Operation(tenant, operation.id)),
        );
        let ask = Ask {
            tenant: AskTenant::Given(system),
            partition: Partition::DIRECTORY,
            keys,
            stage: Stage::Request,
        };
        let version = loaded.view.version;
        // A commit has room for so many records only; the rest of the tenants are told by the next.
        let mut view = loaded.view.clone();
        if let Some((_, tenants)) = revoke {
            view.tenants.retain(|tenant, _| tenants.contains(tenant));
        }
        let done = self
            .transact(ask, |context, seen, entropy| {
                let of = |verdict| Decision::of(context.partition, verdict);
                let known = seen.recall(tenant, motive.operation, |_| Some(Vec::<RecordId>::new()));
                if let Some(verdict) = known {
                    return of(verdict);
                }
                if seen.version(&Key::DirectoryVersion) != version {
                    return of(Verdict::Refused(directory_changed()));
                }
                let context = Context {
                    directory: &view,
                    ..*context
                };
                let kid = revoke.map(|(kid, _)| kid);
                let mut decision =
                    directory_change::change_ring(&context, sealed.clone(), kid, motive, entropy, |_| {
                        Remembered::Expired.to_bytes()
                    });
                if !decision
                    .writes
                    .iter()
                    .any(|(key, _)| *key == Key::DirectoryVersion)
                {
                    let write = Write::put(Record::DirectoryVersion);
                    decision.writes.push((Key::DirectoryVersion, write));
                }
                map(decision, |revocations| {
                    revocations.iter().map(|revocation| revocation.id).collect()
                })
            })
            .await?;
        let ids = done.value;
        let published = done.published.into_iter();
        Ok(published
            .filter(|published| ids.contains(&published.id))
            .collect())
    }
}

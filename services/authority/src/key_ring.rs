//! The ring's life: made, rotated on a schedule, revoked in an emergency.
//!
//! One standby key is always published; a key signs once its key set is older than what guards
//! cache, so a rotation fails no verification. Tagging keys overlap for as long as what they tagged
//! may come back.

use curfew_core::decide::Motive;
use curfew_core::decide::directory_change;
use curfew_core::directory::{KeyRecord, KeyState, KeyUse};
use curfew_core::ids::{KeyId, RecordId};
use curfew_core::place::Partition;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Decision, Key, Record};

use crate::answer::{Answer, Published, key_unavailable};
use crate::create_session::map;
use crate::node::Authority;
use crate::operation::Remembered;
use crate::transact::{Ask, AskTenant};

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
            // The commit that writes it is durable when it is acknowledged: store and log are one here.
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
        self.poll_directory().await?;
        let loaded = self.fresh_directory().await?;
        let keys: Vec<&KeyRecord> = loaded.view.keys.values().map(|key| &**key).collect();
        // Nobody but authorities knows a tagging key, so its standby is as good as old.
        let age_ms = if key_use == KeyUse::Sign {
            self.config.key_set_age_ms
        } else {
            0
        };
        let mut records =
            directory_change::rotated(&keys, key_use, age_ms, self.wall()).ok_or_else(|| {
                Refusal::new(Stage::Request, Reason::KeyUnavailable).about("no standby is old enough")
            })?;
        records.push(self.new_key(key_use, KeyState::Standby, &keys)?);
        let motive = Motive::policy(curfew_core::decide::cause::key_revoked(), None);
        let (_, kids) = self.change_ring(records, None, &motive).await?;
        Ok(kids)
    }

    /// Revokes a signing key at once: every guard refuses what it signed, the standby signs.
    pub async fn revoke_key(&self, kid: &KeyId, motive: &Motive) -> Answer<Vec<Published>> {
        self.poll_directory().await?;
        let loaded = self.fresh_directory().await?;
        let keys: Vec<&KeyRecord> = loaded.view.keys.values().map(|key| &**key).collect();
        let is_active = loaded.ring.signing_key() == Some(kid);
        let mut records = directory_change::revoked(&keys, kid, self.wall())?;
        let takes_standby = is_active || keys.iter().any(|k| k.kid == *kid && k.state == KeyState::Standby);
        if takes_standby {
            records.push(self.new_key(KeyUse::Sign, KeyState::Standby, &keys)?);
        }
        let (published, _) = self.change_ring(records, Some(kid), motive).await?;
        Ok(published)
    }

    async fn change_ring(
        &self,
        records: Vec<KeyRecord>,
        revoke: Option<&KeyId>,
        motive: &Motive,
    ) -> Answer<(Vec<Published>, Vec<KeyId>)> {
        let kids: Vec<KeyId> = records.iter().map(|key| key.kid.clone()).collect();
        let records = records
            .into_iter()
            .map(|key| {
                (
                    Key::RingKey(key.kid.clone()),
                    Record::RingKey(std::sync::Arc::new(key)),
                )
            })
            .collect();
        let sealed = self.seal(records)?;
        let system = self.system_tenant().await?;
        let tenant = system.id;
        let version = self.directory.loaded().view.version;
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
        let done = self
            .transact(ask, |context, seen, entropy| {
                let known = seen.recall(tenant, motive.operation, |_| Some(Vec::<RecordId>::new()));
                if let Some(verdict) = known {
                    return Decision::of(context.partition, verdict);
                }
                if seen.version(&Key::DirectoryVersion) != version {
                    let refusal =
                        Refusal::new(Stage::Request, Reason::Conflict).about("the directory changed");
                    return Decision::of(context.partition, curfew_core::decide::Verdict::Refused(refusal));
                }
                let decision =
                    directory_change::change_ring(context, sealed.clone(), revoke, motive, entropy, |_| {
                        Remembered::Expired.to_bytes()
                    });
                map(decision, |revocations| {
                    revocations.iter().map(|revocation| revocation.id).collect()
                })
            })
            .await?;
        self.poll_directory().await?;
        let ids = done.value;
        let published = done
            .published
            .into_iter()
            .filter(|published| ids.contains(&published.id))
            .collect();
        Ok((published, kids))
    }
}

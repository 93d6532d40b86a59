//! Read, decide, commit: the one loop that every use case goes through.
//!
//! One read and one commit where nothing interferes. A conflict reads and decides again, bounded
//! and jittered; a cut-off that lies ahead is waited for, at most six seconds.
//!
//! **Invariant 10:** a fenced partition emits no token and no acknowledgement: whatever is granted
//! is committed, with no writes if need be.

use std::sync::Arc;
use std::time::Duration;

use curfew_core::decide::{Context, Verdict};
use curfew_core::directory::Tenant;
use curfew_core::ids::{KeyId, TenantId};
use curfew_core::mac::Entropy;
use curfew_core::place::Partition;
use curfew_core::record::Outgoing;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Decision, Key};
use curfew_core::time::{DELTA_MS, DIRECTORY_AGE_MAX_MS, Millis};
use curfew_ports::store::{Commit, CommitOutcome};

use tracing::Instrument as _;

use crate::answer::{Answer, Published, commit_failed, store_unavailable};
use crate::directory::Loaded;
use crate::node::Authority;
use crate::seen::Seen;

/// Tries of one transaction. Contenders for one row each win one try, and all but rotations then
/// write nothing, so ten is far beyond what a hundred parallel presentations need.
const TRIES_MAX: u32 = 16;
/// How long a cut-off that lies ahead is waited for (DESIGN section 4).
const WAIT_MAX_MS: i64 = 6_000;
/// The longest pause after a conflict, ms; doubled from 1.
const PAUSE_MAX_MS: u64 = 32;

/// What a transaction is about.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) tenant: AskTenant,
    pub(crate) partition: Partition,
    pub(crate) keys: Vec<Key>,
    pub(crate) stage: Stage,
}

/// The tenant of a transaction: one that the directory has, or one that is being made.
#[derive(Clone, Debug)]
pub(crate) enum AskTenant {
    Known(TenantId),
    Given(Arc<Tenant>),
}

impl From<TenantId> for AskTenant {
    fn from(id: TenantId) -> Self {
        Self::Known(id)
    }
}

/// A granted transaction.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub(crate) value: T,
    pub(crate) published: Vec<Published>,
    pub(crate) loaded: Arc<Loaded>,
}

impl Authority {
    /// Runs one transaction to its end.
    pub(crate) async fn transact<T>(
        &self,
        ask: Ask,
        decide: impl FnMut(&Context<'_>, &Seen, &mut Entropy) -> Decision<Verdict<T>>,
    ) -> Answer<Done<T>> {
        let span = tracing::debug_span!(
            target: curfew_trace::TARGET,
            "curfew.transact",
            curfew.partition = ask.partition.number(),
            curfew.stage = ask.stage.as_str(),
        );
        self.transact_in(ask, decide).instrument(span).await
    }

    async fn transact_in<T>(
        &self,
        ask: Ask,
        mut decide: impl FnMut(&Context<'_>, &Seen, &mut Entropy) -> Decision<Verdict<T>>,
    ) -> Answer<Done<T>> {
        let mut keys = keys_of(&ask);
        let refuse = |reason| Refusal::new(ask.stage, reason);
        let mut waited_ms: i64 = 0;
        let mut tries = 0;
        loop {
            let (loaded, seen, now, mut decision) = self.look(&ask, &keys, &mut decide).await?;
            let value = match decision.outcome {
                Verdict::NotBefore(instant) => {
                    // What was waited is counted, not read from a clock: one that is set back meanwhile
                    // must not hold a request for longer.
                    let ms = instant.ms_since(now).max(1);
                    waited_ms = waited_ms.saturating_add(ms);
                    if waited_ms > WAIT_MAX_MS {
                        return Err(refuse(Reason::CutoffPending).until(instant));
                    }
                    let ms = u64::try_from(ms).unwrap_or(1);
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    continue;
                }
                Verdict::NeedsRow(sid) => {
                    let key = Key::Session(sid);
                    tries += 1;
                    if keys.contains(&key) || tries > TRIES_MAX {
                        return Err(refuse(Reason::Conflict));
                    }
                    keys.push(key);
                    continue;
                }
                // A refusal that changes nothing emits nothing: no commit.
                Verdict::Refused(refusal) if decision.writes.is_empty() && decision.publish.is_empty() => {
                    return Err(refusal);
                }
                Verdict::Refused(refusal) => Err(refusal),
                Verdict::Granted(value) => Ok(value),
            };
            if let Some(cause) = curfew_trace::cause() {
                for outgoing in &mut decision.publish {
                    outgoing.record.set_trace(&cause);
                }
            }
            let commit = self.commit_of(&ask, &seen, now, decision.writes, decision.publish.clone());
            match self.parts.store.commit(commit).await.map_err(commit_failed)? {
                CommitOutcome::Committed(committed) => {
                    let published = self.published(decision.publish, committed.positions).await;
                    return value.map(|value| Done {
                        value,
                        published,
                        loaded,
                    });
                }
                CommitOutcome::Conflict => {
                    tries += 1;
                    if tries > TRIES_MAX {
                        return Err(refuse(Reason::Conflict));
                    }
                    self.pause(tries).await;
                }
                CommitOutcome::Fenced => {
                    self.recovery.suspect();
                    return Err(refuse(Reason::Fenced));
                }
                // A commit that was long on its way is no wrong clock: it is decided again.
                CommitOutcome::ClockSuspect { store_time } => {
                    tries += 1;
                    if tries > TRIES_MAX || !self.was_slow(now, store_time) {
                        return Err(refuse(Reason::ClockSuspect));
                    }
                }
            }
        }
    }

    /// What a transaction would answer now: one read and one decision, of which nothing becomes true.
    pub(crate) async fn consider<T>(
        &self,
        ask: Ask,
        mut decide: impl FnMut(&Context<'_>, &Seen, &mut Entropy) -> Decision<Verdict<T>>,
    ) -> Answer<Verdict<T>> {
        let keys = keys_of(&ask);
        let (_, _, _, decision) = self.look(&ask, &keys, &mut decide).await?;
        Ok(decision.outcome)
    }

    /// One read of one partition: one round trip.
    pub(crate) async fn see(&self, partition: Partition, keys: &[Key]) -> Answer<Seen> {
        let view = self.parts.store.read(partition, keys).await;
        Ok(Seen::new(keys, view.map_err(store_unavailable)?))
    }

    /// One read and one decision.
    async fn look<T>(
        &self,
        ask: &Ask,
        keys: &[Key],
        decide: &mut impl FnMut(&Context<'_>, &Seen, &mut Entropy) -> Decision<Verdict<T>>,
    ) -> Answer<(Arc<Loaded>, Seen, Millis, Decision<Verdict<T>>)> {
        self.fresh_directory().await?;
        let before = self.wall();
        let seen = self.see(ask.partition, keys).await?;
        let now = self.wall();
        // The store's clock was read in between; a slow read is no wrong clock.
        if before.ms_since(seen.store_time) > DELTA_MS || seen.store_time.ms_since(now) > DELTA_MS {
            return Err(Refusal::new(ask.stage, Reason::ClockSuspect));
        }
        // The directory may have aged while the store was slow, or something was heard of it.
        if self.directory.age_ms(now) >= DIRECTORY_AGE_MAX_MS {
            self.fresh_directory().await?;
        }
        if self.directory.age_ms(self.wall()) >= DIRECTORY_AGE_MAX_MS {
            return Err(Refusal::new(ask.stage, Reason::DirectoryStale));
        }
        // The newest: what this node has heard meanwhile may be about what an older view still has.
        let loaded = self.directory.loaded();
        let decision = self.decide(ask, &loaded, &seen, now, decide)?;
        Ok((loaded, seen, now, decision))
    }

    fn decide<T>(
        &self,
        ask: &Ask,
        loaded: &Loaded,
        seen: &Seen,
        now: Millis,
        decide: &mut impl FnMut(&Context<'_>, &Seen, &mut Entropy) -> Decision<Verdict<T>>,
    ) -> Answer<Decision<Verdict<T>>> {
        let refuse = |reason| Refusal::new(ask.stage, reason);
        // An absent partition record is a loss, never a new partition.
        let record = seen.partition().ok_or_else(|| refuse(Reason::Fenced))?;
        let sequence = seen.sequence().ok_or_else(|| refuse(Reason::Fenced))?;
        // Another history of the store, or one that has merged another log than the one we hear (P9).
        if record.incarnation != seen.incarnation || record.log != self.follower.log() {
            self.recovery.suspect();
            return Err(refuse(Reason::Fenced));
        }
        let tenant = match &ask.tenant {
            AskTenant::Given(tenant) => tenant,
            AskTenant::Known(id) => loaded
                .view
                .tenants
                .get(id)
                .ok_or_else(|| refuse(Reason::TenantUnknown))?,
        };
        let state = self.follower.of(ask.partition);
        let guarded_now = self.guarded_now();
        let no_key = no_key();
        let context = Context {
            now,
            partition: ask.partition,
            incarnation: seen.incarnation,
            record: &record,
            sequence,
            directory: &loaded.view,
            tenant,
            index: state.as_ref().map(|state| &state.index),
            tail_is_fresh: state
                .as_ref()
                .is_some_and(|s| s.is_fresh(self.now(), self.config.staleness_ms)),
            guarded_now: &guarded_now,
            signing_key: loaded.ring.signing_key().unwrap_or(&no_key),
        };
        Ok(decide(&context, seen, &mut self.chance()))
    }

    fn commit_of(
        &self,
        ask: &Ask,
        seen: &Seen,
        now: Millis,
        writes: Vec<(Key, curfew_core::stored::Write)>,
        publish: Vec<Outgoing>,
    ) -> Commit {
        // The sequence is compared only where it is used: a refresh must not conflict with a revocation.
        let numbers = writes.iter().any(|(key, _)| *key == Key::Sequence);
        let expected = seen
            .versions()
            .filter(|(key, _)| numbers || **key != Key::Sequence)
            .map(|(key, version)| (key.clone(), version))
            .collect();
        Commit {
            partition: ask.partition,
            incarnation: seen.incarnation,
            now,
            nonce: self.chance().draw(),
            expected,
            writes,
            publish,
        }
    }

    /// Whether the store's clock and this node's agree, and a commit decided at `sent` only arrived late.
    pub(crate) fn was_slow(&self, sent: Millis, store_time: Millis) -> bool {
        sent.ms_since(store_time) <= DELTA_MS && store_time.ms_since(self.wall()) <= DELTA_MS
    }

    pub(crate) async fn pause(&self, tries: u32) {
        let most = 1_u64.checked_shl(tries).unwrap_or(PAUSE_MAX_MS).min(PAUSE_MAX_MS);
        let [chance] = self.chance().draw::<1>();
        let ms = most * u64::from(chance) / 255;
        if ms == 0 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

fn keys_of(ask: &Ask) -> Vec<Key> {
    let mut keys = vec![Key::Partition, Key::Sequence];
    keys.extend(ask.keys.iter().cloned());
    keys
}

#[expect(clippy::expect_used, reason = "a constant, valid text")]
fn no_key() -> KeyId {
    KeyId::new("none").expect("a constant is valid")
}

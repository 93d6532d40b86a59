//! Registrations in the store: written before a follower is ready, renewed many at a time, read by every node.
//!
//! **Invariant:** a renewal changes no version that anything but registrations stands on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use curfew_core::directory::Lease;
use curfew_core::place::Partition;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Key, Listed, Record, Write};
use curfew_core::time::Millis;
use curfew_core::watermark::Mark;
use curfew_ports::store::{Commit, CommitOutcome, KEYS_MAX, PAGE_MAX};

use super::{Entry, LEASES_MAX, Leases, Subscriber, Who};
use crate::answer::{Answer, store_unavailable};
use crate::node::Authority;
use crate::seen::Seen;

/// Registrations of one commit, beside the partition's own record.
const BATCH_MAX: usize = KEYS_MAX - 1;
/// Tries of one commit beside other nodes that write the same registrations.
const TRIES_MAX: u32 = 16;
/// Commits that a registration waits for: as many as write a whole fleet, each another part of it.
const COMMITS_MAX: usize = LEASES_MAX / BATCH_MAX + 2;
/// A registration outlives its end by this much, ms, for collection only: clocks differ by less, and a fleet that is
/// rolled out anew leaves as many behind as it has members.
const COLLECT_AFTER_MS: i64 = 10 * 60_000;

impl Leases {
    /// Those that the store lacks, `first` before all others; as many as fit one commit.
    fn unwritten(&self, first: &Who) -> Vec<Who> {
        let known = self.lock();
        let is_unwritten = |entry: &Entry| entry.is_unwritten && entry.is_ours;
        let others = known.all.iter().filter(|(who, _)| *who != first);
        let first = known.all.get_key_value(first).into_iter();
        let wanted = first.chain(others).filter(|(_, entry)| is_unwritten(entry));
        wanted.map(|(who, _)| who.clone()).take(BATCH_MAX).collect()
    }

    fn is_unwritten(&self, who: &Who) -> bool {
        self.lock().all.get(who).is_some_and(|entry| entry.is_unwritten)
    }

    /// Those that must be written now, or the store would take them for silent.
    fn due(&self, renew_ms: i64) -> Vec<Who> {
        let known = self.lock();
        let is_due = |entry: &Entry| {
            let since = entry.stored.map(|stored| entry.lease.seen.ms_since(stored));
            entry.is_ours && (entry.is_unwritten || since.is_none_or(|since| since >= renew_ms))
        };
        let due = known.all.iter().filter(|(_, entry)| is_due(entry));
        due.map(|(who, _)| who.clone()).collect()
    }

    /// What was written; a report since then is written later.
    fn written(&self, who: &Who, written: Arc<Lease>, ours: &Lease) {
        let mut known = self.lock();
        if let Some(entry) = known.all.get_mut(who) {
            entry.stored = Some(written.seen);
            if super::is_same(&entry.lease, ours) {
                entry.is_unwritten = false;
                let mut joined = Lease::clone(&written);
                joined.join(&entry.lease);
                entry.lease = Arc::new(joined);
            }
        }
    }

    /// The name is another's, which is alive: what it told holds.
    fn taken(&self, who: &Who, theirs: Arc<Lease>) {
        let entry = Entry {
            stored: Some(theirs.seen),
            lease: theirs,
            is_ours: false,
            is_unwritten: false,
            is_untold: false,
        };
        self.lock().all.insert(who.clone(), entry);
    }

    fn remove(&self, who: &Who, now: Millis) {
        let mut known = self.lock();
        known.all.remove(who);
        known.left.push(Mark {
            name: who.0.clone(),
            replica: who.1.clone(),
            seen: now,
            positions: Vec::new(),
            has_left: true,
        });
        self.live.store(None);
        drop(known);
        self.changed.notify_waiters();
        self.to_tell.notify_one();
    }
}

impl Authority {
    pub(super) fn lease_of(&self, subscriber: Subscriber, positions: Vec<u64>) -> Lease {
        let now = self.wall();
        let mut lease = Lease {
            name: subscriber.name,
            replica: subscriber.replica,
            caller: subscriber.caller,
            version: subscriber.version,
            source: subscriber.source,
            audiences: subscriber.audiences,
            min_reader: subscriber.min_reader,
            routes: subscriber.routes,
            bound_ms: subscriber.bound_ms,
            positions,
            log_id: self.follower.log().log_id,
            registered: now,
            seen: now,
            counts_until: Millis::ZERO,
        };
        lease.hear(now, self.config.lease_ms);
        lease
    }

    /// Takes a follower's report, and registers it where it is not, or not so: answered once the store has that, so
    /// that whoever is ready is waited for.
    pub async fn report_progress(&self, subscriber: Subscriber, positions: Vec<u64>) -> Answer<Arc<Lease>> {
        let who = (subscriber.name.clone(), subscriber.replica.clone());
        let caller = subscriber.caller.clone();
        self.leases
            .note(self.lease_of(subscriber, positions), self.wall())?;
        for _ in 0..COMMITS_MAX {
            if !self.leases.is_unwritten(&who) {
                break;
            }
            // Those that come at once are noted before the first of them writes.
            tokio::task::yield_now().await;
            let _one = self.leases.writing.lock().await;
            if self.leases.is_unwritten(&who) {
                self.write_leases(&self.leases.unwritten(&who)).await?;
            }
        }
        let lease = self.leases.get(&who).filter(|lease| lease.caller == caller);
        // Somebody else has that name, at another node.
        lease.ok_or_else(|| {
            let about = format!("subscriber {} {} is another caller's", who.0, who.1);
            Refusal::new(Stage::Request, Reason::AlreadyExists).about(about)
        })
    }

    /// A follower of the fleet, as far as this node knows.
    #[must_use]
    pub fn subscriber(&self, name: &Arc<str>, replica: &Arc<str>) -> Option<Arc<Lease>> {
        self.leases.get(&(name.clone(), replica.clone()))
    }

    /// How many are known.
    #[must_use]
    pub fn subscribers_len(&self) -> usize {
        self.leases.len()
    }

    /// Every follower of the fleet that counts, in order of their names.
    pub async fn list_subscribers(&self) -> Answer<Vec<Arc<Lease>>> {
        self.read_leases().await?;
        self.leases.collect(self.wall());
        Ok(self.leases_now())
    }

    /// A follower says good-bye: it admits nothing any more, and nobody waits for it.
    pub async fn leave(&self, name: &Arc<str>, replica: &Arc<str>) {
        let who = (name.clone(), replica.clone());
        self.leases.remove(&who, self.wall());
        let _one = self.leases.writing.lock().await;
        let left = async {
            let seen = self.see_directory(&[Key::Lease(who.0, who.1)]).await?;
            let writes = seen
                .versions()
                .filter(|(key, _)| **key != Key::Partition)
                .map(|(key, _)| (key.clone(), Write::Delete))
                .collect();
            self.commit_leases(&seen, writes).await
        };
        if let Err(refusal) = left.await {
            // It lapses by itself, and is waited out.
            tracing::warn!(%refusal, "a follower left, and its registration stays until it lapses");
        }
    }

    /// Renews those that reported here, and forgets those that are over.
    pub(crate) async fn renew_leases(&self) -> Answer<()> {
        self.leases.collect(self.wall());
        let due = self.leases.due(self.config.lease_ms / 3);
        for batch in due.chunks(BATCH_MAX) {
            let _one = self.leases.writing.lock().await;
            self.write_leases(batch).await?;
        }
        Ok(())
    }

    /// One commit of these, joined with what other nodes wrote of them.
    async fn write_leases(&self, whos: &[Who]) -> Answer<()> {
        let mut refused = Refusal::new(Stage::Request, Reason::Conflict);
        for tried in 0..TRIES_MAX {
            let now = self.wall();
            let keys: Vec<_> = whos
                .iter()
                .map(|who| Key::Lease(who.0.clone(), who.1.clone()))
                .collect();
            let seen = self.see_directory(&keys).await?;
            let (mut writes, mut written) = (Vec::new(), Vec::new());
            for (who, key) in whos.iter().zip(&keys) {
                let Some(ours) = self.leases.get(who) else {
                    continue;
                };
                let mut lease = Lease::clone(&ours);
                if let Some(theirs) = seen.lease(key) {
                    if theirs.caller != ours.caller && theirs.is_live(now) {
                        self.leases.taken(who, theirs);
                        continue;
                    }
                    if now < theirs.counts_until {
                        lease.join(&theirs);
                    }
                }
                let lease = Arc::new(lease);
                let write = Write::Put {
                    record: Record::Lease(lease.clone()),
                    collect_at: Some(lease.counts_until.plus_ms(COLLECT_AFTER_MS)),
                };
                writes.push((key.clone(), write));
                written.push((who, lease, ours));
            }
            if writes.is_empty() {
                return Ok(());
            }
            match self.commit_leases(&seen, writes).await {
                Ok(()) => {
                    for (who, lease, ours) in written {
                        self.leases.written(who, lease, &ours);
                    }
                    return Ok(());
                }
                // A commit that waited on a busy machine looks like a wrong clock; a wrong clock does so each time.
                Err(refusal) if matches!(refusal.reason, Reason::Conflict | Reason::ClockSuspect) => {
                    refused = refusal;
                    self.pause(tried).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Err(refused)
    }

    /// The directory's partition, open for the history that is read.
    async fn see_directory(&self, keys: &[Key]) -> Answer<Seen> {
        let mut all = vec![Key::Partition];
        all.extend_from_slice(keys);
        let seen = self.see(Partition::DIRECTORY, &all).await?;
        let is_open = seen.partition().is_some_and(|record| {
            record.incarnation == seen.incarnation && record.log == self.follower.log()
        });
        if !is_open {
            return Err(Refusal::new(Stage::Request, Reason::Fenced).about("the directory"));
        }
        Ok(seen)
    }

    async fn commit_leases(&self, seen: &Seen, writes: Vec<(Key, Write)>) -> Answer<()> {
        let commit = Commit {
            partition: Partition::DIRECTORY,
            incarnation: seen.incarnation,
            now: self.wall(),
            nonce: self.chance().draw(),
            expected: seen
                .versions()
                .map(|(key, version)| (key.clone(), version))
                .collect(),
            writes,
            publish: Vec::new(),
        };
        let refuse = |reason| Err(Refusal::new(Stage::Request, reason));
        match self.parts.store.commit(commit).await.map_err(store_unavailable)? {
            CommitOutcome::Committed(_) => Ok(()),
            CommitOutcome::Conflict => refuse(Reason::Conflict),
            CommitOutcome::Fenced => refuse(Reason::Fenced),
            CommitOutcome::ClockSuspect { .. } => refuse(Reason::ClockSuspect),
        }
    }

    /// The same for what is answered by it: not those of a primary which others have left. What is answered is
    /// committed, without a write (DESIGN section 3).
    pub(crate) async fn read_leases_to_answer(&self) -> Answer<()> {
        self.read_leases().await?;
        let seen = self.see_directory(&[]).await?;
        self.commit_leases(&seen, Vec::new()).await
    }

    /// Reads every registration, no earlier than now; calls that come meanwhile share the next read.
    pub(crate) async fn read_leases(&self) -> Answer<()> {
        let begun_before = self.leases.reads_begun.load(Ordering::SeqCst);
        let mut newest = self.leases.reading.lock().await;
        if *newest > begun_before {
            return Ok(());
        }
        let begun = self
            .leases
            .reads_begun
            .fetch_add(1, Ordering::SeqCst)
            .wrapping_add(1);
        let begun_at = self.wall();
        let seen = self.see_directory(&[]).await?;
        let opened = seen.partition().map_or(Millis::ZERO, |record| record.opened);
        let opened = (seen.incarnation, opened);
        let mut stored = Vec::new();
        let mut cursor = None;
        loop {
            let page = self
                .parts
                .store
                .list(Partition::DIRECTORY, Listed::Leases, cursor, PAGE_MAX)
                .await
                .map_err(store_unavailable)?;
            stored.extend(page.records.into_iter().filter_map(|(_, value)| {
                if let Record::Lease(lease) = value.record {
                    Some(lease)
                } else {
                    None
                }
            }));
            match page.next {
                // Whoever registers keeps to the bound, but nodes may do so at once: twice as many are a fault.
                Some(_) if stored.len() > 2 * LEASES_MAX => {
                    return Err(Refusal::new(Stage::Request, Reason::Overloaded).about("too many followers"));
                }
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        // One history, from the first page to the last.
        let again = self.see_directory(&[]).await?;
        if again.version(&Key::Partition) != seen.version(&Key::Partition) {
            return Err(Refusal::new(Stage::Request, Reason::Fenced).about("the directory"));
        }
        let log_id = self.follower.log().log_id;
        self.leases
            .take(begun_at, opened, stored, log_id, self.config.lease_ms);
        *newest = begun;
        Ok(())
    }
}

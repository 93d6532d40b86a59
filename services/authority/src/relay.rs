//! The relay: the crash net under handlers that died between commit and append.
//!
//! **Invariant 9:** an entry is deleted only after the log has it in every partition that it goes to,
//! under the fence, by its record's id.

use curfew_core::place::{LogPartition, PARTITIONS, Partition, Version};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Key, Listed, OutboxEntry, Record, Write};
use curfew_ports::store::{Commit, CommitOutcome};
use tokio::task::JoinSet;

use crate::answer::{Answer, store_unavailable};
use crate::node::Authority;

/// Younger entries are their handler's business, ms.
const LEAVE_ALONE_MS: i64 = 5_000;
/// Outboxes that are looked at together: each costs a round trip, and users' calls come first.
const AT_ONCE: usize = 8;
/// Partitions in a row that cannot be read before a round ends: with a third of a cluster away that is chance no
/// more, and each may cost its call's whole time.
const LEFT_MAX: usize = 32;
/// Entries of one page.
const PAGE: usize = 100;
/// Entries of one round that the log did not take; beyond, the round ends: the log is away, and each
/// try may cost its whole timeout.
const FAILURES_MAX: usize = 8;

impl Authority {
    /// One round over all outboxes; returns how many entries went. It begins anywhere, so that relays that were
    /// started together do not meet at each entry.
    ///
    /// A partition that cannot be read, because its node is away or it is being recovered, is left to a later round;
    /// where the store is away, the round ends.
    pub async fn relay_all(&self) -> Answer<usize> {
        let [high, low] = self.chance().draw::<2>();
        let first = usize::from(u16::from_be_bytes([high, low])) % usize::from(PARTITIONS);
        let before = Partition::all().take(first);
        let mut partitions = Partition::all().skip(first).chain(before);
        let mut rounds = JoinSet::new();
        let (mut relayed, mut left, mut in_a_row) = (0, 0_usize, 0);
        loop {
            while rounds.len() < AT_ONCE
                && let Some(partition) = partitions.next()
            {
                let authority = self.clone();
                rounds.spawn(async move { authority.relay(partition).await });
            }
            match rounds.join_next().await {
                None => break,
                Some(Ok(Ok(round))) => {
                    relayed += round;
                    in_a_row = 0;
                }
                Some(Ok(Err(refusal))) => {
                    left += 1;
                    in_a_row += 1;
                    if in_a_row == LEFT_MAX {
                        return Err(refusal);
                    }
                }
                Some(Err(error)) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a round over an outbox ended without an answer"
                ),
            }
        }
        if left > 0 {
            tracing::warn!(
                partitions = left,
                "outboxes could not be read, and are left to a later round"
            );
        }
        Ok(relayed)
    }

    /// One round over one partition's outbox; returns how many entries went.
    ///
    /// The embedded engine has no outbox: its commit *is* the append.
    pub async fn relay(&self, partition: Partition) -> Answer<usize> {
        let (mut relayed, mut failures, mut cursor) = (0, 0, None);
        loop {
            let page = self
                .parts
                .store
                .list(partition, Listed::Outbox, cursor, PAGE)
                .await
                .map_err(store_unavailable)?;
            for (key, value) in page.records {
                let Record::Outbox(entry) = value.record else {
                    continue;
                };
                if self.wall().ms_since(entry.at) < LEAVE_ALONE_MS {
                    continue;
                }
                if self.relay_entry(partition, key, value.version, entry).await? {
                    relayed += 1;
                } else {
                    failures += 1;
                }
                if failures == FAILURES_MAX {
                    return Ok(relayed);
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(relayed),
            }
        }
    }

    /// Appends an entry wherever it lacks, and notes what became of it; answers whether it went.
    async fn relay_entry(
        &self,
        partition: Partition,
        key: Key,
        version: Version,
        entry: OutboxEntry,
    ) -> Answer<bool> {
        let before = self.lacking(&entry);
        let (appended, lacking) = self.append_to(before, &entry.outgoing.record, None).await;
        if appended.is_empty() && !lacking.is_empty() {
            return Ok(false);
        }
        let told = lacking.iter().map(|partition| partition.0).collect();
        let write = if lacking.is_empty() {
            Write::Delete
        } else {
            // The next round spares those that have it, or they would get a copy each.
            Write::put(Record::Outbox(OutboxEntry {
                lacking: told,
                ..entry
            }))
        };
        let keys = [Key::Partition];
        let seen = self.see(partition, &keys).await?;
        if !seen
            .partition()
            .is_some_and(|record| record.incarnation == seen.incarnation && record.log == self.follower.log())
        {
            return Err(Refusal::new(Stage::Request, Reason::Fenced));
        }
        let mut expected = vec![(key.clone(), Some(version))];
        expected.extend(seen.versions().map(|(key, version)| (key.clone(), version)));
        let commit = Commit {
            partition,
            incarnation: seen.incarnation,
            now: self.wall(),
            nonce: self.chance().draw(),
            expected,
            writes: vec![(key, write)],
            publish: Vec::new(),
        };
        let outcome = self.parts.store.commit(commit).await.map_err(store_unavailable)?;
        Ok(lacking.is_empty() && matches!(outcome, CommitOutcome::Committed(_)))
    }

    /// The log partitions that may lack an entry: those it names, all that it goes to where nobody has
    /// looked yet, and none from which this node has read it.
    fn lacking(&self, entry: &OutboxEntry) -> Vec<LogPartition> {
        let mut lacking = self.targets_of(&entry.outgoing);
        if !entry.lacking.is_empty() {
            lacking.retain(|target| entry.lacking.contains(&target.0));
        }
        if let Some(id) = entry.outgoing.record.event_id() {
            lacking.retain(|target| !self.journal.has_read(id, *target));
        }
        lacking
    }
}

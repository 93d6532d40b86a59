//! The relay: the crash net under handlers that died between commit and append.
//!
//! **Invariant 9:** an entry is deleted only after the log has it in every partition that it goes to,
//! under the fence, by its record's id.

use curfew_core::place::Partition;
use curfew_core::stored::{Key, Listed, Record, Write};
use curfew_ports::store::{Commit, CommitOutcome};

use crate::answer::{Answer, Level, store_unavailable};
use crate::node::Authority;

/// Younger entries are their handler's business, ms.
const LEAVE_ALONE_MS: i64 = 5_000;
/// Entries of one round.
const ROUND_MAX: usize = 100;

impl Authority {
    /// One round over one partition's outbox; returns how many entries went.
    ///
    /// The embedded engine has no outbox: its commit *is* the append.
    pub async fn relay(&self, partition: Partition) -> Answer<usize> {
        let page = self
            .parts
            .store
            .list(partition, Listed::Outbox, None, ROUND_MAX)
            .await;
        let mut relayed = 0;
        for (key, value) in page.map_err(store_unavailable)?.records {
            let Record::Outbox(entry) = value.record else {
                continue;
            };
            let now = self.wall();
            if now.ms_since(entry.at) < LEAVE_ALONE_MS {
                continue;
            }
            let (_, level) = self.append(&entry.outgoing).await;
            if level == Level::Stored {
                continue;
            }
            let view = self
                .parts
                .store
                .read(partition, &[Key::Partition])
                .await
                .map_err(store_unavailable)?;
            let incarnation = view.incarnation;
            let commit = Commit {
                partition,
                incarnation,
                now,
                nonce: self.chance().draw(),
                expected: vec![(key.clone(), Some(value.version))],
                writes: vec![(key, Write::Delete)],
                publish: Vec::new(),
            };
            let outcome = self.parts.store.commit(commit).await.map_err(store_unavailable)?;
            relayed += usize::from(matches!(outcome, CommitOutcome::Committed(_)));
        }
        Ok(relayed)
    }
}

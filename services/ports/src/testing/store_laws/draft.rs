//! What the laws write with: a commit built step by step, and records that are short to write.

use std::hash::{BuildHasher, RandomState};

use curfew_core::place::{Partition, Version};
use curfew_core::record::Outgoing;
use curfew_core::stored::{Key, Record, Write};
use curfew_core::subject::Tombstone;
use curfew_core::time::Millis;

use crate::store::{Commit, CommitOutcome, Committed, Store, Versioned, View};
use crate::testing::samples::{instant, record_id, session_id};

/// The partition that most laws use.
pub(in crate::testing) const HERE: Partition = Partition::DIRECTORY;

/// A commit in the making.
#[derive(Clone, Debug)]
pub(in crate::testing) struct Draft(pub(in crate::testing) Commit);

impl Draft {
    /// An empty commit in [`HERE`], under the incarnation and the clock that a read shows.
    pub(in crate::testing) async fn new(store: &dyn Store) -> Self {
        Self::in_partition(store, HERE).await
    }

    /// The same, elsewhere.
    pub(in crate::testing) async fn in_partition(store: &dyn Store, partition: Partition) -> Self {
        let view = store.read(partition, &[]).await.unwrap();
        Self(Commit {
            partition,
            incarnation: view.incarnation,
            now: present(&view),
            nonce: nonce(),
            expected: Vec::new(),
            writes: Vec::new(),
            publish: Vec::new(),
        })
    }

    pub(in crate::testing) fn expecting(mut self, key: &Key, version: impl Into<Option<Version>>) -> Self {
        self.0.expected.push((key.clone(), version.into()));
        self
    }

    pub(in crate::testing) fn writing(self, (key, record): (Key, Record)) -> Self {
        self.with(key, Write::put(record))
    }

    pub(in crate::testing) fn deleting(self, key: &Key) -> Self {
        self.with(key.clone(), Write::Delete)
    }

    pub(in crate::testing) fn with(mut self, key: Key, write: Write) -> Self {
        self.0.writes.push((key, write));
        self
    }

    pub(in crate::testing) fn publishing(mut self, outgoing: Outgoing) -> Self {
        self.0.publish.push(outgoing);
        self
    }

    pub(in crate::testing) fn at(mut self, now: Millis) -> Self {
        self.0.now = now;
        self
    }

    /// The same decision made again: another nonce.
    pub(in crate::testing) fn again(&self) -> Self {
        let mut commit = self.0.clone();
        commit.nonce = nonce();
        Self(commit)
    }
}

/// The store's clock; a store that has only its newest record's shows zero while it has none.
pub(in crate::testing) fn present(view: &View) -> Millis {
    if view.store_time == Millis::ZERO {
        instant(0)
    } else {
        view.store_time
    }
}

/// Eight bytes that no other commit of this or another process has; [`RandomState`] draws them from
/// the operating system.
pub(in crate::testing) fn nonce() -> [u8; 8] {
    RandomState::new().hash_one("nonce").to_be_bytes()
}

pub(in crate::testing) async fn commit(store: &dyn Store, draft: &Draft) -> CommitOutcome {
    store.commit(draft.0.clone()).await.unwrap()
}

/// Commits, and must succeed.
pub(in crate::testing) async fn committed(store: &dyn Store, draft: &Draft) -> Committed {
    match commit(store, draft).await {
        CommitOutcome::Committed(committed) => committed,
        refused @ (CommitOutcome::Conflict | CommitOutcome::Fenced | CommitOutcome::ClockSuspect { .. }) => {
            panic!("must commit, but {refused:?}: {draft:?}")
        }
    }
}

/// Reads from [`HERE`].
pub(in crate::testing) async fn read(store: &dyn Store, keys: &[Key]) -> Vec<Option<Versioned>> {
    let view = store.read(HERE, keys).await.unwrap();
    assert_eq!(view.values.len(), keys.len(), "one value for each key");
    view.values
}

/// Reads one record from [`HERE`].
pub(in crate::testing) async fn read_one(store: &dyn Store, key: &Key) -> Option<Versioned> {
    read(store, std::slice::from_ref(key)).await.remove(0)
}

/// The `n`th small record; `value` tells its states apart.
pub(in crate::testing) fn tombstone(n: u32, value: i64) -> (Key, Record) {
    let sid = session_id(n);
    let record = Tombstone {
        sid,
        record: record_id(1),
        until: instant(value),
    };
    (Key::Tombstone(sid), Record::Tombstone(record))
}

//! What a transaction read, by key and by type.

use std::collections::BTreeMap;
use std::sync::Arc;

use curfew_core::decide::Verdict;
use curfew_core::directory::Lease;
use curfew_core::ids::{SessionId, SubjectKey, TenantId};
use curfew_core::place::{Incarnation, Version};
use curfew_core::record::OperationRef;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::session::Row;
use curfew_core::stored::{Checkpoint, Key, Operation, PartitionRecord, Record};
use curfew_core::subject::{Gate, Ledger, Tombstone};
use curfew_core::time::Millis;
use curfew_ports::store::{Versioned, View};

use crate::answer::Answer;
use crate::operation::Remembered;

/// The values of one read.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) incarnation: Incarnation,
    pub(crate) store_time: Millis,
    // A read has five keys as a rule, and 64 at the most: found faster by looking at each than by a tree.
    values: Vec<(Key, Option<Versioned>)>,
}

macro_rules! typed {
    ($name:ident, $arg:ident: $arg_type:ty, $key:expr, $variant:ident, $out:ty) => {
        pub(crate) fn $name(&self, $arg: $arg_type) -> Option<$out> {
            if let Record::$variant(value) = self.record(&$key)? {
                Some(value.clone())
            } else {
                None
            }
        }
    };
}

impl Seen {
    pub(crate) fn new(keys: &[Key], view: View) -> Self {
        Self {
            incarnation: view.incarnation,
            store_time: view.store_time,
            values: keys.iter().cloned().zip(view.values).collect(),
        }
    }

    fn get(&self, key: &Key) -> Option<&Option<Versioned>> {
        self.values
            .iter()
            .find_map(|(read, value)| (read == key).then_some(value))
    }

    fn record(&self, key: &Key) -> Option<&Record> {
        self.get(key)?.as_ref().map(|versioned| &versioned.record)
    }

    /// Whether a record was there under this key.
    pub(crate) fn is_present(&self, key: &Key) -> bool {
        self.version(key).is_some()
    }

    /// The version under this key.
    pub(crate) fn version(&self, key: &Key) -> Option<Version> {
        self.get(key)?.as_ref().map(|value| value.version)
    }

    /// Whether this key was read, present or absent.
    pub(crate) fn has_read(&self, key: &Key) -> bool {
        self.get(key).is_some()
    }

    /// The version of everything that was read.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&Key, Option<Version>)> {
        self.values
            .iter()
            .map(|(key, value)| (key, value.as_ref().map(|value| value.version)))
    }

    pub(crate) fn partition(&self) -> Option<PartitionRecord> {
        if let Record::Partition(record) = self.record(&Key::Partition)? {
            Some(*record)
        } else {
            None
        }
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        if let Record::Checkpoint(checkpoint) = self.record(&Key::Checkpoint)? {
            Some(*checkpoint)
        } else {
            None
        }
    }

    /// What is there, of all that was read.
    pub(crate) fn present(&self) -> BTreeMap<Key, Record> {
        let present = self.values.iter();
        present
            .filter_map(|(key, value)| Some((key.clone(), value.as_ref()?.record.clone())))
            .collect()
    }

    pub(crate) fn sequence(&self) -> Option<u64> {
        if let Record::Sequence(sequence) = self.record(&Key::Sequence)? {
            Some(*sequence)
        } else {
            None
        }
    }

    pub(crate) fn lease(&self, key: &Key) -> Option<Arc<Lease>> {
        if let Record::Lease(lease) = self.record(key)? {
            Some(lease.clone())
        } else {
            None
        }
    }

    typed!(row, sid: SessionId, Key::Session(sid), Session, Arc<Row>);
    typed!(gate, subject: SubjectKey, Key::Gate(subject), Gate, Arc<Gate>);
    typed!(ledger, subject: SubjectKey, Key::Ledger(subject), Ledger, Arc<Ledger>);
    typed!(tombstone, sid: SessionId, Key::Tombstone(sid), Tombstone, Tombstone);

    /// The verdict that a remembered operation has already: other content, or its own work.
    pub(crate) fn recall<T>(
        &self,
        tenant: TenantId,
        operation: Option<OperationRef>,
        known: impl FnOnce(Remembered) -> Option<T>,
    ) -> Option<Verdict<T>> {
        let done = match self.operation(tenant, operation) {
            Err(refusal) => return Some(Verdict::Refused(refusal)),
            Ok(None) => return None,
            Ok(Some(done)) => done,
        };
        let reused = || Refusal::new(Stage::Request, Reason::RequestIdReused).about(done.id.to_string());
        Some(match Remembered::of(done) {
            Err(refusal) => Verdict::Refused(refusal),
            Ok(remembered) => match known(remembered) {
                Some(value) => Verdict::Granted(value),
                None => Verdict::Refused(reused()),
            },
        })
    }

    /// What the operation did when it was tried before; other content under its id is refused.
    fn operation(&self, tenant: TenantId, operation: Option<OperationRef>) -> Answer<Option<&Operation>> {
        let Some(asked) = operation else { return Ok(None) };
        let Some(Record::Operation(done)) = self.record(&Key::Operation(tenant, asked.id)) else {
            return Ok(None);
        };
        if done.request_hash == asked.request_hash {
            Ok(Some(done))
        } else {
            Err(Refusal::new(Stage::Request, Reason::RequestIdReused).about(asked.id.to_string()))
        }
    }
}

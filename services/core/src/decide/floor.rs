//! What only an operator may decide: to open a partition of which something is lost.
//!
//! A partition whose record, sequence and checkpoint are there, and whose log still has all that it has not merged,
//! recovers by itself. Of any other nobody knows what was revoked in it: it opens with a *floor*. What was last
//! written before the floor is over, and one record in each tenant tells guards: `partition`, before `sid`.
//!
//! **Invariant:** a floor never falls, and none is accepted below which an ended session could come back.

use crate::claims::PARTITION_CLAIM;
use crate::decide::cause;
use crate::ids::{OperationId, RecordId, TenantId};
use crate::mac::sha256;
use crate::place::{Incarnation, LogIdentity, Partition};
use crate::record::{Before, Criterion, Initiator, LogRecord, Revocation};
use crate::refusal::{Reason, Refusal, Stage};
use crate::stored::{Checkpoint, Key, PartitionRecord, Record, Write};
use crate::subject::BEFORE_SID;
use crate::time::{DELTA_MS, KEEP_SLACK_MS, Millis};

/// How a partition stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It serves.
    Open,
    /// Another history of the store; all that recovery needs is there.
    Fenced,
    /// Its record, or its sequence, is gone.
    Lost,
    /// What it has not merged is no longer on the log, or nobody knows what it has merged.
    Behind,
    /// It has merged another log.
    OtherLog,
}

/// What is there of a partition, and of its log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The partition.
    pub partition: Partition,
    /// The store's present history.
    pub incarnation: Incarnation,
    /// The partition's record.
    pub record: Option<PartitionRecord>,
    /// The number of its newest log record.
    pub sequence: Option<u64>,
    /// How far it has merged.
    pub checkpoint: Option<Checkpoint>,
    /// The log that is followed.
    pub log: LogIdentity,
    /// The oldest offset that its log partition retains.
    pub log_start: u64,
}

impl Found {
    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let (Some(record), Some(_)) = (self.record, self.sequence) else {
            return Standing::Lost;
        };
        let is_behind = self
            .checkpoint
            .is_none_or(|checkpoint| checkpoint.offset < self.log_start);
        match (
            record.log == self.log,
            record.incarnation == self.incarnation,
            is_behind,
        ) {
            (false, _, _) => Standing::OtherLog,
            // What it has merged matters to the next recovery alone.
            (true, true, _) => Standing::Open,
            (true, false, true) => Standing::Behind,
            (true, false, false) => Standing::Fenced,
        }
    }

    /// The least floor that it opens with; `oldest`: when the oldest record that its log partition retains was
    /// appended, `None` where it has none.
    ///
    /// What the store has of a session that was ended was written before it was ended. An ending that is on the log is
    /// merged from there; one that is not is older than the log's oldest record, and so is what the store has.
    #[must_use]
    pub fn least_floor(&self, oldest: Option<Millis>, now: Millis) -> Millis {
        match self.standing() {
            Standing::Open | Standing::Fenced => Millis::ZERO,
            Standing::Lost | Standing::Behind => oldest.unwrap_or(now),
            Standing::OtherLog => now,
        }
    }
}

impl Standing {
    /// Whether nobody but an operator opens it.
    #[must_use]
    pub const fn needs_an_operator(self) -> bool {
        match self {
            Self::Lost | Self::Behind | Self::OtherLog => true,
            Self::Open | Self::Fenced => false,
        }
    }

    /// In words: what it is, and who mends it.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Open => "it serves",
            Self::Fenced => "another history of the store: it recovers by itself, from the log",
            Self::Lost => "its record is gone: it opens by an operator's floor alone",
            Self::Behind => {
                "the log no longer has all that it has not merged: it opens by an operator's floor alone"
            }
            Self::OtherLog => {
                "it has merged another log: the log is adopted, or it opens by an operator's floor"
            }
        }
    }
}

/// The writes that open a partition with a floor, to be committed if all of it is as it was found.
///
/// `least` is the partition's [`Found::least_floor`]. All that the log retains is merged again: what is merged twice
/// changes nothing.
///
/// # Errors
/// `AlreadyExists`: it is open and well. `FieldInvalid`: the floor lies ahead, or an ended session could come back.
pub fn open(found: &Found, floor: Millis, least: Millis, now: Millis) -> Result<[(Key, Write); 3], Refusal> {
    let refuse = |reason, about: String| Err(Refusal::new(Stage::Request, reason).about(about));
    let number = found.partition.number();
    if found.standing() == Standing::Open {
        return refuse(
            Reason::AlreadyExists,
            format!("partition {number} is open and well"),
        );
    }
    if floor.ms_since(now) > DELTA_MS {
        return refuse(
            Reason::FieldInvalid,
            format!("floor: {} ms ahead of this node's clock", floor.ms_since(now)),
        );
    }
    if floor < least {
        return refuse(
            Reason::FieldInvalid,
            format!(
                "floor: {} ms before what the log still tells of partition {number}: sessions that were ended could come back",
                least.ms_since(floor)
            ),
        );
    }
    let former = found.record.map_or(Millis::ZERO, |record| record.floor);
    let record = PartitionRecord {
        incarnation: found.incarnation,
        opened: now,
        floor: former.max(floor),
        log: found.log,
    };
    // A number that was lost is not given again: no partition numbers more than one record a millisecond for ever.
    let sequence = found
        .sequence
        .unwrap_or_else(|| u64::try_from(now.as_unix_ms()).unwrap_or(0));
    let checkpoint = Checkpoint {
        offset: found.log_start,
        incarnation: found.incarnation,
        at: now,
    };
    Ok([
        (Key::Partition, Write::put(Record::Partition(record))),
        (Key::Sequence, Write::put(Record::Sequence(sequence))),
        (Key::Checkpoint, Write::put(Record::Checkpoint(checkpoint))),
    ])
}

/// The record by which guards learn of a floor; its id is the same however often the operation is repeated.
#[must_use]
pub fn mark(
    found: &Found,
    tenant: TenantId,
    floor: Millis,
    keep_ms: i64,
    operation: OperationId,
    now: Millis,
) -> Revocation {
    let number = found.partition.number();
    let named = [
        b"floor".as_slice(),
        operation.as_bytes(),
        &number.to_be_bytes(),
        tenant.as_bytes(),
        &floor.as_unix_ms().to_be_bytes(),
    ]
    .concat();
    let mut id = [0; 16];
    id.iter_mut()
        .zip(sha256(&named))
        .for_each(|(to, from)| *to = from);
    Revocation {
        id: RecordId::from_random(id),
        operation: None,
        tenant,
        issuer: tenant.own_issuer(),
        all_of: vec![Criterion::new(PARTITION_CLAIM, number.to_string())],
        before: Some(Before {
            claim: BEFORE_SID.into(),
            instant: floor,
        }),
        except: Vec::new(),
        keep_until: now.plus_ms(keep_ms.saturating_add(KEEP_SLACK_MS)),
        decided_at: now,
        cause: cause::partition_lost(),
        initiator: Initiator::Admin,
        home: found.partition,
        wide: false,
        sequence: 0,
        // The store keeps it as the partition's floor, which the same command writes.
        incarnation: Some(found.incarnation),
        subject_key: None,
        row: None,
        scope: PARTITION_CLAIM.into(),
        correlation_id: None,
        trace: None,
    }
}

/// The floor that records of the log tell of a partition, where one does: a failover may have lost what opened it.
#[must_use]
pub fn told<'a>(partition: Partition, records: impl Iterator<Item = &'a LogRecord>) -> Millis {
    let number = partition.number().to_string();
    let floor_of = |record: &LogRecord| {
        let LogRecord::Revocation(revocation) = record else {
            return None;
        };
        let [criterion] = revocation.all_of.as_slice() else {
            return None;
        };
        let is_floor = revocation.home == partition
            && &*criterion.claim == PARTITION_CLAIM
            && *criterion.value == *number;
        let before = revocation
            .before
            .as_ref()
            .filter(|before| &*before.claim == BEFORE_SID);
        before.filter(|_| is_floor).map(|before| before.instant)
    };
    records.filter_map(floor_of).max().unwrap_or(Millis::ZERO)
}

#[cfg(test)]
mod tests;

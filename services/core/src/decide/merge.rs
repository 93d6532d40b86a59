//! Merging: what the log says of a partition becomes true in its store (DESIGN section 5, *follower*).
//!
//! After a failover the store is an earlier prefix of what was promised; the log has the rest. What was
//! decided under another incarnation, or went to the log first, is joined with what is there.
//!
//! **Invariant:** merging is a join: any order, any copies, any number of times leave the same store.
//! Nothing that ended revives, and an absent row is never made (invariant 5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::decide::book::{gate_write, row_write};
use crate::directory::WideMark;
use crate::ids::{OperationId, SessionId, SubjectId, SubjectKey, TenantId};
use crate::place::{Incarnation, Partition};
use crate::record::{
    DirectoryChange, Initiator, LogRecord, OperationRef, Revocation, SubjectChange, SubjectState,
};
use crate::session::{Ending, Life, Row};
use crate::stored::{Key, Operation, Record, Write};
use crate::subject::{Gate, Ledger, Tombstone};
use crate::time::{Millis, OPERATION_LIFE_MS, WIDE_AHEAD_MS};

/// A record that the store may lack.
#[derive(Clone, PartialEq, Debug)]
pub struct Heard {
    /// As it lies on the log.
    pub record: LogRecord,
    /// The opened body of a directory record; `None`: it was deleted, or the record is of another kind.
    pub body: Option<Record>,
}

/// Where and when it is merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// The authority's clock.
    pub now: Millis,
    /// The partition whose records these are.
    pub partition: Partition,
    /// The longest life of a session of any tenant, ms: marks outlive what they cover.
    pub session_life_max_ms: i64,
    /// The tenant of Curfew's own callers and keys, where it is known.
    pub system: Option<TenantId>,
}

/// Whether a record of the log must be merged by a commit under `present`: it has its home there, and was
/// not committed under that incarnation.
#[must_use]
pub fn is_lacking(record: &LogRecord, partition: Partition, present: Incarnation) -> bool {
    home_of(record).is_some_and(|(home, incarnation)| home == partition && incarnation != Some(present))
}

/// The partition whose store keeps what a record says, and the incarnation that it was committed under;
/// `None`: no store keeps it (`jti` alone, foreign issuers, heartbeats, skips).
#[must_use]
pub fn home_of(record: &LogRecord) -> Option<(Partition, Option<Incarnation>)> {
    match record {
        // One of a foreign issuer or by `jti` alone has an operation to be remembered, where it has one.
        LogRecord::Revocation(revocation) => Some((revocation.home, revocation.incarnation)),
        LogRecord::SubjectState(state) => Some((state.partition, state.incarnation)),
        LogRecord::Directory(change) => Some((Partition::DIRECTORY, change.incarnation)),
        LogRecord::Heartbeat(_) | LogRecord::Skip(_) | LogRecord::Unknown(_) | LogRecord::Withheld => None,
    }
}

/// What must be read to merge a record, beside the sequence.
#[must_use]
pub fn keys_of(record: &LogRecord, system: Option<TenantId>) -> Vec<Key> {
    let mut keys = Vec::with_capacity(5);
    match record {
        LogRecord::Revocation(revocation) => {
            if revocation.wide {
                keys.push(Key::WideMark(revocation.id));
            }
            if let Some(sid) = revocation.row {
                keys.extend([Key::Session(sid), Key::Tombstone(sid)]);
            }
            if let Some(key) = revocation.subject_key {
                keys.extend([Key::Gate(key), Key::Ledger(key)]);
            }
        }
        LogRecord::SubjectState(state) => keys.push(Key::Gate(state.subject_key)),
        LogRecord::Directory(change) => keys.extend(Key::of_directory_name(&change.name)),
        LogRecord::Heartbeat(_) | LogRecord::Skip(_) | LogRecord::Unknown(_) | LogRecord::Withheld => {}
    }
    if let Some((tenant, operation)) = operation_of(record, system) {
        keys.push(Key::Operation(tenant, operation));
    }
    keys
}

/// Joins records with what was read (the present ones of all keys that [`keys_of`] names, and the sequence);
/// what has changed by it is written.
///
/// `result` forms what an operation is remembered by, from the records that it wrote.
pub fn merge(
    at: &At,
    present: BTreeMap<Key, Record>,
    heard: &[Heard],
    result: &dyn Fn(&[&LogRecord]) -> Vec<u8>,
) -> Vec<(Key, Write)> {
    let mut draft = Draft {
        at,
        present,
        writes: BTreeMap::new(),
    };
    for one in heard {
        match &one.record {
            LogRecord::Revocation(revocation) if revocation.wide => draft.wide(revocation),
            LogRecord::Revocation(revocation) => draft.narrow(revocation),
            LogRecord::SubjectState(state) => draft.subject_state(state),
            LogRecord::Directory(change) => draft.directory(change, one.body.as_ref()),
            LogRecord::Heartbeat(_) | LogRecord::Skip(_) | LogRecord::Unknown(_) | LogRecord::Withheld => {}
        }
    }
    draft.sequence(heard);
    draft.operations(heard, result);
    draft.writes.into_iter().collect()
}

/// What is there, and what becomes of it.
struct Draft<'a> {
    at: &'a At,
    present: BTreeMap<Key, Record>,
    writes: BTreeMap<Key, Write>,
}

impl Draft<'_> {
    fn put(&mut self, key: Key, write: Write) {
        match &write {
            Write::Put { record, .. } => drop(self.present.insert(key.clone(), record.clone())),
            Write::Delete => drop(self.present.remove(&key)),
        }
        self.writes.insert(key, write);
    }

    fn row(&self, sid: SessionId) -> Option<Row> {
        if let Some(Record::Session(row)) = self.present.get(&Key::Session(sid)) {
            Some(Row::clone(row))
        } else {
            None
        }
    }

    fn gate(&self, key: SubjectKey) -> Option<Gate> {
        if let Some(Record::Gate(gate)) = self.present.get(&Key::Gate(key)) {
            Some(Gate::clone(gate))
        } else {
            None
        }
    }

    fn ledger(&self, key: SubjectKey) -> Option<Ledger> {
        if let Some(Record::Ledger(ledger)) = self.present.get(&Key::Ledger(key)) {
            Some(Ledger::clone(ledger))
        } else {
            None
        }
    }

    /// Until when a mark may be needed that was decided at `decided_at`.
    fn needed_until(&self, decided_at: Millis, keep_until: Millis) -> Millis {
        let longest = WIDE_AHEAD_MS.saturating_add(self.at.session_life_max_ms);
        decided_at.plus_ms(longest).max(keep_until)
    }

    fn wide(&mut self, revocation: &Revocation) {
        let key = Key::WideMark(revocation.id);
        if self.present.contains_key(&key) {
            return;
        }
        let lives_until = self.needed_until(revocation.decided_at, revocation.keep_until);
        let mark = WideMark {
            record: revocation.clone(),
            lives_until,
            last_copy_at: revocation.decided_at,
        };
        self.put(key, Write::until(Record::WideMark(Arc::new(mark)), lives_until));
        self.changed_directory();
    }

    fn directory(&mut self, change: &DirectoryChange, body: Option<&Record>) {
        let Some(key) = Key::of_directory_name(&change.name) else {
            return;
        };
        if self.present.get(&key) == body {
            return;
        }
        match (&change.body, body) {
            (None, _) => self.put(key, Write::Delete),
            (Some(_), Some(record)) => self.put(key, Write::put(record.clone())),
            // What could not be opened is not known, and takes nothing away.
            (Some(_), None) => return,
        }
        self.changed_directory();
    }

    fn changed_directory(&mut self) {
        self.put(Key::DirectoryVersion, Write::put(Record::DirectoryVersion));
    }

    fn narrow(&mut self, revocation: &Revocation) {
        if revocation.issuer != revocation.tenant.own_issuer() {
            return;
        }
        let ends = |claim: &str, value: &str| {
            let mut criteria = revocation.all_of.iter();
            let is_it = criteria
                .next()
                .is_some_and(|c| &*c.claim == claim && &*c.value == value);
            is_it && criteria.next().is_none() && revocation.before.is_none()
        };
        let row = revocation.row.and_then(|sid| self.row(sid));
        let row = row.filter(|row| row.tenant == revocation.tenant);
        match (revocation.row, row) {
            (Some(sid), Some(row)) if ends("sid", &sid.to_string()) => self.end_session(row, revocation),
            (Some(sid), None) if ends("sid", &sid.to_string()) => self.bury(sid, revocation),
            (Some(_), Some(row)) if self.end_grant(&row, revocation, ends) => {}
            // A grant of a row that is gone is gone with it.
            (Some(_), None) if is_of_grant(revocation) => {}
            (Some(_) | None, _) => self.mark(revocation),
        }
    }

    fn end_session(&mut self, mut row: Row, revocation: &Revocation) {
        if is_news(&row.life, revocation) {
            row.life = Life::Ended(ending_of(revocation));
            let (sid, expires_at) = (row.sid, row.expires_at);
            // When it was last written stays as it is: a floor looks at it.
            self.put(Key::Session(sid), row_write(row));
            let Some(key) = revocation.subject_key else { return };
            if let Some(mut ledger) = self.ledger(key) {
                ledger.remove(sid);
                let until = ledger.needed_until().max(expires_at);
                self.put(
                    Key::Ledger(key),
                    Write::until(Record::Ledger(Arc::new(ledger)), until),
                );
            }
        }
    }

    /// Nothing may make a row under this id (Q17).
    fn bury(&mut self, sid: SessionId, revocation: &Revocation) {
        let key = Key::Tombstone(sid);
        let until = revocation.keep_until;
        if let Some(Record::Tombstone(present)) = self.present.get(&key)
            && present.until >= until
        {
            return;
        }
        let tombstone = Tombstone {
            sid,
            record: revocation.id,
            until,
        };
        self.put(key, Write::until(Record::Tombstone(tombstone), until));
    }

    /// Whether the record ends a grant of this row, now or before.
    fn end_grant(&mut self, row: &Row, revocation: &Revocation, ends: impl Fn(&str, &str) -> bool) -> bool {
        let mut row = row.clone();
        let mut grants = row.grants.iter_mut();
        let Some(grant) = grants.find(|grant| ends("gid", &grant.gid.to_string())) else {
            // A grant that the row does not have was lost with the suffix, and its tokens with it.
            return is_of_grant(revocation);
        };
        if is_news(&grant.life, revocation) {
            grant.life = Life::Ended(ending_of(revocation));
            self.put(Key::Session(row.sid), row_write(row));
        }
        true
    }

    /// Keeps a mark in its subject's gate.
    fn mark(&mut self, revocation: &Revocation) {
        let Some(key) = revocation.subject_key else { return };
        let named = revocation
            .all_of
            .iter()
            .find(|criterion| &*criterion.claim == "oid");
        let named = named.and_then(|criterion| SubjectId::new(&criterion.value).ok());
        let present = self.gate(key);
        // No gate, no refresh: what names no subject has nothing to be kept beside.
        let opened = || {
            named
                .clone()
                .map(|subject| Gate::open(revocation.tenant, subject))
        };
        let Some(mut gate) = present.clone().or_else(opened) else {
            return;
        };
        if gate.tenant != revocation.tenant || named.is_some_and(|subject| subject != gate.subject) {
            return;
        }
        gate.keep(revocation);
        gate.needed_for(self.needed_until(revocation.decided_at, revocation.keep_until));
        self.cut_off(key, &gate, revocation);
        if present.as_ref() != Some(&gate) {
            self.put(Key::Gate(key), gate_write(gate));
        }
    }

    /// A cut-off of births moves the subject's clock to at least itself, and empties the list of what is dead.
    fn cut_off(&mut self, key: SubjectKey, gate: &Gate, revocation: &Revocation) {
        let Some(before) = revocation
            .before
            .as_ref()
            .filter(|b| &*b.claim == crate::subject::BEFORE_SID)
        else {
            return;
        };
        let present = self.ledger(key);
        let made = || Ledger::new(gate.tenant, gate.subject.clone());
        let mut ledger = present.clone().unwrap_or_else(made);
        ledger.clock = ledger.clock.max(before.instant);
        ledger
            .sessions
            .retain(|entry| !gate.cut_off.is_dead(Some(entry.sid.birth()), Some(entry.sid)));
        if present.as_ref() != Some(&ledger) {
            let until = ledger.needed_until().max(gate.needed_until);
            self.put(
                Key::Ledger(key),
                Write::until(Record::Ledger(Arc::new(ledger)), until),
            );
        }
    }

    fn subject_state(&mut self, state: &SubjectState) {
        let key = state.subject_key;
        let present = self.gate(key);
        let opened = || Gate::open(state.tenant, state.subject.clone());
        let mut gate = present.clone().unwrap_or_else(opened);
        if gate.tenant != state.tenant || gate.subject != state.subject {
            return;
        }
        match &state.change {
            SubjectChange::Disable => {
                if !gate.disables.contains(&state.id) && !gate.lifted.contains(&state.id) {
                    gate.disables.push(state.id);
                }
            }
            SubjectChange::Enable { lifts } => {
                gate.disables.retain(|id| !lifts.contains(id));
                let unseen: Vec<_> = lifts
                    .iter()
                    .filter(|id| !gate.lifted.contains(id))
                    .copied()
                    .collect();
                gate.lifted.extend(unseen);
            }
        }
        gate.needed_for(self.needed_until(state.decided_at, state.decided_at));
        if present.as_ref() != Some(&gate) {
            self.put(Key::Gate(key), gate_write(gate));
        }
    }

    /// Numbers of a lost suffix are not given again.
    fn sequence(&mut self, heard: &[Heard]) {
        let told = heard.iter().filter_map(|one| match &one.record {
            LogRecord::Revocation(revocation) => Some(revocation.sequence),
            LogRecord::SubjectState(state) => Some(state.sequence),
            LogRecord::Directory(change) => Some(change.sequence),
            LogRecord::Heartbeat(_) | LogRecord::Skip(_) | LogRecord::Unknown(_) | LogRecord::Withheld => {
                None
            }
        });
        let newest = told.max().unwrap_or_default();
        // An absent one is a loss, and is not made good here.
        if let Some(Record::Sequence(present)) = self.present.get(&Key::Sequence)
            && *present < newest
        {
            self.put(Key::Sequence, Write::put(Record::Sequence(newest)));
        }
    }

    /// A retry knows its own work, though the commit that remembered it was lost.
    fn operations(&mut self, heard: &[Heard], result: &dyn Fn(&[&LogRecord]) -> Vec<u8>) {
        let system = self.at.system;
        let named = heard.iter().filter_map(|one| operation_of(&one.record, system));
        let named: BTreeSet<_> = named.collect();
        for (tenant, id) in named {
            let key = Key::Operation(tenant, id);
            if self.present.contains_key(&key) {
                continue;
            }
            let is_its = |one: &&Heard| operation_of(&one.record, system) == Some((tenant, id));
            let records: Vec<_> = heard.iter().filter(is_its).map(|one| &one.record).collect();
            let Some((operation, at)) = records.first().and_then(|record| written_by(record, self.at.now))
            else {
                continue;
            };
            let collect_at = at.plus_ms(OPERATION_LIFE_MS);
            if collect_at <= self.at.now {
                continue;
            }
            let remembered = Operation {
                id,
                request_hash: operation.request_hash,
                result: result(&records).into(),
                records: records.iter().filter_map(|record| record.event_id()).collect(),
                at,
            };
            self.put(
                key,
                Write::Put {
                    record: Record::Operation(remembered),
                    collect_at: Some(collect_at),
                },
            );
        }
    }
}

/// Whether these are the criteria of one grant and nothing else.
fn is_of_grant(revocation: &Revocation) -> bool {
    let mut criteria = revocation.all_of.iter();
    let is_gid = criteria
        .next()
        .is_some_and(|criterion| &*criterion.claim == "gid");
    is_gid && criteria.next().is_none() && revocation.before.is_none()
}

/// Whether a record ends what is alive, or ended it before the record that is known: of two, the first one counts,
/// whichever is merged first.
fn is_news(life: &Life, revocation: &Revocation) -> bool {
    let known = life.ending().map(|ending| (ending.at, ending.record));
    known.is_none_or(|known| (revocation.decided_at, revocation.id) < known)
}

fn ending_of(revocation: &Revocation) -> Ending {
    Ending {
        at: revocation.decided_at,
        cause: revocation.cause.clone(),
        record: revocation.id,
    }
}

/// The operation of a caller that a record is the work of, by tenant.
///
/// What a rule ended on the way of something else (a cap) is not that operation's result: with the commit its
/// own work was lost, and a retry does it again.
fn operation_of(record: &LogRecord, system: Option<TenantId>) -> Option<(TenantId, OperationId)> {
    match record {
        LogRecord::Revocation(revocation) if revocation.initiator == Initiator::Policy => None,
        LogRecord::Revocation(revocation) => Some((revocation.tenant, revocation.operation?.id)),
        LogRecord::SubjectState(state) => Some((state.tenant, state.operation?.id)),
        LogRecord::Directory(change) => {
            let key = Key::of_directory_name(&change.name)?;
            let tenant = if let Key::Tenant(tenant)
            | Key::Client(tenant, _)
            | Key::Resource(tenant, _)
            | Key::Issuer(tenant, _) = key
            {
                tenant
            } else {
                system?
            };
            Some((tenant, change.operation?.id))
        }
        LogRecord::Heartbeat(_) | LogRecord::Skip(_) | LogRecord::Unknown(_) | LogRecord::Withheld => None,
    }
}

/// The operation that wrote a record, and when.
fn written_by(record: &LogRecord, now: Millis) -> Option<(OperationRef, Millis)> {
    match record {
        LogRecord::Revocation(revocation) => Some((revocation.operation?, revocation.decided_at.min(now))),
        LogRecord::SubjectState(state) => Some((state.operation?, state.decided_at.min(now))),
        LogRecord::Directory(change) => Some((change.operation?, change.version.min(now))),
        LogRecord::Heartbeat(_) | LogRecord::Skip(_) | LogRecord::Unknown(_) | LogRecord::Withheld => None,
    }
}

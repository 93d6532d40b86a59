//! A decision in the making: what it writes and what it publishes.
//!
//! **Invariant 11:** an ending publishes exactly one revocation; what is over already publishes none.

use std::sync::Arc;

use crate::decide::{Context, Motive};
use crate::ids::{IssuerId, RecordId, SessionId, SubjectKey, TenantId};
use crate::mac::Entropy;
use crate::record::{Before, Criterion, OperationRef, Outgoing, Revocation};
use crate::session::{Ending, Life, Row};
use crate::stored::{Decision, Key, Operation, Record, Write};
use crate::subject::Gate;
use crate::time::Millis;

/// What a revocation concerns, before it has an id and a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The issuer entry.
    pub issuer: IssuerId,
    /// The claims.
    pub all_of: Vec<Criterion>,
    /// The instant.
    pub before: Option<Before>,
    /// The spared sessions.
    pub except: Vec<SessionId>,
    /// Until when it matters.
    pub keep_until: Millis,
    /// In every log partition.
    pub wide: bool,
    /// The subject.
    pub subject_key: Option<SubjectKey>,
    /// The row.
    pub row: Option<SessionId>,
    /// What people call it.
    pub scope: &'static str,
}

/// A decision in the making: it numbers and collects what is written and published.
#[derive(Debug)]
pub struct Book<'a> {
    /// What may be looked at.
    pub context: &'a Context<'a>,
    /// Chance.
    pub entropy: &'a mut Entropy,
    writes: Vec<(Key, Write)>,
    publish: Vec<Outgoing>,
    sequence: u64,
}

impl<'a> Book<'a> {
    /// An empty book.
    #[must_use]
    pub const fn new(context: &'a Context<'a>, entropy: &'a mut Entropy) -> Self {
        Self {
            context,
            entropy,
            writes: Vec::new(),
            publish: Vec::new(),
            sequence: context.sequence,
        }
    }

    /// Writes a record.
    pub fn write(&mut self, key: Key, write: Write) {
        self.writes.retain(|(present, _)| *present != key);
        self.writes.push((key, write));
    }

    /// Writes a row back; it may be collected a day after its logical end.
    pub fn write_row(&mut self, mut row: Row) {
        row.written_at = self.context.now;
        row.forget_ended_grants(self.context.now);
        self.write(Key::Session(row.sid), row_write(row));
    }

    /// Writes a gate.
    pub fn write_gate(&mut self, key: SubjectKey, gate: Gate) {
        self.write(Key::Gate(key), gate_write(gate));
    }

    /// The partition's next sequence number.
    pub fn next_sequence(&mut self) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        self.write(Key::Sequence, Write::put(Record::Sequence(self.sequence)));
        self.sequence
    }

    /// A new record id.
    pub fn record_id(&mut self) -> RecordId {
        RecordId::from_random(self.entropy.draw())
    }

    /// Publishes whatever is to be published.
    pub fn publish(&mut self, outgoing: Outgoing) {
        self.publish.push(outgoing);
    }

    /// Publishes a revocation with the same commit; returns it as it will lie on the log.
    pub fn revoke(&mut self, draft: Draft, motive: &Motive) -> Revocation {
        self.revoke_for(self.context.tenant.id, draft, motive)
    }

    /// The same for another tenant than the one that is asked about: a key is every tenant's.
    pub fn revoke_for(&mut self, tenant: TenantId, draft: Draft, motive: &Motive) -> Revocation {
        let id = self.record_id();
        let mut all_of = draft.all_of;
        all_of.sort();
        let revocation = Revocation {
            id,
            operation: motive.operation,
            tenant,
            issuer: draft.issuer,
            all_of,
            before: draft.before,
            except: draft.except,
            keep_until: draft.keep_until,
            decided_at: self.context.now,
            cause: motive.cause.clone(),
            initiator: motive.initiator,
            home: self.context.partition,
            wide: draft.wide,
            sequence: self.next_sequence(),
            incarnation: Some(self.context.incarnation),
            subject_key: draft.subject_key,
            row: draft.row,
            scope: draft.scope.into(),
            correlation_id: motive.correlation_id.clone(),
            trace: None,
        };
        self.publish(Outgoing::revocation(revocation.clone()));
        revocation
    }

    /// Remembers the result of the caller's operation for a day.
    pub fn remember(&mut self, tenant: TenantId, operation: Option<OperationRef>, result: Vec<u8>) {
        let Some(operation) = operation else { return };
        let now = self.context.now;
        let records = self
            .publish
            .iter()
            .filter_map(|outgoing| outgoing.record.event_id())
            .collect();
        let record = Operation {
            id: operation.id,
            request_hash: operation.request_hash,
            result: result.into(),
            records,
            at: now,
        };
        // It is remembered for a day, and collected when that day is over.
        let collect_at = Some(now.plus_ms(crate::time::OPERATION_LIFE_MS));
        self.write(
            Key::Operation(tenant, operation.id),
            Write::Put {
                record: Record::Operation(record),
                collect_at,
            },
        );
    }

    /// Ends a session: its row and one record; what is over already publishes nothing.
    pub fn end_session(
        &mut self,
        row: &mut Row,
        subject_key: SubjectKey,
        motive: &Motive,
    ) -> Option<RecordId> {
        if !row.life.is_alive() {
            return None;
        }
        let draft = Draft {
            issuer: row.tenant.own_issuer(),
            all_of: vec![Criterion::new("sid", row.sid.to_string())],
            before: None,
            except: Vec::new(),
            keep_until: self.context.keep_until_of_row(row),
            wide: false,
            subject_key: Some(subject_key),
            row: Some(row.sid),
            scope: "session",
        };
        let record = self.revoke(draft, motive).id;
        row.life = Life::Ended(Ending {
            at: self.context.now,
            cause: motive.cause.clone(),
            record,
        });
        Some(record)
    }

    /// Ends a grant of a living row: one record; what is over already publishes nothing.
    pub fn end_grant(
        &mut self,
        row: &mut Row,
        gid: crate::ids::GrantId,
        subject_key: SubjectKey,
        motive: &Motive,
    ) -> Option<RecordId> {
        if !row.life.is_alive() || !row.grant(gid)?.life.is_alive() {
            return None;
        }
        let draft = Draft {
            issuer: row.tenant.own_issuer(),
            all_of: vec![Criterion::new("gid", gid.to_string())],
            before: None,
            except: Vec::new(),
            keep_until: self.context.keep_until_of_row(row),
            wide: false,
            subject_key: Some(subject_key),
            row: Some(row.sid),
            scope: "grant",
        };
        let record = self.revoke(draft, motive).id;
        let ending = Ending {
            at: self.context.now,
            cause: motive.cause.clone(),
            record,
        };
        let grant = row.grants.iter_mut().find(|grant| grant.gid == gid)?;
        grant.life = Life::Ended(ending);
        Some(record)
    }

    /// The finished decision.
    #[must_use]
    pub fn close<T>(self, outcome: T) -> Decision<T> {
        Decision {
            partition: self.context.partition,
            outcome,
            writes: self.writes,
            publish: self.publish,
        }
    }
}

/// A row; it may be collected a day after its logical end.
pub(super) fn row_write(row: Row) -> Write {
    let end = row
        .life
        .ending()
        .map_or(row.expires_at, |ending| ending.at.max(row.latest_expiry));
    Write::until(Record::Session(Arc::new(row)), end)
}

/// A gate; one that is disabled stays for as long as the directory of people may name it.
pub(super) fn gate_write(gate: Gate) -> Write {
    let until = gate.needed_until;
    match gate.is_disabled() {
        true => Write::put(Record::Gate(Arc::new(gate))),
        false => Write::until(Record::Gate(Arc::new(gate)), until),
    }
}

//! What the store keeps of a subject: the gate, which every refresh reads, and the ledger, which
//! openings and endings touch. Two records, so that a refresh conflicts with no sign-in.
//!
//! **Invariant:** absence is never permission; a gate outlives the longest row behind it.

use crate::cutoff::CutOff;
use crate::ids::{RecordId, SessionId, SubjectId, TenantId};
use crate::index::{Entry, Index};
use crate::record::{Criterion, Revocation};
use crate::time::Millis;

/// Marks that one gate may hold beside its cut-off.
pub const GATE_MARKS_MAX: usize = 64;
const GATE_SLACK_MS: i64 = 365 * 24 * 3_600_000;

/// State and marks of one subject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gate {
    /// The tenant.
    pub tenant: TenantId,
    /// The whole subject; another one with the same key is refused.
    pub subject: SubjectId,
    /// Ids of disables that no enable has lifted.
    pub disables: Vec<RecordId>,
    /// Ids that an enable lifted before their disable was seen (any order, any copies).
    pub lifted: Vec<RecordId>,
    /// The subject's cut-off.
    pub cut_off: CutOff,
    /// The record that set the cut-off last.
    pub cut_off_by: Option<Entry>,
    /// Narrow marks of other shapes, as records; they stay while what they cover could be refreshed.
    pub marks: Vec<Revocation>,
    /// No row behind this gate lives longer.
    pub needed_until: Millis,
}

impl Gate {
    /// The gate of a subject of which nothing bad is known.
    #[must_use]
    pub const fn open(tenant: TenantId, subject: SubjectId) -> Self {
        Self {
            tenant,
            subject,
            disables: Vec::new(),
            lifted: Vec::new(),
            cut_off: CutOff::bottom(),
            cut_off_by: None,
            marks: Vec::new(),
            needed_until: Millis::ZERO,
        }
    }

    /// Keeps it for a row that ends at `end`, and for a year of slack: subjects come back, and a gate
    /// is rewritten seldom.
    pub fn needed_for(&mut self, end: Millis) {
        if self.needed_until < end {
            self.needed_until = end.plus_ms(GATE_SLACK_MS);
        }
    }

    /// Disabled iff one disable is left.
    #[must_use]
    pub const fn is_disabled(&self) -> bool {
        !self.disables.is_empty()
    }

    /// The marks as an index, so that gate and guard judge by one function.
    #[must_use]
    pub fn index(&self) -> Index {
        let mut index = Index::default();
        if let Some(entry) = &self.cut_off_by {
            let cut = Some((BEFORE_SID.into(), self.cut_off.clone()));
            index.insert_entry(Entry { cut, ..entry.clone() });
        }
        for mark in &self.marks {
            index.insert(mark);
        }
        index
    }

    /// Keeps a narrow mark: a cut-off of the whole subject is joined, another shape is listed once.
    pub fn keep(&mut self, record: &Revocation) {
        if self.is_whole_subject(record) {
            let entry = Entry::of(record);
            let Some((_, cut_off)) = &entry.cut else { return };
            let newer = self.cut_off_by.as_ref().is_none_or(|present| {
                (self.cut_off.default_instant(), present.winner.id)
                    < (cut_off.default_instant(), entry.winner.id)
            });
            self.cut_off = self.cut_off.join(cut_off);
            let keep_until = self
                .cut_off_by
                .as_ref()
                .map_or(entry.keep_until, |e| e.keep_until.max(entry.keep_until));
            match &mut self.cut_off_by {
                Some(present) if !newer => present.keep_until = keep_until,
                place @ (Some(_) | None) => *place = Some(Entry { keep_until, ..entry }),
            }
        } else if !self.marks.iter().any(|mark| mark.id == record.id) {
            self.marks.push(record.clone());
        }
    }

    fn is_whole_subject(&self, record: &Revocation) -> bool {
        let by_sid = record
            .before
            .as_ref()
            .is_some_and(|before| &*before.claim == BEFORE_SID);
        by_sid && record.all_of == [whole_subject(&self.subject)]
    }
}

/// The claim whose birth a subject's cut-off compares.
pub const BEFORE_SID: &str = "sid";

/// The criterion of a whole subject: `oid`, since `sub` may be pairwise (DESIGN section 6, Q31).
#[must_use]
pub fn whole_subject(subject: &SubjectId) -> Criterion {
    Criterion::new("oid", subject.as_str())
}

/// Logical clock and list of sessions of one subject. The list is a hint; the rows are the truth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ledger {
    /// The tenant.
    pub tenant: TenantId,
    /// The whole subject.
    pub subject: SubjectId,
    /// No birth and no cut-off of this subject is later.
    pub clock: Millis,
    /// The sessions that were open when it was last written, in order of their ids.
    pub sessions: Vec<LedgerEntry>,
}

/// One session as its subject's ledger knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LedgerEntry {
    /// The session.
    pub sid: SessionId,
    /// When it was used last, as far as the ledger knows.
    pub last_used: Millis,
    /// When it is over whatever happens.
    pub expires_at: Millis,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub const fn new(tenant: TenantId, subject: SubjectId) -> Self {
        Self {
            tenant,
            subject,
            clock: Millis::ZERO,
            sessions: Vec::new(),
        }
    }

    /// Adds a session in its place.
    pub fn add(&mut self, entry: LedgerEntry) {
        let place = self.sessions.partition_point(|present| present.sid < entry.sid);
        self.sessions.insert(place, entry);
    }

    /// Forgets a session.
    pub fn remove(&mut self, sid: SessionId) {
        self.sessions.retain(|entry| entry.sid != sid);
    }

    /// When nothing of it matters any more: its last session is over, and its clock is past.
    #[must_use]
    pub fn needed_until(&self) -> Millis {
        let sessions = self.sessions.iter().map(|entry| entry.expires_at);
        sessions.fold(self.clock, Millis::max)
    }

    /// Forgets what time has ended.
    pub fn forget_expired(&mut self, now: Millis) {
        self.sessions.retain(|entry| entry.expires_at > now);
    }

    /// The session that has been unused longest.
    #[must_use]
    pub fn longest_unused(&self) -> Option<SessionId> {
        self.sessions
            .iter()
            .min_by_key(|entry| (entry.last_used, entry.sid))
            .map(|entry| entry.sid)
    }
}

/// A revoked session whose row is not there: nothing may create one under its id (Q17).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// The session.
    pub sid: SessionId,
    /// The record that revoked it.
    pub record: RecordId,
    /// Until when it is kept.
    pub until: Millis,
}

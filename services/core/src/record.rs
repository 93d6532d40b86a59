//! The records of the log: revocations, heartbeats, subject states, directory records, skips.
//!
//! A revocation is generic: it says which claims a dead token has, not which kind of thing was
//! revoked, so a guard of last year enforces scopes invented tomorrow (DESIGN section 6).
//!
//! **Invariant:** no name, mail or login hint of a person is ever a claim of a record.

use std::sync::Arc;

pub use crate::claims::JOSE_KID as JOSE_KID_CLAIM;
use crate::claims::{Claims, Malformed};
use crate::ids::{Cause, IssuerId, OperationId, RecordId, SessionId, SubjectId, SubjectKey, TenantId};
use crate::index::Index;
use crate::place::{Incarnation, LogIdentity, Partition};
use crate::time::{CUTOFF_AHEAD_MAX_MS, Millis};

/// The most claims that one record may name.
pub const CRITERIA_MAX: usize = 4;
/// The most sessions that one record may except.
pub const EXCEPT_MAX: usize = 64;
/// The format that this code writes and the newest it reads.
pub const READER: u32 = 1;

/// One claim and the value that a covered token has there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Criterion {
    /// The claim's name; `jose.kid` is the header parameter.
    pub claim: Arc<str>,
    /// Its value; an integer as its decimal text.
    pub value: Arc<str>,
}

impl Criterion {
    /// A criterion from its parts.
    pub fn new(claim: &str, value: impl AsRef<str>) -> Self {
        Self {
            claim: claim.into(),
            value: value.as_ref().into(),
        }
    }
}

/// The instant before which covered tokens must lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Before {
    /// `sid`, `gid` (births) or `iat`, `auth_time` (numbers).
    pub claim: Arc<str>,
    /// B.
    pub instant: Millis,
}

/// Who began it, as CAEP's `initiating_entity` says: all that a client is told (DESIGN section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Initiator {
    /// The user.
    User,
    /// An administrator.
    Admin,
    /// A rule, such as a cap or the detection of reuse.
    Policy,
    /// The system.
    System,
}

impl Initiator {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Policy => "policy",
            Self::System => "system",
        }
    }
}

/// The operation that a record was written by: a retry finds its own work (DESIGN section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationRef {
    /// The caller's id.
    pub id: OperationId,
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
}

/// A revocation, as it lies on the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// Random; copies have the same one.
    pub id: RecordId,
    /// The operation that wrote it.
    pub operation: Option<OperationRef>,
    /// The tenant whose tokens it covers.
    pub tenant: TenantId,
    /// The issuer entry whose tokens it covers.
    pub issuer: IssuerId,
    /// The claims that a covered token has; sorted by name, never empty.
    pub all_of: Vec<Criterion>,
    /// Only tokens before this instant.
    pub before: Option<Before>,
    /// Sessions that this record spares.
    pub except: Vec<SessionId>,
    /// No token that it covers is alive after this.
    pub keep_until: Millis,
    /// The deciding authority's clock.
    pub decided_at: Millis,
    /// Why.
    pub cause: Cause,
    /// Who began it.
    pub initiator: Initiator,
    /// The partition whose store keeps the mark.
    pub home: Partition,
    /// In every log partition; copies differ only in where they lie.
    pub wide: bool,
    /// The home partition's sequence number.
    pub sequence: u64,
    /// The incarnation it was committed under; `None` where it went to the log first.
    pub incarnation: Option<Incarnation>,
    /// The subject it concerns (narrow records).
    pub subject_key: Option<SubjectKey>,
    /// The row it ends (narrow records).
    pub row: Option<SessionId>,
    /// What people call the scope: "session", "grant", …; no rule depends on it.
    pub scope: Arc<str>,
    /// The caller's correlation id.
    pub correlation_id: Option<Arc<str>>,
    /// W3C `traceparent` of what caused it; no rule depends on it.
    pub trace: Option<Arc<str>>,
}

/// Why a record is not one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidRecord {
    /// It would cover everybody.
    #[error("`all_of` is empty")]
    Empty,
    /// Too many claims.
    #[error("`all_of` names more than {CRITERIA_MAX} claims")]
    TooManyCriteria,
    /// Names out of order or twice.
    #[error("`all_of` is not sorted by distinct claim names")]
    Unsorted,
    /// A claim without a name, or a value without text.
    #[error("`all_of` has an empty claim or value")]
    EmptyCriterion,
    /// An exception needs an instant.
    #[error("`except` without `before`")]
    ExceptWithoutBefore,
    /// Too many exceptions.
    #[error("`except` names more than {EXCEPT_MAX} sessions")]
    TooManyExceptions,
    /// Whoever stole a key chooses births.
    #[error("a key is revoked without `before`")]
    KeyWithBefore,
    /// An instant too far ahead would kill what is honestly born.
    #[error("`before` lies further ahead of the decision than {CUTOFF_AHEAD_MAX_MS} ms")]
    TooFarAhead,
    /// `before` of a claim that is no birth and no instant.
    #[error("`before` names `{claim}`, which is none of sid, gid, iat, auth_time")]
    BeforeClaim {
        /// The claim.
        claim: String,
    },
}

impl Revocation {
    /// Checks what every reader demands of a record; a malformed one freezes its partition.
    pub fn validate(&self) -> Result<(), InvalidRecord> {
        validate_criteria(&self.all_of)?;
        if self.except.len() > EXCEPT_MAX {
            return Err(InvalidRecord::TooManyExceptions);
        }
        let Some(before) = &self.before else {
            return if self.except.is_empty() {
                Ok(())
            } else {
                Err(InvalidRecord::ExceptWithoutBefore)
            };
        };
        if self
            .all_of
            .iter()
            .any(|criterion| &*criterion.claim == JOSE_KID_CLAIM)
        {
            return Err(InvalidRecord::KeyWithBefore);
        }
        if !matches!(&*before.claim, "sid" | "gid" | "iat" | "auth_time") {
            return Err(InvalidRecord::BeforeClaim {
                claim: before.claim.to_string(),
            });
        }
        // A subject's logical clock may itself run ahead by δ, and a wide cut-off by 5 s.
        if before.instant.ms_since(self.decided_at) > CUTOFF_AHEAD_MAX_MS {
            return Err(InvalidRecord::TooFarAhead);
        }
        Ok(())
    }

    /// Whether this record alone covers a token of its tenant and issuer entry.
    pub fn covers(&self, tenant: TenantId, issuer: IssuerId, token: &impl Claims) -> Result<bool, Malformed> {
        let mut index = Index::default();
        index.insert(self);
        Ok(index.covered(tenant, issuer, token)?.is_some())
    }
}

/// Checks the criteria of a record that is being asked for or read.
pub fn validate_criteria(all_of: &[Criterion]) -> Result<(), InvalidRecord> {
    if all_of.is_empty() {
        return Err(InvalidRecord::Empty);
    }
    if all_of.len() > CRITERIA_MAX {
        return Err(InvalidRecord::TooManyCriteria);
    }
    if all_of
        .iter()
        .any(|criterion| criterion.claim.is_empty() || criterion.value.is_empty())
    {
        return Err(InvalidRecord::EmptyCriterion);
    }
    if !all_of.is_sorted_by(|a, b| a.claim < b.claim) {
        return Err(InvalidRecord::Unsorted);
    }
    Ok(())
}

/// In-band proof of freshness.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// This heartbeat's own id.
    pub id: RecordId,
    /// The log that it was written to.
    pub log: LogIdentity,
    /// The emitter's clock.
    pub stamp: Millis,
    /// The emitter's name.
    pub emitter: Arc<str>,
    /// How often one is to be expected, ms.
    pub interval_ms: i64,
    /// The heartbeat that the emitter read last in this partition.
    pub previous: Option<PreviousHeartbeat>,
}

/// How an emitter's view of a partition is compared with a reader's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PreviousHeartbeat {
    /// Its id.
    pub id: RecordId,
    /// Records between it and the heartbeat before it.
    pub records_between: u64,
}

/// A subject was disabled or enabled; disabled iff one disable is not lifted (DESIGN section 6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectState {
    /// A disable's id is what an enable lifts.
    pub id: RecordId,
    /// The operation that wrote it.
    pub operation: Option<OperationRef>,
    /// The tenant.
    pub tenant: TenantId,
    /// The whole subject.
    pub subject: SubjectId,
    /// Its key.
    pub subject_key: SubjectKey,
    /// Its partition.
    pub partition: Partition,
    /// The partition's sequence number.
    pub sequence: u64,
    /// The incarnation of the commit; `None` where it went to the log first.
    pub incarnation: Option<Incarnation>,
    /// What happened.
    pub change: SubjectChange,
    /// The deciding authority's clock.
    pub decided_at: Millis,
    /// Why.
    pub cause: Cause,
    /// W3C `traceparent` of what caused it; no rule depends on it.
    pub trace: Option<Arc<str>>,
}

/// What happened to a subject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubjectChange {
    /// Disabled, under the record's id.
    Disable,
    /// Enabled: the named disables are lifted.
    Enable {
        /// Ids of disables.
        lifts: Vec<RecordId>,
    },
}

/// A change of the directory, as it lies on the log: its body is sealed under the root key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectoryChange {
    /// This record's id.
    pub id: RecordId,
    /// The operation that wrote it.
    pub operation: Option<OperationRef>,
    /// Which directory record.
    pub name: Arc<str>,
    /// Its version: logical instant, then the record's id.
    pub version: Millis,
    /// The sealed body; `None` where it was deleted.
    pub body: Option<Vec<u8>>,
    /// The directory's sequence number.
    pub sequence: u64,
    /// The incarnation of the commit.
    pub incarnation: Option<Incarnation>,
    /// W3C `traceparent` of what caused it; no rule depends on it.
    pub trace: Option<Arc<str>>,
}

/// An operator's word that one unreadable record may be stepped over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skip {
    /// The log.
    pub log: LogIdentity,
    /// The log partition.
    pub partition: crate::place::LogPartition,
    /// The offset that is skipped.
    pub offset: u64,
    /// SHA-256 of the record there.
    pub record_hash: [u8; 32],
    /// Who said so.
    pub by: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
}

/// One record of the log, as a reader of this version understands it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogRecord {
    /// A revocation.
    Revocation(Arc<Revocation>),
    /// A heartbeat.
    Heartbeat(Heartbeat),
    /// A subject's state.
    SubjectState(Arc<SubjectState>),
    /// A directory record.
    Directory(Arc<DirectoryChange>),
    /// A skip.
    Skip(Skip),
    /// What this reader cannot read: kept as bytes, and the partition's freshness freezes.
    Unknown(UnknownRecord),
    /// What a hub withheld from this reader: another tenant's record. It counts, and says nothing.
    Withheld,
}

/// A record that this reader cannot read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownRecord {
    /// The bytes as they lie on the log.
    pub raw: Arc<[u8]>,
    /// Why it cannot be read.
    pub why: Arc<str>,
}

impl LogRecord {
    /// W3C `traceparent` of what caused it.
    #[must_use]
    pub fn trace(&self) -> Option<&Arc<str>> {
        match self {
            Self::Revocation(revocation) => revocation.trace.as_ref(),
            Self::SubjectState(state) => state.trace.as_ref(),
            Self::Directory(change) => change.trace.as_ref(),
            Self::Heartbeat(_) | Self::Skip(_) | Self::Unknown(_) | Self::Withheld => None,
        }
    }

    /// Notes what caused it; what nobody asked for has no cause.
    pub fn set_trace(&mut self, trace: &Arc<str>) {
        let trace = Some(trace.clone());
        match self {
            Self::Revocation(revocation) => Arc::make_mut(revocation).trace = trace,
            Self::SubjectState(state) => Arc::make_mut(state).trace = trace,
            Self::Directory(change) => Arc::make_mut(change).trace = trace,
            Self::Heartbeat(_) | Self::Skip(_) | Self::Unknown(_) | Self::Withheld => {}
        }
    }

    /// The record's id; heartbeats, skips and unknown records are no events.
    #[must_use]
    pub fn event_id(&self) -> Option<RecordId> {
        match self {
            Self::Revocation(revocation) => Some(revocation.id),
            Self::SubjectState(state) => Some(state.id),
            Self::Directory(change) => Some(change.id),
            Self::Heartbeat(_) | Self::Skip(_) | Self::Unknown(_) | Self::Withheld => None,
        }
    }
}

/// A record on its way to the log: to its home's partition, or to all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The store partition whose log partition it goes to; ignored where `wide`.
    pub home: Partition,
    /// To every log partition.
    pub wide: bool,
    /// The record.
    pub record: LogRecord,
}

impl Outgoing {
    /// A revocation, to where it says that it lies.
    #[must_use]
    pub fn revocation(revocation: Revocation) -> Self {
        Self {
            home: revocation.home,
            wide: revocation.wide,
            record: LogRecord::Revocation(Arc::new(revocation)),
        }
    }
}

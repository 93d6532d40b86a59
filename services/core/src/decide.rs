//! Decisions: what is read, what is asked, now and chance in; outcome, writes and records out.
//!
//! **Invariant:** a decision that answers `NotBefore` or a refusal without effect writes nothing and
//! publishes nothing; the shell commits it all the same where it releases an answer.

pub mod adoption;
pub mod app_token;
mod book;
pub mod cause;
pub mod directory_change;
pub mod end;
pub mod floor;
pub mod issue;
pub mod log_first;
pub mod merge;
pub mod mint;
pub mod open;
pub mod refresh;
pub mod revoke;
pub mod session_claims;
pub mod subject_state;
pub mod update;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use crate::decide::book::{Book, Draft};
use crate::directory::{DirectoryView, Lifetimes, ORDINARY_LIFE_MS, Tenant};
use crate::ids::{Cause, ClientId, KeyId, SessionId, SubjectId};
use crate::index::LayeredIndex;
use crate::place::{Incarnation, Partition};
use crate::record::{Initiator, OperationRef};
use crate::refusal::Refusal;
use crate::session::Row;
use crate::stored::PartitionRecord;
use crate::subject::{BEFORE_SID, Ledger};
use crate::time::{DELTA_MS, EPSILON_MS, KEEP_SLACK_MS, LEEWAY_MS, Millis};

/// What every decision may look at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The authority's clock.
    pub now: Millis,
    /// The partition that is decided in.
    pub partition: Partition,
    /// The incarnation that was read.
    pub incarnation: Incarnation,
    /// The partition's record.
    pub record: &'a PartitionRecord,
    /// The number of the partition's newest log record.
    pub sequence: u64,
    /// The directory, no older than three seconds.
    pub directory: &'a DirectoryView,
    /// The tenant that is asked about.
    pub tenant: &'a Tenant,
    /// What this authority has heard of this partition: it refuses what its index refuses.
    pub index: Option<&'a LayeredIndex>,
    /// Whether its own tail of this partition is younger than X.
    pub tail_is_fresh: bool,
    /// Audiences that have a live guard now.
    pub guarded_now: &'a BTreeSet<Arc<str>>,
    /// The key that signs now.
    pub signing_key: &'a KeyId,
}

/// How a decision answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict<T> {
    /// It is granted.
    Granted(T),
    /// It is refused; final for what was asked.
    Refused(Refusal),
    /// A cut-off of this scope is about to pass: decide again from then on.
    NotBefore(Millis),
    /// The row of this session is needed as well: read it and decide again.
    NeedsRow(SessionId),
}

/// Every answer that grants nothing: what a decision in the making stops at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Halt {
    /// See [`Verdict::Refused`].
    Refused(Refusal),
    /// See [`Verdict::NotBefore`].
    NotBefore(Millis),
    /// See [`Verdict::NeedsRow`].
    NeedsRow(SessionId),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<T> From<Halt> for Verdict<T> {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Refused(refusal) => Self::Refused(refusal),
            Halt::NotBefore(instant) => Self::NotBefore(instant),
            Halt::NeedsRow(sid) => Self::NeedsRow(sid),
        }
    }
}

impl<'a> Context<'a> {
    /// `L`; the ordinary life where the directory has none yet.
    #[must_use]
    pub fn lifetimes(&self) -> Lifetimes {
        self.directory.lifetimes.unwrap_or(Lifetimes {
            keep_ms: ORDINARY_LIFE_MS,
            mint_ms: ORDINARY_LIFE_MS,
            mint_from: Millis::ZERO,
        })
    }

    /// `keep_until` of a record that ends what a row remembers (DESIGN section 4).
    #[must_use]
    pub fn keep_until_of_row(&self, row: &Row) -> Millis {
        // An authority's index needs it until the checkpoint has passed it, though no access token is left:
        // what a failover un-ends would refresh until it is merged (invariant 3).
        let by_checkpoint = self.now.plus_ms(KEEP_SLACK_MS);
        self.tokens_end_at(row).max(by_checkpoint)
    }

    /// When the last token of this row is over, wherever it was minted.
    fn tokens_end_at(&self, row: &Row) -> Millis {
        let by_row = row.latest_expiry.plus_ms(LEEWAY_MS + EPSILON_MS);
        // A lost suffix may have minted tokens that the row does not remember.
        let by_opening = self
            .record
            .opened
            .plus_ms(self.lifetimes().keep_ms + KEEP_SLACK_MS);
        by_row.max(by_opening)
    }

    /// Whether no token of this row can be alive, not even one that a lost suffix minted.
    #[must_use]
    pub fn has_outlived_its_tokens(&self, row: &Row) -> bool {
        self.tokens_end_at(row) < self.now
    }

    /// The end of a session: its own, or the tenant's longest life where that was shortened since.
    #[must_use]
    pub fn session_ends_at(&self, row: &Row) -> Millis {
        let by_policy = row.created_at.plus_ms(self.tenant.session_life_max_ms);
        row.expires_at.min(by_policy)
    }

    /// B of a narrow cut-off: above every birth of this subject so far (DESIGN section 4).
    #[must_use]
    pub fn narrow_instant(&self, subject: &SubjectId, ledger: Option<&Ledger>, claim: &str) -> Millis {
        // Births of a lost suffix exceed the clock that was read, by at most six clock errors (Q24).
        let floor = match self.record.opened {
            Millis::ZERO => Millis::ZERO,
            opened => opened.plus_ms(6 * DELTA_MS),
        };
        let clock = ledger.map_or(Millis::ZERO, |ledger| ledger.clock);
        let is_workload = ClientId::new(subject.as_str())
            .is_ok_and(|client| self.directory.client(self.tenant.id, &client).is_some());
        // Grants, and the tokens of a workload, are born on their authority's clock and on no subject's:
        // two authorities may be two clock errors apart.
        let now = if claim == BEFORE_SID && !is_workload {
            self.now
        } else {
            self.now.plus_ms(2 * DELTA_MS)
        };
        in_whole_units(now.max(clock).max(floor).plus_ms(1), claim)
    }

    /// `keep_until` of a cut-off, and of what has no row.
    #[must_use]
    pub fn keep_until_of_cutoff(&self) -> Millis {
        self.now.plus_ms(self.lifetimes().keep_ms + KEEP_SLACK_MS)
    }
}

/// A cut-off of what tokens say in whole seconds is rounded up, or the tokens of its own second were dead.
#[must_use]
pub fn in_whole_units(instant: Millis, claim: &str) -> Millis {
    match claim {
        "iat" | "auth_time" => Millis::from_unix_seconds(instant.seconds_ceil()),
        _ => instant,
    }
}

/// Why something is ended, and by whose will.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Motive {
    /// Why.
    pub cause: Cause,
    /// Who began it.
    pub initiator: Initiator,
    /// The caller's operation.
    pub operation: Option<OperationRef>,
    /// The caller's correlation id.
    pub correlation_id: Option<Arc<str>>,
}

impl Motive {
    /// A rule of Curfew's own; `cause` is one of [`cause`]'s.
    #[must_use]
    pub fn policy(cause: Cause, operation: Option<OperationRef>) -> Self {
        Self {
            cause,
            initiator: Initiator::Policy,
            operation,
            correlation_id: None,
        }
    }
}

//! Decisions: what is read, what is asked, now and chance in; outcome, writes and records out.
//!
//! **Invariant:** a decision that answers `NotBefore` or a refusal without effect writes nothing and
//! publishes nothing; the shell commits it all the same where it releases an answer.

pub mod app_token;
pub mod end;
pub mod issue;
pub mod mint;
pub mod open;
pub mod refresh;
pub mod revoke;
pub mod subject_state;
pub mod update;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::directory::{DirectoryView, Lifetimes, ORDINARY_LIFE_MS, Tenant};
use crate::ids::{Cause, IssuerId, KeyId, RecordId, SessionId, SubjectKey, TenantId};
use crate::index::LayeredIndex;
use crate::mac::Entropy;
use crate::place::{Incarnation, Partition};
use crate::record::{Before, Criterion, Initiator, OperationRef, Outgoing, Revocation};
use crate::refusal::Refusal;
use crate::session::{Ending, Life, Row};
use crate::stored::{Decision, Key, Operation, PartitionRecord, Record, Write};
use crate::time::{EPSILON_MS, KEEP_SLACK_MS, LEEWAY_MS, Millis};

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
        let by_row = row.latest_expiry.plus_ms(LEEWAY_MS + EPSILON_MS);
        // A lost suffix may have minted tokens that the row does not remember.
        let by_opening = self
            .record
            .opened
            .plus_ms(self.lifetimes().keep_ms + KEEP_SLACK_MS);
        by_row.max(by_opening)
    }

    /// `keep_until` of a cut-off, and of what has no row.
    #[must_use]
    pub fn keep_until_of_cutoff(&self) -> Millis {
        self.now.plus_ms(self.lifetimes().keep_ms + KEEP_SLACK_MS)
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
    /// A rule of Curfew's own; `cause` must be one of the constants below.
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

macro_rules! causes {
    ($( $(#[$doc:meta])* $name:ident $word:literal; )*) => {
        /// Causes that Curfew itself gives.
        pub mod cause {
            use crate::ids::Cause;
            $(
                $(#[$doc])*
                #[must_use]
                #[expect(clippy::expect_used, reason = "the words are constants, and a test makes each of them")]
                pub fn $name() -> Cause {
                    Cause::new($word).expect("constant words are valid")
                }
            )*

            #[cfg(test)]
            #[test]
            fn every_constant_cause_is_valid() {
                $( assert_eq!($name().as_str(), $word); )*
            }
        }
    };
}

causes! {
    /// A superseded refresh token was presented.
    refresh_reused "refresh_token_reused";
    /// The cap of sessions was reached.
    session_cap "session_cap";
    /// The cap of grants was reached.
    grant_cap "grant_cap";
    /// The token was revoked by its client (RFC 7009).
    token_revoked "token_revoked";
    /// The subject was disabled.
    subject_disabled "subject_disabled";
    /// The subject was deleted.
    subject_deleted "subject_deleted";
    /// The client was disabled, or a secret or key of it was ended.
    client_disabled "client_disabled";
    /// The tenant was disabled.
    tenant_disabled "tenant_disabled";
    /// A signing key was revoked.
    key_revoked "key_revoked";
}

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
        let end = row
            .life
            .ending()
            .map_or(row.expires_at, |ending| ending.at.max(row.latest_expiry));
        self.write(
            Key::Session(row.sid),
            Write::until(Record::Session(Arc::new(row)), end),
        );
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
        let id = self.record_id();
        let mut all_of = draft.all_of;
        all_of.sort();
        let revocation = Revocation {
            id,
            operation: motive.operation,
            tenant: self.context.tenant.id,
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

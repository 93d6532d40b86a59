//! Endings: of a session, of a grant, of all sessions but one.
//!
//! **Invariant 11:** each way publishes exactly one revocation id; what is over already publishes none.

use std::sync::Arc;

use crate::decide::{Book, Context, Draft, Motive, Verdict, mint};
use crate::ids::{GrantId, RecordId, SessionId, SubjectId, SubjectKey};
use crate::mac::Entropy;
use crate::record::{Before, Revocation};
use crate::refusal::{Reason, Refusal, Stage};
use crate::session::{Ending, Row};
use crate::stored::{Decision, Key, Record, Write};
use crate::subject::{BEFORE_SID, Gate, Ledger, whole_subject};
use crate::time::{DELTA_MS, Millis};

/// What an ending did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It was alive; this record ended it.
    Now(RecordId),
    /// It was over already.
    Before(Ending),
    /// Time had ended it, which publishes nothing.
    Expired,
}

/// Ends a session. `result` forms the operation's remembered answer.
pub fn end_session(
    context: &Context<'_>,
    row: Option<&Row>,
    ledger: Option<&Ledger>,
    subject_key: SubjectKey,
    motive: &Motive,
    entropy: &mut Entropy,
    result: impl FnOnce(&Ended) -> Vec<u8>,
) -> Decision<Verdict<Ended>> {
    let mut book = Book::new(context, entropy);
    let Some(row) = row.filter(|row| row.tenant == context.tenant.id) else {
        let refusal = Refusal::new(Stage::Request, Reason::SessionUnknown);
        return Decision::of(context.partition, Verdict::Refused(refusal));
    };
    let mut row = row.clone();
    // An expired session may still have living access tokens, so it is ended like any other.
    let ended = match (
        row.life.ending(),
        context.now >= row.expires_at && row.latest_expiry <= context.now,
    ) {
        (Some(ending), _) => Ended::Before(ending.clone()),
        (None, true) => Ended::Expired,
        (None, false) => match book.end_session(&mut row, subject_key, motive) {
            Some(record) => Ended::Now(record),
            None => Ended::Expired,
        },
    };
    if matches!(ended, Ended::Now(_)) {
        if let Some(ledger) = ledger {
            let mut ledger = ledger.clone();
            ledger.remove(row.sid);
            let until = row.expires_at;
            book.write(
                Key::Ledger(subject_key),
                Write::until(Record::Ledger(Arc::new(ledger)), until),
            );
        }
        book.write_row(row);
    }
    book.remember(context.tenant.id, motive.operation, result(&ended));
    book.close(Verdict::Granted(ended))
}

/// Ends a grant of a session.
pub fn end_grant(
    context: &Context<'_>,
    row: Option<&Row>,
    gid: GrantId,
    subject_key: SubjectKey,
    motive: &Motive,
    entropy: &mut Entropy,
    result: impl FnOnce(&Ended) -> Vec<u8>,
) -> Decision<Verdict<Ended>> {
    let mut book = Book::new(context, entropy);
    let refuse = |reason| {
        Decision::of(
            context.partition,
            Verdict::Refused(Refusal::new(Stage::Request, reason)),
        )
    };
    let Some(row) = row.filter(|row| row.tenant == context.tenant.id) else {
        return refuse(Reason::SessionUnknown);
    };
    let Some(grant) = row.grant(gid) else {
        return refuse(Reason::GrantUnknown);
    };
    let mut row = row.clone();
    let ended = match (row.life.ending(), grant.life.ending()) {
        (Some(ending), _) | (None, Some(ending)) => Ended::Before(ending.clone()),
        (None, None) => match book.end_grant(&mut row, gid, subject_key, motive) {
            Some(record) => Ended::Now(record),
            None => Ended::Expired,
        },
    };
    if matches!(ended, Ended::Now(_)) {
        book.write_row(row);
    }
    book.remember(context.tenant.id, motive.operation, result(&ended));
    book.close(Verdict::Granted(ended))
}

/// A subject whose sessions are cut off.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The whole subject.
    pub subject: &'a SubjectId,
    /// Its key.
    pub key: SubjectKey,
    /// Its gate.
    pub gate: Option<&'a Gate>,
    /// Its ledger.
    pub ledger: Option<&'a Ledger>,
}

/// Cuts a subject off: one record for one session or a million.
///
/// `except`: the session that is spared, which must be alive in this very commit.
pub fn cut_off(
    context: &Context<'_>,
    subject: Subject<'_>,
    except: Option<(SessionId, Option<&Row>)>,
    motive: &Motive,
    entropy: &mut Entropy,
    result: impl FnOnce(&Revocation) -> Vec<u8>,
) -> Decision<Verdict<Revocation>> {
    let mut book = Book::new(context, entropy);
    let spared = match except {
        None => None,
        Some((sid, row)) => match spare(context, subject, row) {
            Ok(()) => Some(sid),
            Err(refusal) => return Decision::of(context.partition, Verdict::Refused(refusal)),
        },
    };
    match cut_off_in(&mut book, subject, spared, motive) {
        Err(refusal) => Decision::of(context.partition, Verdict::Refused(refusal)),
        Ok((gate, revocation)) => {
            let until = gate.needed_until;
            book.write(
                Key::Gate(subject.key),
                Write::until(Record::Gate(Arc::new(gate)), until),
            );
            book.remember(context.tenant.id, motive.operation, result(&revocation));
            book.close(Verdict::Granted(revocation))
        }
    }
}

fn spare(context: &Context<'_>, subject: Subject<'_>, row: Option<&Row>) -> Result<(), Refusal> {
    let refusal = || Refusal::new(Stage::Request, Reason::ExceptedNotAlive);
    let row = row
        .filter(|row| row.subject == *subject.subject)
        .ok_or_else(refusal)?;
    mint::row_is_alive(context, row, Stage::Request).map_err(|_| refusal())?;
    mint::gate_permits(subject.gate, row, Stage::Request).map_err(|_| refusal())?;
    // Spared is only what no earlier record covers (Q1).
    let session = Some(row.sid);
    let is_dead = subject
        .gate
        .is_some_and(|gate| gate.cut_off.is_dead(Some(row.sid.birth()), session));
    if is_dead { Err(refusal()) } else { Ok(()) }
}

/// The cut-off itself; the caller writes the gate that comes back.
pub(crate) fn cut_off_in(
    book: &mut Book<'_>,
    subject: Subject<'_>,
    spared: Option<SessionId>,
    motive: &Motive,
) -> Result<(Gate, Revocation), Refusal> {
    let context = book.context;
    let tenant = context.tenant.id;
    let mut gate = subject
        .gate
        .cloned()
        .unwrap_or_else(|| Gate::open(tenant, subject.subject.clone()));
    let mut ledger = subject
        .ledger
        .cloned()
        .unwrap_or_else(|| Ledger::new(tenant, subject.subject.clone()));
    if gate.subject != *subject.subject || ledger.subject != *subject.subject || gate.tenant != tenant {
        return Err(Refusal::new(Stage::Request, Reason::SubjectMismatch));
    }
    // Births of a lost suffix exceed the clock that was read, by at most six clock errors (Q24).
    let opened = context.record.opened;
    let floor = if opened == Millis::ZERO {
        Millis::ZERO
    } else {
        opened.plus_ms(6 * DELTA_MS)
    };
    let cutoff = context.now.max(ledger.clock).max(floor).plus_ms(1);
    let draft = Draft {
        issuer: tenant.own_issuer(),
        all_of: vec![whole_subject(subject.subject)],
        before: Some(Before {
            claim: BEFORE_SID.into(),
            instant: cutoff,
        }),
        except: spared.into_iter().collect(),
        keep_until: context.keep_until_of_cutoff(),
        wide: false,
        subject_key: Some(subject.key),
        row: spared,
        scope: "subject",
    };
    let revocation = book.revoke(draft, motive);
    gate.keep(&revocation);
    gate.needed_until = gate.needed_until.max(revocation.keep_until);
    // The list is emptied, so that the cap never ends, or publishes, what is already dead (P26).
    ledger.clock = cutoff;
    ledger.sessions.retain(|entry| Some(entry.sid) == spared);
    let until = gate.needed_until;
    book.write(
        Key::Ledger(subject.key),
        Write::until(Record::Ledger(Arc::new(ledger)), until),
    );
    Ok((gate, revocation))
}

//! Endings: of a session, of a grant, of all sessions but one.
//!
//! **Invariant 11:** each way publishes exactly one revocation id; what is over already publishes none.

use std::sync::Arc;

use crate::decide::session_claims::SessionClaims;
use crate::decide::{Book, Context, Draft, Motive, Verdict, mint};
use crate::ids::{GrantId, RecordId, SessionId, SubjectId, SubjectKey};
use crate::mac::Entropy;
use crate::record::{Before, Revocation};
use crate::refusal::{Reason, Refusal, Stage};
use crate::session::{Ending, Row};
use crate::stored::{Decision, Key, Record, Write};
use crate::subject::{BEFORE_SID, Gate, Ledger, whole_subject};
use crate::time::CUTOFF_AHEAD_MAX_MS;

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
    let is_over = row.is_expired(context.now) && context.has_outlived_its_tokens(&row);
    let ended = match (row.life.ending(), is_over) {
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
            // Its other sessions may live longer than this one would have.
            let until = ledger.needed_until().max(row.expires_at);
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
    let is_expired = row.is_expired(context.now) || grant.expires_at <= context.now;
    let is_over = is_expired && context.has_outlived_its_tokens(&row);
    let ended = match (row.life.ending(), grant.life.ending(), is_over) {
        (Some(ending), _, _) | (None, Some(ending), _) => Ended::Before(ending.clone()),
        (None, None, true) => Ended::Expired,
        (None, None, false) => match book.end_grant(&mut row, gid, subject_key, motive) {
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
            book.write_gate(subject.key, gate);
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
    // Spared is only what no earlier record covers (Q1), wherever that record lies.
    let claims = SessionClaims::of_row(row, context.now);
    match mint::coverage(context, subject.gate, &claims, Stage::Request)? {
        None => Ok(()),
        Some(_) => Err(refusal()),
    }
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
    let cutoff = context.narrow_instant(subject.subject, Some(&ledger), BEFORE_SID);
    // A subject's clock that a wrong one once drove away: a record so far ahead would freeze every reader.
    if cutoff.ms_since(context.now) > CUTOFF_AHEAD_MAX_MS {
        let refusal = Refusal::new(Stage::Request, Reason::ClockSuspect);
        return Err(refusal
            .about("the subject's clock is far ahead of this node's")
            .until(cutoff));
    }
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
    // Rows may stand behind a gate that was lost and is made anew here; they must stay dead.
    gate.needed_for(context.now.plus_ms(context.tenant.session_life_max_ms));
    gate.needed_for(revocation.keep_until);
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

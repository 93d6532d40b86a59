//! Opening a session: birth on the subject's clock, the cap, the wide cut-offs that lie ahead.
//!
//! **Invariant 6:** `birth = max(now, clock)` and the same commit sets `clock = birth`.

use std::sync::Arc;

use crate::decide::session_claims::SessionClaims;
use crate::decide::{Book, Context, Halt, Motive, Verdict, cause, mint};
use crate::directory::AtCap;
use crate::ids::{RecordId, SessionId, SubjectId, SubjectKey};
use crate::mac::Entropy;
use crate::record::OperationRef;
use crate::refusal::{Reason, Refusal, Stage};
use crate::session::{Device, Life, Proof, Row, SESSIONS_MAX};
use crate::stored::{Decision, Key, Record, Write};
use crate::subject::{Gate, Ledger, LedgerEntry};
use crate::time::{DELTA_MS, Millis};

/// What was read.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// The subject's gate.
    pub gate: Option<&'a Gate>,
    /// The subject's ledger.
    pub ledger: Option<&'a Ledger>,
    /// The row that was asked for at the cap, if it was.
    pub longest_unused: Option<(SessionId, Option<&'a Row>)>,
}

/// What is asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The subject.
    pub subject: SubjectId,
    /// Its key.
    pub subject_key: SubjectKey,
    /// What it proved.
    pub proof: Proof,
    /// The identity provider.
    pub idp: Option<Arc<str>>,
    /// Its own session.
    pub idp_session_id: Option<Arc<str>>,
    /// The device.
    pub device: Option<Device>,
    /// Claims to be mapped into tokens.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Outlives the browser.
    pub persistent: bool,
    /// Idle timeout, ms; `None`: the tenant's.
    pub idle_timeout_ms: Option<i64>,
    /// Longest life, ms; `None`: the tenant's; never longer than it.
    pub max_lifetime_ms: Option<i64>,
    /// SHA-256 of the login hint.
    pub login_hint_hash: Option<[u8; 32]>,
    /// Where the sign-in came from.
    pub client_ip: Option<Arc<str>>,
    /// With which program.
    pub user_agent: Option<Arc<str>>,
    /// The caller's operation.
    pub operation: Option<OperationRef>,
}

/// What was opened.
#[derive(Clone, PartialEq, Debug)]
pub struct Opened {
    /// The row.
    pub row: Row,
    /// The session that the cap ended, and the record that tells it.
    pub ended: Option<(SessionId, RecordId)>,
}

/// Decides an opening. `result` forms the operation's remembered answer.
pub fn open(
    context: &Context<'_>,
    read: Read<'_>,
    request: &Request,
    entropy: &mut Entropy,
    result: impl FnOnce(&Opened) -> Vec<u8>,
) -> Decision<Verdict<Opened>> {
    let mut book = Book::new(context, entropy);
    match decide(&mut book, read, request) {
        Ok(opened) => {
            book.remember(context.tenant.id, request.operation, result(&opened));
            book.close(Verdict::Granted(opened))
        }
        Err(halt) => Decision::of(context.partition, halt.into()),
    }
}

fn decide(book: &mut Book<'_>, read: Read<'_>, request: &Request) -> Result<Opened, Halt> {
    let context = book.context;
    let refuse = |reason| Halt::Refused(Refusal::new(Stage::PrimaryAuthentication, reason));
    let tenant = context.tenant;
    if !tenant.disables.is_empty() {
        return Err(refuse(Reason::TenantDisabled));
    }
    let mut gate = read
        .gate
        .cloned()
        .unwrap_or_else(|| Gate::open(tenant.id, request.subject.clone()));
    let mut ledger = read
        .ledger
        .cloned()
        .unwrap_or_else(|| Ledger::new(tenant.id, request.subject.clone()));
    if gate.subject != request.subject || ledger.subject != request.subject || gate.tenant != tenant.id {
        return Err(refuse(Reason::SubjectMismatch));
    }
    if gate.is_disabled() {
        return Err(refuse(Reason::SubjectDisabled));
    }
    // No node drives a subject's clock away: an opening waits until it is no more than δ ahead.
    if ledger.clock.ms_since(context.now) > DELTA_MS {
        return Err(Halt::NotBefore(ledger.clock.plus_ms(-DELTA_MS)));
    }
    let birth = context.now.max(ledger.clock);
    let sid = SessionId::new(birth, context.partition, book.entropy.draw());
    mint::judge_new(
        context,
        Some(&gate),
        &SessionClaims {
            tenant: tenant.id,
            sid,
            subject: &request.subject,
            idp: request.idp.as_deref(),
            device: request.device.as_ref().map(|device| &device.id),
            proof: &request.proof,
            now: context.now,
        },
        Stage::PrimaryAuthentication,
    )?;

    ledger.forget_expired(context.now);
    let ended = make_room(book, &mut ledger, read, request)?;

    let lifetime = request
        .max_lifetime_ms
        .unwrap_or(tenant.session_life_max_ms)
        .min(tenant.session_life_max_ms);
    let row = Row {
        sid,
        tenant: tenant.id,
        subject: request.subject.clone(),
        life: Life::Alive,
        proof: request.proof.clone(),
        idp: request.idp.clone(),
        idp_session_id: request.idp_session_id.clone(),
        device: request.device.clone(),
        claims: request.claims.clone(),
        persistent: request.persistent,
        idle_timeout_ms: request.idle_timeout_ms.unwrap_or(tenant.idle_timeout_ms),
        last_used: context.now,
        expires_at: context.now.plus_ms(lifetime),
        created_at: context.now,
        written_at: context.now,
        latest_expiry: Millis::ZERO,
        login_hint_hash: request.login_hint_hash,
        client_ip: request.client_ip.clone(),
        user_agent: request.user_agent.clone(),
        grants: Vec::new(),
    };
    ledger.clock = birth;
    ledger.add(LedgerEntry {
        sid,
        last_used: context.now,
        expires_at: row.expires_at,
    });
    write_subject(
        book,
        request.subject_key,
        &mut gate,
        ledger,
        read.gate.is_none(),
        row.expires_at,
    );
    book.write_row(row.clone());
    Ok(Opened { row, ended })
}

/// Gates outlive their longest row; the ledger lies beside it. A gate that already does is not rewritten.
fn write_subject(
    book: &mut Book<'_>,
    subject_key: SubjectKey,
    gate: &mut Gate,
    ledger: Ledger,
    is_new: bool,
    needed_until: Millis,
) {
    if is_new || gate.needed_until < needed_until {
        gate.needed_for(needed_until);
        book.write_gate(subject_key, gate.clone());
    }
    let until = gate.needed_until;
    book.write(
        Key::Ledger(subject_key),
        Write::until(Record::Ledger(Arc::new(ledger)), until),
    );
}

/// At the cap: refuses, or ends the one unused longest, published and told.
fn make_room(
    book: &mut Book<'_>,
    ledger: &mut Ledger,
    read: Read<'_>,
    request: &Request,
) -> Result<Option<(SessionId, RecordId)>, Halt> {
    while ledger.sessions.len() >= SESSIONS_MAX {
        let Some(longest) = ledger.longest_unused() else {
            break;
        };
        let Some((sid, row)) = read.longest_unused.filter(|(sid, _)| *sid == longest) else {
            return Err(Halt::NeedsRow(longest));
        };
        ledger.remove(sid);
        // What is over already, or was never there, publishes nothing: the ledger is a hint.
        let Some(row) = row.filter(|row| row.life.is_alive() && !row.is_expired(book.context.now)) else {
            continue;
        };
        if book.context.tenant.at_cap == AtCap::Refuse {
            return Err(Halt::Refused(Refusal::new(
                Stage::PrimaryAuthentication,
                Reason::CapSessions,
            )));
        }
        let mut row = row.clone();
        let motive = Motive::policy(cause::session_cap(), request.operation);
        let record = book.end_session(&mut row, request.subject_key, &motive);
        book.write_row(row);
        return Ok(record.map(|record| (sid, record)));
    }
    Ok(None)
}

//! The refresh table (DESIGN section 3), whole.
//!
//! The conditions are named, then one `match` reads as the table. The token's tag was found right
//! before anything was read.
//!
//! **Invariants 1, 2, 4, 5, 13:** a refresh never creates a row; all successes of one token return
//! one successor until a late retry supersedes it; a token older than the predecessor never
//! succeeds within one incarnation; a failover signs nobody out whose grant the store still has.

use std::sync::Arc;

use crate::access_token::{AccessToken, IdToken};
use crate::decide::mint::{self, ProvenClient};
use crate::decide::{Book, Context, Halt, Motive, Verdict, cause};
use crate::directory::{Activity, Client, Late, OnReuse, Resource, Window};
use crate::ids::Scope;
use crate::mac::Entropy;
use crate::refresh_token::RefreshToken;
use crate::refusal::{Reason, Refusal, RevokedBy, Stage};
use crate::session::{Grant, Row};
use crate::stored::{Decision, Key};
use crate::subject::{Gate, Tombstone};
use crate::time::{COLLECT_AFTER_MS, Millis};

/// The replay window of an unbound public client that names none, ms.
pub const PUBLIC_WINDOW_MS: i64 = 30_000;

/// What was read.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// The session's row.
    pub row: Option<&'a Row>,
    /// The subject's gate.
    pub gate: Option<&'a Gate>,
    /// A revocation that found no row.
    pub tombstone: Option<&'a Tombstone>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// The presented token.
    pub token: RefreshToken,
    /// The client, and what it proved.
    pub client: ProvenClient,
    /// The resource, by id or audience.
    pub resource: Option<Arc<str>>,
    /// Narrows this access token, never the grant; empty: all of the grant's.
    pub scopes: Vec<Scope>,
    /// User activity or background; `None`: the client's default.
    pub activity: Option<Activity>,
}

/// Which line of the table it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Outcome {
    /// The present generation was presented.
    Rotated,
    /// The last rotated one, inside the window: the same successor.
    Replayed,
    /// The last rotated one, late: its answer is taken as lost.
    Superseded,
    /// A generation that a failover lost: taken as current.
    Healed,
    /// The client opted out of rotation.
    Fixed,
}

impl Outcome {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Replayed => "replayed",
            Self::Superseded => "superseded",
            Self::Healed => "healed",
            Self::Fixed => "fixed",
        }
    }
}

/// What was refreshed.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// The line of the table.
    pub outcome: Outcome,
    /// The successor, untagged.
    pub refresh: RefreshToken,
    /// The access token, unsigned.
    pub access: AccessToken,
    /// The ID token, unsigned, where the grant has `openid`.
    pub id: Option<IdToken>,
    /// The scopes of this access token.
    pub scopes: Vec<Scope>,
    /// When the grant is over.
    pub grant_expires_at: Millis,
    /// When the session is over, at the latest.
    pub session_expires_at: Millis,
}

/// Where the presented generation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Presented {
    Current,
    Last,
    Older,
    Newer,
}

/// Decides a refresh.
pub fn refresh(
    context: &Context<'_>,
    read: Read<'_>,
    request: &Request,
    entropy: &mut Entropy,
) -> Decision<Verdict<Refreshed>> {
    let mut book = Book::new(context, entropy);
    match decide(&mut book, read, request) {
        Ok(refreshed) => book.close(Verdict::Granted(refreshed)),
        // Reuse writes and publishes; every other refusal has an empty book.
        Err(halt) => book.close(halt.into()),
    }
}

fn decide(book: &mut Book<'_>, read: Read<'_>, request: &Request) -> Result<Refreshed, Halt> {
    let context = book.context;
    let stage = Stage::SilentRenewal;
    let refuse = |reason| Halt::Refused(Refusal::new(stage, reason));
    let token = &request.token;
    let is_present_incarnation = token.incarnation == context.incarnation;

    let Some(row) = read.row else {
        return Err(Halt::Refused(absent_row(context, read, token)));
    };
    let Some(grant) = row.grant_by_low(token.grant) else {
        mint::row_is_alive(context, row, stage)?;
        let reason = match is_present_incarnation {
            false => Reason::RefreshRolledBack,
            // An ended grant leaves its row when its last access token has expired, so absence is
            // ordinary here; what an alarm would cost is told in decision 0003.
            true => Reason::GrantUnknown,
        };
        return Err(refuse(reason));
    };
    if !grant.salt(token.generation).matches(&token.salt) {
        return Err(Halt::Refused(
            Refusal::new(stage, Reason::RefreshImpossible).about("salt"),
        ));
    }
    let client = may_refresh(context, row, grant, read.gate, request)?;
    let asked = request.resource.as_deref();
    let resource = mint::resource_for(context.directory, client, &grant.resources, asked, stage)?;
    let scopes = narrowed(grant, resource, &request.scopes)?;
    let access = mint::delegated(
        context,
        row,
        grant,
        client,
        resource,
        scopes.clone(),
        book.entropy,
    );
    if let Some((by, _)) = mint::coverage(context, read.gate, &access, stage)? {
        return Err(Halt::Refused(Refusal::new(stage, Reason::Revoked).by(by)));
    }
    if access.expires_at <= context.now {
        return Err(refuse(Reason::GrantExpired));
    }
    if let Some(second) = read.gate.and_then(|gate| mint::release_from(context, gate)) {
        return Err(Halt::NotBefore(second));
    }

    let presented = if token.generation == grant.generation {
        Presented::Current
    } else if token.generation > grant.generation {
        Presented::Newer
    } else if Some(token.generation) == grant.presented {
        Presented::Last
    } else {
        Presented::Older
    };
    let in_window = is_in_window(context, client, grant);
    let late = client.late;
    let is_fixed = client.fixed && client.is_confidential() && grant.binding.is_some();
    let outcome = match (presented, is_fixed, in_window, late, is_present_incarnation) {
        (Presented::Current, true, _, _, _) => Outcome::Fixed,
        (Presented::Current, false, _, _, _) => Outcome::Rotated,
        (Presented::Last, _, true, _, _) => Outcome::Replayed,
        (Presented::Last, _, false, Late::Supersede, _) => Outcome::Superseded,
        (Presented::Newer, _, _, _, false) => Outcome::Healed,
        (Presented::Last, _, false, Late::Reuse, _) | (Presented::Older, _, _, _, _) => {
            return Err(reused(book, row, grant, token));
        }
        (Presented::Newer, _, _, _, true) => {
            return Err(Halt::Refused(
                Refusal::new(stage, Reason::RefreshImpossible).about("generation"),
            ));
        }
    };
    rotate(book, row, grant, client, request, outcome, access, scopes)
}

/// What the absence of a row means; nothing is revoked, nothing is created.
fn absent_row(context: &Context<'_>, read: Read<'_>, token: &RefreshToken) -> Refusal {
    let stage = Stage::SilentRenewal;
    if read.tombstone.is_some() {
        return Refusal::new(stage, Reason::SessionEnded);
    }
    if token.incarnation != context.incarnation {
        return Refusal::new(stage, Reason::RefreshRolledBack);
    }
    // A row is kept for a day after its end, so only a younger session's absence is impossible.
    if context.now.ms_since(token.sid.birth()) < COLLECT_AFTER_MS {
        return Refusal::new(stage, Reason::RefreshImpossible).about("session");
    }
    Refusal::new(stage, Reason::SessionUnknown)
}

/// The first line of the table: nothing is written, nothing published, no generation spent.
fn may_refresh<'d>(
    context: &Context<'d>,
    row: &Row,
    grant: &Grant,
    gate: Option<&Gate>,
    request: &Request,
) -> Result<&'d Arc<Client>, Halt> {
    let stage = Stage::SilentRenewal;
    let refuse = |reason| Halt::Refused(Refusal::new(stage, reason));
    if grant.client != request.client.id {
        return Err(refuse(Reason::ClientMismatch));
    }
    let client = mint::client_is_alive(context, &grant.client, stage)?;
    if client.is_confidential() && !request.client.is_authenticated {
        return Err(refuse(Reason::ClientAuthenticationFailed));
    }
    match (&grant.binding, &request.client.key) {
        (None, _) => {}
        (Some(_), None) => return Err(refuse(Reason::BindingMissing)),
        (Some(bound), Some(proven)) if bound != proven => return Err(refuse(Reason::BindingWrong)),
        (Some(_), Some(_)) => {}
    }
    mint::row_is_alive(context, row, stage)?;
    mint::gate_permits(gate, row, stage)?;
    if let Some(ending) = grant.life.ending() {
        let refusal = Refusal::new(stage, Reason::GrantEnded).about(format!("cause {}", ending.cause));
        return Err(Halt::Refused(refusal));
    }
    if context.now >= grant.expires_at {
        return Err(refuse(Reason::GrantExpired));
    }
    if mint::sign_in_again_at(context, &grant.proof).is_some_and(|at| context.now >= at) {
        return Err(refuse(Reason::SignInFrequency));
    }
    Ok(client)
}

/// The scopes of this access token: of the grant, as far as the resource knows them.
fn narrowed(grant: &Grant, resource: &Resource, asked: &[Scope]) -> Result<Vec<Scope>, Halt> {
    let of_resource = |scope: &&Scope| mint::is_of_openid(scope) || resource.scopes.contains(scope);
    if asked.is_empty() {
        return Ok(grant.scopes.iter().filter(of_resource).cloned().collect());
    }
    if let Some(scope) = asked
        .iter()
        .find(|scope| grant.scopes.contains(scope) && !of_resource(scope))
    {
        let refusal = Refusal::new(Stage::SilentRenewal, Reason::ScopeUnknown).about(scope.to_string());
        return Err(Halt::Refused(refusal));
    }
    match asked.iter().find(|scope| !grant.scopes.contains(scope)) {
        None => Ok(asked.to_vec()),
        Some(scope) => {
            let refusal = Refusal::new(Stage::SilentRenewal, Reason::ScopeWidened).about(scope.to_string());
            Err(Halt::Refused(refusal))
        }
    }
}

fn is_in_window(context: &Context<'_>, client: &Client, grant: &Grant) -> bool {
    let is_unbound_public = !client.is_confidential() && grant.binding.is_none();
    let default = if is_unbound_public {
        Window::Time(PUBLIC_WINDOW_MS)
    } else {
        Window::UntilPresented
    };
    match client.window.unwrap_or(default) {
        // The predecessor is the last one rotated exactly as long as nobody presented the successor.
        Window::UntilPresented => true,
        // A rotation by a faster clock lies ahead; in a strict window it must not count as recent.
        Window::Time(ms) => ms > 0 && context.now.ms_since(grant.rotated_at) < ms,
    }
}

/// A superseded token: grant revoked (session, by policy), published, cause told.
fn reused(book: &mut Book<'_>, row: &Row, grant: &Grant, token: &RefreshToken) -> Halt {
    let mut row = row.clone();
    let motive = Motive::policy(cause::refresh_reused(), None);
    let record = match book.context.tenant.on_reuse {
        OnReuse::EndGrant => book.end_grant(&mut row, grant.gid, token.subject_key, &motive),
        OnReuse::EndSession => book.end_session(&mut row, token.subject_key, &motive),
    };
    book.write_row(row);
    let refusal = Refusal::new(Stage::SilentRenewal, Reason::RefreshReused);
    Halt::Refused(match record {
        None => refusal,
        Some(record) => refusal.by(RevokedBy {
            record,
            cause: motive.cause,
            initiator: motive.initiator,
            decided_at: book.context.now,
        }),
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one decision, made in one place and used in one"
)]
fn rotate(
    book: &mut Book<'_>,
    row: &Row,
    grant: &Grant,
    client: &Client,
    request: &Request,
    outcome: Outcome,
    mut access: AccessToken,
    scopes: Vec<Scope>,
) -> Result<Refreshed, Halt> {
    let context = book.context;
    let token = &request.token;
    let exhausted = || Halt::Refused(Refusal::new(Stage::SilentRenewal, Reason::GrantExpired));
    let mut row = row.clone();
    let mut next = grant.clone();
    match outcome {
        Outcome::Fixed | Outcome::Replayed => {}
        Outcome::Rotated => {
            next.generation = grant.generation.checked_add(1).ok_or_else(exhausted)?;
            next.presented = Some(grant.generation);
            next.rotated_at = context.now;
        }
        Outcome::Superseded => {
            next.generation = grant.generation.checked_add(1).ok_or_else(exhausted)?;
            next.rotated_at = context.now;
        }
        Outcome::Healed => {
            next.generation = token.generation.checked_add(1).ok_or_else(exhausted)?;
            next.presented = Some(token.generation);
            next.rotated_at = context.now;
        }
    }
    let changes_nothing_else = outcome == Outcome::Replayed;
    // Jitter may shorten by a tenth; where the row remembers no less than that, a replay takes what the
    // row remembers and writes nothing, so that a hundred presentations at once do not conflict.
    let life = access.expires_at.ms_since(context.now);
    let remembered = row.latest_expiry.min(grant.latest_expiry);
    let is_enough = remembered.ms_since(context.now) >= life - life / 10;
    if changes_nothing_else && access.expires_at > remembered && is_enough {
        access.expires_at = remembered;
    }
    if !changes_nothing_else {
        next.incarnation = context.incarnation;
        // Idle expiry counts activity only.
        if request.activity.unwrap_or(client.default_activity) == Activity::User {
            next.last_used = context.now;
            row.last_used = context.now;
        }
    }
    next.latest_expiry = next.latest_expiry.max(access.expires_at);
    let raises_expiry = access.expires_at > row.latest_expiry || next.latest_expiry > grant.latest_expiry;
    row.latest_expiry = row.latest_expiry.max(access.expires_at);
    let has_openid = scopes.iter().any(|scope| scope.as_str() == mint::OPENID);
    let refreshed = Refreshed {
        outcome,
        refresh: RefreshToken {
            sid: row.sid,
            subject_key: token.subject_key,
            incarnation: context.incarnation,
            grant: token.grant,
            generation: next.generation,
            salt: next.salt(next.generation),
        },
        id: has_openid.then(|| mint::id_token(context, &row, &next, None)),
        scopes,
        grant_expires_at: next.expires_at,
        session_expires_at: context.session_ends_at(&row),
        access,
    };
    if let Some(present) = row.grant_by_low_mut(token.grant) {
        *present = next;
    }
    if !changes_nothing_else || raises_expiry {
        book.write_row(row);
    }
    Ok(refreshed)
}

/// The keys that one refresh reads beside those of every transaction, in the order in which [`Read`] names them.
#[must_use]
pub fn keys(token: &RefreshToken) -> [Key; 3] {
    [
        Key::Session(token.sid),
        Key::Gate(token.subject_key),
        Key::Tombstone(token.sid),
    ]
}

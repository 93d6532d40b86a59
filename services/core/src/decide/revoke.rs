//! Revocations by claims: narrow ones beside a subject, wide ones in the directory, and those that
//! live in the log alone (`jti`, foreign issuers).
//!
//! **Invariant:** a mark lives where what it covers could be refreshed (Q6); a key is revoked without
//! `before` (Q3); a caller names its own tenant's issuer or a foreign one registered there (Q10).

use std::sync::Arc;

use crate::decide::end::Subject;
use crate::decide::{Book, Context, Draft, Motive, Verdict, in_whole_units};
use crate::directory::{ForeignIssuer, WideMark};
use crate::ids::{IssuerId, SessionId, TenantId};
use crate::index::{LayeredIndex, SHAPES_MAX};
use crate::mac::Entropy;
use crate::record::{Before, Criterion, JOSE_KID_CLAIM, Revocation, validate_criteria};
use crate::refusal::{Reason, Refusal, Stage};
use crate::stored::{Decision, Key, Record, Write};
use crate::subject::{GATE_MARKS_MAX, Gate};
use crate::time::{KEEP_SLACK_MS, WIDE_AHEAD_MS};

/// The claim whose instant a cut-off compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Everything with these claims, whenever it was born.
    Plain,
    /// What was born or written before now.
    BeforeNow(&'static str),
}

/// What is asked of a wide, log-only or foreign revocation.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The issuer entry.
    pub issuer: IssuerId,
    /// The claims.
    pub all_of: Vec<Criterion>,
    /// Whether older ones only.
    pub cut: Cut,
    /// Add the foreign issuer's clock error to the instant.
    pub add_clock_error: bool,
    /// What people call it.
    pub scope: &'static str,
    /// Why, by whom.
    pub motive: Motive,
}

/// Where a revocation of Curfew's own tokens has its home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// The subject's gate: the criteria name `oid`.
    Subject,
    /// The gate of the session's subject: the criteria name `sid`.
    Session,
    /// The log alone: the criteria are one `jti`.
    Log,
    /// The directory.
    Directory,
}

/// Which home criteria for own tokens have; `Err`: why there can be none.
pub fn home_of(all_of: &[Criterion], has_before: bool) -> Result<Home, Refusal> {
    let names = |claim: &str| all_of.iter().any(|criterion| &*criterion.claim == claim);
    let invalid = |why: &str| Err(invalid(why));
    if let Err(error) = validate_criteria(all_of) {
        return invalid(&error.to_string());
    }
    if names("oid") {
        Ok(Home::Subject)
    } else if names("sub") {
        invalid("name `oid`: `sub` may be pairwise")
    } else if names("sid") {
        Ok(Home::Session)
    } else if names("gid") {
        invalid("name the grant's `sid` beside its `gid`")
    } else if names("jti") {
        // A delegated `jti` is on no subject's clock, and it cascades to nothing.
        if all_of.len() == 1 && !has_before {
            Ok(Home::Log)
        } else {
            invalid("`jti` stands alone, without `before`")
        }
    } else {
        Ok(Home::Directory)
    }
}

/// Whether the criteria name nothing that tells one token of the tenant from another.
pub fn is_of_everybody(all_of: &[Criterion]) -> bool {
    all_of
        .iter()
        .all(|criterion| matches!(&*criterion.claim, "iss" | "tid" | "aud"))
}

/// Living wide marks of one tenant: every authority reads them all when the directory changes.
pub const WIDE_MARKS_MAX: usize = 1_000;

/// Revokes in the directory: one commit there and one record in every log partition.
pub fn wide(
    context: &Context<'_>,
    request: &Request,
    entropy: &mut Entropy,
    result: impl FnOnce(&Revocation) -> Vec<u8>,
) -> Decision<Verdict<Revocation>> {
    let mut book = Book::new(context, entropy);
    match wide_in(&mut book, request) {
        Err(refusal) => Decision::of(context.partition, Verdict::Refused(refusal)),
        Ok(revocation) => {
            book.remember(context.tenant.id, request.motive.operation, result(&revocation));
            book.close(Verdict::Granted(revocation))
        }
    }
}

/// The wide revocation itself, for decisions that do more in the same commit.
pub(crate) fn wide_in(book: &mut Book<'_>, request: &Request) -> Result<Revocation, Refusal> {
    let context = book.context;
    is_own_issuer(context, request)?;
    validate_criteria(&request.all_of).map_err(|error| invalid(&error.to_string()))?;
    room_for_shape(context, request)?;
    let of_tenant = |mark: &&Arc<WideMark>| mark.record.tenant == context.tenant.id;
    if context.directory.wide_marks.values().filter(of_tenant).count() >= WIDE_MARKS_MAX {
        return Err(Refusal::new(Stage::Request, Reason::CapMarks));
    }
    let is_key = request
        .all_of
        .iter()
        .any(|criterion| &*criterion.claim == JOSE_KID_CLAIM);
    let before = match request.cut {
        // Whoever signs in next would be refused as well, for as long as the mark lives: no un-revoke.
        Cut::Plain if is_of_everybody(&request.all_of) => {
            return Err(invalid(
                "name `before`: these claims are in every token of the tenant",
            ));
        }
        Cut::Plain => None,
        Cut::BeforeNow(_) if is_key => {
            return Err(invalid(
                "a key is revoked at once and without `before`: whoever stole it chooses births",
            ));
        }
        // B lies ahead of every birth so far, whatever the clocks within their permitted error.
        Cut::BeforeNow(claim) => Some(Before {
            claim: claim.into(),
            instant: in_whole_units(context.now.plus_ms(WIDE_AHEAD_MS), claim),
        }),
    };
    let draft = Draft {
        issuer: request.issuer,
        all_of: request.all_of.clone(),
        before,
        except: Vec::new(),
        keep_until: context.keep_until_of_cutoff().plus_ms(WIDE_AHEAD_MS),
        wide: true,
        subject_key: None,
        row: None,
        scope: request.scope,
    };
    let revocation = published(book, draft, request)?;
    let longest = context
        .directory
        .tenants
        .values()
        .map(|tenant| tenant.session_life_max_ms)
        .max()
        .unwrap_or(0);
    let lives_until = context
        .now
        .plus_ms(WIDE_AHEAD_MS.saturating_add(longest))
        .max(revocation.keep_until);
    let mark = WideMark {
        record: revocation.clone(),
        lives_until,
        last_copy_at: context.now,
    };
    book.write(
        Key::WideMark(revocation.id),
        Write::until(Record::WideMark(Arc::new(mark)), lives_until),
    );
    book.write(Key::DirectoryVersion, Write::put(Record::DirectoryVersion));
    Ok(revocation)
}

/// Revokes by claims of one subject's tokens: the mark lies in its gate.
pub fn narrow(
    context: &Context<'_>,
    subject: Subject<'_>,
    row: Option<SessionId>,
    request: &Request,
    entropy: &mut Entropy,
    result: impl FnOnce(&Revocation) -> Vec<u8>,
) -> Decision<Verdict<Revocation>> {
    let mut book = Book::new(context, entropy);
    match narrow_in(&mut book, subject, row, request) {
        Err(refusal) => Decision::of(context.partition, Verdict::Refused(refusal)),
        Ok(revocation) => {
            book.remember(context.tenant.id, request.motive.operation, result(&revocation));
            book.close(Verdict::Granted(revocation))
        }
    }
}

fn narrow_in(
    book: &mut Book<'_>,
    subject: Subject<'_>,
    row: Option<SessionId>,
    request: &Request,
) -> Result<Revocation, Refusal> {
    let context = book.context;
    let tenant = context.tenant.id;
    is_own_issuer(context, request)?;
    match home_of(&request.all_of, matches!(request.cut, Cut::BeforeNow(_)))? {
        Home::Subject | Home::Session => {}
        Home::Log | Home::Directory => return Err(invalid("no subject's gate is the home of these claims")),
    }
    let is_another = |c: &Criterion| &*c.claim == "oid" && *c.value != *subject.subject.as_str();
    if request.all_of.iter().any(is_another) {
        return Err(invalid("`oid` names another subject"));
    }
    let mut gate = subject
        .gate
        .cloned()
        .unwrap_or_else(|| Gate::open(tenant, subject.subject.clone()));
    if gate.subject != *subject.subject || gate.tenant != tenant {
        return Err(Refusal::new(Stage::Request, Reason::SubjectMismatch));
    }
    if gate.marks.len() >= GATE_MARKS_MAX {
        return Err(Refusal::new(Stage::Request, Reason::CapMarks));
    }
    room_for_shape(context, request)?;
    let before = match request.cut {
        Cut::Plain => None,
        Cut::BeforeNow(claim) => Some(Before {
            claim: claim.into(),
            instant: context.narrow_instant(subject.subject, subject.ledger, claim),
        }),
    };
    let draft = Draft {
        issuer: request.issuer,
        all_of: request.all_of.clone(),
        before,
        except: Vec::new(),
        keep_until: context.keep_until_of_cutoff(),
        wide: false,
        subject_key: Some(subject.key),
        row,
        scope: request.scope,
    };
    let revocation = published(book, draft, request)?;
    gate.keep(&revocation);
    // Rows may stand behind a gate that was lost and is made anew here; what is marked must stay dead.
    gate.needed_for(context.now.plus_ms(context.tenant.session_life_max_ms));
    gate.needed_for(revocation.keep_until);
    book.write_gate(subject.key, gate);
    Ok(revocation)
}

/// Revokes one own access token by its `jti`: indexes hold it until it has expired, and no store.
pub fn log_only(
    context: &Context<'_>,
    request: &Request,
    entropy: &mut Entropy,
    result: impl FnOnce(&Revocation) -> Vec<u8>,
) -> Decision<Verdict<Revocation>> {
    let mut book = Book::new(context, entropy);
    let refuse = |refusal| Decision::of(context.partition, Verdict::Refused(refusal));
    let home = is_own_issuer(context, request).and_then(|()| home_of(&request.all_of, false));
    match home {
        Err(refusal) => return refuse(refusal),
        Ok(Home::Log) => {}
        // Anything else could be refreshed once the log has forgotten it (Q6).
        Ok(Home::Subject | Home::Session | Home::Directory) => {
            return refuse(invalid("only a single `jti` lives in the log alone"));
        }
    }
    let draft = Draft {
        issuer: request.issuer,
        all_of: request.all_of.clone(),
        before: None,
        except: Vec::new(),
        keep_until: context.keep_until_of_cutoff(),
        wide: false,
        subject_key: None,
        row: None,
        scope: request.scope,
    };
    let revocation = book.revoke(draft, &request.motive);
    book.remember(context.tenant.id, request.motive.operation, result(&revocation));
    book.close(Verdict::Granted(revocation))
}

/// Revokes tokens of a foreign issuer, in the one partition by which its tokens are judged.
pub fn foreign(
    context: &Context<'_>,
    issuer: &ForeignIssuer,
    request: &Request,
    entropy: &mut Entropy,
    result: impl FnOnce(&Revocation) -> Vec<u8>,
) -> Decision<Verdict<Revocation>> {
    let mut book = Book::new(context, entropy);
    let refuse = |refusal| Decision::of(context.partition, Verdict::Refused(refusal));
    if issuer.tenant != context.tenant.id || issuer.id != request.issuer {
        return refuse(Refusal::new(Stage::Request, Reason::IssuerEntryUnknown));
    }
    if let Err(refusal) = foreign_is_valid(issuer, &request.all_of, request.cut) {
        return refuse(refusal);
    }
    if let Err(refusal) = room_for_shape(context, request) {
        return refuse(refusal);
    }
    let before = match request.cut {
        Cut::Plain => None,
        // B is now: a foreign issuer does not wait for one that lies ahead (Q27).
        Cut::BeforeNow(claim) => {
            let error = if request.add_clock_error {
                issuer.clock_error_ms
            } else {
                0
            };
            Some(Before {
                claim: claim.into(),
                instant: context.now.plus_ms(error),
            })
        }
    };
    let draft = Draft {
        issuer: issuer.id,
        all_of: request.all_of.clone(),
        before,
        except: Vec::new(),
        keep_until: context.now.plus_ms(issuer.life_ms.saturating_add(KEEP_SLACK_MS)),
        wide: false,
        subject_key: None,
        row: None,
        scope: request.scope,
    };
    let revocation = match published(&mut book, draft, request) {
        Err(refusal) => return refuse(refusal),
        Ok(revocation) => revocation,
    };
    book.remember(context.tenant.id, request.motive.operation, result(&revocation));
    book.close(Verdict::Granted(revocation))
}

/// Whether tokens of a foreign issuer can be revoked so: by claims that they carry, and by an instant that they tell.
pub fn foreign_is_valid(issuer: &ForeignIssuer, all_of: &[Criterion], cut: Cut) -> Result<(), Refusal> {
    validate_criteria(all_of).map_err(|error| invalid(&error.to_string()))?;
    let is_key = |criterion: &Criterion| &*criterion.claim == JOSE_KID_CLAIM;
    let is_carried = |criterion: &&Criterion| is_key(criterion) || issuer.claims.contains(&criterion.claim);
    if let Some(lacking) = all_of.iter().find(|criterion| !is_carried(criterion)) {
        return Err(Refusal::new(Stage::Request, Reason::ClaimNotCarried).about(lacking.claim.to_string()));
    }
    match cut {
        Cut::BeforeNow(_) if all_of.iter().any(is_key) => Err(invalid("a key is revoked without `before`")),
        Cut::BeforeNow(claim) if !matches!(claim, "iat" | "auth_time") => {
            Err(invalid("a foreign token's instant is `iat` or `auth_time`"))
        }
        Cut::Plain | Cut::BeforeNow(_) => Ok(()),
    }
}

fn room_for_shape(context: &Context<'_>, request: &Request) -> Result<(), Refusal> {
    let tenant = context.tenant.id;
    let room = |index| room_in(index, tenant, request.issuer, &request.all_of);
    context.index.map_or(Ok(()), room)
}

/// A new shape beyond the permitted number is refused when it is asked for.
pub fn room_in(
    index: &LayeredIndex,
    tenant: TenantId,
    issuer: IssuerId,
    all_of: &[Criterion],
) -> Result<(), Refusal> {
    let mut all_of = all_of.to_vec();
    all_of.sort();
    if index.has_shape(tenant, issuer, &all_of) || index.shapes_of(tenant) < SHAPES_MAX {
        Ok(())
    } else {
        Err(Refusal::new(Stage::Request, Reason::TooManyShapes))
    }
}

/// A caller names its own tenant's issuer; foreign ones have a decision of their own (Q10).
fn is_own_issuer(context: &Context<'_>, request: &Request) -> Result<(), Refusal> {
    if request.issuer == context.tenant.id.own_issuer() {
        Ok(())
    } else {
        Err(Refusal::new(Stage::Request, Reason::IssuerEntryUnknown))
    }
}

/// Publishes a record that every reader accepts; a malformed one would freeze its partition.
fn published(book: &mut Book<'_>, draft: Draft, request: &Request) -> Result<Revocation, Refusal> {
    let revocation = book.revoke(draft, &request.motive);
    revocation
        .validate()
        .map_err(|error| invalid(&error.to_string()))?;
    Ok(revocation)
}

fn invalid(why: &str) -> Refusal {
    Refusal::new(Stage::Request, Reason::CriteriaInvalid).about(why.to_owned())
}

//! A revocation while the store is away: the record goes to the log first, and is merged when the store is back.
//!
//! Nothing was read, so nothing is known of what it concerns: a subject is cut off like a wide scope, with B ahead of
//! every birth so far, and no session can be spared (DESIGN section 4).
//!
//! **Invariant:** every reader denies at once what such a record covers; the store follows, and never forgets it.

use crate::decide::revoke::Cut;
use crate::decide::{Motive, in_whole_units};
use crate::ids::{IssuerId, RecordId, SessionId, SubjectId, SubjectKey, TenantId};
use crate::mac::Entropy;
use crate::place::Partition;
use crate::record::{Before, Criterion, JOSE_KID_CLAIM, Revocation, SubjectChange, SubjectState};
use crate::refusal::{Reason, Refusal, Stage};
use crate::time::{KEEP_SLACK_MS, Millis, WIDE_AHEAD_MS};

/// What is revoked.
#[derive(Clone, PartialEq, Debug)]
pub struct Asked<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The issuer entry.
    pub issuer: IssuerId,
    /// Whose partition the record lies in; the directory's for a wide one.
    pub home: Partition,
    /// In every log partition.
    pub wide: bool,
    /// The claims.
    pub all_of: Vec<Criterion>,
    /// Whether older ones only.
    pub cut: Cut,
    /// How far B lies ahead, ms.
    pub ahead_ms: i64,
    /// The subject, where it is known.
    pub subject_key: Option<SubjectKey>,
    /// The row that it ends.
    pub row: Option<SessionId>,
    /// What people call it.
    pub scope: &'static str,
    /// The longest life of a token that it may have to cover, ms.
    pub life_ms: i64,
    /// Why, by whom.
    pub motive: &'a Motive,
}

/// The record; a malformed one is refused, as it would freeze every reader.
pub fn revocation(now: Millis, asked: Asked<'_>, entropy: &mut Entropy) -> Result<Revocation, Refusal> {
    let mut all_of = asked.all_of;
    all_of.sort();
    let is_key = all_of.iter().any(|criterion| &*criterion.claim == JOSE_KID_CLAIM);
    let before = match asked.cut {
        Cut::BeforeNow(_) if is_key => return Err(invalid("a key is revoked without `before`")),
        Cut::Plain => None,
        Cut::BeforeNow(claim) => Some(Before {
            claim: claim.into(),
            instant: in_whole_units(now.plus_ms(asked.ahead_ms), claim),
        }),
    };
    let revocation = Revocation {
        id: RecordId::from_random(entropy.draw()),
        operation: asked.motive.operation,
        tenant: asked.tenant,
        issuer: asked.issuer,
        all_of,
        before,
        except: Vec::new(),
        keep_until: now.plus_ms(
            WIDE_AHEAD_MS
                .saturating_add(asked.life_ms)
                .saturating_add(KEEP_SLACK_MS),
        ),
        decided_at: now,
        cause: asked.motive.cause.clone(),
        initiator: asked.motive.initiator,
        home: asked.home,
        wide: asked.wide,
        sequence: 0,
        incarnation: None,
        subject_key: asked.subject_key,
        row: asked.row,
        scope: asked.scope.into(),
        correlation_id: asked.motive.correlation_id.clone(),
        trace: None,
    };
    revocation
        .validate()
        .map_err(|error| invalid(&error.to_string()))?;
    Ok(revocation)
}

/// A disable of a subject; its cut-off is a record of its own.
#[must_use]
pub fn disable(
    now: Millis,
    tenant: TenantId,
    subject: &SubjectId,
    key: SubjectKey,
    motive: &Motive,
    entropy: &mut Entropy,
) -> SubjectState {
    SubjectState {
        id: RecordId::from_random(entropy.draw()),
        operation: motive.operation,
        tenant,
        subject: subject.clone(),
        subject_key: key,
        partition: key.partition(),
        sequence: 0,
        incarnation: None,
        change: SubjectChange::Disable,
        decided_at: now,
        cause: motive.cause.clone(),
        trace: None,
    }
}

fn invalid(why: &str) -> Refusal {
    Refusal::new(Stage::Request, Reason::CriteriaInvalid).about(why.to_owned())
}

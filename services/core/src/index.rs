//! The index: the marks that a verifier consults in memory, and the one coverage function.
//!
//! Gate, authority and guard all judge by [`Index::covered`]. The index keeps one map per *shape*
//! (sorted set of claim names) that is present, so a check is a few look-ups whatever the scopes.
//!
//! **Invariant 7:** it denies the same tokens whatever the order and copies of the records, and
//! exactly those that some record covers.
//! **Invariant 14:** marks are found under (tenant, issuer entry) only.

mod judge;
mod layered;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::claims::{Claims, Malformed};
use crate::cutoff::CutOff;
use crate::ids::{Cause, IssuerId, RecordId, TenantId};
use crate::index::judge::View;
pub use crate::index::layered::LayeredIndex;
use crate::record::{Criterion, Initiator, Revocation};
use crate::time::Millis;

/// The most look-ups that one token may cost.
pub const LOOK_UPS_MAX: usize = 256;
/// The most shapes that one tenant's records may have.
pub const SHAPES_MAX: usize = 32;

/// What one mark takes in memory, bytes, about: a slot of its map, which is at most 7/8 full, a key, and the
/// cut-off or the plain mark with its winner (`index::tests` compares it with what they are).
pub const MARK_BYTES: usize = 384;

/// The record that decides an element, for "why?": any record that covers is a true answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Winner {
    /// Its id.
    pub id: RecordId,
    /// Why.
    pub cause: Cause,
    /// Who began it.
    pub initiator: Initiator,
    /// When.
    pub decided_at: Millis,
}

impl Winner {
    fn of(record: &Revocation) -> Self {
        Self {
            id: record.id,
            cause: record.cause.clone(),
            initiator: record.initiator,
            decided_at: record.decided_at,
        }
    }
}

/// What covers a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Covering<'a> {
    /// The deciding record.
    pub winner: &'a Winner,
    /// The cut-off that the token lies before; `None`: whatever has these claims is dead.
    pub before: Option<Millis>,
}

/// One element of the semilattice, as a snapshot carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The tenant.
    pub tenant: TenantId,
    /// The issuer entry.
    pub issuer: IssuerId,
    /// The claims; sorted by name.
    pub all_of: Vec<Criterion>,
    /// `None`: plain. Otherwise the claim that is compared, and the cut-off.
    pub cut: Option<(Arc<str>, CutOff)>,
    /// When it may be collected.
    pub keep_until: Millis,
    /// The record that decides it.
    pub winner: Winner,
}

impl Entry {
    /// What one record adds.
    #[must_use]
    pub fn of(record: &Revocation) -> Self {
        let cut = record.before.as_ref().map(|before| {
            (
                before.claim.clone(),
                CutOff::of_record(before.instant, record.except.iter().copied()),
            )
        });
        Self {
            tenant: record.tenant,
            issuer: record.issuer,
            all_of: record.all_of.clone(),
            cut,
            keep_until: record.keep_until,
            winner: Winner::of(record),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Plain {
    keep_until: Millis,
    winner: Winner,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Cut {
    claim: Arc<str>,
    cut_off: CutOff,
    keep_until: Millis,
    winner: Winner,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Marks {
    plain: Option<Plain>,
    // Kept sorted by claim, so that equal sets compare equal.
    cuts: Vec<Cut>,
}

impl Marks {
    fn is_empty(&self) -> bool {
        self.plain.is_none() && self.cuts.is_empty()
    }

    fn len(&self) -> usize {
        self.cuts.len() + usize::from(self.plain.is_some())
    }

    fn join(&mut self, cut: Option<(Arc<str>, CutOff)>, keep_until: Millis, winner: Winner) {
        let Some((claim, cut_off)) = cut else {
            match &mut self.plain {
                None => self.plain = Some(Plain { keep_until, winner }),
                Some(plain) => {
                    plain.keep_until = plain.keep_until.max(keep_until);
                    if winner.id < plain.winner.id {
                        plain.winner = winner;
                    }
                }
            }
            return;
        };
        match self.cuts.binary_search_by(|cut| cut.claim.cmp(&claim)) {
            Err(place) => self.cuts.insert(
                place,
                Cut {
                    claim,
                    cut_off,
                    keep_until,
                    winner,
                },
            ),
            Ok(place) => {
                if let Some(present) = self.cuts.get_mut(place) {
                    let challenger = (cut_off.default_instant(), winner.id);
                    if challenger > (present.cut_off.default_instant(), present.winner.id) {
                        present.winner = winner;
                    }
                    present.cut_off = present.cut_off.join(&cut_off);
                    present.keep_until = present.keep_until.max(keep_until);
                }
            }
        }
    }

    fn collect(&mut self, now: Millis) {
        self.plain.take_if(|plain| plain.keep_until < now);
        self.cuts.retain(|cut| cut.keep_until >= now);
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Shape {
    claims: Arc<[Arc<str>]>,
    marks: HashMap<Box<str>, Marks>,
}

/// The marks of a verifier.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Index {
    issuers: HashMap<(TenantId, IssuerId), Vec<Shape>>,
    len: usize,
}

impl Index {
    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The shapes of one tenant's records; a new one beyond [`SHAPES_MAX`] is refused when it is asked for.
    #[must_use]
    pub fn shapes_of(&self, tenant: TenantId) -> usize {
        self.issuers
            .iter()
            .filter(|((of, _), _)| *of == tenant)
            .map(|(_, shapes)| shapes.len())
            .sum()
    }

    /// Whether a record of these claims has a shape that is present.
    #[must_use]
    pub fn has_shape(&self, tenant: TenantId, issuer: IssuerId, all_of: &[Criterion]) -> bool {
        self.issuers
            .get(&(tenant, issuer))
            .is_some_and(|shapes| shapes.iter().any(|shape| is_shape(&shape.claims, all_of)))
    }

    fn has_claims(&self, tenant: TenantId, issuer: IssuerId, claims: &[Arc<str>]) -> bool {
        self.issuers
            .get(&(tenant, issuer))
            .is_some_and(|shapes| shapes.iter().any(|shape| *shape.claims == *claims))
    }

    fn shapes(&self) -> impl Iterator<Item = (TenantId, IssuerId, &[Arc<str>])> {
        self.issuers.iter().flat_map(|((tenant, issuer), shapes)| {
            shapes.iter().map(|shape| (*tenant, *issuer, &*shape.claims))
        })
    }

    /// Joins one record.
    pub fn insert(&mut self, record: &Revocation) {
        self.insert_entry(Entry::of(record));
    }

    /// Joins one element.
    pub fn insert_entry(&mut self, entry: Entry) {
        let shapes = self.issuers.entry((entry.tenant, entry.issuer)).or_default();
        let place = shapes
            .iter()
            .position(|shape| is_shape(&shape.claims, &entry.all_of));
        let place = place.unwrap_or_else(|| {
            let claims: Arc<[Arc<str>]> = entry.all_of.iter().map(|c| c.claim.clone()).collect();
            // Sorted, so that equal sets of records give equal indexes.
            let place = shapes.partition_point(|shape| *shape.claims < *claims);
            shapes.insert(
                place,
                Shape {
                    claims,
                    marks: HashMap::new(),
                },
            );
            place
        });
        let Some(shape) = shapes.get_mut(place) else {
            return;
        };
        let key = key_of(entry.all_of.iter().map(|criterion| &*criterion.value));
        let marks = shape.marks.entry(key.into()).or_default();
        let before = marks.len();
        marks.join(entry.cut, entry.keep_until, entry.winner);
        self.len += marks.len() - before;
    }

    /// Joins every element of another index.
    pub fn absorb(&mut self, other: &Self) {
        for entry in other.entries() {
            self.insert_entry(entry);
        }
    }

    /// Drops every element whose `keep_until` has passed; `now` never runs backwards.
    pub fn collect(&mut self, now: Millis) {
        let mut len = 0;
        self.issuers.retain(|_, shapes| {
            shapes.retain_mut(|shape| {
                shape.marks.retain(|_, marks| {
                    marks.collect(now);
                    len += marks.len();
                    !marks.is_empty()
                });
                !shape.marks.is_empty()
            });
            !shapes.is_empty()
        });
        self.len = len;
    }

    /// All elements, in no order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.issuers.iter().flat_map(|((tenant, issuer), shapes)| {
            shapes.iter().flat_map(move |shape| {
                shape.marks.iter().flat_map(move |(key, marks)| {
                    let entry = move |cut, keep_until, winner: &Winner| Entry {
                        tenant: *tenant,
                        issuer: *issuer,
                        all_of: criteria_of(&shape.claims, key),
                        cut,
                        keep_until,
                        winner: winner.clone(),
                    };
                    let plain = marks
                        .plain
                        .iter()
                        .map(move |plain| entry(None, plain.keep_until, &plain.winner));
                    let cuts = marks.cuts.iter().map(move |cut| {
                        entry(
                            Some((cut.claim.clone(), cut.cut_off.clone())),
                            cut.keep_until,
                            &cut.winner,
                        )
                    });
                    plain.chain(cuts)
                })
            })
        })
    }

    /// The record that covers the token, if one does.
    ///
    /// `Err`: the token has a claim that a living mark names and that cannot be compared, or costs
    /// too many look-ups; it is refused by that name.
    pub fn covered(
        &self,
        tenant: TenantId,
        issuer: IssuerId,
        token: &impl Claims,
    ) -> Result<Option<Covering<'_>>, Malformed> {
        let Some(shapes) = self.issuers.get(&(tenant, issuer)) else {
            return Ok(None);
        };
        let mut look_ups = 0;
        for shape in shapes {
            let links = token.links();
            // The token itself, then each link in its place; a shape without the two claims sees no difference
            // but in `before`, which a link's `gid` may change.
            for link in std::iter::once(None).chain(links.iter().map(Some)) {
                let view = View { token, link };
                if let Some(covering) = shape.covered(&view, &mut look_ups)? {
                    return Ok(Some(covering));
                }
            }
        }
        Ok(None)
    }
}

fn is_shape(claims: &[Arc<str>], all_of: &[Criterion]) -> bool {
    claims.len() == all_of.len()
        && claims
            .iter()
            .zip(all_of)
            .all(|(claim, criterion)| *claim == criterion.claim)
}

/// One text for the values of a shape: a single value is itself, more are length-prefixed.
fn key_of<'a>(mut values: impl ExactSizeIterator<Item = &'a str>) -> Cow<'a, str> {
    if values.len() == 1 {
        return Cow::Borrowed(values.next().unwrap_or_default());
    }
    let mut key = String::new();
    for value in values {
        key.push_str(&value.len().to_string());
        key.push(':');
        key.push_str(value);
    }
    Cow::Owned(key)
}

fn criteria_of(claims: &[Arc<str>], key: &str) -> Vec<Criterion> {
    if let [claim] = claims {
        return vec![Criterion {
            claim: claim.clone(),
            value: key.into(),
        }];
    }
    let mut rest = key;
    let mut criteria = Vec::with_capacity(claims.len());
    for claim in claims {
        let Some((length, tail)) = rest.split_once(':') else {
            break;
        };
        let Some((value, tail)) = length.parse().ok().and_then(|n| tail.split_at_checked(n)) else {
            break;
        };
        criteria.push(Criterion {
            claim: claim.clone(),
            value: value.into(),
        });
        rest = tail;
    }
    criteria
}

#[cfg(test)]
mod tests;

//! The index that readers share while one follower writes it.
//!
//! **Invariant:** a reader that holds a value keeps it whole, whatever is joined meanwhile.

use std::sync::Arc;

use crate::claims::{Claims, Malformed};
use crate::ids::{IssuerId, TenantId};
use crate::index::{Covering, Index};
use crate::record::{Criterion, Revocation};
use crate::time::Millis;

/// An index that readers share: a large base and a small delta, so that a record costs little to add.
///
/// A token is covered iff the base or the delta covers it: both are unions of records.
#[derive(Clone, Debug, Default)]
pub struct LayeredIndex {
    base: Arc<Index>,
    delta: Arc<Index>,
}

/// The delta is folded into the base beyond this: at ~150 B an element, a copy of 150 kB a batch.
const DELTA_LEN_MAX: usize = 1_024;

impl LayeredIndex {
    /// From one whole index, as after a snapshot.
    #[must_use]
    pub fn from_base(base: Index) -> Self {
        Self {
            base: Arc::new(base),
            delta: Arc::default(),
        }
    }

    /// The record that covers the token, if one does.
    pub fn covered(
        &self,
        tenant: TenantId,
        issuer: IssuerId,
        token: &impl Claims,
    ) -> Result<Option<Covering<'_>>, Malformed> {
        match self.base.covered(tenant, issuer, token)? {
            Some(covering) => Ok(Some(covering)),
            None => self.delta.covered(tenant, issuer, token),
        }
    }

    /// How many elements there are; one that lies in both layers counts twice until they are folded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.base.len() + self.delta.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.base.is_empty() && self.delta.is_empty()
    }

    /// Joins one record. Readers that hold the old value keep it whole.
    pub fn insert(&mut self, record: &Revocation) {
        Arc::make_mut(&mut self.delta).insert(record);
        if self.delta.len() > DELTA_LEN_MAX {
            self.fold();
        }
    }

    /// Drops what is over, by folding.
    pub fn collect(&mut self, now: Millis) {
        self.fold();
        Arc::make_mut(&mut self.base).collect(now);
    }

    /// Whether a record of these claims has a shape that is present.
    #[must_use]
    pub fn has_shape(&self, tenant: TenantId, issuer: IssuerId, all_of: &[Criterion]) -> bool {
        self.base.has_shape(tenant, issuer, all_of) || self.delta.has_shape(tenant, issuer, all_of)
    }

    /// The shapes of one tenant's records.
    #[must_use]
    pub fn shapes_of(&self, tenant: TenantId) -> usize {
        let only_in_delta = self
            .delta
            .shapes()
            .filter(|(of, issuer, claims)| *of == tenant && !self.base.has_claims(tenant, *issuer, claims));
        self.base.shapes_of(tenant) + only_in_delta.count()
    }

    /// All elements as one index.
    #[must_use]
    pub fn flat(&self) -> Index {
        let mut index = (*self.base).clone();
        index.absorb(&self.delta);
        index
    }

    fn fold(&mut self) {
        if !self.delta.is_empty() {
            let delta = std::mem::take(&mut self.delta);
            Arc::make_mut(&mut self.base).absorb(&delta);
        }
    }
}

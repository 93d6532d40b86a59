//! A set of public keys, found by `kid` (RFC 7517 section 5).
//!
//! A set is read entry by entry: one that is unknown or broken is skipped and counted, the others stay usable.
//!
//! **Invariant:** a `kid` leads to one key or to none; two different keys under one `kid` lead to none.
//! **Invariant:** no fetching and no refreshing; bytes come in, keys come out.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::read_object;
use crate::jws::Limits;
use crate::verifying_key::{KeyUnusable, VerifyingKey};

/// The largest document that is read: room for 256 RSA 4096 entries of 1 KiB.
const SET_BYTES_MAX: usize = 256 * 1024;
/// The most entries that are read; the largest provider publishes about a dozen.
const ENTRIES_MAX: usize = 256;

/// The document as a whole is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetRefused {
    /// Larger than 256 KiB.
    #[error("key set of {bytes} bytes, at most {SET_BYTES_MAX} are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not a JSON object with one list `keys`.
    #[error("not a key set")]
    NotAKeySet,
}

/// How many entries of a set were skipped, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped(BTreeMap<KeyUnusable, usize>);

/// A set of public keys.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: HashMap<Box<str>, VerifyingKey>,
    skipped: Skipped,
}

impl KeySet {
    /// Reads a JWKS document. A set without a usable key is a set: see [`Self::is_empty`] and [`Self::skipped`].
    ///
    /// # Errors
    /// [`KeySetRefused`] only if the document as a whole is none.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetRefused> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        if document.len() > SET_BYTES_MAX {
            return Err(KeySetRefused::TooLarge {
                bytes: document.len(),
            });
        }
        // serde would also read a list as this struct.
        if !document.trim_ascii_start().starts_with(b"{") {
            return Err(KeySetRefused::NotAKeySet);
        }
        let document: Document<'_> =
            serde_json::from_slice(document).map_err(|_| KeySetRefused::NotAKeySet)?;
        let mut set = Self::default();
        let mut ambiguous = HashSet::new();
        for entry in document.keys.iter().take(ENTRIES_MAX) {
            match read_entry(entry.get()) {
                Ok((kid, key)) => set.add(kid, key, &mut ambiguous),
                Err(reason) => set.skipped.add(reason, 1),
            }
        }
        set.skipped.add(
            KeyUnusable::BeyondBound,
            document.keys.len().saturating_sub(ENTRIES_MAX),
        );
        Ok(set)
    }

    /// The key of this `kid`.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.get(kid)
    }

    /// Every usable key, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.values()
    }

    /// How many keys are usable.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is usable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What was skipped.
    #[must_use]
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    fn add(&mut self, kid: Box<str>, key: VerifyingKey, ambiguous: &mut HashSet<Box<str>>) {
        if ambiguous.contains(&kid) {
            self.skipped.add(KeyUnusable::AmbiguousKeyId, 1);
            return;
        }
        match self.keys.get(&kid) {
            None => {
                self.keys.insert(kid, key);
            }
            Some(present) if present.is_same_as(&key) => {}
            Some(_) => {
                self.keys.remove(&kid);
                self.skipped.add(KeyUnusable::AmbiguousKeyId, 2);
                ambiguous.insert(kid);
            }
        }
    }
}

impl Skipped {
    /// How many were skipped for this reason.
    #[must_use]
    pub fn count(&self, reason: KeyUnusable) -> usize {
        self.0.get(&reason).copied().unwrap_or_default()
    }

    /// How many were skipped in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0
            .values()
            .fold(0, |total, count| total.saturating_add(*count))
    }

    /// Each reason that occurred, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (KeyUnusable, usize)> {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }

    fn add(&mut self, reason: KeyUnusable, more: usize) {
        if more > 0 {
            let count = self.0.entry(reason).or_default();
            *count = count.saturating_add(more);
        }
    }
}

fn read_entry(text: &str) -> Result<(Box<str>, VerifyingKey), KeyUnusable> {
    let members = read_object(text.as_bytes(), Limits::DEFAULT.depth_max).map_err(|_| KeyUnusable::Broken)?;
    let key = VerifyingKey::from_members(&members)?;
    let kid = key
        .kid()
        .filter(|kid| !kid.is_empty())
        .ok_or(KeyUnusable::NoKeyId)?;
    Ok((kid.into(), key))
}

#[cfg(test)]
mod tests;

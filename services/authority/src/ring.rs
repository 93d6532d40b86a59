//! The key ring, opened: what signs, tags, hashes and verifies now.
//!
//! Each key is opened by itself: one that cannot be takes with it what it alone can do, not the node. An
//! operator must be able to revoke and to rotate beside a broken key.
//!
//! **Invariant:** no public half is published or believed that is not proven to belong to a key sealed under
//! the root key: whoever can write the store cannot plant a key that guards trust.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_core::directory::{DirectoryView, KeyRecord, KeyState, KeyUse, UNDECLARED_LIFE_MAX_MS};
use curfew_core::ids::{KeyId, SubjectId, SubjectKey, TenantId};
use curfew_core::mac;
use curfew_core::refresh_token::{MacRing, PREFIX, RefreshToken};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::secret::MacKey;
use curfew_core::time::{KEEP_SLACK_MS, Millis};
use curfew_jose::KeySet;
use curfew_ports::keys::{KeyError, Signer, Vault};

use crate::answer::Answer;

/// The opened ring of one directory version.
#[derive(Debug, Default)]
pub struct Ring {
    signer: Option<Arc<dyn Signer>>,
    tags: Option<MacRing>,
    // Tagging keys that could not be opened: their tokens may be good, so they are not refused for good.
    unopened_tags: BTreeSet<u8>,
    page: Option<MacKey>,
    subject: Option<MacKey>,
    key_set: KeySet,
    key_set_json: Arc<[u8]>,
    is_sealed_otherwise: bool,
}

impl Ring {
    /// Opens every key that is not dead.
    pub(crate) fn open(view: &DirectoryView, vault: &dyn Vault, now: Millis) -> Self {
        let mut ring = Self::default();
        let mut tags = BTreeMap::new();
        let mut current_tag = None;
        let mut published = Vec::new();
        let keep_ms = view
            .lifetimes
            .map_or(UNDECLARED_LIFE_MAX_MS, |lifetimes| lifetimes.keep_ms);
        for key in view.keys.values().filter(|key| key.state != KeyState::Revoked) {
            let is_active = key.state == KeyState::Active;
            match key.key_use {
                KeyUse::Sign if has_outlived_its_tokens(key, keep_ms, now) => {}
                KeyUse::Sign => {
                    let Some((signer, jwk)) = opened(key, vault.signer(key)).zip(own_public_jwk(key)) else {
                        continue;
                    };
                    published.push(jwk);
                    if is_active {
                        ring.signer = Some(signer);
                    }
                }
                KeyUse::Mac => match (key.mac_key_id, opened(key, vault.mac_key(key))) {
                    (None, _) => {}
                    (Some(id), None) => drop(ring.unopened_tags.insert(id)),
                    (Some(id), Some(material)) => {
                        tags.insert(id, material);
                        current_tag = if is_active { Some(id) } else { current_tag };
                    }
                },
                KeyUse::Page if is_active => ring.page = opened(key, vault.mac_key(key)),
                KeyUse::Subject if is_active => ring.subject = opened(key, vault.mac_key(key)),
                KeyUse::Page | KeyUse::Subject => {}
            }
        }
        let has_opened = !published.is_empty()
            || !tags.is_empty()
            || ring.signer.is_some()
            || ring.page.is_some()
            || ring.subject.is_some();
        let is_living = |key: &Arc<KeyRecord>| key.state != KeyState::Revoked;
        ring.is_sealed_otherwise = view.keys.values().any(is_living) && !has_opened;
        ring.tags = current_tag.and_then(|current| MacRing::new(current, tags));
        let json = curfew_jose::serialize_key_set(&published);
        ring.key_set = KeySet::parse(&json).unwrap_or_default();
        ring.key_set_json = json.into();
        ring
    }

    /// Whether there are keys and none of them could be opened: they were sealed under another root key than ours.
    #[must_use]
    pub const fn is_sealed_otherwise(&self) -> bool {
        self.is_sealed_otherwise
    }

    /// The key that signs.
    #[must_use]
    pub fn signing_key(&self) -> Option<&KeyId> {
        self.signer.as_ref().map(|signer| signer.kid())
    }

    /// The published key set (RFC 7517), as JSON.
    #[must_use]
    pub fn key_set_json(&self) -> Arc<[u8]> {
        self.key_set_json.clone()
    }

    /// The published key set.
    #[must_use]
    pub const fn key_set(&self) -> &KeySet {
        &self.key_set
    }

    /// Refused where nothing can be signed: asked before a generation is spent on an answer that nobody gets.
    pub(crate) fn can_sign(&self) -> Answer<()> {
        self.signer.as_ref().map(|_| ()).ok_or_else(unavailable)
    }

    pub(crate) fn sign(&self, typ: &str, claims: &[u8]) -> Answer<String> {
        let signer = self.signer.as_ref().ok_or_else(unavailable)?;
        signer.sign(typ, claims).map_err(crate::answer::key_unavailable)
    }

    pub(crate) fn tags(&self) -> Answer<&MacRing> {
        self.tags.as_ref().ok_or_else(unavailable)
    }

    /// Reads a refresh token and checks its tag, without I/O.
    pub(crate) fn read_refresh_token(
        &self,
        text: &str,
        tenant: TenantId,
    ) -> Answer<Result<RefreshToken, Reason>> {
        match RefreshToken::decode(text, self.tags()?, tenant) {
            // A key that is there and cannot be opened says nothing of the token: nobody is signed out by it.
            Err(Reason::TokenForged) if self.unopened_tags.iter().any(|id| names_tag(text, *id)) => {
                Err(unavailable())
            }
            read => Ok(read),
        }
    }

    pub(crate) fn page(&self) -> Answer<&MacKey> {
        self.page.as_ref().ok_or_else(unavailable)
    }

    pub(crate) fn subject_key(&self, tenant: TenantId, subject: &SubjectId) -> Answer<SubjectKey> {
        let key = self.subject.as_ref().ok_or_else(unavailable)?;
        Ok(mac::subject_key(key, tenant, subject))
    }
}

fn unavailable() -> Refusal {
    Refusal::new(Stage::Request, Reason::KeyUnavailable)
}

/// A signing key that has retired so long ago that no token of it can be alive is published no more.
fn has_outlived_its_tokens(key: &KeyRecord, keep_ms: i64, now: Millis) -> bool {
    let over = |retired: Millis| now.ms_since(retired) > keep_ms.saturating_add(KEEP_SLACK_MS);
    key.state == KeyState::VerifyOnly && key.retired_at.is_some_and(over)
}

fn opened<T>(key: &KeyRecord, opened: Result<T, KeyError>) -> Option<T> {
    opened
        .inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                kid = %key.kid,
                key_use = ?key.key_use,
                "a key of the ring cannot be opened"
            );
        })
        .ok()
}

/// The public half, if it is this key's own: the `kid`, to which the sealed half is bound, is its thumbprint.
fn own_public_jwk(key: &KeyRecord) -> Option<serde_json::Value> {
    let jwk: serde_json::Value = serde_json::from_str(key.public_jwk.as_deref()?).ok()?;
    let is_own = curfew_jose::thumbprint(&jwk).is_ok_and(|thumbprint| thumbprint == key.kid.as_str());
    if !is_own {
        tracing::error!(kid = %key.kid, "a published key is not its own: somebody wrote the store");
        return None;
    }
    Some(with_own_kid(jwk, key))
}

/// `kid` says what the record says, whatever was written beside the key itself.
fn with_own_kid(mut jwk: serde_json::Value, key: &KeyRecord) -> serde_json::Value {
    if let Some(members) = jwk.as_object_mut() {
        members.insert("kid".to_owned(), key.kid.as_str().into());
    }
    jwk
}

/// Whether a refresh token's text names this tagging key: its bytes begin with version and key id.
fn names_tag(text: &str, id: u8) -> bool {
    let head = text.strip_prefix(PREFIX).and_then(|rest| rest.get(..4));
    let head = head.and_then(|head| URL_SAFE_NO_PAD.decode(head).ok());
    head.and_then(|head| head.get(1).copied()) == Some(id)
}

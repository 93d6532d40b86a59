//! The key ring, opened: what signs, tags, hashes and verifies now.

use std::collections::BTreeMap;
use std::sync::Arc;

use curfew_core::directory::{DirectoryView, KeyRecord, KeyState, KeyUse};
use curfew_core::ids::{KeyId, SubjectId, SubjectKey, TenantId};
use curfew_core::mac;
use curfew_core::refresh_token::MacRing;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::secret::MacKey;
use curfew_jose::KeySet;
use curfew_ports::keys::{KeyError, Signer, Vault};

use crate::answer::Answer;

/// The opened ring of one directory version.
#[derive(Debug, Default)]
pub struct Ring {
    signer: Option<Arc<dyn Signer>>,
    tags: Option<MacRing>,
    page: Option<MacKey>,
    subject: Option<MacKey>,
    key_set: KeySet,
    key_set_json: Arc<[u8]>,
}

impl Ring {
    /// Opens every key that is not revoked.
    pub(crate) fn open(view: &DirectoryView, vault: &dyn Vault) -> Result<Self, KeyError> {
        let mut ring = Self::default();
        let mut tags = BTreeMap::new();
        let mut current_tag = None;
        let mut published = Vec::new();
        for key in view.keys.values().filter(|key| key.state != KeyState::Revoked) {
            let is_active = key.state == KeyState::Active;
            match key.key_use {
                KeyUse::Sign => {
                    published.extend(public_jwk(key));
                    if is_active {
                        ring.signer = Some(vault.signer(key)?);
                    }
                }
                KeyUse::Mac => {
                    if let Some(id) = key.mac_key_id {
                        tags.insert(id, vault.mac_key(key)?);
                        current_tag = if is_active { Some(id) } else { current_tag };
                    }
                }
                KeyUse::Page if is_active => ring.page = Some(vault.mac_key(key)?),
                KeyUse::Subject if is_active => ring.subject = Some(vault.mac_key(key)?),
                KeyUse::Page | KeyUse::Subject => {}
            }
        }
        ring.tags = current_tag.and_then(|current| MacRing::new(current, tags));
        let json = curfew_jose::serialize_key_set(&published);
        ring.key_set = KeySet::parse(&json).unwrap_or_default();
        ring.key_set_json = json.into();
        Ok(ring)
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

    pub(crate) fn sign(&self, typ: &str, claims: &[u8]) -> Answer<String> {
        let signer = self.signer.as_ref().ok_or_else(unavailable)?;
        signer.sign(typ, claims).map_err(crate::answer::key_unavailable)
    }

    pub(crate) fn tags(&self) -> Answer<&MacRing> {
        self.tags.as_ref().ok_or_else(unavailable)
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

fn public_jwk(key: &KeyRecord) -> Option<serde_json::Value> {
    serde_json::from_str(key.public_jwk.as_deref()?).ok()
}

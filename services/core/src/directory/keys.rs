//! The key ring, as the directory keeps it.
//!
//! **Invariant:** material lies here sealed under the root key, and no other way.

use std::sync::Arc;

use crate::ids::KeyId;
use crate::time::Millis;

/// What a key of the ring is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum KeyUse {
    /// Signs tokens.
    Sign,
    /// Tags refresh tokens.
    Mac,
    /// Tags page tokens.
    Page,
    /// Hashes subjects; it never changes.
    Subject,
}

/// Where a key stands in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum KeyState {
    /// Published, not yet used.
    Standby,
    /// Used.
    Active,
    /// Still verifies what it made.
    VerifyOnly,
    /// Dead: nothing that it made is believed.
    Revoked,
}

/// A key of the ring; its material is sealed under the root key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRecord {
    /// `kid`.
    pub kid: KeyId,
    /// What for.
    pub key_use: KeyUse,
    /// JOSE algorithm, or `HS256` for the keys that only tag.
    pub algorithm: Arc<str>,
    /// Where it stands.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Millis,
    /// When its public half was first served.
    pub published_at: Millis,
    /// When its record was on the log.
    pub durable_at: Option<Millis>,
    /// When it began to be used.
    pub activated_at: Option<Millis>,
    /// When it stopped being used.
    pub retired_at: Option<Millis>,
    /// Its material, sealed.
    pub sealed: Arc<[u8]>,
    /// Its public half, a JWK.
    pub public_jwk: Option<Arc<str>>,
    /// The byte that names it in a refresh token.
    pub mac_key_id: Option<u8>,
}

//! The vault: makes key material, seals it under the root key, and uses it.
//!
//! **Invariant:** key material leaves the vault sealed or as an object that signs; never as text.

use std::fmt::Debug;
use std::sync::Arc;

use curfew_core::directory::{KeyRecord, KeyUse};
use curfew_core::ids::KeyId;
use curfew_core::secret::MacKey;
use curfew_core::stored::Record;

/// New key material, as the directory keeps it.
#[derive(Clone, Debug)]
pub struct SealedKey {
    /// Signing keys: the RFC 7638 thumbprint of the public half. Others: random.
    pub kid: KeyId,
    /// Sealed under the root key, bound to `kid` and use.
    pub sealed: Arc<[u8]>,
    /// The public half, a JWK; signing keys only.
    pub public_jwk: Option<Arc<str>>,
}

/// Why the vault refused. Messages never hold key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The sealed bytes are not of this root key, or were changed.
    #[error("{what} cannot be opened: wrong root key, or the sealed bytes were changed")]
    CannotOpen {
        /// Which record.
        what: String,
    },
    /// The algorithm is not offered.
    #[error("algorithm `{algorithm}` is not offered for {key_use:?} keys")]
    Algorithm {
        /// What was asked for.
        algorithm: String,
        /// For what.
        key_use: KeyUse,
    },
    /// The library refused.
    #[error("the cryptographic library refused: {what}")]
    Refused {
        /// What was being done.
        what: &'static str,
    },
}

/// A key that signs.
pub trait Signer: Send + Sync + Debug {
    /// Its `kid`.
    fn kid(&self) -> &KeyId;

    /// Signs claims (compact JSON bytes) under a `typ`; a compact JWS (RFC 7515 section 3.1).
    fn sign(&self, typ: &str, claims: &[u8]) -> Result<String, KeyError>;
}

/// Where keys are made and opened.
pub trait Vault: Send + Sync + Debug + 'static {
    /// Makes a key. `algorithm`: `ES256` or `EdDSA` for signing keys, `HS256` for all others.
    fn generate(&self, key_use: KeyUse, algorithm: &str) -> Result<SealedKey, KeyError>;

    /// Opens a signing key.
    fn signer(&self, record: &KeyRecord) -> Result<Arc<dyn Signer>, KeyError>;

    /// Opens a key that tags or hashes.
    fn mac_key(&self, record: &KeyRecord) -> Result<MacKey, KeyError>;

    /// Seals a directory record for the log, bound to its name.
    fn seal_record(&self, name: &str, record: &Record) -> Result<Vec<u8>, KeyError>;

    /// Opens it again.
    fn open_record(&self, name: &str, sealed: &[u8]) -> Result<Record, KeyError>;
}

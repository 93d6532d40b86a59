//! The vault: keys and records under one root key.
//!
//! **Invariant:** a sealed key opens only as the `kid` and the use that it was made for, a sealed record only under
//! its own name; the two never pass for one another.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_core::directory::{KeyRecord, KeyUse};
use curfew_core::ids::KeyId;
use curfew_core::secret::MacKey;
use curfew_core::stored::Record;
use curfew_jose::{Algorithm, SigningKey, thumbprint};
use curfew_ports::keys::{KeyError, SealedKey, Signer, Vault};
use curfew_wire::{decode_record, encode_record};
use zeroize::Zeroizing;

use crate::provider::{self, NotSealedHere, Refused, Sealer};
use crate::root_key::RootKey;
use crate::signer::JoseSigner;

/// The algorithm of every key that only tags or hashes.
const MAC_ALGORITHM: &str = "HS256";
/// A key's public half must be known before its `kid` is, and a key cannot be parsed without one.
const KID_TO_BE: &str = "to-be-thumbprinted";

/// Makes, seals and opens keys under a root key.
#[derive(Debug)]
pub struct SealingVault {
    sealer: Sealer,
}

impl SealingVault {
    /// The vault of this root key.
    ///
    /// # Errors
    /// [`KeyError::Refused`] if the library does not take the key.
    pub fn new(root: &RootKey) -> Result<Self, KeyError> {
        let sealer = root.sealer().map_err(|Refused| KeyError::Refused {
            what: "taking the root key",
        })?;
        Ok(Self { sealer })
    }

    fn seal_key(
        &self,
        kid: &KeyId,
        key_use: KeyUse,
        material: Zeroizing<Vec<u8>>,
    ) -> Result<Arc<[u8]>, KeyError> {
        let sealed = self.sealer.seal(&bound_to_key(kid, key_use), material);
        sealed.map(Arc::from).map_err(|Refused| KeyError::Refused {
            what: "sealing a key",
        })
    }

    /// Opens `record` as a key for `wanted`; a key for another use does not open as one.
    fn open_key(&self, record: &KeyRecord, wanted: KeyUse) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let opened = self
            .sealer
            .open(&bound_to_key(&record.kid, wanted), &record.sealed);
        opened.map_err(|NotSealedHere| cannot_open_key(&record.kid))
    }

    fn generate_signing(&self, named: &str) -> Result<SealedKey, KeyError> {
        let algorithm = signing_algorithm(named)?;
        // RSA keys can be imported and opened, but ring makes none.
        let pkcs8 = match algorithm {
            Algorithm::Es256 | Algorithm::EdDsa => {
                SigningKey::generate_pkcs8(algorithm).map_err(|_| KeyError::Refused {
                    what: "making a signing key",
                })?
            }
            Algorithm::Rs256 => return Err(not_offered(named, KeyUse::Sign)),
        };
        let unreadable = KeyError::Refused {
            what: "reading a new signing key",
        };
        let parse = |kid: &str| SigningKey::from_pkcs8(algorithm, &pkcs8, kid).ok();
        let Some((kid, public_jwk)) = parse(KID_TO_BE)
            .and_then(|key| thumbprint(key.public_jwk()).ok())
            .and_then(|kid| Some((KeyId::new(&kid).ok()?, parse(&kid)?.public_jwk().to_string())))
        else {
            return Err(unreadable);
        };
        let sealed = self.seal_key(&kid, KeyUse::Sign, pkcs8)?;
        Ok(SealedKey {
            kid,
            sealed,
            public_jwk: Some(public_jwk.into()),
        })
    }

    fn generate_mac(&self, key_use: KeyUse, algorithm: &str) -> Result<SealedKey, KeyError> {
        if algorithm != MAC_ALGORITHM {
            return Err(not_offered(algorithm, key_use));
        }
        let no_randomness = |Refused| KeyError::Refused {
            what: "drawing a key",
        };
        let material = Zeroizing::new(provider::random::<32>().map_err(no_randomness)?);
        // 16 random bytes: a `kid` is a name, unique and no secret.
        let name = URL_SAFE_NO_PAD.encode(provider::random::<16>().map_err(no_randomness)?);
        let kid = KeyId::new(&name).map_err(|_| KeyError::Refused { what: "naming a key" })?;
        let sealed = self.seal_key(&kid, key_use, Zeroizing::new(material.to_vec()))?;
        Ok(SealedKey {
            kid,
            sealed,
            public_jwk: None,
        })
    }
}

impl Vault for SealingVault {
    fn generate(&self, key_use: KeyUse, algorithm: &str) -> Result<SealedKey, KeyError> {
        match key_use {
            KeyUse::Sign => self.generate_signing(algorithm),
            KeyUse::Mac | KeyUse::Page | KeyUse::Subject => self.generate_mac(key_use, algorithm),
        }
    }

    fn signer(&self, record: &KeyRecord) -> Result<Arc<dyn Signer>, KeyError> {
        let algorithm = signing_algorithm(&record.algorithm)?;
        let pkcs8 = self.open_key(record, KeyUse::Sign)?;
        // What opens is what was sealed; if it is no key of this algorithm, the record's algorithm was changed.
        let key = SigningKey::from_pkcs8(algorithm, &pkcs8, record.kid.as_str())
            .map_err(|_| cannot_open_key(&record.kid))?;
        Ok(Arc::new(JoseSigner::new(record.kid.clone(), key)))
    }

    fn mac_key(&self, record: &KeyRecord) -> Result<MacKey, KeyError> {
        match record.key_use {
            KeyUse::Sign => return Err(not_offered(&record.algorithm, KeyUse::Mac)),
            KeyUse::Mac | KeyUse::Page | KeyUse::Subject => {}
        }
        let material = self.open_key(record, record.key_use)?;
        let mut bytes = Zeroizing::new([0; 32]);
        if material.len() != bytes.len() {
            return Err(cannot_open_key(&record.kid));
        }
        bytes.copy_from_slice(&material);
        Ok(MacKey::new(*bytes))
    }

    fn seal_record(&self, name: &str, record: &Record) -> Result<Vec<u8>, KeyError> {
        let sealed = self
            .sealer
            .seal(&bound_to_record(name), Zeroizing::new(encode_record(record)));
        sealed.map_err(|Refused| KeyError::Refused {
            what: "sealing a record",
        })
    }

    fn open_record(&self, name: &str, sealed: &[u8]) -> Result<Record, KeyError> {
        let cannot_open = |what: String| KeyError::CannotOpen { what };
        let plain = self
            .sealer
            .open(&bound_to_record(name), sealed)
            .map_err(|NotSealedHere| cannot_open(format!("record `{name}`")))?;
        // Authentic and yet unreadable: a newer release wrote it. The port has one word for both.
        decode_record(&plain)
            .map_err(|error| cannot_open(format!("record `{name}` (authentic, but {error})")))
    }
}

/// Length-prefixed, so that no `kid` can reach into the use.
fn bound_to_key(kid: &KeyId, key_use: KeyUse) -> Vec<u8> {
    let key_use: &[u8] = match key_use {
        KeyUse::Sign => b"sign",
        KeyUse::Mac => b"mac",
        KeyUse::Page => b"page",
        KeyUse::Subject => b"subject",
    };
    bound_to(&[b"curfew/sealed-key/v1", kid.as_str().as_bytes(), key_use])
}

fn bound_to_record(name: &str) -> Vec<u8> {
    bound_to(&[b"curfew/sealed-record/v1", name.as_bytes()])
}

fn bound_to(parts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}

fn signing_algorithm(named: &str) -> Result<Algorithm, KeyError> {
    named.parse().map_err(|_| not_offered(named, KeyUse::Sign))
}

fn not_offered(algorithm: &str, key_use: KeyUse) -> KeyError {
    KeyError::Algorithm {
        algorithm: algorithm.to_owned(),
        key_use,
    }
}

fn cannot_open_key(kid: &KeyId) -> KeyError {
    KeyError::CannotOpen {
        what: format!("key `{kid}`"),
    }
}

#[cfg(test)]
mod tests;

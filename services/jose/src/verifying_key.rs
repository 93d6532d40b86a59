//! A public key and the algorithms it may verify (RFC 7517 section 4, RFC 8725 section 3.1).
//!
//! **Invariant:** the key says which algorithms it takes, the token never does.
//! **Invariant:** no claim is judged; a good signature says who wrote a token, not that it is acceptable.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::algorithm::SignatureAlgorithm;
use crate::jwk::PRIVATE_MEMBERS;
use crate::jws::Jws;
use crate::provider;

/// What an RSA key verifies unless its `alg` says which.
const RSA_ALGORITHMS: [SignatureAlgorithm; 6] = [
    SignatureAlgorithm::Rs256,
    SignatureAlgorithm::Rs384,
    SignatureAlgorithm::Rs512,
    SignatureAlgorithm::Ps256,
    SignatureAlgorithm::Ps384,
    SignatureAlgorithm::Ps512,
];

/// RFC 7518 section 3.3: 2048 bits or more; 8192 is where ring ends, and verification time with it.
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;

/// Why a JWK verifies nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum KeyUnusable {
    /// Not a strict JSON object, a required member missing or of the wrong form.
    #[error("broken key")]
    Broken,
    /// Carries a private or symmetric key: whoever published it must be taken to have lost it.
    #[error("key with a private member")]
    PrivateMember,
    /// No `kid`, so nothing could find it.
    #[error("key without kid")]
    NoKeyId,
    /// A key type that is not known here.
    #[error("unknown kty")]
    UnknownKeyType,
    /// A curve that is not known here.
    #[error("unknown crv")]
    UnknownCurve,
    /// An `alg` that is not known here, or not this key's.
    #[error("unknown alg, or not this key's")]
    UnknownAlgorithm,
    /// `use` or `key_ops` says that it is for something else (RFC 7517 sections 4.2, 4.3).
    #[error("key not for verifying signatures")]
    NotForSignatures,
    /// An RSA modulus below 2048 bits (RFC 7518 section 3.3).
    #[error("RSA key below 2048 bits")]
    RsaTooSmall,
    /// Another key of the set has the same `kid`.
    #[error("two keys under one kid")]
    AmbiguousKeyId,
    /// Further back in the set than is read.
    #[error("beyond the bound of the set")]
    BeyondBound,
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefused {
    /// The key does not take the token's algorithm; the signature was not looked at.
    #[error("the key does not take {0}")]
    WrongAlgorithm(SignatureAlgorithm),
    /// The signature is not this key's over this token.
    #[error("bad signature")]
    BadSignature,
}

/// A public key that verifies. Cheap to clone.
#[derive(Clone)]
pub struct VerifyingKey(Arc<Inner>);

struct Inner {
    kid: Option<Box<str>>,
    algorithms: Algorithms,
    key: DecodingKey,
    thumbprint: [u8; 32],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Algorithms {
    One([SignatureAlgorithm; 1]),
    AnyRsa,
}

impl VerifyingKey {
    /// Reads a public JWK; a `kid` may be absent (as in a DPoP proof, RFC 9449 section 4.2).
    ///
    /// That a point lies on its curve is seen at the first verification, which then fails.
    ///
    /// # Errors
    /// Whatever makes the key unusable, private members first.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyUnusable> {
        Self::from_members(jwk.as_object().ok_or(KeyUnusable::Broken)?)
    }

    pub(crate) fn from_members(jwk: &Map<String, Value>) -> Result<Self, KeyUnusable> {
        if PRIVATE_MEMBERS.iter().any(|name| jwk.contains_key(*name)) {
            return Err(KeyUnusable::PrivateMember);
        }
        let kty = text(jwk, "kty")?.ok_or(KeyUnusable::Broken)?;
        if !is_for_signatures(jwk)? {
            return Err(KeyUnusable::NotForSignatures);
        }
        let kid = text(jwk, "kid")?.map(Into::into);
        let pinned = match text(jwk, "alg")? {
            Some(name) => Some(name.parse().map_err(|_| KeyUnusable::UnknownAlgorithm)?),
            None => None,
        };
        let (key, algorithms, thumbprinted) = match kty {
            "EC" => elliptic(jwk)?,
            "OKP" => edwards(jwk)?,
            "RSA" => rsa(jwk)?,
            _ => return Err(KeyUnusable::UnknownKeyType),
        };
        let algorithms = match pinned {
            Some(one) if algorithms.as_slice().contains(&one) => Algorithms::One([one]),
            Some(_) => return Err(KeyUnusable::UnknownAlgorithm),
            None => algorithms,
        };
        Ok(Self(Arc::new(Inner {
            kid,
            algorithms,
            key,
            thumbprint: provider::sha256(thumbprinted.as_bytes()),
        })))
    }

    /// Its `kid`, if it has one; every key of a [`crate::KeySet`] has.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.0.kid.as_deref()
    }

    /// Its thumbprint in base64url (RFC 7638); what `cnf.jkt` names (RFC 9449 section 6.1).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.thumbprint)
    }

    /// The algorithms it takes.
    #[must_use]
    pub fn algorithms(&self) -> &[SignatureAlgorithm] {
        self.0.algorithms.as_slice()
    }

    /// Whether the token's signature is this key's. Nothing else about the token is judged.
    ///
    /// # Errors
    /// [`SignatureRefused::WrongAlgorithm`] before anything is computed, [`SignatureRefused::BadSignature`].
    pub fn verify(&self, jws: &Jws) -> Result<(), SignatureRefused> {
        self.takes(jws.algorithm())?;
        if provider::is_signed_by(&self.0.key, jws.algorithm(), jws.signing_input(), jws.signature()) {
            Ok(())
        } else {
            Err(SignatureRefused::BadSignature)
        }
    }

    pub(crate) fn takes(&self, algorithm: SignatureAlgorithm) -> Result<(), SignatureRefused> {
        if self.algorithms().contains(&algorithm) {
            Ok(())
        } else {
            Err(SignatureRefused::WrongAlgorithm(algorithm))
        }
    }

    pub(crate) fn thumbprint_octets(&self) -> [u8; 32] {
        self.0.thumbprint
    }

    /// The same key for the same algorithms; under one `kid` two such entries are one.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.0.thumbprint == other.0.thumbprint && self.0.algorithms == other.0.algorithms
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.0.kid)
            .field("algorithms", &self.algorithms())
            .finish_non_exhaustive()
    }
}

impl Algorithms {
    fn as_slice(&self) -> &[SignatureAlgorithm] {
        match self {
            Self::One(one) => one,
            Self::AnyRsa => &RSA_ALGORITHMS,
        }
    }
}

/// A key, what it takes, and the JSON whose digest is its thumbprint (RFC 7638 section 3.3: nothing needs escaping).
type Read = (DecodingKey, Algorithms, String);

/// RFC 7518 section 6.2: both coordinates in the full length of the field.
fn elliptic(jwk: &Map<String, Value>) -> Result<Read, KeyUnusable> {
    let crv = text(jwk, "crv")?.ok_or(KeyUnusable::Broken)?;
    let (algorithm, coordinate_bytes) = match crv {
        "P-256" => (SignatureAlgorithm::Es256, 32),
        "P-384" => (SignatureAlgorithm::Es384, 48),
        _ => return Err(KeyUnusable::UnknownCurve),
    };
    let (x_text, x) = octets(jwk, "x")?;
    let (y_text, y) = octets(jwk, "y")?;
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return Err(KeyUnusable::Broken);
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let thumbprinted = format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x_text}","y":"{y_text}"}}"#);
    Ok((
        DecodingKey::from_ec_der(&point),
        Algorithms::One([algorithm]),
        thumbprinted,
    ))
}

/// RFC 8037 section 2.
fn edwards(jwk: &Map<String, Value>) -> Result<Read, KeyUnusable> {
    let crv = text(jwk, "crv")?.ok_or(KeyUnusable::Broken)?;
    if crv != "Ed25519" {
        return Err(KeyUnusable::UnknownCurve);
    }
    let (x_text, x) = octets(jwk, "x")?;
    if x.len() != 32 {
        return Err(KeyUnusable::Broken);
    }
    let thumbprinted = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x_text}"}}"#);
    Ok((
        DecodingKey::from_ed_der(&x),
        Algorithms::One([SignatureAlgorithm::EdDsa]),
        thumbprinted,
    ))
}

/// RFC 7518 section 6.3: both numbers in the fewest octets, so each key has one spelling.
fn rsa(jwk: &Map<String, Value>) -> Result<Read, KeyUnusable> {
    let (n_text, n) = octets(jwk, "n")?;
    let (e_text, e) = octets(jwk, "e")?;
    let n_bits = odd_bits(&n).ok_or(KeyUnusable::Broken)?;
    let e_bits = odd_bits(&e).ok_or(KeyUnusable::Broken)?;
    if n_bits < RSA_BITS_MIN {
        return Err(KeyUnusable::RsaTooSmall);
    }
    // An exponent of 1 signs everything; ring takes at most 33 bits.
    if n_bits > RSA_BITS_MAX || !(2..=33).contains(&e_bits) {
        return Err(KeyUnusable::Broken);
    }
    let thumbprinted = format!(r#"{{"e":"{e_text}","kty":"RSA","n":"{n_text}"}}"#);
    Ok((
        DecodingKey::from_rsa_raw_components(&n, &e),
        Algorithms::AnyRsa,
        thumbprinted,
    ))
}

/// The bits of an odd number without leading zero octets; `None` for any other.
fn odd_bits(number: &[u8]) -> Option<usize> {
    let (first, last) = (number.first()?, number.last()?);
    if *first == 0 || last & 1 == 0 {
        return None;
    }
    number
        .len()
        .checked_mul(8)?
        .checked_sub(first.leading_zeros() as usize)
}

fn is_for_signatures(jwk: &Map<String, Value>) -> Result<bool, KeyUnusable> {
    let used = text(jwk, "use")?.is_none_or(|used| used == "sig");
    let operates = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => return Err(KeyUnusable::Broken),
    };
    Ok(used && operates)
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyUnusable> {
    match jwk.get(name) {
        None => Ok(None),
        Some(member) => member.as_str().map(Some).ok_or(KeyUnusable::Broken),
    }
}

fn octets<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<(&'a str, Vec<u8>), KeyUnusable> {
    let encoded = text(jwk, name)?.ok_or(KeyUnusable::Broken)?;
    let decoded = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| KeyUnusable::Broken)?;
    Ok((encoded, decoded))
}

#[cfg(test)]
mod tests;

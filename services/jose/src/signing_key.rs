//! A private key that signs compact tokens (RFC 7515 section 5.1).
//!
//! **Invariant:** the private key goes in and never comes out; `Debug` shows the `kid` only.
//! **Invariant:** claims are signed as given; whoever calls has decided them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::provider::{self, KeyRejected, PrivateKey, PublicOctets};
use crate::verifying_key::VerifyingKey;

/// The operating system gave no randomness for a signature; nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no signature: no randomness from the operating system")]
pub struct SigningFailed;

/// A private key with its `kid`, parsed once and kept.
pub struct SigningKey {
    algorithm: Algorithm,
    kid: Box<str>,
    private: PrivateKey,
    public_jwk: Value,
    verifying: VerifyingKey,
    /// The header up to the value of `typ`: `{"alg":"…","kid":"…","typ":`.
    header_start: String,
}

impl SigningKey {
    /// A new private key as PKCS#8, for [`Self::from_pkcs8`].
    ///
    /// # Errors
    /// [`KeyRejected::NotGenerated`] for RS256: such keys are imported. [`KeyRejected::NoRandomness`].
    pub fn generate_pkcs8(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, KeyRejected> {
        provider::generate_pkcs8(algorithm)
    }

    /// Parses a private key.
    ///
    /// # Errors
    /// [`KeyRejected::Unreadable`] if it is no key for this algorithm, [`KeyRejected::NoKeyId`].
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8], kid: &str) -> Result<Self, KeyRejected> {
        if kid.is_empty() {
            return Err(KeyRejected::NoKeyId);
        }
        let unreadable = KeyRejected::Unreadable(algorithm);
        let private = PrivateKey::from_pkcs8(algorithm, pkcs8)?;
        let public_jwk = public_jwk(algorithm, kid, &private.public().ok_or(unreadable)?);
        let verifying = VerifyingKey::from_jwk(&public_jwk).map_err(|_| unreadable)?;
        let header_start = format!(
            "{{\"alg\":\"{algorithm}\",\"kid\":{kid},\"typ\":",
            kid = Value::String(kid.to_owned())
        );
        Ok(Self {
            algorithm,
            kid: kid.into(),
            private,
            public_jwk,
            verifying,
            header_start,
        })
    }

    /// The algorithm it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The `kid` that its tokens and its JWK carry.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK, to be published: `kty`, `crv x y` or `n e`, `kid`, `alg`, `use` (RFC 7517 section 4).
    #[must_use]
    pub fn public_jwk(&self) -> &Value {
        &self.public_jwk
    }

    /// The public half as a key that verifies.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// The compact token of these claims, with the header `{"alg","kid","typ"}`.
    ///
    /// `typ` is the short media type: `at+jwt` (RFC 9068 section 2.1), `JWT`, `logout+jwt`, `secevent+jwt`.
    ///
    /// # Errors
    /// [`SigningFailed`]; Ed25519 needs no randomness and never fails.
    pub fn sign_compact(&self, typ: &str, claims_json: &[u8]) -> Result<String, SigningFailed> {
        let header = format!("{}{}}}", self.header_start, Value::String(typ.to_owned()));
        // Base64 takes 4 characters for 3 bytes; 512 bytes is the longest signature (RSA 4096), 86 the common one.
        let capacity = (header.len().saturating_add(claims_json.len()) / 3)
            .saturating_mul(4)
            .saturating_add(128);
        let mut token = String::with_capacity(capacity);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims_json, &mut token);
        let signature = self.private.sign(token.as_bytes()).ok_or(SigningFailed)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

fn public_jwk(algorithm: Algorithm, kid: &str, public: &PublicOctets) -> Value {
    let text = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
    let alg = algorithm.as_str();
    match public {
        PublicOctets::P256 { x, y } => json!({
            "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y), "kid": kid, "alg": alg, "use": "sig",
        }),
        PublicOctets::Ed25519 { x } => json!({
            "kty": "OKP", "crv": "Ed25519", "x": text(x), "kid": kid, "alg": alg, "use": "sig",
        }),
        PublicOctets::Rsa { n, e } => json!({
            "kty": "RSA", "n": text(n), "e": text(e), "kid": kid, "alg": alg, "use": "sig",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{RSA_PKCS8, key};
    use crate::{Jws, Limits};

    #[test]
    fn what_is_signed_verifies_and_reads_back() {
        let rsa = SigningKey::from_pkcs8(Algorithm::Rs256, RSA_PKCS8, "rsa").unwrap();
        for key in [key(Algorithm::Es256, "ec"), key(Algorithm::EdDsa, "ed"), rsa] {
            let token = key.sign_compact("at+jwt", br#"{"sub":"a","exp":1}"#).unwrap();
            let jws = Jws::parse(&token, Limits::DEFAULT).unwrap();
            assert_eq!(jws.kid(), Some(key.kid()));
            assert_eq!(jws.typ(), Some("at+jwt"));
            assert_eq!(jws.algorithm(), key.algorithm().into());
            assert_eq!(jws.claims()["sub"], "a");
            assert_eq!(key.verifying_key().verify(&jws), Ok(()));
        }
    }

    #[test]
    fn the_header_has_just_alg_kid_and_typ_whatever_they_contain() {
        let pkcs8 = SigningKey::generate_pkcs8(Algorithm::EdDsa).unwrap();
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &pkcs8, "a\"b\\é\n").unwrap();
        let jws = Jws::parse(
            &key.sign_compact("x\",\"crit\":\"", b"{}").unwrap(),
            Limits::DEFAULT,
        )
        .unwrap();
        assert_eq!(jws.kid(), Some("a\"b\\é\n"));
        assert_eq!(jws.header().keys().collect::<Vec<_>>(), ["alg", "kid", "typ"]);
    }

    #[test]
    fn the_public_jwk_has_no_private_member() {
        let rsa = SigningKey::from_pkcs8(Algorithm::Rs256, RSA_PKCS8, "k").unwrap();
        for (key, members) in [
            (
                key(Algorithm::Es256, "k"),
                vec!["alg", "crv", "kid", "kty", "use", "x", "y"],
            ),
            (
                key(Algorithm::EdDsa, "k"),
                vec!["alg", "crv", "kid", "kty", "use", "x"],
            ),
            (rsa, vec!["alg", "e", "kid", "kty", "n", "use"]),
        ] {
            let mut found: Vec<_> = key.public_jwk().as_object().unwrap().keys().collect();
            found.sort();
            assert_eq!(found, members);
        }
    }

    #[test]
    fn a_key_for_another_algorithm_is_unreadable() {
        let es256 = SigningKey::generate_pkcs8(Algorithm::Es256).unwrap();
        for algorithm in [Algorithm::EdDsa, Algorithm::Rs256] {
            let refused = SigningKey::from_pkcs8(algorithm, &es256, "k").unwrap_err();
            assert_eq!(refused, KeyRejected::Unreadable(algorithm));
        }
        assert_eq!(
            SigningKey::from_pkcs8(Algorithm::Es256, &es256, "").unwrap_err(),
            KeyRejected::NoKeyId
        );
        assert_eq!(
            SigningKey::from_pkcs8(Algorithm::Es256, b"", "k").unwrap_err(),
            KeyRejected::Unreadable(Algorithm::Es256)
        );
    }

    #[test]
    fn rsa_keys_are_imported_not_generated() {
        let refused = SigningKey::generate_pkcs8(Algorithm::Rs256).unwrap_err();
        assert_eq!(refused, KeyRejected::NotGenerated(Algorithm::Rs256));
        assert_eq!(
            refused.to_string(),
            "RS256 keys are not generated here, only imported"
        );
    }

    #[test]
    fn debug_shows_the_kid_and_no_key() {
        assert_eq!(
            format!("{:?}", key(Algorithm::Es256, "k")),
            r#"SigningKey { algorithm: Es256, kid: "k", .. }"#
        );
    }
}

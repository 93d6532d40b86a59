//! Remembers tokens that were found authentic, parsed: a caller sends the same token with every call for an hour, and
//! reading it costs twenty times a look-up.
//!
//! **Invariant:** only tokens with a good signature are kept, so garbage cannot evict by being garbage.
//! **Invariant:** a hit is of the very key that verified, pinned as it was then; which key that must be is asked anew.
//! **Invariant:** a hit says nothing but "signed by this key"; issuer, time, marks and freshness are judged on every call.

use std::fmt;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::jws::{Jws, Limits, MalformedToken};
use crate::verifying_key::{SignatureRefused, VerifyingKey};

/// Tokens are about this long; it sizes the table, not the bound.
const TOKEN_BYTES_USUAL: u64 = 1_024;

/// A bounded cache of authentic tokens; shared by reference, safe from many threads.
pub struct TokenCache {
    known: Cache<Box<str>, Arc<Known>, ByBytes>,
}

struct Known {
    jws: Arc<Jws>,
    thumbprint: [u8; 32],
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, Arc<Known>> for ByBytes {
    fn weight(&self, token: &Box<str>, _: &Arc<Known>) -> u64 {
        token.len() as u64
    }
}

impl TokenCache {
    /// A cache of tokens of about this many bytes in all; what was parsed of them takes five times as much.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let tokens = usize::try_from(bytes_max / TOKEN_BYTES_USUAL).unwrap_or(usize::MAX);
        Self {
            known: Cache::with_weighter(tokens, bytes_max, ByBytes),
        }
    }

    /// The token, read as [`Jws::parse`] reads it and verified with the key that `key_of` names for it.
    ///
    /// # Errors
    /// Those of [`Jws::parse`], of `key_of` and of [`VerifyingKey::verify`].
    pub fn read<'k, E>(
        &self,
        token: &str,
        limits: Limits,
        key_of: impl FnOnce(&Jws) -> Result<&'k VerifyingKey, E>,
    ) -> Result<Arc<Jws>, E>
    where
        E: From<MalformedToken> + From<SignatureRefused>,
    {
        if let Some(known) = self.known.get(token) {
            let key = key_of(&known.jws)?;
            key.takes(known.jws.algorithm())?;
            if key.thumbprint_octets() != known.thumbprint {
                key.verify(&known.jws)?;
            }
            return Ok(known.jws.clone());
        }
        let jws = Arc::new(Jws::parse(token, limits)?);
        let key = key_of(&jws)?;
        key.verify(&jws)?;
        let known = Known {
            jws: jws.clone(),
            thumbprint: key.thumbprint_octets(),
        };
        self.known.insert(token.into(), Arc::new(known));
        Ok(jws)
    }

    /// How many tokens are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{RSA_PKCS8, key};
    use crate::{Algorithm, SignatureAlgorithm, SigningKey};

    #[derive(PartialEq, Debug)]
    enum Refused {
        Malformed,
        Signature(SignatureRefused),
        NoKey,
    }

    impl From<MalformedToken> for Refused {
        fn from(_: MalformedToken) -> Self {
            Self::Malformed
        }
    }

    impl From<SignatureRefused> for Refused {
        fn from(refused: SignatureRefused) -> Self {
            Self::Signature(refused)
        }
    }

    fn read(cache: &TokenCache, token: &str, key: &VerifyingKey) -> Result<Arc<Jws>, Refused> {
        cache.read(token, Limits::DEFAULT, |_| Ok(key))
    }

    #[test]
    fn an_authentic_token_is_parsed_once_and_nothing_else_is_kept() {
        let cache = TokenCache::new(1 << 20);
        let (signer, stranger) = (key(Algorithm::Es256, "k"), key(Algorithm::Es256, "k"));
        let token = signer.sign_compact("JWT", br#"{"sub":"a"}"#).unwrap();
        let bad = Err(Refused::Signature(SignatureRefused::BadSignature));
        assert_eq!(read(&cache, &token, stranger.verifying_key()).map(|_| ()), bad);
        assert_eq!(
            read(&cache, "a.b", signer.verifying_key()).map(|_| ()),
            Err(Refused::Malformed)
        );
        let nobody = cache.read::<Refused>(&token, Limits::DEFAULT, |_| Err(Refused::NoKey));
        assert_eq!(nobody.map(|_| ()), Err(Refused::NoKey));
        assert!(cache.is_empty());
        let first = read(&cache, &token, signer.verifying_key()).unwrap();
        let again = read(&cache, &token, signer.verifying_key()).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!((cache.len(), &again.claims()["sub"]), (1, &json!("a")));
    }

    #[test]
    fn a_hit_never_serves_another_key_or_one_that_is_gone() {
        let cache = TokenCache::new(1 << 20);
        let (signer, stranger) = (key(Algorithm::Es256, "k"), key(Algorithm::Es256, "k"));
        let token = signer.sign_compact("JWT", b"{}").unwrap();
        read(&cache, &token, signer.verifying_key()).unwrap();
        assert_eq!(
            read(&cache, &token, stranger.verifying_key()).map(|_| ()),
            Err(Refused::Signature(SignatureRefused::BadSignature))
        );
        let gone = cache.read::<Refused>(&token, Limits::DEFAULT, |_| Err(Refused::NoKey));
        assert_eq!(gone.map(|_| ()), Err(Refused::NoKey));
    }

    #[test]
    fn a_hit_never_serves_the_same_key_pinned_to_another_algorithm() {
        let cache = TokenCache::new(1 << 20);
        let signer = SigningKey::from_pkcs8(Algorithm::Rs256, RSA_PKCS8, "k").unwrap();
        let token = signer.sign_compact("JWT", b"{}").unwrap();
        read(&cache, &token, signer.verifying_key()).unwrap();
        let mut jwk = signer.public_jwk().clone();
        jwk["alg"] = json!("PS256");
        let pinned = VerifyingKey::from_jwk(&jwk).unwrap();
        assert_eq!(
            read(&cache, &token, &pinned).map(|_| ()),
            Err(Refused::Signature(SignatureRefused::WrongAlgorithm(
                SignatureAlgorithm::Rs256
            )))
        );
    }

    #[test]
    fn a_hit_never_serves_another_signature_under_the_same_claims() {
        let cache = TokenCache::new(1 << 20);
        let signer = key(Algorithm::EdDsa, "k");
        let token = signer.sign_compact("JWT", b"{}").unwrap();
        read(&cache, &token, signer.verifying_key()).unwrap();
        let (input, _) = token.rsplit_once('.').unwrap();
        assert_eq!(
            read(&cache, &format!("{input}.AAAA"), signer.verifying_key()).map(|_| ()),
            Err(Refused::Signature(SignatureRefused::BadSignature))
        );
    }

    #[test]
    fn the_cache_is_bounded_by_bytes() {
        let cache = TokenCache::new(4_096);
        let signer = key(Algorithm::EdDsa, "k");
        for n in 0..200 {
            let claims = format!("{{\"n\":{n}}}");
            let token = signer.sign_compact("JWT", claims.as_bytes()).unwrap();
            read(&cache, &token, signer.verifying_key()).unwrap();
        }
        assert!((1..=4_096 / 150).contains(&cache.len()), "{}", cache.len());
    }
}

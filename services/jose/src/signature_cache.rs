//! Remembers which signatures were found good, because a verification costs forty microseconds and a look-up one.
//!
//! **Invariant:** only good signatures are kept, so garbage cannot evict by being garbage.
//! **Invariant:** a hit is of the very key that verified: the key's thumbprint stands in the cache key, and the key
//! must take the token's algorithm now as it had to then.
//! **Invariant:** a hit says nothing but "signed by this key"; time, marks and freshness are judged on every call.

use std::fmt;

use quick_cache::sync::Cache;

use crate::jws::Jws;
use crate::provider;
use crate::verifying_key::{SignatureRefused, VerifyingKey};

/// A bounded cache of good signatures; shared by reference, safe from many threads.
pub struct SignatureCache {
    verified: Cache<Verified, ()>,
}

/// A token, as the digest of all its bytes (signature included), and the key that verified it. 64 bytes an entry.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Verified {
    token: [u8; 32],
    key: [u8; 32],
}

impl SignatureCache {
    /// A cache of at most about this many signatures; 0 caches nothing.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self {
            verified: Cache::new(entries_max),
        }
    }

    /// As [`VerifyingKey::verify`], without the arithmetic if this key has verified this token before.
    ///
    /// # Errors
    /// Those of [`VerifyingKey::verify`].
    pub fn verify_cached(&self, key: &VerifyingKey, jws: &Jws) -> Result<(), SignatureRefused> {
        // Before the look-up: another entry may hold the same key pinned to another algorithm.
        key.takes(jws.algorithm())?;
        let verified = Verified {
            token: provider::sha256(jws.token().as_bytes()),
            key: key.thumbprint_octets(),
        };
        if self.verified.get(&verified).is_some() {
            return Ok(());
        }
        key.verify(jws)?;
        self.verified.insert(verified, ());
        Ok(())
    }

    /// How many signatures are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.verified.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verified.is_empty()
    }
}

impl fmt::Debug for SignatureCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureCache")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, parse};
    use crate::{Algorithm, SignatureAlgorithm};
    use serde_json::json;

    #[test]
    fn a_good_signature_is_remembered_and_a_bad_one_is_not() {
        let cache = SignatureCache::new(16);
        let (signer, stranger) = (key(Algorithm::Es256, "k"), key(Algorithm::Es256, "k"));
        let jws = parse(&signer.sign_compact("JWT", b"{}").unwrap());
        assert_eq!(
            cache.verify_cached(stranger.verifying_key(), &jws),
            Err(SignatureRefused::BadSignature)
        );
        assert!(cache.is_empty());
        assert_eq!(cache.verify_cached(signer.verifying_key(), &jws), Ok(()));
        assert_eq!(cache.verify_cached(signer.verifying_key(), &jws), Ok(()));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn a_hit_never_serves_another_key_of_the_same_kid() {
        let cache = SignatureCache::new(16);
        let (signer, stranger) = (key(Algorithm::Es256, "k"), key(Algorithm::Es256, "k"));
        let jws = parse(&signer.sign_compact("JWT", b"{}").unwrap());
        assert_eq!(cache.verify_cached(signer.verifying_key(), &jws), Ok(()));
        assert_eq!(
            cache.verify_cached(stranger.verifying_key(), &jws),
            Err(SignatureRefused::BadSignature)
        );
    }

    #[test]
    fn a_hit_never_serves_another_signature_under_the_same_claims() {
        let cache = SignatureCache::new(16);
        let signer = key(Algorithm::EdDsa, "k");
        let token = signer.sign_compact("JWT", b"{}").unwrap();
        assert_eq!(
            cache.verify_cached(signer.verifying_key(), &parse(&token)),
            Ok(())
        );
        let (input, _) = token.rsplit_once('.').unwrap();
        let forged = parse(&format!("{input}.AAAA"));
        assert_eq!(
            cache.verify_cached(signer.verifying_key(), &forged),
            Err(SignatureRefused::BadSignature)
        );
    }

    #[test]
    fn a_hit_never_serves_the_same_key_pinned_to_another_algorithm() {
        let cache = SignatureCache::new(16);
        let signer = crate::SigningKey::from_pkcs8(Algorithm::Rs256, crate::testing::RSA_PKCS8, "k").unwrap();
        let jws = parse(&signer.sign_compact("JWT", b"{}").unwrap());
        assert_eq!(cache.verify_cached(signer.verifying_key(), &jws), Ok(()));
        let mut jwk = signer.public_jwk().clone();
        jwk["alg"] = json!("PS256");
        assert_eq!(
            cache.verify_cached(&VerifyingKey::from_jwk(&jwk).unwrap(), &jws),
            Err(SignatureRefused::WrongAlgorithm(SignatureAlgorithm::Rs256))
        );
    }

    #[test]
    fn the_cache_is_bounded() {
        let signer = key(Algorithm::EdDsa, "k");
        for (entries_max, floor) in [(0, 0), (8, 1)] {
            let cache = SignatureCache::new(entries_max);
            for n in 0..200 {
                let jws = parse(
                    &signer
                        .sign_compact("JWT", format!("{{\"n\":{n}}}").as_bytes())
                        .unwrap(),
                );
                assert_eq!(cache.verify_cached(signer.verifying_key(), &jws), Ok(()));
            }
            assert!((floor..=64).contains(&cache.len()), "{}", cache.len());
        }
    }
}

//! The one place of this crate that names ring: random bytes and authenticated encryption.
//!
//! Sealed bytes are `format 1 | nonce 12 | ciphertext | tag 16`, ChaCha20-Poly1305 (RFC 8439).
//!
//! **Invariant:** nonces are random and a key seals far fewer than 2^32 times (an operator's changes and a few
//! keys a year), so that two nonces never meet in practice (NIST SP 800-38D section 8.3 gives the same bound).

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// The only format so far: another cipher gets another byte.
const FORMAT: u8 = 1;

/// The operating system or the library refused; nothing was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused;

/// The bytes are not what this key sealed for this purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotSealedHere;

/// `K` bytes that nobody can predict.
pub(crate) fn random<const K: usize>() -> Result<[u8; K], Refused> {
    let mut bytes = [0; K];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Refused)?;
    Ok(bytes)
}

/// A key that seals and opens.
pub(crate) struct Sealer(LessSafeKey);

impl Sealer {
    /// From 32 bytes.
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, Refused> {
        UnboundKey::new(&CHACHA20_POLY1305, key)
            .map(|key| Self(LessSafeKey::new(key)))
            .map_err(|_| Refused)
    }

    /// Seals `plain` for the purpose that `bound_to` names; opening must name the same.
    pub(crate) fn seal(&self, bound_to: &[u8], mut plain: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, Refused> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(with_format(bound_to)),
                &mut plain,
            )
            .map_err(|_| Refused)?;
        Ok([&[FORMAT], nonce.as_slice(), plain.as_slice(), tag.as_ref()].concat())
    }

    /// Opens what [`Self::seal`] sealed.
    pub(crate) fn open(&self, bound_to: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        let Some((&FORMAT, rest)) = sealed.split_first() else {
            return Err(NotSealedHere);
        };
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(NotSealedHere)?;
        // Sealed and opened in one buffer of one size: no copy of the plaintext is left behind unwiped.
        let mut plain = Zeroizing::new(body.to_vec());
        let length = self
            .0
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(with_format(bound_to)),
                &mut plain,
            )
            .map_err(|_| NotSealedHere)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// The format byte is authenticated too: a later format cannot be passed off as this one.
fn with_format(bound_to: &[u8]) -> Vec<u8> {
    [&[FORMAT], bound_to].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p17_what_is_sealed_opens_for_its_purpose_alone() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let sealed = sealer.seal(b"a", Zeroizing::new(b"secret".to_vec())).unwrap();
        assert_eq!(sealed.len(), 1 + 12 + 6 + 16);
        assert_eq!(sealer.open(b"a", &sealed).unwrap().as_slice(), b"secret");
        assert!(sealer.open(b"b", &sealed).is_err());
        assert!(Sealer::new(&[8; 32]).unwrap().open(b"a", &sealed).is_err());
    }

    #[test]
    fn every_changed_and_every_missing_byte_is_noticed() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let sealed = sealer.seal(b"a", Zeroizing::new(b"secret".to_vec())).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(
                sealer.open(b"a", &changed),
                Err(NotSealedHere),
                "byte {at} changed"
            );
            assert_eq!(
                sealer.open(b"a", &sealed[..at]),
                Err(NotSealedHere),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn the_same_plaintext_never_gives_the_same_bytes() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let seal = || sealer.seal(b"a", Zeroizing::new(Vec::new())).unwrap();
        assert_ne!(seal(), seal());
    }
}

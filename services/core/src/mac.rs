//! HMAC-SHA-256 and SHA-256: the only file of the core that names a cryptographic library.
//!
//! **Invariant:** every use has its own domain word, so that no tag of one place passes in another.

use ring::{digest, hmac};

use crate::ids::{IssuerId, SubjectId, SubjectKey, TenantId};
use crate::place::Partition;
use crate::secret::{GrantSecret, MacKey, Salt};

/// HMAC-SHA-256 over the length-prefixed parts.
fn hmac_parts(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    out
}

/// SHA-256 of `data`.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, data).as_ref()) {
        *to = *from;
    }
    out
}

fn first<const K: usize>(bytes: [u8; 32]) -> [u8; K] {
    let mut out = [0; K];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = from;
    }
    out
}

/// A tag of `domain` over `parts`, under `key`.
#[must_use]
pub fn tag16(key: &MacKey, domain: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 1);
    all.push(domain.as_bytes());
    all.extend_from_slice(parts);
    first(hmac_parts(key.expose_bytes(), &all))
}

/// The salt of generation `g`: whoever rotates gives the same successor (DESIGN section 3).
#[must_use]
pub fn salt(secret: &GrantSecret, generation: u32) -> Salt {
    let parts: [&[u8]; 2] = [b"curfew/salt/v1", &generation.to_be_bytes()];
    Salt::new(first(hmac_parts(secret.expose_bytes(), &parts)))
}

/// The subject key: keyed under a key that never changes (DESIGN section 3).
#[must_use]
pub fn subject_key(key: &MacKey, tenant: TenantId, subject: &SubjectId) -> SubjectKey {
    let parts: [&[u8]; 3] = [
        b"curfew/subject/v1",
        tenant.as_bytes(),
        subject.as_str().as_bytes(),
    ];
    SubjectKey(first(hmac_parts(key.expose_bytes(), &parts)))
}

/// The one partition in which all records for a foreign issuer lie (DESIGN section 6).
#[must_use]
pub fn foreign_partition(tenant: TenantId, issuer: IssuerId) -> Partition {
    let mut data = b"curfew/foreign-partition/v1".to_vec();
    data.extend_from_slice(tenant.as_bytes());
    data.extend_from_slice(issuer.as_bytes());
    let [a, b] = first(sha256(&data));
    Partition::from_first_bits([a, b])
}

/// Bytes for one decision, drawn from the 32 that the shell brought.
///
/// A decision is a function of its arguments; chance is one of them.
#[derive(Clone, Debug)]
pub struct Entropy {
    seed: MacKey,
    drawn: u64,
}

impl Entropy {
    /// From 32 unpredictable bytes, used for this decision only.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        Self {
            seed: MacKey::new(seed),
            drawn: 0,
        }
    }

    /// The next `K` bytes, at most 32.
    pub fn draw<const K: usize>(&mut self) -> [u8; K] {
        const { assert!(K <= 32) };
        self.drawn = self.drawn.wrapping_add(1);
        first(hmac_parts(
            self.seed.expose_bytes(),
            &[b"curfew/entropy/v1", &self.drawn.to_be_bytes()],
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_differ_by_generation_and_by_secret_and_repeat() {
        let secret = GrantSecret::new([1; 16]);
        assert!(salt(&secret, 1).matches(&salt(&secret, 1)));
        assert!(!salt(&secret, 1).matches(&salt(&secret, 2)));
        assert!(!salt(&secret, 1).matches(&salt(&GrantSecret::new([2; 16]), 1)));
    }

    #[test]
    fn parts_cannot_be_shifted_into_one_another() {
        let key = MacKey::new([3; 32]);
        assert_ne!(tag16(&key, "d", &[b"ab", b"c"]), tag16(&key, "d", &[b"a", b"bc"]));
        assert_ne!(tag16(&key, "d", &[b"a"]), tag16(&key, "da", &[]));
    }

    #[test]
    fn entropy_is_a_function_of_its_seed() {
        let (mut a, mut b) = (Entropy::new([9; 32]), Entropy::new([9; 32]));
        assert_eq!(a.draw::<16>(), b.draw::<16>());
        assert_ne!(a.draw::<16>(), b.draw::<8>().repeat(2).as_slice());
    }
}

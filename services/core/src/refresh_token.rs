//! The refresh token: `cfr_` and 78 bytes in strict base64url, tagged (DESIGN section 3).
//!
//! `version 1 | mac key id 1 | sid 16 | subject key 8 | incarnation 8 | grant 8 | generation 4 | salt 16 | tag 16`
//!
//! **Invariant:** the tag is checked before any store access, so a forgery costs no I/O; it covers
//! the tenant's permanent id, so a renamed issuer keeps its tokens and another tenant gets none.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::ids::{GrantLow, SessionId, SubjectKey, TenantId};
use crate::mac;
use crate::place::Incarnation;
use crate::refusal::Reason;
use crate::secret::{MacKey, Salt};

/// What every refresh token begins with, so that scanners and guards know one.
pub const PREFIX: &str = "cfr_";
/// Its length in characters.
pub const TEXT_LEN: usize = 108;
const BODY_LEN: usize = 62;
const TAG_LEN: usize = 16;
const VERSION: u8 = 1;
const DOMAIN: &str = "curfew/refresh-token/v1";

/// The keys that tag refresh tokens, by the byte that names them.
#[derive(Clone, Debug)]
pub struct MacRing {
    current: u8,
    keys: BTreeMap<u8, MacKey>,
}

impl MacRing {
    /// A ring whose `current` key tags; all of them verify. `None` unless `current` is one of them.
    #[must_use]
    pub fn new(current: u8, keys: BTreeMap<u8, MacKey>) -> Option<Self> {
        keys.contains_key(&current).then_some(Self { current, keys })
    }
}

/// What a refresh token says, once its tag was found right.
#[derive(Clone, Debug)]
pub struct RefreshToken {
    /// The session.
    pub sid: SessionId,
    /// The subject, by its key.
    pub subject_key: SubjectKey,
    /// The incarnation of the store that it was minted under.
    pub incarnation: Incarnation,
    /// The grant, by the low half of its id.
    pub grant: GrantLow,
    /// g.
    pub generation: u32,
    /// HMAC(grant secret, g).
    pub salt: Salt,
}

impl RefreshToken {
    /// Its text, tagged with the ring's current key; `None` where the ring has lost it.
    #[must_use]
    pub fn encode(&self, ring: &MacRing, tenant: TenantId) -> Option<String> {
        let key = ring.keys.get(&ring.current)?;
        let mut bytes = Vec::with_capacity(BODY_LEN + TAG_LEN);
        bytes.extend_from_slice(&[VERSION, ring.current]);
        bytes.extend_from_slice(self.sid.as_bytes());
        bytes.extend_from_slice(&self.subject_key.0);
        bytes.extend_from_slice(&self.incarnation.0);
        bytes.extend_from_slice(&self.grant.0);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(self.salt.expose_bytes());
        let tag = mac::tag16(key, DOMAIN, &[tenant.as_bytes(), &bytes]);
        bytes.extend_from_slice(&tag);
        let mut text = String::with_capacity(TEXT_LEN);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(&bytes, &mut text);
        Some(text)
    }

    /// Reads a text and checks its tag, without any I/O.
    pub fn decode(text: &str, ring: &MacRing, tenant: TenantId) -> Result<Self, Reason> {
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| name_other(text))?;
        if text.len() != TEXT_LEN {
            return Err(Reason::TokenMalformed);
        }
        // The engine is strict: no padding, no stray bits, so one token has one text.
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| Reason::TokenMalformed)?;
        let (body, tag) = bytes.split_at_checked(BODY_LEN).ok_or(Reason::TokenMalformed)?;
        let [version, key_id, rest @ ..] = body else {
            return Err(Reason::TokenMalformed);
        };
        if *version != VERSION {
            return Err(Reason::TokenVersion);
        }
        let key = ring.keys.get(key_id).ok_or(Reason::TokenForged)?;
        let expected = mac::tag16(key, DOMAIN, &[tenant.as_bytes(), body]);
        if !bool::from(expected.as_slice().ct_eq(tag)) {
            return Err(Reason::TokenForged);
        }
        Self::fields(rest).ok_or(Reason::TokenMalformed)
    }

    fn fields(bytes: &[u8]) -> Option<Self> {
        let (sid, rest) = bytes.split_first_chunk()?;
        let (subject_key, rest) = rest.split_first_chunk()?;
        let (incarnation, rest) = rest.split_first_chunk()?;
        let (grant, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let sid = SessionId::from_bytes(*sid).ok()?;
        let subject_key = SubjectKey(*subject_key);
        // One read fetches row, gate and partition record only if they lie together.
        (sid.partition() == subject_key.partition()).then_some(())?;
        Some(Self {
            sid,
            subject_key,
            incarnation: Incarnation(*incarnation),
            grant: GrantLow(*grant),
            generation: u32::from_be_bytes(*generation),
            salt: Salt::new(rest.try_into().ok()?),
        })
    }
}

/// What was sent in the place of a refresh token.
fn name_other(text: &str) -> Reason {
    let Some((header, _)) = text.split_once('.') else {
        return Reason::TokenMalformed;
    };
    let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap_or_default();
    match header.get("typ").and_then(serde_json::Value::as_str) {
        Some("at+jwt" | "application/at+jwt") => Reason::TokenIsAccessToken,
        Some(_) => Reason::TokenIsIdToken,
        None if header.get("alg").is_some() => Reason::TokenIsIdToken,
        None => Reason::TokenMalformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Partition;
    use crate::time::Millis;
    use proptest::prelude::*;

    fn ring(ids: &[u8]) -> MacRing {
        MacRing::new(
            ids[0],
            ids.iter().map(|id| (*id, MacKey::new([*id; 32]))).collect(),
        )
        .unwrap()
    }

    fn tenant(n: u8) -> TenantId {
        TenantId::from_bytes([n; 16])
    }

    fn token(generation: u32) -> RefreshToken {
        RefreshToken {
            sid: SessionId::new(
                Millis::from_unix_ms(1_700_000_000_000),
                Partition::new(3).unwrap(),
                [5; 8],
            ),
            subject_key: SubjectKey([0, 0xc0, 1, 2, 3, 4, 5, 6]),
            incarnation: Incarnation([9; 8]),
            grant: GrantLow([0x81; 8]),
            generation,
            salt: Salt::new([0xee; 16]),
        }
    }

    #[test]
    fn a_token_reads_back_under_its_tenant_and_any_key_of_the_ring() {
        let text = token(7).encode(&ring(&[1]), tenant(1)).unwrap();
        assert_eq!(text.len(), TEXT_LEN);
        let read = RefreshToken::decode(&text, &ring(&[2, 1]), tenant(1)).unwrap();
        assert_eq!(
            (read.generation, read.sid, read.grant),
            (7, token(7).sid, token(7).grant)
        );
        assert!(read.salt.matches(&token(7).salt));
        let refused = |ring: &MacRing, tenant| RefreshToken::decode(&text, ring, tenant).unwrap_err();
        assert_eq!(
            refused(&ring(&[1]), tenant(2)),
            Reason::TokenForged,
            "another tenant"
        );
        assert_eq!(
            refused(&ring(&[2]), tenant(1)),
            Reason::TokenForged,
            "a key that was dropped"
        );
    }

    #[test]
    fn every_other_text_of_a_token_is_refused() {
        let text = token(7).encode(&ring(&[1]), tenant(1)).unwrap();
        let refused = |text: &str| RefreshToken::decode(text, &ring(&[1]), tenant(1)).unwrap_err();
        assert_eq!(refused(&format!("{text}=")), Reason::TokenMalformed, "padded");
        assert_eq!(
            refused(&text[..text.len() - 1]),
            Reason::TokenMalformed,
            "truncated"
        );
        assert_eq!(refused(&text.to_uppercase()), Reason::TokenMalformed);
        assert_eq!(refused(&format!("{text} ")), Reason::TokenMalformed);
        assert_eq!(refused(&text.replace("cfr_", "cfr-")), Reason::TokenMalformed);
        assert_eq!(refused(""), Reason::TokenMalformed);
        for place in 4..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            refused(&String::from_utf8(bytes).unwrap());
        }
        let mut other = URL_SAFE_NO_PAD.decode(&text[4..]).unwrap();
        other[0] = 2;
        assert_eq!(
            refused(&format!("cfr_{}", URL_SAFE_NO_PAD.encode(other))),
            Reason::TokenVersion
        );
    }

    #[test]
    fn other_kinds_of_tokens_are_refused_by_name() {
        let jwt = |typ: &str| {
            format!(
                "{}.e30.c2ln",
                URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#))
            )
        };
        let refused = |text: &str| RefreshToken::decode(text, &ring(&[1]), tenant(1)).unwrap_err();
        assert_eq!(refused(&jwt("at+jwt")), Reason::TokenIsAccessToken);
        assert_eq!(refused(&jwt("JWT")), Reason::TokenIsIdToken);
        assert_eq!(refused("a.b.c"), Reason::TokenMalformed);
    }

    proptest! {
        #[test]
        fn decoding_any_text_never_panics(text in "(cfr_)?[A-Za-z0-9_.=-]{0,120}") {
            let _ = RefreshToken::decode(&text, &ring(&[1]), tenant(1));
        }
    }
}

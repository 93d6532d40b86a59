//! What a JWK is made of, besides the key: its thumbprint (RFC 7638), the set that publishes it (RFC 7517 section 5).
//!
//! **Invariant:** a private member never gets into a published set.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::provider;

/// The members that no published key may have (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1; RFC 8037 section 2).
pub(crate) const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The value is no JWK of a key type whose thumbprint is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no thumbprint: not a public EC, OKP or RSA key")]
pub struct NoThumbprint;

/// The JWK's SHA-256 thumbprint in base64url (RFC 7638 section 3, RFC 8037 section 2).
///
/// # Errors
/// [`NoThumbprint`] if the key type is another or a required member is missing.
pub fn thumbprint(jwk: &Value) -> Result<String, NoThumbprint> {
    let required: &[&str] = match jwk.get("kty").and_then(Value::as_str) {
        Some("EC") => &["crv", "kty", "x", "y"],
        Some("OKP") => &["crv", "kty", "x"],
        Some("RSA") => &["e", "kty", "n"],
        Some(_) | None => return Err(NoThumbprint),
    };
    // Inserted in lexicographic order: the order is right whichever map serde_json was built with.
    let mut members = Map::new();
    for name in required {
        let member = jwk
            .get(name)
            .filter(|member| member.is_string())
            .ok_or(NoThumbprint)?;
        members.insert((*name).to_owned(), member.clone());
    }
    Ok(URL_SAFE_NO_PAD.encode(provider::sha256(Value::Object(members).to_string().as_bytes())))
}

/// A JWKS document of these public keys. Private members, should one have strayed in, are left out.
#[must_use]
pub fn serialize_key_set(keys: &[Value]) -> Vec<u8> {
    let keys = keys.iter().map(without_private_members).collect();
    Value::Object(Map::from_iter([("keys".to_owned(), Value::Array(keys))]))
        .to_string()
        .into_bytes()
}

fn without_private_members(key: &Value) -> Value {
    let mut key = key.clone();
    if let Some(members) = key.as_object_mut() {
        members.retain(|name, _| !PRIVATE_MEMBERS.contains(&name.as_str()));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rfc_7638_section_3_1_gives_the_published_thumbprint() {
        let jwk = json!({
            "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        });
        assert_eq!(
            thumbprint(&jwk).unwrap(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn rfc_8037_appendix_a_3_gives_the_published_thumbprint() {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(
            thumbprint(&jwk).unwrap(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn what_is_no_public_key_has_no_thumbprint() {
        for jwk in [
            json!(1),
            json!({}),
            json!({"kty": "oct", "k": "AA"}),
            json!({"kty": "RSA", "e": "AQAB", "n": 1}),
        ] {
            assert_eq!(thumbprint(&jwk), Err(NoThumbprint));
        }
    }

    #[test]
    fn a_private_member_is_never_published() {
        let set = serialize_key_set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "secret"})]);
        assert_eq!(set, br#"{"keys":[{"crv":"Ed25519","kty":"OKP","x":"AA"}]}"#);
        assert_eq!(serialize_key_set(&[]), br#"{"keys":[]}"#);
    }
}

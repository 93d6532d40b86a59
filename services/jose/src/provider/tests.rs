use super::*;
use crate::{SigningKey, thumbprint};
use jsonwebtoken::{Header, Validation, decode, encode};
use serde_json::{Value, json};

#[test]
fn jsonwebtoken_works_on_ring_for_every_signing_algorithm() {
    install();
    install();
    for (algorithm, named) in [(Algorithm::Es256, Named::ES256), (Algorithm::EdDsa, Named::EdDSA)] {
        let pkcs8 = SigningKey::generate_pkcs8(algorithm).unwrap();
        let key = SigningKey::from_pkcs8(algorithm, &pkcs8, "k").unwrap();
        let encoding = match algorithm {
            Algorithm::Es256 => EncodingKey::from_ec_der(&pkcs8),
            Algorithm::EdDsa | Algorithm::Rs256 => EncodingKey::from_ed_der(&pkcs8),
        };
        let token = encode(&Header::new(named), &json!({"sub": "a"}), &encoding).unwrap();
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.public_jwk().clone()).unwrap();
        let mut validation = Validation::new(named);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let read = decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
        assert_eq!(read.claims["sub"], "a");
        assert_eq!(
            jwk.thumbprint(ThumbprintHash::SHA256).unwrap(),
            thumbprint(key.public_jwk()).unwrap()
        );
    }
}

#[test]
fn no_factory_knows_hmac() {
    for named in [Named::HS256, Named::HS384, Named::HS512] {
        assert!(verifier_factory(&named, &DecodingKey::from_secret(b"public key")).is_err());
        assert!(signer_factory(&named, &EncodingKey::from_secret(b"public key")).is_err());
    }
    assert!(verifier_factory(&Named::ES256, &DecodingKey::from_secret(b"public key")).is_err());
    assert!(verifier_factory(&Named::RS256, &DecodingKey::from_ed_der(&[0; 32])).is_err());
}

#[test]
fn sha_256_is_sha_256() {
    assert_eq!(
        sha256(b"abc").map(|byte| format!("{byte:02x}")).concat()[..16],
        *"ba7816bf8f01cfea"
    );
}

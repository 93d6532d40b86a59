use super::*;
use crate::testing::RSA_PKCS8;
use crate::{SigningKey, thumbprint};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Header, Validation, decode, encode};
use serde_json::{Value, json};

#[test]
fn jsonwebtoken_works_on_ring_for_every_signing_algorithm() {
    install();
    install();
    let es256 = SigningKey::generate_pkcs8(Algorithm::Es256).unwrap();
    // PKCS#8 version 1, as OpenSSL writes it and as jsonwebtoken wants it: 16 bytes, then the seed.
    let ed_dsa = [
        b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20",
        &[7; 32][..],
    ]
    .concat();
    // jsonwebtoken wants PKCS#1, which is what PKCS#8 wraps in 26 bytes for a key of this size.
    let pkcs1 = &RSA_PKCS8[26..];
    for (algorithm, named, pkcs8, encoding) in [
        (
            Algorithm::Es256,
            Named::ES256,
            &es256[..],
            EncodingKey::from_ec_der(&es256),
        ),
        (
            Algorithm::EdDsa,
            Named::EdDSA,
            &ed_dsa[..],
            EncodingKey::from_ed_der(&ed_dsa),
        ),
        (
            Algorithm::Rs256,
            Named::RS256,
            RSA_PKCS8,
            EncodingKey::from_rsa_der(pkcs1),
        ),
    ] {
        let key = SigningKey::from_pkcs8(algorithm, pkcs8, "k").unwrap();
        let token = encode(&Header::new(named), &json!({"sub": "a"}), &encoding).unwrap();
        let jwk: Jwk = serde_json::from_value(key.public_jwk().clone()).unwrap();
        let mut validation = Validation::new(named);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let read = decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
        assert_eq!(read.claims["sub"], "a");
        let theirs = Jwk::from_encoding_key(&encoding, named).unwrap();
        for jwk in [jwk, theirs] {
            assert_eq!(
                jwk.thumbprint(ThumbprintHash::SHA256).unwrap(),
                thumbprint(key.public_jwk()).unwrap()
            );
        }
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

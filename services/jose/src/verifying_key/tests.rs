use super::*;
use crate::testing::{RSA_PKCS8, key, parse};
use crate::{Algorithm, KeySet, SigningKey};
use serde_json::json;

/// RFC 7515 appendices A.2 and A.3 sign the same claims.
const RFC_7515_CLAIMS: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn rfc_7515_a_2_jwk() -> Value {
    json!({"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"})
}

fn rfc_7515_a_3_jwk() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

#[test]
fn rfc_7515_appendices_a_2_and_a_3_verify() {
    for (header, signature, jwk) in [
        (
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
            rfc_7515_a_2_jwk(),
        ),
        (
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            rfc_7515_a_3_jwk(),
        ),
    ] {
        let jws = parse(&format!("{header}.{RFC_7515_CLAIMS}.{signature}"));
        assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap().verify(&jws), Ok(()));
        assert_eq!(jws.claims()["http://example.com/is_root"], true);
    }
}

#[test]
fn what_openssl_signed_verifies_with_its_own_key_only() {
    let keys = KeySet::parse(include_bytes!("../../testdata/openssl.jwks.json")).unwrap();
    assert_eq!(
        (keys.len(), keys.skipped().count(KeyUnusable::RsaTooSmall)),
        (2, 1)
    );
    let tokens: Vec<_> = include_str!("../../testdata/openssl.tokens.txt")
        .lines()
        .map(parse)
        .collect();
    assert_eq!(tokens.len(), 7);
    let stranger = SigningKey::from_pkcs8(Algorithm::Rs256, RSA_PKCS8, "rsa").unwrap();
    let mut jwk = stranger.public_jwk().clone();
    jwk.as_object_mut().unwrap().remove("alg");
    let stranger = VerifyingKey::from_jwk(&jwk).unwrap();
    for token in tokens {
        let kid = token.kid().unwrap();
        assert_eq!(
            keys.get(kid).unwrap().verify(&token),
            Ok(()),
            "{}",
            token.algorithm()
        );
        let refusal = if kid == "ec" {
            SignatureRefused::WrongAlgorithm(SignatureAlgorithm::Es384)
        } else {
            SignatureRefused::BadSignature
        };
        assert_eq!(stranger.verify(&token), Err(refusal));
    }
}

#[test]
fn the_key_says_the_algorithm() {
    let (ec, ed) = (key(Algorithm::Es256, "k"), key(Algorithm::EdDsa, "k"));
    let rsa = SigningKey::from_pkcs8(Algorithm::Rs256, RSA_PKCS8, "k").unwrap();
    for signer in [&ec, &ed, &rsa] {
        let jws = parse(&signer.sign_compact("JWT", b"{}").unwrap());
        for verifier in [&ec, &ed, &rsa] {
            let expected = if verifier.algorithm() == signer.algorithm() {
                Ok(())
            } else {
                Err(SignatureRefused::WrongAlgorithm(signer.algorithm().into()))
            };
            assert_eq!(verifier.verifying_key().verify(&jws), expected);
        }
    }
}

#[test]
fn an_rsa_key_takes_all_of_rsa_unless_its_alg_pins_one() {
    let mut jwk = rfc_7515_a_2_jwk();
    assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap().algorithms(), RSA_ALGORITHMS);
    jwk["alg"] = json!("PS256");
    assert_eq!(
        VerifyingKey::from_jwk(&jwk).unwrap().algorithms(),
        [SignatureAlgorithm::Ps256]
    );
    for alg in ["RSA-OAEP", "ES256", "HS256", "none"] {
        jwk["alg"] = json!(alg);
        assert_eq!(
            VerifyingKey::from_jwk(&jwk).unwrap_err(),
            KeyUnusable::UnknownAlgorithm,
            "{alg}"
        );
    }
}

#[test]
fn a_signature_of_one_rsa_scheme_does_not_pass_for_another() {
    let signer = SigningKey::from_pkcs8(Algorithm::Rs256, RSA_PKCS8, "k").unwrap();
    let token = signer.sign_compact("JWT", b"{}").unwrap();
    let (_, rest) = token.split_once('.').unwrap();
    let mut jwk = signer.public_jwk().clone();
    jwk.as_object_mut().unwrap().remove("alg");
    let any_rsa = VerifyingKey::from_jwk(&jwk).unwrap();
    for alg in ["PS256", "RS384", "RS512"] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}"}}"#));
        assert_eq!(
            any_rsa.verify(&parse(&format!("{header}.{rest}"))),
            Err(SignatureRefused::BadSignature)
        );
    }
}

#[test]
fn a_curve_has_one_algorithm_under_any_of_its_names() {
    let mut jwk = key(Algorithm::EdDsa, "k").public_jwk().clone();
    for alg in ["EdDSA", "Ed25519"] {
        jwk["alg"] = json!(alg);
        assert_eq!(
            VerifyingKey::from_jwk(&jwk).unwrap().algorithms(),
            [SignatureAlgorithm::EdDsa]
        );
    }
    let mut jwk = rfc_7515_a_3_jwk();
    for alg in ["ES384", "RS256", "EdDSA", "ECDH-ES"] {
        jwk["alg"] = json!(alg);
        assert_eq!(
            VerifyingKey::from_jwk(&jwk).unwrap_err(),
            KeyUnusable::UnknownAlgorithm,
            "{alg}"
        );
    }
}

#[test]
fn unusable_keys_say_why() {
    let ec = rfc_7515_a_3_jwk;
    let rsa = rfc_7515_a_2_jwk;
    let ed = || json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let with = |mut jwk: Value, name: &str, member: Value| {
        jwk[name] = member;
        jwk
    };
    let one_bit_short = URL_SAFE_NO_PAD.encode([&[0x7f][..], &[0xff; 255]].concat());
    for (jwk, reason) in [
        (json!([]), KeyUnusable::Broken),
        (json!({}), KeyUnusable::Broken),
        (json!({"kty": 1}), KeyUnusable::Broken),
        (json!({"kty": "AKP"}), KeyUnusable::UnknownKeyType),
        (json!({"kty": "oct", "k": "AAAA"}), KeyUnusable::PrivateMember),
        (with(ec(), "d", json!("AA")), KeyUnusable::PrivateMember),
        (with(rsa(), "p", json!("AA")), KeyUnusable::PrivateMember),
        (with(ed(), "d", json!(null)), KeyUnusable::PrivateMember),
        (with(ec(), "crv", json!("secp256k1")), KeyUnusable::UnknownCurve),
        (with(ec(), "crv", json!("P-384")), KeyUnusable::Broken),
        (with(ec(), "x", json!("AAAA")), KeyUnusable::Broken),
        (
            with(ec(), "x", json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=")),
            KeyUnusable::Broken,
        ),
        (
            with(ec(), "x", json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV")),
            KeyUnusable::Broken,
        ),
        (with(ec(), "y", json!(null)), KeyUnusable::Broken),
        (with(ec(), "kid", json!(7)), KeyUnusable::Broken),
        (with(ec(), "use", json!("enc")), KeyUnusable::NotForSignatures),
        (with(ec(), "use", json!("tls")), KeyUnusable::NotForSignatures),
        (with(ec(), "use", json!([])), KeyUnusable::Broken),
        (with(ec(), "key_ops", json!([])), KeyUnusable::NotForSignatures),
        (
            with(ec(), "key_ops", json!(["encrypt"])),
            KeyUnusable::NotForSignatures,
        ),
        (with(ec(), "key_ops", json!("verify")), KeyUnusable::Broken),
        (with(ed(), "crv", json!("Ed448")), KeyUnusable::UnknownCurve),
        (with(ed(), "crv", json!("X25519")), KeyUnusable::UnknownCurve),
        (with(ed(), "x", json!("AAAA")), KeyUnusable::Broken),
        (with(rsa(), "n", json!(one_bit_short)), KeyUnusable::RsaTooSmall),
        (
            with(rsa(), "n", json!(URL_SAFE_NO_PAD.encode([0xff; 1025]))),
            KeyUnusable::Broken,
        ),
        (
            with(rsa(), "n", json!(URL_SAFE_NO_PAD.encode([0xfe; 256]))),
            KeyUnusable::Broken,
        ),
        (
            with(
                rsa(),
                "n",
                json!(URL_SAFE_NO_PAD.encode([&[0][..], &[0xff; 256]].concat())),
            ),
            KeyUnusable::Broken,
        ),
        (with(rsa(), "n", json!("")), KeyUnusable::Broken),
        (with(rsa(), "e", json!("AQ")), KeyUnusable::Broken),
        (with(rsa(), "e", json!("AAEAAQ")), KeyUnusable::Broken),
        (with(rsa(), "e", json!("Ag")), KeyUnusable::Broken),
        (with(rsa(), "e", json!("AwAAAAAB")), KeyUnusable::Broken),
    ] {
        assert_eq!(VerifyingKey::from_jwk(&jwk).map(|_| ()), Err(reason), "{jwk}");
    }
    assert!(VerifyingKey::from_jwk(&with(ec(), "key_ops", json!(["sign", "verify"]))).is_ok());
}

#[test]
fn a_point_off_the_curve_verifies_nothing() {
    let signer = key(Algorithm::Es256, "k");
    let mut jwk = signer.public_jwk().clone();
    jwk["y"] = jwk["x"].clone();
    let jws = parse(&signer.sign_compact("JWT", b"{}").unwrap());
    assert_eq!(
        VerifyingKey::from_jwk(&jwk).unwrap().verify(&jws),
        Err(SignatureRefused::BadSignature)
    );
}

#[test]
fn a_der_signature_is_not_a_jws_signature() {
    let signer = key(Algorithm::Es256, "k");
    let token = signer.sign_compact("JWT", b"{}").unwrap();
    let (input, _) = token.rsplit_once('.').unwrap();
    let der = [&[0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01][..]].concat();
    for signature in [vec![0; 64], vec![0; 63], vec![0; 65], der] {
        let forged = parse(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)));
        assert_eq!(
            signer.verifying_key().verify(&forged),
            Err(SignatureRefused::BadSignature)
        );
    }
}

#[test]
fn the_thumbprint_is_that_of_the_jwk() {
    let rsa = SigningKey::from_pkcs8(Algorithm::Rs256, RSA_PKCS8, "k").unwrap();
    for key in [key(Algorithm::Es256, "k"), key(Algorithm::EdDsa, "k"), rsa] {
        assert_eq!(
            key.verifying_key().thumbprint(),
            crate::thumbprint(key.public_jwk()).unwrap()
        );
    }
    let debug = format!("{:?}", key(Algorithm::EdDsa, "k").verifying_key());
    assert_eq!(
        debug,
        r#"VerifyingKey { kid: Some("k"), algorithms: [EdDsa], .. }"#
    );
}

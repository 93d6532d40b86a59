use super::*;
use crate::json::JsonFault;
use crate::provider::sha256;
use crate::testing::key;
use crate::{Algorithm, SignatureRefused};
use proptest::prelude::*;

const HEADER: &str = r#"{"alg":"ES256","kid":"k","typ":"at+jwt"}"#;

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn compact(header: &str, claims: &str) -> String {
    format!("{}.{}.AAAA", encode(header), encode(claims))
}

fn read(token: &str) -> Result<Jws, MalformedToken> {
    Jws::parse(token, Limits::DEFAULT)
}

#[track_caller]
fn refused(token: &str, expected: MalformedToken) {
    assert_eq!(read(token).unwrap_err(), expected, "{token}");
}

#[track_caller]
fn refused_json(token: &str, part: Part, fault: JsonFault) {
    let error = read(token).unwrap_err();
    let MalformedToken::Json {
        part: found,
        fault: JsonError {
            fault: found_fault, ..
        },
    } = error
    else {
        panic!("{token}: {error}");
    };
    assert_eq!((found, found_fault), (part, fault), "{token}");
}

#[test]
fn a_token_shows_its_header_and_claims() {
    let jws = read(&compact(HEADER, r#"{"sub":"a","exp":1.5}"#)).unwrap();
    assert_eq!(jws.algorithm(), SignatureAlgorithm::Es256);
    assert_eq!((jws.kid(), jws.typ()), (Some("k"), Some("at+jwt")));
    assert_eq!(jws.claims()["exp"], 1.5);
    assert_eq!(
        jws.signing_input(),
        compact(HEADER, r#"{"sub":"a","exp":1.5}"#)
            .strip_suffix(".AAAA")
            .unwrap()
            .as_bytes()
    );
    assert_eq!(jws.signature(), [0, 0, 0]);
    assert_eq!(jws.header().len(), 3);
    assert_eq!(jws.into_claims()["sub"], "a");
}

#[test]
fn the_type_is_compared_as_a_media_type() {
    for (typ, is) in [
        ("at+jwt", true),
        ("AT+JWT", true),
        ("application/at+jwt", true),
        ("Application/At+Jwt", true),
        ("application/application/at+jwt", false),
        ("JWT", false),
        ("at+jwt ", false),
        ("", false),
        ("é", false),
    ] {
        let jws = read(&compact(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#), "{}")).unwrap();
        assert_eq!(jws.is_typ("at+jwt"), is, "{typ}");
    }
    assert!(
        !read(&compact(r#"{"alg":"ES256"}"#, "{}"))
            .unwrap()
            .is_typ("at+jwt")
    );
}

#[test]
fn three_segments_are_wanted_none_empty() {
    for (token, found) in [
        ("", 1),
        ("a", 1),
        ("a.b", 2),
        ("a.b.c.d", 4),
        ("a.b.c.", 4),
        ("a.b.c.d.e", 5),
        (".a.b.c", 4),
    ] {
        refused(token, MalformedToken::Segments { found });
    }
    let (header, claims) = (encode(HEADER), encode("{}"));
    refused("..", MalformedToken::EmptySegment(Part::Header));
    refused(
        &format!(".{claims}.AAAA"),
        MalformedToken::EmptySegment(Part::Header),
    );
    refused(
        &format!("{header}..AAAA"),
        MalformedToken::EmptySegment(Part::Claims),
    );
    refused(
        &format!("{header}.{claims}."),
        MalformedToken::EmptySegment(Part::Signature),
    );
}

#[test]
fn base64url_has_one_spelling() {
    let (header, claims) = (encode(HEADER), encode("{}"));
    // "{}" is "e30"; "e31" … "e33" carry the same bytes with spare bits set.
    assert_eq!(claims, "e30");
    for spelling in ["e31", "e32", "e33"] {
        refused(
            &format!("{header}.{spelling}.AAAA"),
            MalformedToken::SpareBits(Part::Claims),
        );
    }
    refused(
        &format!("{header}.e30.AB"),
        MalformedToken::SpareBits(Part::Signature),
    );
    refused(
        &format!("{header}.e30=.AAAA"),
        MalformedToken::Padded(Part::Claims),
    );
    refused(
        &format!("{header}.e30.AA=="),
        MalformedToken::Padded(Part::Signature),
    );
    refused(
        &format!("{header}.e30.AA="),
        MalformedToken::Padded(Part::Signature),
    );
    for stray in [
        "A", "AAAAA", "AA+A", "AA/A", "AA A", "AAAA\n", " AAAA", "AÄA", "A\0AA",
    ] {
        refused(
            &format!("{header}.e30.{stray}"),
            MalformedToken::NotBase64Url(Part::Signature),
        );
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let limits = Limits {
        token_bytes_max: 100,
        depth_max: 2,
    };
    let long = "a".repeat(101);
    assert_eq!(
        Jws::parse(&long, limits).unwrap_err(),
        MalformedToken::TooLarge {
            bytes: 101,
            bytes_max: 100
        }
    );
    assert!(Jws::parse(&compact(r#"{"alg":"ES256"}"#, r#"{"a":[1]}"#), limits).is_ok());
    let deep = Jws::parse(&compact(r#"{"alg":"ES256"}"#, r#"{"a":[[]]}"#), limits).unwrap_err();
    assert!(
        matches!(deep, MalformedToken::Json { part: Part::Claims, fault } if fault.fault == JsonFault::TooDeep)
    );
    assert_eq!(Limits::default().token_bytes_max, 16_384);
}

#[test]
fn none_and_hmac_are_refused_by_name() {
    for name in ["none", "None", "NONE", "nOnE"] {
        refused(
            &compact(&format!(r#"{{"alg":"{name}"}}"#), "{}"),
            MalformedToken::AlgorithmNone,
        );
    }
    // An unsigned token has an empty signature; that it says `none` is the better reason.
    refused(
        &format!("{}.e30.", encode(r#"{"alg":"none"}"#)),
        MalformedToken::AlgorithmNone,
    );
    for name in ["HS256", "HS384", "HS512", "hs256", "HS1"] {
        refused(
            &compact(&format!(r#"{{"alg":"{name}"}}"#), "{}"),
            MalformedToken::AlgorithmHmac,
        );
    }
    for name in ["", "ES256K", "ES512", "es256", "RSA-OAEP", "Ed448", "dir"] {
        refused(
            &compact(&format!(r#"{{"alg":"{name}"}}"#), "{}"),
            MalformedToken::AlgorithmUnsupported,
        );
    }
}

#[test]
fn a_public_key_used_as_an_hmac_secret_signs_nothing() {
    let jwk = key(Algorithm::Es256, "k").public_jwk().to_string();
    let input = format!(
        "{}.{}",
        encode(r#"{"alg":"HS256","kid":"k"}"#),
        encode(r#"{"sub":"admin"}"#)
    );
    let token = format!(
        "{input}.{}",
        URL_SAFE_NO_PAD.encode(hmac_sha256(jwk.as_bytes(), input.as_bytes()))
    );
    refused(&token, MalformedToken::AlgorithmHmac);
}

/// RFC 2104, spelt out because no HMAC is to be had from this crate.
fn hmac_sha256(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(&sha256(secret));
    let padded = |with: u8, rest: &[u8]| sha256(&[&block.map(|byte| byte ^ with)[..], rest].concat());
    padded(0x5c, &padded(0x36, message))
}

#[test]
fn header_members_that_change_the_meaning_are_refused() {
    for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null", "1"] {
        refused(
            &compact(&format!(r#"{{"alg":"ES256","crit":{crit}}}"#), "{}"),
            MalformedToken::Critical,
        );
    }
    for b64 in ["true", "false"] {
        refused(
            &compact(&format!(r#"{{"alg":"ES256","b64":{b64}}}"#), "{}"),
            MalformedToken::UnencodedPayload,
        );
    }
    refused(&compact("{}", "{}"), MalformedToken::AlgorithmMissing);
    refused(
        &compact(r#"{"alg":1}"#, "{}"),
        MalformedToken::HeaderMember("alg"),
    );
    refused(
        &compact(r#"{"alg":"ES256","kid":1}"#, "{}"),
        MalformedToken::HeaderMember("kid"),
    );
    refused(
        &compact(r#"{"alg":"ES256","typ":null}"#, "{}"),
        MalformedToken::HeaderMember("typ"),
    );
}

#[test]
fn header_and_claims_are_strict_json_objects() {
    let header = |text: &str| compact(text, "{}");
    let claims = |text: &str| compact(HEADER, text);
    refused_json(
        &header(r#"{"alg":"none","alg":"ES256"}"#),
        Part::Header,
        JsonFault::DuplicateMember,
    );
    refused_json(
        &header(r#"{"alg":"ES256","\u0061lg":"ES256"}"#),
        Part::Header,
        JsonFault::DuplicateMember,
    );
    refused_json(
        &header(r#"{"alg":"ES256","jwk":{"x":1,"x":2}}"#),
        Part::Header,
        JsonFault::DuplicateMember,
    );
    refused_json(&header("[]"), Part::Header, JsonFault::NotAnObject);
    refused_json(&header("x"), Part::Header, JsonFault::Syntax);
    refused_json(
        &claims(r#"{"sub":"a","sub":"b"}"#),
        Part::Claims,
        JsonFault::DuplicateMember,
    );
    refused_json(
        &claims(r#"{"act":{"act":{"sub":1,"sub":1}}}"#),
        Part::Claims,
        JsonFault::DuplicateMember,
    );
    refused_json(
        &claims(r#"{"aud":[{"a":1,"a":1}]}"#),
        Part::Claims,
        JsonFault::DuplicateMember,
    );
    refused_json(
        &claims(r#"{"exp":1e400}"#),
        Part::Claims,
        JsonFault::NumberOutOfRange,
    );
    refused_json(
        &claims(r#"{"exp":18446744073709551616}"#),
        Part::Claims,
        JsonFault::NumberOutOfRange,
    );
    refused_json(&claims("\"a\""), Part::Claims, JsonFault::NotAnObject);
    refused_json(&claims("{} {}"), Part::Claims, JsonFault::Syntax);
    refused_json(
        &claims(&format!("{{\"a\":{}{}}}", "[".repeat(16), "]".repeat(16))),
        Part::Claims,
        JsonFault::TooDeep,
    );
}

#[test]
fn neither_debug_nor_an_error_carries_content() {
    let jws = read(&compact(HEADER, r#"{"sub":"mallory"}"#)).unwrap();
    assert_eq!(format!("{jws:?}"), "Jws { algorithm: Es256, .. }");
    for claims in [r#"{"mallory":1,"mallory":2}"#, r#"{"mallory":"#, r#""mallory""#] {
        let error = read(&compact(HEADER, claims)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("mallory"));
    }
    let error = read(&compact(HEADER, r#"{"a":1,"a":2}"#)).unwrap_err();
    assert_eq!(error.to_string(), "claims: duplicate member at line 1 column 10");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn no_header_and_no_claims_make_the_reader_panic(header in ".{0,60}", claims in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = read(&format!("{}.{}.AAAA", encode(&header), URL_SAFE_NO_PAD.encode(&claims)));
        let _ = read(&format!("{}.{}.AAAA", encode(HEADER), URL_SAFE_NO_PAD.encode(&claims)));
    }

    #[test]
    fn what_was_signed_reads_back_as_it_was(
        claims in prop::collection::btree_map(any::<String>(), any_json(), 0..6),
        typ in any::<String>(),
        kid in ".{1,20}",
    ) {
        let claims = Value::Object(claims.into_iter().collect());
        let pkcs8 = crate::SigningKey::generate_pkcs8(Algorithm::EdDsa).unwrap();
        let signer = crate::SigningKey::from_pkcs8(Algorithm::EdDsa, &pkcs8, &kid).unwrap();
        let jws = read(&signer.sign_compact(&typ, claims.to_string().as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(jws.typ(), Some(typ.as_str()));
        prop_assert_eq!(jws.kid(), Some(kid.as_str()));
        prop_assert_eq!(signer.verifying_key().verify(&jws), Ok(()));
        prop_assert_eq!(Value::Object(jws.into_claims()), claims);
    }

    #[test]
    fn a_token_with_one_character_changed_is_refused(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.=-]") {
        let signer = key(Algorithm::EdDsa, "k");
        let token = signer.sign_compact("at+jwt", br#"{"sub":"a","exp":1700000000}"#).unwrap();
        let at = at.index(token.len());
        prop_assume!(token[at..=at] != with);
        let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        if let Ok(jws) = read(&changed) {
            let refusal = signer.verifying_key().verify(&jws).unwrap_err();
            prop_assert!(matches!(refusal, SignatureRefused::BadSignature | SignatureRefused::WrongAlgorithm(_)));
        }
    }
}

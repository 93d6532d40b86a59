use super::*;
use crate::testing::{RSA_PKCS8, key, parse};
use crate::{Algorithm, SignatureRefused, SigningKey, serialize_key_set};
use serde_json::{Value, json};

fn read(entries: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": entries }).to_string().as_bytes()).unwrap()
}

fn jwk(kid: &str) -> Value {
    key(Algorithm::Es256, kid).public_jwk().clone()
}

fn skipped(set: &KeySet) -> Vec<(KeyUnusable, usize)> {
    set.skipped().iter().collect()
}

#[test]
fn a_published_set_reads_back_and_its_keys_verify() {
    let rsa = SigningKey::from_pkcs8(Algorithm::Rs256, RSA_PKCS8, "rsa").unwrap();
    let signers = [key(Algorithm::Es256, "ec"), key(Algorithm::EdDsa, "ed"), rsa];
    let document = serialize_key_set(
        &signers
            .iter()
            .map(|key| key.public_jwk().clone())
            .collect::<Vec<_>>(),
    );
    let set = KeySet::parse(&document).unwrap();
    assert_eq!((set.len(), set.skipped().total()), (3, 0));
    for signer in &signers {
        let jws = parse(&signer.sign_compact("JWT", b"{}").unwrap());
        assert_eq!(set.get(signer.kid()).unwrap().verify(&jws), Ok(()));
    }
    assert!(set.get("other").is_none());
    assert_eq!(set.keys().count(), 3);
}

#[test]
fn entries_that_are_unknown_or_broken_are_skipped_and_counted() {
    let with = |name: &str, member: Value| {
        let mut jwk = jwk("x");
        jwk[name] = member;
        jwk
    };
    let mut nameless = jwk("x");
    nameless.as_object_mut().unwrap().remove("kid");
    let set = read(&[
        json!(null),
        json!("key"),
        json!({}),
        json!({"kty": "EC"}),
        json!({"kty": "AKP", "kid": "pq"}),
        with("crv", json!("P-521")),
        with("alg", json!("ES256K")),
        with("use", json!("enc")),
        with("d", json!("secret")),
        json!({"kty": "oct", "k": "secret", "kid": "hmac"}),
        nameless,
        with("kid", json!("")),
        with("kid", json!(1)),
        jwk("good"),
    ]);
    assert_eq!(set.len(), 1);
    assert!(set.get("good").is_some());
    assert_eq!(
        skipped(&set),
        [
            (KeyUnusable::Broken, 5),
            (KeyUnusable::PrivateMember, 2),
            (KeyUnusable::NoKeyId, 2),
            (KeyUnusable::UnknownKeyType, 1),
            (KeyUnusable::UnknownCurve, 1),
            (KeyUnusable::UnknownAlgorithm, 1),
            (KeyUnusable::NotForSignatures, 1),
        ]
    );
    assert_eq!(set.skipped().total(), 13);
}

#[test]
fn an_entry_that_strict_json_refuses_spoils_only_itself() {
    let good = jwk("good");
    let document =
        format!(r#"{{"keys":[{{"kty":"EC","kty":"RSA"}},{{"a":1e400}},{good}],"other":{{"a":1,"a":2}}}}"#);
    let set = KeySet::parse(document.as_bytes()).unwrap();
    assert_eq!((set.len(), skipped(&set)), (1, vec![(KeyUnusable::Broken, 2)]));
}

#[test]
fn different_keys_under_one_kid_are_all_skipped() {
    let set = read(&[jwk("a"), jwk("b"), jwk("a"), jwk("a")]);
    assert!(set.get("a").is_none());
    assert!(set.get("b").is_some());
    assert_eq!(skipped(&set), [(KeyUnusable::AmbiguousKeyId, 3)]);
}

#[test]
fn the_same_key_twice_is_one() {
    let same = jwk("a");
    let set = read(&[same.clone(), same.clone(), same]);
    assert_eq!((set.len(), set.skipped().total()), (1, 0));
}

#[test]
fn one_key_pinned_to_two_algorithms_under_one_kid_is_ambiguous() {
    let rs256 = SigningKey::from_pkcs8(Algorithm::Rs256, RSA_PKCS8, "a")
        .unwrap()
        .public_jwk()
        .clone();
    let mut ps256 = rs256.clone();
    ps256["alg"] = json!("PS256");
    assert_eq!(
        skipped(&read(&[rs256, ps256])),
        [(KeyUnusable::AmbiguousKeyId, 2)]
    );
}

#[test]
fn a_skipped_entry_does_not_make_a_kid_ambiguous() {
    let mut encryption = jwk("a");
    encryption["use"] = json!("enc");
    let set = read(&[encryption, jwk("a")]);
    assert!(set.get("a").is_some());
}

#[test]
fn entries_beyond_the_bound_are_counted_not_read() {
    let mut entries = vec![json!({"kty": "AKP"}); 255];
    entries.push(jwk("last"));
    entries.extend([jwk("beyond"), json!(null)]);
    let set = read(&entries);
    assert!(set.get("last").is_some());
    assert!(set.get("beyond").is_none());
    assert_eq!(
        skipped(&set),
        [(KeyUnusable::UnknownKeyType, 255), (KeyUnusable::BeyondBound, 2)]
    );
}

#[test]
fn a_document_that_is_no_set_is_refused() {
    for document in [
        "",
        "{",
        "{}",
        "[]",
        "[[]]",
        "null",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[]}x"#,
        r#"{"keys":[}"#,
    ] {
        assert_eq!(
            KeySet::parse(document.as_bytes()).unwrap_err(),
            KeySetRefused::NotAKeySet,
            "{document}"
        );
    }
    assert_eq!(KeySet::parse(b"\xff").unwrap_err(), KeySetRefused::NotAKeySet);
    let padded = |bytes: usize| format!("{{\"keys\":[]{}}}", " ".repeat(bytes - 11));
    assert!(
        KeySet::parse(padded(SET_BYTES_MAX).as_bytes())
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        KeySet::parse(padded(SET_BYTES_MAX + 1).as_bytes()).unwrap_err(),
        KeySetRefused::TooLarge {
            bytes: SET_BYTES_MAX + 1
        }
    );
}

#[test]
fn an_empty_set_is_a_set() {
    let set = KeySet::parse(b" {\"keys\":[]}").unwrap();
    assert!(set.is_empty());
    assert_eq!(set.skipped().total(), 0);
}

#[test]
fn a_key_of_another_issuer_under_the_same_kid_verifies_nothing_of_this_one() {
    let (ours, theirs) = (key(Algorithm::Es256, "k"), key(Algorithm::Es256, "k"));
    let set = read(&[theirs.public_jwk().clone()]);
    let jws = parse(&ours.sign_compact("JWT", b"{}").unwrap());
    assert_eq!(
        set.get("k").unwrap().verify(&jws),
        Err(SignatureRefused::BadSignature)
    );
}

proptest::proptest! {
    #[test]
    fn no_document_makes_the_reader_panic(document in ".{0,200}", entry in ".{0,60}") {
        let _ = KeySet::parse(document.as_bytes());
        let _ = KeySet::parse(format!("{{\"keys\":[{entry}]}}").as_bytes());
    }
}

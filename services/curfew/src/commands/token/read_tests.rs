//! Kinds and judgements, by the text alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

const NOW: Millis = Millis::from_unix_seconds(1_800_000_000);
const ORDERS: &str = "https://orders.example";

fn token(header: &Value, claims: &Value) -> String {
    let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.c2ln", part(header), part(claims))
}

fn read(typ: Option<&str>, claims: Value) -> Read {
    let mut header = json!({"alg": "ES256", "kid": "k"});
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    let mut all =
        json!({"iss": "https://id.example/acme", "aud": ORDERS, "iat": 1_800_000_000, "exp": 1_800_000_600});
    for (name, value) in claims.as_object().unwrap() {
        if value.is_null() {
            all.as_object_mut().unwrap().remove(name);
        } else {
            all[name] = value.clone();
        }
    }
    Read::of(&token(&header, &all))
}

fn own(claims: &Value) -> Read {
    let mut all = json!({"tid": "t", "gid": "g", "sid": "s", "scp": "a b"});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    read(Some("at+jwt"), all)
}

#[test]
fn each_kind_is_told_by_its_type_and_claims() {
    for (typ, claims, expected) in [
        (
            Some("at+jwt"),
            json!({"tid": "t", "gid": "g", "sid": "s", "scp": "a"}),
            Kind::Access,
        ),
        (
            Some("application/at+jwt"),
            json!({"tid": "t", "gid": "g", "roles": ["r"]}),
            Kind::App,
        ),
        (
            Some("at+jwt"),
            json!({"tid": "t", "gid": "g", "sid": "s", "chain": []}),
            Kind::Exchanged,
        ),
        (Some("at+jwt"), json!({"scope": "a"}), Kind::Foreign),
        (Some("JWT"), json!({"nonce": "n", "scp": "a"}), Kind::Id),
        (None, json!({}), Kind::Id),
        (Some("JWT"), json!({"scp": "a"}), Kind::Foreign),
        (Some("JWT"), json!({"typ": "Bearer", "scope": "a"}), Kind::Foreign),
        (Some("JWT"), json!({"typ": "Offline"}), Kind::ForeignRefresh),
        (Some("dpop+jwt"), json!({}), Kind::Other),
    ] {
        assert_eq!(read(typ, claims.clone()).kind, expected, "{typ:?} {claims}");
    }
    assert_eq!(Read::of(&format!("cfr_{}", "a".repeat(104))).kind, Kind::Refresh);
    assert_eq!(Read::of("garbage").kind, Kind::Unreadable);
}

#[test]
fn what_cannot_be_read_is_refused_with_what_is_wrong_and_without_its_content() {
    let jws = |alg: &str| token(&json!({"alg": alg}), &json!({"secret": "topsecret"}));
    for (text, reason, part) in [
        ("topsecret".to_owned(), Reason::TokenMalformed, "opaque"),
        ("a.b.c.d.e".to_owned(), Reason::TokenMalformed, "encrypted"),
        ("!.b.c".to_owned(), Reason::TokenMalformed, "header"),
        (
            "cfr_topsecret".to_owned(),
            Reason::TokenMalformed,
            "13 characters",
        ),
        (jws("none"), Reason::AlgorithmRefused, "none"),
        (jws("HS256"), Reason::AlgorithmRefused, "HMAC"),
    ] {
        let refused = Read::of(&text).judge_form().unwrap();
        assert_eq!(refused.reason, reason, "{text}");
        let said = refused.detail.unwrap();
        assert!(said.contains(part) && !said.contains("topsecret"), "{said}");
    }
}

#[test]
fn a_token_is_judged_in_the_order_of_a_guards_checks() {
    let check = |read: Read, sent_to: Option<&str>, expected: Option<Reason>| {
        let refused = read.judge_form().or_else(|| read.judge(sent_to, NOW));
        assert_eq!(
            refused.map(|refused| refused.reason),
            expected,
            "{:?}",
            read.claims
        );
    };
    check(own(&json!({})), Some(ORDERS), None);
    check(own(&json!({"aud": ["x", ORDERS]})), Some(ORDERS), None);
    check(
        own(&json!({})),
        Some("https://files.example"),
        Some(Reason::AudienceWrong),
    );
    check(
        own(&json!({"exp": 1_799_999_000, "aud": "x"})),
        Some(ORDERS),
        Some(Reason::AudienceWrong),
    );
    check(
        own(&json!({"exp": 1_799_999_940})),
        Some(ORDERS),
        Some(Reason::TokenExpired),
    );
    check(own(&json!({"exp": 1_799_999_941})), None, None);
    check(
        own(&json!({"nbf": 1_800_000_061})),
        None,
        Some(Reason::TokenNotYetValid),
    );
    check(own(&json!({"exp": "soon"})), None, Some(Reason::ClaimMalformed));
    check(own(&json!({"exp": null})), None, Some(Reason::ClaimMissing));
    check(own(&json!({"iss": null})), Some("x"), Some(Reason::ClaimMissing));
    check(
        own(&json!({"aud": null})),
        Some(ORDERS),
        Some(Reason::ClaimMissing),
    );
    check(read(None, json!({})), Some(ORDERS), Some(Reason::TokenIsIdToken));
    check(read(None, json!({})), None, None);
    check(
        read(Some("logout+jwt"), json!({})),
        None,
        Some(Reason::TokenTypeUnknown),
    );
    let refresh = || Read::of(&format!("cfr_{}", "a".repeat(104)));
    check(refresh(), Some(ORDERS), Some(Reason::TokenIsRefreshToken));
    check(refresh(), None, None);
}

#[test]
fn permissions_are_read_in_every_spelling() {
    assert_eq!(read(None, json!({"scp": "a b"})).scopes(), ["a", "b"]);
    assert_eq!(
        read(None, json!({"scope": ["a", "b c"]})).scopes(),
        ["a", "b", "c"]
    );
    assert_eq!(read(None, json!({"roles": "r"})).roles(), ["r"]);
    assert!(read(None, json!({"roles": 3})).roles().is_empty());
}

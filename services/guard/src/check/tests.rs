//! Refusals by table: one token, one thing wrong, one reason.

use curfew_core::record::{LogRecord, UnknownRecord};
use curfew_core::refusal::Reason;
use curfew_core::session::KeyBinding;
use curfew_jose::Algorithm;
use serde_json::{Value, json};

use crate::testing::*;
use crate::{Ground, Presented, Requirements, Stale};

mod freshness;
mod marks;

fn b64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

/// A token with a header of our own; its signature is of no value.
fn unsigned(header: &str, claims: &Value) -> String {
    format!(
        "{}.{}.{}",
        b64(header),
        b64(&claims.to_string()),
        b64("signature")
    )
}

#[test]
fn good_tokens_of_each_kind_are_admitted() {
    let bench = Bench::new();
    for (token, kind) in [
        (bench.token(), crate::Kind::Delegated),
        (bench.sign(&app_only()), crate::Kind::AppOnly),
        (bench.token_with("iss", json!(FORMER)), crate::Kind::Delegated),
        (
            bench.token_with("aud", json!(["https://other.example", AUDIENCE])),
            crate::Kind::Delegated,
        ),
        (
            sign(&bench.signer, "application/AT+JWT", &delegated()),
            crate::Kind::Delegated,
        ),
        (
            sign(&bench.foreign_signer, "JWT", &foreign_claims()),
            crate::Kind::Foreign,
        ),
        (
            sign(&bench.foreign_signer, "at+jwt", &foreign_claims()),
            crate::Kind::Foreign,
        ),
    ] {
        let admission = bench.admitted(&token);
        assert_eq!(admission.kind(), kind);
        assert_eq!(admission.ground(), Ground::Fresh);
    }
    assert_eq!(bench.guard.metrics().admitted(), 7);
    let admission = bench.admitted(&bench.token());
    assert_eq!((admission.subject(), admission.client()), ("alice", Some("web")));
    assert_eq!(admission.scopes(), ["read", "write"]);
}

#[test]
fn malformed_truncated_and_non_canonical_tokens_are_refused_as_such() {
    let bench = Bench::new();
    let token = bench.token();
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let spare_bits = {
        // The last of 86 characters carries four bits that belong to no byte; they are zero in a good token.
        let (head, last) = signature.split_at(signature.len() - 1);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let place = alphabet.find(last).unwrap();
        format!("{rest}.{head}{}", &alphabet[place + 1..place + 2])
    };
    for malformed in [
        "x".to_owned(),
        "..".to_owned(),
        rest.to_owned(),
        format!("{rest}."),
        format!("{token}="),
        format!("{token}=="),
        format!("{token}.{signature}"),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        token.replacen('.', "=.", 1),
        token.replace('-', "+").replace('_', "/") + "+",
        spare_bits,
        "a".repeat(16 * 1024 + 1),
        unsigned(
            r#"{"alg":"ES256","alg":"ES256","typ":"at+jwt","kid":"k1"}"#,
            &delegated(),
        ),
        unsigned(r#"{"alg":"ES256","typ":"at+jwt","kid":7}"#, &delegated()),
        unsigned(r#"{"typ":"at+jwt","kid":"k1"}"#, &delegated()),
        unsigned("[]", &delegated()),
    ] {
        bench.refused(&malformed, Reason::TokenMalformed);
    }
    bench.refused("", Reason::TokenMissing);
    bench.refused(
        &unsigned(r#"{"alg":"none","typ":"at+jwt"}"#, &delegated()),
        Reason::AlgorithmRefused,
    );
    bench.refused(
        &unsigned(r#"{"alg":"HS256","typ":"at+jwt","kid":"k1"}"#, &delegated()),
        Reason::AlgorithmRefused,
    );
    bench.refused(
        &unsigned(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#, &delegated()),
        Reason::AlgorithmRefused,
    );
    bench.refused(
        &unsigned(
            r#"{"alg":"ES256","typ":"at+jwt","kid":"k1","crit":["exp"]}"#,
            &delegated(),
        ),
        Reason::CriticalHeader,
    );
    let half = &signature[..40];
    bench.refused(&format!("{rest}.{half}"), Reason::SignatureWrong);
}

#[test]
fn another_sort_of_token_is_refused_by_its_own_name() {
    let bench = Bench::new();
    bench.refused("cfr_AAAAAAAA", Reason::TokenIsRefreshToken);
    let id_token = json!({
        "iss": ISSUER, "sub": "alice", "aud": "web", "sid": sid(1).to_string(), "nonce": "n",
        "iat": NOW.seconds_floor(), "exp": NOW.seconds_floor() + 300,
    });
    bench.refused(&sign(&bench.signer, "JWT", &id_token), Reason::TokenIsIdToken);
    // A refreshed ID token has no nonce (OIDC Core section 12.2).
    bench.refused(
        &sign(
            &bench.signer,
            "JWT",
            &with(id_token.clone(), "nonce", Value::Null),
        ),
        Reason::TokenIsIdToken,
    );
    bench.refused(
        &unsigned(r#"{"alg":"ES256","kid":"k1"}"#, &id_token),
        Reason::TokenIsIdToken,
    );
    bench.refused(
        &sign(&bench.signer, "JWT", &delegated()),
        Reason::TokenTypeUnknown,
    );
    bench.refused(
        &sign(&bench.signer, "logout+jwt", &delegated()),
        Reason::TokenTypeUnknown,
    );
    bench.refused(
        &sign(&bench.signer, "dpop+jwt", &delegated()),
        Reason::TokenTypeUnknown,
    );
    // An ID token under the type of an access token: its audience is a client.
    bench.refused(&sign(&bench.signer, "at+jwt", &id_token), Reason::AudienceWrong);
    for (typ, name, value, reason) in [
        ("JWT", "nonce", json!("n"), Reason::TokenIsIdToken),
        ("JWT", "at_hash", json!("h"), Reason::TokenIsIdToken),
        ("JWT", "aud", json!("portal"), Reason::TokenIsIdToken),
        ("JWT", "typ", json!("ID"), Reason::TokenIsIdToken),
        ("JWT", "token_use", json!("id"), Reason::TokenIsIdToken),
        ("JWT", "typ", json!("Refresh"), Reason::TokenIsRefreshToken),
        ("logout+jwt", "x", json!(1), Reason::TokenTypeUnknown),
    ] {
        bench.refused(&bench.foreign_token_with(typ, name, value), reason);
    }
    // An old Keycloak puts a nonce into access tokens; its entry says so.
    let keycloak = Bench::with(|config| config.foreign[0].carries.extend(["nonce".to_owned()]));
    keycloak.admitted(&keycloak.foreign_token_with("JWT", "nonce", json!("n")));
}

#[test]
fn keys_are_found_by_issuer_entry_and_kid() {
    let bench = Bench::new();
    // Both entries call their key `k1`: the other's key verifies nothing here.
    bench.refused(
        &sign(&bench.foreign_signer, "at+jwt", &delegated()),
        Reason::SignatureWrong,
    );
    bench.refused(
        &sign(&bench.signer, "JWT", &foreign_claims()),
        Reason::SignatureWrong,
    );
    bench.refused(
        &sign(&key(Algorithm::Es256, "k1"), "at+jwt", &delegated()),
        Reason::SignatureWrong,
    );
    bench.refused(
        &sign(&key(Algorithm::Es256, "k2"), "at+jwt", &delegated()),
        Reason::KeyUnknown,
    );
    bench.refused(
        &unsigned(r#"{"alg":"ES256","typ":"at+jwt"}"#, &delegated()),
        Reason::KeyUnknown,
    );
    bench.refused(
        &unsigned(r#"{"alg":"ES256","typ":"at+jwt","kid":""}"#, &delegated()),
        Reason::KeyUnknown,
    );
    for issuer in [
        "https://login.example/other",
        "https://login.example/acme/",
        "",
        "https://LOGIN.example/acme",
    ] {
        let reason = if issuer.is_empty() {
            Reason::ClaimMissing
        } else {
            Reason::IssuerUnknown
        };
        bench.refused(&bench.token_with("iss", json!(issuer)), reason);
    }
    let other_tenant = curfew_core::ids::TenantId::from_bytes([0x33; 16]).to_string();
    bench.refused(
        &bench.token_with("tid", json!(other_tenant)),
        Reason::IssuerUnknown,
    );
}

#[test]
fn the_audience_is_this_api() {
    let bench = Bench::new();
    for audience in [
        json!("https://other.example"),
        json!([]),
        json!(["a", "b"]),
        json!("https://api.example/"),
    ] {
        let reason = if audience == json!([]) {
            Reason::ClaimMissing
        } else {
            Reason::AudienceWrong
        };
        bench.refused(&bench.token_with("aud", audience), reason);
    }
    // Each issuer entry has audiences of its own.
    bench.refused(
        &bench.token_with("aud", json!(FOREIGN_AUDIENCE)),
        Reason::AudienceWrong,
    );
    bench.refused(
        &bench.foreign_token_with("JWT", "aud", json!(AUDIENCE)),
        Reason::AudienceWrong,
    );
}

#[test]
fn instants_are_numbers_from_zero_on_and_nothing_else() {
    let bench = Bench::new();
    let raw = |name: &str, number: &str| {
        let claims = with(delegated(), name, json!("@"))
            .to_string()
            .replace("\"@\"", number);
        bench.signer.sign_compact("at+jwt", claims.as_bytes()).unwrap()
    };
    for (name, number, reason) in [
        ("exp", "0", Some(Reason::TokenExpired)),
        ("exp", "-1", Some(Reason::ClaimMalformed)),
        ("exp", "-0.5", Some(Reason::ClaimMalformed)),
        ("exp", "1800000540.5", None),
        ("exp", "1.80000054e9", None),
        ("exp", "1799999000.5", Some(Reason::TokenExpired)),
        ("exp", "1e3", Some(Reason::TokenExpired)),
        ("exp", "18446744073709551615", Some(Reason::ClaimMalformed)),
        ("exp", "18446744073709551616", Some(Reason::TokenMalformed)),
        ("exp", "1e400", Some(Reason::TokenMalformed)),
        ("exp", "1e18", Some(Reason::ClaimMalformed)),
        ("exp", "\"1800000540\"", Some(Reason::ClaimMalformed)),
        ("exp", "null", Some(Reason::ClaimMalformed)),
        ("exp", "true", Some(Reason::ClaimMalformed)),
        ("exp", "[1800000540]", Some(Reason::ClaimMalformed)),
        ("exp", "{}", Some(Reason::ClaimMalformed)),
        ("iat", "0", None),
        ("iat", "-1", Some(Reason::ClaimMalformed)),
        ("iat", "1799999940.25", None),
        ("iat", "1.79999994e9", None),
        ("iat", "1800000061", Some(Reason::TokenNotYetValid)),
        ("iat", "1800000060", None),
        ("iat", "18446744073709551616", Some(Reason::TokenMalformed)),
        ("iat", "\"1799999940\"", Some(Reason::ClaimMalformed)),
        ("nbf", "0", None),
        ("nbf", "-1", Some(Reason::ClaimMalformed)),
        ("nbf", "1800000060.5", Some(Reason::TokenNotYetValid)),
        ("nbf", "1e99", Some(Reason::TokenMalformed)),
        ("nbf", "\"soon\"", Some(Reason::ClaimMalformed)),
    ] {
        let found = bench
            .check(&raw(name, number))
            .err()
            .map(|refused| refused.reason);
        assert_eq!(found, reason, "{name} {number}");
    }
    for name in ["exp", "iat"] {
        bench.refused(&bench.token_with(name, Value::Null), Reason::ClaimMissing);
    }
    bench.admitted(&bench.token_with("nbf", Value::Null));
}

#[test]
fn p4_the_claims_of_its_kind_must_be_there_and_be_texts() {
    let bench = Bench::new();
    for name in [
        "sub",
        "client_id",
        "jti",
        "gid",
        "tid",
        "sid",
        "scp",
        "oid",
        "aud",
        "iss",
    ] {
        bench.refused(&bench.token_with(name, Value::Null), Reason::ClaimMissing);
        for value in [json!(7), json!(true), json!({"a": 1}), json!([7])] {
            let refused = bench.check(&bench.token_with(name, value.clone())).unwrap_err();
            assert_eq!(refused.reason, Reason::ClaimMalformed, "{name} {value}");
            assert!(refused.detail.as_ref().unwrap().contains(name), "{refused:?}");
        }
    }
    let v4 = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    for name in ["jti", "gid", "sid"] {
        for id in [v4.to_owned(), "s1".to_owned(), jti(1).to_string().to_uppercase()] {
            bench.refused(&bench.token_with(name, json!(id)), Reason::ClaimMalformed);
        }
    }
    for (claims, reason) in [
        (
            with(app_only(), "gid", json!(gid(3).to_string())),
            Reason::TokenTypeUnknown,
        ),
        (
            with(app_only(), "sid", json!(sid(1).to_string())),
            Reason::TokenTypeUnknown,
        ),
        (with(app_only(), "auth_time", json!(1)), Reason::TokenTypeUnknown),
        (with(app_only(), "roles", Value::Null), Reason::ClaimMissing),
        (with(app_only(), "roles", json!(7)), Reason::ClaimMalformed),
        (with(app_only(), "roles", json!(["a", 7])), Reason::ClaimMalformed),
        (with(delegated(), "roles", json!(["a"])), Reason::TokenTypeUnknown),
        (with(delegated(), "chain", json!({})), Reason::ClaimMalformed),
        (
            with(delegated(), "chain", json!([{"client_id": "front"}])),
            Reason::ClaimMalformed,
        ),
        (
            with(delegated(), "chain", json!([{"client_id": "front", "gid": "g"}])),
            Reason::ClaimMalformed,
        ),
    ] {
        bench.refused(&bench.sign(&claims), reason);
    }
}

#[test]
fn a_bound_token_needs_the_proof_of_its_own_key() {
    let bench = Bench::new();
    let (dpop, mtls) = (KeyBinding::Dpop("thumb".into()), KeyBinding::Mtls("cert".into()));
    let other = KeyBinding::Dpop("other".into());
    for (cnf, proven, reason) in [
        (Value::Null, None, None),
        (Value::Null, Some(&mtls), None),
        (Value::Null, Some(&dpop), Some(Reason::BindingWrong)),
        (json!({"jkt": "thumb"}), Some(&dpop), None),
        (json!({"x5t#S256": "cert"}), Some(&mtls), None),
        (json!({"jkt": "thumb"}), None, Some(Reason::BindingMissing)),
        (json!({"jkt": "thumb"}), Some(&mtls), Some(Reason::BindingMissing)),
        (json!({"jkt": "thumb"}), Some(&other), Some(Reason::BindingWrong)),
        (
            json!({"jkt": "thumb", "x5t#S256": "cert"}),
            Some(&dpop),
            Some(Reason::BindingMissing),
        ),
        (json!({"jwk": {}}), Some(&dpop), Some(Reason::ClaimMalformed)),
        (json!({"kid": "k"}), Some(&dpop), Some(Reason::BindingMissing)),
        (json!({}), Some(&dpop), Some(Reason::ClaimMalformed)),
        (json!("thumb"), Some(&dpop), Some(Reason::ClaimMalformed)),
    ] {
        let token = bench.token_with("cnf", cnf.clone());
        let found = bench.guard.check(
            Presented {
                token: &token,
                key: proven,
            },
            &Requirements::any(),
        );
        assert_eq!(
            found.err().map(|refused| refused.reason),
            reason,
            "{cnf} {proven:?}"
        );
    }
}

#[test]
fn scopes_roles_and_step_up() {
    let bench = Bench::new();
    let ask = |claims: &Value, route: Requirements| {
        bench
            .guard
            .check(&bench.sign(claims), &route)
            .err()
            .map(|refused| (refused.reason, refused.rfc_word()))
    };
    let insufficient = Some((Reason::ScopeInsufficient, "insufficient_scope"));
    assert_eq!(ask(&delegated(), Requirements::scope("read")), None);
    assert_eq!(ask(&delegated(), Requirements::scope("admin")), insufficient);
    assert_eq!(ask(&app_only(), Requirements::scope("read")), insufficient);
    assert_eq!(
        ask(&app_only(), Requirements::scope("read").or_role("Orders.Read")),
        None
    );
    assert_eq!(
        ask(
            &with(delegated(), "scp", json!("reader")),
            Requirements::scope("read")
        ),
        insufficient
    );
    let step_up = Some((Reason::SignInFrequency, "insufficient_user_authentication"));
    let acr = Requirements {
        acr_any: vec!["mfa".into()],
        ..Requirements::any()
    };
    let age = |max_s| Requirements {
        auth_age_max_s: Some(max_s),
        ..Requirements::any()
    };
    assert_eq!(ask(&delegated(), acr.clone()), step_up);
    assert_eq!(ask(&with(delegated(), "acr", json!("mfa")), acr), None);
    assert_eq!(ask(&delegated(), age(600)), None);
    assert_eq!(ask(&delegated(), age(599)), step_up);
    assert_eq!(ask(&app_only(), age(599)), step_up);
}

#[test]
fn report_only_lets_pass_what_is_a_token_and_says_what_it_would_have_refused() {
    let bench = Bench::with(|config| config.report_only = true);
    bench.revoke(revocation("sub", "alice"));
    let admission = bench.admitted(&bench.token());
    assert_eq!(admission.would_refuse().unwrap().reason, Reason::TokenRevoked);
    let admission = bench
        .guard
        .check(&bench.sign(&app_only()), &Requirements::scope("read"))
        .unwrap();
    assert_eq!(
        admission.would_refuse().unwrap().reason,
        Reason::ScopeInsufficient
    );
    // Nobody signed these claims: there is nothing to admit with.
    bench.refused(
        &sign(&key(Algorithm::Es256, "k1"), "at+jwt", &delegated()),
        Reason::SignatureWrong,
    );
    assert_eq!(bench.guard.metrics().would_refuse(), 3);
    assert_eq!(bench.guard.metrics().refused(Reason::TokenRevoked), 1);
    // One route alone.
    let bench = Bench::new();
    bench.revoke(revocation("sub", "alice"));
    let route = Requirements {
        report_only: true,
        ..Requirements::any()
    };
    assert!(
        bench
            .guard
            .check(&bench.token(), &route)
            .unwrap()
            .would_refuse()
            .is_some()
    );
    bench.refused(&bench.token(), Reason::TokenRevoked);
}

#[test]
fn p42_a_remembered_signature_hides_nothing() {
    let bench = Bench::new();
    let token = bench.token();
    bench.admitted(&token);
    bench.revoke(revocation("sid", &sid(1).to_string()));
    bench.refused(&token, Reason::TokenRevoked);

    let bench = Bench::new();
    let token = bench.token();
    bench.admitted(&token);
    bench.clock.advance(540_000 + 60_000);
    bench.beat();
    bench.refused(&token, Reason::TokenExpired);

    let bench = Bench::new();
    let token = bench.token();
    bench.admitted(&token);
    bench.clock.advance(BOUND_MS);
    bench.refused(&token, Reason::FreshnessStale);

    let bench = Bench::new();
    let token = bench.token();
    bench.admitted(&token);
    bench.revoke(revocation("jose.kid", "k1"));
    bench.refused(&token, Reason::TokenRevoked);
}

#[test]
fn an_unreadable_record_is_only_ever_bytes() {
    let unknown = LogRecord::Unknown(UnknownRecord {
        raw: b"?".as_slice().into(),
        why: "kind 99".into(),
    });
    let bench = Bench::with(|config| config.stale = Stale::Allow);
    bench.apply(LOG.home_of(partition()), &unknown);
    assert_eq!(bench.admitted(&bench.token()).ground(), Ground::Allowed);
}

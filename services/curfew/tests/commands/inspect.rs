//! `curfew token inspect`: each kind of token, of garbage, and each way to be refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_jose::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::desk::{Desk, bare, finish};
use crate::process::Output;
use crate::token::{ORDERS, says_no_token};

const FILES: &str = "https://files.acme.example";
/// Far ahead, and long ago.
const LATER: i64 = 4_000_000_000;
const BEFORE: i64 = 1_000_000_000;

/// A token of anybody's making.
fn signed(typ: &str, claims: &Value) -> String {
    let pkcs8 = SigningKey::generate_pkcs8(Algorithm::Es256).unwrap();
    let key = SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8, "k1").unwrap();
    key.sign_compact(typ, claims.to_string().as_bytes()).unwrap()
}

fn own(changes: &Value) -> String {
    let mut claims = json!({
        "iss": "http://id.example/acme", "aud": ORDERS, "iat": BEFORE, "exp": LATER, "sub": "alice",
        "client_id": "web", "scp": "orders.read", "sid": "s", "gid": "g", "tid": "t", "jti": "j",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    signed("at+jwt", &claims)
}

/// Without a node and without a caller.
#[track_caller]
fn offline(token: &str, args: &[&str]) -> Output {
    let output = finish(&mut bare(&[&["token", "inspect"], args].concat()), token);
    says_no_token(&output, token);
    output
}

#[track_caller]
fn told(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}{}", output.stdout, output.stderr))
}

/// Code, reason, fixer.
#[track_caller]
fn check(output: &Output, code: i32, reason: &str, fixer: &str) {
    let told = told(output);
    assert_eq!(output.code, code, "{told}");
    let refusal = &told["refusal"];
    assert_eq!(refusal["reason"].as_str().unwrap_or_default(), reason, "{told}");
    assert_eq!(refusal["fixer"].as_str().unwrap_or_default(), fixer, "{told}");
    if !reason.is_empty() {
        assert_eq!(refusal["code"], format!("CURFEW_{reason}"));
        assert_eq!(refusal["stage"]["word"], "resource_call", "{told}");
        assert!(!refusal["fix"].as_str().unwrap().is_empty());
    }
}

#[test]
fn audience_comes_first_then_issuer_permissions_time_and_kind() {
    let told = offline(&own(&json!({})), &[]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let names = told
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    assert_eq!(
        names.take(5).collect::<Vec<_>>(),
        ["audience", "issuer", "permissions", "time", "kind"]
    );
    for part in [
        ORDERS,
        "http://id.example/acme",
        "scopes orders.read",
        "expires 2096-",
        "RFC 9068",
        "not known",
    ] {
        assert!(told.stdout.contains(part), "{part} in {}", told.stdout);
    }
    assert!(told.stdout.contains("nobody was asked"), "{}", told.stdout);
}

#[test]
fn every_kind_is_told_without_a_node() {
    let foreign = json!({"iss": "https://login.before.example/", "aud": ORDERS, "iat": BEFORE, "exp": LATER, "scp": "a", "sub": "x"});
    let mut id = foreign.clone();
    id["nonce"] = "n".into();
    let refresh = format!("cfr_{}", URL_SAFE_NO_PAD.encode([7; 78]));
    for (token, kind, code) in [
        (own(&json!({})), "access", 0),
        (own(&json!({"sid": null, "scp": null, "roles": ["r"]})), "app", 0),
        (own(&json!({"chain": []})), "exchanged", 0),
        (signed("JWT", &foreign), "foreign", 0),
        (signed("JWT", &id), "id", 0),
        (signed("dpop+jwt", &foreign), "other", 3),
        (refresh, "refresh", 0),
        ("garbage".to_owned(), "unreadable", 3),
        ("a.b.c".to_owned(), "unreadable", 3),
        ("eyJhbGciOiJub25lIn0.e30.".to_owned(), "unreadable", 3),
        ("\u{1b}[2J.x.y".to_owned(), "unreadable", 3),
    ] {
        let output = offline(&token, &["--json"]);
        assert_eq!(
            (output.code, &told(&output)["kind"]),
            (code, &kind.into()),
            "{}",
            output.stdout
        );
        let people = offline(&token, &[]);
        assert_eq!(people.code, code);
        assert!(!people.stdout.contains('\u{1b}'));
    }
}

#[test]
fn what_is_wrong_by_form_audience_or_time_is_told_without_a_node() {
    let cases = [
        (own(&json!({})), FILES, "AUDIENCE_WRONG", "client developer"),
        (
            own(&json!({"exp": BEFORE + 600})),
            ORDERS,
            "TOKEN_EXPIRED",
            "client developer",
        ),
        (
            own(&json!({"nbf": LATER - 1})),
            ORDERS,
            "TOKEN_NOT_YET_VALID",
            "operator",
        ),
        (
            own(&json!({"iss": null})),
            ORDERS,
            "CLAIM_MISSING",
            "client developer",
        ),
        (own(&json!({"exp": "x"})), ORDERS, "CLAIM_MALFORMED", "API owner"),
        (
            signed(
                "JWT",
                &json!({"iss": "i", "aud": "web", "nonce": "n", "exp": LATER, "iat": BEFORE}),
            ),
            ORDERS,
            "TOKEN_IS_ID_TOKEN",
            "client developer",
        ),
        (
            format!("cfr_{}", URL_SAFE_NO_PAD.encode([7; 78])),
            ORDERS,
            "TOKEN_IS_REFRESH_TOKEN",
            "client developer",
        ),
        (
            "garbage".to_owned(),
            ORDERS,
            "TOKEN_MALFORMED",
            "client developer",
        ),
    ];
    for (token, sent_to, reason, fixer) in cases {
        check(
            &offline(&token, &["--sent-to", sent_to, "--json"]),
            3,
            reason,
            fixer,
        );
        let people = offline(&token, &["--sent-to", sent_to]);
        for part in [reason, fixer, "7 resource_call", "fix"] {
            assert!(people.stdout.contains(part), "{part} in {}", people.stdout);
        }
    }
    check(
        &offline(&own(&json!({})), &["--sent-to", ORDERS, "--json"]),
        0,
        "",
        "",
    );
}

#[test]
fn a_token_is_taken_from_a_file_or_an_argument_as_well_and_none_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let token = own(&json!({}));
    let kept = crate::desk::file(
        dir.path(),
        "token",
        &format!("Authorization: Bearer {token}\n"),
        0o600,
    );
    for from in [&kept, &token] {
        let told = finish(&mut bare(&["token", "inspect", from]), "");
        assert_eq!(told.code, 0, "{}", told.stderr);
        says_no_token(&told, &token);
    }
    assert_eq!(offline("", &[]).code, 2);
    assert_eq!(offline(&"x".repeat(100_000), &[]).code, 2);
}

#[test]
fn the_node_says_whether_a_token_is_alive_and_why_not() {
    let desk = Desk::new();
    let tokens = desk.tokens("alice");
    let ask = |token: &str, args: &[&str]| {
        desk.with_token(token, &[&["token", "inspect", "--json"], args].concat())
    };

    let alive = ask(&tokens.access, &["--sent-to", ORDERS]);
    check(&alive, 0, "", "");
    let alive = told(&alive);
    assert_eq!(
        (&alive["alive"], &alive["judgedBy"], &alive["authentic"]),
        (&true.into(), &"node".into(), &true.into())
    );
    assert_eq!(alive["session"], *tokens.session);
    assert_eq!(
        alive["permissions"]["scopes"],
        json!(["orders.read", "openid", "offline_access"])
    );

    check(
        &ask(&tokens.access, &["--sent-to", FILES]),
        3,
        "AUDIENCE_WRONG",
        "client developer",
    );
    check(
        &ask(&tokens.id, &["--sent-to", ORDERS]),
        3,
        "TOKEN_IS_ID_TOKEN",
        "client developer",
    );
    assert_eq!(told(&ask(&tokens.id, &[]))["kind"], "id");
    check(
        &ask(&tokens.refresh, &["--sent-to", ORDERS]),
        3,
        "TOKEN_IS_REFRESH_TOKEN",
        "client developer",
    );
    let refresh = told(&ask(&tokens.refresh, &[]));
    assert_eq!(
        (&refresh["alive"], &refresh["grant"]),
        (&true.into(), &tokens.grant.clone().into())
    );
    // A token of the right issuer that it never signed.
    check(
        &ask(&own(&json!({})), &["--sent-to", ORDERS]),
        3,
        "KEY_UNKNOWN",
        "API owner",
    );

    desk.text(&["session", "end", &tokens.session, "--cause", "stolen_laptop"]);
    let dead = ask(&tokens.access, &["--sent-to", ORDERS]);
    check(&dead, 3, "TOKEN_REVOKED", "user");
    let covered = &told(&dead)["refusal"]["coveredBy"];
    assert_eq!(
        (&covered["cause"], &covered["initiator"]),
        (&"stolen_laptop".into(), &"INITIATOR_ADMIN".into())
    );
    assert!(
        told(&dead)["refusal"]["help"]
            .as_str()
            .unwrap()
            .ends_with("/errors/CURFEW_TOKEN_REVOKED")
    );
    let people = desk.with_token(&tokens.access, &["token", "inspect", "--sent-to", ORDERS]);
    for part in [
        "no (the node says so)",
        "revoked by",
        "stolen_laptop",
        "7 resource_call",
    ] {
        assert!(people.stdout.contains(part), "{part} in {}", people.stdout);
    }
    let ended = told(&ask(&tokens.refresh, &[]));
    assert_eq!(
        ended["refusal"]["stage"],
        json!({"number": 8, "word": "silent_renewal"})
    );
}

#[test]
fn a_foreign_token_is_judged_by_its_issuers_entry() {
    let desk = Desk::new();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let foreign = |issuer: &str, audience: &str, life: i64| {
        signed(
            "JWT",
            &json!({"iss": issuer, "aud": audience, "scp": "a", "sub": "x", "iat": now, "exp": now + life}),
        )
    };
    let before = "https://login.before.example/";
    let ask = |token: &str, sent_to: &str| {
        desk.with_token(token, &["token", "inspect", "--json", "--sent-to", sent_to])
    };
    let known = ask(&foreign(before, ORDERS, 600), ORDERS);
    check(&known, 0, "", "");
    assert!(
        told(&known)["note"]
            .as_str()
            .unwrap()
            .contains("tenants/acme/issuers/"),
        "{}",
        known.stdout
    );
    assert_eq!(told(&known)["alive"], Value::Null);
    check(
        &ask(&foreign("https://nobody.example", ORDERS, 600), ORDERS),
        3,
        "ISSUER_UNKNOWN",
        "API owner",
    );
    check(
        &ask(&foreign(before, FILES, 600), FILES),
        3,
        "AUDIENCE_WRONG",
        "client developer",
    );
    check(
        &ask(&foreign(before, ORDERS, 7_200), ORDERS),
        3,
        "TOKEN_LIVES_TOO_LONG",
        "API owner",
    );
}

#[test]
fn a_node_that_cannot_say_is_never_taken_for_one_that_said_yes() {
    let desk = Desk::new();
    let tokens = desk.tokens("alice");
    // This one may not have a token explained, and may ask whether it is active.
    let ask = |caller: &str, secret: &str, token: &str, args: &[&str]| {
        let args = [&["token", "inspect", "--json"], args].concat();
        finish(&mut desk.command(caller, secret, &args), token)
    };
    let active = ask("watcher", &desk.watcher, &tokens.access, &[]);
    assert_eq!((active.code, &told(&active)["alive"]), (0, &true.into()));
    let mut gone = desk.command("desk", &desk.secret, &["token", "inspect", "--json"]);
    let gone = finish(gone.env("CURFEW_ADDRESS", "127.0.0.1:1"), &tokens.access);
    assert_eq!(gone.code, 5, "{}", gone.stdout);
    assert_eq!(told(&gone)["alive"], Value::Null);
    assert!(
        told(&gone)["note"].as_str().unwrap().contains("127.0.0.1:1"),
        "{}",
        gone.stdout
    );
    let wrong = ask("desk", "cfs_wrong", &tokens.access, &[]);
    assert_eq!(wrong.code, 4, "{}", wrong.stdout);
    let nobody_asked = ask("desk", "cfs_wrong", &tokens.access, &["--offline"]);
    assert_eq!(nobody_asked.code, 0, "{}", nobody_asked.stderr);
    desk.text(&["session", "end", &tokens.session]);
    let dead = ask("watcher", &desk.watcher, &tokens.access, &[]);
    assert_eq!((dead.code, &told(&dead)["alive"]), (3, &false.into()));
    assert!(
        told(&dead)["note"].as_str().unwrap().contains("sessions.read"),
        "{}",
        dead.stdout
    );
}

//! `curfew key`, each command in both forms.

use crate::desk::{Desk, error};

#[test]
fn keys_are_listed_shown_and_one_that_was_stolen_is_revoked() {
    let desk = Desk::new();
    let keys = desk.json(&["key", "list", "--use", "sign"]);
    let keys = keys["keys"].as_array().unwrap();
    let active = keys
        .iter()
        .find(|key| key["state"] == "KEY_STATE_ACTIVE")
        .unwrap();
    let name = active["name"].as_str().unwrap();
    let kid = name.strip_prefix("keys/").unwrap();
    let table = desk.text(&["key", "list"]);
    for part in ["KID", kid, "sign", "mac", "standby"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    assert_eq!(desk.json(&["key", "get", kid])["publicJwk"]["kty"], "EC");
    assert!(desk.text(&["key", "get", name]).contains("activated"));

    let refused = desk.run(&["key", "revoke", kid]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    let told = desk.json(&["key", "revoke", kid, "--yes", "--cause", "key_compromised"]);
    assert_eq!(told["key"]["state"], "KEY_STATE_REVOKED");
    assert!(!told["acknowledgements"].as_array().unwrap().is_empty(), "{told}");
    // The standby signs: commands still get their tokens.
    let again = desk.text(&["key", "revoke", name, "--yes"]);
    assert!(again.contains("revoked") && again.contains(kid), "{again}");
}

#[test]
fn a_standby_that_is_too_young_does_not_sign_and_a_wait_for_it_has_an_end() {
    let desk = Desk::new();
    let early = desk.run(&["key", "rotate", "--json"]);
    assert_eq!(early.code, 5, "{}", early.stderr);
    assert_eq!(error(&early)["reason"], "KEY_UNAVAILABLE");
    assert!(error(&early)["retryDelay"].is_string(), "{}", early.stderr);
    let waited = desk.run(&["key", "rotate", "--wait", "1s"]);
    assert_eq!(waited.code, 5, "{}", waited.stderr);
    assert!(waited.stderr.contains("nothing was rotated"), "{}", waited.stderr);
}

#[test]
fn keys_are_an_administrators_and_unknown_ones_are_not_found() {
    let desk = Desk::new();
    let unknown = desk.run(&["key", "get", "nope", "--json"]);
    assert_eq!(
        (unknown.code, &error(&unknown)["reason"]),
        (3, &"NOT_FOUND".into())
    );
    let mut command = desk.command("watcher", &desk.watcher, &["key", "list", "--json"]);
    let denied = crate::desk::finish(&mut command, "");
    assert_eq!(
        (denied.code, &error(&denied)["reason"]),
        (3, &"CALLER_ROLE".into())
    );
}

//! `curfew revoke`, each scope.

use crate::desk::{Desk, error};

const ISSUER: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn a_subject_is_previewed_then_revoked_and_the_acknowledgement_tells_how_far_it_is() {
    let desk = Desk::new();
    let (first, spared) = (desk.session("alice"), desk.session("alice"));
    let preview = desk.json(&["revoke", "subject", "alice", "--dry-run"]);
    assert_eq!(preview["preview"]["sessionCount"], "2");
    let preview = desk.text(&["revoke", "subject", "alice", "--dry-run"]);
    assert!(
        preview.contains("nothing was revoked") && preview.contains('2'),
        "{preview}"
    );
    assert_eq!(
        desk.json(&["session", "get", &first])["state"],
        "SESSION_STATE_ACTIVE"
    );

    let told = desk.json(&[
        "revoke",
        "subject",
        "alice",
        "--except",
        &spared,
        "--cause",
        "support_case",
    ]);
    let acknowledgement = &told["acknowledgement"];
    assert_eq!(acknowledgement["level"], "ACK_LEVEL_DURABLE");
    for field in ["revocation", "cutOffTime", "keepUntilTime"] {
        assert!(acknowledgement[field].is_string(), "{field} in {told}");
    }
    assert!(
        !acknowledgement["positions"].as_array().unwrap().is_empty(),
        "{told}"
    );
    assert_eq!(told["revocation"]["cause"], "support_case");
    assert_eq!(
        desk.json(&["session", "get", &first])["state"],
        "SESSION_STATE_ENDED"
    );
    assert_eq!(
        desk.json(&["session", "get", &spared])["state"],
        "SESSION_STATE_ACTIVE"
    );

    let table = desk.text(&[
        "revoke",
        "subject",
        "tenants/acme/subjects/alice",
        "--level",
        "stored",
    ]);
    for part in [
        "tenants/acme/revocations/",
        "level",
        "positions",
        "cut-off",
        "keep until",
        "oid=alice",
    ] {
        assert!(table.contains(part), "{part} in {table}");
    }
}

#[test]
fn every_other_scope_is_revoked_in_both_forms() {
    let desk = Desk::new();
    let session = desk.session("bob");
    let sid = session.rsplit('/').next().unwrap();
    let jti = sid;
    for (args, scope) in [
        (&["session", sid][..], "session"),
        (&["client", "web"], "client"),
        (&["device", "d1"], "device"),
        (&["provider", "https://idp.example"], "provider"),
        (&["token", jti], "token"),
        (&["key", "theirs", "--issuer", ISSUER], "foreign"),
        (&["claims", "client_id=web"], ""),
        (
            &[
                "claims",
                "sub=bob",
                "client_id=x",
                "--issuer",
                ISSUER,
                "--before",
                "iat",
                "--add-clock-error",
            ],
            "",
        ),
        (&["tenant", "--yes"], "tenant"),
    ] {
        let args = [&["revoke"], args].concat();
        let told = desk.json(&args);
        assert!(
            told["acknowledgement"]["revocation"].is_string(),
            "{args:?}: {told}"
        );
        if !scope.is_empty() {
            assert_eq!(told["revocation"]["scope"], scope, "{args:?}");
        }
        let table = desk.text(&args);
        assert!(table.contains("tenants/acme/revocations/"), "{args:?}: {table}");
    }
}

#[test]
fn everybody_is_signed_out_only_by_whoever_means_it() {
    let desk = Desk::new();
    let session = desk.session("carol");
    let refused = desk.run(&["revoke", "tenant"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("--yes") && refused.stderr.contains("tenants/acme"),
        "{}",
        refused.stderr
    );
    desk.text(&["revoke", "tenant", "--dry-run"]);
    assert_eq!(
        desk.json(&["session", "get", &session])["state"],
        "SESSION_STATE_ACTIVE"
    );
}

#[test]
fn what_cannot_be_revoked_is_refused_with_the_reason() {
    let desk = Desk::new();
    for (args, code, reason) in [
        (
            &["session", "018f0000-0000-7000-8000-000000000000"][..],
            3,
            "NOT_FOUND",
        ),
        (&["grant", "nonsense"], 2, ""),
        (&["claims", "mail=x", "--issuer", ISSUER], 2, "CLAIM_NOT_CARRIED"),
        (
            &[
                "claims",
                "sub=x",
                "--issuer",
                "018f0000-0000-7000-8000-000000000000",
            ],
            3,
            "ISSUER_ENTRY_UNKNOWN",
        ),
        (&["subject", "x", "--tenant", "nope"], 3, "TENANT_UNKNOWN"),
        (&["subject", "x", "--cause", "Not A Word"], 2, "FIELD_INVALID"),
    ] {
        let told = desk.run(&[&["revoke"], args, &["--json"]].concat());
        assert_eq!(told.code, code, "{args:?}: {}", told.stderr);
        assert_eq!(
            error(&told)["reason"].as_str().unwrap_or_default(),
            reason,
            "{args:?}: {}",
            told.stderr
        );
    }
}

#[test]
fn who_must_apply_it_is_listed_and_waited_for() {
    let desk = Desk::new();
    let listed = desk.json(&["guards"]);
    let all = listed["subscribers"].as_array().unwrap();
    assert_eq!(all.len(), 1, "the node itself: {listed}");
    assert_eq!(all[0]["subscriber"]["source"], "FOLLOWER_SOURCE_AUTHORITY");
    assert_eq!(all[0]["largestBound"], "5s");
    let table = desk.text(&["guards"]);
    for part in ["NAME", "STALE RULE", "authority", "deny 5s"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    let subject = "tenants/acme/subjects/alice";
    let told = desk.json(&["revoke", "subject", subject, "--level", "enforced"]);
    let acknowledgement = &told["acknowledgement"];
    assert_eq!(acknowledgement["level"], "ACK_LEVEL_ENFORCED");
    assert_eq!(acknowledgement["confirmed"][0]["name"], "authority");
    assert_eq!(acknowledgement["waitedOut"], serde_json::json!([]));
    let table = desk.text(&["revoke", "subject", subject, "--level", "enforced"]);
    assert!(
        table.contains("confirmed") && table.contains("1: authority"),
        "{table}"
    );
}

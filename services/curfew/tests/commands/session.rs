//! `curfew session`, each command in both forms.

use crate::desk::{Desk, error};

#[test]
fn sessions_are_opened_listed_shown_and_ended() {
    let desk = Desk::new();
    let first = desk.session("alice");
    let second = desk.session("alice");
    assert!(first.starts_with("tenants/acme/sessions/"), "{first}");

    let listed = desk.json(&["session", "list", "--subject", "alice"]);
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(listed["nextPageToken"], "");
    let table = desk.text(&["session", "list", "--subject", "tenants/acme/subjects/alice"]);
    assert!(table.starts_with("NAME"), "{table}");
    assert!(table.contains(&first) && table.contains(&second), "{table}");
    let limited = desk.text(&["session", "list", "--subject", "alice", "--limit", "1"]);
    assert_eq!(limited.matches("tenants/acme/sessions/").count(), 1, "{limited}");
    assert!(limited.contains("--limit 0"), "what is left is told: {limited}");

    let sid = first.rsplit('/').next().unwrap();
    assert_eq!(
        desk.json(&["session", "get", sid])["state"],
        "SESSION_STATE_ACTIVE"
    );
    let shown = desk.text(&["session", "get", &first]);
    assert!(shown.contains("active") && shown.contains("pwd"), "{shown}");

    let ended = desk.json(&["session", "end", sid, "--cause", "lost_phone"]);
    assert_eq!(ended["session"]["state"], "SESSION_STATE_ENDED");
    assert_eq!(ended["session"]["ending"]["cause"], "lost_phone");
    assert_eq!(ended["acknowledgement"]["level"], "ACK_LEVEL_DURABLE");
    let again = desk.text(&["session", "end", &first]);
    assert!(again.contains("tenants/acme/revocations/"), "{again}");

    let of_state = desk.json(&["session", "list", "--subject", "alice", "--state", "active"]);
    assert_eq!(of_state["sessions"][0]["name"], *second);
    assert_eq!(of_state["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn every_other_session_ends_and_the_one_that_asks_stays() {
    let desk = Desk::new();
    let stays = desk.session("bob");
    desk.session("bob");
    let told = desk.json(&["session", "end-others", &stays]);
    assert_eq!(told["endedCount"], 1);
    assert!(told["acknowledgement"]["cutOffTime"].is_string(), "{told}");
    let table = desk.text(&["session", "end-others", &stays]);
    assert!(table.contains("stays") && table.contains("cut-off"), "{table}");
    assert_eq!(
        desk.json(&["session", "get", &stays])["state"],
        "SESSION_STATE_ACTIVE"
    );
}

#[test]
fn devices_and_an_opened_session_are_shown_to_people() {
    let desk = Desk::new();
    let opened = desk.text(&[
        "session",
        "create",
        "--subject",
        "carol",
        "--device",
        "d1",
        "--device-label",
        "Carol's phone",
    ]);
    assert!(opened.contains("Carol's phone (d1)"), "{opened}");
    let devices = desk.json(&["session", "devices", "carol"]);
    assert_eq!(devices["devices"][0]["device"]["id"], "d1");
    let table = desk.text(&["session", "devices", "tenants/acme/subjects/carol"]);
    assert!(table.contains("Carol's phone"), "{table}");
    let grants = desk.text(&["session", "grants", opened.split_whitespace().nth(1).unwrap()]);
    assert!(grants.starts_with("NAME"), "{grants}");
}

#[test]
fn what_is_not_there_or_no_name_is_refused_and_the_exit_code_says_which() {
    let desk = Desk::new();
    let nobody = "018f0000-0000-7000-8000-000000000000";
    for (args, code, reason) in [
        (&["session", "get", nobody][..], 3, "NOT_FOUND"),
        (
            &[
                "session",
                "get",
                "tenants/nope/sessions/018f0000-0000-7000-8000-000000000000",
                "--tenant",
                "nope",
            ],
            3,
            "TENANT_UNKNOWN",
        ),
        (&["session", "get", "not-a-session"], 2, "FIELD_INVALID"),
        (&["session", "get", "tenants/acme/clients/web"], 2, ""),
        (
            &["session", "list", "--subject", "tenants/other/subjects/alice"],
            2,
            "",
        ),
    ] {
        let told = desk.run(&[args, &["--json"]].concat());
        assert_eq!(told.code, code, "{args:?}: {}", told.stderr);
        assert_eq!(
            error(&told)["reason"].as_str().unwrap_or_default(),
            reason,
            "{args:?}"
        );
        assert!(told.stdout.is_empty(), "{}", told.stdout);
    }
    let told = desk.run(&["session", "get", nobody]);
    for part in [
        "NOT_FOUND",
        "stage 1 request",
        "client developer",
        "/errors/CURFEW_",
    ] {
        assert!(told.stderr.contains(part), "{part} in {}", told.stderr);
    }
}

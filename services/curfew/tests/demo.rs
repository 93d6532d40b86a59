//! `curfew demo` tells the whole story and ends well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;

use process::curfew;

#[test]
fn the_demo_tells_every_step_and_ends_with_its_figures() {
    let output = curfew(&["demo", "--json"]);
    let lines: Vec<serde_json::Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        assert_eq!(line["ok"], true, "{line}");
    }
    assert_eq!(output.code, 0, "{}", output.stderr);
    let summary = lines.last().unwrap();
    assert_eq!(
        (&summary["step"], &summary["store"], &summary["log"]),
        (&"summary".into(), &"embedded".into(), &"embedded".into())
    );
    let figures = &summary["revoke_to_reject_ms"];
    assert_eq!(figures["n"], 200);
    assert!(
        figures["p50"].as_f64() <= figures["p99"].as_f64()
            && figures["p99"].as_f64() <= figures["max"].as_f64()
    );
    let steps: Vec<_> = lines.iter().map(|line| line["step"].as_str().unwrap()).collect();
    for step in [
        "seed",
        "sign_in",
        "issue",
        "call",
        "id_token_at_api",
        "access_token_at_token_service",
        "ten_parallel_refreshes",
        "reuse_detected",
        "family_revoked",
        "sign_out_elsewhere",
        "revoke_to_reject",
        "thousand_sessions",
        "foreign_revoked",
        "why",
    ] {
        assert!(steps.contains(&step), "{step} is missing from {steps:?}");
    }
}

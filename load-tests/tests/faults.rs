//! `curfew-load faults`, short: faults are injected into real servers, and everything that is promised holds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::process::Command;

use common::curfew;
use serde_json::Value;

#[test]
fn a_few_faults_lose_no_revocation_and_sign_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_curfew-load"))
        .args([
            "faults",
            "--json",
            "--minutes",
            "5",
            "--faults-max",
            "3",
            "--seed",
            "11",
        ])
        .args(["--stores", "sentinel"])
        // One that loses what was acknowledged, one that loses nothing, one of the log.
        .args(["--faults", "failover-lossy,node-killed,broker-killed"])
        .arg("--curfew")
        .arg(curfew())
        .arg("--report")
        .arg(dir.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let episodes = report["episodes"].as_array().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{stderr} {episodes:#?} {}",
        report["troubles"]
    );
    assert_eq!(episodes.len(), 3);
    for episode in episodes {
        assert_eq!(episode["violations"].as_array().unwrap().len(), 0, "{episode}");
        for looked_at in ["alive", "over", "refused_at_guards"] {
            assert!(episode[looked_at].as_u64().unwrap() > 0, "{episode}");
        }
    }
    // What was acknowledged was really lost, or nothing was tried.
    let lossy = episodes
        .iter()
        .find(|episode| episode["fault"] == "failover-lossy")
        .unwrap();
    let tally = &lossy["tally"];
    let lost = tally["healed"].as_u64().unwrap() + tally["rolled_back"].as_u64().unwrap();
    assert!(lost > 0 && tally["durable"].as_u64().unwrap() > 0, "{lossy}");
    for name in ["faults.json", "faults.html", "faults.md"] {
        assert!(dir.path().join(name).is_file(), "no {name}");
    }
}

//! `curfew doctor`: what is well, and broken set-ups, each named with what mends it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;

#[path = "doctor/shared.rs"]
mod shared;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use process::{Output, Server, curfew, curfew_as, seeded};
use serde_json::Value;

/// The exit code, and what was found.
type Findings = (i32, Vec<Value>);

fn findings(output: &Output) -> Findings {
    let told: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", output.stdout, output.stderr));
    assert_eq!(told["ok"] == true, output.code == 0, "{told}");
    (output.code, told["findings"].as_array().unwrap().clone())
}

/// Looks at a node of this machine, on ports of its own.
fn local(data: &Path, more: &[&str]) -> Findings {
    let mut args = vec!["doctor", "--json", "--data", data.to_str().unwrap()];
    args.extend([
        "--set",
        "grpc.listen=127.0.0.1:0",
        "--set",
        "http.listen=127.0.0.1:0",
    ]);
    args.extend(more);
    findings(&curfew(&args))
}

#[track_caller]
fn check(findings: &Findings, check: &str, state: &str, words: &[&str]) {
    let of_check = |finding: &&Value| finding["check"] == check && finding["state"] == state;
    let told: Vec<_> = findings
        .1
        .iter()
        .filter(of_check)
        .map(|found| format!("{} {}", found["what"], found["fix"]))
        .collect();
    let is_said = told
        .iter()
        .any(|said| words.iter().all(|word| said.contains(word)));
    assert!(is_said, "no {state} of {check} with {words:?}: {:#?}", findings.1);
    assert_eq!(
        findings.0,
        i32::from(findings.1.iter().any(|one| one["state"] == "fault"))
    );
}

#[test]
fn a_new_directory_and_a_running_node_are_well_and_nothing_is_made_by_looking() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let new = local(&data, &[]);
    assert_eq!(new.0, 0, "{new:#?}");
    check(&new, "directory", "ok", &["is not there yet"]);
    assert!(!data.exists(), "nothing was made");

    let server = Server::start(&data);
    let running = local(&data, &[]);
    assert_eq!(running.0, 0, "{running:#?}");
    check(&running, "node", "ok", &["lives and is ready"]);
    check(&running, "root key", "ok", &["root.key"]);
    let told = curfew(&["doctor", "--data", data.to_str().unwrap()]);
    assert!(told.stdout.contains("ok       node"), "{}", told.stdout);
    server.kill();
    // Its address is still written there, and nobody is behind it.
    check(&local(&data, &[]), "node", "fault", &["nothing answers"]);
}

#[test]
fn broken_nodes_are_named_with_what_mends_them() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mode = |mode| std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(Server::start(&data).terminate(), 0);

    check(
        &local(&data, &["--set", "grpc.listn=x"]),
        "configuration",
        "fault",
        &["did you mean `grpc.listen`?"],
    );

    mode(0o755);
    check(
        &local(&data, &[]),
        "directory",
        "fault",
        &["mode 0755", "chmod 700"],
    );
    mode(0o700);

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    check(&local(&file, &[]), "directory", "fault", &["is no directory"]);

    let key = data.join("root.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    check(
        &local(&data, &[]),
        "root key",
        "fault",
        &["mode 0644", "chmod 600"],
    );
    let kept = dir.path().join("kept.key");
    std::fs::rename(&key, &kept).unwrap();
    check(
        &local(&data, &[]),
        "root key",
        "fault",
        &["is gone", "put it back"],
    );
    assert!(!key.exists(), "looking makes no key");
    std::fs::rename(&kept, &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("grpc.listen={}", taken.local_addr().unwrap());
    check(
        &local(&data, &["--set", &address]),
        "port",
        "fault",
        &["grpc.listen", "in use", "ss -ltnp"],
    );

    let tls = [
        "--set",
        "grpc.tls.cert_file=/gone.crt",
        "--set",
        "grpc.tls.key_file=/gone.key",
    ];
    check(
        &local(&data, &tls),
        "certificate",
        "fault",
        &["/gone.crt", "No such file"],
    );

    let ahead = std::fs::File::create(data.join("ahead")).unwrap();
    ahead
        .set_modified(SystemTime::now() + Duration::from_secs(3_600))
        .unwrap();
    check(
        &local(&data, &[]),
        "clock",
        "fault",
        &["behind the newest file", "--accept-clock"],
    );
}

#[test]
fn a_node_elsewhere_is_looked_at_as_far_as_the_caller_may() {
    let dir = tempfile::tempdir().unwrap();
    let (admin, _) = seeded(dir.path());
    let server = Server::start(&dir.path().join("data"));
    let look = |secret: &str, address: &str| {
        findings(&curfew_as(
            secret,
            &["doctor", "--json", "--address", address, "--timeout", "5s"],
        ))
    };
    let known = look(&admin, &server.grpc);
    assert_eq!(known.0, 0, "{known:#?}");
    check(&known, "server", "ok", &["embedded"]);
    check(&known, "clock", "ok", &["the node's"]);

    let stranger = look("", &server.grpc);
    check(&stranger, "node", "ok", &["lives and is ready"]);
    check(&stranger, "caller", "warning", &["CURFEW_SECRET"]);

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    check(&look("", &address), "reach", "fault", &[&address, "firewall"]);
    // The HTTP face is no gRPC.
    let http = server.http.trim_start_matches("http://");
    let other = look("", http);
    assert_eq!(other.0, 1, "{other:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guards_settings_are_compared_with_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (admin, _) = seeded(dir.path());
    let server = Server::start(&dir.path().join("data"));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("{}/acme/.well-known/openid-configuration", server.http);
    let metadata: Value =
        serde_json::from_str(&reqwest::get(url).await.unwrap().text().await.unwrap()).unwrap();
    let tenant = metadata["curfew_tenant_id"].as_str().unwrap().to_owned();
    let issuer = metadata["issuer"].as_str().unwrap().to_owned();
    let good = format!(
        "name = \"orders\"\nhub = \"http://{}\"\naudiences = [\"https://orders.acme.example\"]\n\
         bound_s = 15\n[[issuer]]\ntenant_id = \"{tenant}\"\nissuer = \"{issuer}\"\n\
         jwks_uri = \"{}/.well-known/jwks.json\"\n",
        server.grpc, server.http
    );
    let file = dir.path().join("guard.toml");
    let look = |secret: &str, text: &str| {
        std::fs::write(&file, text).unwrap();
        findings(&curfew_as(
            secret,
            &[
                "doctor",
                "guard",
                file.to_str().unwrap(),
                "--json",
                "--timeout",
                "5s",
            ],
        ))
    };
    let well = look(&admin, &good);
    assert_eq!(well.0, 0, "{well:#?}");
    check(&well, "stream", "ok", &["ready"]);
    check(&well, "key set", "ok", &["2 keys"]);
    check(&well, "audience", "ok", &["is a resource's"]);
    check(&well, "bound", "ok", &["promises 5"]);
    check(&well, "stale rule", "ok", &["3600 s"]);
    // The base address is nobody's here, as it may be for a guard behind a balancer.
    check(&well, "issuer", "warning", &[&issuer]);

    let wrong = |from: &str, to: &str| {
        assert!(good.contains(from));
        look(&admin, &good.replace(from, to))
    };
    check(&wrong("bound_s", "bounds_s"), "settings", "fault", &["bounds_s"]);
    check(&wrong(&tenant, "nobody"), "settings", "fault", &["nobody"]);
    check(
        &wrong("bound_s = 15", "bound_s = 0"),
        "settings",
        "fault",
        &["bound_ms"],
    );
    check(
        &wrong("bound_s = 15", "bound_s = 3"),
        "bound",
        "fault",
        &["bound_s = 5"],
    );
    check(
        &wrong("bound_s = 15", "bound_s = 15\nstale = \"allow\""),
        "stale rule",
        "warning",
        &["age_cap"],
    );
    check(
        &wrong("orders.acme.example", "other.example"),
        "audience",
        "fault",
        &["https://orders.acme.example"],
    );
    check(
        &wrong("/.well-known/jwks.json", "/gone"),
        "key set",
        "fault",
        &["status 404", "jwks_uri"],
    );
    check(
        &wrong(&issuer, &format!("{}/acme", server.http)),
        "issuer",
        "fault",
        &[&format!("issuer = \\\"{issuer}\\\"")],
    );
    check(&look("wrong", &good), "hub", "fault", &["CURFEW_SECRET"]);
    check(
        &look(&admin, "name = 3"),
        "settings",
        "fault",
        &["deploy/guard.toml"],
    );
}

#[test]
fn the_sample_of_a_guards_settings_is_read() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/guard.toml");
    let looked = findings(&curfew_as(
        "x",
        &["doctor", "guard", file, "--json", "--address", "127.0.0.1:1"],
    ));
    check(&looked, "settings", "ok", &["can be used"]);
}

//! How a node is reached, and who asks.

use crate::desk::{Desk, bare, error, file, finish};

#[test]
fn the_node_says_what_it_is_to_whoever_proves_to_be_a_caller() {
    let desk = Desk::new();
    let info = desk.json(&["server", "info"]);
    assert_eq!(info["storeEngine"], "embedded");
    assert!(
        info["limits"]["sessionsPerSubject"].as_i64().unwrap() > 0,
        "{info}"
    );
    let table = desk.text(&["server", "info"]);
    assert!(
        table.contains("staleness bound") && table.contains("5s"),
        "{table}"
    );
    // The node of a data directory is found by the directory alone, and its caller by a file.
    let data = desk.dir.path().join("data");
    let secret = file(desk.dir.path(), "secret", &format!("{}\n", desk.secret), 0o600);
    let mut command = bare(&[
        "server",
        "info",
        "--caller",
        "desk",
        "--secret-file",
        &secret,
        "--data",
    ]);
    let told = finish(command.arg(&data), "");
    assert_eq!(told.code, 0, "{}", told.stderr);
}

#[test]
fn whoever_does_not_prove_to_be_a_caller_ends_with_4_and_one_without_the_role_with_3() {
    let desk = Desk::new();
    let list = ["session", "list", "--subject", "alice", "--json"];
    let wrong = finish(&mut desk.command("desk", "cfs_wrong", &list), "");
    assert_eq!(
        (wrong.code, &error(&wrong)["reason"]),
        (4, &"CALLER_UNKNOWN".into())
    );
    let unknown = finish(&mut desk.command("nobody", &desk.secret, &list), "");
    assert_eq!(unknown.code, 4, "{}", unknown.stderr);
    assert!(!unknown.stderr.contains(&desk.secret));
    let none = finish(&mut desk.command("desk", "", &list), "");
    assert_eq!(none.code, 4);
    assert!(
        error(&none)["fix"].as_str().unwrap().contains("CURFEW_SECRET"),
        "{}",
        none.stderr
    );
    let denied = finish(&mut desk.command("watcher", &desk.watcher, &list), "");
    assert_eq!(
        (denied.code, &error(&denied)["reason"]),
        (3, &"CALLER_ROLE".into())
    );
    assert_eq!(error(&denied)["fixer"], "operator");
}

#[test]
fn no_node_is_told_with_its_address_and_what_to_do() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    let mut command = bare(&["server", "info", "--address", &address]);
    let told = finish(command.env("CURFEW_SECRET", "cfs_x"), "");
    assert_eq!(told.code, 5, "{}", told.stderr);
    assert!(
        told.stderr.contains(&address) && told.stderr.contains("curfew serve"),
        "{}",
        told.stderr
    );
    let dir = tempfile::tempdir().unwrap();
    let mut command = bare(&["server", "info", "--data", dir.path().to_str().unwrap()]);
    let told = finish(command.env("CURFEW_SECRET", "cfs_x"), "");
    assert_eq!(told.code, 5, "{}", told.stderr);
    assert!(
        told.stderr.contains(dir.path().to_str().unwrap()),
        "{}",
        told.stderr
    );
}

#[test]
fn a_secret_is_neither_sent_in_plain_text_nor_read_where_others_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = bare(&["server", "info", "--address", "http://node.invalid:7400"]);
    let told = finish(command.env("CURFEW_SECRET", "cfs_topsecret"), "");
    assert_eq!(told.code, 2, "{}", told.stderr);
    assert!(
        told.stderr.contains("plain text") && told.stderr.contains("https://"),
        "{}",
        told.stderr
    );
    let open = file(dir.path(), "secret", "cfs_topsecret", 0o644);
    let told = finish(&mut bare(&["server", "info", "--secret-file", &open]), "");
    assert_eq!(told.code, 2, "{}", told.stderr);
    assert!(
        told.stderr.contains("chmod 600") && told.stderr.contains("0644"),
        "{}",
        told.stderr
    );
    assert!(!told.stderr.contains("topsecret"));
}

#[test]
fn files_for_tls_that_are_of_no_use_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let garbage = file(dir.path(), "garbage.pem", "garbage", 0o600);
    for args in [
        &["--ca", "/nowhere/ca.pem"][..],
        &["--cert", &garbage],
        &["--address", "http://127.0.0.1:1", "--ca", &garbage],
    ] {
        let mut command = bare(&[&["server", "info"], args].concat());
        let told = finish(command.env("CURFEW_SECRET", "cfs_x"), "");
        assert_eq!(told.code, 2, "{args:?}: {}", told.stderr);
    }
}

#[test]
fn a_file_that_is_only_to_be_checked_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let seeds = file(dir.path(), "seeds.toml", crate::process::SEEDS, 0o644);
    let data = dir.path().join("data");
    let args = ["apply", &seeds, "--dry-run", "--data", data.to_str().unwrap()];
    let told = finish(&mut bare(&args), "");
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(
        told.stdout.contains("tenants/acme/resources/orders"),
        "{}",
        told.stdout
    );
    assert!(told.stdout.contains("callers/backend"), "{}", told.stdout);
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_file_is_applied_over_the_network_and_what_is_refused_is_named() {
    let desk = Desk::new();
    let seeds = file(
        desk.dir.path(),
        "more.toml",
        "[[tenant]]\nname = \"beta\"\n",
        0o644,
    );
    let applied = desk.json(&["apply", &seeds]);
    assert_eq!(
        (&applied["name"], &applied["result"]),
        (&"tenants/beta".into(), &"created".into())
    );
    let seeds = file(
        desk.dir.path(),
        "bad.toml",
        "[[tenant]]\nname = \"NOT A NAME\"\n",
        0o644,
    );
    let refused = desk.run(&["apply", &seeds, "--json"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        error(&refused)["message"]
            .as_str()
            .unwrap()
            .contains("NOT A NAME"),
        "{}",
        refused.stderr
    );
}

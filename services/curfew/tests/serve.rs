//! `curfew serve`: durable, private, found again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use process::{Backend, Server, apply, curfew, seeded};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_on_the_same_directory_finds_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_, secret) = seeded(dir.path());
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let backend = Backend::new(&server, &secret).await;
    let session = backend.sign_in("alice").await.unwrap();
    let tokens = backend.issue(&session).await.unwrap();
    let key_ring = server
        .told
        .iter()
        .find(|line| line.starts_with("key ring"))
        .unwrap()
        .clone();
    assert_eq!(server.terminate(), 0, "SIGTERM drains and ends well");

    let server = Server::start(&data);
    assert!(
        server.told.contains(&key_ring),
        "the same keys: {:?}",
        server.told
    );
    let backend = Backend::new(&server, &secret).await;
    backend.refresh(&tokens.refresh_token).await.unwrap();
}

#[test]
fn the_data_directory_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    assert_eq!(mode(&data), 0o700);
    let mut keys = 0;
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        keys += usize::from(is_key);
        if is_key {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    assert_eq!(keys, 1);
    drop(server);
}

#[test]
fn the_first_administrator_is_made_once_beside_a_running_node_and_without_one() {
    for running in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let server = running.then(|| Server::start(&data));
        if let Some(server) = &server {
            let told = server.told.iter().any(|line| line.contains("curfew bootstrap"));
            assert!(told, "how to get the first credential is told: {:?}", server.told);
        }
        let bootstrap = || curfew(&["bootstrap", "--data", data.to_str().unwrap(), "--json"]);
        let first = bootstrap();
        assert_eq!(first.code, 0, "{}", first.stderr);
        let first: serde_json::Value = serde_json::from_str(first.stdout.trim()).unwrap();
        assert_eq!(first["created"], true);
        assert!(first["secret"].as_str().unwrap().starts_with("cfs_"));
        let second: serde_json::Value = serde_json::from_str(bootstrap().stdout.trim()).unwrap();
        assert_eq!((&second["created"], second.get("secret")), (&false.into(), None));
    }
}

#[test]
fn applying_a_file_twice_creates_once_and_a_mistake_in_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (admin, _) = seeded(dir.path());
    let (file, data) = (dir.path().join("seeds.toml"), dir.path().join("data"));
    let again = apply(&admin, &file, &data);
    assert!(
        again.stdout.lines().all(|line| line.contains("\"exists\"")),
        "{}",
        again.stdout
    );
    std::fs::write(&file, "[[tenant]]\nname = \"acme\"\nnmae = 1\n").unwrap();
    let wrong = apply(&admin, &file, &data);
    assert_ne!(wrong.code, 0);
    assert!(
        wrong.stderr.contains("nmae") && wrong.stderr.contains("line 3"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn plain_text_beyond_loopback_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = curfew(&[
        "serve",
        "--data",
        dir.path().to_str().unwrap(),
        "--grpc",
        "0.0.0.0:0",
    ]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("loopback"), "{}", refused.stderr);
}

/// Runs `curfew serve` to its end, as a user who is not root even where these tests run as root.
fn serve_as_a_user(binary: &Path, data: &Path) -> (Option<i32>, String) {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = Command::new(binary);
    command
        .args([
            "serve",
            "--grpc",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(data);
    if is_root {
        command.uid(NOBODY);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), told)
}

const NOBODY: u32 = 65_534;

#[test]
fn a_directory_that_cannot_be_written_is_named_with_what_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    // Where anybody may look, so that the user may start it.
    let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    set(dir.path(), 0o755);
    let binary = dir.path().join("curfew");
    // By a process of its own: a file that this one holds open for writing while another test starts a program
    // cannot be run ("text file busy").
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_curfew"))
        .arg(&binary)
        .status();
    assert!(copied.unwrap().success());
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    set(&data, 0o555);
    let open = dir.path().join("open");
    std::fs::create_dir(&open).unwrap();
    set(&open, 0o777);
    let file = open.join("curfew.redb");
    std::fs::write(&file, "").unwrap();
    set(&file, 0o000);
    for (data, named) in [
        (data.clone(), data.join("lock")),
        (data.join("deeper"), data.join("deeper")),
        (open, file),
    ] {
        let (code, told) = serve_as_a_user(&binary, &data);
        assert_eq!(code, Some(1), "{told}");
        let named = named.display().to_string();
        for word in [named.as_str(), "chown", "Permission denied"] {
            assert!(told.contains(word), "{word} in {told}");
        }
    }
    assert!(!data.join("root.key").exists(), "no key is made on the way");
}

#[test]
fn a_directory_in_use_or_of_something_else_is_named_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let serve = || {
        let data = data.to_str().unwrap();
        let refused = curfew(&[
            "serve",
            "--data",
            data,
            "--grpc",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ]);
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        refused.stderr
    };
    let server = Server::start(&data);
    let told = serve();
    assert!(
        told.contains(data.to_str().unwrap()) && told.contains("in use by another process"),
        "{told}"
    );
    assert_eq!(server.terminate(), 0);

    let file = data.join("curfew.redb");
    let other = b"of something else altogether, and as long as a store must be at least";
    std::fs::write(&file, other).unwrap();
    let told = serve();
    assert!(
        told.contains(file.to_str().unwrap()) && told.contains("backup"),
        "{told}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), other);
}

//! `cargo xtask deps` on the real thing: up, up again, status, down.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The command in a directory of its own, so that what a developer has running is left alone.
struct Deps<'a> {
    directory: &'a Path,
}

impl Deps<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_curfew-xtask"))
            .args(["deps", "--directory"])
            .arg(self.directory)
            .args(arguments)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.said(&[arguments, &["--json"]].concat())).unwrap()
    }
}

/// A failed test leaves nothing running.
impl Drop for Deps<'_> {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

fn ping(address: &str) -> String {
    let mut redis = TcpStream::connect(address).unwrap();
    redis.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    redis.read_exact(&mut answer).unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[test]
fn what_is_up_stays_up_is_told_and_is_gone_after_down() {
    let directory = tempfile::tempdir().unwrap();
    let deps = Deps {
        directory: directory.path(),
    };
    assert!(deps.said(&["status"]).starts_with("nothing runs"));

    let up = deps.json(&["up"]);
    let url = up["redis"][0].as_str().unwrap();
    let kafka = up["kafka"].as_str().unwrap();
    // The command that started them has ended, and they answer.
    let redis = url.strip_prefix("redis://").unwrap();
    assert_eq!(ping(redis), "+PONG\r\n");
    TcpStream::connect(kafka).unwrap();

    let again = deps.run(&["up"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("runs already"));
    let lines = String::from_utf8(again.stdout).unwrap();
    assert_eq!(lines, format!("{url}\nkafka {kafka}\n"));
    let status = deps.json(&["status"]);
    assert_eq!(status["running"], true);
    assert_eq!(status["servers"], up["servers"], "the same processes");
    let other = deps.run(&["up", "--sentinel"]);
    assert!(!other.status.success(), "something else runs");

    assert_eq!(deps.json(&["down"])["ended"], 2);
    for address in [redis, kafka] {
        assert!(TcpStream::connect(address).is_err(), "{address} is gone");
    }
    for name in ["redis", "kafka", "state.json"] {
        assert!(!directory.path().join(name).exists(), "{name} is removed");
    }
    assert_eq!(deps.json(&["status"])["running"], false);
    assert_eq!(deps.json(&["down"])["ended"], 0);
}

#[test]
fn a_server_that_died_is_told_and_down_removes_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let deps = Deps {
        directory: directory.path(),
    };
    let up = deps.json(&["up", "--sentinel"]);
    assert_eq!(up["sentinels"].as_array().unwrap().len(), 3);
    assert_eq!(up["master"], "curfew");
    let mut redis =
        TcpStream::connect(up["redis"][0].as_str().unwrap().strip_prefix("redis://").unwrap()).unwrap();
    redis.write_all(b"SHUTDOWN NOSAVE\r\n").unwrap();
    let mut rest = Vec::new();
    redis.read_to_end(&mut rest).unwrap();
    // It has closed our connection; its process may need another moment.
    let gone = (0..100)
        .map(|_| deps.run(&["status"]))
        .find(|status| !status.status.success());
    let status = gone.unwrap();
    let err = String::from_utf8_lossy(&status.stderr);
    assert!(err.contains("gone: redis-server on port"), "{err}");
    let again = deps.run(&["up", "--sentinel"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("`cargo xtask deps down` removes the rest"));
    assert_eq!(deps.json(&["down"])["ended"], 6);
}

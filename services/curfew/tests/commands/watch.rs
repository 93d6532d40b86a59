//! `curfew watch`: the snapshot, the tail, the end.

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::desk::{Desk, error};
use crate::process::Server;

/// A running `curfew watch --json`, killed when dropped.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads until a line of this type.
    fn until(&mut self, kind: &str) -> Value {
        loop {
            let Some(line) = self.lines.next() else {
                let mut said = String::new();
                self.child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut said)
                    .unwrap();
                panic!("it ended before `{kind}`: {said}");
            };
            let line = line.unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["type"] == kind {
                return line;
            }
        }
    }

    fn interrupt(mut self) -> i32 {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_in_force_comes_first_then_what_happens_until_it_is_interrupted() {
    let desk = Desk::new();
    let before = desk.json(&["revoke", "subject", "alice", "--cause", "before"]);
    let mut command = desk.command("watcher", &desk.watcher, &["watch", "--json"]);
    let mut watching = Watching::start(&mut command);
    let told = watching.until("revocation");
    assert_eq!(told["revocation"], before["acknowledgement"]["revocation"]);
    assert_eq!(
        (&told["inForceAlready"], &told["cause"]),
        (&true.into(), &"before".into())
    );
    watching.until("live");
    let session = desk.session("bob");
    let ended = desk.json(&["session", "end", &session, "--cause", "now"]);
    let told = watching.until("revocation");
    assert_eq!(told["revocation"], ended["acknowledgement"]["revocation"]);
    assert_eq!(told["issuer"], "tenants/acme");
    assert_eq!(told["initiator"], "INITIATOR_ADMIN");
    assert_eq!(told["position"], ended["acknowledgement"]["positions"][0]);
    assert_eq!(watching.interrupt(), 0);
}

#[test]
fn people_read_a_line_for_each_and_heartbeats_on_request() {
    let desk = Desk::new();
    desk.text(&["revoke", "client", "web", "--cause", "leaked"]);
    let text = desk.text(&["watch", "--count", "1"]);
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("DECIDED"), "{text}");
    let line = lines.next().unwrap();
    for part in [
        "client",
        "leaked",
        "admin",
        "client_id=web",
        "tenants/acme/revocations/",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(lines.next(), None);
    let mut command = desk.command(
        "desk",
        &desk.secret,
        &["watch", "--json", "--heartbeats", "--new"],
    );
    let beat = Watching::start(&mut command).until("heartbeat");
    assert!(
        beat["stampTime"].is_string() && beat["position"]["offset"].is_string(),
        "{beat}"
    );
}

#[test]
fn a_node_that_drains_and_comes_back_is_followed_on() {
    let desk = Desk::new();
    let data = desk.dir.path().join("data");
    // It is found by its directory, since its port is another one after the restart.
    let mut command = desk.command("desk", &desk.secret, &["watch", "--json", "--new", "--data"]);
    let mut watching = Watching::start(command.arg(&data).env_remove("CURFEW_ADDRESS"));
    watching.until("live");
    let Desk {
        dir,
        server,
        secret,
        watcher,
    } = desk;
    server.terminate();
    watching.until("resume");
    let server = Server::start(&data);
    let desk = Desk {
        dir,
        server,
        secret,
        watcher,
    };
    let told = desk.json(&["revoke", "subject", "carol"]);
    let seen = watching.until("revocation");
    assert_eq!(seen["revocation"], told["acknowledgement"]["revocation"]);
}

#[test]
fn whoever_may_not_follow_a_tenant_is_told_so() {
    let desk = Desk::new();
    let mut command = desk.command(
        "watcher",
        &desk.watcher,
        &["watch", "--tenant", "curfew", "--json"],
    );
    let denied = crate::desk::finish(&mut command, "");
    assert_eq!(denied.code, 3, "{}", denied.stderr);
    assert_eq!(error(&denied)["reason"], "CALLER_TENANT");
    let mut gone = desk.command("desk", &desk.secret, &["watch"]);
    let gone = crate::desk::finish(gone.env("CURFEW_ADDRESS", "127.0.0.1:1"), "");
    assert_eq!(gone.code, 5, "{}", gone.stderr);
    let unknown = desk.run(&["watch", "--tenant", "nope", "--json"]);
    assert_eq!(
        (unknown.code, &error(&unknown)["reason"]),
        (3, &"TENANT_UNKNOWN".into())
    );
}

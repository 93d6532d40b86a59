//! What the store does not open on, and what it says then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and has no clock but the machine's"
)]

mod common;

use std::time::SystemTime;

use common::{ADMIN, PASSWORD, Server};
use curfew_core::time::Millis;
use curfew_redis::{ACL_COMMANDS, Credentials, Judgement, OpenError, Options, Redis, Secret, acl_rule};
use curfew_testkit::ManualClock;

/// Does not open, and says all of `words`.
async fn is_refused(options: &Options, words: &[&str]) {
    let error = Redis::open(options).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Refused { .. }), "{text}");
    assert!(!error.is_retryable());
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
    assert!(!text.contains(PASSWORD) && !text.contains(ADMIN), "{text}");
}

async fn opens(options: &Options) {
    if let Err(error) = Redis::open(options).await {
        panic!("{error}");
    }
}

/// The machine's clock, set wrong by so much; a look at one server takes some milliseconds.
fn clock(off_ms: i64) -> ManualClock {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    ManualClock::at(Millis::from_unix_ms(
        i64::try_from(since.as_millis()).unwrap() + off_ms,
    ))
}

/// The minimal user, without one permission.
fn user_without(permission: &str) -> String {
    assert!(ACL_COMMANDS.contains(permission));
    let commands = ACL_COMMANDS.replace(permission, "");
    format!("user narrow on >{PASSWORD} ~curfew{{* resetchannels {commands}")
}

fn narrow(server: &Server) -> Options {
    let user = Some("narrow".to_owned());
    let password = Secret::new(PASSWORD);
    Options {
        credentials: Some(Credentials { user, password }),
        ..server.options()
    }
}

#[tokio::test]
async fn a_server_that_may_evict_is_refused_with_the_line_that_mends_it() {
    let server = Server::start(&["maxmemory-policy allkeys-lru"]);
    let mend = "CONFIG SET maxmemory-policy noeviction";
    is_refused(
        &server.options(),
        &["maxmemory-policy is allkeys-lru", mend, "127.0.0.1:"],
    )
    .await;
    let mut line = mend.split(' ');
    let line: [&str; 4] = std::array::from_fn(|_| line.next().unwrap());
    assert_eq!(server.cli(&line).trim(), "OK");
    opens(&server.options()).await;
}

#[tokio::test]
async fn a_server_with_replicas_must_ask_for_one_and_not_wait_long() {
    let server = Server::start(&[]);
    opens(&server.options()).await;
    let replica = Server::start(&[
        &format!("replicaof 127.0.0.1 {}", server.port()),
        &format!("masterauth {ADMIN}"),
    ]);
    replica.until(&["INFO", "replication"], "master_link_status:up");
    server.until(&["INFO", "replication"], "state=online");
    is_refused(
        &server.options(),
        &["min-replicas-to-write is 0", "CONFIG SET min-replicas-to-write 1"],
    )
    .await;
    server.cli(&[
        "CONFIG",
        "SET",
        "min-replicas-to-write",
        "1",
        "min-replicas-max-lag",
        "60",
    ]);
    is_refused(
        &server.options(),
        &["min-replicas-max-lag is 60", "CONFIG SET min-replicas-max-lag 10"],
    )
    .await;
    server.cli(&["CONFIG", "SET", "min-replicas-max-lag", "10"]);
    opens(&server.options()).await;

    let error = Redis::open(&replica.options()).await.unwrap_err();
    assert!(
        error.to_string().contains("replica, which decides nothing"),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_read_must_be_accepted_by_name() {
    let server = Server::start(&[&user_without("+config|get"), "min-replicas-to-write 1"]);
    let replica = Server::start(&[
        &format!("replicaof 127.0.0.1 {}", server.port()),
        &format!("masterauth {ADMIN}"),
    ]);
    replica.until(&["INFO", "replication"], "master_link_status:up");
    server.until(&["INFO", "replication"], "state=online");
    let mut options = narrow(&server);
    is_refused(
        &options,
        &[
            "min-replicas-to-write is not readable",
            "accept_unread = \"min-replicas-to-write\"",
            "+config|get",
        ],
    )
    .await;
    options.accept_unread = vec!["min-replicas-to-write".to_owned()];
    is_refused(&options, &["accept_unread = \"min-replicas-max-lag\""]).await;
    options.accept_unread.push("min-replicas-max-lag".to_owned());
    opens(&options).await;
}

#[tokio::test]
async fn a_permission_that_the_script_lacks_is_found_before_anything_starts() {
    for permission in ["+zadd", "+set", "+del", "+zrem"] {
        let server = Server::start(&[&user_without(permission)]);
        let rule = acl_rule("narrow", "curfew");
        is_refused(&narrow(&server), &["the commit script is refused", &rule]).await;
    }
}

#[tokio::test]
async fn without_info_nothing_starts_and_the_reason_is_told() {
    let server = Server::start(&[&user_without("+info")]);
    is_refused(
        &narrow(&server),
        &["the connection is refused", "'info' command", "+info"],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_without_being_shown() {
    let server = Server::start(&[]);
    let mut options = server.options();
    options.credentials = Some(Credentials {
        user: Some("curfew".to_owned()),
        password: Secret::new("hunter2"),
    });
    let error = Redis::open(&options).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("ACL SETUSER curfew on >PASSWORD"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_cluster_node_alone_is_told_as_one() {
    let server = Server::start(&["cluster-enabled yes"]);
    is_refused(
        &server.options(),
        &["the mode is cluster", "configure it as a cluster"],
    )
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_may_come() {
    let mut server = Server::start(&[]);
    let options = server.options();
    server.kill();
    let error = Redis::open(&options).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let found = Redis::examine(&options, &clock(0)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].judgement, Judgement::Absent);
    server.restart();
    opens(&options).await;
    let found = Redis::examine(&options, &clock(0)).await.unwrap();
    assert!(
        found.len() >= 5 && found.iter().all(|finding| finding.judgement == Judgement::Fine),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_primary_without_its_replicas_is_no_reason_to_refuse() {
    let server = Server::start(&["min-replicas-to-write 1"]);
    opens(&server.options()).await;
    let found = Redis::examine(&server.options(), &clock(0)).await.unwrap();
    let script = found
        .iter()
        .find(|finding| finding.setting == "the commit script")
        .unwrap();
    assert_eq!(script.judgement, Judgement::NotNow);
    assert!(script.found.contains("NOREPLICAS"), "{script}");
}

#[tokio::test]
async fn a_clock_beside_the_servers_is_named() {
    let server = Server::start(&[]);
    for (off_ms, word) in [(-60_000, "ahead of"), (60_000, "behind")] {
        let found = Redis::examine(&server.options(), &clock(off_ms)).await.unwrap();
        let wrong: Vec<_> = found.iter().filter(|finding| finding.is_wrong()).collect();
        assert_eq!(wrong.len(), 1, "{found:?}");
        assert_eq!(wrong[0].setting, "the clock");
        assert!(
            wrong[0].to_string().contains(word) && wrong[0].to_string().contains("NTP"),
            "{}",
            wrong[0]
        );
    }
}

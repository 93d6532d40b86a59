//! Connections that die, hang, are too many, or need TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::proxy::Proxy;
use common::{Server, commit_of, read_until};
use curfew_core::place::Partition;
use curfew_core::stored::Key;
use curfew_ports::store::{CommitOutcome, Store, StoreError};
use curfew_redis::{Address, Options, Redis, Servers, Tls};
use curfew_servers::RedisTls;

const HERE: Partition = Partition::DIRECTORY;

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(
        result,
        Err(StoreError::Unavailable { .. } | StoreError::Refused { .. })
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stood_still_is_used_again_without_a_restart_of_ours() {
    let server = Server::start(&[]);
    let options = Options {
        response_timeout_ms: 200,
        call_timeout_ms: 500,
        probe_ms: 200,
        ..server.options()
    };
    let store = Redis::open(&options).await.unwrap();
    let view = store.read(HERE, &[Key::Sequence]).await.unwrap();
    server.stop_the_clock();
    for _ in 0..5 {
        let read = store.read(HERE, &[Key::Sequence]).await;
        assert!(is_unavailable(&read), "{read:?}");
        let commit = store.commit(commit_of(&view, 1)).await;
        assert!(is_unavailable(&commit), "{commit:?}");
    }
    server.go_on();
    let view = read_until(&store, HERE).await;
    let outcome = store.commit(commit_of(&view, 2)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_hang_for_ever_are_replaced_with_calls_and_without() {
    let server = Server::start(&[]);
    let proxy = Proxy::to(server.port()).await;
    let options = Options {
        servers: Servers::Single(Address::new("127.0.0.1", proxy.port)),
        response_timeout_ms: 200,
        call_timeout_ms: 500,
        probe_ms: 200,
        ..server.options()
    };
    let store = Redis::open(&options).await.unwrap();
    let view = store.read(HERE, &[]).await.unwrap();
    store.commit(commit_of(&view, 1)).await.unwrap();
    proxy.wedge();
    let view = read_until(&store, HERE).await;
    let outcome = store.commit(commit_of(&view, 2)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");

    // With nobody calling, the watch notices: all connections are made anew.
    let before = proxy.accepted.load(Ordering::SeqCst);
    proxy.wedge();
    let redialled = async {
        while proxy.accepted.load(Ordering::SeqCst) < before + options.connections {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // Looks are 200 ms apart here.
    let redialled = tokio::time::timeout(Duration::from_secs(20), redialled).await;
    assert!(redialled.is_ok(), "nobody dials again");
    let view = read_until(&store, HERE).await;
    assert!(view.values[0].is_some());
}

#[tokio::test]
async fn a_client_that_was_thrown_out_comes_back() {
    let server = Server::start(&[]);
    let store = Redis::open(&server.options()).await.unwrap();
    for n in 0..10 {
        server.cli(&["CLIENT", "KILL", "USER", "curfew"]);
        let view = store.read(HERE, &[Key::Sequence]).await.unwrap();
        let outcome = store.commit(commit_of(&view, n)).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_script_that_the_server_lost_is_given_again() {
    let server = Server::start(&[]);
    let store = Redis::open(&server.options()).await.unwrap();
    for n in 0..4 {
        server.cli(&["SCRIPT", "FLUSH"]);
        let view = store.read(HERE, &[]).await.unwrap();
        let outcome = store.commit(commit_of(&view, n)).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn more_calls_than_permitted_are_refused_at_once() {
    let server = Server::start(&[]);
    let options = Options {
        calls_max: 2,
        ..server.options()
    };
    let store = Redis::open(&options).await.unwrap();
    server.stop_the_clock();
    let keys = [Key::Sequence];
    let (first, second) = (store.read(HERE, &keys), store.read(HERE, &keys));
    let third = async {
        // The two others were polled before: they have their places.
        let refused = store.read(HERE, &keys).await;
        server.go_on();
        refused
    };
    let (first, second, third) = tokio::join!(first, second, third);
    let Err(StoreError::Refused { source, .. }) = third else {
        panic!("{third:?}");
    };
    assert_eq!(source.to_string(), "as many calls as permitted are under way");
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn q2_a_primary_without_its_replicas_commits_nothing_not_even_an_answer() {
    let server = Server::start(&[]);
    let store = Redis::open(&server.options()).await.unwrap();
    let view = store.read(HERE, &[]).await.unwrap();
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let mut empty = commit_of(&view, 1);
    empty.writes.clear();
    for commit in [commit_of(&view, 1), empty.clone()] {
        assert!(is_unavailable(&store.commit(commit).await));
    }
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    let outcome = store.commit(empty).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_server_without_memory_is_full() {
    let server = Server::start(&[]);
    let store = Redis::open(&server.options()).await.unwrap();
    let view = store.read(HERE, &[]).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let outcome = store.commit(commit_of(&view, 1)).await;
    assert!(matches!(outcome, Err(StoreError::Full { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_value_that_is_no_record_is_corrupt_and_not_absent() {
    let server = Server::start(&[]);
    let store = Redis::open(&server.options()).await.unwrap();
    for value in ["", "short", "sixteen bytes ..but no record"] {
        server.cli(&["SET", "curfew{000}q", value]);
        let read = store.read(HERE, &[Key::Sequence]).await;
        assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    }
}

#[tokio::test]
async fn what_was_collected_by_time_leaves_the_listing_and_its_index() {
    let server = Server::start(&[]);
    let store = Redis::open(&server.options()).await.unwrap();
    // As an index is while a record's time has just come.
    server.cli(&["ZADD", "curfew{000}id", "0", "da-caller", "0", "da-nother"]);
    let page = store
        .list(HERE, curfew_core::stored::Listed::Directory, None, 10)
        .await
        .unwrap();
    assert!(page.records.is_empty() && page.next.is_none());
    assert_eq!(server.cli(&["EXISTS", "curfew{000}id"]).trim(), "0");
}

#[tokio::test]
async fn prefixes_and_databases_are_stores_of_their_own() {
    let server = Server::start(&[&format!(
        "user wide on >{} ~*{{* resetchannels {}",
        common::PASSWORD,
        curfew_redis::ACL_COMMANDS
    )]);
    let mut options = server.options();
    options.credentials.as_mut().unwrap().user = Some("wide".to_owned());
    let other_prefix = Options {
        prefix: "other".to_owned(),
        ..options.clone()
    };
    let other_database = Options {
        database: 3,
        ..options.clone()
    };
    let mut stores = Vec::new();
    for (n, options) in [options, other_prefix, other_database].into_iter().enumerate() {
        let store = Redis::open(&options).await.unwrap();
        let view = store.read(HERE, &[Key::Sequence]).await.unwrap();
        assert!(view.values[0].is_none(), "store {n} sees another one's record");
        store.commit(commit_of(&view, n as u64)).await.unwrap();
        stores.push(store);
    }
    for (n, store) in stores.iter().enumerate() {
        let view = store.read(HERE, &[Key::Sequence]).await.unwrap();
        let record = &view.values[0].as_ref().unwrap().record;
        assert_eq!(*record, curfew_core::stored::Record::Sequence(n as u64));
    }
}

#[tokio::test]
async fn tls_proves_both_sides() {
    let pki = Pki::new();
    let tls = RedisTls {
        ca: pki.dir.path().join("ca.pem"),
        certificate: pki.dir.path().join("server.pem"),
        key: pki.dir.path().join("server.key"),
        clients_must_show_one: true,
    };
    let server = Server::start_with(&[], Some(tls));
    let port = server.port();
    let url = format!("rediss://curfew:{}@127.0.0.1:{port}", common::PASSWORD);
    let file = |name: &str| Some(pki.dir.path().join(name));
    let with = |ca: &str, certificate: Option<&str>| {
        let tls = Tls {
            ca: file(ca),
            certificate: certificate.and_then(|name| file(&format!("{name}.pem"))),
            key: certificate.and_then(|name| file(&format!("{name}.key"))),
            server_name: None,
        };
        Options {
            tls: Some(tls),
            ..Options::from_url(&url).unwrap()
        }
    };
    let store = Redis::open(&with("ca.pem", Some("client"))).await.unwrap();
    let view = store.read(HERE, &[Key::Sequence]).await.unwrap();
    let outcome = store.commit(commit_of(&view, 1)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");

    for (what, options) in [
        ("another authority", with("other.pem", Some("client"))),
        ("no certificate of ours", with("ca.pem", None)),
    ] {
        let error = Redis::open(&options).await.unwrap_err();
        assert!(
            matches!(error, curfew_redis::OpenError::Unreachable { .. }),
            "{what}: {error}"
        );
    }
    let mut misnamed = with("ca.pem", Some("client"));
    misnamed.tls.as_mut().unwrap().server_name = Some("another.example".to_owned());
    let error = Redis::open(&misnamed).await.unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
    let missing = Redis::open(&with("absent.pem", None)).await.unwrap_err();
    assert!(missing.to_string().contains("absent.pem"), "{missing}");
    drop(server);
}

/// An authority, another one, and certificates of the first for the server and for us.
struct Pki {
    dir: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| fs::write(dir.path().join(name), text).unwrap();
        for (ca, names) in [("ca", ["server", "client"].as_slice()), ("other", &[])] {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, ca);
            write(&format!("{ca}.pem"), params.self_signed(&key).unwrap().pem());
            let issuer = rcgen::Issuer::new(params, key);
            for name in names {
                let key = rcgen::KeyPair::generate().unwrap();
                let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
                write(
                    &format!("{name}.pem"),
                    params.signed_by(&key, &issuer).unwrap().pem(),
                );
                write(&format!("{name}.key"), key.serialize_pem());
            }
        }
        Self { dir }
    }
}

#[tokio::test]
async fn a_refresh_is_one_read_and_one_commit() {
    let server = Server::start(&[]);
    let store = Redis::open(&server.options()).await.unwrap();
    let keys = [Key::Partition, Key::Sequence, Key::Checkpoint];
    // A first one, so that the probes' own counts do not matter: they call INFO alone.
    let calls = |server: &Server| {
        let stats = server.cli(&["INFO", "commandstats"]);
        let count = |name: &str| {
            let line = stats
                .lines()
                .find(|line| line.starts_with(&format!("cmdstat_{name}:calls=")));
            let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
            calls.map_or(0, |calls| calls.parse::<u64>().unwrap())
        };
        ["mget", "evalsha", "set", "get"].map(count)
    };
    let before = calls(&server);
    let view = store.read(HERE, &keys).await.unwrap();
    let mut commit = commit_of(&view, 1);
    commit.expected = keys.iter().map(|key| (key.clone(), None)).collect();
    let outcome = store.commit(commit).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    let after = calls(&server);
    let difference: Vec<_> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    // The second MGET is the script's own.
    assert_eq!(difference, [2, 1, 1, 0], "MGET, EVALSHA, SET, GET");
}

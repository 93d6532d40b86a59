//! A real Redis, started, killed and started again.

use curfew_servers::{Error, Redis, RedisOptions, RedisTls};

#[test]
fn a_redis_answers_and_does_not_evict() {
    let redis = Redis::start().unwrap();
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}", redis.port()));
    assert_eq!(redis.command(&["SET", "a", "1"]).unwrap(), "OK");
    assert_eq!(redis.command(&["GET", "a"]).unwrap(), "1");
    let policy = redis.command(&["CONFIG", "GET", "maxmemory-policy"]).unwrap();
    assert_eq!(policy, "maxmemory-policy\nnoeviction");
    let fsync = redis.command(&["CONFIG", "GET", "append*"]).unwrap();
    assert!(fsync.contains("appendonly\nyes"), "{fsync}");
    assert!(fsync.contains("appendfsync\neverysec"), "{fsync}");
}

#[test]
fn a_killed_redis_comes_back_on_its_port_with_what_it_had() {
    let mut redis = Redis::start().unwrap();
    let (port, pid) = (redis.port(), redis.pid());
    // A killed process loses nothing that it wrote to its file, synced or not: only a machine does.
    redis.command(&["MSET", "a", "1", "b", "2"]).unwrap();
    redis.kill();
    assert!(redis.command(&["PING"]).is_err(), "it is gone");
    redis.restart().unwrap();
    assert_eq!(redis.port(), port);
    assert_ne!(redis.pid(), pid);
    assert_eq!(redis.command(&["MGET", "a", "b"]).unwrap(), "1\n2");
}

#[test]
fn two_at_once_have_their_own_ports_and_keys() {
    let (one, two) = (Redis::start().unwrap(), Redis::start().unwrap());
    assert_ne!(one.port(), two.port());
    one.command(&["SET", "a", "1"]).unwrap();
    assert_eq!(two.command(&["DBSIZE"]).unwrap(), "0");
}

#[test]
fn a_stopped_clock_keeps_the_process_and_goes_on() {
    let redis = Redis::start().unwrap();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", redis.pid())).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    };
    redis.stop_the_clock();
    // The kernel stops it when it next looks.
    while state() != 'T' {
        std::thread::yield_now();
    }
    redis.go_on();
    assert_eq!(redis.command(&["PING"]).unwrap(), "PONG");
}

#[test]
fn an_error_of_the_server_is_an_error_and_names_the_command_alone() {
    let redis = Redis::start().unwrap();
    let error = redis
        .command(&["ACL", "SETUSER", "a", ">secret", "nonsense"])
        .unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("`ACL` failed: ERR "), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn a_line_that_redis_does_not_know_is_told_with_the_end_of_its_log() {
    let options = RedisOptions {
        lines: vec!["no-such-setting 1".to_owned()],
        ..RedisOptions::default()
    };
    let error = Redis::start_with(&options).unwrap_err();
    assert!(matches!(error, Error::Ended { .. }), "{error}");
    assert!(error.to_string().contains("no-such-setting"), "{error}");
}

#[test]
fn a_password_is_asked_for_and_given() {
    let mut options = RedisOptions {
        lines: vec!["requirepass secret".to_owned()],
        ..RedisOptions::default()
    };
    let closed = Redis::start_with(&options).unwrap();
    assert!(closed.command(&["GET", "a"]).is_err());
    options.user = Some(("default".to_owned(), "secret".to_owned()));
    let open = Redis::start_with(&options).unwrap();
    assert_eq!(open.command(&["GET", "a"]).unwrap(), "");
    assert!(!format!("{options:?} {open:?}").contains("secret"));
}

#[test]
fn a_replica_follows_its_master() {
    let mut master = Redis::start().unwrap();
    master.command(&["SET", "a", "1"]).unwrap();
    let replica = Redis::start_with(&RedisOptions {
        lines: vec![format!("replicaof 127.0.0.1 {}", master.port())],
        ..RedisOptions::default()
    })
    .unwrap();
    master.command(&["SET", "b", "2"]).unwrap();
    master.wait_for_replicas(1).unwrap();
    assert_eq!(replica.command(&["MGET", "a", "b"]).unwrap(), "1\n2");
    let role = replica.command(&["ROLE"]).unwrap();
    assert!(role.starts_with("slave\n127.0.0.1\n"), "{role}");
}

#[test]
fn nothing_is_left_of_a_dropped_redis() {
    let redis = Redis::start().unwrap();
    let (pid, url) = (redis.pid(), redis.url());
    let directory = redis.command(&["CONFIG", "GET", "dir"]).unwrap();
    let directory = directory.lines().nth(1).unwrap().to_owned();
    assert!(std::path::Path::new(&directory).is_dir(), "{directory}");
    drop(redis);
    assert!(!std::path::Path::new(&directory).exists(), "{directory}");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{url}");
}

#[test]
fn a_redis_with_tls_shows_its_certificate_and_wants_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    std::fs::write(path("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let redis = Redis::start_with(&RedisOptions {
        tls: Some(RedisTls {
            ca: path("cert.pem"),
            certificate: path("cert.pem"),
            key: path("key.pem"),
            clients_must_show_one: true,
        }),
        ..RedisOptions::default()
    })
    .unwrap();
    assert_eq!(redis.url(), format!("rediss://127.0.0.1:{}", redis.port()));
    assert_eq!(redis.command(&["PING"]).unwrap(), "PONG");
    let bare = std::process::Command::new("redis-cli")
        .args(["-e", "-p", &redis.port().to_string(), "--tls", "--cacert"])
        .args([path("cert.pem").as_os_str(), "PING".as_ref()])
        .output()
        .unwrap();
    assert!(!bare.status.success(), "without a certificate: {bare:?}");
}

#[test]
fn a_redis_whose_disk_is_full_refuses_writes_until_there_is_room() {
    let redis = Redis::start_with(&RedisOptions {
        lines: vec!["appendfsync everysec".to_owned()],
        ..RedisOptions::default()
    })
    .unwrap();
    redis.command(&["SET", "a", "1"]).unwrap();
    redis.fill_disk().unwrap();
    let until = |word: &str| {
        for _ in 0..2_000 {
            let said = redis.command(&["SET", "a", "2"]);
            if said.unwrap_or_else(|error| error.to_string()).contains(word) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("never {word}");
    };
    until("MISCONF");
    redis.free_disk().unwrap();
    until("OK");
}

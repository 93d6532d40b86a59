//! Servers that nodes share, each broken in its own way.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use curfew_servers::{Kafka, KafkaOptions, KafkaSasl, Redis, RedisCluster, RedisOptions};

use super::process::curfew_in;
use super::{Findings, check, findings};

/// 32 bytes of no value.
const ROOT_KEY: (&str, &str) = (
    "CURFEW_KEYS_ROOT_KEY",
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
);
const PASSWORD: &str = "correct-horse";

/// Looks at these servers; what else is set.
fn look(environment: &[(&str, &str)], redis: &str, kafka: &str, more: &[&str]) -> Findings {
    let mut args = vec!["doctor", "--json", "--redis", redis, "--kafka", kafka];
    let free = ["grpc.listen=127.0.0.1:0", "http.listen=127.0.0.1:0"];
    for set in free.iter().chain(more) {
        args.extend(["--set", set]);
    }
    let output = curfew_in(environment, &args);
    assert!(!output.stdout.contains(PASSWORD), "{}", output.stdout);
    findings(&output)
}

/// A file that only its owner reads.
fn secret_file(dir: &Path, secret: &str) -> PathBuf {
    let file = dir.join("password");
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&file);
    made.unwrap().write_all(secret.as_bytes()).unwrap();
    file
}

#[test]
fn broken_redis_servers_are_named_with_what_mends_them() {
    let kafka = Kafka::start().unwrap();
    let kafka = kafka.bootstrap();
    let redis = Redis::start().unwrap();
    let (url, port) = (redis.url(), redis.port());
    let see = |more: &[&str]| look(&[ROOT_KEY], &url, &kafka, more);

    let well = see(&[]);
    assert_eq!(well.0, 0, "{well:#?}");
    check(&well, "redis", "ok", &["the commit script is permitted"]);
    check(&well, "redis", "ok", &["the clock is that of this machine"]);
    check(&well, "kafka", "ok", &["the first start makes it"]);
    check(&well, "node", "ok", &["--address"]);
    assert_eq!(
        redis.command(&["DBSIZE"]).unwrap().trim(),
        "0",
        "nothing is left by looking"
    );

    // 1: it may throw away what it was given.
    redis
        .command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])
        .unwrap();
    check(
        &see(&[]),
        "redis",
        "fault",
        &[
            "maxmemory-policy is allkeys-lru",
            "CONFIG SET maxmemory-policy noeviction",
        ],
    );
    redis
        .command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .unwrap();

    // 2: a user that lacks a permission. The line that is printed is the one that mends it.
    redis
        .command(&[
            "ACL",
            "SETUSER",
            "curfew",
            "on",
            &format!(">{PASSWORD}"),
            "~curfew{*",
            "-@all",
            "+mget",
            "+time",
        ])
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = secret_file(dir.path(), PASSWORD);
    let as_user = [
        "redis.user=curfew".to_owned(),
        format!("redis.password_file={}", file.display()),
    ];
    let as_user: Vec<_> = as_user.iter().map(String::as_str).collect();
    let narrow = see(&as_user);
    check(&narrow, "redis", "fault", &["refused", "ACL SETUSER curfew on"]);
    let mend = narrow.1.iter().find_map(|finding| {
        let fix = finding["fix"].as_str()?;
        let rule = fix.get(fix.find("ACL SETUSER")?..)?;
        Some(
            rule.split(';')
                .next()?
                .replace(">PASSWORD", &format!(">{PASSWORD}")),
        )
    });
    let mend = mend.unwrap();
    redis
        .command(&mend.split_whitespace().collect::<Vec<_>>())
        .unwrap();
    let mended = see(&as_user);
    assert_eq!(mended.0, 0, "{mended:#?}");

    // 3: another password.
    secret_file(dir.path(), "wrong-horse");
    check(&see(&as_user), "redis", "fault", &["refused", "password"]);

    // 4: one of a cluster, named as if it were alone.
    let cluster = RedisCluster::start().unwrap();
    let url_of_one = cluster.urls()[0].clone();
    check(
        &look(&[ROOT_KEY], &url_of_one, &kafka, &[]),
        "redis",
        "fault",
        &["the mode is cluster", "as a cluster"],
    );
    drop(cluster);

    // 5: nobody is there.
    drop(redis);
    check(
        &see(&[]),
        "redis",
        "fault",
        &["not there", &port.to_string(), "start it"],
    );

    // 6: a primary that would go on without its replicas, and so acknowledge what a failover loses.
    let mut primary = Redis::start().unwrap();
    let replica = replica_of(&primary);
    primary.wait_for_replicas(1).unwrap();
    let lonely = look(&[ROOT_KEY], &primary.url(), &kafka, &[]);
    check(
        &lonely,
        "redis",
        "fault",
        &["min-replicas-to-write is 0", "CONFIG SET min-replicas-to-write 1"],
    );
    drop((primary, replica));

    // 7: a managed service that hides its settings: it is taken once they are accepted by name.
    let mut managed = Redis::start_with(&RedisOptions {
        lines: vec!["rename-command CONFIG \"\"".to_owned()],
        ..RedisOptions::default()
    })
    .unwrap();
    let _replica = replica_of(&managed);
    managed.wait_for_replicas(1).unwrap();
    let hidden = look(&[ROOT_KEY], &managed.url(), &kafka, &[]);
    check(
        &hidden,
        "redis",
        "fault",
        &["min-replicas-to-write is not readable", "accept_unread"],
    );
    let accepted = "redis.accept_unread=min-replicas-to-write,min-replicas-max-lag";
    let taken = look(&[ROOT_KEY], &managed.url(), &kafka, &[accepted]);
    assert_eq!(taken.0, 0, "{taken:#?}");
    check(&taken, "redis", "ok", &["accepted by `redis.accept_unread`"]);
}

fn replica_of(primary: &Redis) -> Redis {
    Redis::start_with(&RedisOptions {
        lines: vec![format!("replicaof 127.0.0.1 {}", primary.port())],
        ..RedisOptions::default()
    })
    .unwrap()
}

#[test]
fn broken_kafka_clusters_are_named_with_what_mends_them() {
    let redis = Redis::start().unwrap();
    let redis = redis.url();
    let kafka = Kafka::start().unwrap();
    let bootstrap = kafka.bootstrap();
    let see = |more: &[&str]| look(&[ROOT_KEY], &redis, &bootstrap, more);
    let topic = |arguments: &[&str]| kafka.tool("kafka-topics", arguments).unwrap();

    // 8: somebody else was to make the topic.
    check(
        &see(&["kafka.topics=verify"]),
        "kafka",
        "fault",
        &[
            "no `curfew.revocations.v1`",
            "kafka-topics.sh --bootstrap-server",
            "--create",
            "kind: KafkaTopic",
        ],
    );

    // 9: it would be compacted, and forget records early.
    topic(&[
        "--create",
        "--topic",
        "a.curfew.revocations.v1",
        "--partitions",
        "8",
        "--config",
        "cleanup.policy=compact",
    ]);
    check(
        &see(&["kafka.prefix=a."]),
        "kafka",
        "fault",
        &[
            "cleanup.policy is compact, wanted delete",
            "kafka-configs.sh",
            "--add-config cleanup.policy=delete",
        ],
    );

    // 10: its partitions do not divide those of the store.
    topic(&[
        "--create",
        "--topic",
        "b.curfew.revocations.v1",
        "--partitions",
        "3",
    ]);
    check(
        &see(&["kafka.prefix=b."]),
        "kafka",
        "fault",
        &["partitions is 3", "divides 1024"],
    );

    // 11: what was asked for it cannot have.
    check(
        &see(&["kafka.prefix=c.", "kafka.replication=3"]),
        "kafka",
        "fault",
        &["brokers would not make it", "--replication-factor 3"],
    );

    // 12: no root key.
    check(
        &look(&[], &redis, &bootstrap, &[]),
        "configuration",
        "fault",
        &["CURFEW_KEYS_ROOT_KEY"],
    );

    // 13: nobody is there.
    drop(kafka);
    check(&see(&[]), "kafka", "fault", &["metadata", "advertised.listeners"]);
}

#[test]
fn a_principal_who_may_little_is_told_what_it_lacks() {
    let redis = Redis::start().unwrap();
    let redis = redis.url();
    let kafka = Kafka::start_with(&KafkaOptions {
        sasl: Some(KafkaSasl::Plain {
            users: vec![("curfew".to_owned(), PASSWORD.to_owned())],
        }),
        acls: true,
        ..KafkaOptions::default()
    })
    .unwrap();
    let bootstrap = kafka.bootstrap();
    let see = |password: &str, topics: &str| {
        let topics = format!("kafka.topics={topics}");
        let environment = [ROOT_KEY, ("CURFEW_KAFKA_PASSWORD", password)];
        look(
            &environment,
            &redis,
            &bootstrap,
            &["kafka.sasl=PLAIN", "kafka.user=curfew", &topics],
        )
    };
    // 14: it may not make the topic.
    check(
        &see(PASSWORD, "create"),
        "kafka",
        "fault",
        &["Topic authorization failed", "--operation Create"],
    );
    kafka
        .tool(
            "kafka-topics",
            &[
                "--create",
                "--topic",
                "curfew.revocations.v1",
                "--partitions",
                "8",
            ],
        )
        .unwrap();
    kafka
        .tool(
            "kafka-acls",
            &[
                "--add",
                "--allow-principal",
                "User:curfew",
                "--topic",
                "curfew.revocations.v1",
                "--operation",
                "Describe",
            ],
        )
        .unwrap();
    // 15: it may not read how the topic is set.
    check(
        &see(PASSWORD, "verify"),
        "kafka",
        "fault",
        &[
            "settings",
            "kafka-acls.sh",
            "--allow-principal User:curfew",
            "--operation DescribeConfigs",
        ],
    );
    // 16: it is not who it says.
    check(
        &see("wrong-horse", "verify"),
        "kafka",
        "fault",
        &["PLAIN in `sasl.enabled.mechanisms`"],
    );
}

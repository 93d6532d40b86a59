//! A real Kafka, of one broker and of three, open and closed; its client is kcat.
//!
//! SCRAM is tried where its client is: the librdkafka under Debian 12's kcat cannot speak it with Kafka 4.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use curfew_servers::{Kafka, KafkaOptions, KafkaSasl, KafkaTls};

/// What kcat says, with `lines` on its standard input.
fn kcat(kafka: &Kafka, arguments: &[&str], lines: &str) -> Output {
    let mut child = Command::new("kcat")
        .args(["-b", &kafka.bootstrap(), "-m", "10"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Whether kcat is turned away; it would try for as long as it may.
fn is_refused(kafka: &Kafka, arguments: &[&str]) -> bool {
    !kcat(kafka, &[arguments, &["-m", "2"]].concat(), "")
        .status
        .success()
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_broker_answers_keeps_what_it_has_over_a_kill_and_makes_no_topic_unasked() {
    let mut kafka = Kafka::start().unwrap();
    let bootstrap = kafka.bootstrap();
    kafka
        .tool("kafka-topics", &["--create", "--topic", "a", "--partitions", "8"])
        .unwrap();
    said(&kcat(&kafka, &["-P", "-t", "a", "-p", "3"], "one\ntwo\n"));
    let before = kafka.pids();
    kafka.kill(0);
    assert!(TcpStream::connect(&bootstrap).is_err(), "it is gone");
    kafka.restart(0).unwrap();
    assert_eq!(kafka.bootstrap(), bootstrap);
    assert_ne!(kafka.pids(), before);
    assert_eq!(kafka.tool("kafka-topics", &["--list"]).unwrap(), "a");
    let read = kcat(&kafka, &["-C", "-t", "a", "-p", "3", "-o", "beginning", "-e"], "");
    assert_eq!(said(&read), "one\ntwo\n");
    assert!(!kcat(&kafka, &["-C", "-t", "unasked", "-e"], "").status.success());
}

#[test]
fn of_three_brokers_one_may_die_and_come_back() {
    let mut kafka = Kafka::start_with(&KafkaOptions {
        brokers: 3,
        ..KafkaOptions::default()
    })
    .unwrap();
    assert_eq!(kafka.bootstrap().split(',').count(), 3);
    kafka
        .tool("kafka-topics", &["--create", "--topic", "a", "--partitions", "3"])
        .unwrap();
    let described = kafka
        .tool("kafka-topics", &["--describe", "--topic", "a"])
        .unwrap();
    assert!(described.contains("ReplicationFactor: 3"), "{described}");
    let settings = kafka
        .tool("kafka-configs", &["--describe", "--all", "--topic", "a"])
        .unwrap();
    assert!(settings.contains("\n  min.insync.replicas=2 "), "{settings}");
    said(&kcat(&kafka, &["-P", "-t", "a", "-X", "acks=all"], "one\n"));
    kafka.kill(0);
    // Two of three are enough; the dead one's partitions have leaders as soon as its session is over.
    for partition in ["0", "1", "2"] {
        let produce = ["-P", "-t", "a", "-p", partition, "-X", "acks=all"];
        said(&kcat(&kafka, &produce, "two\n"));
    }
    kafka.restart(0).unwrap();
    let read = said(&kcat(&kafka, &["-C", "-t", "a", "-o", "beginning", "-e"], ""));
    let mut lines: Vec<_> = read.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "two", "two", "two"]);
}

#[test]
fn a_closed_broker_lets_in_whom_it_knows_and_lets_them_do_what_they_may() {
    let users = vec![("alice".to_owned(), "her-secret".to_owned())];
    let options = KafkaOptions {
        sasl: Some(KafkaSasl::Plain { users }),
        acls: true,
        ..KafkaOptions::default()
    };
    let kafka = Kafka::start_with(&options).unwrap();
    assert!(!format!("{options:?} {kafka:?}").contains("her-secret"));
    kafka
        .tool("kafka-topics", &["--create", "--topic", "a", "--partitions", "1"])
        .unwrap();
    let list = |password: &str, limit_s: &str| {
        let password = format!("sasl.password={password}");
        let sasl = [
            "security.protocol=SASL_PLAINTEXT",
            "sasl.mechanisms=PLAIN",
            "sasl.username=alice",
            &password,
        ];
        let mut arguments = vec!["-L", "-t", "a", "-J", "-m", limit_s];
        arguments.extend(sasl.iter().flat_map(|setting| ["-X", setting]));
        kcat(&kafka, &arguments, "")
    };
    assert!(!list("guessed", "2").status.success());
    assert!(is_refused(&kafka, &["-L"]), "nobody without a name");
    let before = said(&list("her-secret", "10"));
    assert!(before.contains("Topic authorization failed"), "{before}");
    let permit = [
        "--add",
        "--allow-principal",
        "User:alice",
        "--operation",
        "Describe",
        "--topic",
        "a",
    ];
    kafka.tool("kafka-acls", &permit).unwrap();
    let after = said(&list("her-secret", "10"));
    assert!(after.contains("\"leader\":1"), "{after}");
}

#[test]
fn a_broker_with_tls_shows_its_certificate_and_wants_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap()
        .pem();
    std::fs::write(path("cert.pem"), &certificate).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(path("both.pem"), key.serialize_pem() + &certificate).unwrap();
    let kafka = Kafka::start_with(&KafkaOptions {
        tls: Some(KafkaTls {
            ca: path("cert.pem"),
            key_and_certificate: path("both.pem"),
            clients_must_show_one: true,
        }),
        ..KafkaOptions::default()
    })
    .unwrap();
    let setting = |name: &str, path: &Path| format!("{name}={}", path.display());
    let ca = setting("ssl.ca.location", &path("cert.pem"));
    let own = setting("ssl.certificate.location", &path("cert.pem"));
    let key = setting("ssl.key.location", &path("key.pem"));
    let ssl = ["-L", "-X", "security.protocol=SSL", "-X", &ca];
    let shown = [&ssl[..], &["-X", &own, "-X", &key]].concat();
    assert!(said(&kcat(&kafka, &shown, "")).contains("1 brokers"));
    assert!(is_refused(&kafka, &ssl), "without a certificate");
    assert!(is_refused(&kafka, &["-L"]), "without TLS");
}

#[test]
fn two_brokers_are_no_kafka() {
    let error = Kafka::start_with(&KafkaOptions {
        brokers: 2,
        ..KafkaOptions::default()
    })
    .unwrap_err();
    assert_eq!(error.to_string(), "a Kafka has 1 broker or 3");
}

#[test]
fn a_setting_that_kafka_does_not_take_is_told_with_what_it_said() {
    let error = Kafka::start_with(&KafkaOptions {
        lines: vec!["num.io.threads=none".to_owned()],
        ..KafkaOptions::default()
    })
    .unwrap_err();
    assert!(error.to_string().contains("num.io.threads"), "{error}");
}

#[test]
fn a_broker_whose_disk_is_full_ends_and_the_other_two_go_on_without_it() {
    let mut kafka = Kafka::start_with(&KafkaOptions {
        brokers: 3,
        ..KafkaOptions::default()
    })
    .unwrap();
    let topic = ["--create", "--topic", "t", "--partitions", "3"];
    kafka.tool("kafka-topics", &topic).unwrap();
    kafka.fill_disk(0).unwrap();
    for _ in 0..600 {
        if !kafka.is_running(0).unwrap() {
            break;
        }
        // Something for it to write.
        said(&kcat(
            &kafka,
            &["-P", "-t", "t", "-X", "acks=all"],
            "a\nb\nc\nd\n",
        ));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!kafka.is_running(0).unwrap(), "it goes on without a disk");
    said(&kcat(&kafka, &["-P", "-t", "t", "-X", "acks=all"], "last\n"));
    kafka.restart(0).unwrap();
    let told = said(&kcat(&kafka, &["-C", "-t", "t", "-e", "-q"], ""));
    assert!(told.lines().any(|line| line == "last"), "{told}");
}

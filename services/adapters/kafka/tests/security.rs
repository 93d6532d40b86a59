//! Brokers that ask who comes, and that permit little: SASL, TLS and ACLs, on a broker set so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    dead_code,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use common::{Kind, PASSWORD, plain};
use curfew_core::place::LogPartition;
use curfew_kafka::{Kafka, OpenError, Options, Security, Topics, examine};
use curfew_ports::log::{Log, TailFrom};
use curfew_ports::testing::sample_log_records;
use curfew_servers::{Kafka as Server, KafkaOptions, KafkaSasl};

fn users() -> Vec<(String, String)> {
    vec![("curfew".to_owned(), PASSWORD.to_owned())]
}

fn secured(server: &Server, security: Security) -> Options {
    let mut options = common::options(&server.bootstrap());
    options.security = security;
    options.request_timeout = Duration::from_secs(20);
    options
}

/// Opens, appends, reads it again.
async fn works(options: Options) {
    let log = Kafka::open(options).await.unwrap();
    let record = sample_log_records().remove(0);
    let position = log.append(LogPartition(1), &record).await.unwrap();
    let batch = log.tail(TailFrom::Oldest).await.unwrap().next().await.unwrap();
    assert_eq!((batch[0].position, &batch[0].record), (position, &record));
}

/// Refused, and neither the error nor the options show the password.
async fn refused(mut options: Options, password: &str) -> OpenError {
    options.request_timeout = Duration::from_secs(2);
    let error = Kafka::open(options.clone()).await.unwrap_err();
    let report = examine(&options).await;
    assert!(!report.is_well());
    for shown in [
        format!("{error} {error:?}"),
        format!("{options:?}"),
        format!("{report:?}"),
    ] {
        assert!(!shown.contains(password), "{shown}");
    }
    error
}

#[tokio::test]
async fn plain_comes_in_with_its_password_alone() {
    let options = KafkaOptions {
        sasl: Some(KafkaSasl::Plain { users: users() }),
        ..KafkaOptions::default()
    };
    let server = common::blocking(move || Server::start_with(&options).unwrap()).await;
    works(secured(&server, plain("curfew", PASSWORD))).await;
    let told = refused(secured(&server, plain("curfew", "wrong-horse")), "wrong-horse")
        .await
        .to_string();
    assert!(
        told.contains("PLAIN in `sasl.enabled") && told.contains("Invalid username or password"),
        "{told}"
    );
}

#[tokio::test]
async fn a_principal_that_may_only_read_and_write_trusts_the_topic() {
    let server = common::shared(Kind::Strict).await;
    let options = secured(&server, plain("curfew", PASSWORD));
    // It may not make the topic,
    let told = Kafka::open(options.clone()).await.unwrap_err();
    assert!(matches!(told, OpenError::NotMade { .. }), "{told}");
    assert!(told.to_string().contains("kafka-topics.sh"), "{told}");
    common::make(&options, 4, &[]).await;
    // nor look at its settings,
    for topics in [Topics::Create, Topics::Verify] {
        let told = Kafka::open(Options {
            topics,
            ..options.clone()
        })
        .await
        .unwrap_err()
        .to_string();
        assert!(told.contains("how the topic is set"), "{told}");
        assert!(
            told.contains("--allow-principal User:curfew") && told.contains("DescribeConfigs"),
            "{told}"
        );
        assert!(told.contains("topics = trust"), "{told}");
    }
    let report = examine(&options).await;
    assert_eq!(
        report
            .findings
            .iter()
            .map(|finding| finding.what.as_str())
            .collect::<Vec<_>>(),
        ["settings"]
    );
    let trusting = Options {
        topics: Topics::Trust,
        ..options
    };
    assert!(examine(&trusting).await.is_well());
    // and needs neither. No group is permitted either, and none is missed.
    works(trusting).await;
    drop(server);
}

#[tokio::test]
async fn a_principal_that_may_nothing_is_told_what_it_lacks() {
    let server = common::shared(Kind::Strict).await;
    let mut options = secured(&server, plain("curfew", PASSWORD));
    options.prefix = "other.".to_owned();
    common::make(&options, 4, &[]).await;
    for topics in [Topics::Create, Topics::Verify, Topics::Trust] {
        let told = Kafka::open(Options {
            topics,
            ..options.clone()
        })
        .await
        .unwrap_err()
        .to_string();
        assert!(
            told.contains("kafka-acls.sh") && told.contains("--operation Read"),
            "{told}"
        );
    }
    drop(server);
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::{Path, PathBuf};

    use curfew_kafka::{Sasl, ScramHash, Secret, Tls, TlsIdentity};
    use curfew_servers::KafkaTls;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    /// An authority, a broker's certificate for 127.0.0.1 and a client's, as files.
    struct Files {
        dir: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            // Another name than the certificates': who is named as its own issuer is taken as self-signed.
            params.distinguished_name.push(DnType::CommonName, "authority");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let ca = params.self_signed(&key).unwrap();
            std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
            let issuer = Issuer::new(params, key);
            for (name, host) in [("broker", "127.0.0.1"), ("client", "curfew")] {
                let key = KeyPair::generate().unwrap();
                let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
                let certificate = params.signed_by(&key, &issuer).unwrap();
                let (key, certificate) = (key.serialize_pem(), certificate.pem());
                std::fs::write(dir.path().join(format!("{name}.key")), &key).unwrap();
                std::fs::write(dir.path().join(format!("{name}.pem")), &certificate).unwrap();
                std::fs::write(dir.path().join(format!("{name}.both")), key + &certificate).unwrap();
            }
            Self { dir }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn of_server(&self, clients_must_show_one: bool) -> Option<KafkaTls> {
            Some(KafkaTls {
                ca: self.path("ca.pem"),
                key_and_certificate: self.path("broker.both"),
                clients_must_show_one,
            })
        }

        fn of_client(&self) -> Option<Tls> {
            Some(Tls {
                ca: Some(self.path("ca.pem")),
                identity: None,
            })
        }

        fn identity(&self) -> Option<TlsIdentity> {
            Some(TlsIdentity {
                certificate: self.path("client.pem"),
                key: self.path("client.key"),
                key_password: None,
            })
        }
    }

    async fn start(tls: Option<KafkaTls>, sasl: Option<KafkaSasl>) -> Server {
        let options = KafkaOptions {
            tls,
            sasl,
            ..KafkaOptions::default()
        };
        common::blocking(move || Server::start_with(&options).unwrap()).await
    }

    #[tokio::test]
    async fn a_broker_is_known_by_its_certificate() {
        let (files, others) = (Files::new(), Files::new());
        let server = start(files.of_server(false), None).await;
        let tls = |tls| Security { tls, sasl: None };
        works(secured(&server, tls(files.of_client()))).await;
        refused(secured(&server, tls(others.of_client())), PASSWORD).await;
        refused(secured(&server, Security::default()), PASSWORD).await;
    }

    #[tokio::test]
    async fn a_client_shows_its_certificate_where_it_must() {
        let files = Files::new();
        let server = start(files.of_server(true), None).await;
        let with = |identity| Security {
            tls: files.of_client().map(|tls| Tls { identity, ..tls }),
            sasl: None,
        };
        works(secured(&server, with(files.identity()))).await;
        refused(secured(&server, with(None)), PASSWORD).await;
    }

    #[tokio::test]
    async fn scram_comes_in_over_tls() {
        let files = Files::new();
        let server = start(files.of_server(false), Some(KafkaSasl::Scram { users: users() })).await;
        let with = |hash, password: &str| Security {
            tls: files.of_client(),
            sasl: Some(Sasl::Scram {
                hash,
                user: "curfew".to_owned(),
                password: Secret::new(password.to_owned()),
            }),
        };
        for hash in [ScramHash::Sha256, ScramHash::Sha512] {
            works(secured(&server, with(hash, PASSWORD))).await;
        }
        let told = refused(
            secured(&server, with(ScramHash::Sha512, "wrong-horse")),
            "wrong-horse",
        )
        .await;
        assert!(told.to_string().contains("sasl.enabled.mechanisms"), "{told}");
    }

    /// Unsigned, as the broker takes it for development; it names who comes and until when.
    fn write_token(path: &Path, seconds_ahead: i64) {
        use base64::Engine as _;
        let base64 = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let now = std::fs::metadata("/proc/self").unwrap().modified().unwrap();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let exp = i64::try_from(now).unwrap() + seconds_ahead;
        let payload = format!(r#"{{"sub":"curfew","iat":{now},"exp":{exp}}}"#);
        std::fs::write(
            path,
            format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(&payload)),
        )
        .unwrap();
    }

    #[tokio::test]
    async fn a_bearer_token_comes_in_over_tls() {
        let files = Files::new();
        let server = start(files.of_server(false), Some(KafkaSasl::OauthBearer)).await;
        let token_file = files.path("token");
        write_token(&token_file, 3_600);
        let security = Security {
            tls: files.of_client(),
            sasl: Some(Sasl::OauthBearer {
                token_file: token_file.clone(),
            }),
        };
        let mut options = secured(&server, security);
        options.topics = Topics::Trust;
        let topic = options.topic_name();
        let server = common::blocking(move || {
            let arguments = ["--create", "--topic", &topic, "--partitions", "4"];
            server.tool("kafka-topics", &arguments).unwrap();
            server
        })
        .await;
        let report = examine(&options).await;
        assert!(report.is_well(), "{report:?}");
        works(options.clone()).await;
        write_token(&token_file, -3_600);
        refused(options, PASSWORD).await;
        drop(server);
    }
}

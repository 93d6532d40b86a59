//! `server.properties`, and what a test may want of the clients' listener.
//!
//! **Invariant:** a broker keeps as little as it can: it has a minute to live and shares the machine.

use std::fmt;
use std::path::{Path, PathBuf};

use super::KafkaOptions;

/// A broker among its peers.
#[derive(Debug)]
pub(super) struct Node {
    /// From 1.
    pub(super) id: usize,
    pub(super) clients: u16,
    pub(super) internal: u16,
    pub(super) controller: u16,
}

/// Certificates, each a PEM file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaTls {
    /// Who signed the clients' certificates.
    pub ca: PathBuf,
    /// The broker's key (PKCS 8) and its certificate for 127.0.0.1, in one file.
    pub key_and_certificate: PathBuf,
    /// Whether clients must show a certificate.
    pub clients_must_show_one: bool,
}

/// How clients say who they are.
#[derive(Clone, PartialEq, Eq)]
pub enum KafkaSasl {
    /// Name and password.
    Plain {
        /// Who may come in: name and password.
        users: Vec<(String, String)>,
    },
    /// SCRAM-SHA-256 and SCRAM-SHA-512.
    Scram {
        /// Who may come in: name and password.
        users: Vec<(String, String)>,
    },
    /// Unsigned tokens, as Kafka takes them for development: whoever they name.
    OauthBearer,
}

/// Names of users, never their passwords.
impl fmt::Debug for KafkaSasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |users: &[(String, String)]| users.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        match self {
            Self::Plain { users } => f.debug_tuple("Plain").field(&names(users)).finish(),
            Self::Scram { users } => f.debug_tuple("Scram").field(&names(users)).finish(),
            Self::OauthBearer => f.write_str("OauthBearer"),
        }
    }
}

/// The text for one broker.
pub(super) fn of(options: &KafkaOptions, node: &Node, nodes: &[Node], directory: &Path) -> String {
    let factor = nodes.len();
    let majority = factor / 2 + 1;
    let voters: Vec<_> = nodes
        .iter()
        .map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller))
        .collect();
    let listeners = format!(
        "CLIENTS://127.0.0.1:{},INTERNAL://127.0.0.1:{}",
        node.clients, node.internal
    );
    let mut lines = vec![
        "process.roles=broker,controller".to_owned(),
        format!("node.id={}", node.id),
        format!("listeners={listeners},CONTROLLER://127.0.0.1:{}", node.controller),
        format!("advertised.listeners={listeners}"),
        "inter.broker.listener.name=INTERNAL".to_owned(),
        "controller.listener.names=CONTROLLER".to_owned(),
        format!("controller.quorum.voters={}", voters.join(",")),
        format!(
            "listener.security.protocol.map=CLIENTS:{},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            protocol(options)
        ),
        format!("log.dirs={}", directory.join("data").display()),
        "auto.create.topics.enable=false".to_owned(),
        format!("default.replication.factor={factor}"),
        format!("min.insync.replicas={majority}"),
        format!("offsets.topic.replication.factor={factor}"),
        "offsets.topic.num.partitions=1".to_owned(),
        format!("transaction.state.log.replication.factor={factor}"),
        format!("transaction.state.log.min.isr={majority}"),
        "transaction.state.log.num.partitions=1".to_owned(),
        "group.initial.rebalance.delay.ms=0".to_owned(),
        // Half of Kafka's own 9 s: so long a killed broker that is started again is taken for its own double, and its
        // partitions have no leader. Nine heartbeats fit into it, so that a busy machine fences nobody.
        "broker.session.timeout.ms=4500".to_owned(),
        "broker.heartbeat.interval.ms=500".to_owned(),
        "num.network.threads=2".to_owned(),
        "num.io.threads=2".to_owned(),
        "background.threads=2".to_owned(),
        // By default half of our heap.
        "log.cleaner.dedupe.buffer.size=2097152".to_owned(),
    ];
    lines.extend(tls(options));
    lines.extend(sasl(options));
    if options.acls {
        // Who has no name is on the plain listener: the brokers and we.
        lines
            .push("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned());
        lines.push("super.users=User:ANONYMOUS".to_owned());
    }
    lines.extend(options.lines.iter().cloned());
    lines.join("\n") + "\n"
}

fn protocol(options: &KafkaOptions) -> &'static str {
    match (options.tls.is_some(), options.sasl.is_some()) {
        (false, false) => "PLAINTEXT",
        (true, false) => "SSL",
        (false, true) => "SASL_PLAINTEXT",
        (true, true) => "SASL_SSL",
    }
}

fn tls(options: &KafkaOptions) -> Vec<String> {
    let Some(tls) = &options.tls else {
        return Vec::new();
    };
    let clients = if tls.clients_must_show_one {
        "required"
    } else {
        "none"
    };
    let lines = [
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", tls.key_and_certificate.display()),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", tls.ca.display()),
        format!("ssl.client.auth={clients}"),
    ];
    lines.map(|line| format!("listener.name.clients.{line}")).into()
}

fn sasl(options: &KafkaOptions) -> Vec<String> {
    const MODULES: &str = "org.apache.kafka.common.security";
    let lines = match &options.sasl {
        None => return Vec::new(),
        Some(KafkaSasl::Plain { users }) => {
            let users: Vec<_> = users
                .iter()
                .map(|(name, password)| format!("user_{name}=\"{password}\""))
                .collect();
            vec![
                "sasl.enabled.mechanisms=PLAIN".to_owned(),
                format!(
                    "plain.sasl.jaas.config={MODULES}.plain.PlainLoginModule required {};",
                    users.join(" ")
                ),
            ]
        }
        Some(KafkaSasl::Scram { .. }) => vec![
            "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
            format!("scram-sha-256.sasl.jaas.config={MODULES}.scram.ScramLoginModule required;"),
            format!("scram-sha-512.sasl.jaas.config={MODULES}.scram.ScramLoginModule required;"),
        ],
        Some(KafkaSasl::OauthBearer) => vec![
            "sasl.enabled.mechanisms=OAUTHBEARER".to_owned(),
            format!(
                "oauthbearer.sasl.jaas.config={MODULES}.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"broker\";"
            ),
        ],
    };
    lines
        .into_iter()
        .map(|line| format!("listener.name.clients.{line}"))
        .collect()
}

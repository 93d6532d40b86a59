//! Why the log does not open, and what its answers become at the port.
//!
//! **Invariant:** no value of an option is in a message, only its name: some are passwords.

use curfew_core::place::{LogIdentity, LogPartition, PARTITIONS};
use curfew_ports::log::LogError;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::options::Topics;
use crate::topic::{Finding, Severity};

/// Why the log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An option cannot work.
    #[error("option `{option}` of the log on Kafka: {why}")]
    Option {
        /// Which one.
        option: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// What was asked for was not compiled in.
    #[error("{what} to Kafka is not in this build: build it with the cargo feature `tls`")]
    NotInThisBuild {
        /// What was asked for.
        what: &'static str,
    },
    /// The client library refused its configuration.
    #[error("the Kafka client cannot be made: {why}")]
    Client {
        /// Why, with no value of any property.
        why: String,
    },
    /// Brokers did not answer, or refused.
    #[error("Kafka at {bootstrap} did not answer {question}: {source}{remedy}")]
    Broker {
        /// Where it was asked.
        bootstrap: String,
        /// What it was asked.
        question: &'static str,
        /// What it said.
        source: Box<KafkaError>,
        /// What may mend it.
        remedy: String,
    },
    /// There is no such topic, and it is not made here.
    #[error(
        "there is no topic `{topic}` (or its `Describe` is not allowed) and `topics = {}` makes none; make it:\n  {create}",
        mode.as_str()
    )]
    NoTopic {
        /// Its name.
        topic: String,
        /// What makes it.
        create: String,
        /// Why it was not made.
        mode: Topics,
    },
    /// Brokers refused to make the topic.
    #[error(
        "topic `{topic}` was not made: {source}; with `topics = verify` or `trust` somebody else makes it:\n  {create}"
    )]
    NotMade {
        /// Its name.
        topic: String,
        /// What they said.
        source: Box<KafkaError>,
        /// What makes it.
        create: String,
    },
    /// The topic is there and set otherwise.
    #[error("{}", listed(topic, findings, yaml))]
    Settings {
        /// Its name.
        topic: String,
        /// What is wrong, each with what mends it.
        findings: Vec<Finding>,
        /// The topic as it should be, for Strimzi's operator.
        yaml: String,
    },
    /// The topic has another M, which is fixed when it is made.
    #[error("topic `{topic}` has {present} partitions, not {asked}: M is fixed when the log is made")]
    Partitions {
        /// Its name.
        topic: String,
        /// What it has.
        present: usize,
        /// What was asked for, or what the directory names.
        asked: u16,
    },
    /// M must divide N.
    #[error(
        "topic `{topic}` has {present} partitions, which do not divide {PARTITIONS}: name a topic of another number"
    )]
    NotADivisor {
        /// Its name.
        topic: String,
        /// What it has.
        present: usize,
    },
    /// The topic holds another log than the directory names.
    #[error(
        "topic `{topic}` holds another log: a heartbeat at offset {offset} of partition {} names {} with {} partitions, the directory {} with {}; name the right topic (`kafka.topic`, `kafka.prefix`); if the log was lost, `curfew admin adopt-log` or `curfew serve --adopt-log` makes this one the log",
        partition.0, Hex(&found.log_id), found.partitions, Hex(&expected.log_id), expected.partitions
    )]
    OtherLog {
        /// Its name.
        topic: String,
        /// Where the heartbeat lies.
        partition: LogPartition,
        /// Where in it.
        offset: u64,
        /// What it names.
        found: LogIdentity,
        /// What the directory names.
        expected: LogIdentity,
    },
    /// Reading what lies on the log stopped.
    #[error("the log's heartbeats cannot be read")]
    Unreadable(#[from] LogError),
}

impl OpenError {
    pub(crate) fn client(error: &KafkaError) -> Self {
        Self::Client {
            why: without_values(error),
        }
    }
}

/// What the library says of a client that it does not make; the value, which may be a password, stays out.
pub(crate) fn without_values(error: &KafkaError) -> String {
    if let KafkaError::ClientConfig(_, why, property, _) = error {
        return format!("{why} (property `{property}`)");
    }
    error.to_string()
}

fn listed(topic: &str, findings: &[Finding], yaml: &str) -> String {
    let wrong = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Wrong);
    let mut text = format!("topic `{topic}` is not set as the log needs it:");
    for finding in wrong {
        text.push_str("\n- ");
        text.push_str(&finding.to_string());
    }
    text.push_str("\nwhere Strimzi owns topics:\n");
    text.push_str(yaml);
    text
}

pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the port says of whatever went wrong.
pub(crate) fn unavailable(
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> LogError {
    LogError::Unavailable {
        what,
        source: source.into(),
    }
}

/// The code of an error, whichever operation it is of.
pub(crate) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    if let KafkaError::AdminOp(code) = error {
        return Some(*code);
    }
    error.rdkafka_error_code()
}

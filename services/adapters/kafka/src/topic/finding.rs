//! What is wrong with a cluster or a topic, in words, with the line that mends it.
//!
//! **Invariant:** each finding says what was found, what is wanted and why; a wrong one says what to do.

use std::fmt;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::wanted::Wanted;
use crate::client::SeenTopic;
use crate::error::{OpenError, code_of, without_values};
use crate::options::{Options, Topics};
use crate::security::Sasl;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The log does not open so, or would lose what it must keep.
    Wrong,
    /// It works, and costs time or safety.
    Advice,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The setting or the permission.
    pub what: String,
    /// What is there.
    pub found: String,
    /// What should be.
    pub wanted: String,
    /// What happens otherwise.
    pub why: &'static str,
    /// Lines that mend it.
    pub mend: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            found,
            wanted,
            why,
            mend,
            severity: _,
        } = self;
        write!(f, "{what}: found {found}, wanted {wanted} ({why})")?;
        mend.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The cluster's own id; `None`: it did not tell.
    pub cluster_id: Option<String>,
    /// How many brokers there are; 0: none answered.
    pub brokers: usize,
    /// M; `None`: there is no such topic.
    pub partitions: Option<usize>,
    /// There is none, and `topics = create` will make it.
    pub is_made_at_start: bool,
    /// What is not as it should be, the worst and the widest first.
    pub findings: Vec<Finding>,
    /// The command that makes the topic as it should be; empty where no broker answered.
    pub create: String,
    /// The same for Strimzi's operator.
    pub yaml: String,
}

impl Report {
    /// Whether the log can be opened and keeps what it must.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity != Severity::Wrong)
    }
}

fn wrong(what: &str, found: String, wanted: String, why: &'static str, mend: Vec<String>) -> Finding {
    Finding {
        severity: Severity::Wrong,
        what: what.to_owned(),
        found,
        wanted,
        why,
        mend,
    }
}

pub(crate) fn of_options(error: &OpenError) -> Finding {
    wrong(
        "options",
        error.to_string(),
        "options that make a client".to_owned(),
        "no broker is asked before",
        Vec::new(),
    )
}

pub(crate) fn of_answer(options: &Options, question: &'static str, error: &KafkaError) -> Finding {
    wrong(
        question,
        without_values(error),
        format!("an answer from {}", options.bootstrap),
        "what cannot be looked at cannot be relied on",
        mend_of(options, code_of(error)),
    )
}

/// Over OAUTHBEARER settings are not asked for.
pub(crate) fn not_looked_at(wanted: &Wanted) -> Finding {
    Finding {
        severity: Severity::Advice,
        what: "settings".to_owned(),
        found: "not looked at over OAUTHBEARER".to_owned(),
        wanted: "settings that somebody compared".to_owned(),
        why: "what cannot be looked at cannot be relied on",
        mend: vec![format!(
            "kafka-configs.sh --bootstrap-server {} --describe --entity-type topics --entity-name {}",
            wanted.bootstrap, wanted.name
        )],
    }
}

pub(crate) fn no_topic(wanted: &Wanted) -> Finding {
    wrong(
        "topic",
        format!("no `{}`, or its Describe is not allowed", wanted.name),
        "the topic of the log".to_owned(),
        "records have nowhere to lie",
        vec![wanted.create_line()],
    )
}

pub(crate) fn not_made(options: &Options, wanted: &Wanted, code: RDKafkaErrorCode) -> Finding {
    let mut mend = vec![wanted.create_line()];
    mend.extend(mend_of(options, Some(code)));
    wrong(
        "topic",
        format!("no `{}`, and brokers would not make it: {code}", wanted.name),
        "Create on the topic, or a topic that somebody else made".to_owned(),
        "records have nowhere to lie",
        mend,
    )
}

pub(crate) fn of_partitions(wanted: &Wanted, topic: &SeenTopic, error: &OpenError) -> Finding {
    wrong(
        "partitions",
        topic.partitions.to_string(),
        "a number that divides 1024, and the same for ever".to_owned(),
        "records of a subject lie in the partition that its number gives",
        vec![format!("# {error}"), wanted.create_line()],
    )
}

pub(crate) fn no_leader(wanted: &Wanted) -> Finding {
    wrong(
        "leaders",
        "a partition without one".to_owned(),
        "a leader for each partition".to_owned(),
        "what it holds can be neither read nor written",
        vec![format!(
            "kafka-topics.sh --bootstrap-server {} --describe --topic {} --unavailable-partitions",
            wanted.bootstrap, wanted.name
        )],
    )
}

/// What may mend what brokers refused.
pub(crate) fn mend_of(options: &Options, code: Option<RDKafkaErrorCode>) -> Vec<String> {
    let topic = options.topic_name();
    let also = if options.topics == Topics::Create {
        " --operation Create"
    } else {
        ""
    };
    let acl = format!(
        "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:{} --topic {topic} --operation Read --operation Write --operation DescribeConfigs{also}",
        options.bootstrap,
        principal(options)
    );
    match code {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed) => {
            vec![
                acl,
                "# or `topics = trust`, where DescribeConfigs is nobody's to give".to_owned(),
            ]
        }
        // Who is not let in is told no more than that the connection ended.
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::SSL,
        ) => {
            let mut lines = vec![format!(
                "# look whether brokers listen there with {}, and at their `advertised.listeners`",
                options.security.protocol()
            )];
            lines.extend(options.security.sasl.as_ref().map(|sasl| {
                format!(
                    "# look at the user, its password or token, and whether brokers have {} in `sasl.enabled.mechanisms`",
                    sasl.mechanism()
                )
            }));
            lines
        }
        Some(_) | None => Vec::new(),
    }
}

fn principal(options: &Options) -> &str {
    match &options.security.sasl {
        Some(Sasl::Plain { user, .. } | Sasl::Scram { user, .. }) => user,
        Some(Sasl::OauthBearer { .. }) | None => "NAME",
    }
}

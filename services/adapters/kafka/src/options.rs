//! How the log is reached, which topic it is, and how long one waits for it.
//!
//! **Invariant:** options that were checked make a client; what they hold of secrets is in no message.

use std::time::Duration;

use curfew_core::place::{LogIdentity, PARTITIONS};
use curfew_core::time::KEEP_SLACK_MS;

use crate::error::OpenError;
use crate::security::Security;

/// The topic's name, where nobody names another.
pub const TOPIC_DEFAULT: &str = "curfew.revocations.v1";
/// The topic on which nodes tell one another of their followers, behind the same prefix.
pub const WATERMARKS_TOPIC: &str = "curfew.watermarks.v1";
/// How long that is kept, ms: whoever hears it hears what is new, and an hour lets people look.
pub const WATERMARKS_RETENTION_MS: i64 = 3_600_000;
/// M of a topic that is made here: eight leaders share the work of three brokers, and eight heartbeats
/// every X/5 are 2.7 a second.
pub const PARTITIONS_DEFAULT: u16 = 8;
/// Seven days.
pub const RETENTION_MS_DEFAULT: i64 = 7 * 24 * 3_600_000;
/// The shortest retention: longest token life (24 h) + 2 min, and a quarter on top, because an idle
/// checkpoint may be a quarter of the retention old (DESIGN sections 5 and 6).
pub const RETENTION_MS_MIN: i64 = (24 * 3_600_000 + KEEP_SLACK_MS) / 3 * 4;
/// A crashed broker is noticed after 9 s and its partitions took writes again after 12.0 s (measured):
/// an append outlives that, with room.
pub const DELIVERY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Metadata and offsets come in milliseconds; while leaders move, in seconds.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// The longest name that Kafka takes for a topic.
const TOPIC_LEN_MAX: usize = 249;

/// What to do about the topic when the log is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topics {
    /// Make it where it is missing, then as `Verify`. Needs `Create` on the topic or the cluster. Not over OAUTHBEARER.
    #[default]
    Create,
    /// Refuse a topic that is missing or set otherwise. Needs `DescribeConfigs` on it. Not over OAUTHBEARER.
    Verify,
    /// Take it as it is. Asks nothing but what reading and writing need; it must be there.
    Trust,
}

impl Topics {
    /// Its word in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Verify => "verify",
            Self::Trust => "trust",
        }
    }

    /// The mode that a configuration names; `None` for another word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Create, Self::Verify, Self::Trust]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

/// How the log on Kafka is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where brokers are asked first: `host:port`, several with commas between.
    pub bootstrap: String,
    /// The topic, without the prefix.
    pub topic: String,
    /// Put before the topic's name, as it is: `prod.` makes `prod.curfew.revocations.v1`.
    pub prefix: String,
    /// Whether the topic is made, looked at, or taken as it is.
    pub topics: Topics,
    /// M, which divides N. `None`: eight for a topic that is made here, its own for one that is there.
    pub partitions: Option<u16>,
    /// How many brokers hold each record. `None`: three where there are three brokers, one where there are fewer.
    pub replication: Option<u16>,
    /// How long records are kept, ms; at least [`RETENTION_MS_MIN`].
    pub retention_ms: i64,
    /// The log that the directory names, where it names one: another is refused.
    pub expected: Option<LogIdentity>,
    /// TLS and SASL.
    pub security: Security,
    /// What this client calls itself to brokers; quotas and broker logs show it.
    pub client_id: String,
    /// How long an append may take, all retries in it; then its outcome is unknown.
    pub delivery_timeout: Duration,
    /// How long a question of metadata, offsets or settings may take.
    pub request_timeout: Duration,
    /// Records that may wait for brokers; who comes when it is full is refused at once.
    pub queue_max: u32,
}

impl Options {
    /// The defaults, with no TLS and no SASL.
    #[must_use]
    pub fn new(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            topic: TOPIC_DEFAULT.to_owned(),
            prefix: String::new(),
            topics: Topics::default(),
            partitions: None,
            replication: None,
            retention_ms: RETENTION_MS_DEFAULT,
            expected: None,
            security: Security::default(),
            client_id: "curfew".to_owned(),
            delivery_timeout: DELIVERY_TIMEOUT_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
            // At 20,000 a second a second's worth: more would only be told later that it is late.
            queue_max: 20_000,
        }
    }

    /// The topic's whole name.
    #[must_use]
    pub fn topic_name(&self) -> String {
        format!("{}{}", self.prefix, self.topic)
    }

    /// [`Options::check`] for one who only reads: making the topic is for those who write it.
    pub fn check_to_read(&self) -> Result<(), OpenError> {
        if self.topics == Topics::Create {
            return Err(OpenError::Option {
                option: "topics",
                why: "`create` is for those who write the log; a reader takes `trust` or `verify`".to_owned(),
            });
        }
        self.check()
    }

    /// Refuses what could not work, by name.
    pub fn check(&self) -> Result<(), OpenError> {
        let invalid = |option, why: String| Err(OpenError::Option { option, why });
        for server in self.bootstrap.split(',') {
            let is_address = server.trim().rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !is_address {
                return invalid(
                    "bootstrap",
                    format!("`{server}` is no `host:port`; several have commas between"),
                );
            }
        }
        let name = self.topic_name();
        let is_name = (1..=TOPIC_LEN_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            && name != "."
            && name != "..";
        if !is_name {
            return invalid(
                "topic",
                format!(
                    "`{name}` is no name of a topic: 1 to {TOPIC_LEN_MAX} of a-z, A-Z, 0-9, `.`, `_`, `-`"
                ),
            );
        }
        if let Some(m) = self.partitions
            && (m == 0 || !PARTITIONS.is_multiple_of(m))
        {
            return invalid("partitions", format!("{m} does not divide {PARTITIONS}"));
        }
        if self.replication == Some(0) {
            return invalid("replication", "a record lies on one broker at least".to_owned());
        }
        if self.retention_ms < RETENTION_MS_MIN {
            return invalid(
                "retention_ms",
                format!("{} is shorter than {RETENTION_MS_MIN}", self.retention_ms),
            );
        }
        if self.queue_max == 0 {
            return invalid("queue_max", "no record could wait".to_owned());
        }
        for (option, span) in [
            ("delivery_timeout", self.delivery_timeout),
            ("request_timeout", self.request_timeout),
        ] {
            if !(Duration::from_secs(1)..=Duration::from_secs(300)).contains(&span) {
                return invalid(option, format!("{span:?} is not between 1 s and 300 s"));
            }
        }
        if self.security.token_file().is_some() && self.topics != Topics::Trust {
            // The library's admin client never serves the event that a token comes by.
            return invalid(
                "topics",
                format!(
                    "`{}` does not go with OAUTHBEARER, over which topics can be neither made nor looked at: `trust` does",
                    self.topics.as_str()
                ),
            );
        }
        self.security.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Options)) -> String {
        let mut options = Options::new("127.0.0.1:9092");
        change(&mut options);
        options.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_pass() {
        Options::new("kafka-1:9092,[::1]:9092").check().unwrap();
    }

    #[test]
    fn each_option_that_cannot_work_is_named() {
        for (change, named) in [
            ((|o| o.bootstrap = String::new()) as fn(&mut Options), "bootstrap"),
            (|o| o.bootstrap = "kafka".to_owned(), "bootstrap"),
            (|o| o.bootstrap = "kafka:0".to_owned(), "bootstrap"),
            (|o| o.topic = "a b".to_owned(), "topic"),
            (|o| o.prefix = "x".repeat(300), "topic"),
            (|o| o.partitions = Some(3), "partitions"),
            (|o| o.partitions = Some(0), "partitions"),
            (|o| o.replication = Some(0), "replication"),
            (|o| o.retention_ms = RETENTION_MS_MIN - 1, "retention_ms"),
            (|o| o.queue_max = 0, "queue_max"),
            (|o| o.delivery_timeout = Duration::ZERO, "delivery_timeout"),
            (
                |o| o.request_timeout = Duration::from_secs(301),
                "request_timeout",
            ),
        ] {
            let told = refused(change);
            assert!(told.contains(&format!("`{named}`")), "{told}");
        }
    }

    #[test]
    fn a_reader_makes_no_topic() {
        let mut options = Options::new("127.0.0.1:9092");
        let told = options.check_to_read().unwrap_err().to_string();
        assert!(told.contains("`topics`") && told.contains("`trust`"), "{told}");
        for topics in [Topics::Verify, Topics::Trust] {
            options.topics = topics;
            options.check_to_read().unwrap();
        }
    }

    #[test]
    fn a_bearer_token_goes_with_a_trusted_topic_alone() {
        let token_file = tempfile::NamedTempFile::new().unwrap();
        let mut options = Options::new("127.0.0.1:9092");
        options.security.sasl = Some(crate::Sasl::OauthBearer {
            token_file: token_file.path().to_owned(),
        });
        for topics in [Topics::Create, Topics::Verify] {
            options.topics = topics;
            let told = options.check().unwrap_err().to_string();
            assert!(
                told.contains("`topics`") && told.contains("OAUTHBEARER"),
                "{told}"
            );
        }
        options.topics = Topics::Trust;
        assert_eq!(options.check().is_ok(), cfg!(feature = "tls"));
    }

    #[test]
    fn a_prefix_stands_before_the_name() {
        let mut options = Options::new("127.0.0.1:9092");
        options.prefix = "prod.".to_owned();
        assert_eq!(options.topic_name(), "prod.curfew.revocations.v1");
    }

    #[test]
    fn every_mode_has_its_word() {
        for mode in [Topics::Create, Topics::Verify, Topics::Trust] {
            assert_eq!(Topics::from_word(mode.as_str()), Some(mode));
        }
        assert_eq!(Topics::from_word("maybe"), None);
    }
}

//! How the topic must be set, and the texts that make it so.
//!
//! **Invariant:** whatever makes the topic, the line, the YAML or Curfew itself, makes the same one.

use crate::options::{Options, PARTITIONS_DEFAULT, WATERMARKS_RETENTION_MS};

/// A replicated log has three copies, of which two must have a record before it counts as there.
const REPLICAS: u16 = 3;

/// One setting of the topic.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) rule: Rule,
    /// What happens where it is otherwise.
    pub(crate) why: &'static str,
}

/// Which other values would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Exactly,
    AtLeast,
    /// `AtLeast`, where -1 stands for no end.
    AtLeastOrForEver,
}

/// The topic as it must be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) bootstrap: String,
    pub(crate) partitions: u16,
    pub(crate) replication: u16,
    pub(crate) settings: Vec<Setting>,
}

impl Wanted {
    pub(crate) fn new(options: &Options, brokers: usize) -> Self {
        let default = if brokers >= usize::from(REPLICAS) {
            REPLICAS
        } else {
            1
        };
        let replication = options.replication.unwrap_or(default);
        // One of three may be gone; with fewer copies, waiting for two would stop the log with one broker.
        let in_sync = if replication >= REPLICAS { 2 } else { 1 };
        let setting = |name, value: &str, rule, why| Setting {
            name,
            value: value.to_owned(),
            rule,
            why,
        };
        let settings = vec![
            setting(
                "cleanup.policy",
                "delete",
                Rule::Exactly,
                "compaction drops records that a follower has yet to read",
            ),
            setting(
                "message.timestamp.type",
                "LogAppendTime",
                Rule::Exactly,
                "retention would go by the clocks of producers",
            ),
            setting(
                "retention.ms",
                &options.retention_ms.to_string(),
                Rule::AtLeastOrForEver,
                "records go before the tokens that they cover, or before a checkpoint has passed them",
            ),
            setting(
                "retention.bytes",
                "-1",
                Rule::Exactly,
                "records go by size, whatever still needs them",
            ),
            setting(
                "unclean.leader.election.enable",
                "false",
                Rule::Exactly,
                "a broker that lacks acknowledged records may become the leader",
            ),
            setting(
                "min.insync.replicas",
                &in_sync.to_string(),
                Rule::AtLeast,
                "an acknowledged record may lie on one broker alone",
            ),
        ];
        Self {
            name: options.topic_name(),
            bootstrap: options.bootstrap.clone(),
            partitions: options.partitions.unwrap_or(PARTITIONS_DEFAULT),
            replication,
            settings,
        }
    }

    /// The topic on which nodes tell one another of their followers: nothing stands on it, so it is kept for an hour.
    pub(crate) fn watermarks(options: &Options, brokers: usize) -> Self {
        let setting = |name, value: &str, rule, why| Setting {
            name,
            value: value.to_owned(),
            rule,
            why,
        };
        Self {
            partitions: 1,
            settings: vec![
                setting(
                    "cleanup.policy",
                    "delete",
                    Rule::Exactly,
                    "messages have no key to compact by",
                ),
                setting(
                    "retention.ms",
                    &WATERMARKS_RETENTION_MS.to_string(),
                    Rule::Exactly,
                    "four messages a second of each node are kept for nobody",
                ),
            ],
            ..Self::new(options, brokers)
        }
    }

    /// The command that makes the topic.
    pub(crate) fn create_line(&self) -> String {
        let mut line = format!(
            "kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {} --replication-factor {}",
            self.bootstrap, self.name, self.partitions, self.replication
        );
        for setting in &self.settings {
            line.push_str(&format!(" --config {}={}", setting.name, setting.value));
        }
        line
    }

    /// The command that puts one setting right.
    pub(crate) fn alter_line(&self, setting: &Setting) -> String {
        format!(
            "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {} --add-config {}={}",
            self.bootstrap, self.name, setting.name, setting.value
        )
    }

    /// The topic for Strimzi's operator, which owns topics where it runs.
    pub(crate) fn yaml(&self) -> String {
        // A name of Kubernetes has no underscores and no capitals; `topicName` says the real one.
        let resource = self.name.to_lowercase().replace('_', "-");
        let mut yaml = format!(
            "apiVersion: kafka.strimzi.io/v1\nkind: KafkaTopic\nmetadata:\n  name: {resource}\n  labels:\n    strimzi.io/cluster: kafka\nspec:\n  topicName: {}\n  partitions: {}\n  replicas: {}\n  config:\n",
            self.name, self.partitions, self.replication
        );
        for setting in &self.settings {
            // Text stays text, numbers and truth values are written bare.
            let is_bare = setting.value.parse::<i64>().is_ok() || setting.value == "false";
            let quote = if is_bare { "" } else { "\"" };
            yaml.push_str(&format!(
                "    {}: {quote}{}{quote}\n",
                setting.name, setting.value
            ));
        }
        yaml
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_brokers_hold_three_copies_and_fewer_hold_one() {
        let options = Options::new("127.0.0.1:9092");
        for (brokers, replication, in_sync) in [(1, 1, "1"), (2, 1, "1"), (3, 3, "2"), (9, 3, "2")] {
            let wanted = Wanted::new(&options, brokers);
            let last = wanted.settings.last().unwrap();
            assert_eq!((wanted.replication, last.value.as_str()), (replication, in_sync));
        }
    }

    #[test]
    fn the_line_and_the_yaml_make_the_same_topic() {
        let wanted = Wanted::new(&Options::new("127.0.0.1:9092"), 3);
        let (line, yaml) = (wanted.create_line(), wanted.yaml());
        for setting in &wanted.settings {
            assert!(
                line.contains(&format!("--config {}={}", setting.name, setting.value)),
                "{line}"
            );
            assert!(yaml.contains(&format!("    {}: ", setting.name)), "{yaml}");
        }
        assert!(line.contains("--partitions 8 --replication-factor 3"), "{line}");
        assert!(yaml.contains("  partitions: 8\n  replicas: 3\n"), "{yaml}");
    }
}

//! Settings that were found, beside those that are wanted.
//!
//! **Invariant:** a setting that the broker does not tell is a finding, never a pass.

use std::collections::BTreeMap;

use super::finding::{Finding, Severity};
use super::wanted::{Rule, Setting, Wanted};
use crate::client::SeenTopic;

/// Names and values, as brokers tell them.
pub(crate) type Entries = BTreeMap<String, String>;

/// Above this a replicated, mostly idle log is read late: its slowest hundredth ends at this wait (measured).
const REPLICA_WAIT_MS_MAX: i64 = 100;

/// Everything that is otherwise than wanted.
pub(crate) fn judge(wanted: &Wanted, topic: &SeenTopic, entries: &Entries) -> Vec<Finding> {
    let mut findings: Vec<_> = replicas(wanted, topic).into_iter().collect();
    findings.extend(wanted.settings.iter().filter_map(|setting| {
        let found = entries.get(setting.name);
        (!found.is_some_and(|found| setting.admits(found))).then(|| Finding {
            severity: Severity::Wrong,
            what: setting.name.to_owned(),
            found: found.cloned().unwrap_or_else(|| "not told".to_owned()),
            wanted: setting.wanted(),
            why: setting.why,
            mend: vec![wanted.alter_line(setting)],
        })
    }));
    let in_sync = entries
        .get("min.insync.replicas")
        .and_then(|text| text.parse().ok());
    if topic.replication > 1 && in_sync.is_some_and(|in_sync: usize| in_sync >= topic.replication) {
        findings.push(Finding {
            severity: Severity::Advice,
            what: "min.insync.replicas".to_owned(),
            found: format!("{} of {} copies", topic.replication, topic.replication),
            wanted: "one fewer than copies".to_owned(),
            why: "the log takes no record while any one broker is away",
            mend: wanted
                .settings
                .iter()
                .filter(|setting| setting.name == "min.insync.replicas")
                .map(|setting| wanted.alter_line(setting))
                .collect(),
        });
    }
    findings
}

/// Whether each record lies on enough brokers.
pub(crate) fn replicas(wanted: &Wanted, topic: &SeenTopic) -> Option<Finding> {
    (topic.replication < usize::from(wanted.replication)).then(|| Finding {
        severity: Severity::Wrong,
        what: "replication factor".to_owned(),
        found: topic.replication.to_string(),
        wanted: format!("at least {}", wanted.replication),
        why: "what is DURABLE must survive the loss of one broker",
        mend: vec![format!(
            "kafka-reassign-partitions.sh --bootstrap-server {} --reassignment-json-file FILE --execute   # FILE names {} replicas for each partition of {}",
            wanted.bootstrap, wanted.replication, wanted.name
        )],
    })
}

/// What brokers are set to that costs time or safety, and is not the topic's to say.
pub(crate) fn advise(topic: &SeenTopic, entries: &Entries) -> Vec<Finding> {
    let mut findings = Vec::new();
    let wait = entries.get("replica.fetch.wait.max.ms");
    if topic.replication > 1
        && let Some(found) = wait
        && found.parse::<i64>().is_ok_and(|ms| ms > REPLICA_WAIT_MS_MAX)
    {
        findings.push(Finding {
            severity: Severity::Advice,
            what: "replica.fetch.wait.max.ms".to_owned(),
            found: found.clone(),
            wanted: "20, in each broker's server.properties".to_owned(),
            why: "the slowest hundredth of revocations of an idle log waits this long between brokers",
            mend: vec!["replica.fetch.wait.max.ms=20".to_owned()],
        });
    }
    if entries
        .get("auto.create.topics.enable")
        .is_some_and(|found| found == "true")
    {
        findings.push(Finding {
            severity: Severity::Advice,
            what: "auto.create.topics.enable".to_owned(),
            found: "true".to_owned(),
            wanted: "false, in each broker's server.properties".to_owned(),
            why: "a topic that was deleted comes back by itself, empty and with other settings",
            mend: vec!["auto.create.topics.enable=false".to_owned()],
        });
    }
    findings
}

impl Setting {
    fn admits(&self, found: &str) -> bool {
        let at_least = || {
            found
                .parse::<i64>()
                .ok()
                .zip(self.value.parse::<i64>().ok())
                .is_some_and(|(found, wanted)| found >= wanted)
        };
        match self.rule {
            Rule::Exactly => found == self.value,
            Rule::AtLeast => at_least(),
            Rule::AtLeastOrForEver => found == "-1" || at_least(),
        }
    }

    fn wanted(&self) -> String {
        match self.rule {
            Rule::Exactly => self.value.clone(),
            Rule::AtLeast | Rule::AtLeastOrForEver => format!("at least {}", self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn right(wanted: &Wanted) -> Entries {
        wanted
            .settings
            .iter()
            .map(|setting| (setting.name.to_owned(), setting.value.clone()))
            .collect()
    }

    const TOPIC: SeenTopic = SeenTopic {
        partitions: 8,
        replication: 3,
        has_leaders: true,
    };

    #[test]
    fn each_wrong_setting_is_named_with_what_was_found_and_what_mends_it() {
        let wanted = Wanted::new(&Options::new("127.0.0.1:9092"), 3);
        assert_eq!(judge(&wanted, &TOPIC, &right(&wanted)), []);
        for (name, wrong) in [
            ("cleanup.policy", "compact,delete"),
            ("message.timestamp.type", "CreateTime"),
            ("retention.ms", "604799999"),
            ("retention.bytes", "1073741824"),
            ("unclean.leader.election.enable", "true"),
            ("min.insync.replicas", "1"),
        ] {
            let mut entries = right(&wanted);
            entries.insert(name.to_owned(), wrong.to_owned());
            let findings = judge(&wanted, &TOPIC, &entries);
            assert_eq!(findings.len(), 1);
            assert_eq!(
                (findings[0].what.as_str(), findings[0].found.as_str()),
                (name, wrong)
            );
            assert!(findings[0].mend[0].contains(&format!("--add-config {name}=")));
            entries.remove(name);
            assert_eq!(judge(&wanted, &TOPIC, &entries)[0].found, "not told");
        }
    }

    #[test]
    fn more_than_is_wanted_passes() {
        let wanted = Wanted::new(&Options::new("127.0.0.1:9092"), 3);
        for long in ["-1", "99999999999"] {
            let mut entries = right(&wanted);
            entries.insert("retention.ms".to_owned(), long.to_owned());
            assert_eq!(judge(&wanted, &TOPIC, &entries), []);
        }
    }

    #[test]
    fn too_few_copies_are_wrong_and_too_strict_ones_are_advised_against() {
        let wanted = Wanted::new(&Options::new("127.0.0.1:9092"), 3);
        let two = SeenTopic {
            replication: 2,
            ..TOPIC
        };
        assert_eq!(
            judge(&wanted, &two, &right(&wanted))[0].what,
            "replication factor"
        );
        let mut entries = right(&wanted);
        entries.insert("min.insync.replicas".to_owned(), "3".to_owned());
        let findings = judge(&wanted, &TOPIC, &entries);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Advice));
    }

    #[test]
    fn a_slow_wait_between_brokers_is_told_only_where_there_are_copies() {
        let entries = Entries::from([("replica.fetch.wait.max.ms".to_owned(), "500".to_owned())]);
        assert_eq!(advise(&TOPIC, &entries).len(), 1);
        assert_eq!(
            advise(
                &SeenTopic {
                    replication: 1,
                    ..TOPIC
                },
                &entries
            ),
            []
        );
    }
}

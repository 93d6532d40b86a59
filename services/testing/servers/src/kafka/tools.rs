//! Kafka's own command-line tools.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use super::jars::Jars;
use super::properties::KafkaSasl;
use crate::error::Error;
use crate::program::JAVA;

/// A second on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Any 16 bytes: every Kafka of ours has ports and a directory of its own.
const CLUSTER_ID: &str = "Y3VyZmV3LXRlc3Qta2Fmaw";

/// The tools by the names that their users know.
const TOOLS: [(&str, &str); 4] = [
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-acls", "org.apache.kafka.tools.AclCommand"),
    ("kafka-configs", "org.apache.kafka.tools.ConfigCommand"),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
];

/// Formats the directory that `config` names; SCRAM's users are part of that.
pub(super) fn format(jars: &Jars, config: &Path, sasl: Option<&KafkaSasl>) -> Result<(), Error> {
    let mut arguments = vec!["format".to_owned(), "-t".to_owned(), CLUSTER_ID.to_owned()];
    arguments.extend(["-c".to_owned(), config.display().to_string()]);
    if let Some(KafkaSasl::Scram { users }) = sasl {
        for (name, password) in users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                arguments.push("--add-scram".to_owned());
                arguments.push(format!("{mechanism}=[name={name},password={password}]"));
            }
        }
    }
    let output = java(jars, "kafka.tools.StorageTool", &arguments)?;
    printed("kafka-storage", &output).map(drop)
}

/// Runs `tool` against a broker.
pub(super) fn run(jars: &Jars, bootstrap: &str, tool: &str, arguments: &[&str]) -> Result<String, Error> {
    let Some((_, class)) = TOOLS.iter().find(|(name, _)| *name == tool) else {
        return Err(Error::Options(
            "tools are kafka-topics, kafka-acls, kafka-configs and kafka-get-offsets",
        ));
    };
    let mut all = vec!["--bootstrap-server".to_owned(), bootstrap.to_owned()];
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    let output = java(jars, class, &all)?;
    printed(tool, &output)
}

fn java(jars: &Jars, class: &str, arguments: &[String]) -> Result<Output, Error> {
    JAVA.output(LIMIT, |java| {
        java.args(jars.arguments())
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", class])
            .args(arguments);
    })
}

fn printed(tool: &str, output: &Output) -> Result<String, Error> {
    let out = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(out.trim_end_matches('\n').to_owned());
    }
    let err = String::from_utf8_lossy(&output.stderr);
    Err(Error::Refused {
        command: tool.to_owned(),
        said: format!("{}\n{}", out.trim(), err.trim()),
    })
}

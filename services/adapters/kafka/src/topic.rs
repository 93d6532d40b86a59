//! The topic: how it must be set, whether it is, and what mends it.
//!
//! **Invariant:** nothing here changes a topic that is there: what is wrong is told, with the line that mends it.

mod finding;
mod settings;
mod wanted;

use std::time::Duration;

use curfew_core::place::PARTITIONS;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

pub use finding::{Finding, Report, Severity};

use crate::client::{Context, Questions, Seen, SeenTopic, config};
use crate::error::{OpenError, code_of};
use crate::options::{Options, Topics};
use settings::Entries;
use wanted::Wanted;

/// How often a topic that was just made is looked for: brokers tell one another within some milliseconds.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// With fewer copies, one broker that is lost takes records with it, or stops the log.
const REPLICATION_SAFE: u16 = 3;
/// Within this every broker knows of a topic.
pub(crate) const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// Makes the topic, looks at it or trusts it, as the options say; gives its number of partitions.
pub(crate) async fn prepare(options: &Options, questions: &Questions) -> Result<u16, OpenError> {
    let seen = answered(
        options,
        questions,
        "which topics there are",
        questions.metadata().await,
    )?;
    let wanted = Wanted::new(options, seen.brokers.len());
    let topic = match (seen.topic, options.topics) {
        (Some(topic), _) => topic,
        (None, Topics::Create) => make(options, &wanted, questions).await?,
        (None, mode @ (Topics::Verify | Topics::Trust)) => {
            return Err(OpenError::NoTopic {
                topic: wanted.name.clone(),
                create: wanted.create_line(),
                mode,
            });
        }
    };
    let partitions = partitions_of(options, &wanted.name, &topic)?;
    if options.topics != Topics::Trust {
        let entries = entries_of_new(options, &wanted.name).await?;
        let entries = answered(options, questions, "how the topic is set", entries)?;
        let findings = settings::judge(&wanted, &topic, &entries);
        if findings.iter().any(|finding| finding.severity == Severity::Wrong) {
            return Err(OpenError::Settings {
                topic: wanted.name.clone(),
                yaml: wanted.yaml(),
                findings,
            });
        }
    }
    Ok(partitions)
}

/// Makes the topic on which nodes tell one another of their followers, where the options say so; refuses one that is
/// missing otherwise. How it is set is nobody's loss.
pub(crate) async fn prepare_watermarks(options: &Options, questions: &Questions) -> Result<(), OpenError> {
    let seen = answered(
        options,
        questions,
        "which topics there are",
        questions.metadata().await,
    )?;
    let wanted = Wanted::watermarks(options, seen.brokers.len());
    match (seen.topic, options.topics) {
        (Some(_), _) => Ok(()),
        (None, Topics::Create) => make(options, &wanted, questions).await.map(drop),
        (None, mode @ (Topics::Verify | Topics::Trust)) => Err(OpenError::NoTopic {
            topic: wanted.name.clone(),
            create: wanted.create_line(),
            mode,
        }),
    }
}

/// Looks whether there is the topic beside this log on which nodes tell one another of their followers.
pub async fn examine_watermarks(log: &Options) -> Report {
    let mut report = Report::default();
    let options = crate::watermarks::options_of(log);
    // What is wrong with the options or the cluster, `examine` tells.
    let Ok(questions) = options.check().and_then(|()| Questions::new(&options)) else {
        return report;
    };
    let Ok(seen) = questions.metadata().await else {
        return report;
    };
    report.brokers = seen.brokers.len();
    let wanted = Wanted::watermarks(&options, seen.brokers.len());
    (report.yaml, report.create) = (wanted.yaml(), wanted.create_line());
    match seen.topic {
        Some(topic) => report.partitions = Some(topic.partitions),
        None => {
            let finding = match options.topics {
                Topics::Create => may_make(&options, &wanted).await.err(),
                Topics::Verify | Topics::Trust => Some(finding::no_topic(&wanted)),
            };
            report.is_made_at_start = finding.is_none();
            // Nodes run without it.
            report.findings.extend(finding.map(|finding| Finding {
                severity: Severity::Advice,
                why: "nodes do not hear of one another's followers: ENFORCED takes up to fifteen seconds more",
                ..finding
            }));
        }
    }
    report
}

/// Looks at the cluster and the topic as `options` name them, changes nothing, and tells all that is wrong.
pub async fn examine(options: &Options) -> Report {
    let mut report = Report::default();
    let questions = match options.check().and_then(|()| Questions::new(options)) {
        Ok(questions) => questions,
        Err(error) => {
            report.findings.push(finding::of_options(&error));
            return report;
        }
    };
    let seen = match questions.metadata().await {
        Ok(seen) => seen,
        Err(error) => {
            report
                .findings
                .push(finding::of_answer(options, "metadata", &error));
            return report;
        }
    };
    report.brokers = seen.brokers.len();
    report.cluster_id = questions.cluster_id().await.ok();
    let wanted = Wanted::new(options, seen.brokers.len());
    report.yaml = wanted.yaml();
    report.create = wanted.create_line();
    let Some(topic) = &seen.topic else {
        let finding = match options.topics {
            Topics::Create => may_make(options, &wanted).await.err(),
            Topics::Verify | Topics::Trust => Some(finding::no_topic(&wanted)),
        };
        report.is_made_at_start = finding.is_none();
        report.findings.extend(finding);
        return report;
    };
    report.partitions = Some(topic.partitions);
    if let Err(error) = partitions_of(options, &wanted.name, topic) {
        report
            .findings
            .push(finding::of_partitions(&wanted, topic, &error));
    }
    if !topic.has_leaders {
        report.findings.push(finding::no_leader(&wanted));
    }
    examine_settings(options, &wanted, &seen, topic, &mut report).await;
    report
}

async fn examine_settings(
    options: &Options,
    wanted: &Wanted,
    seen: &Seen,
    topic: &SeenTopic,
    report: &mut Report,
) {
    if options.security.token_file().is_some() {
        // As `Options::check` says of it.
        report.findings.extend(settings::replicas(wanted, topic));
        report.findings.push(finding::not_looked_at(wanted));
        return;
    }
    let admin = match admin(options) {
        Ok(admin) => admin,
        Err(error) => {
            report.findings.push(finding::of_options(&error));
            return;
        }
    };
    match entries(&admin, options, ResourceSpecifier::Topic(&wanted.name)).await {
        Ok(entries) => report.findings.extend(settings::judge(wanted, topic, &entries)),
        Err(error) => {
            report.findings.extend(settings::replicas(wanted, topic));
            let mut finding = finding::of_answer(options, "settings", &error);
            if options.topics == Topics::Trust {
                // The log opens all the same: somebody else answers for them.
                finding.severity = Severity::Advice;
            }
            report.findings.push(finding);
        }
    }
    // Brokers are set alike, or should be: one of them is asked, and one that does not tell is no fault.
    if let Some(broker) = seen.brokers.first()
        && let Ok(entries) = entries(&admin, options, ResourceSpecifier::Broker(*broker)).await
    {
        report.findings.extend(settings::advise(topic, &entries));
    }
    drop_apart(admin);
}

fn partitions_of(options: &Options, name: &str, topic: &SeenTopic) -> Result<u16, OpenError> {
    let present = topic.partitions;
    if let Some(asked) = options.partitions
        && usize::from(asked) != present
    {
        return Err(OpenError::Partitions {
            topic: name.to_owned(),
            present,
            asked,
        });
    }
    match u16::try_from(present) {
        Ok(count) if count > 0 && PARTITIONS.is_multiple_of(count) => Ok(count),
        Ok(_) | Err(_) => Err(OpenError::NotADivisor {
            topic: name.to_owned(),
            present,
        }),
    }
}

/// Has brokers judge the making of the topic, which makes nothing.
async fn may_make(options: &Options, wanted: &Wanted) -> Result<(), Finding> {
    let admin = admin(options).map_err(|error| finding::of_options(&error))?;
    let only_judged = admin_options(options).validate_only(true);
    let judged = admin.create_topics([&new_topic(wanted)], &only_judged).await;
    drop_apart(admin);
    let codes = judged.map_err(|error| finding::of_answer(options, "the topic", &error))?;
    match codes.into_iter().find_map(Result::err) {
        // Another node was faster.
        None | Some((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
        Some((_, code)) => Err(finding::not_made(options, wanted, code)),
    }
}

fn new_topic(wanted: &Wanted) -> NewTopic<'_> {
    let mut topic = NewTopic::new(
        &wanted.name,
        wanted.partitions.into(),
        TopicReplication::Fixed(wanted.replication.into()),
    );
    for setting in &wanted.settings {
        topic = topic.set(setting.name, &setting.value);
    }
    topic
}

/// Makes the topic and waits until it can be written; another node may make it at the same time.
async fn make(options: &Options, wanted: &Wanted, questions: &Questions) -> Result<SeenTopic, OpenError> {
    let admin = admin(options)?;
    if wanted.replication < REPLICATION_SAFE {
        tracing::warn!(
            topic = wanted.name,
            replication = wanted.replication,
            "the topic is made with so few copies that a lost broker may lose what was acknowledged"
        );
    }
    let made = admin
        .create_topics([&new_topic(wanted)], &admin_options(options))
        .await;
    drop_apart(admin);
    let refused = |source| OpenError::NotMade {
        topic: wanted.name.clone(),
        source: Box::new(source),
        create: wanted.create_line(),
    };
    for result in made.map_err(&refused)? {
        match result {
            Ok(_) => tracing::info!(
                topic = wanted.name,
                partitions = wanted.partitions,
                "the topic is made"
            ),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(refused(KafkaError::AdminOp(code))),
        }
    }
    let until = Instant::now() + options.request_timeout;
    loop {
        let seen = answered(
            options,
            questions,
            "about the new topic",
            questions.metadata().await,
        )?;
        match seen.topic {
            Some(topic) if topic.has_leaders && topic.partitions > 0 => return Ok(topic),
            Some(_) | None if Instant::now() < until => tokio::time::sleep(LOOK_AGAIN).await,
            Some(_) | None => {
                return Err(refused(KafkaError::MetadataFetch(
                    RDKafkaErrorCode::LeaderNotAvailable,
                )));
            }
        }
    }
}

fn admin(options: &Options) -> Result<AdminClient<Context>, OpenError> {
    config(options)
        .create_with_context(Context::new(options))
        .map_err(|error| OpenError::client(&error))
}

/// Closing joins a thread that looks up every 100 ms.
fn drop_apart(admin: AdminClient<Context>) {
    tokio::task::spawn_blocking(move || drop(admin));
}

fn admin_options(options: &Options) -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(options.request_timeout))
        .operation_timeout(Some(options.request_timeout))
}

/// The topic's settings. One that was made a moment ago, by whomever, is not known to every broker yet, and one
/// that does not know it answers as one that does not tell.
async fn entries_of_new(options: &Options, name: &str) -> Result<KafkaResult<Entries>, OpenError> {
    let admin = admin(options)?;
    let until = Instant::now() + options.request_timeout.min(KNOWN_WITHIN);
    let entries = loop {
        let entries = entries(&admin, options, ResourceSpecifier::Topic(name)).await;
        if entries.is_ok() || Instant::now() >= until {
            break entries;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    drop_apart(admin);
    Ok(entries)
}

async fn entries(
    admin: &AdminClient<Context>,
    options: &Options,
    resource: ResourceSpecifier<'_>,
) -> KafkaResult<Entries> {
    let answers = admin
        .describe_configs([&resource], &admin_options(options))
        .await?;
    let answer = answers
        .into_iter()
        .next()
        .ok_or(KafkaError::AdminOp(RDKafkaErrorCode::NoEnt))?;
    let resource = answer.map_err(KafkaError::AdminOp)?;
    if resource.entries.is_empty() {
        // A refusal that belongs to one resource arrives as no settings at all; every resource has some.
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed));
    }
    let entries = resource.entries.into_iter();
    Ok(entries
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect())
}

/// What brokers said, or where they were asked what, and what may mend it.
pub(crate) fn answered<T>(
    options: &Options,
    questions: &Questions,
    question: &'static str,
    answer: KafkaResult<T>,
) -> Result<T, OpenError> {
    answer.map_err(|source| {
        let source = Box::new(source);
        let mut lines = finding::mend_of(options, code_of(&source));
        lines.extend(
            questions
                .complaint()
                .map(|line| format!("# the client says: {line}")),
        );
        let remedy = lines.iter().map(|line| format!("\n  {line}")).collect();
        OpenError::Broker {
            bootstrap: options.bootstrap.clone(),
            question,
            source,
            remedy,
        }
    })
}

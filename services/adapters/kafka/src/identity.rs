//! Which log a topic holds.
//!
//! A log's id stands in its heartbeats. Before the first one it is a hash of the cluster's id, the topic's name and
//! M, so that nodes that start together on an empty topic agree without a word. The directory keeps what was found;
//! an adopted log has an id that no hash gives, and its heartbeats and the directory name it.
//!
//! **Invariant:** a topic whose newest heartbeats name another log than the directory is refused, whatever it is called.

use std::time::Duration;

use curfew_core::place::{LogIdentity, LogPartition};
use curfew_core::record::LogRecord;
use curfew_core::time::Millis;
use curfew_ports::log::{LogEntry, LogError, Tail as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::Questions;
use crate::error::{OpenError, unavailable};
use crate::tail::Tails;

/// How far back heartbeats are looked for, in records of each partition. At one heartbeat every 3 s the first
/// holds a quiet log's; the second one under 5,000 records a second; then whatever is retained.
const WINDOWS: [u64; 3] = [256, 16_384, u64::MAX];

/// A heartbeat on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) log: LogIdentity,
    pub(crate) partition: LogPartition,
    pub(crate) offset: u64,
    pub(crate) appended_at: Millis,
}

/// The id of a log that has no heartbeat yet.
pub(crate) fn derived(cluster_id: &str, topic: &str, partitions: u16) -> [u8; 16] {
    let text = format!("curfew log v1\0{cluster_id}\0{topic}\0{partitions}");
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut id = [0; 16];
    id.iter_mut()
        .zip(hash.as_ref())
        .for_each(|(to, from)| *to = *from);
    id
}

/// The newest heartbeat of each partition that has one, as far back as it takes to find any.
pub(crate) async fn newest_beats(
    tails: &Tails,
    questions: &Questions,
    partitions: u16,
    patience: Duration,
) -> Result<Vec<Beat>, LogError> {
    let bounds = questions.bounds(partitions).await;
    let bounds = bounds.map_err(|error| unavailable("heartbeats", error))?;
    for window in WINDOWS {
        let offsets: Vec<_> = bounds
            .iter()
            .map(|bounds| bounds.end.saturating_sub(window).max(bounds.start))
            .collect();
        let is_whole = offsets
            .iter()
            .zip(&bounds)
            .all(|(offset, bounds)| *offset == bounds.start);
        let ends: Vec<_> = bounds.iter().map(|bounds| bounds.end).collect();
        let beats = read(tails, offsets, &ends, patience).await?;
        if !beats.is_empty() || is_whole {
            return Ok(beats);
        }
    }
    Ok(Vec::new())
}

async fn read(
    tails: &Tails,
    mut offsets: Vec<u64>,
    ends: &[u64],
    patience: Duration,
) -> Result<Vec<Beat>, LogError> {
    let mut newest: Vec<Option<Beat>> = vec![None; offsets.len()];
    if offsets.iter().zip(ends).any(|(offset, end)| offset < end) {
        let tail = tails.start(offsets.clone()).await;
        let mut tail = tail.map_err(|error| unavailable("heartbeats", error))?;
        while offsets.iter().zip(ends).any(|(offset, end)| offset < end) {
            let silence = || {
                unavailable(
                    "heartbeats",
                    KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut),
                )
            };
            let batch = tokio::time::timeout(patience, tail.next())
                .await
                .map_err(|_| silence())??;
            for entry in batch {
                let index = entry.position.partition.index();
                if let Some(offset) = offsets.get_mut(index) {
                    *offset = entry.position.offset + 1;
                }
                if let (Some(beat), Some(place)) = (beat(&entry), newest.get_mut(index)) {
                    *place = Some(beat);
                }
            }
        }
    }
    Ok(newest.into_iter().flatten().collect())
}

fn beat(entry: &LogEntry) -> Option<Beat> {
    match &entry.record {
        LogRecord::Heartbeat(heartbeat) => Some(Beat {
            log: heartbeat.log,
            partition: entry.position.partition,
            offset: entry.position.offset,
            appended_at: entry.appended_at,
        }),
        LogRecord::Revocation(_)
        | LogRecord::SubjectState(_)
        | LogRecord::Directory(_)
        | LogRecord::Skip(_)
        | LogRecord::Unknown(_)
        | LogRecord::Withheld => None,
    }
}

/// Which log it is, of what its heartbeats say and what the directory says.
pub(crate) fn decide(
    topic: &str,
    beats: &[Beat],
    expected: Option<LogIdentity>,
    proposed: LogIdentity,
) -> Result<LogIdentity, OpenError> {
    // While a log is adopted, partitions name the old one and the new one for a moment: the newest word counts.
    let newest = beats.iter().max_by_key(|beat| beat.appended_at);
    match (newest, expected) {
        (Some(beat), Some(expected)) if beat.log != expected => Err(OpenError::OtherLog {
            topic: topic.to_owned(),
            partition: beat.partition,
            offset: beat.offset,
            found: beat.log,
            expected,
        }),
        (_, Some(expected)) => Ok(expected),
        (Some(beat), None) if beat.log.partitions != proposed.partitions => Err(OpenError::Partitions {
            topic: topic.to_owned(),
            present: proposed.partitions.into(),
            asked: beat.log.partitions,
        }),
        (Some(beat), None) => Ok(beat.log),
        (None, None) => Ok(proposed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(id: u8, partitions: u16) -> LogIdentity {
        LogIdentity::new([id; 16], partitions).unwrap()
    }

    fn beat(id: u8, partition: u16, at: i64) -> Beat {
        Beat {
            log: log(id, 4),
            partition: LogPartition(partition),
            offset: 7,
            appended_at: Millis::from_unix_ms(at),
        }
    }

    #[test]
    fn nodes_that_start_together_on_an_empty_topic_agree() {
        let id = derived("cluster", "topic", 4);
        assert_eq!(id, derived("cluster", "topic", 4));
        for other in [
            derived("other", "topic", 4),
            derived("cluster", "other", 4),
            derived("cluster", "topic", 8),
        ] {
            assert_ne!(id, other);
        }
        assert_eq!(decide("t", &[], None, log(1, 4)).unwrap(), log(1, 4));
    }

    #[test]
    fn heartbeats_name_the_log_to_whoever_expects_none() {
        let beats = [beat(2, 0, 10), beat(3, 1, 20)];
        assert_eq!(decide("t", &beats, None, log(1, 4)).unwrap(), log(3, 4));
    }

    #[test]
    fn p9_another_log_than_the_directory_names_is_refused() {
        assert_eq!(
            decide("t", &[beat(2, 0, 10)], Some(log(2, 4)), log(1, 4)).unwrap(),
            log(2, 4)
        );
        assert_eq!(decide("t", &[], Some(log(2, 4)), log(1, 4)).unwrap(), log(2, 4));
        let told = decide("t", &[beat(3, 2, 10)], Some(log(2, 4)), log(1, 4))
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("offset 7 of partition 2") && told.contains("0303"),
            "{told}"
        );
    }

    #[test]
    fn a_topic_that_got_more_partitions_is_told() {
        let told = decide("t", &[beat(2, 0, 10)], None, log(1, 8))
            .unwrap_err()
            .to_string();
        assert!(told.contains("8 partitions, not 4"), "{told}");
    }
}

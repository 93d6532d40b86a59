//! One stream: Begin, the snapshot, then the log's tail from where the snapshot was noted.
//!
//! **Invariant 7:** snapshot and position of a partition are one value, so snapshot(V) + tail(V)
//! denies what full replay denies.
//! **Invariant:** a heartbeat goes behind every record that precedes it in its partition; none of a
//! frozen partition is forwarded, but its place is.

use std::sync::Arc;
use std::time::Duration;

use curfew_authority::{FeedTail, LogEntry, LogError, PartitionSnapshot};
use curfew_core::ids::CallerId;
use curfew_core::mac::sha256;
use curfew_core::place::{LogPartition, PARTITIONS};
use curfew_core::record::LogRecord;
use curfew_core::refusal::Class;
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::watch_revocations_response::Frame;
use curfew_wire::{SnapshotSum, encode_entry, encode_log};
use futures_util::stream;
use prost::Message as _;
use prost::bytes::Bytes;

use super::Frames;
use super::batch::Batch;
use super::place::Place;
use super::progress::From;
use super::queue::{Queue, Reader, Step, Stopped, watermarks};
use super::scope::Scope;
use crate::caller::Presented;
use crate::convert::{duration, timestamp};
use crate::limits;
use crate::published;
use crate::shared::Shared;

/// How often permission and issuer entries are compared with the directory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A pause after which the same may succeed.
const SOON_MS: i64 = 1_000;

/// One subscriber's stream.
pub(super) struct Feed {
    pub(super) shared: Arc<Shared>,
    pub(super) caller: CallerId,
    pub(super) presented: Option<Presented>,
    pub(super) scope: Scope,
    pub(super) frame_bytes: usize,
    pub(super) is_too_old: bool,
    pub(super) place: limits::Place,
}

/// How a stream ends.
struct End {
    reason: pb::ResumeReason,
    retry_after_ms: i64,
    /// Whether the positions are of use to the one that comes back.
    keeps_positions: bool,
}

enum Stop {
    Gone,
    With(End),
}

impl std::convert::From<Stopped> for Stop {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Gone => Self::Gone,
            Stopped::Slow => end(pb::ResumeReason::Slow, 0, true),
        }
    }
}

const fn end(reason: pb::ResumeReason, retry_after_ms: i64, keeps_positions: bool) -> Stop {
    Stop::With(End {
        reason,
        retry_after_ms,
        keeps_positions,
    })
}

impl Feed {
    /// The frames; the work goes on until nobody takes them.
    pub(super) fn start(self, from: From) -> Frames {
        let settings = &self.shared.settings;
        let queue = Queue::new(
            settings.subscriber_queue_bytes,
            settings.subscriber_wait,
            self.shared.counters.clone(),
        );
        let reader = Reader(queue.clone());
        // It ends by itself when the reader is gone, so nobody needs its handle.
        drop(tokio::spawn(async move {
            let stop = tokio::select! {
                Err(stop) = self.run(from, &queue) => stop,
                () = queue.gone() => Stop::Gone,
            };
            if let Stop::With(end) = stop {
                let resume = pb::Resume {
                    positions: Vec::new(),
                    retry_after: Some(duration(end.retry_after_ms)),
                    reason: end.reason.into(),
                };
                let drops_rest = end.reason == pb::ResumeReason::Slow;
                queue.close(resume, drops_rest, end.keeps_positions);
            }
        }));
        Box::pin(stream::unfold(reader, |reader| async {
            let frame = reader.next().await?;
            let response = pb::WatchRevocationsResponse { frame: Some(frame) };
            Some((Ok(response), reader))
        }))
    }

    async fn run(&self, from: From, queue: &Queue) -> Result<std::convert::Infallible, Stop> {
        let _counted = &self.place;
        if self.is_too_old {
            return Err(end(pb::ResumeReason::ReaderTooOld, 60_000, true));
        }
        let mut issuers = self.issuers();
        let authority = &self.shared.authority;
        // What Begin says; an operator may have another log adopted while the stream lasts.
        let log = authority.follower().log();
        // Only a cold start needs the marks, which are copied for it.
        let copied = if from == From::Start {
            authority.snapshot()
        } else {
            authority.outline()
        };
        let Some(snapshot) = copied else {
            return Err(end(pb::ResumeReason::NotReady, SOON_MS, true));
        };
        let (mut place, mut tail) = match from {
            From::OtherLog => return Err(end(pb::ResumeReason::OtherLog, 0, false)),
            From::Here(next) => {
                let tail = self.tail(next.clone()).await?;
                let (first, rest) = self.fitting(&issuers);
                queue
                    .push(Step::to(self.begin(&snapshot, &next, true, first), next.clone()))
                    .await?;
                self.send_issuers(rest, queue).await?;
                (Place::resumed(next, &snapshot), tail)
            }
            From::Start => {
                let next: Vec<u64> = snapshot.iter().map(|partition| partition.next).collect();
                // The tail is held before the snapshot is sent, however long that takes.
                let tail = self.tail(next.clone()).await?;
                let (first, rest) = self.fitting(&issuers);
                queue
                    .push(Step::by_the_way(self.begin(&snapshot, &next, false, first)))
                    .await?;
                self.send_issuers(rest, queue).await?;
                self.send_snapshot(&snapshot, &next, queue).await?;
                (Place::resumed(next, &snapshot), tail)
            }
        };
        drop(snapshot);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            if authority.follower().log() != log {
                return Err(end(pb::ResumeReason::OtherLog, 0, false));
            }
            tokio::select! {
                () = self.shared.drained() => return Err(end(pb::ResumeReason::Draining, 0, true)),
                _ = ticks.tick() => self.look(&mut issuers, queue).await?,
                entries = tail.next() => {
                    let entries = entries.map_err(|error| of_log(&error))?;
                    self.send(&entries, &mut place, queue).await?;
                }
            }
        }
    }

    async fn tail(&self, next: Vec<u64>) -> Result<FeedTail, Stop> {
        self.shared
            .authority
            .tail_from(next)
            .await
            .map_err(|error| of_log(&error))
    }

    fn issuers(&self) -> Vec<pb::IssuerEntry> {
        let authority = &self.shared.authority;
        let loaded = authority.directory().loaded();
        self.scope.issuers(&loaded, &authority.config().base_url)
    }

    /// Whether the caller may still follow, and what is new among the issuer entries.
    async fn look(&self, issuers: &mut Vec<pb::IssuerEntry>, queue: &Queue) -> Result<(), Stop> {
        let loaded = self.shared.authority.directory().loaded();
        if !self.scope.is_permitted(&loaded, &self.caller) {
            return Err(end(pb::ResumeReason::NotAllowed, 10_000, true));
        }
        // The token as well: a stream is no way to outlive it, or its revocation.
        if let Some(presented) = &self.presented
            && let Err(refusal) = self.shared.authority.authenticate(&presented.0).await
            && !matches!(refusal.reason.class(), Class::Retry | Class::Limit)
        {
            // Whoever has another token comes back with it at once.
            return Err(end(pb::ResumeReason::NotAllowed, 0, true));
        }
        let present = self.issuers();
        if present == *issuers {
            return Ok(());
        }
        let changed: Vec<_> = present
            .iter()
            .filter(|entry| !issuers.contains(entry))
            .cloned()
            .collect();
        let is_gone = |old: &&pb::IssuerEntry| !present.iter().any(|entry| entry.issuer == old.issuer);
        let removed: Vec<_> = issuers
            .iter()
            .filter(is_gone)
            .map(|old| old.issuer.clone())
            .collect();
        *issuers = present;
        self.send_issuers(&changed, queue).await?;
        if removed.is_empty() {
            return Ok(());
        }
        let removal = pb::IssuerChanges {
            issuers: Vec::new(),
            removed,
        };
        Ok(queue
            .push(Step::by_the_way(Frame::IssuerChanges(removal)))
            .await?)
    }

    /// The issuer entries that Begin has room for, and the rest.
    fn fitting<'a>(&self, issuers: &'a [pb::IssuerEntry]) -> (&'a [pb::IssuerEntry], &'a [pb::IssuerEntry]) {
        // The other half is for what Begin says of each log partition.
        let mut bytes = self.frame_bytes / 2;
        let fit = issuers.iter().take_while(|entry| {
            let fits = bytes.checked_sub(entry.encoded_len());
            bytes = fits.unwrap_or(0);
            fits.is_some()
        });
        issuers.split_at(fit.count())
    }

    /// The issuer entries, in frames of bounded size: no tenant's list makes another's stream fail.
    async fn send_issuers(&self, issuers: &[pb::IssuerEntry], queue: &Queue) -> Result<(), Stop> {
        let frame = |issuers| {
            let removed = Vec::new();
            Step::by_the_way(Frame::IssuerChanges(pb::IssuerChanges { issuers, removed }))
        };
        let mut batch = Batch::new(self.frame_bytes);
        for entry in issuers {
            if let Some(full) = batch.add(entry.clone(), entry.encoded_len()) {
                queue.push(frame(full)).await?;
            }
        }
        match batch.rest() {
            Some(rest) => Ok(queue.push(frame(rest)).await?),
            None => Ok(()),
        }
    }

    fn begin(
        &self,
        snapshot: &[PartitionSnapshot],
        next: &[u64],
        resumed: bool,
        issuers: &[pb::IssuerEntry],
    ) -> Frame {
        let authority = &self.shared.authority;
        let config = authority.config();
        let log = authority.follower().log();
        let freshness = snapshot.iter().map(|partition| pb::PartitionFreshness {
            partition: partition.partition.0.into(),
            newest_stamp_time: partition.newest_stamp.map(timestamp),
            frozen_reason: partition
                .frozen
                .as_ref()
                .map(|frozen| frozen.why.to_string())
                .unwrap_or_default(),
        });
        Frame::Begin(pb::Begin {
            log_id: log.log_id.to_vec(),
            partitions: log.partitions.into(),
            store_partitions: PARTITIONS.into(),
            // The log port does not tell when its oldest record was written.
            retention_start_time: None,
            heartbeat_interval: Some(duration(config.heartbeat_interval_ms())),
            server_time: Some(timestamp(authority.now().wall)),
            snapshot_positions: watermarks(next),
            freshness: freshness.collect(),
            resumed,
            issuers: issuers.to_vec(),
            staleness_bound: Some(duration(config.staleness_ms)),
        })
    }

    async fn send_snapshot(
        &self,
        snapshot: &[PartitionSnapshot],
        next: &[u64],
        queue: &Queue,
    ) -> Result<(), Stop> {
        let mut sum = SnapshotSum::default();
        let mut batch = Batch::new(self.frame_bytes);
        for partition in snapshot {
            let followed = partition
                .entries
                .iter()
                .filter(|entry| self.scope.follows_entry(entry.tenant, entry.issuer));
            for entry in followed {
                sum.entry(entry.winner.id, entry.keep_until);
                let entry = encode_entry(entry);
                let bytes = entry.encoded_len();
                if let Some(entries) = batch.add(entry, bytes) {
                    queue
                        .push(Step::by_the_way(Frame::Snapshot(pb::Snapshot { entries })))
                        .await?;
                }
            }
        }
        if let Some(entries) = batch.rest() {
            queue
                .push(Step::by_the_way(Frame::Snapshot(pb::Snapshot { entries })))
                .await?;
        }
        let mut batch = Batch::new(self.frame_bytes);
        for record in snapshot
            .iter()
            .filter(|_| self.scope.shows_raw())
            .flat_map(raw_of)
        {
            sum.raw(&record.envelope);
            let bytes = record.encoded_len();
            if let Some(records) = batch.add(record, bytes) {
                queue
                    .push(Step::by_the_way(Frame::Raw(pb::Raw { records })))
                    .await?;
            }
        }
        if let Some(records) = batch.rest() {
            queue
                .push(Step::by_the_way(Frame::Raw(pb::Raw { records })))
                .await?;
        }
        let (count, checksum) = sum.end();
        let end = Frame::SnapshotEnd(pb::SnapshotEnd {
            count,
            checksum: checksum.to_vec(),
        });
        Ok(queue.push(Step::to(end, next.to_vec())).await?)
    }

    /// Whether the node itself is frozen there, however far it is.
    fn is_frozen(&self, partition: LogPartition) -> bool {
        let state = self.shared.authority.follower().state(partition);
        state.is_none_or(|state| state.frozen.is_some())
    }

    /// Sends entries of the tail, in the order of the log.
    async fn send(&self, entries: &[LogEntry], place: &mut Place, queue: &Queue) -> Result<(), Stop> {
        let log = self.shared.authority.follower().log();
        let mut batch = Batch::new(self.frame_bytes);
        for entry in entries {
            let Some(next) = place.next.get_mut(entry.position.partition.index()) else {
                return Err(end(pb::ResumeReason::OtherLog, 0, false));
            };
            if entry.position.offset < *next {
                // A copy that the log delivered again.
                continue;
            }
            let before = place.next.clone();
            if let Some(next) = place.next.get_mut(entry.position.partition.index()) {
                *next = entry.position.offset.saturating_add(1);
            }
            let is_frozen =
                place.is_frozen(entry.position.partition) || self.is_frozen(entry.position.partition);
            let position = Some(published::position(entry.position));
            if let LogRecord::Heartbeat(heartbeat) = &entry.record {
                if heartbeat.log != log {
                    return Err(end(pb::ResumeReason::OtherLog, 0, false));
                }
                if !is_frozen {
                    if let Some(records) = batch.rest() {
                        queue
                            .push(Step::to(Frame::Records(pb::Records { records }), before))
                            .await?;
                    }
                    let frame = Frame::Heartbeat(pb::HeartbeatRecord {
                        position,
                        envelope: encode_log(&entry.record).into(),
                    });
                    queue.push(Step::to(frame, place.next.clone())).await?;
                    continue;
                }
            }
            let is_shown =
                self.scope.shows(&entry.record) && !matches!(entry.record, LogRecord::Heartbeat(_));
            let record = pb::TailRecord {
                position,
                // Withheld: its place alone.
                envelope: if is_shown {
                    encode_log(&entry.record).into()
                } else {
                    Bytes::new()
                },
            };
            if is_shown && let Some(trace) = entry.record.trace() {
                self.tell_sent(entry, trace);
            }
            let bytes = record.encoded_len();
            if let Some(records) = batch.add(record, bytes) {
                queue
                    .push(Step::to(Frame::Records(pb::Records { records }), before))
                    .await?;
            }
            if let Some(frozen) = place.note(entry) {
                if let Some(records) = batch.rest() {
                    let frame = Frame::Records(pb::Records { records });
                    queue.push(Step::to(frame, place.next.clone())).await?;
                }
                queue.push(Step::by_the_way(Frame::Frozen(frozen))).await?;
            }
        }
        if let Some(records) = batch.rest() {
            let frame = Frame::Records(pb::Records { records });
            queue.push(Step::to(frame, place.next.clone())).await?;
        }
        Ok(())
    }
}

impl Feed {
    /// A span of the record's own trace, for each subscriber that it is sent to.
    fn tell_sent(&self, entry: &LogEntry, trace: &str) {
        let span = tracing::debug_span!(
            target: curfew_trace::TARGET,
            parent: None,
            "curfew.hub.send",
            otel.kind = "producer",
            messaging.operation.name = "send",
            messaging.operation.r#type = "send",
            messaging.message.id = entry.record.event_id().map(tracing::field::display),
            messaging.destination.partition.id = entry.position.partition.0,
            curfew.log.offset = entry.position.offset,
            curfew.caller = self.caller.as_str(),
        );
        curfew_trace::adopt(&span, trace);
        let _in_span = span.enter();
    }
}

fn of_log(error: &LogError) -> Stop {
    match error {
        LogError::OutOfRange { .. } | LogError::NoSuchPartition(_) => {
            end(pb::ResumeReason::OutOfRange, 0, false)
        }
        LogError::Unavailable { .. } => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the log does not answer; a stream ends"
            );
            end(pb::ResumeReason::NotReady, SOON_MS, true)
        }
    }
}

/// The unreadable records of a partition; the one that froze it first, with its place.
fn raw_of(snapshot: &PartitionSnapshot) -> Vec<pb::TailRecord> {
    let place = |offset| pb::Position {
        partition: snapshot.partition.0.into(),
        offset,
    };
    let froze = |raw: &Arc<[u8]>| {
        let frozen = snapshot.frozen.as_ref()?;
        (sha256(raw) == frozen.record_hash).then_some(frozen.offset)
    };
    let mut records: Vec<_> = snapshot
        .raw
        .iter()
        .map(|raw| {
            let offset = froze(raw);
            let record = pb::TailRecord {
                position: Some(place(offset.unwrap_or(0))),
                envelope: raw.to_vec().into(),
            };
            (offset.is_none(), record)
        })
        .collect();
    records.sort_by_key(|(is_other, _)| *is_other);
    records.into_iter().map(|(_, record)| record).collect()
}

//! What the frames of a hub's stream do to the guard's view.
//!
//! Begin, then either nothing more (resumed) or snapshot, raw records and their end; then the tail.
//!
//! **Invariant:** a snapshot counts only when it is whole: count and checksum are compared before the
//! view goes live.
//! **Invariant:** whatever does not fit ends the trust in the view, and the next stream begins with a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use curfew_core::follow::{Applied, Frozen};
use curfew_core::index::Index;
use curfew_core::mac::sha256;
use curfew_core::place::{LogIdentity, LogPartition, PARTITIONS, Position};
use curfew_core::record::LogRecord;
use curfew_core::time::Millis;
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::watch_revocations_response::Frame;
use curfew_wire::{SnapshotSum, decode_entry, decode_log};

use super::ms_of;
use crate::feed::Feed;
use crate::guard::Guard;
use crate::wait::WAIT_LAST_MS;

/// The most elements of a snapshot: 1.5 GB of marks; whoever has more must shard its guards.
const ENTRIES_MAX: usize = 10_000_000;

/// Why a stream is over, and when to come again.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) why: &'static str,
    pub(super) retry_after_ms: u64,
}

/// A snapshot that is being read.
struct Loading {
    feed: Feed,
    positions: BTreeMap<u16, u64>,
    index: Index,
    raw: Vec<(Position, Arc<[u8]>)>,
    sum: SnapshotSum,
}

/// What neither the hub nor this reader can read of one partition.
#[derive(Default)]
struct Unreadable {
    frozen: Option<Frozen>,
    raw: Vec<Arc<[u8]>>,
}

enum State {
    /// Before Begin.
    Waiting,
    Loading(Box<Loading>),
    Tailing,
}

/// What lasts from one stream to the next: the feed, whose positions the next one resumes from.
pub(super) struct Session {
    guard: Guard,
    feed: Option<Feed>,
    state: State,
    did_follow: bool,
}

/// A frame that does not fit; the words are for the log.
struct Misfit(String);

impl<T: Into<String>> From<T> for Misfit {
    fn from(words: T) -> Self {
        Self(words.into())
    }
}

impl Session {
    pub(super) fn new(guard: Guard) -> Self {
        Self {
            guard,
            feed: None,
            state: State::Waiting,
            did_follow: false,
        }
    }

    /// Where the next stream goes on; empty: from a snapshot.
    pub(super) fn resume_from(&self) -> (Vec<pb::Watermark>, Vec<u8>) {
        let Some(feed) = self.feed.as_ref().filter(|feed| feed.is_trusted()) else {
            return Default::default();
        };
        let Some(positions) = feed.follower().positions() else {
            return Default::default();
        };
        let log = feed.follower().log();
        let watermark = |(partition, next_offset): (LogPartition, u64)| pb::Watermark {
            partition: partition.0.into(),
            next_offset,
        };
        (
            log.all().zip(positions).map(watermark).collect(),
            log.log_id.to_vec(),
        )
    }

    pub(super) fn start(&mut self) {
        self.state = State::Waiting;
        self.did_follow = false;
    }

    /// Whether the last stream got as far as the tail: the mark of a good one.
    pub(super) fn did_follow(&self) -> bool {
        self.did_follow
    }

    /// One frame; `Some`: the stream is over.
    pub(super) fn take(&mut self, frame: pb::WatchRevocationsResponse) -> Option<Ended> {
        let Some(frame) = frame.frame else {
            self.forget("a frame that this version does not know");
            return Some(Ended {
                why: "unknown frame",
                retry_after_ms: WAIT_LAST_MS,
            });
        };
        match self.step(frame) {
            Ok(ended) => ended,
            Err(Misfit(what)) => {
                self.forget(&what);
                Some(Ended {
                    why: "misfit",
                    retry_after_ms: 0,
                })
            }
        }
    }

    fn step(&mut self, frame: Frame) -> Result<Option<Ended>, Misfit> {
        match (frame, &mut self.state) {
            (Frame::Begin(begin), State::Waiting) => self.begin(&begin)?,
            (Frame::Snapshot(snapshot), State::Loading(loading)) => loading.snapshot(snapshot)?,
            (Frame::Raw(raw), State::Loading(loading)) => loading.raw(raw)?,
            (Frame::SnapshotEnd(end), State::Loading(_)) => self.end(&end)?,
            (Frame::Records(records), State::Tailing) => {
                for record in &records.records {
                    self.apply(record.position.as_ref(), &record.envelope)?;
                }
            }
            (Frame::Heartbeat(heartbeat), State::Tailing) => {
                self.apply(heartbeat.position.as_ref(), &heartbeat.envelope)?;
                self.did_follow = true;
            }
            (Frame::Frozen(frozen), _) => {
                // The record itself comes as it lies on the log, and is judged by this reader; no heartbeat
                // follows it from a hub that cannot read it.
                tracing::error!(
                    partition = frozen.partition,
                    reason = frozen.reason,
                    "a log partition is frozen at the hub"
                );
            }
            (Frame::IssuerChanges(changes), _) => {
                // Whose tokens are taken is this guard's own configuration.
                tracing::info!(
                    changed = changes.issuers.len(),
                    removed = changes.removed.len(),
                    "issuer entries changed at the hub"
                );
            }
            (Frame::Resume(resume), _) => return Ok(Some(self.resume(&resume))),
            (
                Frame::Begin(_)
                | Frame::Snapshot(_)
                | Frame::Raw(_)
                | Frame::SnapshotEnd(_)
                | Frame::Records(_)
                | Frame::Heartbeat(_),
                State::Waiting | State::Loading(_) | State::Tailing,
            ) => return Err("a frame out of order".into()),
        }
        Ok(None)
    }

    fn begin(&mut self, begin: &pb::Begin) -> Result<(), Misfit> {
        if begin.store_partitions != u32::from(PARTITIONS) {
            return Err("the log has another number of store partitions".into());
        }
        let log_id = begin
            .log_id
            .as_slice()
            .try_into()
            .map_err(|_| "a log id that is none")?;
        let partitions = u16::try_from(begin.partitions).map_err(|_| "too many log partitions")?;
        let log = LogIdentity::new(log_id, partitions).ok_or("log partitions that do not divide 1,024")?;
        if begin.resumed {
            let is_same = self
                .feed
                .as_ref()
                .is_some_and(|feed| feed.is_trusted() && feed.follower().log() == log);
            if !is_same {
                return Err("resumed what was not there".into());
            }
            self.state = State::Tailing;
            return Ok(());
        }
        // Heartbeats are stamped by clocks like the hub's, so the registration is told by its clock.
        let registered_at = begin.server_time.as_ref().map_or_else(
            || self.guard.now().wall,
            |time| Millis::from_unix_ms(ms_of(time.seconds, time.nanos)),
        );
        let mut positions = BTreeMap::new();
        for watermark in &begin.snapshot_positions {
            let partition = u16::try_from(watermark.partition).map_err(|_| "a position of no partition")?;
            positions.insert(partition, watermark.next_offset);
        }
        if !log
            .all()
            .map(|partition| partition.0)
            .eq(positions.keys().copied())
        {
            return Err("positions that are not those of all partitions".into());
        }
        let feed = self.guard.begin(log, registered_at);
        self.feed = None;
        self.state = State::Loading(Box::new(Loading {
            feed,
            positions,
            index: Index::default(),
            raw: Vec::new(),
            sum: SnapshotSum::default(),
        }));
        Ok(())
    }

    fn end(&mut self, end: &pb::SnapshotEnd) -> Result<(), Misfit> {
        let State::Loading(loading) = std::mem::replace(&mut self.state, State::Tailing) else {
            return Ok(());
        };
        let (count, checksum) = loading.sum.clone().end();
        if count != end.count || checksum.as_slice() != end.checksum.as_slice() {
            return Err("a snapshot that is not whole".into());
        }
        self.feed = Some(loading.finish());
        Ok(())
    }

    fn apply(&mut self, position: Option<&pb::Position>, envelope: &[u8]) -> Result<(), Misfit> {
        let feed = self.feed.as_ref().ok_or("a record before a snapshot")?;
        let position = position_of(position)?;
        // A hub withholds other tenants' records, but not their places: nothing else has no bytes.
        let record = if envelope.is_empty() {
            LogRecord::Withheld
        } else {
            decode_log(envelope)
        };
        match feed.apply(position, &record) {
            Ok(Applied::Froze) => {
                tracing::error!(
                    ?position,
                    "a record that this version cannot read; its partition is frozen"
                );
                Ok(())
            }
            Ok(Applied::Revocation(_) | Applied::Other | Applied::Seen) => Ok(()),
            Err(reload) => Err(reload.to_string().into()),
        }
    }

    fn resume(&mut self, resume: &pb::Resume) -> Ended {
        let retry_after = resume
            .retry_after
            .as_ref()
            .map_or(0, |wait| ms_of(wait.seconds, wait.nanos));
        let why = match resume.reason() {
            pb::ResumeReason::Draining => "draining",
            pb::ResumeReason::Slow => "this guard was too slow",
            pb::ResumeReason::OutOfRange => "positions out of range",
            pb::ResumeReason::OtherLog => "another log",
            pb::ResumeReason::NotAllowed => "not allowed",
            pb::ResumeReason::NotReady => "the hub is not ready",
            pb::ResumeReason::ReaderTooOld => "this reader is too old",
            pb::ResumeReason::Unspecified => "not said why",
        };
        if matches!(
            resume.reason(),
            pb::ResumeReason::OutOfRange | pb::ResumeReason::OtherLog
        ) {
            self.forget(why);
        }
        Ended {
            why,
            retry_after_ms: u64::try_from(retry_after).unwrap_or(0),
        }
    }

    /// The view is not trusted any more, and denies until a snapshot replaces it.
    fn forget(&mut self, why: &str) {
        tracing::warn!(why, "the view is not trusted any more; a snapshot replaces it");
        self.guard.distrust();
        self.feed = None;
        self.state = State::Waiting;
    }
}

impl Loading {
    fn snapshot(&mut self, snapshot: pb::Snapshot) -> Result<(), Misfit> {
        for entry in snapshot.entries {
            let entry = decode_entry(entry).map_err(|cause| cause.to_string())?;
            self.sum.entry(entry.winner.id, entry.keep_until);
            self.index.insert_entry(entry);
        }
        if self.index.len() > ENTRIES_MAX {
            return Err("a snapshot with more elements than are held".into());
        }
        Ok(())
    }

    fn raw(&mut self, raw: pb::Raw) -> Result<(), Misfit> {
        for record in raw.records {
            self.sum.raw(&record.envelope);
            self.raw.push((
                position_of(record.position.as_ref())?,
                record.envelope.as_ref().into(),
            ));
        }
        Ok(())
    }

    /// What the hub cannot read, this reader may; what neither can freezes the partition here too (finding Q20).
    fn finish(mut self) -> Feed {
        let mut unreadable: BTreeMap<u16, Unreadable> = BTreeMap::new();
        for (position, bytes) in std::mem::take(&mut self.raw) {
            match decode_log(&bytes) {
                LogRecord::Revocation(revocation) => self.index.insert(&revocation),
                LogRecord::Unknown(unknown) => {
                    let part = unreadable.entry(position.partition.0).or_default();
                    let record_hash = sha256(&bytes);
                    part.frozen.get_or_insert(Frozen {
                        offset: position.offset,
                        record_hash,
                        why: unknown.why,
                    });
                    part.raw.push(bytes);
                }
                LogRecord::Heartbeat(_)
                | LogRecord::SubjectState(_)
                | LogRecord::Directory(_)
                | LogRecord::Skip(_)
                | LogRecord::Withheld => {}
            }
        }
        for (partition, next) in &self.positions {
            let Unreadable { frozen, raw } = unreadable.remove(partition).unwrap_or_default();
            self.feed
                .load_snapshot(LogPartition(*partition), Index::default(), *next, frozen, raw);
        }
        self.feed.load_base(std::mem::take(&mut self.index));
        self.feed.go_live();
        self.feed
    }
}

fn position_of(position: Option<&pb::Position>) -> Result<Position, Misfit> {
    let position = position.ok_or("a record without a position")?;
    let partition = u16::try_from(position.partition).map_err(|_| "a record of no partition")?;
    Ok(Position {
        partition: LogPartition(partition),
        offset: position.offset,
    })
}

//! Frames by script, and one stream over a real connection.

use curfew_core::index::Entry;
use curfew_core::place::{LogPartition, Position};
use curfew_core::record::{LogRecord, Revocation};
use curfew_core::refusal::Reason;
use curfew_proto::revocation::v1::watch_revocations_response::Frame;
use curfew_wire::{SnapshotSum, encode_entry, encode_log};

use super::*;
use crate::testing::*;

mod wire;

fn response(frame: Frame) -> pb::WatchRevocationsResponse {
    pb::WatchRevocationsResponse { frame: Some(frame) }
}

fn begin(resumed: bool) -> Frame {
    Frame::Begin(pb::Begin {
        log_id: LOG.log_id.to_vec(),
        partitions: LOG.partitions.into(),
        store_partitions: 1_024,
        server_time: Some(timestamp(NOW)),
        snapshot_positions: LOG
            .all()
            .filter(|_| !resumed)
            .map(|partition| pb::Watermark {
                partition: partition.0.into(),
                next_offset: 10,
            })
            .collect(),
        resumed,
        ..Default::default()
    })
}

/// A snapshot of these revocations and raw records, and its end.
fn snapshot(revocations: &[Revocation], raw: &[(LogPartition, &[u8])]) -> Vec<Frame> {
    let mut sum = SnapshotSum::default();
    let mut frames = Vec::new();
    for revocation in revocations {
        let entry = Entry::of(revocation);
        sum.entry(entry.winner.id, entry.keep_until);
        frames.push(Frame::Snapshot(pb::Snapshot {
            entries: vec![encode_entry(&entry)],
        }));
    }
    for (partition, bytes) in raw {
        sum.raw(bytes);
        let position = Some(pb::Position {
            partition: partition.0.into(),
            offset: 3,
        });
        let record = pb::TailRecord {
            position,
            envelope: bytes.to_vec().into(),
        };
        frames.push(Frame::Raw(pb::Raw {
            records: vec![record],
        }));
    }
    let (count, checksum) = sum.end();
    frames.push(Frame::SnapshotEnd(pb::SnapshotEnd {
        count,
        checksum: checksum.to_vec(),
    }));
    frames
}

fn position(partition: LogPartition, offset: u64) -> Option<pb::Position> {
    Some(pb::Position {
        partition: partition.0.into(),
        offset,
    })
}

fn beats(offset: u64, stamp: curfew_core::time::Millis) -> Vec<Frame> {
    let beat = |partition| {
        let envelope = encode_log(&heartbeat(stamp)).into();
        Frame::Heartbeat(pb::HeartbeatRecord {
            position: position(partition, offset),
            envelope,
        })
    };
    LOG.all().map(beat).collect()
}

fn record(offset: u64, revocation: &Revocation) -> Frame {
    let envelope = encode_log(&LogRecord::Revocation(Arc::new(revocation.clone()))).into();
    let position = position(LOG.home_of(partition()), offset);
    Frame::Records(pb::Records {
        records: vec![pb::TailRecord { position, envelope }],
    })
}

struct Script {
    bench: Bench,
    session: Session,
}

impl Script {
    fn new() -> Self {
        let bench = Bench::new();
        let session = Session::new(bench.guard.clone());
        Self { bench, session }
    }

    /// Begins a stream; the reason for which it ended, if it did.
    fn play(&mut self, frames: impl IntoIterator<Item = Frame>) -> Option<&'static str> {
        frames
            .into_iter()
            .find_map(|frame| self.session.take(response(frame)))
            .map(|ended| ended.why)
    }

    fn cold(&mut self, revocations: &[Revocation]) {
        self.session.start();
        assert_eq!(self.play([begin(false)]), None);
        assert_eq!(self.play(snapshot(revocations, &[])), None);
    }
}

#[test]
fn p37_a_cold_start_is_ready_only_after_snapshot_tail_and_a_later_heartbeat() {
    let mut script = Script::new();
    script.session.start();
    let revoked = revocation("sid", &sid(2).to_string());
    let revoked_token = script
        .bench
        .token_with("sid", serde_json::json!(sid(2).to_string()));
    assert_eq!(script.play([begin(false)]), None);
    // From Begin on nothing is fresh; the snapshot counts from its end on.
    script
        .bench
        .refused(&script.bench.token(), Reason::FreshnessStale);
    let frames = snapshot(&[revoked], &[]);
    assert_eq!(script.play(frames), None);
    script.bench.refused(&revoked_token, Reason::TokenRevoked);
    script
        .bench
        .refused(&script.bench.token(), Reason::FreshnessStale);
    assert_eq!(script.play(beats(10, NOW)), None);
    assert!(!script.bench.guard.is_ready());
    script.bench.clock.advance(10);
    assert_eq!(script.play(beats(11, NOW.plus_ms(1))), None);
    assert!(script.bench.guard.is_ready());
    script.bench.admitted(&script.bench.token());
    assert_eq!(script.play([record(12, &revocation("sub", "alice"))]), None);
    script.bench.refused(&script.bench.token(), Reason::TokenRevoked);
}

#[test]
fn a_stream_resumes_where_it_was_and_keeps_its_freshness() {
    let mut script = Script::new();
    script.cold(&[]);
    script.play(beats(10, NOW.plus_ms(1)));
    let (positions, log_id) = script.session.resume_from();
    assert_eq!(
        (positions.len(), positions[0].next_offset, log_id),
        (4, 11, LOG.log_id.to_vec())
    );
    script.session.start();
    assert_eq!(script.play([begin(true)]), None);
    script.bench.admitted(&script.bench.token());
    // A record that was seen already is a copy.
    assert_eq!(script.play(beats(10, NOW.plus_ms(1))), None);
    assert_eq!(script.play(beats(11, NOW.plus_ms(2))), None);
    assert!(script.bench.guard.is_ready());
}

#[test]
fn whatever_does_not_fit_begins_again_from_a_snapshot_and_is_not_fresh_meanwhile() {
    let kept = revocation("sid", &sid(2).to_string());
    let broken_end = Frame::SnapshotEnd(pb::SnapshotEnd {
        count: 0,
        checksum: vec![0; 32],
    });
    let misfits: Vec<(&str, Vec<Frame>)> = vec![
        ("a gap", vec![record(99, &kept)]),
        ("out of order", vec![broken_end]),
        ("a second begin", vec![begin(false)]),
        (
            "no position",
            vec![Frame::Records(pb::Records {
                records: vec![pb::TailRecord::default()],
            })],
        ),
        (
            "another log",
            vec![Frame::Resume(pb::Resume {
                reason: pb::ResumeReason::OtherLog.into(),
                ..Default::default()
            })],
        ),
    ];
    for (what, frames) in misfits {
        let mut script = Script::new();
        script.cold(std::slice::from_ref(&kept));
        script.play(beats(10, NOW.plus_ms(1)));
        script.bench.admitted(&script.bench.token());
        assert!(script.play(frames).is_some(), "{what}");
        script
            .bench
            .refused(&script.bench.token(), Reason::FreshnessStale);
        let revoked = script
            .bench
            .token_with("sid", serde_json::json!(sid(2).to_string()));
        script.bench.refused(&revoked, Reason::TokenRevoked);
        assert_eq!(script.session.resume_from(), (Vec::new(), Vec::new()), "{what}");
        script.cold(std::slice::from_ref(&kept));
        script.play(beats(10, NOW.plus_ms(1)));
        script.bench.admitted(&script.bench.token());
    }
}

#[test]
fn a_snapshot_that_is_not_whole_never_counts() {
    let revoked = revocation("sid", &sid(2).to_string());
    let mut script = Script::new();
    script.session.start();
    script.play([begin(false)]);
    // One entry was lost on the way.
    let frames = snapshot(&[revoked.clone(), revoked], &[]).into_iter().skip(1);
    assert_eq!(script.play(frames), Some("misfit"));
    script
        .bench
        .refused(&script.bench.token(), Reason::FreshnessStale);
    assert_eq!(script.session.resume_from().0.len(), 0);
}

#[test]
fn a_drained_hub_is_resumed_after_what_it_says() {
    let mut script = Script::new();
    script.cold(&[]);
    let resume = pb::Resume {
        reason: pb::ResumeReason::Draining.into(),
        retry_after: Some(duration(1_500)),
        ..Default::default()
    };
    let ended = script.session.take(response(Frame::Resume(resume))).unwrap();
    assert_eq!((ended.why, ended.retry_after_ms), ("draining", 1_500));
    assert_eq!(script.session.resume_from().0.len(), 4);
}

#[test]
fn q20_a_freeze_survives_a_start_from_a_snapshot() {
    let mut script = Script::new();
    script.session.start();
    script.play([begin(false)]);
    let home = LOG.home_of(partition());
    let readable = encode_log(&LogRecord::Revocation(Arc::new(revocation("sub", "bob"))));
    assert_eq!(
        script.play(snapshot(
            &[],
            &[(home, b"from 2027"), (LogPartition(3), &readable)]
        )),
        None
    );
    assert_eq!(script.bench.guard.frozen(), [home]);
    script.play(beats(10, NOW.plus_ms(1)));
    script
        .bench
        .refused(&script.bench.token(), Reason::FreshnessFrozen);
    // What the hub could not read and this reader can is applied.
    let bob = script.bench.token_with("sub", serde_json::json!("bob"));
    script.bench.refused(&bob, Reason::TokenRevoked);
}

#[test]
fn a_frame_of_the_future_ends_the_trust() {
    let mut script = Script::new();
    script.cold(&[]);
    script.play(beats(10, NOW.plus_ms(1)));
    assert!(
        script
            .session
            .take(pb::WatchRevocationsResponse { frame: None })
            .is_some()
    );
    script
        .bench
        .refused(&script.bench.token(), Reason::FreshnessStale);
}

#[test]
fn a_position_beyond_the_follower_is_another_log() {
    let bench = Bench::new();
    let stray = Position {
        partition: LogPartition(4),
        offset: 0,
    };
    assert!(bench.feed.apply(stray, &heartbeat(NOW)).is_err());
    assert!(!bench.feed.is_trusted());
}

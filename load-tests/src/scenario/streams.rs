//! `streams`: one node feeds many streams; from the intended send of a revocation to its arrival on each.
//!
//! The streams are bare: nothing is verified and no index is kept, so that one process can hold a thousand. What
//! the node pays for them is told, and what this process pays is on the same machine.
//!
//! **Invariant:** every pair of a revocation and a stream counts; what never arrived counts as the time-out.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::watch_revocations_response::Frame;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cli::StreamsArgs;
use crate::clock::Mono;
use crate::failure::Failure;
use crate::fill::fill;
use crate::latency::{Latencies, Percentiles};
use crate::scenario::stage::Stage;
use crate::usage::Usage;

/// How long all streams may take until each has its snapshot.
const SET_UP_TIME_MAX: Duration = Duration::from_secs(120);

/// Where a record lies: partition and offset.
type Place = (u32, u64);
/// What arrived where, and when.
type Arrived = Mutex<Vec<(Place, Mono)>>;

/// What was found with so many streams.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Streams {
    pub(crate) streams: usize,
    pub(crate) revocations: usize,
    pub(crate) rate: f64,
    /// From the first call until every stream had its snapshot.
    pub(crate) set_up_s: f64,
    /// What a stream costs the node in memory.
    pub(crate) rss_each_kib: f64,
    /// What one record on one stream costs the node, µs of processor time; heartbeats are in it.
    pub(crate) cpu_each_us: f64,
    pub(crate) time_out_s: f64,
    /// Pairs that never arrived.
    pub(crate) never: u64,
    /// On each stream.
    pub(crate) each_ms: Percentiles,
    /// On the last stream.
    pub(crate) last_ms: Percentiles,
    /// Until the back end was answered.
    pub(crate) acknowledged_ms: Percentiles,
    /// By how much the generator sent later than intended.
    pub(crate) lag_ms: Percentiles,
    /// What reports of all followers cost; `None`: there were none.
    #[serde(default)]
    pub(crate) reports: Option<Reports>,
}

/// Reports of all followers, one a second each.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Reports {
    pub(crate) count: u64,
    pub(crate) failed: u64,
    /// What one costs the node, µs of processor time; the streams' heartbeats are in it.
    pub(crate) cpu_each_us: f64,
    /// Until it was answered.
    pub(crate) answered_ms: Percentiles,
}

pub(crate) fn run(args: &StreamsArgs) -> Result<ExitCode, Failure> {
    // One caller may hold half of what a node lets in, and a few more for those that go while others come.
    let subscribers = args.streams.saturating_mul(4).to_string();
    let more = [("CURFEW_LIMITS_SUBSCRIBERS_MAX", subscribers)];
    let mut stage = Stage::set_with("streams", &args.node, args.channels, &more)?;
    let found = measure(&stage, args)?;
    stage.report.streams = Some(found);
    stage.end(&args.output)
}

fn measure(stage: &Stage, args: &StreamsArgs) -> Result<Streams, Failure> {
    let usage = || Usage::of_all(&stage.stand().pids);
    let opened = stage.runtime.block_on(fill(
        &stage.backend,
        u64::from(args.revocations),
        || (),
        |opened| opened.session.name,
    ))?;
    let shown = stage.progress.wait(&format!("open {} streams", args.streams));
    let empty = usage();
    let begun = Mono::now();
    let arrived: Arc<Arrived> = Arc::default();
    let mut streams = stage.runtime.block_on(open(stage, args.streams, &arrived))?;
    let set_up_s = Mono::now().since(begun).as_secs_f64();
    let full = usage();
    shown.finish();

    let shown = stage.progress.wait("revocations to all streams");
    let time_out = Duration::from_secs(args.time_out);
    let (sent, lags, answers) = stage.runtime.block_on(revoke(stage, args, &opened, time_out))?;
    let wanted = sent.len().saturating_mul(args.streams);
    let until = Mono::now().plus(time_out);
    let count = || {
        lock(&arrived)
            .iter()
            .filter(|(place, _)| sent.contains_key(place))
            .count()
    };
    while Mono::now() < until && count() < wanted {
        std::thread::sleep(Duration::from_millis(20));
    }
    let after = usage();
    let reports = match args.reports {
        0 => None,
        rounds => Some(stage.runtime.block_on(report(stage, args, rounds))?),
    };
    streams.abort_all();
    shown.finish();

    let (mut each, mut last) = (Latencies::new(3), HashMap::<Place, Duration>::new());
    let mut left = wanted;
    for (place, at) in lock(&arrived).iter() {
        let Some(intended) = sent.get(place) else {
            continue;
        };
        let taken = at.since(*intended);
        each.record(taken);
        left = left.saturating_sub(1);
        let slowest = last.entry(*place).or_default();
        *slowest = taken.max(*slowest);
    }
    for _ in 0..left {
        each.record(time_out);
    }
    let mut slowest = Latencies::new(3);
    for place in sent.keys() {
        slowest.record(last.get(place).copied().unwrap_or(time_out));
    }
    Ok(Streams {
        streams: args.streams,
        revocations: sent.len(),
        rate: args.rate,
        set_up_s,
        rss_each_kib: (full.rss_mib - empty.rss_mib).max(0.0) * 1_024.0 / args.streams as f64,
        cpu_each_us: after.cpu_ms_since(&full) * 1e3 / wanted.max(1) as f64,
        time_out_s: time_out.as_secs_f64(),
        never: left as u64,
        each_ms: each.percentiles(),
        last_ms: slowest.percentiles(),
        acknowledged_ms: answers.percentiles(),
        lag_ms: lags.percentiles(),
        reports,
    })
}

/// Every follower reports its place once a second, spread over that second.
async fn report(stage: &Stage, args: &StreamsArgs, rounds: u32) -> Result<Reports, Failure> {
    let before = Usage::of_all(&stage.stand().pids);
    let (log_id, partitions) = stage.backend.log().await?;
    let gap = Duration::from_secs(1) / u32::try_from(args.streams)?;
    let start = Mono::now();
    let mut calls = JoinSet::new();
    for number in 0..rounds.saturating_mul(u32::try_from(args.streams)?) {
        tokio::time::sleep(start.plus(gap * number).since(Mono::now())).await;
        let replica = number as usize % args.streams;
        let request = pb::ReportProgressRequest {
            subscriber: Some(subscriber(replica)),
            log_id: log_id.clone(),
            // Further with each round, as heartbeats move a guard.
            positions: (0..partitions)
                .map(|partition| pb::Watermark {
                    partition,
                    next_offset: u64::from(number),
                })
                .collect(),
            report_id: crate::backend::request_id(),
            ..Default::default()
        };
        let backend = stage.backend.clone();
        calls.spawn(async move {
            let sent = Mono::now();
            let told = backend.report(request).await;
            (told, Mono::now().since(sent))
        });
    }
    let (mut count, mut failed, mut answered) = (0, 0, Latencies::new(3));
    while let Some(call) = calls.join_next().await {
        let (told, taken) = call?;
        count += 1;
        failed += u64::from(told.is_err());
        answered.record(taken);
    }
    let after = Usage::of_all(&stage.stand().pids);
    Ok(Reports {
        count,
        failed,
        cpu_each_us: after.cpu_ms_since(&before) * 1e3 / count.max(1) as f64,
        answered_ms: answered.percentiles(),
    })
}

fn subscriber(replica: usize) -> pb::Subscriber {
    pb::Subscriber {
        name: "load".to_owned(),
        replica: format!("load-{replica}"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        min_reader: curfew_core::record::READER,
        source: pb::FollowerSource::Hub.into(),
        ..Default::default()
    }
}

/// Opens all streams and waits until each has its snapshot.
async fn open(stage: &Stage, count: usize, arrived: &Arc<Arrived>) -> Result<JoinSet<()>, Failure> {
    let mut streams = JoinSet::new();
    let (ready, mut readies) = mpsc::channel(count.max(1));
    for replica in 0..count {
        let request = pb::WatchRevocationsRequest {
            subscriber: Some(subscriber(replica)),
            ..Default::default()
        };
        let (backend, arrived, ready) = (stage.backend.clone(), arrived.clone(), ready.clone());
        streams.spawn(async move {
            let ended = backend
                .watch(request, |frame| take(frame, &arrived, &ready))
                .await;
            // Where nobody waits for it any more, the measurement is over.
            drop(ready.try_send(Err(format!("a stream ended: {ended}"))));
        });
    }
    drop(ready);
    let all = async {
        for _ in 0..count {
            readies.recv().await.ok_or("the streams ended")??;
        }
        Ok::<_, Failure>(())
    };
    tokio::time::timeout(SET_UP_TIME_MAX, all)
        .await
        .map_err(|_| "not every stream had its snapshot in time")??;
    Ok(streams)
}

/// One frame of one stream.
fn take(frame: Frame, arrived: &Arrived, ready: &mpsc::Sender<Result<(), String>>) {
    let now = Mono::now();
    match frame {
        Frame::SnapshotEnd(_) => drop(ready.try_send(Ok(()))),
        Frame::Resume(resume) => {
            let why = format!("a stream was ended by the node: {:?}", resume.reason());
            drop(ready.try_send(Err(why)));
        }
        Frame::Records(records) => {
            let places = records
                .records
                .iter()
                .filter_map(|record| record.position.as_ref());
            lock(arrived).extend(places.map(|position| ((position.partition, position.offset), now)));
        }
        Frame::Begin(_)
        | Frame::Snapshot(_)
        | Frame::Raw(_)
        | Frame::Heartbeat(_)
        | Frame::Frozen(_)
        | Frame::IssuerChanges(_) => {}
    }
}

type Sent = (HashMap<Place, Mono>, Latencies, Latencies);

/// Ends all sessions at the pace; where each record lies and when it was meant to be sent, the generator's lag,
/// and how long the answers took.
async fn revoke(
    stage: &Stage,
    args: &StreamsArgs,
    sessions: &[Box<str>],
    time_out: Duration,
) -> Result<Sent, Failure> {
    let gap = Duration::from_secs_f64(1.0 / args.rate);
    let start = Mono::now().plus(Duration::from_secs(1));
    let mut calls = JoinSet::new();
    for (number, name) in (0_u32..).zip(sessions) {
        let at = start.plus(gap * number);
        tokio::time::sleep(at.since(Mono::now())).await;
        let (backend, name) = (stage.backend.clone(), name.clone());
        let lag = Mono::now().since(at);
        calls.spawn(async move {
            let answer = tokio::time::timeout(time_out, backend.end_at(&name)).await;
            let places = answer.unwrap_or_else(|_| Err("time-out of the generator".to_owned()))?;
            Ok::<_, String>((places, at, lag, Mono::now().since(at)))
        });
    }
    let (mut sent, mut lags, mut answers) = (HashMap::new(), Latencies::new(3), Latencies::new(3));
    while let Some(call) = calls.join_next().await {
        let (places, at, lag, taken) = call??;
        lags.record(lag);
        answers.record(taken);
        sent.extend(places.into_iter().map(|place| (place, at)));
    }
    Ok((sent, lags, answers))
}

fn lock(arrived: &Arrived) -> std::sync::MutexGuard<'_, Vec<(Place, Mono)>> {
    arrived.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The follower's second half: what the log says becomes true in the store, and a store that has become another
//! history opens again (DESIGN section 5).
//!
//! **Invariant 10:** a partition is opened by one commit, after everything that the log had by then was merged into
//! it; until then it is fenced and nothing of it is answered.
//! **Invariant:** any number of nodes may do this at once; what one has done another finds done.

mod close;
mod look;
mod older;
mod peers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use curfew_core::ids::RecordId;
use curfew_core::place::Partition;
use curfew_core::record::LogRecord;
use curfew_core::time::Millis;
use curfew_ports::log::{Bounds, LogEntry};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::answer::{Answer, log_is_behind, log_unavailable};
use crate::node::Authority;
use close::{Aim, Closed};
use look::{Looked, Standing};
use peers::Peers;

/// How often checkpoints move (DESIGN section 5).
const ROUND_EVERY: Duration = Duration::from_secs(30);
/// What lies between two looks at a store that is not open yet.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A checkpoint that nobody needed to move is moved all the same when it is this old, ms: long before a log that
/// keeps records for an hour has forgotten where it stands.
const IDLE_MOVE_MS: i64 = 15 * 60_000;
/// Partitions that are worked on together.
const AT_ONCE: usize = 64;
/// How long the follower may take to read to where the log ended.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// Heartbeats of another node are looked for this far back, as a multiple of X.
const HEARD_FOR: i64 = 4;

/// What a round did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// Partitions that this node opened.
    pub opened: usize,
    /// Records that it merged.
    pub merged: usize,
    /// Checkpoints that it moved.
    pub moved: usize,
    /// Checkpoints that are left to the next round.
    pub unmoved: usize,
    /// Partitions that are fenced still, and will be tried again.
    pub fenced: usize,
    /// Partitions that open only by an operator's word: a record of theirs is lost, their checkpoint lies before the
    /// log's start, an unreadable record is in the way, or they have merged another log.
    pub lost: Vec<Partition>,
    /// Partitions that could not be read.
    pub unread: usize,
}

/// What recovery remembers.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    suspected: Notify,
    applied: Notify,
    peers: Peers,
    // When checkpoints were moved last wherever they were due, on the boot clock in ms; 0: never.
    moved_at: AtomicI64,
    // The newest change of every directory record that was read from the log.
    newest: Mutex<BTreeMap<Arc<str>, (Millis, RecordId)>>,
}

impl Recovery {
    /// Somebody met a fence: it is looked at now.
    pub(crate) fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Notes who is there, and which directory records there are newer ones of.
    pub(crate) fn note(&self, entry: &LogEntry, boot_ms: i64) {
        match &entry.record {
            LogRecord::Heartbeat(heartbeat) => self.peers.hear(&heartbeat.emitter, boot_ms),
            LogRecord::Directory(change) => {
                let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
                let known = newest
                    .entry(change.name.clone())
                    .or_insert((change.version, change.id));
                *known = (*known).max((change.version, change.id));
            }
            LogRecord::Revocation(_)
            | LogRecord::SubjectState(_)
            | LogRecord::Skip(_)
            | LogRecord::Unknown(_)
            | LogRecord::Withheld => {}
        }
    }

    /// Whether what is over for tokens is over for the store too: checkpoints have passed it since.
    pub(crate) fn has_moved_within(&self, age_ms: i64, boot_ms: i64) -> bool {
        let moved_at = self.moved_at.load(Ordering::Acquire);
        moved_at > 0 && boot_ms.saturating_sub(moved_at) < age_ms
    }

    /// A batch was applied.
    pub(crate) fn applied(&self) {
        self.applied.notify_waiters();
    }
}

impl Authority {
    /// Recovers and merges until dropped: at once where a fence was met, and every 30 s.
    pub async fn keep_merged(&self) {
        let mut ticks = tokio::time::interval(ROUND_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let moves = tokio::select! {
                _ = ticks.tick() => true,
                () = self.recovery.suspected.notified() => false,
            };
            match self.round(moves).await {
                Ok(round) if round.fenced > 0 => self.recovery.suspect(),
                Ok(_) => {}
                Err(refusal) => {
                    tracing::warn!(%refusal, "partitions cannot be recovered yet");
                    self.recovery.suspect();
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// One round over all partitions: what is fenced is opened, and where `moves`, checkpoints move.
    pub async fn round(&self, moves: bool) -> Answer<Recovered> {
        let began = Instant::now();
        let mut round = Recovered::default();
        if self.is_between_logs() {
            // Offsets of the log that was lost say nothing of the one that lies in its place.
            return Ok(round);
        }
        let looked = self.look_at_all(&mut round).await?;
        let fenced: Vec<_> = looked
            .iter()
            .filter(|one| one.standing == Standing::Fenced)
            .collect();
        if !fenced.is_empty() {
            self.open_all(&fenced, &mut round).await?;
            tracing::warn!(
                opened = round.opened,
                merged = round.merged,
                fenced = round.fenced,
                lost = round.lost.len(),
                ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                "the store is another history: partitions were opened for it"
            );
        }
        if moves {
            let due = looked.iter().filter(|one| self.is_due(one)).collect();
            let began_at = self.now().boot_ms;
            self.close_all(due, Aim::Move, &[], &mut round).await;
            // What lies behind an unreadable record is passed by no checkpoint.
            let states = self
                .follower
                .log()
                .all()
                .filter_map(|partition| self.follower.state(partition));
            let is_frozen = states.into_iter().any(|state| state.frozen.is_some());
            if !is_frozen && round.unmoved == 0 && round.unread == 0 && round.fenced == 0 {
                self.recovery.moved_at.store(began_at, Ordering::Release);
            }
        }
        self.metrics.recovered(&round);
        Ok(round)
    }

    /// Opens what is fenced, once everything that the log has by now is known.
    async fn open_all(&self, fenced: &[&Looked], round: &mut Recovered) -> Answer<()> {
        // Asked after the other history was seen: what an earlier one acknowledged lies before these ends.
        let bounds = self.parts.log.bounds().await.map_err(log_unavailable)?;
        self.wait_until_applied(&bounds).await?;
        let ends: Vec<_> = bounds.iter().map(|bounds| bounds.end).collect();
        let (directory, others): (Vec<_>, Vec<_>) = fenced
            .iter()
            .copied()
            .partition(|one| one.partition == Partition::DIRECTORY);
        if !directory.is_empty() {
            self.close_all(directory, Aim::Open, &ends, round).await;
            // What follows looks at it; where it is not open yet, the next round does.
            if self.poll_directory().await.is_err() {
                round.fenced += others.len();
                return Ok(());
            }
        }
        self.close_all(others, Aim::Open, &ends, round).await;
        Ok(())
    }

    /// Waits until this node has applied everything that the log had.
    pub(super) async fn wait_until_applied(&self, bounds: &[Bounds]) -> Answer<()> {
        let is_there = || !self.is_behind(bounds);
        let until = Instant::now() + CATCH_UP_MAX;
        loop {
            let applied = self.recovery.applied.notified();
            tokio::pin!(applied);
            applied.as_mut().enable();
            if is_there() {
                return Ok(());
            }
            if tokio::time::timeout_at(until, applied).await.is_err() {
                return Err(log_is_behind());
            }
        }
    }

    /// Whether a partition's checkpoint is to be moved: there is something to be passed, or it has lain for long.
    fn is_due(&self, one: &Looked) -> bool {
        let Some(checkpoint) = one.checkpoint else {
            return false;
        };
        one.standing == Standing::Open
            && (self.unmerged.has_any(one.partition, checkpoint.offset)
                || self.wall().ms_since(checkpoint.at) >= IDLE_MOVE_MS)
    }

    /// Works on all of them, those first whose turn it is; what fails is counted and left to the next round.
    async fn close_all(&self, mut these: Vec<&Looked>, aim: Aim, ends: &[u64], round: &mut Recovered) {
        let began = Instant::now();
        let age_ms = self.config.staleness_ms.saturating_mul(HEARD_FOR);
        let boot_ms = self.now().boot_ms;
        let turn = |one: &Looked| {
            self.recovery
                .peers
                .turn(one.partition, &self.config.node, boot_ms, age_ms)
        };
        these.sort_by_key(|one| turn(one));
        let older = match self.older(&these).await {
            Ok(older) => Arc::new(older),
            Err(refusal) => {
                tracing::warn!(%refusal, "the log cannot be read back to the checkpoints yet");
                *left(aim, round) += these.len();
                return;
            }
        };
        let ends: Arc<[u64]> = ends.into();
        let mut closing = JoinSet::new();
        for one in these {
            if closing.len() >= AT_ONCE
                && let Some(ended) = closing.join_next().await
            {
                count(ended, aim, round);
            }
            let (authority, older, ends) = (self.clone(), older.clone(), ends.clone());
            let (one, from) = (*one, began + turn(one));
            closing.spawn(async move {
                tokio::time::sleep_until(from).await;
                (one.partition, authority.close(&one, aim, &ends, &older).await)
            });
        }
        while let Some(ended) = closing.join_next().await {
            count(ended, aim, round);
        }
    }
}

type Ended = Result<(Partition, Answer<Closed>), tokio::task::JoinError>;

/// Notes how the work on one partition ended.
fn count(ended: Ended, aim: Aim, round: &mut Recovered) {
    match ended {
        Ok((_, Ok(Closed::Now { merged }))) => {
            round.merged += merged;
            match aim {
                Aim::Open => round.opened += 1,
                Aim::Move => round.moved += 1,
            }
        }
        Ok((_, Ok(Closed::Before))) => {}
        Ok((partition, Ok(Closed::Lost(what)))) => {
            tracing::error!(?partition, what, "a partition opens only by an operator's word");
            round.lost.push(partition);
            round.unmoved += usize::from(aim == Aim::Move);
        }
        Ok((partition, Err(refusal))) => {
            tracing::warn!(?partition, %refusal, "a partition is left to the next round");
            *left(aim, round) += 1;
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "work on a partition ended without an answer"
            );
            *left(aim, round) += 1;
        }
    }
}

/// Where is counted what is left to the next round.
const fn left(aim: Aim, round: &mut Recovered) -> &mut usize {
    match aim {
        Aim::Open => &mut round.fenced,
        Aim::Move => &mut round.unmoved,
    }
}

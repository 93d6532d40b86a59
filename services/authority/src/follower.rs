//! The authority as a follower: it applies the log, and beats where nobody else did.
//!
//! **Invariant:** an authority refuses what its index refuses; what it read is what guards read.

mod beat;

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use curfew_core::follow::{Applied, Reload};
use curfew_core::place::LogPartition;
use curfew_core::record::{JOSE_KID_CLAIM, LogRecord, Revocation};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::time::KEEP_SLACK_MS;
use curfew_ports::log::{Bounds, LogEntry, LogError, Tail, TailFrom};
use tokio::time::Interval;

use crate::answer::{Answer, log_unavailable};
use crate::node::Authority;

/// How often marks that are over are dropped.
const COLLECT_EVERY: Duration = Duration::from_secs(30);
/// Reloads of one catching up; a log that keeps changing is no log.
const RELOADS_MAX: usize = 3;
/// The same where the log was lost.
const LOOK_AT_LOST: Duration = Duration::from_secs(2);
/// The pause before a broken tail is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(250);

/// What whoever applies a batch must know.
#[derive(Debug, Default)]
pub(crate) struct Applying {
    /// The offset of each log partition below which records are history, read once before or at the start.
    history: Vec<u64>,
    /// What was applied last in each log partition: a tail that is opened again gives it first.
    last: BTreeMap<LogPartition, LogEntry>,
}

impl Applying {
    /// Another log is followed from here on.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Authority {
    /// Applies everything that the log retains now, so that nothing is answered before it was heard.
    pub async fn catch_up(&self) -> Answer<()> {
        let bounds = self.parts.log.bounds().await.map_err(log_unavailable)?;
        self.applying
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .history = bounds.iter().map(|bounds| bounds.end).collect();
        self.keep_from_here(&bounds).await;
        let mut tail = self.open_tail().await.map_err(log_unavailable)?;
        let mut reloads = 0;
        while self.is_behind(&bounds) {
            let entries = tail.next().await.map_err(log_unavailable)?;
            let Err(reload) = self.apply(&entries) else {
                continue;
            };
            tracing::error!(%reload, "history changed; the log is read again");
            self.reload().await.map_err(log_unavailable)?;
            reloads += 1;
            if reloads > RELOADS_MAX {
                return Err(Refusal::new(Stage::Request, Reason::LogUnavailable).about(reload.to_string()));
            }
            tail = self.open_tail().await.map_err(log_unavailable)?;
        }
        let lost =
            |about: &str| Err(Refusal::new(Stage::Request, Reason::LogUnavailable).about(about.to_owned()));
        if self.log_was_lost.load(Ordering::SeqCst) {
            return lost("the log was lost");
        }
        let states = self
            .follower
            .log()
            .all()
            .map(|partition| self.follower.state(partition));
        if states.flatten().any(|state| state.names_another_log()) {
            return lost("the log's heartbeats name another log");
        }
        Ok(())
    }

    /// Whether most partitions hold less than was read of them: a leader that never had the end of its own takes that
    /// of one, a topic that was deleted and made again that of all.
    fn is_another_topic(&self, bounds: &[Bounds]) -> bool {
        let lengths = self.follower.log().all().zip(bounds);
        let read = lengths
            .map(|(partition, bounds)| (self.next_of(partition), bounds.end))
            .filter(|(next, _)| *next > 0);
        let (shorter, all) = read.fold((0_usize, 0_usize), |(shorter, all), (next, end)| {
            (shorter + usize::from(end < next), all + 1)
        });
        shorter * 2 > all
    }

    /// Keeps, from the oldest retained record on, what lies past the checkpoints; partitions that were read before
    /// go on where they are.
    async fn keep_from_here(&self, bounds: &[Bounds]) {
        let unread: Vec<_> = self
            .follower
            .log()
            .all()
            .zip(bounds)
            .filter(|(partition, _)| {
                let state = self.follower.state(*partition);
                state.is_some_and(|state| state.next.is_none())
            })
            .collect();
        if unread.is_empty() {
            return;
        }
        self.learn_checkpoints().await;
        for (partition, bounds) in unread {
            self.unmerged.begin(self.follower.log(), partition, bounds.start);
        }
    }

    /// Whether something before these ends was not applied yet.
    pub(crate) fn is_behind(&self, bounds: &[Bounds]) -> bool {
        bounds
            .iter()
            .zip(self.follower.log().all())
            .any(|(bounds, partition)| {
                let state = self.follower.state(partition);
                let next = state.and_then(|state| state.next).unwrap_or(bounds.start);
                next < bounds.end
            })
    }

    /// Follows the log until dropped; a broken tail is opened again where it broke.
    pub async fn follow(&self) {
        let mut collect = tokio::time::interval(COLLECT_EVERY);
        loop {
            match self.open_tail().await {
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "tail cannot be opened")
                }
                Ok(mut tail) => {
                    self.share_from_here();
                    self.follow_tail(&mut *tail, &mut collect).await;
                }
            }
            // Nothing comes of reading a lost log again before another one is adopted.
            let is_lost = self.log_was_lost.load(Ordering::SeqCst);
            tokio::time::sleep(if is_lost { LOOK_AT_LOST } else { REOPEN_AFTER }).await;
        }
    }

    /// Until the tail must be opened again.
    async fn follow_tail(&self, tail: &mut dyn Tail, collect: &mut Interval) {
        loop {
            let entries = tokio::select! {
                _ = collect.tick() => {
                    self.collect_marks();
                    continue;
                }
                entries = tail.next() => entries,
            };
            let entries = match entries {
                Ok(entries) => entries,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "tail broke");
                    return;
                }
            };
            if let Err(reload) = self.apply(&entries) {
                tracing::error!(%reload, "history changed; the log is read again");
                if let Err(error) = self.reload().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the log cannot be read again yet"
                    );
                }
                return;
            }
            if !self.recent.push(entries) {
                self.share_from_here();
            }
        }
    }

    /// What is read next is kept for others as well; until the follower was in every partition, nothing is.
    fn share_from_here(&self) {
        if let Some(positions) = self.follower.positions() {
            self.recent.begin(positions);
        }
    }

    /// Drops the marks that are over.
    fn collect_marks(&self) {
        // What no checkpoint has passed may be alive in the store yet: it is refused by this index alone.
        let is_merged = self.recovery.has_moved_within(KEEP_SLACK_MS, self.now().boot_ms);
        if !is_merged && !self.parts.store.is_log() {
            return;
        }
        let _one = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        self.follower.collect(self.wall());
    }

    async fn open_tail(&self) -> Result<Box<dyn Tail>, LogError> {
        match self.resume_tail().await {
            // Never "start at latest": what is retained is read again, and there is no freshness meanwhile.
            Err(error @ LogError::OutOfRange { .. }) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "out of range; the log is read again"
                );
                self.reload().await?;
                self.resume_tail().await
            }
            other => other,
        }
    }

    async fn resume_tail(&self) -> Result<Box<dyn Tail>, LogError> {
        let Some((from, next)) = self.resume_from() else {
            // Records by `jti` and for foreign issuers have no home but the log: begin with its oldest.
            return self.parts.log.tail(TailFrom::Oldest).await;
        };
        // A log that ends before what was applied is another one already.
        Bounds::check(&self.parts.log.bounds().await?, &next)?;
        self.parts.log.tail(TailFrom::Offsets(from)).await
    }

    /// Where a tail goes on: at the record that was applied last, so that another one in its place is noticed; and
    /// what comes next.
    fn resume_from(&self) -> Option<(Vec<u64>, Vec<u64>)> {
        let applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.follower.positions()?;
        let from = self.follower.log().all().zip(&next).map(|(partition, next)| {
            let last = applying.last.get(&partition);
            last.map_or(*next, |last| last.position.offset.min(*next))
        });
        Some((from.collect(), next))
    }

    /// Begins again with the oldest retained record. The marks stay, as every record denies for as long as
    /// it lives; the heartbeats and what they proved do not, so that nothing is fresh before it was read.
    pub(crate) async fn reload(&self) -> Result<(), LogError> {
        let bounds = self.parts.log.bounds().await?;
        let mut applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        self.metrics.reload();
        applying.last.clear();
        // What was applied before is read again, and says nothing of how long the way is.
        applying.history = self
            .follower
            .log()
            .all()
            .map(|partition| self.next_of(partition))
            .collect();
        if self.is_another_topic(&bounds) {
            // What the journal has may lie nowhere else by now.
            self.lose_log();
        } else {
            self.journal.forget();
        }
        for (partition, bounds) in self.follower.log().all().zip(bounds) {
            let Some(state) = self.follower.state(partition) else {
                continue;
            };
            // Read again, unknown records are kept again.
            let index = state.index.flat();
            drop(state);
            // An unreadable record that is still there freezes it again.
            self.follower
                .load_snapshot(partition, index, bounds.start, None, Vec::new());
            self.unmerged.begin(self.follower.log(), partition, bounds.start);
        }
        Ok(())
    }

    /// Applies a batch. One at a time: a node that catches up while it follows reads everything twice, and
    /// what was applied already is known by its position.
    fn apply(&self, entries: &[LogEntry]) -> Result<(), Reload> {
        let now = self.now();
        let mut applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            let last = applying.last.get(&entry.position.partition);
            if last.is_some_and(|last| last.position == entry.position && last != entry) {
                return Err(Reload::History {
                    partition: entry.position.partition,
                    offset: entry.position.offset,
                    what: "another record lies where the last one was read",
                });
            }
            if self.next_of(entry.position.partition) <= entry.position.offset {
                self.hear_of(&entry.record);
            }
            let applied = self.follower.apply(entry.position, &entry.record, now)?;
            if applied != Applied::Seen {
                applying.last.insert(entry.position.partition, entry.clone());
                self.unmerged.note(self.follower.log(), entry);
                self.recovery.note(entry, now.boot_ms);
            }
            if let Applied::Revocation(revocation) = &applied {
                let before = applying.history.get(entry.position.partition.index()).copied();
                let is_history = before.is_some_and(|before| entry.position.offset < before);
                let age_ms = now.wall.ms_since(revocation.decided_at);
                if !is_history {
                    tell_applied(entry, revocation, age_ms);
                }
                self.metrics.apply((!is_history).then_some(age_ms));
            }
            self.journal.note(entry, &applied, now.wall);
        }
        self.recovery.applied();
        Ok(())
    }

    /// What a record that is new says of the directory.
    ///
    /// Before the index knows: a view in which a revoked key still signs would have it refuse, as dead, whatever is
    /// renewed here.
    fn hear_of(&self, record: &LogRecord) {
        match record {
            LogRecord::Revocation(revocation) if is_of_key(revocation) => self.directory.distrust(),
            LogRecord::Directory(_) => self.directory.hear(),
            LogRecord::Revocation(_)
            | LogRecord::Heartbeat(_)
            | LogRecord::SubjectState(_)
            | LogRecord::Skip(_)
            | LogRecord::Unknown(_)
            | LogRecord::Withheld => {}
        }
    }

    pub(crate) fn next_of(&self, partition: LogPartition) -> u64 {
        let state = self.follower.state(partition);
        state.and_then(|state| state.next).unwrap_or(0)
    }
}

/// Whether a signing key was revoked.
fn is_of_key(revocation: &Revocation) -> bool {
    let mut criteria = revocation.all_of.iter();
    criteria.any(|criterion| &*criterion.claim == JOSE_KID_CLAIM)
}

/// A span of the record's own trace.
fn tell_applied(entry: &LogEntry, revocation: &Revocation, age_ms: i64) {
    let Some(trace) = &revocation.trace else { return };
    let span = tracing::debug_span!(
        target: curfew_trace::TARGET,
        parent: None,
        "curfew.follower.apply",
        otel.kind = "consumer",
        messaging.operation.name = "apply",
        messaging.operation.r#type = "process",
        messaging.message.id = %revocation.id,
        messaging.destination.partition.id = entry.position.partition.0,
        curfew.log.offset = entry.position.offset,
        curfew.revoke_to_applied_ms = age_ms,
    );
    curfew_trace::adopt(&span, trace);
    let _in_span = span.enter();
}

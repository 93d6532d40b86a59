//! Brings to the log what a commit published, where the store is not the log itself.
//!
//! **Invariant:** nobody's answer waits longer for the log than its caller waits for the answer: what is committed
//! is told as STORED, and brought to the log afterwards.

use std::time::Duration;

use curfew_core::ids::RecordId;
use curfew_core::place::{LogPartition, Position};
use curfew_core::record::{LogRecord, Outgoing};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::answer::{Level, Published};
use crate::node::Authority;

/// How long an answer waits for the log, where its caller has as much time: a log that is well takes some 10 ms, one
/// whose broker crashed 12 s, and whoever signs out does not wait for that.
const WAIT_MAX: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// When whoever called goes away; `None`: later than clocks can tell.
    static ANSWER_BY: Option<Instant>;
}

/// Runs a call whose caller waits for so long.
pub async fn answering_within<T>(time: Duration, call: impl Future<Output = T>) -> T {
    ANSWER_BY.scope(Instant::now().checked_add(time), call).await
}

/// Until when a call waits for the log.
pub(crate) fn wait_until() -> Instant {
    let now = Instant::now();
    let by = ANSWER_BY.try_with(|by| *by).unwrap_or_default();
    // A quarter is left for the answer itself, and for its way back.
    let left = by.map(|by| by.saturating_duration_since(now) / 4 * 3);
    now + left.map_or(WAIT_MAX, |left| WAIT_MAX.min(left))
}

/// Until when a call may wait for more than its own work: an eighth of what its caller waits is left for the answer
/// and its way back. `None`: nobody said how long that is.
#[must_use]
pub fn answer_by() -> Option<Instant> {
    let now = Instant::now();
    let by = ANSWER_BY.try_with(|by| *by).unwrap_or_default();
    by.map(|by| now + by.saturating_duration_since(now) / 8 * 7)
}

/// The next that ended; `None`: there is none, or nobody waits any more.
async fn next_of<T: 'static>(
    appends: &mut JoinSet<T>,
    until: Option<Instant>,
) -> Option<Result<T, JoinError>> {
    match until {
        None => appends.join_next().await,
        Some(until) => timeout_at(until, appends.join_next()).await.unwrap_or_default(),
    }
}

impl Authority {
    /// Where the published records lie; a store that is no log has its handler append them now.
    pub(crate) async fn published(
        &self,
        outgoing: Vec<Outgoing>,
        positions: Option<Vec<Vec<Position>>>,
    ) -> Vec<Published> {
        let until = wait_until();
        let mut published = Vec::with_capacity(outgoing.len());
        let mut known = positions.map(Vec::into_iter);
        for outgoing in outgoing {
            let Some(id) = outgoing.record.event_id() else {
                continue;
            };
            let (positions, level) = match &mut known {
                Some(known) => (known.next().unwrap_or_default(), Level::Durable),
                None => self.append(&outgoing, until).await,
            };
            tell_append(self.parts.log.kind(), id, &positions);
            published.push(Published { id, positions, level });
        }
        published
    }

    /// Appends one record wherever it belongs; the relay finishes what fails here, or takes longer than that.
    async fn append(&self, outgoing: &Outgoing, until: Instant) -> (Vec<Position>, Level) {
        let targets = self.targets_of(outgoing);
        let (positions, lacking) = self.append_to(targets, &outgoing.record, Some(until)).await;
        let level = if lacking.is_empty() {
            Level::Durable
        } else {
            Level::Stored
        };
        (positions, level)
    }

    /// The log partitions that a record goes to.
    pub(crate) fn targets_of(&self, outgoing: &Outgoing) -> Vec<LogPartition> {
        let log = self.follower.log();
        if outgoing.wide {
            log.all().collect()
        } else {
            vec![log.home_of(outgoing.home)]
        }
    }

    /// Appends to all of these at once; answers where it lies now, and which still lack it. One partition
    /// without a leader keeps the record from none of the others. After `until` nobody waits any more, and what is
    /// on its way goes on.
    pub(crate) async fn append_to(
        &self,
        targets: Vec<LogPartition>,
        record: &LogRecord,
        until: Option<Instant>,
    ) -> (Vec<Position>, Vec<LogPartition>) {
        let mut appends = JoinSet::new();
        for target in &targets {
            let (log, target, record) = (self.parts.log.clone(), *target, record.clone());
            appends.spawn(async move { log.append(target, &record).await });
        }
        let mut positions = Vec::with_capacity(targets.len());
        while let Some(appended) = next_of(&mut appends, until).await {
            match appended {
                Ok(Ok(position)) => positions.push(position),
                Ok(Err(error)) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "record stays in the outbox"
                ),
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an append ended without an answer"
                ),
            }
        }
        // The log bounds how long they take and how many there are; the relay hears what came of them.
        appends.detach_all();
        positions.sort_unstable_by_key(|position: &Position| position.partition);
        let has_it = |target: &LogPartition| positions.iter().any(|position| position.partition == *target);
        let lacking = targets.into_iter().filter(|target| !has_it(target)).collect();
        (positions, lacking)
    }
}

/// One span for each record that was published, with its places: an append of its own, or a part of the
/// commit that has just become durable (OpenTelemetry's messaging conventions).
fn tell_append(log: &'static str, id: RecordId, positions: &[Position]) {
    let first = positions.first();
    let span = tracing::debug_span!(
        target: curfew_trace::TARGET,
        "curfew.log.append",
        otel.kind = "producer",
        messaging.system = log,
        messaging.operation.name = "append",
        messaging.operation.r#type = "send",
        messaging.message.id = %id,
        messaging.destination.partition.id = first.map(|position| position.partition.0),
        curfew.log.offset = first.map(|position| position.offset),
        curfew.log.copies = positions.len(),
    );
    let _in_span = span.enter();
}

//! One reading of the log: the guard's view that it feeds, and how far it is.
//!
//! **Invariant:** a tail goes on only behind the very record that was applied last; another one in its place is
//! another history.

use std::sync::Arc;

use curfew_core::follow::{Applied, Reload};
use curfew_core::place::LogIdentity;
use curfew_core::record::LogRecord;
use curfew_guard::{Feed, Guard};
use curfew_ports::log::{Log, LogEntry, LogError, Tail, TailFrom};

pub(crate) struct Reading {
    log: Arc<dyn Log>,
    feed: Feed,
    /// Where each partition ended when the reading began: whatever lies before is read before anything is fresh.
    ends: Vec<u64>,
    places: Vec<Place>,
    is_live: bool,
    is_proven: bool,
}

/// How far one partition is.
struct Place {
    /// The offset at which the next tail begins where nothing was read yet.
    start: u64,
    last: Option<LogEntry>,
    /// Whether the tail must give the last entry again before anything else.
    is_resumed: bool,
}

impl Reading {
    /// Begins with the oldest retained record of every partition.
    pub(crate) async fn begin(log: Arc<dyn Log>, guard: &Guard) -> Result<Self, LogError> {
        // Noted first: heartbeats that lie on the log by now prove nothing of what comes after.
        let registered_at = guard.now().wall;
        let identity = log.identity().await?;
        let bounds = log.bounds().await?;
        let starts: Vec<_> = bounds.iter().map(|bounds| bounds.start).collect();
        tracing::info!(
            log_id = %hex(identity),
            partitions = identity.partitions,
            records = bounds.iter().map(|bounds| bounds.end.saturating_sub(bounds.start)).sum::<u64>(),
            "the log is read from its oldest record"
        );
        let mut reading = Self {
            feed: guard.begin_keeping(identity, registered_at, &starts),
            log,
            ends: bounds.iter().map(|bounds| bounds.end).collect(),
            places: starts
                .into_iter()
                .map(|start| Place {
                    start,
                    last: None,
                    is_resumed: false,
                })
                .collect(),
            is_live: false,
            is_proven: false,
        };
        reading.go_live_if_caught_up();
        Ok(reading)
    }

    /// A tail from where this reading is.
    pub(crate) async fn tail(&mut self) -> Result<Box<dyn Tail>, LogError> {
        let mut offsets = Vec::with_capacity(self.places.len());
        for place in &mut self.places {
            place.is_resumed = place.last.is_some();
            let last = place.last.as_ref().map(|entry| entry.position.offset);
            offsets.push(last.unwrap_or(place.start));
        }
        self.log.tail(TailFrom::Offsets(offsets)).await
    }

    /// Applies a batch.
    pub(crate) fn take(&mut self, entries: &[LogEntry]) -> Result<(), Reload> {
        for entry in entries {
            let place = self.places.get_mut(entry.position.partition.index());
            let place = place.ok_or(Reload::OtherLog)?;
            if std::mem::take(&mut place.is_resumed) && place.last.as_ref() != Some(entry) {
                return Err(Reload::History {
                    partition: entry.position.partition,
                    offset: entry.position.offset,
                    what: "another record lies where the last one was read",
                });
            }
            if self.feed.apply(entry.position, &entry.record)? == Applied::Froze {
                tracing::error!(
                    position = ?entry.position,
                    "a record that this version cannot read; its partition is frozen"
                );
            }
            // Before the first of its own an adopted topic may have some of another log.
            if let LogRecord::Heartbeat(beat) = &entry.record {
                let is_own = beat.log == self.feed.follower().log();
                self.is_proven |= is_own;
                if self.is_live && !self.is_proven {
                    // The topic was empty when the reading began, and this is its first node.
                    return Err(Reload::OtherLog);
                }
            }
            place.last = Some(entry.clone());
        }
        self.go_live_if_caught_up();
        Ok(())
    }

    fn go_live_if_caught_up(&mut self) {
        if self.is_live {
            return;
        }
        let next = self.feed.follower().positions().unwrap_or_default();
        if next.len() == self.ends.len() && next.iter().zip(&self.ends).all(|(next, end)| next >= end) {
            self.is_live = true;
            self.feed.go_live();
            tracing::info!(
                marks = self.feed.follower().len(),
                "the log is read up to where it ended at the start; heartbeats prove freshness from here on"
            );
        }
    }

    pub(crate) const fn is_live(&self) -> bool {
        self.is_live
    }

    /// The log's identity, once a heartbeat has named it.
    pub(crate) fn proven(&self) -> Option<LogIdentity> {
        self.is_proven.then(|| self.feed.follower().log())
    }

    /// Whether a tail may go on with it: nobody ended the trust in its view.
    pub(crate) fn is_sound(&self) -> bool {
        !self.is_live || self.feed.is_trusted()
    }

    /// Nothing is fresh by it any more.
    pub(crate) fn end(self) {
        self.feed.distrust();
        // The last hold of a client waits for its threads, which no thread of the runtime should.
        tokio::task::spawn_blocking(move || drop(self.log));
    }
}

fn hex(log: LogIdentity) -> String {
    format!("{:032x}", u128::from_be_bytes(log.log_id))
}

//! A tail of the fake log.
//!
//! **Invariant:** nothing is taken before it is returned, so dropping the future loses nothing.

use async_trait::async_trait;
use curfew_core::mac::sha256;
use curfew_core::place::{LogPartition, Position};

use super::log::{FakeLog, State};
use crate::log::{BATCH_MAX, LogEntry, LogError, Tail};

/// A reader of all partitions.
#[derive(Debug)]
pub(super) struct FakeTail {
    log: FakeLog,
    /// The next offset of each partition.
    next: Vec<u64>,
    /// Entries that will be delivered a second time.
    copies: Vec<LogEntry>,
    batches: u64,
}

impl FakeTail {
    pub(super) const fn new(log: FakeLog, next: Vec<u64>) -> Self {
        Self {
            log,
            next,
            copies: Vec::new(),
            batches: 0,
        }
    }

    fn take(&mut self) -> Result<Vec<LogEntry>, LogError> {
        let log = self.log.clone();
        let mut state = log.lock();
        state.refuse_if_down("tail")?;
        if !self.copies.is_empty() {
            let rest = self.copies.split_off(self.copies.len().min(BATCH_MAX));
            return Ok(std::mem::replace(&mut self.copies, rest));
        }
        state.check(&self.next)?;
        let mut batch = Vec::new();
        for partition in self.order(&state) {
            let (slice, next) = (
                &state.slices[partition.index()],
                &mut self.next[partition.index()],
            );
            let passed = usize::try_from(*next - slice.start).expect("a length in memory");
            for (appended_at, record) in slice.records.iter().skip(passed).take(BATCH_MAX - batch.len()) {
                let position = Position {
                    partition,
                    offset: *next,
                };
                batch.push(LogEntry {
                    position,
                    appended_at: *appended_at,
                    record: record.clone(),
                });
                *next += 1;
            }
        }
        let again = state.redeliveries.min(batch.len());
        state.redeliveries -= again;
        self.copies.extend(batch.iter().take(again).cloned());
        self.batches += 1;
        Ok(batch)
    }

    /// The order of the partitions in this batch; another one begins each, so that none starves.
    fn order(&self, state: &State) -> Vec<LogPartition> {
        let mut order: Vec<_> = state.identity.all().collect();
        if state.order == 0 {
            let turn = usize::try_from(self.batches % order.len() as u64).expect("below M");
            order.rotate_left(turn);
        } else {
            let lot = |p: &LogPartition| {
                let drawn = [
                    state.order.to_be_bytes(),
                    self.batches.to_be_bytes(),
                    u64::from(p.0).to_be_bytes(),
                ];
                sha256(&drawn.concat())
            };
            order.sort_by_cached_key(lot);
        }
        order.retain(|partition| !state.held_back.contains(partition));
        order
    }
}

#[async_trait]
impl Tail for FakeTail {
    async fn next(&mut self) -> Result<Vec<LogEntry>, LogError> {
        loop {
            let shared = self.log.0.clone();
            // Made before the look: it hears of every change from here on.
            let changed = shared.changed.notified();
            let batch = self.take()?;
            if !batch.is_empty() {
                return Ok(batch);
            }
            changed.await;
        }
    }
}

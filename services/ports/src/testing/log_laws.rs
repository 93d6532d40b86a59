//! The laws of the log, one function each. Run them with [`log_contract!`](crate::log_contract).
//!
//! **Invariant:** each law stands alone on an empty log; one that waits for entries waits for as many
//! as it appended, never for a while.

mod append;
mod range;
mod tail;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use curfew_core::ids::Cause;
use curfew_core::place::LogPartition;
use curfew_core::record::{LogRecord, Revocation};

use crate::log::{BATCH_MAX, Log, LogEntry, LogError, Tail, TailFrom};
use crate::testing::samples::{record_id, sample_revocation};

pub use append::*;
pub use range::*;
pub use tail::*;

/// Reads until `count` entries are there; each batch is bounded and not empty.
pub(in crate::testing) async fn read_entries(tail: &mut dyn Tail, count: u64) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    while (entries.len() as u64) < count {
        let batch = tail.next().await.unwrap();
        assert!(
            (1..=BATCH_MAX).contains(&batch.len()),
            "a batch of {}",
            batch.len()
        );
        entries.extend(batch);
    }
    assert_eq!(entries.len() as u64, count, "more than was appended");
    entries
}

/// The records of one partition, in the order of arrival, which must be that of their offsets.
fn of_partition(entries: &[LogEntry], partition: LogPartition) -> Vec<(u64, LogRecord)> {
    let entries = entries
        .iter()
        .filter(|entry| entry.position.partition == partition);
    let entries: Vec<_> = entries
        .map(|entry| (entry.position.offset, entry.record.clone()))
        .collect();
    assert!(
        entries.is_sorted_by(|a, b| a.0 < b.0),
        "out of order in {partition:?}"
    );
    entries
}

/// The `n`th small record.
pub(in crate::testing) fn record(n: u64) -> LogRecord {
    let cause = Cause::new("test").unwrap();
    LogRecord::Revocation(
        Revocation {
            id: record_id(n),
            cause,
            ..sample_revocation(0)
        }
        .into(),
    )
}

/// Every partition of the log, in order.
async fn partitions(log: &dyn Log) -> Vec<LogPartition> {
    log.identity().await.unwrap().all().collect()
}

/// Where the next record of every partition will lie.
async fn ends(log: &dyn Log) -> Vec<u64> {
    log.bounds()
        .await
        .unwrap()
        .into_iter()
        .map(|bounds| bounds.end)
        .collect()
}

async fn tail_from(log: &dyn Log, offsets: Vec<u64>) -> Result<Box<dyn Tail>, LogError> {
    log.tail(TailFrom::Offsets(offsets)).await
}

/// Begins to wait for the next entries and drops the future; gives what was ready at once.
pub(in crate::testing) async fn begin_and_drop(tail: &mut dyn Tail) -> Option<Vec<LogEntry>> {
    let mut next = pin!(tail.next());
    poll_fn(|context| {
        Poll::Ready(match next.as_mut().poll(context) {
            Poll::Ready(batch) => Some(batch.unwrap()),
            Poll::Pending => None,
        })
    })
    .await
}

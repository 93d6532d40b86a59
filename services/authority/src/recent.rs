//! The newest stretch of the log, read once by this node and kept for all who follow it here.
//!
//! A thousand streams cost one reader of the log and one copy of what it read. Whoever lies behind what is kept
//! reads the log itself until it has come near ([`crate::feed`]).
//!
//! **Invariant:** what is kept is gapless and in the node's own order: exactly what its follower applied, each
//! offset once. Where the follower begins elsewhere, everybody is told that history changed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use curfew_core::record::LogRecord;
use curfew_ports::log::LogEntry;
use tokio::sync::watch;

/// Entries that are kept: at 300 B each 5 MB, and at 1,000 revocations a second a quarter of a minute, the longest
/// wait of a guard between two streams and half of that again.
const ENTRIES_MAX: usize = 16_384;

/// Bytes of what is large: records that cannot be read, and bodies of the directory.
const LARGE_BYTES_MAX: usize = 16 << 20;

/// What this node's follower read last.
#[derive(Debug)]
pub(crate) struct Recent {
    kept: Mutex<Kept>,
    /// How often something came.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The next offset of each partition after everything kept; empty until the follower began.
    end: Vec<u64>,
    /// How often the follower began elsewhere.
    epoch: u64,
    /// The number of the oldest batch.
    first: u64,
    batches: VecDeque<Batch>,
    entries: usize,
    large_bytes: usize,
}

#[derive(Debug)]
struct Batch {
    /// The next offset of each partition before it.
    start: Box<[u64]>,
    entries: Arc<[LogEntry]>,
}

/// A place among what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    epoch: u64,
    number: u64,
}

/// Where some offsets lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Everything from there on is kept. The first batch may begin earlier.
    Kept(Mark),
    /// Further than the follower has read. What it reads next stands there.
    Ahead(Mark),
    /// Before what is kept, or nothing is kept yet.
    Before,
}

/// What lies at a mark.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Batch(Arc<[LogEntry]>, Mark),
    /// Not there yet.
    Nothing,
    /// It was kept, and is no longer.
    Lapped,
    /// The follower began elsewhere.
    Changed,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            news: watch::Sender::new(0),
        }
    }
}

impl Recent {
    /// The follower goes on from these offsets.
    pub(crate) fn begin(&self, next: Vec<u64>) {
        self.change(|kept| {
            if kept.end == next {
                return;
            }
            kept.first += u64::try_from(kept.batches.len()).unwrap_or(0);
            kept.batches.clear();
            (kept.entries, kept.large_bytes) = (0, 0);
            kept.epoch += 1;
            kept.end = next;
        });
    }

    /// The follower applied these; answers whether it has begun, as nothing is kept before.
    pub(crate) fn push(&self, entries: Vec<LogEntry>) -> bool {
        self.change(|kept| {
            let start: Box<[u64]> = kept.end.as_slice().into();
            let has_begun = !start.is_empty();
            let mut new = Vec::with_capacity(entries.len());
            for entry in entries {
                let Some(end) = kept.end.get_mut(entry.position.partition.index()) else {
                    continue;
                };
                // A copy that the log delivered again was kept the first time.
                if entry.position.offset >= *end {
                    *end = entry.position.offset.saturating_add(1);
                    new.push(entry);
                }
            }
            if new.is_empty() {
                return has_begun;
            }
            kept.entries += new.len();
            kept.large_bytes += large_bytes(&new);
            kept.batches.push_back(Batch {
                start,
                entries: new.into(),
            });
            while (kept.entries > ENTRIES_MAX || kept.large_bytes > LARGE_BYTES_MAX)
                && let Some(oldest) = kept.batches.pop_front()
            {
                kept.entries -= oldest.entries.len();
                kept.large_bytes -= large_bytes(&oldest.entries);
                kept.first += 1;
            }
            has_begun
        })
    }

    /// Where these offsets lie.
    pub(crate) fn find(&self, next: &[u64]) -> Found {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.end.len() != next.len() {
            return Found::Before;
        }
        let below = |start: &[u64]| start.iter().zip(next).all(|(start, next)| start <= next);
        let begin = if below(&kept.end) {
            Some(kept.batches.len())
        } else {
            // Starts only grow, so those at or below the offsets come first; the last of them is where to begin.
            kept.batches
                .partition_point(|batch| below(&batch.start))
                .checked_sub(1)
        };
        let Some(number) = begin else {
            return Found::Before;
        };
        let mark = Mark {
            epoch: kept.epoch,
            number: kept.first + u64::try_from(number).unwrap_or(0),
        };
        match next.iter().zip(&kept.end).any(|(next, end)| next > end) {
            true => Found::Ahead(mark),
            false => Found::Kept(mark),
        }
    }

    /// What lies there.
    pub(crate) fn read(&self, mark: Mark) -> Read {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if mark.epoch != kept.epoch {
            return Read::Changed;
        }
        let Some(index) = mark.number.checked_sub(kept.first) else {
            return Read::Lapped;
        };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        match kept.batches.get(index) {
            Some(batch) => {
                let next = Mark {
                    number: mark.number + 1,
                    ..mark
                };
                Read::Batch(batch.entries.clone(), next)
            }
            None => Read::Nothing,
        }
    }

    /// Tells when something came, or all changed.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let changed = change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.send_modify(|count| *count += 1);
        changed
    }
}

/// What some entries hold beyond the size of any other.
fn large_bytes(entries: &[LogEntry]) -> usize {
    let of = |entry: &LogEntry| match &entry.record {
        LogRecord::Unknown(unknown) => unknown.raw.len(),
        LogRecord::Directory(change) => change.body.as_ref().map_or(0, Vec::len),
        LogRecord::Revocation(_)
        | LogRecord::Heartbeat(_)
        | LogRecord::SubjectState(_)
        | LogRecord::Skip(_)
        | LogRecord::Withheld => 0,
    };
    entries.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use curfew_core::place::{LogPartition, Position};
    use curfew_core::record::UnknownRecord;
    use curfew_core::time::Millis;

    use super::*;

    fn entry(partition: u16, offset: u64) -> LogEntry {
        LogEntry {
            position: Position {
                partition: LogPartition(partition),
                offset,
            },
            appended_at: Millis::from_unix_ms(0),
            record: LogRecord::Unknown(UnknownRecord {
                raw: Arc::from(offset.to_be_bytes().as_slice()),
                why: "of no kind".into(),
            }),
        }
    }

    /// All offsets that are read from there on.
    fn from(recent: &Recent, mut mark: Mark) -> Vec<(u16, u64)> {
        let mut all = Vec::new();
        while let Read::Batch(entries, next) = recent.read(mark) {
            all.extend(
                entries
                    .iter()
                    .map(|entry| (entry.position.partition.0, entry.position.offset)),
            );
            mark = next;
        }
        all
    }

    fn kept(recent: &Recent, next: &[u64]) -> Mark {
        let found = recent.find(next);
        let Found::Kept(mark) = found else {
            panic!("{found:?}");
        };
        mark
    }

    #[test]
    fn whoever_lies_within_what_is_kept_reads_everything_behind_its_place() {
        let recent = Recent::default();
        assert_eq!(recent.find(&[0, 0]), Found::Before, "nothing is kept yet");
        assert!(
            !recent.push(vec![entry(0, 4), entry(1, 6)]),
            "and nothing is before it began"
        );
        recent.begin(vec![5, 7]);
        assert!(recent.push(vec![entry(0, 5), entry(1, 7)]));
        recent.push(vec![entry(1, 8)]);
        recent.push(vec![entry(1, 8), entry(0, 6)]);
        assert_eq!(
            from(&recent, kept(&recent, &[5, 7])),
            [(0, 5), (1, 7), (1, 8), (0, 6)]
        );
        assert_eq!(from(&recent, kept(&recent, &[6, 8])), [(1, 8), (0, 6)]);
        // Between two batches in one partition, behind both in the other: the earlier one counts.
        assert_eq!(
            from(&recent, kept(&recent, &[5, 9])),
            [(0, 5), (1, 7), (1, 8), (0, 6)]
        );
        assert_eq!(from(&recent, kept(&recent, &[7, 9])), []);
        assert_eq!(recent.find(&[4, 9]), Found::Before);
        assert_eq!(recent.find(&[7]), Found::Before, "another number of partitions");
        let Found::Ahead(mark) = recent.find(&[7, 12]) else {
            panic!("{:?}", recent.find(&[7, 12]));
        };
        recent.push(vec![entry(0, 7)]);
        assert!(
            from(&recent, mark).contains(&(0, 7)),
            "what comes next stands there"
        );
    }

    #[test]
    fn large_records_push_old_ones_out_before_there_are_many() {
        let recent = Recent::default();
        recent.begin(vec![0]);
        for offset in 0..20 {
            let mut large = entry(0, offset);
            large.record = LogRecord::Unknown(UnknownRecord {
                raw: vec![0; 1 << 20].into(),
                why: "of no kind".into(),
            });
            recent.push(vec![large]);
        }
        assert_eq!(recent.find(&[3]), Found::Before);
        assert_eq!(from(&recent, kept(&recent, &[4])).len(), 16);
    }

    #[test]
    fn whoever_was_lapped_or_lives_in_another_history_is_told() {
        let recent = Recent::default();
        recent.begin(vec![0]);
        let first = kept(&recent, &[0]);
        let bound = u64::try_from(ENTRIES_MAX).unwrap();
        for offset in 0..=bound {
            recent.push(vec![entry(0, offset)]);
        }
        assert!(matches!(recent.read(first), Read::Lapped));
        assert_eq!(recent.find(&[0]), Found::Before);
        assert_eq!(
            u64::try_from(from(&recent, kept(&recent, &[1])).len()).unwrap(),
            bound
        );

        let last = kept(&recent, &[bound + 1]);
        assert!(matches!(recent.read(last), Read::Nothing));
        recent.begin(vec![bound + 1]);
        assert!(
            matches!(recent.read(last), Read::Nothing),
            "it went on where it was"
        );
        recent.begin(vec![0]);
        assert!(matches!(recent.read(last), Read::Changed));
        assert_eq!(from(&recent, kept(&recent, &[0])), []);
    }
}

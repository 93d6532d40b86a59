//! What the tests of the engine share: chance, options, records, a disk that fails on purpose.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod disk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use curfew_core::ids::{Cause, IssuerId, RecordId, TenantId};
use curfew_core::mac::sha256;
use curfew_core::place::Partition;
use curfew_core::record::{Criterion, Initiator, LogRecord, Outgoing, Revocation};
use curfew_core::stored::{Key, Record, Write};
use curfew_core::time::{Clock, Millis};
use curfew_embedded::{Embedded, Options};
use curfew_ports::entropy::EntropySource;
use curfew_ports::store::{Commit, CommitOutcome, Committed, Store, StoreError};
use curfew_ports::testing::StillClock;

/// Chance from a seed: the n-th draw is the hash of seed and n.
#[derive(Debug)]
pub(crate) struct Seeded {
    seed: u64,
    drawn: AtomicU64,
}

impl Seeded {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            drawn: AtomicU64::new(0),
        })
    }

    pub(crate) fn next(&self) -> u64 {
        u64::from_be_bytes(self.draw()[..8].try_into().unwrap())
    }

    /// Below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.next() % end
    }
}

impl EntropySource for Seeded {
    fn draw(&self) -> [u8; 32] {
        let n = self.drawn.fetch_add(1, Ordering::SeqCst);
        sha256(&[self.seed.to_be_bytes(), n.to_be_bytes()].concat())
    }
}

pub(crate) const START: Millis = Millis::from_unix_ms(1_760_000_000_000);

pub(crate) fn still() -> Arc<StillClock> {
    StillClock::at(START)
}

pub(crate) fn options(clock: Arc<dyn Clock>) -> Options {
    // Several partitions, so that what is wide and what is apart shows.
    Options {
        partitions: Some(8),
        ..Options::new(clock, Seeded::new(u64::from(std::process::id())))
    }
}

pub(crate) const HERE: Partition = Partition::DIRECTORY;

/// The id that both the row and the published record of number `n` have.
pub(crate) fn id_of(n: u64) -> RecordId {
    let mut bytes = [0x11; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    RecordId::from_bytes(bytes)
}

/// The number of an id of [`id_of`].
pub(crate) fn number_of(id: RecordId) -> u64 {
    u64::from_be_bytes(id.as_bytes()[8..].try_into().unwrap())
}

pub(crate) fn revocation(n: u64) -> Revocation {
    let tenant = TenantId::from_bytes([7; 16]);
    Revocation {
        id: id_of(n),
        operation: None,
        tenant,
        issuer: IssuerId::from_bytes([7; 16]),
        all_of: vec![Criterion::new("jti", n.to_string())],
        before: None,
        except: Vec::new(),
        keep_until: START,
        decided_at: START,
        cause: Cause::new("test").unwrap(),
        initiator: Initiator::System,
        home: HERE,
        wide: false,
        sequence: n,
        incarnation: None,
        subject_key: None,
        row: None,
        scope: "token".into(),
        correlation_id: None,
        trace: None,
    }
}

pub(crate) fn log_record(n: u64) -> LogRecord {
    LogRecord::Revocation(Arc::new(revocation(n)))
}

/// The key of number `n`: listed, so that a test finds all of them.
pub(crate) fn key(n: u64) -> Key {
    Key::Outbox(id_of(n))
}

/// A commit of number `n`: its record in the store, its revocation on the log.
pub(crate) fn numbered(engine: &Embedded, n: u64, now: Millis) -> Commit {
    use curfew_core::stored::OutboxEntry;
    let outgoing = Outgoing::revocation(revocation(n));
    let entry = OutboxEntry {
        outgoing: outgoing.clone(),
        at: now,
        lacking: vec![0],
    };
    Commit {
        partition: HERE,
        incarnation: engine.incarnation(),
        now,
        nonce: n.to_be_bytes(),
        expected: vec![(key(n), None)],
        writes: vec![(key(n), Write::put(Record::Outbox(entry)))],
        publish: vec![outgoing],
    }
}

pub(crate) async fn commit(engine: &Embedded, n: u64, now: Millis) -> Result<Committed, StoreError> {
    match engine.commit(numbered(engine, n, now)).await? {
        CommitOutcome::Committed(committed) => Ok(committed),
        other => panic!("{n} is {other:?}"),
    }
}

/// The numbers in the store.
pub(crate) async fn stored(engine: &Embedded) -> Vec<u64> {
    use curfew_core::stored::Listed;
    let mut numbers = Vec::new();
    let mut cursor = None;
    loop {
        let page = engine.list(HERE, Listed::Outbox, cursor, 1_000).await.unwrap();
        for (key, value) in &page.records {
            let Key::Outbox(id) = key else { panic!("{key:?}") };
            let Record::Outbox(entry) = &value.record else {
                panic!("{value:?}")
            };
            assert_eq!(
                entry.outgoing.record.event_id(),
                Some(*id),
                "a record under another's key"
            );
            numbers.push(number_of(*id));
        }
        cursor = page.next;
        if cursor.is_none() {
            return numbers;
        }
    }
}

/// The numbers on the log, in order of their places.
pub(crate) async fn logged(engine: &Embedded) -> Vec<u64> {
    use curfew_ports::log::{Log, TailFrom};
    let bounds = engine.bounds().await.unwrap();
    let mut left: u64 = bounds.iter().map(|bounds| bounds.end - bounds.start).sum();
    let mut tail = engine.tail(TailFrom::Oldest).await.unwrap();
    let mut numbers = Vec::new();
    while left > 0 {
        for entry in tail.next().await.unwrap() {
            left -= 1;
            numbers.push(number_of(entry.record.event_id().expect("a revocation")));
        }
    }
    numbers
}

/// Store and log hold the same numbers, each once; answers them in order.
pub(crate) async fn agreed(engine: &Embedded) -> Vec<u64> {
    let stored = stored(engine).await;
    let mut logged = logged(engine).await;
    logged.sort_unstable();
    assert_eq!(stored, logged, "store and log disagree");
    stored
}

//! Commits a second with 1, 64 and 256 callers, and a read of five keys.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use curfew_core::mac::sha256;
use curfew_core::place::Partition;
use curfew_core::record::Outgoing;
use curfew_core::stored::{Key, Record, Write};
use curfew_core::time::Millis;
use curfew_embedded::{Embedded, Options};
use curfew_ports::entropy::EntropySource;
use curfew_ports::store::{Commit, CommitOutcome, Store};
use curfew_ports::testing::StillClock;
use curfew_ports::testing::samples::{sample_records, sample_revocation};

const START: Millis = Millis::from_unix_ms(1_760_000_000_000);

#[derive(Debug)]
struct Counted(AtomicU64);

impl EntropySource for Counted {
    fn draw(&self) -> [u8; 32] {
        sha256(&self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes())
    }
}

/// A rotation: gate, row and partition record compared, the row written, nothing published.
fn rotation(engine: &Embedded, row: &(Key, Record), n: u64, publishes: bool) -> Commit {
    let [.., a, b] = n.to_be_bytes();
    Commit {
        partition: Partition::from_first_bits([b, a]),
        incarnation: engine.incarnation(),
        now: START,
        nonce: n.to_be_bytes(),
        expected: vec![(Key::Partition, None), (Key::Checkpoint, None)],
        writes: vec![(row.0.clone(), Write::put(row.1.clone()))],
        publish: if publishes {
            vec![Outgoing::revocation(sample_revocation(n))]
        } else {
            Vec::new()
        },
    }
}

async fn committed(engine: &Embedded, commit: Commit) {
    let outcome = engine.commit(commit).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
}

fn engine(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let home = tempfile::tempdir().unwrap();
    let options = Options::new(StillClock::at(START), Arc::new(Counted(AtomicU64::new(1))));
    let engine = Embedded::open(home.path(), options).unwrap();
    let next = Arc::new(AtomicU64::new(1));
    let records = sample_records();
    let row = records
        .iter()
        .find(|(key, _)| matches!(key, Key::Session(_)))
        .unwrap()
        .clone();

    let mut group = c.benchmark_group("embedded/commit");
    group
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_millis(500))
        .sample_size(10);
    for (callers, publishes) in [(1_u64, false), (64, false), (256, false), (64, true), (256, true)] {
        let name = format!(
            "{callers} callers{}",
            if publishes { ", each publishes" } else { "" }
        );
        // Each caller commits 16 times, one after the other.
        group.throughput(Throughput::Elements(callers * 16));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let tasks = (0..callers).map(|_| {
                        let (engine, next, row) = (engine.clone(), next.clone(), row.clone());
                        tokio::spawn(async move {
                            for _ in 0..16 {
                                let n = next.fetch_add(1, Ordering::SeqCst);
                                committed(&engine, rotation(&engine, &row, n, publishes)).await;
                            }
                        })
                    });
                    for task in tasks.collect::<Vec<_>>() {
                        task.await.unwrap();
                    }
                });
            });
        });
    }
    group.finish();

    let five: Vec<Key> = records.iter().take(4).map(|(key, _)| key.clone()).collect();
    let keys = [five.as_slice(), &[row.0]].concat();
    c.bench_function("embedded/read/5 keys", |bencher| {
        bencher.iter(|| {
            runtime
                .block_on(engine.read(Partition::DIRECTORY, black_box(&keys)))
                .unwrap()
        });
    });
}

criterion_group!(benches, engine);
criterion_main!(benches);

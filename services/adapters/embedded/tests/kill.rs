//! `kill -9` under load: what was acknowledged is there, in store and log alike.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use common::{START, Seeded, agreed, commit, options, still};
use curfew_embedded::Embedded;

const ROUNDS: u64 = 12;
const CALLERS: u64 = 16;
const DIR: &str = "CURFEW_KILL_DIR";
const FIRST: &str = "CURFEW_KILL_FIRST";
/// `CURFEW_KILL_SEED=… cargo test -p curfew-embedded --test kill` replays a run's moments.
const SEED: &str = "CURFEW_KILL_SEED";

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.into_string().unwrap())
}

/// What the child does: it commits until it is killed.
fn be_the_child(dir: String, first: String) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine = Embedded::open(Path::new(&dir), options(still())).unwrap();
        let next = Arc::new(AtomicU64::new(first.parse().unwrap()));
        let callers = (0..CALLERS).map(|_| {
            let (engine, next) = (engine.clone(), next.clone());
            tokio::spawn(async move {
                // It is killed long before these are used up.
                for _ in 0..1_000_000 {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    commit(&engine, n, START).await.unwrap();
                    // Acknowledged: from here on it must be there.
                    println!("ack {n}");
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
    });
}

fn start(dir: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        // The child is this very test, told by its environment to be the child.
        .args(["--exact", NAME, "--nocapture"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads acknowledgements, kills the child after `acks` of them, and answers all that it gave.
fn run_and_kill(mut child: Child, acks: usize) -> BTreeSet<u64> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = BTreeSet::new();
    let mut line = String::new();
    let mut is_killed = false;
    loop {
        line.clear();
        if lines.read_line(&mut line).unwrap() == 0 {
            break;
        }
        // A line that the kill cut short has no end, and is no acknowledgement.
        if let Some(n) = line.strip_suffix('\n').and_then(|line| line.split("ack ").nth(1)) {
            acknowledged.insert(n.parse().unwrap());
        }
        if acknowledged.len() >= acks && !is_killed {
            child.kill().unwrap();
            is_killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(
        is_killed && !status.success(),
        "the child ended by itself: {status}"
    );
    acknowledged
}

const NAME: &str = "a_killed_process_loses_nothing_that_it_acknowledged";

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    if let (Some(dir), Some(first)) = (variable(DIR), variable(FIRST)) {
        return be_the_child(dir, first);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(kill_and_compare());
}

async fn kill_and_compare() {
    #[expect(clippy::disallowed_methods, reason = "a new seed for each run, printed")]
    let by_time = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let seed = variable(SEED).map_or_else(by_time, |seed| seed.parse().unwrap());
    println!("{SEED}={seed}");
    let chance = Seeded::new(seed);
    let home = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut unanswered) = (BTreeSet::new(), 0);
    for round in 0..ROUNDS {
        let child = start(home.path(), round * 1_000_000);
        let acks = usize::try_from(1 + chance.below(3_000)).unwrap();
        acknowledged.extend(
            tokio::task::spawn_blocking(move || run_and_kill(child, acks))
                .await
                .unwrap(),
        );
        // Opening checks the file; store and log hold the same.
        let engine = Embedded::open(home.path(), options(still())).unwrap();
        let present: BTreeSet<u64> = agreed(&engine).await.into_iter().collect();
        let lost: Vec<_> = acknowledged.difference(&present).collect();
        assert!(
            lost.is_empty(),
            "seed {seed}, round {round}: acknowledged and lost: {lost:?}"
        );
        unanswered = present.len() - acknowledged.len();
    }
    println!(
        "{} acknowledged, {unanswered} committed without an answer",
        acknowledged.len()
    );
    assert!(acknowledged.len() as u64 >= ROUNDS);
}

//! Asks a primary that nobody follows any more to commit.

use curfew_core::place::Partition;
use curfew_core::stored::Key;
use curfew_ports::store::{Commit, CommitOutcome, Store as _};
use curfew_redis::{Options, Redis};

/// What it answered that it must not: `None` is well. Asked past every node, with a commit that writes nothing.
pub(crate) async fn asked(port: u16, prefix: &str) -> Option<String> {
    let mut options = Options::from_url(&format!("redis://127.0.0.1:{port}")).ok()?;
    prefix.clone_into(&mut options.prefix);
    // It need not be judged fit for service: it is asked what a node asks that was connected before.
    options.call_timeout_ms = 2_000;
    let store = Redis::open(&options).await.ok()?;
    for partition in Partition::all().step_by(128) {
        let Ok(view) = store.read(partition, &[Key::Partition]).await else {
            continue;
        };
        let commit = Commit {
            partition,
            incarnation: view.incarnation,
            now: view.store_time,
            nonce: fastrand::u64(..).to_be_bytes(),
            expected: Vec::new(),
            writes: Vec::new(),
            publish: Vec::new(),
        };
        if let Ok(CommitOutcome::Committed(_)) = store.commit(commit).await {
            return Some(format!(
                "a commit without writes in partition {}",
                partition.number()
            ));
        }
    }
    None
}

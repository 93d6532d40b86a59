//! Opens sessions with one grant each, as fast as the node takes them.
//!
//! **Invariant:** a session that could not be opened after some tries is an error, not a smaller number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::backend::{Backend, Opened};
use crate::failure::Failure;

/// Openings under way: a quarter of what a node of defaults lets in, enough to fill its batches.
const WORKERS: u64 = 256;
/// Tries of one opening: with waits of 50 ms doubled each time, a pause of the node of 25 seconds.
const TRIES_MAX: u32 = 10;

/// Opens `count` sessions of as many subjects; `opened` is told each time.
/// What is kept of each is up to `keep`.
pub(crate) async fn fill<T: Send + 'static>(
    backend: &Backend,
    count: u64,
    opened: impl Fn() + Clone + Send + 'static,
    keep: fn(Opened) -> T,
) -> Result<Vec<T>, Failure> {
    let next = Arc::new(AtomicU64::new(0));
    let name: Arc<str> = format!("load-{:08x}", fastrand::u32(..)).into();
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS.min(count) {
        let (backend, next, name, opened) = (backend.clone(), next.clone(), name.clone(), opened.clone());
        workers.spawn(async move {
            let mut sessions = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok(sessions);
                }
                sessions.push(keep(open(&backend, &format!("{name}-{n}")).await?));
                opened();
            }
        });
    }
    let mut sessions = Vec::new();
    while let Some(worker) = workers.join_next().await {
        sessions
            .extend(worker?.map_err(|reason: String| format!("a session could not be opened: {reason}"))?);
    }
    Ok(sessions)
}

async fn open(backend: &Backend, subject: &str) -> Result<Opened, String> {
    let mut wait = Duration::from_millis(50);
    for _ in 1..TRIES_MAX {
        match backend.open(subject).await {
            Ok(opened) => return Ok(opened),
            Err(_) => tokio::time::sleep(wait).await,
        }
        wait *= 2;
    }
    backend.open(subject).await
}

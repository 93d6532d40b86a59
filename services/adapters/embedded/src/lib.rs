//! The store port and the log port on one embedded engine, in one transaction.
//!
//! One redb file, one writer thread. Commits and appends queue, are validated in order against the
//! state inside their batch's transaction, and are answered after the one fsync of the batch. What a
//! commit publishes lies on the log by the same transaction, so there is no outbox.
//!
//! **Invariant:** nothing is answered, and nothing can be read, before it is durable.

mod batch;
mod collect;
mod disk;
mod fault;
mod log;
mod options;
mod schema;
mod shared;
mod store;
mod tail;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use curfew_core::place::{Incarnation, LogIdentity, LogPartition};
use curfew_ports::store::StoreError;
use tokio::sync::{mpsc, oneshot};

pub use disk::{Disk, FileDisk};
pub use options::{OpenError, Options, RETENTION_MS_DEFAULT, RETENTION_MS_MIN};
pub use shared::Health;

use fault::Fault;
use shared::Shared;
use writer::{Request, Writer};

/// Requests that may wait for the writer: four full batches, at 30,000 a second an eighth of one.
/// Who comes when it is full waits for a place.
const QUEUE_MAX: usize = 4 * writer::BATCH_MAX;

/// The embedded engine. Clones are the same engine; the last one to go closes the file.
#[derive(Clone, Debug)]
pub struct Embedded {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens the engine in `dir`, or makes a new one: the directory 0700, its files 0600.
    ///
    /// Blocks until the file is checked, after a crash as long as reading it takes.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let disk = FileDisk::claim(dir)?;
        Self::open_on(Arc::new(disk), options)
    }

    /// Opens the engine on a disk of another kind; tests fail theirs on purpose.
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let (shared, writer) = Writer::open(disk, options, queue)?;
        let run = || writer.run();
        let thread = std::thread::Builder::new()
            .name("curfew-embedded".to_owned())
            .spawn(run);
        let thread = thread.map_err(|source| OpenError::Thread { source })?;
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                requests: Some(requests),
                writer: Some(thread),
            }),
        })
    }

    /// Whether it can do its work; readiness shows it.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.shared.health()
    }

    /// Requests that wait for the writer, and how many there may be.
    #[must_use]
    pub fn queue(&self) -> (usize, usize) {
        let of = |requests: &mpsc::Sender<Request>| {
            let max = requests.max_capacity();
            (max.saturating_sub(requests.capacity()), max)
        };
        self.inner.requests.as_ref().map_or((0, QUEUE_MAX), of)
    }

    /// Which log this is; the same for as long as the file lives.
    #[must_use]
    pub fn log_identity(&self) -> LogIdentity {
        self.inner.shared.identity
    }

    /// The present incarnation: drawn when the file was made, kept over every restart.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.inner.shared.incarnation()
    }

    /// Gives the store a new incarnation, durably: what was read before is fenced from here on.
    ///
    /// For `curfew restore` alone: a directory that was copied back is another history, and nothing
    /// in it says so (DESIGN section 5).
    pub async fn new_incarnation(&self) -> Result<Incarnation, StoreError> {
        let answer = self.ask(|reply| Request::NewIncarnation { reply }).await;
        answer.map_err(|fault| fault.of_store("new incarnation"))
    }

    /// Drops what lies before an offset, whatever its age. For contract tests: no rule trims so.
    #[doc(hidden)]
    pub async fn trim_for_tests(&self, partition: LogPartition, before: u64) -> Result<(), StoreError> {
        let answer = self
            .ask(|reply| Request::Trim {
                partition,
                before,
                reply,
            })
            .await;
        answer.map_err(|fault| fault.of_store("trim"))
    }

    /// Queues a request and waits for its answer. A caller that goes away takes nothing back.
    async fn ask<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, Fault>>) -> Request,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let Some(requests) = &self.inner.requests else {
            return Err(Fault::closed());
        };
        requests.send(make(reply)).await.map_err(|_| Fault::closed())?;
        answer.await.map_err(|_| Fault::closed())?
    }

    /// Reads at one instant. A file that is down is reopened first, then the read is answered.
    ///
    /// Runs where it is called: five keys take some microseconds from redb's own cache and a few
    /// reads of the page cache otherwise, less than the hop to a blocking thread and back
    /// (`benches/engine.rs`).
    async fn reading<T>(&self, read: impl Fn(&redb::Database) -> Result<T, Fault>) -> Result<T, Fault> {
        if let Some(result) = self.inner.shared.with_database(&read) {
            return result;
        }
        self.ask(|reply| Request::Reopen { reply }).await?;
        self.inner
            .shared
            .with_database(&read)
            .unwrap_or_else(|| Err(Fault::closed()))
    }
}

impl Drop for Inner {
    /// Waits for the writer, so that the directory is free when the last handle is gone: at most the
    /// batches that are queued, some 50 ms.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the embedded engine panicked");
        }
    }
}

//! The writer: one thread that turns a queue into batches, and a failure into a reopened file.
//!
//! **Invariant:** after a failed transaction the file is closed and opened again before anybody is
//! answered: redb says `PreviousIo` for ever, and what it still reads may not be what the disk has.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use curfew_core::place::{Incarnation, LogPartition, Position};
use curfew_core::time::{Millis, Now};
use curfew_ports::store::CommitOutcome;
use redb::{Builder, Database, Durability, StorageBackend};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::batch::{Batch, CommitJob, Finished};
use crate::disk::{Disk, Opened};
use crate::fault::Fault;
use crate::options::{OpenError, Options};
use crate::schema::{self, Tables};
use crate::shared::{Health, Shared};

/// Requests in one transaction: at 37,000 a second a batch of some 30 ms, fsync included.
pub(crate) const BATCH_MAX: usize = 1_024;
/// In a crowd a transaction begins this long after the one before it at the earliest. Each costs some 110 us of
/// processor time whatever is in it: at 5,000 commits a second that is 65 us of each when they come in twos,
/// and 20 when they come in sixes.
const PACE: Duration = Duration::from_millis(1);
/// Requests in one transaction that are a crowd: a commit that comes alone, or by twos, waits for nobody.
const CROWD: usize = 3;
/// A full disk is tried again after this, ms: a try that fails costs a reopening.
const ROOM_AGAIN_MS: i64 = 1_000;
/// A wall clock that ran this much further than the machine's own is not believed when things are
/// thrown away, ms: time servers step by less.
const STEP_BELIEVED_MS: i64 = 60_000;

type Reply<T> = oneshot::Sender<Result<T, Fault>>;

#[derive(Debug)]
pub(crate) enum Request {
    Commit {
        job: CommitJob,
        reply: Reply<CommitOutcome>,
    },
    Append {
        partition: LogPartition,
        envelope: Vec<u8>,
        reply: Reply<Position>,
    },
    NewIncarnation {
        reply: Reply<Incarnation>,
    },
    Trim {
        partition: LogPartition,
        before: u64,
        reply: Reply<()>,
    },
    Reopen {
        reply: Reply<()>,
    },
}

/// What a request is answered with once its batch is durable.
enum Answer {
    Commit(CommitOutcome),
    Append(Position),
    NewIncarnation(Incarnation),
    Done,
}

impl Request {
    fn answer(self, result: Result<Answer, Fault>) {
        // Whoever does not wait any more loses nothing but the answer.
        match (self, result) {
            (Self::Commit { reply, .. }, Ok(Answer::Commit(outcome))) => drop(reply.send(Ok(outcome))),
            (Self::Append { reply, .. }, Ok(Answer::Append(position))) => drop(reply.send(Ok(position))),
            (Self::NewIncarnation { reply }, Ok(Answer::NewIncarnation(new))) => drop(reply.send(Ok(new))),
            (Self::Trim { reply, .. } | Self::Reopen { reply }, Ok(Answer::Done)) => drop(reply.send(Ok(()))),
            (request, Err(fault)) => request.fail(fault),
            (request, Ok(_)) => request.fail(Fault::new("the writer mixed up its answers")),
        }
    }

    fn fail(self, fault: Fault) {
        match self {
            Self::Commit { reply, .. } => drop(reply.send(Err(fault))),
            Self::Append { reply, .. } => drop(reply.send(Err(fault))),
            Self::NewIncarnation { reply } => drop(reply.send(Err(fault))),
            Self::Trim { reply, .. } | Self::Reopen { reply } => drop(reply.send(Err(fault))),
        }
    }
}

pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    options: Options,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Request>,
    newest_kept: Millis,
    opened_at: Now,
    room_tried_at_ms: Option<i64>,
}

impl Writer {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        queue: mpsc::Receiver<Request>,
    ) -> Result<(Arc<Shared>, Self), OpenError> {
        let file = disk.name();
        let backend = disk.open().map_err(|source| OpenError::Io {
            path: file.clone().into(),
            source,
        })?;
        let database = database_on(backend, &options).map_err(|fault| fault.of_file(&file))?;
        let meta = schema::read_or_make(&database, &options, &file)?;
        let shared = Arc::new(Shared::new(database, meta, options.clock.clone()));
        let opened_at = options.clock.now();
        let writer = Self {
            disk,
            options,
            shared: shared.clone(),
            queue,
            newest_kept: meta.newest,
            opened_at,
            room_tried_at_ms: None,
        };
        Ok((shared, writer))
    }

    /// Serves until the last handle is gone, then closes the file and gives the directory free.
    pub(crate) fn run(mut self) {
        let mut next_at = Instant::now();
        while let Some(first) = self.queue.blocking_recv() {
            std::thread::sleep(next_at.saturating_duration_since(Instant::now()));
            let begun = Instant::now();
            let mut batch = Vec::with_capacity(BATCH_MAX.min(self.queue.len() + 1));
            batch.push(first);
            while batch.len() < BATCH_MAX
                && let Ok(next) = self.queue.try_recv()
            {
                batch.push(next);
            }
            if batch.len() >= CROWD {
                next_at = begun + PACE;
            }
            self.serve(batch);
        }
        self.shared.set_health(Health::Closed);
        self.shared.close();
        self.shared.tell_appended();
    }

    fn serve(&mut self, batch: Vec<Request>) {
        match self.ready().and_then(|()| self.write(&batch)) {
            Ok(answers) => {
                for (request, answer) in batch.into_iter().zip(answers) {
                    request.answer(Ok(answer));
                }
            }
            Err(fault) => {
                for request in batch {
                    let is_reopen = matches!(request, Request::Reopen { .. });
                    // A reader only asks whether it may read again; a full disk is no reason not to.
                    let is_readable = is_reopen && self.shared.with_database(|_| ()).is_some();
                    request.answer(if is_readable {
                        Ok(Answer::Done)
                    } else {
                        Err(fault.clone())
                    });
                }
            }
        }
    }

    /// Whether a transaction may begin: the file is open, and there is room as far as we know.
    fn ready(&mut self) -> Result<(), Fault> {
        match self.shared.health() {
            Health::Ready => Ok(()),
            Health::Full => self.try_room(),
            Health::Down { .. } => self.reopen(),
            Health::Closed => Err(Fault::closed()),
        }
    }

    fn try_room(&mut self) -> Result<(), Fault> {
        let now = self.options.clock.now().boot_ms;
        let is_early = self
            .room_tried_at_ms
            .is_some_and(|at| now.saturating_sub(at) < ROOM_AGAIN_MS);
        if is_early || !self.disk.has_room() {
            self.room_tried_at_ms = self.room_tried_at_ms.filter(|_| is_early).or(Some(now));
            return Err(Fault::full());
        }
        self.shared.set_health(Health::Ready);
        Ok(())
    }

    /// One transaction; after a failure the file is another one before this returns.
    fn write(&mut self, batch: &[Request]) -> Result<Vec<Answer>, Fault> {
        let run = || {
            self.shared
                .with_database(|database| self.transact(database, batch))
        };
        let result =
            catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Some(Err(Fault::new("redb panicked"))));
        let fault = match result.unwrap_or_else(|| Err(self.shared.why_down())) {
            Ok((answers, finished)) => {
                self.shared.set_incarnation(finished.incarnation);
                self.shared.set_newest(finished.newest);
                self.newest_kept = finished.newest_kept;
                if finished.has_appended {
                    self.shared.tell_appended();
                }
                return Ok(answers);
            }
            Err(fault) => fault,
        };
        tracing::error!(error = %fault, requests = batch.len(), "a transaction of the embedded engine failed");
        if self.reopen().is_ok() && fault.is_full {
            self.room_tried_at_ms = Some(self.options.clock.now().boot_ms);
            self.shared.set_health(Health::Full);
        }
        Err(fault)
    }

    fn transact(&self, database: &Database, batch: &[Request]) -> Result<(Vec<Answer>, Finished), Fault> {
        let mut transaction = database.begin_write()?;
        // One phase, one fsync: a torn commit is told by its checksums, and the one before it stands.
        transaction.set_durability(Durability::Immediate)?;
        let now = self.options.clock.now();
        let (answers, finished) = {
            let newest = (self.shared.newest(), self.newest_kept);
            let tables = Tables::open(&transaction)?;
            let incarnation = self.shared.incarnation();
            let mut open = Batch::new(tables, self.shared.identity, now.wall, incarnation, newest);
            let answers = batch.iter().map(|request| self.apply(&mut open, request));
            let answers = answers.collect::<Result<Vec<_>, _>>()?;
            if open.is_dirty {
                open.collect(self.believed(now), self.options.retention_ms)?;
            }
            (answers, open.finish()?)
        };
        if finished.is_dirty {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok((answers, finished))
    }

    fn apply(&self, open: &mut Batch<'_>, request: &Request) -> Result<Answer, Fault> {
        match request {
            Request::Commit { job, .. } => open.commit(job).map(Answer::Commit),
            Request::Append {
                partition, envelope, ..
            } => open.append(*partition, envelope).map(Answer::Append),
            Request::NewIncarnation { .. } => {
                let [a, b, c, d, e, f, g, h, ..] = self.options.entropy.draw();
                open.new_incarnation(Incarnation([a, b, c, d, e, f, g, h]))
                    .map(Answer::NewIncarnation)
            }
            Request::Trim {
                partition, before, ..
            } => open.trim(*partition, *before).map(|()| Answer::Done),
            Request::Reopen { .. } => Ok(Answer::Done),
        }
    }

    /// The time by which things are thrown away: a wall clock that leapt ahead throws nothing away.
    fn believed(&self, now: Now) -> Millis {
        let ran_ms = now.boot_ms.saturating_sub(self.opened_at.boot_ms);
        now.wall
            .min(self.opened_at.wall.plus_ms(ran_ms).plus_ms(STEP_BELIEVED_MS))
    }

    fn reopen(&mut self) -> Result<(), Fault> {
        self.shared.close();
        let opened = self.disk.open().map_err(Fault::from).and_then(|backend| {
            let database = database_on(backend, &self.options)?;
            let meta = schema::read_again(&database)?;
            Ok((database, meta))
        });
        match opened {
            Ok((database, meta)) => {
                self.newest_kept = meta.newest;
                self.shared.put(database, meta);
                self.shared.set_health(Health::Ready);
                // What was being committed may lie on the log by now.
                self.shared.tell_appended();
                Ok(())
            }
            Err(fault) => {
                self.shared.set_health(Health::Down {
                    why: fault.to_string(),
                });
                Err(fault)
            }
        }
    }
}

fn database_on(backend: Box<dyn StorageBackend>, options: &Options) -> Result<Database, Fault> {
    Ok(Builder::new()
        .set_cache_size(options.cache_bytes)
        .create_with_backend(Opened(backend))?)
}

//! What an edge that feeds followers asks of the node: the log's tail, and whether it is ready.
//!
//! Followers near the log's end share what the node itself reads ([`crate::recent`]); one that lies further back
//! has a reader of its own until it has come near.
//!
//! **Invariant:** the tail is the log's own; nothing is added to it and nothing is stamped again.

use std::sync::Arc;
use std::time::Duration;

use curfew_core::place::LogPartition;
pub use curfew_ports::log::{Bounds, LogEntry, LogError};
use curfew_ports::log::{Tail, TailFrom};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinHandle;

use crate::answer::{Answer, log_unavailable};
use crate::node::Authority;
use crate::page::PageScope;
use crate::recent::{Found, Mark, Read};

/// How long a follower waits until it may read far back: longer than most that do so take, and shorter than a guard
/// waits for its first frame.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// One follower's tail.
#[derive(Debug)]
pub struct FeedTail {
    authority: Authority,
    /// The next offset of each partition.
    next: Vec<u64>,
    reads: Reads,
}

#[derive(Debug)]
enum Reads {
    Recent {
        mark: Mark,
        news: watch::Receiver<u64>,
    },
    Log(OwnTail),
    /// It is behind what is kept, and gets a reader of its own.
    Opening(JoinHandle<Result<OwnTail, LogError>>),
}

/// A reader that one follower has to itself.
#[derive(Debug)]
struct OwnTail {
    tail: Box<dyn Tail>,
    _one_of_few: OwnedSemaphorePermit,
}

impl FeedTail {
    /// The next entries, in order within each partition; some may lie before what was asked for. Waits until
    /// there is one. Dropping the future loses nothing; after an error the tail is over.
    ///
    /// # Errors
    /// `OutOfRange` where what comes next is another history or no longer retained, `Unavailable` where the log does
    /// not answer, or where too many read far back.
    pub async fn next(&mut self) -> Result<Arc<[LogEntry]>, LogError> {
        loop {
            match &mut self.reads {
                Reads::Recent { mark, news } => {
                    // Before the look, so that nothing comes between the look and the wait.
                    news.mark_unchanged();
                    match self.authority.recent.read(*mark) {
                        Read::Batch(entries, next) => {
                            *mark = next;
                            advance(&mut self.next, &entries);
                            return Ok(entries);
                        }
                        Read::Nothing => drop(news.changed().await),
                        Read::Lapped => {
                            // In a task: whoever waits here may let go and come back.
                            let opening = self.authority.clone().own_tail(self.next.clone());
                            self.reads = Reads::Opening(tokio::spawn(opening));
                        }
                        Read::Changed => return Err(self.changed()),
                    }
                }
                Reads::Log(own) => {
                    let entries = own.tail.next().await?;
                    advance(&mut self.next, &entries);
                    if let Found::Kept(mark) = self.authority.recent.find(&self.next) {
                        self.reads = self.authority.recently(mark);
                    }
                    return Ok(entries.into());
                }
                Reads::Opening(opening) => {
                    let opened = opening.await.map_err(unopened)?;
                    self.reads = Reads::Log(opened?);
                }
            }
        }
    }

    /// The node read the log from another place: what this reader has of it cannot be gone on from.
    fn changed(&self) -> LogError {
        LogError::OutOfRange {
            partition: LogPartition(0),
            asked: self.next.first().copied().unwrap_or(0),
            start: 0,
            end: 0,
        }
    }
}

fn advance(next: &mut [u64], entries: &[LogEntry]) {
    for entry in entries {
        if let Some(next) = next.get_mut(entry.position.partition.index()) {
            *next = (*next).max(entry.position.offset.saturating_add(1));
        }
    }
}

impl Authority {
    /// Follows the log from the next offset of each partition, in order of their numbers. Waits for some seconds
    /// where many are reading far back already.
    ///
    /// # Errors
    /// `OutOfRange` where an offset is not retained, `NoSuchPartition` where there are fewer or more
    /// offsets than partitions, `Unavailable` where the log does not answer, or where too many read far back.
    pub async fn tail_from(&self, next: Vec<u64>) -> Result<FeedTail, LogError> {
        let reads = match self.recent.find(&next) {
            Found::Kept(mark) => self.recently(mark),
            Found::Ahead(mark) => {
                // Another node may have read further, and so may this node's own snapshot.
                if !self.has_read(&next) {
                    Bounds::check(&self.parts.log.bounds().await?, &next)?;
                }
                self.recently(mark)
            }
            Found::Before => Reads::Log(self.clone().own_tail(next.clone()).await?),
        };
        Ok(FeedTail {
            authority: self.clone(),
            next,
            reads,
        })
    }

    /// A reader that one follower has to itself, once it may have one.
    async fn own_tail(self, next: Vec<u64>) -> Result<OwnTail, LogError> {
        let few = self.reading_back.clone().acquire_owned();
        let permit = tokio::time::timeout(WAIT_MAX, few).await.map_err(unopened)?;
        Ok(OwnTail {
            _one_of_few: permit.map_err(unopened)?,
            tail: self.parts.log.tail(TailFrom::Offsets(next)).await?,
        })
    }

    fn recently(&self, mark: Mark) -> Reads {
        let news = self.recent.news();
        Reads::Recent { mark, news }
    }

    /// Whether the follower has read as far as that.
    fn has_read(&self, next: &[u64]) -> bool {
        let positions = self.follower.positions();
        positions.is_some_and(|read| read.iter().zip(next).all(|(read, next)| next <= read))
    }

    /// The retained range of every log partition, in order of their numbers.
    pub async fn log_bounds(&self) -> Answer<Vec<Bounds>> {
        self.parts.log.bounds().await.map_err(log_unavailable)
    }

    /// Whether this node may answer now: its directory view and its own tail are young enough.
    pub async fn is_ready(&self) -> bool {
        self.fresh_directory().await.is_ok() && self.is_fresh()
    }

    /// The page token that leads on from `cursor`.
    pub async fn seal_page(&self, scope: &PageScope<'_>, cursor: &[u8]) -> Answer<String> {
        let loaded = self.fresh_directory().await?;
        Ok(scope.seal(loaded.ring.page()?, cursor))
    }

    /// The cursor of a page token; `None`: begin. Somebody else's, or one of another filter, is refused.
    pub async fn open_page(&self, scope: &PageScope<'_>, token: &str) -> Answer<Option<Vec<u8>>> {
        let loaded = self.fresh_directory().await?;
        scope.open(loaded.ring.page()?, token)
    }
}

/// No reader now: too many have one, or the node ends.
fn unopened(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LogError {
    LogError::Unavailable {
        what: "reader of its own",
        source: why.into(),
    }
}

//! Follows the log for ever: opens it, reads it, and does what must be done when that breaks.
//!
//! **Invariant:** what broke takes nothing away: what is known goes on denying, and freshness ends by its own age,
//! or at once where the log is another one or its history changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use curfew_core::follow::Reload;
use curfew_core::place::LogIdentity;
use curfew_guard::{Guard, NotRegistered, Reporter, wait_after};
use curfew_kafka::{Kafka, OpenError, Options};
use curfew_ports::log::{Log, LogError};

use crate::reading::Reading;

/// A tail over which nothing comes for this many X is opened again: heartbeats come each X/5.
const SILENT_BOUNDS: i64 = 2;

/// Where the log comes from.
#[async_trait]
pub(crate) trait OpenLog: Send + Sync {
    /// Opens it; where `expected` names one, another is an error.
    async fn open(&self, expected: Option<LogIdentity>) -> Result<Arc<dyn Log>, OpenError>;
}

#[async_trait]
impl OpenLog for Options {
    async fn open(&self, expected: Option<LogIdentity>) -> Result<Arc<dyn Log>, OpenError> {
        let options = Options {
            expected,
            ..self.clone()
        };
        Ok(Arc::new(Kafka::open_to_read(options).await?))
    }
}

/// Why following stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the log does not open")]
    NotOpen(#[from] OpenError),
    #[error("the guard is not registered, and is not ready before")]
    NotRegistered(#[from] NotRegistered),
    #[error("the log cannot be read")]
    Unreadable(#[from] LogError),
    #[error("nothing came for {0:?}, not even a heartbeat")]
    Silent(Duration),
    #[error("the log must be read again")]
    Reload(#[from] Reload),
}

impl Broken {
    /// Whether what was read is not what lies there any more.
    const fn is_reload(&self) -> bool {
        match self {
            Self::Reload(_) => true,
            Self::Unreadable(error) => !error.is_retryable(),
            Self::NotOpen(_) | Self::NotRegistered(_) | Self::Silent(_) => false,
        }
    }

    /// Whether the topic holds another log than the one that is followed.
    const fn is_other_log(&self) -> bool {
        matches!(
            self,
            Self::Reload(Reload::OtherLog)
                | Self::NotOpen(OpenError::OtherLog { .. } | OpenError::Partitions { .. })
        )
    }
}

/// Feeds the guard for ever. `expected`: the only log that is followed; `None`: the first that proves to be one.
///
/// `reporter`: registers the guard before anything is read.
pub(crate) async fn follow(
    log: &dyn OpenLog,
    guard: &Guard,
    expected: Option<LogIdentity>,
    reporter: Option<&Reporter>,
) {
    let mut following = Following {
        log,
        guard,
        expected,
        reporter,
        reading: None,
        did_follow: false,
    };
    let mut failures = 0;
    loop {
        let Err(broken) = following.round().await;
        // A tail that gave something to a view that is live was a good one: the next wait is short again.
        failures = if following.did_follow {
            0
        } else {
            u32::saturating_add(failures, 1)
        };
        following.end(&broken);
        tokio::time::sleep(wait_after(failures)).await;
    }
}

struct Following<'a> {
    log: &'a dyn OpenLog,
    guard: &'a Guard,
    expected: Option<LogIdentity>,
    reporter: Option<&'a Reporter>,
    /// What is gone on with; `None`: the log is read from its oldest record.
    reading: Option<Reading>,
    did_follow: bool,
}

impl Following<'_> {
    /// One tail, from its opening to its end.
    async fn round(&mut self) -> Result<Infallible, Broken> {
        self.did_follow = false;
        let reading = match self.reading.take() {
            Some(reading) if reading.is_sound() => reading,
            unsound => {
                if let Some(reading) = unsound {
                    reading.end();
                }
                let log = self.log.open(self.expected).await?;
                if let Some(reporter) = self.reporter {
                    // Before it is read: a heartbeat stamped later proves that whoever revokes knew of this guard.
                    reporter.register(self.guard, log.identity().await?).await?;
                }
                Reading::begin(log, self.guard).await?
            }
        };
        let reading = self.reading.insert(reading);
        let mut tail = reading.tail().await?;
        let silence =
            Duration::from_millis(self.guard.bound_ms().saturating_mul(SILENT_BOUNDS).unsigned_abs());
        loop {
            let next = tokio::time::timeout(silence, tail.next()).await;
            let entries = next.map_err(|_| Broken::Silent(silence))??;
            reading.take(&entries)?;
            self.did_follow = reading.is_live();
            // Before a heartbeat was read, the id was only what a log without any would have.
            self.expected = self.expected.or(reading.proven());
        }
    }

    fn end(&mut self, broken: &Broken) {
        let error = broken as &dyn std::error::Error;
        if broken.is_reload()
            && let Some(reading) = self.reading.take()
        {
            reading.end();
        }
        if broken.is_other_log() {
            tracing::error!(
                error,
                "the topic holds another log than the one that is followed: nothing is fresh, what is known goes on denying"
            );
        } else if broken.is_reload() {
            tracing::error!(
                error,
                "the log is read again from its oldest record; nothing is fresh meanwhile, what is known goes on denying"
            );
        } else {
            tracing::warn!(error, "the tail broke; what is known goes on denying");
        }
    }
}

#[cfg(test)]
mod tests;

//! The keys of one issuer entry: found by `kid` on the request path, fetched off it.
//!
//! **Invariant:** keys are found by (issuer entry, `kid`), never by `kid` alone: each entry has a ring of its own.
//! **Invariant:** the request path never fetches; it can only say that an unknown `kid` was seen.
//! **Invariant:** only a fetched set with a usable key replaces another; no unknown `kid` evicts a known key.

mod fetch;
mod pace;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use curfew_core::ids::IssuerId;
use curfew_core::time::{Clock, Now};
use curfew_jose::{KeySet, VerifyingKey};
use tokio::sync::Notify;

pub use fetch::{FetchFailed, FetchKeys, JwksSource};
use pace::Pace;

/// What is in use: the set and when it was fetched by the boot clock; given sets never age.
#[derive(Debug, Default)]
struct Loaded {
    set: KeySet,
    fetched_boot_ms: Option<i64>,
}

/// The keys of one issuer entry.
#[derive(Debug)]
pub(crate) struct KeyRing {
    entry: IssuerId,
    source: JwksSource,
    kept_ms: i64,
    loaded: ArcSwap<Loaded>,
    wanted: Notify,
    fetches: AtomicU64,
    failures: AtomicU64,
    unknown: AtomicU64,
}

/// Why there is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoKey {
    /// The set has no such `kid`; a fetch was asked for.
    Unknown,
    /// The last good set is older than it may be.
    TooOld,
    /// No set was ever there.
    NoSet,
}

impl NoKey {
    /// For people.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "the issuer's key set has no such key",
            Self::TooOld => "the issuer's key set could not be fetched for too long",
            Self::NoSet => "the issuer's key set was not fetched yet",
        }
    }
}

impl KeyRing {
    /// A ring; `None` where the set was given as bytes and has no usable key.
    pub(crate) fn new(entry: IssuerId, source: JwksSource, kept_ms: i64) -> Option<Self> {
        let loaded = match &source {
            JwksSource::Static(document) => {
                let set = KeySet::parse(document).ok().filter(|set| !set.is_empty())?;
                Loaded {
                    set,
                    fetched_boot_ms: None,
                }
            }
            JwksSource::Url(_) | JwksSource::Custom(_) => Loaded::default(),
        };
        Some(Self {
            entry,
            source,
            kept_ms,
            loaded: ArcSwap::from_pointee(loaded),
            wanted: Notify::new(),
            fetches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        })
    }

    /// The key of this `kid`. An unknown one asks for a fetch; how soon one follows is not the caller's to say.
    pub(crate) fn get(&self, kid: &str, now: Now) -> Result<VerifyingKey, NoKey> {
        let loaded = self.loaded.load();
        let is_given = matches!(self.source, JwksSource::Static(_));
        let why = match loaded.fetched_boot_ms {
            None if !is_given => NoKey::NoSet,
            Some(fetched) if now.boot_ms.saturating_sub(fetched) > self.kept_ms => NoKey::TooOld,
            Some(_) | None => match loaded.set.get(kid) {
                Some(key) => return Ok(key.clone()),
                None => NoKey::Unknown,
            },
        };
        // However many ask, one permit waits: that is the whole memory of unknown `kid`s.
        self.unknown.fetch_add(1, Ordering::Relaxed);
        self.wanted.notify_one();
        Err(why)
    }

    /// How often the source was asked, and how often in vain.
    pub(crate) fn fetches(&self) -> (u64, u64) {
        (
            self.fetches.load(Ordering::Relaxed),
            self.failures.load(Ordering::Relaxed),
        )
    }

    /// How many keys are usable, and how many entries of the set were skipped.
    pub(crate) fn size(&self) -> (usize, usize) {
        let loaded = self.loaded.load();
        (loaded.set.len(), loaded.set.skipped().total())
    }

    /// Keeps the ring fresh for as long as it is polled. A given set needs nothing.
    pub(crate) async fn keep(self: Arc<Self>, clock: Arc<dyn Clock>) {
        if matches!(self.source, JwksSource::Static(_)) {
            return;
        }
        let fetcher = fetch::Fetcher::new(&self.source);
        let mut pace = Pace::default();
        let mut wanted = false;
        loop {
            let wait_ms = pace.wait_ms(clock.now().boot_ms, wanted);
            if wait_ms > 0 {
                let wait = Duration::from_millis(wait_ms.unsigned_abs());
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.wanted.notified(), if !wanted => wanted = true,
                }
                continue;
            }
            wanted = false;
            self.fetches.fetch_add(1, Ordering::Relaxed);
            let fetched = fetcher.fetch().await.and_then(|document| {
                let set = KeySet::parse(&document).map_err(|cause| FetchFailed::new(cause.to_string()))?;
                if set.is_empty() {
                    return Err(FetchFailed::new("the set has no usable key"));
                }
                Ok(set)
            });
            let now = clock.now();
            pace.fetched(now.boot_ms, fetched.is_ok());
            match fetched {
                Ok(set) => {
                    if set.skipped().total() > 0 {
                        tracing::warn!(issuer = %self.entry, skipped = set.skipped().total(), "key set has entries that are unknown or broken");
                    }
                    self.loaded.store(Arc::new(Loaded {
                        set,
                        fetched_boot_ms: Some(now.boot_ms),
                    }));
                }
                Err(cause) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(issuer = %self.entry, %cause, "key set was not fetched; the last good one stays");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

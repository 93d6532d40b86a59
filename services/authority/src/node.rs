//! One authority: its parts, and what it keeps in memory.
//!
//! **Invariant:** nothing here is the truth; the store and the log are. A node that loses its memory
//! reads it again.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use curfew_core::follow::Follower;
use curfew_core::mac::Entropy;
use curfew_core::place::LogIdentity;
use curfew_core::time::{Clock, Millis, Now};
use curfew_jose::TokenCache;
use curfew_ports::entropy::EntropySource;
use curfew_ports::keys::Vault;
use curfew_ports::log::Log;
use curfew_ports::store::Store;
use curfew_ports::watermarks::Watermarks;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::directory::Directory;
use crate::follower::Applying;
use crate::journal::Journal;
use crate::leases::Leases;
use crate::measured::{MeasuredLog, MeasuredStore};
use crate::metrics::Metrics;
use crate::recent::Recent;
use crate::recovery::Recovery;
use crate::unmerged::Unmerged;

/// Tokens that were found authentic and are remembered, bytes: some 4,000 callers, 24 MiB with what was parsed.
const TOKENS_BYTES_MAX: u64 = 4 << 20;

/// Followers that read far back at once, each with a reader of the log to itself: on Kafka that is a client with two
/// threads and up to 16 MiB. The others wait for them.
const READING_BACK_MAX: usize = 8;

/// What an authority is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where nodes tell one another of their followers.
    pub watermarks: Arc<dyn Watermarks>,
    /// The vault.
    pub vault: Arc<dyn Vault>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn EntropySource>,
}

/// Decides and mints.
#[derive(Clone, Debug)]
pub struct Authority {
    pub(crate) parts: Parts,
    pub(crate) config: Arc<Config>,
    pub(crate) follower: Arc<Follower>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) unmerged: Arc<Unmerged>,
    pub(crate) recovery: Arc<Recovery>,
    // Each holds one while it has a reader of the log to itself.
    pub(crate) reading_back: Arc<Semaphore>,
    pub(crate) tokens: Arc<TokenCache>,
    pub(crate) metrics: Arc<Metrics>,
    // Held while a batch of the log is applied: the follower takes one applier at a time.
    pub(crate) applying: Arc<Mutex<Applying>>,
    // Less lies on the log than was read: nothing more is proven by it until an operator has another adopted.
    pub(crate) log_was_lost: Arc<AtomicBool>,
    // Held while another log is adopted: one at a time, and nobody follows what an older view names meanwhile.
    pub(crate) adopting: Arc<tokio::sync::Mutex<()>>,
}

impl Authority {
    /// An authority over a log of this identity; it has read nothing yet.
    #[must_use]
    pub fn new(parts: Parts, config: Config, log: LogIdentity) -> Self {
        curfew_jose::provider::install();
        let metrics = Arc::<Metrics>::default();
        let parts = Parts {
            store: Arc::new(MeasuredStore {
                store: parts.store,
                metrics: metrics.clone(),
            }),
            log: Arc::new(MeasuredLog {
                log: parts.log,
                metrics: metrics.clone(),
            }),
            ..parts
        };
        Self {
            parts,
            config: Arc::new(config),
            follower: Arc::new(Follower::new(log)),
            directory: Arc::default(),
            journal: Arc::default(),
            leases: Arc::default(),
            recent: Arc::default(),
            unmerged: Arc::default(),
            recovery: Arc::default(),
            reading_back: Arc::new(Semaphore::new(READING_BACK_MAX)),
            tokens: Arc::new(TokenCache::new(TOKENS_BYTES_MAX)),
            metrics,
            applying: Arc::default(),
            log_was_lost: Arc::default(),
            adopting: Arc::default(),
        }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it has heard.
    #[must_use]
    pub const fn follower(&self) -> &Arc<Follower> {
        &self.follower
    }

    /// Its view of the directory.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.parts.log
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.parts.store
    }

    /// What the log said lately.
    #[must_use]
    pub const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// What it counts.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Records past the checkpoints that this node keeps.
    #[must_use]
    pub fn unmerged_len(&self) -> usize {
        self.unmerged.len()
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        self.parts.clock.now()
    }

    pub(crate) fn wall(&self) -> Millis {
        self.now().wall
    }

    pub(crate) fn chance(&self) -> Entropy {
        Entropy::new(self.parts.entropy.draw())
    }

    /// Audiences that have a live guard now, anywhere in the fleet.
    pub(crate) fn guarded_now(&self) -> Arc<BTreeSet<Arc<str>>> {
        self.leases.live_audiences(self.wall())
    }

    /// Whether every partition of this authority's tail is younger than X.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.follower.is_fresh(self.now(), self.config.staleness_ms)
    }
}

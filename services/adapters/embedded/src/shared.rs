//! What readers, tails and the writer share.
//!
//! **Invariant:** while anybody reads, the file stays open; it is closed and reopened alone.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use curfew_core::place::{Incarnation, LogIdentity};
use curfew_core::time::{Clock, Millis};
use redb::Database;
use tokio::sync::watch;

use crate::fault::Fault;
use crate::schema::Meta;

/// Whether the engine can do its work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// It can.
    Ready,
    /// It reads, and writes nothing until there is room.
    Full,
    /// The file cannot be opened; each request tries again.
    Down {
        /// Why.
        why: String,
    },
    /// It was closed.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) identity: LogIdentity,
    pub(crate) clock: Arc<dyn Clock>,
    database: RwLock<Option<Database>>,
    // Set after the commit that changes it is durable and loaded before a read begins: never newer
    // than what is read under it.
    incarnation: AtomicU64,
    newest: AtomicI64,
    health: Mutex<Health>,
    appended: watch::Sender<()>,
}

impl Shared {
    pub(crate) fn new(database: Database, meta: Meta, clock: Arc<dyn Clock>) -> Self {
        Self {
            identity: meta.identity,
            clock,
            database: RwLock::new(Some(database)),
            incarnation: AtomicU64::new(u64::from_be_bytes(meta.incarnation.0)),
            newest: AtomicI64::new(meta.newest.as_unix_ms()),
            health: Mutex::new(Health::Ready),
            appended: watch::channel(()).0,
        }
    }

    /// Uses the file; `None` while it is closed. Nothing waits in `f` but for the disk.
    pub(crate) fn with_database<T>(&self, f: impl FnOnce(&Database) -> T) -> Option<T> {
        // A panic in a reader leaves the slot as it was.
        self.database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(f)
    }

    /// Closes the file, once the last reader is out of it.
    pub(crate) fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Puts the reopened file in place.
    pub(crate) fn put(&self, database: Database, meta: Meta) {
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        self.set_incarnation(meta.incarnation);
        self.set_newest(meta.newest);
        *slot = Some(database);
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::SeqCst).to_be_bytes())
    }

    pub(crate) fn set_incarnation(&self, incarnation: Incarnation) {
        self.incarnation
            .store(u64::from_be_bytes(incarnation.0), Ordering::SeqCst);
    }

    /// The greatest `now` that a commit brought.
    pub(crate) fn newest(&self) -> Millis {
        Millis::from_unix_ms(self.newest.load(Ordering::SeqCst))
    }

    pub(crate) fn set_newest(&self, newest: Millis) {
        self.newest.store(newest.as_unix_ms(), Ordering::SeqCst);
    }

    /// The store's clock: this machine's, and never before the newest commit's.
    pub(crate) fn store_time(&self) -> Millis {
        self.clock.now().wall.max(self.newest())
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_health(&self, health: Health) {
        let mut present = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *present != health {
            tracing::warn!(before = ?*present, after = ?health, "the embedded engine changed its health");
            *present = health;
        }
    }

    /// Wakes every tail.
    pub(crate) fn tell_appended(&self) {
        self.appended.send_replace(());
    }

    pub(crate) fn watch_appended(&self) -> watch::Receiver<()> {
        self.appended.subscribe()
    }

    /// Why there is no file to read.
    pub(crate) fn why_down(&self) -> Fault {
        match self.health() {
            Health::Down { why } => Fault::new(&why),
            Health::Ready | Health::Full | Health::Closed => Fault::closed(),
        }
    }
}

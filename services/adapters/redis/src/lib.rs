//! The store port on Redis or Valkey: single, Sentinel, Cluster.
//!
//! Every partition is one hash tag. Reads are `MGET`; a commit is one generic script that compares the
//! incarnation, the clock and versions, then writes. No rule of the protocol is in it.
//!
//! **Invariant:** whoever decides is asked by the commit itself: incarnation, role, replicas and clock
//! are those of the server that runs it, at that instant.

mod acl;
mod address;
mod call;
mod check;
mod commit;
mod dial;
mod fault;
mod keys;
mod link;
mod options;
mod replication;
mod route;
mod store;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use curfew_core::time::Clock;
use tokio::sync::Semaphore;

pub use acl::{ACL_COMMANDS, SENTINEL_ACL, acl_rule};
pub use check::{Finding, Judgement};
pub use options::{Address, Credentials, Options, OptionsError, Secret, Servers, Tls};
pub use tls::TlsError;

use keys::Keys;
use route::Route;

/// The compare-and-commit script, for whoever measures what a server makes of it alone.
pub const COMMIT_SCRIPT: &str = include_str!("commit.lua");

/// The store. Clones are the same store and share its connections.
#[derive(Clone, Debug)]
pub struct Redis {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    keys: Keys,
    route: Route,
    calls: Semaphore,
    call_timeout: Duration,
}

impl Redis {
    /// Connects, and looks whether the servers are set as they must be (DESIGN section 5).
    ///
    /// A server that lacks its replicas now is no reason to refuse: they may come.
    ///
    /// # Errors
    ///
    /// Wrong options; servers that cannot be looked at now; settings or permissions that the store cannot
    /// stand on, each with what mends it.
    pub async fn open(options: &Options) -> Result<Self, OpenError> {
        let store = Self::new(options)?;
        let found = check::findings(options, &store.inner.route, &store.inner.keys, None).await;
        let of = |judge: fn(&Finding) -> bool| found.iter().filter(move |finding| judge(finding)).cloned();
        let wrong: Vec<_> = of(Finding::is_wrong).collect();
        if !wrong.is_empty() {
            return Err(OpenError::Refused { wrong });
        }
        let absent: Vec<_> = of(|finding| finding.judgement == Judgement::Absent).collect();
        if !absent.is_empty() {
            return Err(OpenError::Unreachable { absent });
        }
        for finding in of(|finding| finding.judgement != Judgement::Fine) {
            tracing::warn!(%finding, "redis is not as it should be");
        }
        Ok(store)
    }

    /// All that a look at the servers finds, good and bad: what `doctor` prints. `clock` is the one that
    /// commits are stamped with.
    ///
    /// # Errors
    ///
    /// Wrong options; all else is a finding.
    pub async fn examine(options: &Options, clock: &dyn Clock) -> Result<Vec<Finding>, OpenError> {
        let store = Self::new(options)?;
        Ok(check::findings(options, &store.inner.route, &store.inner.keys, Some(clock)).await)
    }

    fn new(options: &Options) -> Result<Self, OpenError> {
        options.check()?;
        Ok(Self {
            inner: Arc::new(Inner {
                keys: Keys::new(&options.prefix),
                route: Route::new(options)?,
                calls: Semaphore::new(options.calls_max),
                call_timeout: Duration::from_millis(options.call_timeout_ms),
            }),
        })
    }
}

/// Why the store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options themselves.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// TLS cannot be used as configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody can look how they are set; the same call may succeed later.
    #[error("Redis cannot be reached:{}", lines(absent))]
    Unreachable {
        /// What is not there.
        absent: Vec<Finding>,
    },
    /// The servers are not set as they must be.
    #[error("Redis cannot be used as it is set:{}", lines(wrong))]
    Refused {
        /// What is wrong with them.
        wrong: Vec<Finding>,
    },
}

impl OpenError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Options(_) | Self::Tls(_) | Self::Refused { .. } => false,
        }
    }
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}

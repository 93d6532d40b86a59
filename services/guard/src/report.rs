//! What a guard saw since its last report: refusals by kind with samples, and use of grants.
//!
//! **Invariant:** keeping it never makes a call wait: where another thread holds the same part, or a
//! bound is reached, the observation is dropped and counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use curfew_core::ids::{GrantId, IssuerId, RecordId, SessionId, TenantId};
use curfew_core::refusal::Reason;
use curfew_core::time::Millis;

use crate::metrics::Metrics;
use crate::refused::Refused;
use crate::route::Requirements;
use crate::token::Known;

/// Kinds of refusals in one report: what `ReportProgress` takes.
const KINDS_MAX: usize = 256;
/// Samples of one kind: what `ReportProgress` takes.
const SAMPLES_MAX: usize = 16;
/// Parts of the activity map, so that calls seldom meet.
const SHARDS: usize = 16;
/// Grants in one part; 16 × 256 = 4,096 is what `ReportProgress` takes.
const GRANTS_MAX: usize = 256;

/// What refusals are told apart by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RefusalKind {
    pub(crate) reason: Reason,
    pub(crate) route: Arc<str>,
    pub(crate) report_only: bool,
}

/// One refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Millis,
    pub(crate) issuer: Option<IssuerId>,
    pub(crate) sid: Option<SessionId>,
    pub(crate) gid: Option<GrantId>,
    pub(crate) jti: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) record: Option<RecordId>,
    pub(crate) since_decision_ms: Option<i64>,
}

/// Refusals of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusals {
    pub(crate) count: u64,
    pub(crate) first: Millis,
    pub(crate) last: Millis,
    pub(crate) samples: Vec<Sample>,
}

/// Use of one grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Activity {
    pub(crate) tenant: TenantId,
    pub(crate) sid: Option<SessionId>,
    pub(crate) last: Millis,
    pub(crate) count: u64,
}

/// One report's worth.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) refusals: HashMap<RefusalKind, Refusals>,
    pub(crate) activity: Vec<(GrantId, Activity)>,
}

/// What was seen and not yet reported.
#[derive(Debug)]
pub(crate) struct Reports {
    enabled: AtomicBool,
    refusals: Mutex<HashMap<RefusalKind, Refusals>>,
    activity: Vec<Mutex<HashMap<GrantId, Activity>>>,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            enabled: AtomicBool::new(false),
            refusals: Mutex::default(),
            activity: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Reports {
    /// Keeps from now on: somebody reports.
    pub(crate) fn enable(&self) {
        self.enabled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn refused(
        &self,
        known: Option<&Known>,
        refused: &Refused,
        route: &Requirements,
        report_only: bool,
        metrics: &Metrics,
        now: Millis,
    ) {
        if !self.enabled.load(Ordering::Relaxed) {
            return;
        }
        let kind = RefusalKind {
            reason: refused.reason,
            route: route.name().into(),
            report_only,
        };
        let kept = with(&self.refusals, |kinds| {
            if kinds.len() >= KINDS_MAX && !kinds.contains_key(&kind) {
                return false;
            }
            let refusals = kinds.entry(kind).or_insert_with(|| Refusals {
                count: 0,
                first: now,
                last: now,
                samples: Vec::new(),
            });
            refusals.count = refusals.count.saturating_add(1);
            refusals.last = now;
            if refusals.samples.len() < SAMPLES_MAX {
                refusals.samples.push(sample(known, refused, now));
            }
            true
        });
        if !kept {
            metrics.drop_report();
        }
    }

    pub(crate) fn saw(&self, known: &Known, metrics: &Metrics, now: Millis) {
        if !self.enabled.load(Ordering::Relaxed) {
            return;
        }
        let Some(gid) = known.partitions.gid else { return };
        let [.., last] = *gid.as_bytes();
        let Some(shard) = self.activity.get(usize::from(last) % SHARDS) else {
            return;
        };
        let kept = with(shard, |grants| {
            if grants.len() >= GRANTS_MAX && !grants.contains_key(&gid) {
                return false;
            }
            let (tenant, sid) = (known.issuer.tenant, known.partitions.sid);
            let activity = grants.entry(gid).or_insert(Activity {
                tenant,
                sid,
                last: now,
                count: 0,
            });
            activity.count = activity.count.saturating_add(1);
            activity.last = now;
            true
        });
        if !kept {
            metrics.drop_report();
        }
    }

    /// What was seen since the last time.
    pub(crate) fn take(&self) -> Batch {
        let refusals = std::mem::take(&mut *self.refusals.lock().unwrap_or_else(PoisonError::into_inner));
        let take = |shard: &Mutex<HashMap<GrantId, Activity>>| {
            std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner))
        };
        Batch {
            refusals,
            activity: self.activity.iter().flat_map(take).collect(),
        }
    }
}

/// Does it where nobody else holds the lock; a poisoned one holds counts, which are still counts.
fn with<T>(mutex: &Mutex<T>, act: impl FnOnce(&mut T) -> bool) -> bool {
    match mutex.try_lock() {
        Ok(mut held) => act(&mut held),
        Err(TryLockError::Poisoned(poisoned)) => act(&mut poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => false,
    }
}

fn sample(known: Option<&Known>, refused: &Refused, now: Millis) -> Sample {
    let text = |name: &str| {
        known
            .and_then(|known| known.claims.get(name)?.as_str())
            .map(str::to_owned)
    };
    Sample {
        at: now,
        issuer: known.map(|known| known.issuer.entry),
        sid: known.and_then(|known| known.partitions.sid),
        gid: known.and_then(|known| known.partitions.gid),
        jti: text("jti"),
        client: text("client_id"),
        record: refused.by.as_ref().map(|by| by.record),
        since_decision_ms: refused.by.as_ref().map(|by| now.ms_since(by.decided_at)),
    }
}

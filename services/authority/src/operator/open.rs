//! `open-partition`: partitions of which something is lost open with a floor.
//!
//! Guards are told first: a node that dies in between leaves tokens dead that nobody could renew anyway.
//!
//! **Invariant:** one commit opens a partition, if all of it is as it was found; whoever comes second changes nothing.

use std::sync::Arc;

use curfew_core::decide::floor::{self, Found, Standing};
use curfew_core::directory::{Tenant, UNDECLARED_LIFE_MAX_MS};
use curfew_core::ids::OperationId;
use curfew_core::place::{Incarnation, Partition};
use curfew_core::record::Outgoing;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Key, Listed, Record, Write};
use curfew_core::time::Millis;
use curfew_ports::log::Bounds;
use curfew_ports::store::{Commit, CommitOutcome, PAGE_MAX};
use tokio::task::JoinSet;

use crate::answer::{Answer, log_unavailable, store_unavailable};
use crate::node::Authority;
use crate::operator::examine::{OWN_KEYS, Trouble};

/// Partitions that are opened at once: each appends a record for each tenant, and commits.
const AT_ONCE: usize = 16;
/// Tries of one partition that others write meanwhile.
const TRIES_MAX: u32 = 4;

/// The history that a partition is left in until what the log has was merged into it: it is never present.
const NO_HISTORY: Incarnation = Incarnation([0; 8]);

/// Which partitions, and with what floor.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// These; `None`: all that need an operator.
    pub partitions: Option<Vec<Partition>>,
    /// What was last written before it is over; `None`: now.
    pub floor: Option<Millis>,
    /// Only say what would be done.
    pub validate_only: bool,
    /// The caller's operation, which names the records.
    pub operation: OperationId,
    /// Who asks, for the log of the node.
    pub by: Arc<str>,
}

/// What was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Each, as it stood before.
    pub partitions: Vec<Trouble>,
    /// The floor.
    pub floor: Millis,
    /// Records that tell guards.
    pub revocations: usize,
}

/// What all openings of one command share.
#[derive(Debug)]
struct Plan {
    request: OpenRequest,
    floor: Millis,
    /// When it was made: an empty log tells nothing of what was before that.
    at: Millis,
    tenants: Vec<Arc<Tenant>>,
    keep_ms: i64,
    bounds: Vec<Bounds>,
    oldest: Vec<Option<Millis>>,
}

impl Authority {
    /// Opens partitions with a floor.
    pub async fn open_partitions(&self, request: OpenRequest) -> Answer<Opened> {
        let bounds = self.parts.log.bounds().await.map_err(log_unavailable)?;
        let found = match &request.partitions {
            Some(named) => self.find(named.iter().copied(), &bounds).await?,
            None => {
                let mut all = self.find(Partition::all(), &bounds).await?;
                all.retain(|found| found.standing().needs_an_operator());
                all
            }
        };
        let oldest = self.oldest_where_needed(&found, &bounds).await?;
        let (tenants, keep_ms) = self.tenants_and_keep().await?;
        if tenants.is_empty() {
            let refusal = Refusal::new(Stage::Request, Reason::StoreUnavailable);
            return Err(refusal.about(
                "the store has no directory: no floor mends that; put the store back from a copy, or begin anew",
            ));
        }
        let at = self.wall();
        let floor = request.floor.unwrap_or(at);
        let mut partitions = Vec::with_capacity(found.len());
        for found in found {
            let least_floor = found.least_floor(self.oldest_of(&oldest, found.partition), at);
            // All are judged before any is touched.
            floor::open(&found, floor, least_floor, at)?;
            partitions.push(Trouble {
                standing: found.standing(),
                least_floor,
                found,
            });
        }
        let revocations = partitions.len() * tenants.len();
        if !request.validate_only {
            let plan = Plan {
                request,
                floor,
                at,
                tenants,
                keep_ms,
                bounds,
                oldest,
            };
            self.open_each(Arc::new(plan), &partitions).await?;
            // They are fenced still: what the log has is merged before anything of them is answered.
            self.catch_up().await?;
            let opened = self.round(false).await?;
            if partitions
                .iter()
                .any(|trouble| opened.lost.contains(&trouble.found.partition))
            {
                let refusal = Refusal::new(Stage::Request, Reason::Fenced);
                return Err(refusal.about("a record that nobody can read is in the way: skip it first"));
            }
        }
        Ok(Opened {
            partitions,
            floor,
            revocations,
        })
    }

    async fn open_each(&self, plan: Arc<Plan>, partitions: &[Trouble]) -> Answer<()> {
        let mut rest = partitions.iter().map(|trouble| trouble.found.partition);
        let mut openings = JoinSet::new();
        loop {
            while openings.len() < AT_ONCE
                && let Some(partition) = rest.next()
            {
                let (authority, plan) = (self.clone(), plan.clone());
                openings.spawn(async move { authority.open_one(&plan, partition).await });
            }
            match openings.join_next().await {
                None => break,
                Some(Ok(opened)) => opened?,
                Some(Err(error)) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "an opening ended without an answer"
                    );
                    return Err(Refusal::new(Stage::Request, Reason::StoreUnavailable));
                }
            }
        }
        // The directory may have been among them.
        self.directory.distrust();
        Ok(())
    }

    async fn open_one(&self, plan: &Plan, partition: Partition) -> Answer<()> {
        let refuse = |reason| Err(Refusal::new(Stage::Request, reason));
        for _ in 0..TRIES_MAX {
            let view = self.parts.store.read(partition, &OWN_KEYS).await;
            let view = view.map_err(store_unavailable)?;
            let found = self.found_in(partition, &view, &plan.bounds);
            if found.standing() == Standing::Open {
                // Somebody else did: another command, or recovery.
                return Ok(());
            }
            let now = self.wall();
            let least = found.least_floor(self.oldest_of(&plan.oldest, partition), plan.at);
            let mut writes = floor::open(&found, plan.floor, least, now)?;
            for (_, write) in &mut writes {
                if let Write::Put {
                    record: Record::Partition(record),
                    ..
                } = write
                {
                    record.incarnation = NO_HISTORY;
                }
            }
            self.tell_guards(plan, &found, now).await?;
            let versions = view
                .values
                .iter()
                .map(|value| value.as_ref().map(|value| value.version));
            let commit = Commit {
                partition,
                incarnation: view.incarnation,
                now,
                nonce: self.chance().draw(),
                expected: OWN_KEYS.into_iter().zip(versions).collect(),
                writes: writes.into(),
                publish: Vec::new(),
            };
            match self.parts.store.commit(commit).await.map_err(store_unavailable)? {
                CommitOutcome::Committed(_) => {
                    tracing::warn!(
                        partition = partition.number(),
                        floor_ms = plan.floor.as_unix_ms(),
                        standing = found.standing().what(),
                        by = &*plan.request.by,
                        "a partition was opened with a floor"
                    );
                    return Ok(());
                }
                CommitOutcome::Conflict => {}
                CommitOutcome::Fenced => return refuse(Reason::Fenced),
                CommitOutcome::ClockSuspect { .. } => return refuse(Reason::ClockSuspect),
            }
        }
        refuse(Reason::Conflict)
    }

    /// Appends the marks, which must be durable before the partition opens.
    async fn tell_guards(&self, plan: &Plan, found: &Found, now: Millis) -> Answer<()> {
        for tenant in &plan.tenants {
            let operation = plan.request.operation;
            let mark = floor::mark(found, tenant.id, plan.floor, plan.keep_ms, operation, now);
            let outgoing = Outgoing::revocation(mark);
            for target in self.targets_of(&outgoing) {
                self.parts
                    .log
                    .append(target, &outgoing.record)
                    .await
                    .map_err(log_unavailable)?;
            }
        }
        Ok(())
    }

    /// The tenants as the store has them, fenced or not, and how long a record is kept for.
    pub(super) async fn tenants_and_keep(&self) -> Answer<(Vec<Arc<Tenant>>, i64)> {
        let store = &self.parts.store;
        let mut tenants = Vec::new();
        let mut cursor = None;
        loop {
            let page = store.list(Partition::DIRECTORY, Listed::Directory, cursor, PAGE_MAX);
            let page = page.await.map_err(store_unavailable)?;
            for (_, value) in page.records {
                if let Record::Tenant(tenant) = value.record {
                    tenants.push(tenant);
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        let read = store.read(Partition::DIRECTORY, &[Key::Lifetimes]).await;
        let values = read.map_err(store_unavailable)?.values;
        let mut keep_ms = UNDECLARED_LIFE_MAX_MS;
        for value in values.into_iter().flatten() {
            if let Record::Lifetimes(lifetimes) = value.record {
                keep_ms = lifetimes.keep_ms;
            }
        }
        Ok((tenants, keep_ms))
    }
}

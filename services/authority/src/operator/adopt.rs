//! `adopt-log`: the topic that is there is the log from now on, after the one before was lost.
//!
//! The node that is asked appends what it knows, has every partition and then the directory name the new log, and
//! beats once nobody beats for the old one any more. Every other node does the same as soon as it has read the
//! directory, under the id that stands there.
//!
//! **Invariant:** no heartbeat of the new log before all that this node knows lies on it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use curfew_core::decide::adoption;
use curfew_core::place::{LogIdentity, LogPartition, Partition};
use curfew_core::record::{Criterion, LogRecord, Outgoing, Revocation};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Checkpoint, Key, PartitionRecord, Record, Write};
use curfew_core::time::{DIRECTORY_AGE_MAX_MS, EPSILON_MS};
use curfew_ports::store::{Commit, CommitOutcome};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::answer::{Answer, log_unavailable, store_unavailable};
use crate::node::Authority;
use crate::operator::examine::OWN_KEYS;

/// Appends on their way at once: a log that is well takes some thousands a second so.
const APPENDS_AT_ONCE: usize = 256;
/// Commits on their way at once.
const COMMITS_AT_ONCE: usize = 16;
/// Tries of one partition that others write meanwhile.
const TRIES_MAX: u32 = 8;
/// How often a node looks whether the directory names another log.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Until no node stands on a view of the directory that names the old log, and no heartbeat of one is on its way.
const SETTLED_AFTER_MS: i64 = DIRECTORY_AGE_MAX_MS + EPSILON_MS;

/// Which log is adopted, and why.
#[derive(Clone, Debug)]
pub struct AdoptRequest {
    /// Although this node has noticed no loss.
    pub force: bool,
    /// Only say what would be done.
    pub validate_only: bool,
    /// Nobody is left who knows what the old log said: every access token that was issued before now is over.
    pub nobody_knows: bool,
    /// Who asks, for the log of the node.
    pub by: Arc<str>,
}

/// What was adopted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Adopted {
    /// The log from now on; `None`: it was only asked.
    pub log: Option<LogIdentity>,
    /// The one before.
    pub former: LogIdentity,
    /// Living records that were appended, copies of wide ones not counted.
    pub records: usize,
    /// Partitions that name it now.
    pub partitions: usize,
}

impl Authority {
    /// Less lies on the log than was read of it.
    pub(crate) fn lose_log(&self) {
        if !self.log_was_lost.swap(true, Ordering::SeqCst) {
            tracing::error!(
                "less lies on the log than was read: it was lost and made again, and proves nothing; `curfew admin adopt-log` makes it the log"
            );
        }
    }

    /// Whether no heartbeat may be appended: the log was lost, or the directory names another one.
    pub(crate) fn is_between_logs(&self) -> bool {
        let named = self.directory.loaded().view.log;
        self.log_was_lost.load(Ordering::SeqCst) || named.is_some_and(|named| named != self.follower.log())
    }

    /// Whether the log that is followed is lost, as far as anybody has noticed.
    pub(super) async fn log_is_lost(&self) -> Answer<bool> {
        let named = self.named_log().await?;
        let is_other = named.is_some_and(|named| named != self.follower.log());
        Ok(is_other || self.log_was_lost.load(Ordering::SeqCst))
    }

    /// Takes the topic that is there as a new log.
    pub async fn adopt_log(&self, request: &AdoptRequest) -> Answer<Adopted> {
        let _one = self.adopting.lock().await;
        let former = self.follower.log();
        let refuse = |reason, about: &str| Err(Refusal::new(Stage::Request, reason).about(about.to_owned()));
        if !(request.force || request.nobody_knows || self.log_is_lost().await?) {
            return refuse(
                Reason::AlreadyExists,
                "the log is the one that was followed all along",
            );
        }
        let bounds = self.parts.log.bounds().await.map_err(log_unavailable)?;
        if bounds.len() != usize::from(former.partitions) {
            let about = format!(
                "the topic has {} partitions, and the log before had {}: make it again with as many",
                bounds.len(),
                former.partitions
            );
            return refuse(Reason::LogUnavailable, &about);
        }
        let mut records = self.living();
        if request.nobody_knows {
            records.extend(self.all_issued_before().await?);
        }
        let ids: HashSet<_> = records
            .iter()
            .filter_map(|(_, record)| record.event_id())
            .collect();
        let records_len = ids.len();
        if request.validate_only {
            return Ok(Adopted {
                log: None,
                former,
                records: records_len,
                partitions: 0,
            });
        }
        // From here on this node proves nothing by the log until it is done.
        self.log_was_lost.store(true, Ordering::SeqCst);
        self.append_all(records).await?;
        let named = self.named_log().await?;
        let (log, partitions) = match named.filter(|named| *named != former) {
            // Another node was asked as well, or before.
            Some(named) => (named, 0),
            None => {
                let log = LogIdentity {
                    log_id: self.chance().draw(),
                    partitions: former.partitions,
                };
                (log, self.name_log(log).await?)
            }
        };
        self.take(log).await?;
        tracing::warn!(
            former = hex(&former),
            log = hex(&log),
            records = records_len,
            partitions,
            by = &*request.by,
            "another log was adopted"
        );
        Ok(Adopted {
            log: Some(log),
            former,
            records: records_len,
            partitions,
        })
    }

    /// Looks, until dropped, whether an operator has had another log adopted elsewhere, and follows that.
    pub async fn follow_adoptions(&self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let is_other = |named: &LogIdentity| *named != self.follower.log();
            if !self
                .directory
                .loaded()
                .view
                .log
                .is_some_and(|named| is_other(&named))
            {
                continue;
            }
            let _one = self.adopting.lock().await;
            // The view may be older than what this node has adopted itself.
            let Ok(Some(named)) = self.named_log().await else {
                continue;
            };
            if !is_other(&named) {
                continue;
            }
            let records = self.living();
            let count = records.len();
            let taken = match self.append_all(records).await {
                Ok(()) => self.take(named).await,
                Err(refusal) => Err(refusal),
            };
            match taken {
                Ok(()) => tracing::warn!(
                    log = hex(&named),
                    records = count,
                    "the log that was adopted is followed"
                ),
                Err(refusal) => tracing::warn!(%refusal, "the log that was adopted cannot be followed yet"),
            }
        }
    }

    /// Follows the log that the directory names by now, and beats once nobody does for another.
    async fn take(&self, log: LogIdentity) -> Answer<()> {
        {
            let mut applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.follower.adopt(log) {
                let refusal = Refusal::new(Stage::Request, Reason::LogUnavailable);
                return Err(refusal.about("the log that was adopted has another number of partitions"));
            }
            // Offsets of the log before say nothing here.
            applying.forget();
            let next: Vec<_> = log.all().map(|partition| self.next_of(partition)).collect();
            self.unmerged.begin_anew(log, &next);
        }
        self.directory.distrust();
        tokio::time::sleep(Duration::from_millis(SETTLED_AFTER_MS.unsigned_abs())).await;
        // Where another node's view has not been read since, its own heartbeats wait for that.
        self.poll_directory().await?;
        self.log_was_lost.store(false, Ordering::SeqCst);
        self.beat_once().await;
        Ok(())
    }

    async fn named_log(&self) -> Answer<Option<LogIdentity>> {
        let read = self
            .parts
            .store
            .read(Partition::DIRECTORY, &[Key::LogIdentity])
            .await;
        let values = read.map_err(store_unavailable)?.values;
        for value in values.into_iter().flatten() {
            if let Record::LogIdentity(log) = value.record {
                return Ok(Some(log));
            }
        }
        Ok(None)
    }

    /// All that this node knows and that may still cover a token: records as they were read, the directory's wide
    /// marks, and what the index has beyond them.
    fn living(&self) -> Vec<(Vec<LogPartition>, LogRecord)> {
        let now = self.wall();
        let mut told = self.journal.living(now);
        let loaded = self.directory.loaded();
        let wide = loaded
            .view
            .wide_marks
            .values()
            .filter(|mark| mark.lives_until >= now);
        let known: HashSet<_> = told.iter().map(|revocation| revocation.id).collect();
        let unknown = wide.filter(|mark| !known.contains(&mark.record.id));
        told.extend(unknown.map(|mark| Arc::new(mark.record.clone())));
        let mut records = Vec::new();
        for partition in self.follower.log().all() {
            let (Some(state), Some(home)) = (self.follower.state(partition), Partition::new(partition.0))
            else {
                continue;
            };
            let here: Vec<_> = told
                .iter()
                .filter(|revocation| {
                    revocation.wide || self.follower.log().home_of(revocation.home) == partition
                })
                .map(|revocation| &**revocation)
                .collect();
            let rest = adoption::rest_of(&state.index.flat(), &here, home, &mut self.chance());
            let rest = rest
                .into_iter()
                .map(|revocation| (vec![partition], revocation_of(revocation)));
            records.extend(rest);
        }
        let told = told.into_iter().map(|revocation| {
            let outgoing = Outgoing {
                home: revocation.home,
                wide: revocation.wide,
                record: LogRecord::Revocation(revocation),
            };
            (self.targets_of(&outgoing), outgoing.record)
        });
        records.extend(told);
        records
    }

    /// What ends every access token that was issued before now, one record for each spelling of an issuer.
    async fn all_issued_before(&self) -> Answer<Vec<(Vec<LogPartition>, LogRecord)>> {
        let now = self.wall();
        let (tenants, keep_ms) = self.tenants_and_keep().await?;
        let mut chance = self.chance();
        let mut marks = Vec::new();
        for tenant in &tenants {
            let all = Criterion::new("tid", tenant.id.to_string());
            let own = tenant.id.own_issuer();
            marks.push(adoption::issued_before(
                tenant.id,
                own,
                all,
                keep_ms,
                now,
                &mut chance,
            ));
        }
        for issuer in self.directory.loaded().view.issuers.values() {
            for spelling in &issuer.spellings {
                let all = Criterion::new("iss", spelling);
                let life_ms = issuer.life_ms;
                let mark = adoption::issued_before(issuer.tenant, issuer.id, all, life_ms, now, &mut chance);
                marks.push(mark);
            }
        }
        let everywhere: Vec<_> = self.follower.log().all().collect();
        let marks = marks
            .into_iter()
            .map(|mark| (everywhere.clone(), revocation_of(mark)));
        Ok(marks.collect())
    }

    async fn append_all(&self, records: Vec<(Vec<LogPartition>, LogRecord)>) -> Answer<()> {
        let copies = records
            .into_iter()
            .flat_map(|(targets, record)| targets.into_iter().map(move |target| (target, record.clone())));
        let mut copies = copies.peekable();
        let mut appends = JoinSet::new();
        loop {
            while appends.len() < APPENDS_AT_ONCE
                && let Some((target, record)) = copies.next()
            {
                let log = self.parts.log.clone();
                appends.spawn(async move { log.append(target, &record).await });
            }
            match appends.join_next().await {
                None => return Ok(()),
                Some(Ok(appended)) => drop(appended.map_err(log_unavailable)?),
                Some(Err(_)) => return Err(Refusal::new(Stage::Request, Reason::LogUnavailable)),
            }
        }
    }

    /// Has every partition name this log, the directory last; returns how many do.
    pub(super) async fn name_log(&self, log: LogIdentity) -> Answer<usize> {
        let mut rest = Partition::all().filter(|partition| *partition != Partition::DIRECTORY);
        let mut commits = JoinSet::new();
        let mut named = 0;
        loop {
            while commits.len() < COMMITS_AT_ONCE
                && let Some(partition) = rest.next()
            {
                let authority = self.clone();
                commits.spawn(async move { authority.name_log_in(partition, log).await });
            }
            match commits.join_next().await {
                None => break,
                Some(Ok(is_named)) => named += usize::from(is_named?),
                Some(Err(_)) => return Err(Refusal::new(Stage::Request, Reason::StoreUnavailable)),
            }
        }
        named += usize::from(self.name_log_in(Partition::DIRECTORY, log).await?);
        Ok(named)
    }

    /// Whether the partition names it now; one whose record is lost names none.
    async fn name_log_in(&self, partition: Partition, log: LogIdentity) -> Answer<bool> {
        let refuse = |reason| Err(Refusal::new(Stage::Request, reason));
        for _ in 0..TRIES_MAX {
            let view = self.parts.store.read(partition, &OWN_KEYS).await;
            let view = view.map_err(store_unavailable)?;
            let found = self.found_in(partition, &view, &[]);
            let is_directory = partition == Partition::DIRECTORY;
            let mut writes = Vec::new();
            if let Some(record) = found.record {
                let record = PartitionRecord { log, ..record };
                writes.push((Key::Partition, Write::put(Record::Partition(record))));
                // What the new log tells of this partition lies after its beginning.
                let checkpoint = Checkpoint {
                    offset: 0,
                    incarnation: view.incarnation,
                    at: self.wall(),
                };
                writes.push((Key::Checkpoint, Write::put(Record::Checkpoint(checkpoint))));
            }
            if is_directory {
                writes.push((Key::LogIdentity, Write::put(Record::LogIdentity(log))));
                writes.push((Key::DirectoryVersion, Write::put(Record::DirectoryVersion)));
            }
            if writes.is_empty() {
                return Ok(false);
            }
            let versions = view
                .values
                .iter()
                .map(|value| value.as_ref().map(|value| value.version));
            let commit = Commit {
                partition,
                incarnation: view.incarnation,
                now: self.wall(),
                nonce: self.chance().draw(),
                expected: OWN_KEYS.into_iter().zip(versions).collect(),
                writes,
                publish: Vec::new(),
            };
            match self.parts.store.commit(commit).await.map_err(store_unavailable)? {
                CommitOutcome::Committed(_) => return Ok(found.record.is_some()),
                CommitOutcome::Conflict => {}
                CommitOutcome::Fenced => return refuse(Reason::Fenced),
                CommitOutcome::ClockSuspect { .. } => return refuse(Reason::ClockSuspect),
            }
        }
        refuse(Reason::Conflict)
    }
}

fn revocation_of(revocation: Revocation) -> LogRecord {
    LogRecord::Revocation(Arc::new(revocation))
}

fn hex(log: &LogIdentity) -> String {
    format!("{:032x}", u128::from_be_bytes(log.log_id))
}

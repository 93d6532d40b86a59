//! What became of a revocation: told by every call that publishes one.
//!
//! **Invariant:** a level is told only where the log or the commit said so.

use std::time::Duration;

use curfew_authority::{JournalEntry, Level, Published};
use curfew_core::directory::Tenant;
use curfew_core::ids::RecordId;
use curfew_core::place::{Partition, Position};
use curfew_core::record::Revocation;
use curfew_core::time::Millis;
use curfew_proto::revocation::v1 as pb;

use crate::check::Asked;
use crate::convert::{duration, timestamp};
use crate::enforced::{self, Durable};
use crate::name;
use crate::shared::{Call, Shared};

/// How long a repeated request waits to hear of its own record: a follower is milliseconds behind.
const HEAR_WITHIN: Duration = Duration::from_secs(1);

/// A record that a call published, or that it found.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    /// The tenant.
    pub(crate) tenant: &'a Tenant,
    /// The record.
    pub(crate) record: RecordId,
    /// What the call published.
    pub(crate) published: &'a [Published],
    /// B.
    pub(crate) before: Option<Millis>,
    /// The record itself, where the call has it.
    pub(crate) revocation: Option<&'a Revocation>,
    /// The partition of the subject, where the record is narrow.
    pub(crate) subject: Option<Partition>,
}

impl<'a> Told<'a> {
    /// A record that ends something of one subject.
    pub(crate) const fn narrow(
        tenant: &'a Tenant,
        record: RecordId,
        published: &'a [Published],
        subject: Option<Partition>,
    ) -> Self {
        Self {
            tenant,
            record,
            published,
            before: None,
            revocation: None,
            subject,
        }
    }

    /// How far it is; where ENFORCED was asked for, once it is or the time is over.
    pub(crate) async fn acknowledge(self, call: &Call, asked: Asked) -> pb::Acknowledgement {
        let shared = &*call.shared;
        let journal = shared.authority.journal();
        let own = self
            .published
            .iter()
            .find(|published| published.id == self.record);
        let heard = match own {
            Some(_) => journal.get(self.record),
            // A repeat of what was done before: the log tells how far that got.
            None => tokio::time::timeout(HEAR_WITHIN, journal.wait_for(self.record))
                .await
                .ok(),
        };
        let heard = heard.filter(|entry| entry.revocation.tenant == self.tenant.id);
        let (positions, level) = match (own, &heard) {
            (Some(own), _) => (own.positions.clone(), own.level),
            (None, Some(entry)) => (entry.positions.clone(), Level::Durable),
            (None, None) => (Vec::new(), Level::Stored),
        };
        let revocation = self.revocation.or(heard.as_ref().map(|entry| &*entry.revocation));
        let log = shared.authority.follower().log();
        let before = self
            .before
            .or_else(|| revocation.and_then(|r| r.before.as_ref().map(|before| before.instant)));
        let home = match (revocation, self.subject) {
            (Some(revocation), _) => Some(home_of(revocation)),
            (None, Some(partition)) => Some(home(pb::HomeKind::Subject, partition)),
            (None, None) => None,
        };
        let acknowledgement = pb::Acknowledgement {
            revocation: name::of(&self.tenant.name, "revocations", self.record),
            home,
            positions: positions.iter().copied().map(position).collect(),
            level: level_number(level),
            cut_off_time: before.map(timestamp),
            not_before_time: before
                .filter(|_| revocation.is_some_and(|r| r.wide))
                .map(timestamp),
            log_id: log.log_id.to_vec(),
            keep_until_time: revocation.map(|r| timestamp(r.keep_until)),
            ..Default::default()
        };
        match (asked, level) {
            (Asked::Enforced, Level::Durable) => {
                let durable = match &heard {
                    Some(entry) if own.is_none() => whole(shared, entry).await,
                    Some(_) | None => Durable {
                        positions,
                        at: shared.authority.now().wall,
                    },
                };
                enforced::within_call(call, acknowledgement, &durable).await
            }
            (Asked::Stored | Asked::Durable | Asked::Enforced, Level::Stored | Level::Durable) => {
                acknowledgement
            }
        }
    }
}

/// How many places a record has on the log.
pub(crate) fn copies_of(shared: &Shared, revocation: &Revocation) -> usize {
    if revocation.wide {
        usize::from(shared.authority.follower().log().partitions)
    } else {
        1
    }
}

/// A record that was heard, with all of its copies: those of a wide one come within milliseconds of one another.
async fn whole(shared: &Shared, entry: &JournalEntry) -> Durable {
    let journal = shared.authority.journal();
    let all = journal.wait_for_copies(entry.revocation.id, |revocation| copies_of(shared, revocation));
    let all = tokio::time::timeout(HEAR_WITHIN, all).await;
    let entry = all.as_ref().unwrap_or(entry);
    Durable {
        positions: entry.positions.clone(),
        // One that lacks a copy is not durable everywhere yet, and is judged as if it became so now.
        at: all
            .as_ref()
            .map_or_else(|_| shared.authority.now().wall, |entry| entry.read_at),
    }
}

/// The acknowledgement of a record that the log was read to have.
pub(crate) fn of_entry(shared: &Shared, tenant: &Tenant, entry: &JournalEntry) -> pb::Acknowledgement {
    let revocation = &entry.revocation;
    let before = revocation.before.as_ref().map(|before| timestamp(before.instant));
    pb::Acknowledgement {
        revocation: name::of(&tenant.name, "revocations", revocation.id),
        home: Some(home_of(revocation)),
        positions: entry.positions.iter().copied().map(position).collect(),
        level: pb::AckLevel::Durable.into(),
        cut_off_time: before,
        not_before_time: before.filter(|_| revocation.wide),
        log_id: shared.authority.follower().log().log_id.to_vec(),
        keep_until_time: Some(timestamp(revocation.keep_until)),
        ..Default::default()
    }
}

/// A position on the wire.
pub(crate) fn position(position: Position) -> pb::Position {
    pb::Position {
        partition: position.partition.0.into(),
        offset: position.offset,
    }
}

/// A level on the wire.
pub(crate) fn level_number(level: Level) -> i32 {
    match level {
        Level::Stored => pb::AckLevel::Stored,
        Level::Durable => pb::AckLevel::Durable,
    }
    .into()
}

/// Whether the record is about tokens of the tenant's own issuer.
pub(crate) fn is_own(revocation: &Revocation) -> bool {
    revocation.issuer == revocation.tenant.own_issuer()
}

/// Whether it names tokens alone, which no store keeps a mark of.
pub(crate) fn is_of_tokens(revocation: &Revocation) -> bool {
    !is_own(revocation)
        || revocation
            .all_of
            .iter()
            .any(|criterion| &*criterion.claim == "jti")
}

fn home_of(revocation: &Revocation) -> pb::Home {
    let kind = match (revocation.wide, is_of_tokens(revocation)) {
        (true, _) => pb::HomeKind::Directory,
        (false, true) => pb::HomeKind::None,
        (false, false) => pb::HomeKind::Subject,
    };
    home(kind, revocation.home)
}

fn home(kind: pb::HomeKind, partition: Partition) -> pb::Home {
    pb::Home {
        kind: kind.into(),
        partition: partition.number().into(),
    }
}

/// A follower's largest bound on the wire.
pub(crate) fn bound(ms: Option<i64>) -> Option<prost_types::Duration> {
    ms.map(duration)
}

//! Revoking while the store is away: the record goes to the log, and into the store when that is back.
//!
//! **Invariant:** what is answered here is DURABLE; what the log did not take whole is refused as unknown, to be
//! repeated with the same operation.

use std::sync::Arc;

use curfew_core::decide::Motive;
use curfew_core::decide::end::Ended;
use curfew_core::decide::log_first::{self, Asked};
use curfew_core::decide::revoke::{self, Cut, Home};
use curfew_core::decide::subject_state::Change;
use curfew_core::directory::UNDECLARED_LIFE_MAX_MS;
use curfew_core::ids::{SubjectId, TenantId};
use curfew_core::mac;
use curfew_core::place::Partition;
use curfew_core::record::{Criterion, JOSE_KID_CLAIM, LogRecord, OperationRef, Outgoing, Revocation};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::subject::{BEFORE_SID, whole_subject};
use curfew_core::time::WIDE_AHEAD_MS;
use tokio::time::Instant;

use crate::answer::{Answer, Level, Published};
use crate::create_revocation::{
    RevocationAnswer, RevocationRequest, Target, cut_of, foreign_criteria, wide_criteria,
};
use crate::directory::Loaded;
use crate::end::EndAnswer;
use crate::node::Authority;
use crate::subjects::SubjectAnswer;

impl Authority {
    /// Revokes in the log alone; `refusal`: what the store's absence was told as, where this cannot be.
    pub(crate) async fn revoke_log_first(
        &self,
        request: &RevocationRequest,
        refusal: Refusal,
    ) -> Answer<RevocationAnswer> {
        let Ok(loaded) = self.known_directory().await else {
            return Err(refusal);
        };
        if !loaded.view.tenants.contains_key(&request.tenant) {
            return Err(refusal);
        }
        let Some(asked) = asked(&loaded, request)? else {
            return Err(refusal);
        };
        let home = asked.home;
        // Sessions, grants, subjects and single tokens are revoked by shapes that every tenant has.
        if matches!(request.target, Target::Criteria(..)) || asked.wide || asked.scope == "foreign" {
            let state = self.follower.of(home);
            let room = |index| revoke::room_in(index, asked.tenant, asked.issuer, &asked.all_of);
            state.as_ref().map_or(Ok(()), |state| room(&state.index))?;
        }
        let known = self.written(home, request.tenant, request.motive.operation)?;
        let known = known.into_iter().find_map(|record| {
            if let LogRecord::Revocation(revocation) = record {
                Some(Revocation::clone(&revocation))
            } else {
                None
            }
        });
        let revocation = match known {
            Some(revocation) => revocation,
            None => log_first::revocation(self.wall(), asked, &mut self.chance())?,
        };
        let published = self
            .append_first(Outgoing::revocation(revocation.clone()))
            .await?;
        Ok(RevocationAnswer {
            record: Some(revocation.id),
            before: revocation.before.as_ref().map(|before| before.instant),
            revocation: Some(revocation),
            published: vec![published],
        })
    }

    /// Ends a session or a grant in the log alone.
    pub(crate) async fn end_log_first(
        &self,
        tenant: TenantId,
        target: Target,
        motive: &Motive,
        refusal: Refusal,
    ) -> Answer<EndAnswer> {
        let request = RevocationRequest {
            tenant,
            issuer: None,
            target,
            add_clock_error: false,
            motive: motive.clone(),
        };
        let answer = self.revoke_log_first(&request, refusal.clone()).await?;
        Ok(EndAnswer {
            ended: Ended::Now(answer.record.ok_or(refusal)?),
            published: answer.published,
        })
    }

    /// Disables or deletes a subject in the log alone: the cut-off first, so that nothing older is left when the
    /// state is known.
    pub(crate) async fn disable_log_first(
        &self,
        tenant: TenantId,
        subject: &SubjectId,
        change: Change,
        motive: &Motive,
        refusal: Refusal,
    ) -> Answer<SubjectAnswer> {
        let request = RevocationRequest {
            tenant,
            issuer: None,
            target: Target::Subject(subject.clone(), None),
            add_clock_error: false,
            motive: motive.clone(),
        };
        let cut_off = self.revoke_log_first(&request, refusal).await?;
        let mut published = cut_off.published;
        let mut state = None;
        if change == Change::Disable {
            let key = self.known_directory().await?.ring.subject_key(tenant, subject)?;
            let known = self.written(key.partition(), tenant, motive.operation)?;
            let known = known
                .into_iter()
                .find(|record| matches!(record, LogRecord::SubjectState(_)));
            let record = known.unwrap_or_else(|| {
                let now = self.wall();
                let disable = log_first::disable(now, tenant, subject, key, motive, &mut self.chance());
                LogRecord::SubjectState(Arc::new(disable))
            });
            state = record.event_id();
            let outgoing = Outgoing {
                home: key.partition(),
                wide: false,
                record,
            };
            published.push(self.append_first(outgoing).await?);
        }
        Ok(SubjectAnswer {
            state,
            cut_off: cut_off.record,
            published,
        })
    }

    /// What an operation has written before, as far as this node has heard; other content under its id is refused.
    fn written(
        &self,
        home: Partition,
        tenant: TenantId,
        operation: Option<OperationRef>,
    ) -> Answer<Vec<LogRecord>> {
        let Some(operation) = operation else {
            return Ok(Vec::new());
        };
        let known = self.unmerged.of_operation(home, tenant, operation.id);
        let hash = |record: &LogRecord| match record {
            LogRecord::Revocation(revocation) => revocation.operation.map(|known| known.request_hash),
            LogRecord::SubjectState(state) => state.operation.map(|known| known.request_hash),
            LogRecord::Directory(_)
            | LogRecord::Heartbeat(_)
            | LogRecord::Skip(_)
            | LogRecord::Unknown(_)
            | LogRecord::Withheld => None,
        };
        if known
            .iter()
            .any(|record| hash(record) != Some(operation.request_hash))
        {
            let refusal = Refusal::new(Stage::Request, Reason::RequestIdReused);
            return Err(refusal.about(operation.id.to_string()));
        }
        Ok(known)
    }

    /// Appends wherever the record belongs; anything less than everywhere is not known to have happened.
    async fn append_first(&self, mut outgoing: Outgoing) -> Answer<Published> {
        let refusal = || Refusal::new(Stage::Request, Reason::LogUnavailable);
        if let Some(cause) = curfew_trace::cause() {
            outgoing.record.set_trace(&cause);
        }
        let id = outgoing.record.event_id().ok_or_else(refusal)?;
        let targets = self.targets_of(&outgoing);
        let until: Instant = crate::publish::wait_until();
        let (positions, lacking) = self.append_to(targets, &outgoing.record, Some(until)).await;
        if !lacking.is_empty() {
            return Err(refusal());
        }
        tracing::warn!(record = %id, "the store is away: a revocation went to the log first");
        Ok(Published {
            id,
            positions,
            level: Level::Durable,
        })
    }
}

/// What a request asks of the log; `None`: it needs the store (a session that is spared, or whose subject nobody
/// else knows).
fn asked<'a>(loaded: &Loaded, request: &'a RevocationRequest) -> Answer<Option<Asked<'a>>> {
    let tenant = request.tenant;
    let own = tenant.own_issuer();
    let keep_ms = loaded
        .view
        .lifetimes
        .map_or(UNDECLARED_LIFE_MAX_MS, |lifetimes| lifetimes.keep_ms);
    let base = Asked {
        tenant,
        issuer: own,
        home: Partition::DIRECTORY,
        wide: true,
        all_of: Vec::new(),
        cut: Cut::BeforeNow(BEFORE_SID),
        ahead_ms: WIDE_AHEAD_MS,
        subject_key: None,
        row: None,
        scope: "criteria",
        life_ms: keep_ms,
        motive: &request.motive,
    };
    let one = |claim: &str, value: &str| vec![Criterion::new(claim, value)];
    if let Some(issuer) = request.issuer.filter(|issuer| *issuer != own) {
        let unknown = || Refusal::new(Stage::Request, Reason::IssuerEntryUnknown);
        let entry = loaded.view.issuers.get(&(tenant, issuer)).ok_or_else(unknown)?;
        let (all_of, cut) = foreign_criteria(request.target.clone())?;
        revoke::foreign_is_valid(entry, &all_of, cut)?;
        return Ok(Some(Asked {
            issuer,
            home: mac::foreign_partition(tenant, issuer),
            wide: false,
            all_of,
            cut,
            // A foreign issuer does not wait for one that lies ahead (Q27).
            ahead_ms: if request.add_clock_error {
                entry.clock_error_ms
            } else {
                0
            },
            scope: "foreign",
            life_ms: entry.life_ms,
            ..base
        }));
    }
    let subject = |subject: &SubjectId, all_of, cut, scope| -> Answer<Option<Asked<'a>>> {
        let key = loaded.ring.subject_key(tenant, subject)?;
        Ok(Some(Asked {
            home: key.partition(),
            wide: false,
            all_of,
            cut,
            subject_key: Some(key),
            scope,
            ..base.clone()
        }))
    };
    let wide = |all_of, cut, scope| {
        Ok(Some(Asked {
            all_of,
            cut,
            scope,
            ..base.clone()
        }))
    };
    match &request.target {
        Target::Session(sid) => Ok(Some(Asked {
            home: sid.partition(),
            wide: false,
            all_of: one("sid", &sid.to_string()),
            cut: Cut::Plain,
            row: Some(*sid),
            scope: "session",
            ..base.clone()
        })),
        Target::Grant(sid, gid) => Ok(Some(Asked {
            home: sid.partition(),
            wide: false,
            all_of: one("gid", &gid.to_string()),
            cut: Cut::Plain,
            row: Some(*sid),
            scope: "grant",
            ..base.clone()
        })),
        Target::Subject(_, Some(_)) => Ok(None),
        Target::Subject(id, None) => {
            subject(id, vec![whole_subject(id)], Cut::BeforeNow(BEFORE_SID), "subject")
        }
        Target::Token(jti) => Ok(Some(Asked {
            home: jti.partition(),
            wide: false,
            all_of: one("jti", &jti.to_string()),
            cut: Cut::Plain,
            scope: "token",
            ..base.clone()
        })),
        // One of the ring is revoked in the ring, which is in the store.
        Target::Key(kid) if loaded.uses_key(kid.as_str()) => Ok(None),
        Target::Device(_) | Target::Client(_) | Target::Tenant | Target::Provider(_) | Target::Key(_) => {
            wide_criteria(tenant, &request.target)
                .map_or(Ok(None), |(all_of, cut, scope)| wide(all_of, cut, scope))
        }
        Target::Criteria(all_of, before) => {
            let cut = cut_of(before.as_deref())?;
            let value = |claim: &str| all_of.iter().find(|criterion| &*criterion.claim == claim);
            match revoke::home_of(all_of, before.is_some())? {
                Home::Subject => {
                    let id = value("oid").and_then(|criterion| SubjectId::new(&criterion.value).ok());
                    id.map_or(Ok(None), |id| subject(&id, all_of.clone(), cut, "criteria"))
                }
                Home::Directory if !revoke::is_of_everybody(all_of) || cut != Cut::Plain => {
                    let is_used = value(JOSE_KID_CLAIM).is_some_and(|kid| loaded.uses_key(&kid.value));
                    if is_used {
                        Ok(None)
                    } else {
                        wide(all_of.clone(), cut, "criteria")
                    }
                }
                Home::Session | Home::Log | Home::Directory => Ok(None),
            }
        }
    }
}

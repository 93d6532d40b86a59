//! Ends a session, a grant, or all sessions of a subject but one.

use curfew_core::decide::end::{self, Ended, Subject};
use curfew_core::decide::{Motive, Verdict};
use curfew_core::ids::{GrantId, RecordId, SessionId, SubjectKey, TenantId};
use curfew_core::refusal::Stage;
use curfew_core::stored::{Decision, Key};
use curfew_core::time::Millis;

use crate::answer::{Answer, Published};
use crate::create_revocation::Target;
use crate::create_session::map;
use crate::node::Authority;
use crate::operation::Remembered;
use crate::seen::Seen;
use crate::transact::{Ask, Done};

/// How an ending went.
#[derive(Clone, Debug)]
pub struct EndAnswer {
    /// What happened.
    pub ended: Ended,
    /// What was published.
    pub published: Vec<Published>,
}

/// How *sign out everywhere else* went.
#[derive(Clone, Debug)]
pub struct EndOthersAnswer {
    /// The record.
    pub record: RecordId,
    /// B: what was born before it is dead, but the spared session.
    pub before: Option<Millis>,
    /// What was published.
    pub published: Vec<Published>,
}

fn remember(ended: &Ended) -> Remembered {
    match ended {
        Ended::Now(record) => Remembered::Ended { record: *record },
        Ended::Before(ending) => Remembered::EndedBefore {
            record: ending.record,
            at: ending.at,
            cause: ending.cause.clone(),
        },
        Ended::Expired => Remembered::Expired,
    }
}

fn recall(seen: &Seen, tenant: TenantId, motive: &Motive) -> Option<Verdict<Ended>> {
    seen.recall(tenant, motive.operation, |remembered| match remembered {
        Remembered::Ended { record } => Some(Ended::Now(record)),
        Remembered::EndedBefore { record, at, cause } => {
            Some(Ended::Before(curfew_core::session::Ending { at, cause, record }))
        }
        Remembered::Expired => Some(Ended::Expired),
        Remembered::Session { .. }
        | Remembered::Grant { .. }
        | Remembered::Revoked { .. }
        | Remembered::Subject { .. } => None,
    })
}

impl Authority {
    /// Ends a session; what was over already publishes nothing. While the store is away the record goes to the
    /// log first.
    pub async fn end_session(&self, tenant: TenantId, sid: SessionId, motive: &Motive) -> Answer<EndAnswer> {
        match self.end_session_in_store(tenant, sid, motive).await {
            Err(refusal) if self.goes_log_first(&refusal) => {
                self.end_log_first(tenant, Target::Session(sid), motive, refusal)
                    .await
            }
            other => other,
        }
    }

    async fn end_session_in_store(
        &self,
        tenant: TenantId,
        sid: SessionId,
        motive: &Motive,
    ) -> Answer<EndAnswer> {
        let key = self.subject_key_of(tenant, sid).await?;
        let keys = vec![Key::Session(sid), Key::Ledger(key)];
        let done = self
            .transact(ending(tenant, sid, keys, motive), |context, seen, entropy| {
                if let Some(verdict) = recall(seen, tenant, motive) {
                    return Decision::of(context.partition, verdict);
                }
                let (row, ledger) = (seen.row(sid), seen.ledger(key));
                end::end_session(
                    context,
                    row.as_deref(),
                    ledger.as_deref(),
                    key,
                    motive,
                    entropy,
                    |ended| remember(ended).to_bytes(),
                )
            })
            .await?;
        Ok(answer(done))
    }

    /// Ends one grant of a session. While the store is away the record goes to the log first.
    pub async fn end_grant(
        &self,
        tenant: TenantId,
        sid: SessionId,
        gid: GrantId,
        motive: &Motive,
    ) -> Answer<EndAnswer> {
        match self.end_grant_in_store(tenant, sid, gid, motive).await {
            Err(refusal) if self.goes_log_first(&refusal) => {
                self.end_log_first(tenant, Target::Grant(sid, gid), motive, refusal)
                    .await
            }
            other => other,
        }
    }

    async fn end_grant_in_store(
        &self,
        tenant: TenantId,
        sid: SessionId,
        gid: GrantId,
        motive: &Motive,
    ) -> Answer<EndAnswer> {
        let key = self.subject_key_of(tenant, sid).await?;
        let done = self
            .transact(
                ending(tenant, sid, vec![Key::Session(sid)], motive),
                |context, seen, entropy| {
                    if let Some(verdict) = recall(seen, tenant, motive) {
                        return Decision::of(context.partition, verdict);
                    }
                    let row = seen.row(sid);
                    end::end_grant(context, row.as_deref(), gid, key, motive, entropy, |ended| {
                        remember(ended).to_bytes()
                    })
                },
            )
            .await?;
        Ok(answer(done))
    }

    /// Signs the subject out everywhere but in this session, which must be alive.
    pub async fn end_other_sessions(
        &self,
        tenant: TenantId,
        spared: SessionId,
        motive: &Motive,
    ) -> Answer<EndOthersAnswer> {
        let subject = self.row(tenant, spared).await?.subject.clone();
        let loaded = self.fresh_directory().await?;
        let key = loaded.ring.subject_key(tenant, &subject)?;
        let keys = vec![Key::Session(spared), Key::Gate(key), Key::Ledger(key)];
        let done = self
            .transact(ending(tenant, spared, keys, motive), |context, seen, entropy| {
                let known = seen.recall(tenant, motive.operation, |remembered| {
                    if let Remembered::Revoked { record, before } = remembered {
                        Some((record, before))
                    } else {
                        None
                    }
                });
                if let Some(verdict) = known {
                    return Decision::of(context.partition, verdict);
                }
                let (row, gate, ledger) = (seen.row(spared), seen.gate(key), seen.ledger(key));
                let whole = Subject {
                    subject: &subject,
                    key,
                    gate: gate.as_deref(),
                    ledger: ledger.as_deref(),
                };
                let except = Some((spared, row.as_deref()));
                let decision = end::cut_off(context, whole, except, motive, entropy, |revocation| {
                    let before = revocation.before.as_ref().map(|before| before.instant);
                    Remembered::Revoked {
                        record: revocation.id,
                        before,
                    }
                    .to_bytes()
                });
                map(decision, |revocation| {
                    (revocation.id, revocation.before.map(|before| before.instant))
                })
            })
            .await?;
        let (record, before) = done.value;
        Ok(EndOthersAnswer {
            record,
            before,
            published: done.published,
        })
    }

    pub(crate) async fn subject_key_of(&self, tenant: TenantId, sid: SessionId) -> Answer<SubjectKey> {
        let subject = self.row(tenant, sid).await?.subject.clone();
        self.fresh_directory().await?.ring.subject_key(tenant, &subject)
    }
}

fn ending(tenant: TenantId, sid: SessionId, mut keys: Vec<Key>, motive: &Motive) -> Ask {
    keys.extend(
        motive
            .operation
            .map(|operation| Key::Operation(tenant, operation.id)),
    );
    Ask {
        tenant: tenant.into(),
        partition: sid.partition(),
        keys,
        stage: Stage::Request,
    }
}

fn answer(done: Done<Ended>) -> EndAnswer {
    EndAnswer {
        ended: done.value,
        published: done.published,
    }
}

//! Subjects: disabled, enabled, deleted, and looked at.

use curfew_core::decide::Motive;
use curfew_core::decide::end::Subject;
use curfew_core::decide::subject_state::{self, Change};
use curfew_core::ids::{RecordId, SubjectId, TenantId};
use curfew_core::refusal::Stage;
use curfew_core::stored::{Decision, Key};
use curfew_core::time::Millis;

use crate::answer::{Answer, Published};
use crate::create_session::map;
use crate::node::Authority;
use crate::operation::Remembered;
use crate::transact::Ask;

/// What a change of state did.
#[derive(Clone, Debug)]
pub struct SubjectAnswer {
    /// The state record, where one was published.
    pub state: Option<RecordId>,
    /// The cut-off, where there was one.
    pub cut_off: Option<RecordId>,
    /// What was published.
    pub published: Vec<Published>,
}

/// What is known of a subject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectView {
    /// Disables that are left.
    pub disables: Vec<RecordId>,
    /// What was born before this is dead, exceptions apart.
    pub cut_off: Option<Millis>,
    /// Sessions that the ledger lists.
    pub sessions: usize,
}

impl Authority {
    /// Disables, enables or deletes a subject. While the store is away a disable goes to the log first; to enable
    /// must wait, as nobody knows what it would lift.
    pub async fn change_subject(
        &self,
        tenant: TenantId,
        subject: SubjectId,
        change: Change,
        motive: &Motive,
    ) -> Answer<SubjectAnswer> {
        match self
            .change_subject_in_store(tenant, subject.clone(), change, motive)
            .await
        {
            Err(refusal) if self.goes_log_first(&refusal) && change != Change::Enable => {
                self.disable_log_first(tenant, &subject, change, motive, refusal)
                    .await
            }
            other => other,
        }
    }

    async fn change_subject_in_store(
        &self,
        tenant: TenantId,
        subject: SubjectId,
        change: Change,
        motive: &Motive,
    ) -> Answer<SubjectAnswer> {
        let key = self.fresh_directory().await?.ring.subject_key(tenant, &subject)?;
        let mut keys = vec![Key::Gate(key), Key::Ledger(key)];
        keys.extend(
            motive
                .operation
                .map(|operation| Key::Operation(tenant, operation.id)),
        );
        let ask = Ask {
            tenant: tenant.into(),
            partition: key.partition(),
            keys,
            stage: Stage::Request,
        };
        let done = self
            .transact(ask, |context, seen, entropy| {
                let known = seen.recall(tenant, motive.operation, |remembered| match remembered {
                    Remembered::Subject { state, cut_off } => Some((state, cut_off)),
                    // Merged from the log, where a deletion is a cut-off and nothing else.
                    Remembered::Revoked { record, .. } if change == Change::Delete => {
                        Some((None, Some(record)))
                    }
                    Remembered::Revoked { .. }
                    | Remembered::Session { .. }
                    | Remembered::Grant { .. }
                    | Remembered::Ended { .. }
                    | Remembered::EndedBefore { .. }
                    | Remembered::Expired => None,
                });
                if let Some(verdict) = known {
                    return Decision::of(context.partition, verdict);
                }
                let (gate, ledger) = (seen.gate(key), seen.ledger(key));
                let whole = Subject {
                    subject: &subject,
                    key,
                    gate: gate.as_deref(),
                    ledger: ledger.as_deref(),
                };
                let ids = |changed: &subject_state::Changed| {
                    (
                        changed.state,
                        changed.cut_off.as_ref().map(|revocation| revocation.id),
                    )
                };
                let decision = subject_state::change(context, whole, change, motive, entropy, |changed| {
                    let (state, cut_off) = ids(changed);
                    Remembered::Subject { state, cut_off }.to_bytes()
                });
                map(decision, |changed| ids(&changed))
            })
            .await?;
        let (state, cut_off) = done.value;
        Ok(SubjectAnswer {
            state,
            cut_off,
            published: done.published,
        })
    }

    /// Looks at a subject; `None`: nothing is known of it.
    pub async fn get_subject(&self, tenant: TenantId, subject: &SubjectId) -> Answer<Option<SubjectView>> {
        let key = self.fresh_directory().await?.ring.subject_key(tenant, subject)?;
        let keys = [Key::Gate(key), Key::Ledger(key)];
        let seen = self.see(key.partition(), &keys).await?;
        Ok(seen
            .gate(key)
            .filter(|gate| gate.subject == *subject && gate.tenant == tenant)
            .map(|gate| SubjectView {
                disables: gate.disables.clone(),
                cut_off: gate.cut_off_by.as_ref().map(|_| gate.cut_off.default_instant()),
                sessions: seen.ledger(key).map_or(0, |ledger| ledger.sessions.len()),
            }))
    }
}

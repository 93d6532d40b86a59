//! Opens a session for a subject that proved itself.

use std::sync::Arc;

use curfew_core::decide::{Verdict, open};
use curfew_core::ids::{RecordId, SessionId, SubjectId, TenantId};
use curfew_core::record::OperationRef;
use curfew_core::refusal::Stage;
use curfew_core::session::{Device, Proof, Row};
use curfew_core::stored::{Decision, Key};

use crate::answer::{Answer, Published};
use crate::node::Authority;
use crate::operation::Remembered;
use crate::transact::Ask;

/// What is asked; the tenant's settings fill what is `None`.
#[derive(Clone, Debug)]
pub struct CreateSessionRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The subject.
    pub subject: SubjectId,
    /// What it proved.
    pub proof: Proof,
    /// The identity provider.
    pub idp: Option<Arc<str>>,
    /// Its own session.
    pub idp_session_id: Option<Arc<str>>,
    /// The device.
    pub device: Option<Device>,
    /// Claims to be mapped into tokens.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Outlives the browser.
    pub persistent: bool,
    /// Idle timeout, ms.
    pub idle_timeout_ms: Option<i64>,
    /// Longest life, ms.
    pub max_lifetime_ms: Option<i64>,
    /// SHA-256 of the login hint.
    pub login_hint_hash: Option<[u8; 32]>,
    /// Where the sign-in came from.
    pub client_ip: Option<Arc<str>>,
    /// With which program.
    pub user_agent: Option<Arc<str>>,
    /// The caller's operation.
    pub operation: OperationRef,
}

/// An opened session.
#[derive(Clone, Debug)]
pub struct SessionOpened {
    /// Its row.
    pub row: Row,
    /// The session that the cap ended.
    pub ended: Option<(SessionId, RecordId)>,
    /// What was published.
    pub published: Vec<Published>,
}

enum Opening {
    New(Box<open::Opened>),
    Known {
        sid: SessionId,
        ended: Option<(SessionId, RecordId)>,
    },
}

impl Authority {
    /// Opens a session. A retry with the same operation answers the session that it opened.
    pub async fn create_session(&self, request: CreateSessionRequest) -> Answer<SessionOpened> {
        let tenant = request.tenant;
        let loaded = self.fresh_directory().await?;
        let key = loaded.ring.subject_key(tenant, &request.subject)?;
        let operation = Some(request.operation);
        let asked = open::Request {
            subject: request.subject,
            subject_key: key,
            proof: request.proof,
            idp: request.idp,
            idp_session_id: request.idp_session_id,
            device: request.device,
            claims: request.claims,
            persistent: request.persistent,
            idle_timeout_ms: request.idle_timeout_ms,
            max_lifetime_ms: request.max_lifetime_ms,
            login_hint_hash: request.login_hint_hash,
            client_ip: request.client_ip,
            user_agent: request.user_agent,
            operation,
        };
        let keys = vec![
            Key::Gate(key),
            Key::Ledger(key),
            Key::Operation(tenant, request.operation.id),
        ];
        let ask = Ask {
            tenant: tenant.into(),
            partition: key.partition(),
            keys,
            stage: Stage::PrimaryAuthentication,
        };
        let done = self
            .transact(ask, |context, seen, entropy| {
                let known = seen.recall(tenant, operation, |remembered| {
                    if let Remembered::Session { sid, ended } = remembered {
                        Some(Opening::Known { sid, ended })
                    } else {
                        None
                    }
                });
                if let Some(verdict) = known {
                    return Decision::of(context.partition, verdict);
                }
                let (gate, ledger) = (seen.gate(key), seen.ledger(key));
                let longest = ledger.as_ref().and_then(|ledger| ledger.longest_unused());
                let row = longest.and_then(|sid| seen.row(sid));
                let was_read = longest.filter(|sid| seen.has_read(&Key::Session(*sid)));
                let read = open::Read {
                    gate: gate.as_deref(),
                    ledger: ledger.as_deref(),
                    longest_unused: was_read.map(|sid| (sid, row.as_deref())),
                };
                let decision = open::open(context, read, &asked, entropy, |opened| {
                    Remembered::Session {
                        sid: opened.row.sid,
                        ended: opened.ended,
                    }
                    .to_bytes()
                });
                map(decision, |opened| Opening::New(Box::new(opened)))
            })
            .await?;
        match done.value {
            Opening::New(opened) => Ok(SessionOpened {
                row: opened.row,
                ended: opened.ended,
                published: done.published,
            }),
            Opening::Known { sid, ended } => {
                let row = self.row(tenant, sid).await?;
                Ok(SessionOpened {
                    row: (*row).clone(),
                    ended,
                    published: done.published,
                })
            }
        }
    }
}

/// The same decision with another outcome.
pub(crate) fn map<T, U>(decision: Decision<Verdict<T>>, f: impl FnOnce(T) -> U) -> Decision<Verdict<U>> {
    Decision {
        partition: decision.partition,
        outcome: match decision.outcome {
            Verdict::Granted(value) => Verdict::Granted(f(value)),
            Verdict::Refused(refusal) => Verdict::Refused(refusal),
            Verdict::NotBefore(instant) => Verdict::NotBefore(instant),
            Verdict::NeedsRow(sid) => Verdict::NeedsRow(sid),
        },
        writes: decision.writes,
        publish: decision.publish,
    }
}

//! Revokes whatever a caller names: named scopes and generic criteria, own and foreign issuers.

use std::sync::Arc;

use curfew_core::claims::{Claim, Claims};
use curfew_core::decide::end::{self, Subject};
use curfew_core::decide::revoke::{self, Cut, Home};
use curfew_core::decide::{Motive, Verdict};
use curfew_core::ids::{
    ClientId, DeviceId, GrantId, IssuerId, KeyId, RecordId, SessionId, SubjectId, TenantId, TokenId,
};
use curfew_core::mac;
use curfew_core::place::Partition;
use curfew_core::record::{Criterion, JOSE_KID_CLAIM, OperationRef, Revocation};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Decision, Key};
use curfew_core::time::Millis;

use crate::answer::{Answer, Published};
use crate::create_session::map;
use crate::node::Authority;
use crate::operation::Remembered;
use crate::seen::Seen;
use crate::transact::{Ask, Done};

/// What is to be revoked.
#[derive(Clone, PartialEq, Debug)]
pub enum Target {
    /// One access token.
    Token(TokenId),
    /// One grant of a session.
    Grant(SessionId, GrantId),
    /// One session.
    Session(SessionId),
    /// Everything of a subject, but the sessions that are spared (at most one).
    Subject(SubjectId, Option<SessionId>),
    /// Every session on a device.
    Device(DeviceId),
    /// Every grant of a client.
    Client(ClientId),
    /// Everything of the tenant.
    Tenant,
    /// A signing key.
    Key(KeyId),
    /// Every session of an identity provider.
    Provider(Arc<str>),
    /// Whatever has these claims; `before now` of a claim, where one is named.
    Criteria(Vec<Criterion>, Option<Arc<str>>),
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct RevocationRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// A foreign issuer's entry; `None`: the tenant's own.
    pub issuer: Option<IssuerId>,
    /// What.
    pub target: Target,
    /// Add the foreign issuer's clock error to the instant.
    pub add_clock_error: bool,
    /// Why, by whom.
    pub motive: Motive,
}

/// What was revoked.
#[derive(Clone, Debug)]
pub struct RevocationAnswer {
    /// The record's id; `None`: what was named was over already.
    pub record: Option<RecordId>,
    /// B.
    pub before: Option<Millis>,
    /// The record, where it was made now.
    pub revocation: Option<Revocation>,
    /// What was published.
    pub published: Vec<Published>,
}

type Found = (Option<RecordId>, Option<Millis>, Option<Revocation>);

fn recall(seen: &Seen, tenant: TenantId, motive: &Motive) -> Option<Verdict<Found>> {
    seen.recall(tenant, motive.operation, |remembered| {
        if let Remembered::Revoked { record, before } = remembered {
            Some((Some(record), before, None))
        } else {
            None
        }
    })
}

fn remember(revocation: &Revocation) -> Vec<u8> {
    let before = revocation.before.as_ref().map(|before| before.instant);
    Remembered::Revoked {
        record: revocation.id,
        before,
    }
    .to_bytes()
}

fn found(revocation: Revocation) -> Found {
    (
        Some(revocation.id),
        revocation.before.as_ref().map(|before| before.instant),
        Some(revocation),
    )
}

impl Authority {
    /// Revokes; answers once the record is DURABLE, or says that it is only STORED. While the store is away the
    /// record goes to the log first.
    pub async fn create_revocation(&self, request: RevocationRequest) -> Answer<RevocationAnswer> {
        match self.revoke_in_store(request.clone()).await {
            Err(refusal) if self.goes_log_first(&refusal) => self.revoke_log_first(&request, refusal).await,
            other => other,
        }
    }

    async fn revoke_in_store(&self, request: RevocationRequest) -> Answer<RevocationAnswer> {
        let RevocationRequest {
            tenant,
            issuer,
            target,
            add_clock_error,
            motive,
        } = request;
        let invalid = |why: &str| Refusal::new(Stage::Request, Reason::CriteriaInvalid).about(why.to_owned());
        let own = tenant.own_issuer();
        if let Some(issuer) = issuer.filter(|issuer| *issuer != own) {
            let (all_of, cut) = foreign_criteria(target)?;
            let asked = revoke::Request {
                issuer,
                all_of,
                cut,
                add_clock_error,
                scope: "foreign",
                motive,
            };
            return self.revoke_foreign(tenant, &asked).await;
        }
        let of_own = |all_of, cut, scope, motive| revoke::Request {
            issuer: own,
            all_of,
            cut,
            add_clock_error: false,
            scope,
            motive,
        };
        match target {
            Target::Session(sid) => {
                let answer = self.end_session(tenant, sid, &motive).await?;
                Ok(of_ending(answer))
            }
            Target::Grant(sid, gid) => {
                let answer = self.end_grant(tenant, sid, gid, &motive).await?;
                Ok(of_ending(answer))
            }
            Target::Subject(_, Some(spared)) => {
                let answer = self.end_other_sessions(tenant, spared, &motive).await?;
                Ok(RevocationAnswer {
                    record: Some(answer.record),
                    before: answer.before,
                    revocation: None,
                    published: answer.published,
                })
            }
            Target::Subject(subject, None) => self.cut_off(tenant, subject, &motive).await,
            Target::Token(jti) => {
                let all_of = vec![Criterion::new("jti", jti.to_string())];
                let asked = of_own(all_of, Cut::Plain, "token", motive);
                self.revoke_in_log(tenant, jti, &asked).await
            }
            Target::Device(_) | Target::Client(_) | Target::Tenant | Target::Provider(_) | Target::Key(_) => {
                if let Target::Key(kid) = &target {
                    self.refuse_key_in_use(kid.as_str()).await?;
                }
                let (all_of, cut, scope) =
                    wide_criteria(tenant, &target).ok_or_else(|| invalid("no scope of many subjects"))?;
                self.revoke_wide(tenant, &of_own(all_of, cut, scope, motive))
                    .await
            }
            Target::Criteria(all_of, before) => {
                let cut = cut_of(before.as_deref())?;
                let home = revoke::home_of(&all_of, before.is_some())?;
                let value = |claim: &str| {
                    let criterion = all_of.iter().find(|criterion| &*criterion.claim == claim);
                    criterion.map(|criterion| criterion.value.clone())
                };
                let (oid, sid, jti) = (value("oid"), value("sid"), value("jti"));
                if let Some(kid) = value(JOSE_KID_CLAIM) {
                    self.refuse_key_in_use(&kid).await?;
                }
                let asked = revoke::Request {
                    issuer: own,
                    all_of,
                    cut,
                    add_clock_error,
                    scope: "criteria",
                    motive,
                };
                match home {
                    Home::Directory => self.revoke_wide(tenant, &asked).await,
                    Home::Log => {
                        let jti: TokenId = jti
                            .and_then(|jti| jti.parse().ok())
                            .ok_or_else(|| invalid("`jti` is not one of Curfew's"))?;
                        self.revoke_in_log(tenant, jti, &asked).await
                    }
                    Home::Subject => {
                        let subject = oid
                            .and_then(|oid| SubjectId::new(&oid).ok())
                            .ok_or_else(|| invalid("`oid` is not a subject"))?;
                        self.revoke_narrow(tenant, subject, None, &asked).await
                    }
                    Home::Session => {
                        let sid: SessionId = sid
                            .and_then(|sid| sid.parse().ok())
                            .ok_or_else(|| invalid("`sid` is not one of Curfew's"))?;
                        let subject = self.row(tenant, sid).await?.subject.clone();
                        self.revoke_narrow(tenant, subject, Some(sid), &asked).await
                    }
                }
            }
        }
    }

    /// Cuts a whole subject off.
    pub(crate) async fn cut_off(
        &self,
        tenant: TenantId,
        subject: SubjectId,
        motive: &Motive,
    ) -> Answer<RevocationAnswer> {
        let key = self.fresh_directory().await?.ring.subject_key(tenant, &subject)?;
        let keys = vec![Key::Gate(key), Key::Ledger(key)];
        self.revoke_with(tenant, key.partition(), keys, motive, |context, seen, entropy| {
            let (gate, ledger) = (seen.gate(key), seen.ledger(key));
            let whole = Subject {
                subject: &subject,
                key,
                gate: gate.as_deref(),
                ledger: ledger.as_deref(),
            };
            end::cut_off(context, whole, None, motive, entropy, remember)
        })
        .await
    }

    /// A mark on the key that signs, or that will, would kill every token of the tenant that is minted from
    /// now on; a key of the ring is revoked in the ring, where the standby takes over in the same commit.
    async fn refuse_key_in_use(&self, kid: &str) -> Answer<()> {
        let loaded = self.fresh_directory().await?;
        if loaded.uses_key(kid) {
            return Err(Refusal::new(Stage::Request, Reason::CriteriaInvalid)
                .about("the key is in use: revoke it in the ring, for every tenant at once"));
        }
        Ok(())
    }

    async fn revoke_narrow(
        &self,
        tenant: TenantId,
        subject: SubjectId,
        row: Option<SessionId>,
        asked: &revoke::Request,
    ) -> Answer<RevocationAnswer> {
        let key = self.fresh_directory().await?.ring.subject_key(tenant, &subject)?;
        let keys = vec![Key::Gate(key), Key::Ledger(key)];
        self.revoke_with(
            tenant,
            key.partition(),
            keys,
            &asked.motive,
            |context, seen, entropy| {
                let (gate, ledger) = (seen.gate(key), seen.ledger(key));
                let whole = Subject {
                    subject: &subject,
                    key,
                    gate: gate.as_deref(),
                    ledger: ledger.as_deref(),
                };
                revoke::narrow(context, whole, row, asked, entropy, remember)
            },
        )
        .await
    }

    async fn revoke_wide(&self, tenant: TenantId, asked: &revoke::Request) -> Answer<RevocationAnswer> {
        let keys = vec![Key::DirectoryVersion];
        let answer = self
            .revoke_with(
                tenant,
                Partition::DIRECTORY,
                keys,
                &asked.motive,
                |context, _, entropy| revoke::wide(context, asked, entropy, remember),
            )
            .await?;
        self.poll_after_commit().await;
        Ok(answer)
    }

    /// Revokes one token; what this node has heard to be revoked publishes nothing again.
    ///
    /// No store keeps the mark, so two that revoke one token within a moment of one another may each publish:
    /// harmless to readers, and a retry of one operation is known by its id.
    pub(crate) async fn revoke_in_log(
        &self,
        tenant: TenantId,
        jti: TokenId,
        asked: &revoke::Request,
    ) -> Answer<RevocationAnswer> {
        let keys = operation_key(tenant, &asked.motive);
        let ask = Ask {
            tenant: tenant.into(),
            partition: jti.partition(),
            keys,
            stage: Stage::Request,
        };
        let done = self
            .transact(ask, |context, seen, entropy| {
                if let Some(verdict) = recall(seen, tenant, &asked.motive) {
                    return Decision::of(context.partition, verdict);
                }
                let index = context.index;
                let known = index.map(|index| index.covered(tenant, asked.issuer, &OneToken(jti)));
                if let Some(Ok(Some(covering))) = known {
                    let found = (Some(covering.winner.id), None, None);
                    return Decision::of(context.partition, Verdict::Granted(found));
                }
                map(revoke::log_only(context, asked, entropy, remember), found)
            })
            .await?;
        Ok(answer_of(done))
    }

    async fn revoke_foreign(&self, tenant: TenantId, asked: &revoke::Request) -> Answer<RevocationAnswer> {
        let loaded = self.fresh_directory().await?;
        let issuer = loaded
            .view
            .issuers
            .get(&(tenant, asked.issuer))
            .ok_or_else(|| Refusal::new(Stage::Request, Reason::IssuerEntryUnknown))?
            .clone();
        let partition = mac::foreign_partition(tenant, asked.issuer);
        self.revoke_with(
            tenant,
            partition,
            Vec::new(),
            &asked.motive,
            |context, _, entropy| revoke::foreign(context, &issuer, asked, entropy, remember),
        )
        .await
    }

    async fn revoke_with(
        &self,
        tenant: TenantId,
        partition: Partition,
        mut keys: Vec<Key>,
        motive: &Motive,
        mut decide: impl FnMut(
            &curfew_core::decide::Context<'_>,
            &Seen,
            &mut mac::Entropy,
        ) -> Decision<Verdict<Revocation>>,
    ) -> Answer<RevocationAnswer> {
        keys.extend(operation_key(tenant, motive));
        let ask = Ask {
            tenant: tenant.into(),
            partition,
            keys,
            stage: Stage::Request,
        };
        let done = self
            .transact(ask, |context, seen, entropy| match recall(seen, tenant, motive) {
                Some(verdict) => Decision::of(context.partition, verdict),
                None => map(decide(context, seen, entropy), found),
            })
            .await?;
        Ok(answer_of(done))
    }
}

/// All that is known of a token by its `jti` alone.
struct OneToken(TokenId);

impl Claims for OneToken {
    fn claim(&self, name: &str) -> Option<Claim<'_>> {
        (name == "jti").then(|| Claim::Text(self.0.to_string().into()))
    }
}

fn operation_key(tenant: TenantId, motive: &Motive) -> Vec<Key> {
    let key = |operation: OperationRef| Key::Operation(tenant, operation.id);
    motive.operation.map(key).into_iter().collect()
}

fn answer_of(done: Done<Found>) -> RevocationAnswer {
    let (record, before, revocation) = done.value;
    RevocationAnswer {
        record,
        before,
        revocation,
        published: done.published,
    }
}

fn of_ending(answer: crate::EndAnswer) -> RevocationAnswer {
    let record = match &answer.ended {
        end::Ended::Now(record) => Some(*record),
        end::Ended::Before(ending) => Some(ending.record),
        end::Ended::Expired => None,
    };
    RevocationAnswer {
        record,
        before: None,
        revocation: None,
        published: answer.published,
    }
}

pub(crate) fn cut_of(before: Option<&str>) -> Answer<Cut> {
    match before {
        None => Ok(Cut::Plain),
        Some("sid") => Ok(Cut::BeforeNow("sid")),
        Some("gid") => Ok(Cut::BeforeNow("gid")),
        Some("iat") => Ok(Cut::BeforeNow("iat")),
        Some("auth_time") => Ok(Cut::BeforeNow("auth_time")),
        Some(other) => Err(
            Refusal::new(Stage::Request, Reason::CriteriaInvalid).about(format!(
                "`before` names `{other}`, which is none of sid, gid, iat, auth_time"
            )),
        ),
    }
}

/// The criteria that a scope of many subjects means for the tenant's own tokens; `None`: it is another scope.
pub(crate) fn wide_criteria(
    tenant: TenantId,
    target: &Target,
) -> Option<(Vec<Criterion>, Cut, &'static str)> {
    let by_sid = Cut::BeforeNow("sid");
    let (claim, value, cut, scope) = match target {
        Target::Device(device) => ("deviceid", device.to_string(), by_sid, "device"),
        Target::Client(client) => ("client_id", client.to_string(), Cut::BeforeNow("gid"), "client"),
        Target::Tenant => ("tid", tenant.to_string(), by_sid, "tenant"),
        Target::Provider(idp) => ("idp", idp.to_string(), by_sid, "provider"),
        Target::Key(kid) => (JOSE_KID_CLAIM, kid.to_string(), Cut::Plain, "key"),
        Target::Token(_)
        | Target::Grant(..)
        | Target::Session(_)
        | Target::Subject(..)
        | Target::Criteria(..) => return None,
    };
    Some((vec![Criterion::new(claim, value)], cut, scope))
}

/// The criteria that a named scope means for a foreign issuer's tokens.
pub(crate) fn foreign_criteria(target: Target) -> Answer<(Vec<Criterion>, Cut)> {
    let one = |claim: &str, value: &str| vec![Criterion::new(claim, value)];
    match target {
        // A refresh at the provider makes a new `iat`: this ends tokens, not sessions there (Q27).
        Target::Subject(subject, None) => Ok((one("sub", subject.as_str()), Cut::BeforeNow("iat"))),
        Target::Key(kid) => Ok((one(JOSE_KID_CLAIM, kid.as_str()), Cut::Plain)),
        Target::Criteria(all_of, before) => Ok((all_of, cut_of(before.as_deref())?)),
        Target::Token(_)
        | Target::Grant(..)
        | Target::Session(_)
        | Target::Subject(_, Some(_))
        | Target::Device(_)
        | Target::Client(_)
        | Target::Tenant
        | Target::Provider(_) => Err(Refusal::new(Stage::Request, Reason::CriteriaInvalid)
            .about("this scope names things of Curfew's own; name the foreign token's claims")),
    }
}

//! Introspects a token (RFC 7662).
//!
//! **Invariant:** an authority answers only while its own tail of that partition is younger than X
//! (G1 on the introspect rung); an inactive token is told with nothing else.

use curfew_core::claims::JsonClaims;
use curfew_core::decide::{Context, Verdict, mint};
use curfew_core::ids::{GrantId, SessionId, SubjectId, TenantId};
use curfew_core::mac::Entropy;
use curfew_core::refusal::{Class, Reason, Refusal, Stage};
use curfew_core::stored::{Decision, Key};
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::directory::Loaded;
use crate::node::Authority;
use crate::seen::Seen;
use crate::transact::Ask;
use crate::verify::Authentic;

/// What is known of a token.
#[derive(Clone, Debug)]
pub struct Introspection {
    /// Its claims, if it is active.
    pub active: Option<Map<String, Value>>,
    /// Why it is not, for callers that may know.
    pub why: Option<Refusal>,
}

impl Authority {
    /// Judges an access token of this tenant as a guard would, and by the store.
    pub async fn introspect(&self, tenant: TenantId, token: &str) -> Answer<Introspection> {
        match self.judge_access_token(tenant, token).await {
            Ok(claims) => Ok(Introspection {
                active: Some(claims),
                why: None,
            }),
            Err(refusal) if matches!(refusal.reason.class(), Class::Retry) => Err(refusal),
            Err(refusal) => Ok(Introspection {
                active: None,
                why: Some(refusal),
            }),
        }
    }

    async fn judge_access_token(&self, tenant: TenantId, token: &str) -> Answer<Map<String, Value>> {
        let stage = Stage::ResourceCall;
        let refuse = |reason| Refusal::new(stage, reason);
        if token.starts_with(curfew_core::refresh_token::PREFIX) {
            return Err(refuse(Reason::TokenIsRefreshToken));
        }
        let loaded = self.fresh_directory().await?;
        let authentic = self.read_own(&loaded, token, stage)?;
        if !authentic.is_access {
            return Err(refuse(Reason::TokenIsIdToken));
        }
        if authentic.tenant.id != tenant {
            return Err(refuse(Reason::IssuerUnknown));
        }
        authentic.judge_time(self.wall(), stage)?;
        // "Active" is an acknowledgement: committed, without writes, so that no fenced history gives it (Q2).
        let (ask, decide) = self.judging(&loaded, &authentic, stage)?;
        self.transact(ask, decide).await?;
        Ok(authentic.jws.claims().clone())
    }

    /// Judges an authentic access token by row, gate, directory and index: the ask and the decision.
    fn judging<'t>(
        &self,
        loaded: &Loaded,
        token: &'t Authentic,
        stage: Stage,
    ) -> Answer<(
        Ask,
        impl FnMut(&Context<'_>, &Seen, &mut Entropy) -> Decision<Verdict<()>> + 't,
    )> {
        let refuse = move |reason| Refusal::new(stage, reason);
        let tenant = token.tenant.id;
        let missing = |claim: &str| refuse(Reason::ClaimMissing).about(claim.to_owned());
        let gid: GrantId = token
            .text("gid")
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| missing("gid"))?;
        let subject: SubjectId = token
            .text("oid")
            .and_then(|oid| SubjectId::new(oid).ok())
            .ok_or_else(|| missing("oid"))?;
        let sid: Option<SessionId> = token.text("sid").and_then(|sid| sid.parse().ok());
        let key = loaded.ring.subject_key(tenant, &subject)?;
        let mut keys = vec![Key::Gate(key)];
        keys.extend(sid.map(Key::Session));
        let claims = JsonClaims::own(token.jws.claims(), Some(&token.kid))
            .map_err(|error| refuse(Reason::ClaimMalformed).about(error.to_string()))?;
        let partition = gid.partition();
        let is_frozen = self
            .follower
            .of(partition)
            .is_some_and(|state| state.frozen.is_some());
        let ask = Ask {
            tenant: tenant.into(),
            partition,
            keys,
            stage,
        };
        let judge = move |context: &Context<'_>, seen: &Seen| {
            if !context.tail_is_fresh {
                return Err(refuse(if is_frozen {
                    Reason::FreshnessFrozen
                } else {
                    Reason::FreshnessStale
                }));
            }
            let gate = seen.gate(key);
            if let Some((by, _)) = mint::coverage(context, gate.as_deref(), &claims, stage)? {
                return Err(refuse(Reason::TokenRevoked).by(by));
            }
            match &gate {
                None => return Err(refuse(Reason::SubjectUnknown)),
                Some(gate) if gate.subject != subject || gate.tenant != tenant => {
                    return Err(refuse(Reason::SubjectMismatch));
                }
                Some(gate) if gate.is_disabled() => return Err(refuse(Reason::SubjectDisabled)),
                Some(_) => {}
            }
            let Some(sid) = sid else { return Ok(()) };
            let row = seen.row(sid).ok_or_else(|| refuse(Reason::SessionUnknown))?;
            if row.subject != subject || row.tenant != tenant {
                return Err(refuse(Reason::SubjectMismatch));
            }
            if let Some(ending) = row.life.ending() {
                return Err(refuse(Reason::SessionEnded).about(format!("cause {}", ending.cause)));
            }
            match row.grant(gid).map(|grant| grant.life.ending()) {
                Some(Some(ending)) => {
                    Err(refuse(Reason::GrantEnded).about(format!("cause {}", ending.cause)))
                }
                None => Err(refuse(Reason::GrantUnknown)),
                Some(None) => Ok(()),
            }
        };
        let decide = move |context: &Context<'_>, seen: &Seen, _: &mut Entropy| {
            let verdict = match judge(context, seen) {
                Ok(()) => Verdict::Granted(()),
                Err(refusal) => Verdict::Refused(refusal),
            };
            Decision::of(context.partition, verdict)
        };
        Ok((ask, decide))
    }

    /// What a guard would say of an authentic access token; nothing is committed, as nothing is promised.
    pub(crate) async fn judge_by_marks(&self, token: &Authentic, stage: Stage) -> Answer<()> {
        let loaded = self.fresh_directory().await?;
        let (ask, decide) = self.judging(&loaded, token, stage)?;
        match self.consider(ask, decide).await? {
            Verdict::Refused(refusal) => Err(refusal),
            Verdict::Granted(()) | Verdict::NotBefore(_) | Verdict::NeedsRow(_) => Ok(()),
        }
    }
}

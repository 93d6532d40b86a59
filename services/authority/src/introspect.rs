//! Introspects a token (RFC 7662).
//!
//! **Invariant:** an authority answers only while its own tail of that partition is younger than X
//! (G1 on the introspect rung); an inactive token is told with nothing else.

use curfew_core::claims::JsonClaims;
use curfew_core::decide::{Context, Verdict, mint};
use curfew_core::ids::{GrantId, SessionId, SubjectId, SubjectKey, TenantId};
use curfew_core::mac::Entropy;
use curfew_core::refusal::{Class, Reason, Refusal, Stage};
use curfew_core::session::Ending;
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
        let judging = self.judging(&loaded, &authentic, stage)?;
        self.transact(judging.ask(), |context, seen, _| judging.decide(context, seen))
            .await?;
        Ok(authentic.jws.claims().clone())
    }

    fn judging<'t>(&self, loaded: &Loaded, token: &'t Authentic, stage: Stage) -> Answer<Judging<'t>> {
        let refuse = |reason| Refusal::new(stage, reason);
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
        let claims = JsonClaims::own(token.jws.claims(), token.kid())
            .map_err(|error| refuse(Reason::ClaimMalformed).about(error.to_string()))?;
        let state = self.follower.of(gid.partition());
        Ok(Judging {
            stage,
            tenant,
            gid,
            sid: token.text("sid").and_then(|sid| sid.parse().ok()),
            key: loaded.ring.subject_key(tenant, &subject)?,
            subject,
            claims,
            is_frozen: state.is_some_and(|state| state.frozen.is_some()),
        })
    }

    /// What a guard would say of an authentic access token; nothing is committed, as nothing is promised.
    pub(crate) async fn judge_by_marks(&self, token: &Authentic, stage: Stage) -> Answer<()> {
        let loaded = self.fresh_directory().await?;
        let judging = self.judging(&loaded, token, stage)?;
        let decide = |context: &Context<'_>, seen: &Seen, _: &mut Entropy| judging.decide(context, seen);
        match self.consider(judging.ask(), decide).await? {
            Verdict::Refused(refusal) => Err(refusal),
            Verdict::Granted(()) | Verdict::NotBefore(_) | Verdict::NeedsRow(_) => Ok(()),
        }
    }
}

/// An authentic access token, about to be judged by row, gate, directory and index.
struct Judging<'t> {
    stage: Stage,
    tenant: TenantId,
    gid: GrantId,
    sid: Option<SessionId>,
    key: SubjectKey,
    subject: SubjectId,
    claims: JsonClaims<'t>,
    is_frozen: bool,
}

impl Judging<'_> {
    fn ask(&self) -> Ask {
        let mut keys = vec![Key::Gate(self.key)];
        keys.extend(self.sid.map(Key::Session));
        Ask {
            tenant: self.tenant.into(),
            partition: self.gid.partition(),
            keys,
            stage: self.stage,
        }
    }

    fn decide(&self, context: &Context<'_>, seen: &Seen) -> Decision<Verdict<()>> {
        let verdict = match self.judge(context, seen) {
            Ok(()) => Verdict::Granted(()),
            Err(refusal) => Verdict::Refused(refusal),
        };
        Decision::of(context.partition, verdict)
    }

    fn judge(&self, context: &Context<'_>, seen: &Seen) -> Answer<()> {
        let refuse = |reason| Refusal::new(self.stage, reason);
        let ended = |reason, ending: &Ending| refuse(reason).about(format!("cause {}", ending.cause));
        match (context.tail_is_fresh, self.is_frozen) {
            (true, _) => {}
            (false, true) => return Err(refuse(Reason::FreshnessFrozen)),
            (false, false) => return Err(refuse(Reason::FreshnessStale)),
        }
        let gate = seen.gate(self.key);
        if let Some((by, _)) = mint::coverage(context, gate.as_deref(), &self.claims, self.stage)? {
            return Err(refuse(Reason::TokenRevoked).by(by));
        }
        let gate = gate.ok_or_else(|| refuse(Reason::SubjectUnknown))?;
        if gate.subject != self.subject || gate.tenant != self.tenant {
            return Err(refuse(Reason::SubjectMismatch));
        }
        if gate.is_disabled() {
            return Err(refuse(Reason::SubjectDisabled));
        }
        let Some(sid) = self.sid else { return Ok(()) };
        let row = seen.row(sid).ok_or_else(|| refuse(Reason::SessionUnknown))?;
        if row.subject != self.subject || row.tenant != self.tenant {
            return Err(refuse(Reason::SubjectMismatch));
        }
        if let Some(ending) = row.life.ending() {
            return Err(ended(Reason::SessionEnded, ending));
        }
        let grant = row.grant(self.gid).ok_or_else(|| refuse(Reason::GrantUnknown))?;
        match grant.life.ending() {
            Some(ending) => Err(ended(Reason::GrantEnded, ending)),
            None => Ok(()),
        }
    }
}

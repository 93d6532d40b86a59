//! Introspects a token (RFC 7662).
//!
//! **Invariant:** an authority answers only while its own tail of that partition is younger than X
//! (G1 on the introspect rung); an inactive token is told with nothing else.

use curfew_core::claims::JsonClaims;
use curfew_core::ids::{GrantId, SessionId, SubjectId, TenantId};
use curfew_core::place::Partition;
use curfew_core::refusal::{Reason, Refusal, RevokedBy, Stage};
use curfew_core::stored::Key;
use curfew_core::subject::Gate;
use serde_json::{Map, Value};

use crate::answer::{Answer, store_unavailable};
use crate::node::Authority;
use crate::seen::Seen;
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
            Err(refusal) if matches!(refusal.reason.class(), curfew_core::refusal::Class::Retry) => {
                Err(refusal)
            }
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
        self.judge_by_marks(&authentic, stage).await?;
        Ok(authentic.jws.claims().clone())
    }

    /// Judges an authentic access token by row, gate, directory and index.
    pub(crate) async fn judge_by_marks(&self, token: &Authentic, stage: Stage) -> Answer<()> {
        let refuse = |reason| Refusal::new(stage, reason);
        let tenant = token.tenant.id;
        let missing = |claim: &str| refuse(Reason::ClaimMissing).about(claim.to_owned());
        let gid: GrantId = token
            .text("gid")
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| missing("gid"))?;
        let partition: Partition = gid.partition();
        let state = self.follower.of(partition);
        if !state
            .as_ref()
            .is_some_and(|state| state.is_fresh(self.now(), self.config.staleness_ms))
        {
            return Err(refuse(Reason::FreshnessStale));
        }
        let subject: SubjectId = token
            .text("oid")
            .and_then(|oid| SubjectId::new(oid).ok())
            .ok_or_else(|| missing("oid"))?;
        let loaded = self.fresh_directory().await?;
        let key = loaded.ring.subject_key(tenant, &subject)?;
        let sid: Option<SessionId> = token.text("sid").and_then(|sid| sid.parse().ok());
        let mut keys = vec![Key::Gate(key)];
        keys.extend(sid.map(Key::Session));
        let view = self
            .parts
            .store
            .read(partition, &keys)
            .await
            .map_err(store_unavailable)?;
        let seen = Seen::new(&keys, view);
        let gate = seen.gate(key);
        let claims = JsonClaims::own(token.jws.claims(), Some(&token.kid))
            .map_err(|error| refuse(Reason::ClaimMalformed).about(error.to_string()))?;
        let malformed =
            |error: curfew_core::claims::Malformed| refuse(Reason::ClaimMalformed).about(error.to_string());
        let issuer = tenant.own_issuer();
        let gate_index = gate.as_deref().map(Gate::index).unwrap_or_default();
        let by_gate = gate_index.covered(tenant, issuer, &claims).map_err(malformed)?;
        let by_directory = loaded
            .view
            .wide_index
            .covered(tenant, issuer, &claims)
            .map_err(malformed)?;
        let by_log = match &state {
            Some(state) => state.index.covered(tenant, issuer, &claims).map_err(malformed)?,
            None => None,
        };
        if let Some(covering) = by_gate.or(by_directory).or(by_log) {
            return Err(refuse(Reason::TokenRevoked).by(RevokedBy::of(covering.winner)));
        }
        match gate {
            None => return Err(refuse(Reason::SubjectUnknown)),
            Some(gate) if gate.is_disabled() => return Err(refuse(Reason::SubjectDisabled)),
            Some(_) => {}
        }
        let Some(sid) = sid else { return Ok(()) };
        let row = seen.row(sid).ok_or_else(|| refuse(Reason::SessionUnknown))?;
        if let Some(ending) = row.life.ending() {
            return Err(refuse(Reason::SessionEnded).about(format!("cause {}", ending.cause)));
        }
        match row.grant(gid).map(|grant| grant.life.ending()) {
            Some(Some(ending)) => Err(refuse(Reason::GrantEnded).about(format!("cause {}", ending.cause))),
            None => Err(refuse(Reason::GrantUnknown)),
            Some(None) => Ok(()),
        }
    }
}

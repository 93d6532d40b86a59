//! Refreshes: the hot path. One read (row, gate, partition record, tombstone, sequence), one commit,
//! one signature (two with `openid`), one durable write; a replay writes nothing.

use std::sync::Arc;

use curfew_core::access_token::{TYP_ACCESS, TYP_ID};
use curfew_core::decide::{Verdict, refresh};
use curfew_core::directory::Activity;
use curfew_core::ids::{ClientId, Scope, TenantId};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::session::KeyBinding;
use curfew_core::stored::Decision;

use crate::answer::{Answer, Published};
use crate::client_auth::{Claimant, ClientProof};
use crate::node::Authority;
use crate::transact::Ask;

/// What is asked.
#[derive(Clone)]
pub struct RefreshRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The presented token.
    pub token: String,
    /// The client.
    pub client: ClientId,
    /// How it proves itself.
    pub proof: ClientProof,
    /// The key that it proved to hold.
    pub key: Option<KeyBinding>,
    /// The resource, by id or audience.
    pub resource: Option<Arc<str>>,
    /// Narrows this access token.
    pub scopes: Vec<Scope>,
    /// User activity or background.
    pub activity: Option<Activity>,
}

impl std::fmt::Debug for RefreshRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshRequest")
            .field("tenant", &self.tenant)
            .field("client", &self.client)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// Refreshed tokens, signed.
#[derive(Clone)]
pub struct RefreshedTokens {
    /// The access token.
    pub access_token: String,
    /// The ID token.
    pub id_token: Option<String>,
    /// The successor.
    pub refresh_token: String,
    /// What was decided.
    pub refreshed: refresh::Refreshed,
    /// What was published; nothing, on success.
    pub published: Vec<Published>,
}

impl std::fmt::Debug for RefreshedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshedTokens")
            .field("outcome", &self.refreshed.outcome)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Refreshes. It needs no operation id: a retry converges on the same successor.
    pub async fn refresh_tokens(&self, request: RefreshRequest) -> Answer<RefreshedTokens> {
        let answer = self.refresh(request).await;
        self.metrics.refreshed(&answer);
        answer
    }

    async fn refresh(&self, request: RefreshRequest) -> Answer<RefreshedTokens> {
        let tenant = request.tenant;
        let stage = Stage::SilentRenewal;
        let loaded = self.fresh_directory().await?;
        loaded.ring.can_sign()?;
        // A forged tag costs no store access, and so does a wrong secret.
        let token = loaded
            .ring
            .read_refresh_token(&request.token, tenant)?
            .map_err(|reason| Refusal::new(stage, reason))?;
        let claimant = Claimant::new(tenant, request.client, request.proof, request.key, stage);
        let proven = claimant.prove(&loaded.view, self.wall())?;
        let sid = token.sid;
        let subject_key = token.subject_key;
        let keys = refresh::keys(&token).into();
        let mut asked = refresh::Request {
            token,
            client: proven,
            resource: request.resource,
            scopes: request.scopes,
            activity: request.activity,
        };
        let ask = Ask {
            tenant: tenant.into(),
            partition: sid.partition(),
            keys,
            stage,
        };
        let done = self
            .transact(ask, |context, seen, entropy| {
                match claimant.prove(context.directory, context.now) {
                    Ok(proven) => asked.client = proven,
                    Err(refusal) => return Decision::of(context.partition, Verdict::Refused(refusal)),
                }
                let (row, gate, tombstone) = (seen.row(sid), seen.gate(subject_key), seen.tombstone(sid));
                let read = refresh::Read {
                    row: row.as_deref(),
                    gate: gate.as_deref(),
                    tombstone: tombstone.as_ref(),
                };
                refresh::refresh(context, read, &asked, entropy)
            })
            .await
            .inspect_err(|refusal| alarm(refusal, tenant))?;
        let ring = &done.loaded.ring;
        let refreshed = done.value;
        if refreshed.outcome == refresh::Outcome::Healed {
            tracing::warn!(%tenant, sid = %sid, "a grant was healed after a failover");
        }
        let refresh_token = refreshed
            .refresh
            .encode(ring.tags()?, tenant)
            .ok_or_else(|| Refusal::new(stage, Reason::KeyUnavailable))?;
        Ok(RefreshedTokens {
            access_token: ring.sign(TYP_ACCESS, &refreshed.access.to_json())?,
            id_token: refreshed
                .id
                .as_ref()
                .map(|id| ring.sign(TYP_ID, &id.to_json()))
                .transpose()?,
            refresh_token,
            refreshed,
            published: done.published,
        })
    }
}

/// What must wake somebody up.
fn alarm(refusal: &Refusal, tenant: TenantId) {
    if refusal.reason == Reason::RefreshImpossible {
        let what = refusal.detail.as_deref().unwrap_or_default();
        tracing::error!(%tenant, what, "impossible refresh token: forged key or undetected loss");
    }
}

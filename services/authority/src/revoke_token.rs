//! Revokes a token that its client brings (RFC 7009).
//!
//! **Invariant:** a wrong client's attempt has no side effect; an unknown token is no error.

use curfew_core::decide::Motive;
use curfew_core::decide::end::Ended;
use curfew_core::decide::revoke::{self, Cut};
use curfew_core::ids::{ClientId, RecordId, TenantId, TokenId};
use curfew_core::record::Criterion;
use curfew_core::refresh_token::{PREFIX, RefreshToken};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::session::KeyBinding;

use crate::answer::{Answer, Published};
use crate::client_auth::{Claimant, ClientProof};
use crate::node::Authority;

/// What revoking did; `record` is `None` where nothing of this client's was there to revoke.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    /// The record.
    pub record: Option<RecordId>,
    /// What was published.
    pub published: Vec<Published>,
}

impl Authority {
    /// Revokes a refresh token (its grant, hence its access tokens) or one access token.
    pub async fn revoke_token(
        &self,
        tenant: TenantId,
        client: &ClientId,
        proof: &ClientProof,
        key: Option<KeyBinding>,
        token: &str,
        motive: &Motive,
    ) -> Answer<Revoked> {
        let stage = Stage::Request;
        let loaded = self.fresh_directory().await?;
        let claimant = Claimant::new(tenant, client.clone(), proof.clone(), key, stage);
        claimant.prove(&loaded.view, self.wall())?;
        if token.starts_with(PREFIX) {
            let Ok(token) = loaded.ring.read_refresh_token(token, tenant)? else {
                return Ok(Revoked::default());
            };
            return self.revoke_refresh_token(tenant, client, &token, motive).await;
        }
        // RFC 7009 section 2.2: an invalid token is no error, whatever made it so.
        let Ok(authentic) = self.read_own(&loaded, token, stage) else {
            return Ok(Revoked::default());
        };
        let is_own = authentic.tenant.id == tenant && authentic.is_access;
        let is_alive = authentic.judge_time(self.wall(), stage).is_ok();
        let jti = authentic.text("jti").and_then(|jti| jti.parse::<TokenId>().ok());
        let Some(jti) = jti.filter(|_| is_own && is_alive) else {
            return Ok(Revoked::default());
        };
        if authentic.text("client_id") != Some(client.as_str()) {
            return Err(Refusal::new(stage, Reason::ClientMismatch));
        }
        let asked = revoke::Request {
            issuer: tenant.own_issuer(),
            all_of: vec![Criterion::new("jti", jti.to_string())],
            cut: Cut::Plain,
            add_clock_error: false,
            scope: "token",
            motive: motive.clone(),
        };
        let answer = self.revoke_in_log(tenant, jti, &asked).await?;
        Ok(Revoked {
            record: answer.record,
            published: answer.published,
        })
    }

    async fn revoke_refresh_token(
        &self,
        tenant: TenantId,
        client: &ClientId,
        token: &RefreshToken,
        motive: &Motive,
    ) -> Answer<Revoked> {
        let row = match self.row(tenant, token.sid).await {
            Ok(row) => row,
            Err(refusal) if refusal.reason == Reason::SessionUnknown => return Ok(Revoked::default()),
            // Not to know is no success: the client would drop a token that lives on.
            Err(refusal) => return Err(refusal),
        };
        let Some(grant) = row.grant_by_low(token.grant) else {
            return Ok(Revoked::default());
        };
        if !grant.salt(token.generation).matches(&token.salt) {
            return Ok(Revoked::default());
        }
        if grant.client != *client {
            return Err(Refusal::new(Stage::Request, Reason::ClientMismatch));
        }
        let answer = self.end_grant(tenant, token.sid, grant.gid, motive).await?;
        let record = match answer.ended {
            Ended::Now(record) => Some(record),
            Ended::Before(_) | Ended::Expired => None,
        };
        Ok(Revoked {
            record,
            published: answer.published,
        })
    }
}

//! Explains a token: what kind it is, whether it is alive, and where and why it would be refused.
//!
//! **Invariant:** explaining changes nothing: no generation is spent, nothing is revoked.

use std::sync::Arc;

use curfew_core::decide::mint::ProvenClient;
use curfew_core::decide::{Verdict, refresh};
use curfew_core::directory::DirectoryView;
use curfew_core::ids::{ClientId, TenantId};
use curfew_core::refresh_token::PREFIX;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::session::Grant;
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::node::Authority;
use crate::transact::Ask;

/// What kind of token it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// Delegated: a client acts for a user.
    Access,
    /// App-only.
    App,
    /// Exchanged.
    Exchanged,
    /// An ID token.
    Id,
    /// A refresh token.
    Refresh,
    /// None that this tenant issued.
    Unknown,
}

/// What is to be said of a token.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Its kind.
    pub kind: TokenKind,
    /// Its signature or tag is right.
    pub is_authentic: bool,
    /// Why it would be refused; `None`: it is alive.
    pub refused: Option<Refusal>,
    /// Its header.
    pub header: Map<String, Value>,
    /// Its claims.
    pub claims: Map<String, Value>,
    /// Its session.
    pub session: Option<String>,
    /// Its grant.
    pub grant: Option<String>,
}

impl Explanation {
    fn refused(kind: TokenKind, is_authentic: bool, refusal: Refusal) -> Self {
        Self {
            kind,
            is_authentic,
            refused: Some(refusal),
            header: Map::new(),
            claims: Map::new(),
            session: None,
            grant: None,
        }
    }
}

impl Authority {
    /// Explains a token, as if it had been sent to `sent_to` (an audience), if one is named.
    pub async fn explain(&self, tenant: TenantId, token: &str, sent_to: Option<&str>) -> Answer<Explanation> {
        if token.starts_with(PREFIX) {
            return self.explain_refresh_token(tenant, token, sent_to).await;
        }
        let stage = Stage::ResourceCall;
        let refuse = |reason| Refusal::new(stage, reason);
        let loaded = self.fresh_directory().await?;
        let authentic = match self.read_own(&loaded, token, stage) {
            Ok(authentic) => authentic,
            Err(refusal) => return Ok(Explanation::refused(TokenKind::Unknown, false, refusal)),
        };
        if authentic.tenant.id != tenant {
            return Ok(Explanation::refused(
                TokenKind::Unknown,
                false,
                refuse(Reason::IssuerUnknown),
            ));
        }
        let claims = authentic.jws.claims();
        let kind = match (
            authentic.is_access,
            authentic.text("sid"),
            claims.contains_key("chain"),
        ) {
            (false, _, _) => TokenKind::Id,
            (true, _, true) => TokenKind::Exchanged,
            (true, Some(_), false) => TokenKind::Access,
            (true, None, false) => TokenKind::App,
        };
        let audience = authentic.text("aud");
        let wrong_audience = sent_to.filter(|sent_to| audience != Some(sent_to));
        // In the order of a guard's checks: kind, audience, time, marks.
        let refused = if kind == TokenKind::Id {
            (sent_to.is_some()).then(|| refuse(Reason::TokenIsIdToken))
        } else if let Some(sent_to) = wrong_audience {
            Some(refuse(Reason::AudienceWrong).about(format!("sent to {sent_to}")))
        } else if let Err(refusal) = authentic.judge_time(self.wall(), stage) {
            Some(refusal)
        } else {
            match self.judge_by_marks(&authentic, stage).await {
                Ok(()) => None,
                Err(refusal) if matches!(refusal.reason.class(), curfew_core::refusal::Class::Retry) => {
                    return Err(refusal);
                }
                Err(refusal) => Some(refusal),
            }
        };
        Ok(Explanation {
            kind,
            is_authentic: true,
            refused,
            header: authentic.jws.header().clone(),
            session: authentic.text("sid").map(str::to_owned),
            grant: authentic.text("gid").map(str::to_owned),
            claims: claims.clone(),
        })
    }

    async fn explain_refresh_token(
        &self,
        tenant: TenantId,
        token: &str,
        sent_to: Option<&str>,
    ) -> Answer<Explanation> {
        let stage = Stage::SilentRenewal;
        let refuse = |reason| Refusal::new(stage, reason);
        let loaded = self.fresh_directory().await?;
        let token = match loaded.ring.read_refresh_token(token, tenant)? {
            Ok(token) => token,
            Err(reason) => return Ok(Explanation::refused(TokenKind::Refresh, false, refuse(reason))),
        };
        let mut explanation = Explanation::refused(TokenKind::Refresh, true, refuse(Reason::SessionUnknown));
        explanation.session = Some(token.sid.to_string());
        if sent_to.is_some() {
            explanation.refused = Some(Refusal::new(Stage::ResourceCall, Reason::TokenIsRefreshToken));
            return Ok(explanation);
        }
        // The refresh itself, decided as for its own client that proves all it must, and never committed: no
        // second account of the rules can disagree with them.
        let (sid, key, low) = (token.sid, token.subject_key, token.grant);
        let ask = Ask {
            tenant: tenant.into(),
            partition: sid.partition(),
            keys: refresh::keys(&token).into(),
            stage,
        };
        let mut grant_id = None;
        let verdict = self
            .consider(ask, |context, seen, entropy| {
                let (row, gate, tombstone) = (seen.row(sid), seen.gate(key), seen.tombstone(sid));
                let grant = row.as_deref().and_then(|row| row.grant_by_low(low));
                grant_id = grant.map(|grant| grant.gid);
                let client = grant.and_then(|grant| context.directory.client(tenant, &grant.client));
                let request = refresh::Request {
                    token: token.clone(),
                    client: ProvenClient {
                        id: grant.map_or_else(nobody, |grant| grant.client.clone()),
                        is_authenticated: client.is_some_and(|client| client.is_confidential()),
                        key: grant.and_then(|grant| grant.binding.clone()),
                    },
                    resource: grant.and_then(|grant| a_resource_of(context.directory, tenant, grant)),
                    scopes: Vec::new(),
                    activity: None,
                };
                let read = refresh::Read {
                    row: row.as_deref(),
                    gate: gate.as_deref(),
                    tombstone: tombstone.as_ref(),
                };
                refresh::refresh(context, read, &request, entropy)
            })
            .await?;
        explanation.grant = grant_id.map(|gid| gid.to_string());
        explanation.refused = match verdict {
            Verdict::Granted(_) => None,
            // Nothing was revoked by explaining, so there is no record to name.
            Verdict::Refused(refusal) if refusal.reason == Reason::RefreshReused => {
                Some(refuse(Reason::RefreshReused).about("presenting it would revoke the grant"))
            }
            Verdict::Refused(refusal) => Some(refusal),
            Verdict::NotBefore(instant) => Some(refuse(Reason::CutoffPending).until(instant)),
            Verdict::NeedsRow(_) => Some(refuse(Reason::Conflict)),
        };
        Ok(explanation)
    }
}

/// A resource that the grant's client may name: which one does not matter to whether the grant is alive.
fn a_resource_of(directory: &DirectoryView, tenant: TenantId, grant: &Grant) -> Option<Arc<str>> {
    let client = directory.client(tenant, &grant.client);
    let named = grant.resources.first();
    let named = named.or_else(|| client.and_then(|client| client.resources.first()));
    let of_tenant = || {
        directory
            .resources
            .keys()
            .find(|(of, _)| *of == tenant)
            .map(|(_, id)| id)
    };
    named.or_else(of_tenant).map(|id| id.as_str().into())
}

#[expect(clippy::expect_used, reason = "a constant, valid text")]
fn nobody() -> ClientId {
    ClientId::new("nobody").expect("a constant is valid")
}

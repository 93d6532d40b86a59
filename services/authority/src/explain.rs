//! Explains a token: what kind it is, whether it is alive, and where and why it would be refused.
//!
//! **Invariant:** explaining changes nothing: no generation is spent, nothing is revoked.

use curfew_core::ids::TenantId;
use curfew_core::refresh_token::{PREFIX, RefreshToken};
use curfew_core::refusal::{Reason, Refusal, Stage};
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::node::Authority;

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
        let token = match RefreshToken::decode(token, loaded.ring.tags()?, tenant) {
            Ok(token) => token,
            Err(reason) => return Ok(Explanation::refused(TokenKind::Refresh, false, refuse(reason))),
        };
        let mut explanation = Explanation::refused(TokenKind::Refresh, true, refuse(Reason::SessionUnknown));
        explanation.session = Some(token.sid.to_string());
        if sent_to.is_some() {
            explanation.refused = Some(Refusal::new(Stage::ResourceCall, Reason::TokenIsRefreshToken));
            return Ok(explanation);
        }
        let view = match self.get_session(tenant, token.sid).await {
            Ok(view) => view,
            Err(refusal) if refusal.reason == Reason::SessionUnknown => return Ok(explanation),
            Err(refusal) => return Err(refusal),
        };
        let grant = view.row.grant_by_low(token.grant);
        explanation.grant = grant.map(|grant| grant.gid.to_string());
        let of_grant = match grant {
            None => Some(refuse(Reason::GrantUnknown)),
            Some(grant) if !grant.salt(token.generation).matches(&token.salt) => {
                Some(refuse(Reason::RefreshImpossible).about("salt"))
            }
            Some(grant) => match grant.life.ending() {
                Some(ending) => Some(refuse(Reason::GrantEnded).about(format!("cause {}", ending.cause))),
                None if token.generation < grant.generation && grant.presented != Some(token.generation) => {
                    Some(refuse(Reason::RefreshReused).about("presenting it would revoke the grant"))
                }
                None => None,
            },
        };
        explanation.refused = view.over.or(of_grant);
        Ok(explanation)
    }
}

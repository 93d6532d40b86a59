//! Issues a grant and its first tokens to a client inside a session.

use std::sync::Arc;

use curfew_core::access_token::{TYP_ACCESS, TYP_ID};
use curfew_core::decide::{Verdict, issue};
use curfew_core::ids::{ClientId, GrantId, RecordId, Scope, SessionId, TenantId};
use curfew_core::record::OperationRef;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::session::KeyBinding;
use curfew_core::stored::{Decision, Key};
use curfew_core::time::Millis;

use crate::answer::{Answer, Published};
use crate::client_auth::{Claimant, ClientProof};
use crate::node::Authority;
use crate::operation::Remembered;
use crate::transact::Ask;

/// What is asked.
#[derive(Clone, Debug)]
pub struct IssueRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The session.
    pub sid: SessionId,
    /// The client.
    pub client: ClientId,
    /// How it proves itself.
    pub proof: ClientProof,
    /// The key that it proved to hold; the grant is bound to it.
    pub key: Option<KeyBinding>,
    /// The resource, by id or audience.
    pub resource: Option<Arc<str>>,
    /// The consented scopes.
    pub scopes: Vec<Scope>,
    /// `nonce`.
    pub nonce: Option<Arc<str>>,
    /// When the authorization was given; `None`: now.
    pub authorized_at: Option<Millis>,
    /// The client says that it handles claims challenges.
    pub cp1: bool,
    /// The caller's operation.
    pub operation: OperationRef,
}

/// Issued tokens, signed.
#[derive(Clone)]
pub struct IssuedTokens {
    /// The access token.
    pub access_token: String,
    /// The ID token.
    pub id_token: Option<String>,
    /// The refresh token.
    pub refresh_token: String,
    /// What was decided.
    pub issued: issue::Issued,
    /// What was published.
    pub published: Vec<Published>,
}

impl std::fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedTokens")
            .field("gid", &self.issued.access.gid)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Issues tokens. A retry with the same operation makes tokens of the same grant again.
    pub async fn issue_tokens(&self, request: IssueRequest) -> Answer<IssuedTokens> {
        let tenant = request.tenant;
        let stage = Stage::Issuance;
        let loaded = self.fresh_directory().await?;
        loaded.ring.can_sign()?;
        let claimant = Claimant::new(tenant, request.client, request.proof, request.key, stage);
        let proven = claimant.prove(&loaded.view, self.wall())?;
        let subject_key = self.subject_key_of(tenant, request.sid).await?;
        let operation = Some(request.operation);
        let mut asked = issue::Request {
            sid: request.sid,
            subject_key,
            client: proven,
            resource: request.resource,
            scopes: request.scopes,
            nonce: request.nonce,
            authorized_at: request.authorized_at,
            cp1: request.cp1,
            operation,
        };
        let sid = request.sid;
        let keys = vec![
            Key::Session(sid),
            Key::Gate(subject_key),
            Key::Operation(tenant, request.operation.id),
        ];
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
                let mut replay: Option<(GrantId, Option<(GrantId, RecordId)>)> = None;
                let known = seen.recall(tenant, operation, |remembered| {
                    if let Remembered::Grant { gid, ended } = remembered {
                        replay = Some((gid, ended));
                        Some(())
                    } else {
                        None
                    }
                });
                if let (Some(Verdict::Refused(refusal)), None) = (known, replay) {
                    return Decision::of(context.partition, Verdict::Refused(refusal));
                }
                let (row, gate) = (seen.row(sid), seen.gate(subject_key));
                let again = replay.map(|(gid, _)| gid);
                issue::issue(
                    context,
                    row.as_deref(),
                    gate.as_deref(),
                    &asked,
                    again,
                    entropy,
                    |issued| {
                        Remembered::Grant {
                            gid: issued.access.gid,
                            ended: issued.ended,
                        }
                        .to_bytes()
                    },
                )
            })
            .await?;
        let ring = &done.loaded.ring;
        let issued = done.value;
        let refresh_token = issued
            .refresh
            .encode(ring.tags()?, tenant)
            .ok_or_else(|| Refusal::new(stage, Reason::KeyUnavailable))?;
        Ok(IssuedTokens {
            access_token: ring.sign(TYP_ACCESS, &issued.access.to_json())?,
            id_token: issued
                .id
                .as_ref()
                .map(|id| ring.sign(TYP_ID, &id.to_json()))
                .transpose()?,
            refresh_token,
            issued,
            published: done.published,
        })
    }
}

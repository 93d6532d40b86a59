//! Issues an app-only token to a client, or to a caller of Curfew's own services.

use std::sync::Arc;

use curfew_core::access_token::{AccessToken, TYP_ACCESS};
use curfew_core::decide::{Verdict, app_token};
use curfew_core::ids::{ClientId, Scope, SubjectId, TenantId};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::session::KeyBinding;
use curfew_core::stored::{Decision, Key};

use crate::answer::Answer;
use crate::client_auth::{Claimant, ClientProof};
use crate::node::Authority;
use crate::transact::Ask;

/// What is asked.
#[derive(Clone, Debug)]
pub struct AppTokenRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The client.
    pub client: ClientId,
    /// How it proves itself.
    pub proof: ClientProof,
    /// The key that it proved to hold.
    pub key: Option<KeyBinding>,
    /// The resource, by id or audience.
    pub resource: Option<Arc<str>>,
    /// The roles; empty: all that it holds there.
    pub roles: Vec<Scope>,
}

/// An app-only token, signed.
#[derive(Clone)]
pub struct AppToken {
    /// The token.
    pub access_token: String,
    /// Its claims.
    pub access: AccessToken,
}

impl std::fmt::Debug for AppToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppToken")
            .field("jti", &self.access.jti)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Issues an app-only token.
    pub async fn issue_app_token(&self, request: AppTokenRequest) -> Answer<AppToken> {
        let tenant = request.tenant;
        let stage = Stage::Issuance;
        let loaded = self.fresh_directory().await?;
        loaded.ring.can_sign()?;
        let claimant = Claimant::new(tenant, request.client.clone(), request.proof, request.key, stage);
        let proven = claimant.prove(&loaded.view, self.wall())?;
        let subject = SubjectId::new(request.client.as_str())
            .map_err(|_| Refusal::new(stage, Reason::ClientUnknown))?;
        let subject_key = loaded.ring.subject_key(tenant, &subject)?;
        let mut asked = app_token::Request {
            client: proven,
            subject,
            subject_key,
            resource: request.resource,
            roles: request.roles,
        };
        let ask = Ask {
            tenant: tenant.into(),
            partition: subject_key.partition(),
            keys: vec![Key::Gate(subject_key)],
            stage,
        };
        let done = self
            .transact(ask, |context, seen, entropy| {
                match claimant.prove(context.directory, context.now) {
                    Ok(proven) => asked.client = proven,
                    Err(refusal) => return Decision::of(context.partition, Verdict::Refused(refusal)),
                }
                app_token::app_token(context, seen.gate(subject_key).as_deref(), &asked, entropy)
            })
            .await?;
        let access_token = done.loaded.ring.sign(TYP_ACCESS, &done.value.to_json())?;
        Ok(AppToken {
            access_token,
            access: done.value,
        })
    }
}

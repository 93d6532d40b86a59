//! TokenService: issues, renews, revokes and explains tokens.

mod ask;
mod encode;
mod inspect;
mod paced;

use std::sync::Arc;

use curfew_authority::{AppTokenRequest, ClientProof, IssueRequest, RefreshRequest};
use curfew_core::decide::Motive;
use curfew_core::decide::refresh::Outcome;
use curfew_core::directory::Activity;
use curfew_core::ids::ClientId;
use curfew_core::record::Initiator;
use curfew_core::refusal::{Reason, Stage};
use curfew_core::time::DELTA_MS;
use curfew_proto::token::v1 as pb;
use curfew_proto::token::v1::token_service_server::TokenService;
use tonic::{Request, Response, Status};

use ask::{key, origin, presented, proof};

use crate::caller::Caller;
use crate::check::{Asked, Check, LIST_MAX, TEXT_MAX};
use crate::convert::{stage_number, timestamp};
use crate::name;
use crate::published::Told;
use crate::shared::{Call, Shared};
use crate::status::Of;

/// The scope that gives a refresh token (OpenID Connect Core section 11).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(pub(crate) Arc<Shared>);

type Answered<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn issue_tokens(
        &self,
        request: Request<pb::IssueTokensRequest>,
    ) -> Answered<pb::IssueTokensResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "session", &request.session)?;
        let operation = check.operation(&request.request_id, "IssueTokens", &request);
        let sid = place.session(&mut check, "session", &request.session);
        let client: Option<ClientId> = place.id(&mut check, "client", &request.client, "clients");
        let proof = proof(&mut check, request.client_authentication.as_ref());
        let key = key(&mut check, request.key_proof.as_ref());
        let resource = place.resource(&mut check, "resource", &request.resource);
        check.unsupported("grant_resources", !request.grant_resources.is_empty());
        let scopes = check.scopes("scopes", &request.scopes);
        let nonce = check.text("nonce", &request.nonce, TEXT_MAX);
        let authorized_at = check.instant("authorize_time", request.authorize_time);
        check.unsupported("claims_challenge", !request.claims_challenge.is_empty());
        let capabilities = check.texts("capabilities", &request.capabilities, LIST_MAX, TEXT_MAX);
        origin(
            &mut check,
            &request.client_ip,
            &request.user_agent,
            &request.correlation_id,
        );
        check.unsupported("code", !request.code.is_empty());
        check.unsupported("grant_lifetime", request.grant_lifetime.is_some());
        if let Some(at) = authorized_at.flatten() {
            check.passed("authorize_time", at, call.authority().now().wall, DELTA_MS);
        }
        let parsed = (|| {
            let tenant = place.tenant()?;
            let request = IssueRequest {
                tenant: tenant.id,
                sid: sid?,
                client: client?,
                proof: proof?,
                key: key?,
                resource: resource?,
                scopes,
                nonce,
                authorized_at: authorized_at?,
                cp1: capabilities.iter().any(|capability| &**capability == "cp1"),
                operation: operation?,
            };
            Some((tenant, request))
        })();
        let (tenant, asked) = call.done(check, parsed)?;
        let (sid, client) = (asked.sid, asked.client.clone());
        let tried = paced::begin(
            &call,
            asked.tenant,
            &asked.client,
            &asked.proof,
            &request.client_ip,
        )?;
        let issued = call.authority().issue_tokens(asked).await;
        paced::judged(&call, tried.as_ref(), &issued);
        let issued = issued.map_err(call.refuse(Of::Request))?;
        let ended_grant = match issued.issued.ended {
            None => None,
            Some((gid, record)) => {
                let view = call.authority().get_session(tenant.id, sid).await.ok();
                let grant = view.as_ref().and_then(|view| view.row.grant(gid));
                let told = Told::narrow(&tenant, record, &issued.published, Some(sid.partition()));
                Some(pb::EndedGrant {
                    grant: name::grant(&tenant.name, sid, gid),
                    client: name::of(
                        &tenant.name,
                        "clients",
                        grant.map_or(&client, |grant| &grant.client),
                    ),
                    last_used_time: grant.map(|grant| timestamp(grant.last_used)),
                    acknowledgement: Some(told.acknowledge(&call, Asked::Durable).await),
                })
            }
        };
        Ok(Response::new(pb::IssueTokensResponse {
            tokens: Some(encode::issued(&call, &tenant, &issued)),
            ended_grant,
            stage: stage_number(Stage::Issuance),
            decision_id: String::new(),
        }))
    }

    async fn refresh_tokens(
        &self,
        request: Request<pb::RefreshTokensRequest>,
    ) -> Answered<pb::RefreshTokensResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "client", &request.client)?;
        let client: Option<ClientId> = place.id(&mut check, "client", &request.client, "clients");
        let token = presented(&mut check, "refresh_token", &request.refresh_token);
        let proof = proof(&mut check, request.client_authentication.as_ref());
        let key = key(&mut check, request.key_proof.as_ref());
        let resource = place.resource(&mut check, "resource", &request.resource);
        let scopes = check.scopes("scopes", &request.scopes);
        check.unsupported("claims_challenge", !request.claims_challenge.is_empty());
        origin(
            &mut check,
            &request.client_ip,
            &request.user_agent,
            &request.correlation_id,
        );
        let activity = match pb::Activity::try_from(request.activity) {
            Ok(pb::Activity::Unspecified) => None,
            Ok(pb::Activity::User) => Some(Activity::User),
            Ok(pb::Activity::Background) => Some(Activity::Background),
            Err(_) => {
                check.fault("activity", "no such value");
                None
            }
        };
        let parsed = (|| {
            let tenant = place.tenant()?;
            let request = RefreshRequest {
                tenant: tenant.id,
                token: token?,
                client: client?,
                proof: proof?,
                key: key?,
                resource: resource?,
                scopes,
                activity,
            };
            Some((tenant, request))
        })();
        let (tenant, asked) = call.done(check, parsed)?;
        let tried = paced::begin(
            &call,
            asked.tenant,
            &asked.client,
            &asked.proof,
            &request.client_ip,
        )?;
        let refreshed = call.authority().refresh_tokens(asked).await;
        paced::judged(&call, tried.as_ref(), &refreshed);
        let refreshed = refreshed.map_err(call.refuse(Of::Request))?;
        let cause = match refreshed.refreshed.outcome {
            Outcome::Rotated => pb::RefreshCause::Rotated,
            Outcome::Replayed => pb::RefreshCause::Replayed,
            Outcome::Superseded => pb::RefreshCause::Superseded,
            Outcome::Healed => pb::RefreshCause::Healed,
            Outcome::Fixed => pb::RefreshCause::Fixed,
        };
        Ok(Response::new(pb::RefreshTokensResponse {
            tokens: Some(encode::refreshed(&call, &tenant, &refreshed)),
            cause: cause.into(),
            stage: stage_number(Stage::SilentRenewal),
            decision_id: String::new(),
        }))
    }

    async fn issue_app_token(
        &self,
        request: Request<pb::IssueAppTokenRequest>,
    ) -> Answered<pb::IssueAppTokenResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = own_place(&call, &mut check, &request.client)?;
        let client: Option<ClientId> = place.id(&mut check, "client", &request.client, "clients");
        let asked_proof = proof(&mut check, request.client_authentication.as_ref());
        let key = key(&mut check, request.key_proof.as_ref());
        let resource = place.resource(&mut check, "resource", &request.resource);
        if request.resource.is_empty() {
            check.fault("resource", "required");
        }
        let roles = check.scopes("roles", &request.roles);
        check.unsupported("claims_challenge", !request.claims_challenge.is_empty());
        origin(&mut check, &request.client_ip, "", &request.correlation_id);
        // The use case keeps no operations: a repeat gets another token with the same roles.
        check.operation(&request.request_id, "IssueAppToken", &request);
        if let (Caller::Secret { identity, .. }, Some(client)) = (&call.caller, &client)
            && identity.id.as_str() != client.as_str()
        {
            return Err(call.because(
                Of::Request,
                Reason::CallerRole,
                "an id and secret are good for the caller's own token",
            ));
        }
        let proof = match &call.caller {
            Caller::Secret { secret, .. } => Some(ClientProof::Secret(secret.clone())),
            Caller::Token(_) | Caller::RootKey => asked_proof,
        };
        let parsed = (|| {
            let tenant = place.tenant()?;
            let request = AppTokenRequest {
                tenant: tenant.id,
                client: client?,
                proof: proof?,
                key: key?,
                resource: resource?,
                roles,
            };
            Some((tenant, request))
        })();
        let (tenant, asked) = call.done(check, parsed)?;
        let tried = paced::begin(
            &call,
            asked.tenant,
            &asked.client,
            &asked.proof,
            &request.client_ip,
        )?;
        let token = call.authority().issue_app_token(asked).await;
        paced::judged(&call, tried.as_ref(), &token);
        let token = token.map_err(call.refuse(Of::Request))?;
        Ok(Response::new(pb::IssueAppTokenResponse {
            tokens: Some(encode::app(&call, &tenant, &token)),
            stage: stage_number(Stage::Issuance),
            decision_id: String::new(),
        }))
    }

    async fn exchange_token(
        &self,
        request: Request<pb::ExchangeTokenRequest>,
    ) -> Answered<pb::ExchangeTokenResponse> {
        let (call, _) = self.0.open(request)?;
        Err(call.later("ExchangeToken"))
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Answered<pb::RevokeTokenResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let place = call.place(&mut check, "client", &request.client)?;
        let operation = check.operation(&request.request_id, "RevokeToken", &request);
        let client: Option<ClientId> = place.id(&mut check, "client", &request.client, "clients");
        let proof = proof(&mut check, request.client_authentication.as_ref());
        let token = presented(&mut check, "token", &request.token);
        check.text("token_type_hint", &request.token_type_hint, TEXT_MAX);
        let level = check.level("ack_level", request.ack_level);
        let correlation_id = check.correlation(&request.correlation_id);
        let parsed = place.tenant().zip(client).zip(proof.zip(token)).zip(level);
        let (((tenant, client), (proof, token)), level) = call.done(check, parsed)?;
        let motive = Motive {
            cause: curfew_core::decide::cause::token_revoked(),
            initiator: Initiator::User,
            operation,
            correlation_id,
        };
        let tried = paced::begin(&call, tenant.id, &client, &proof, "")?;
        let revoked = call
            .authority()
            .revoke_token(tenant.id, &client, &proof, None, &token, &motive)
            .await;
        paced::judged(&call, tried.as_ref(), &revoked);
        let revoked = match revoked {
            Ok(revoked) => revoked,
            // Another client's token is no error and no news (RFC 7009 section 2.2).
            Err(refusal) if refusal.reason == Reason::ClientMismatch => Default::default(),
            Err(refusal) => return Err(call.refused(Of::Request, &refusal)),
        };
        let Some(record) = revoked.record else {
            return Ok(Response::new(pb::RevokeTokenResponse::default()));
        };
        let told = Told::narrow(&tenant, record, &revoked.published, None);
        Ok(Response::new(pb::RevokeTokenResponse {
            kind: inspect::kind_of_text(&token).into(),
            acknowledgement: Some(told.acknowledge(&call, level).await),
        }))
    }

    async fn introspect_token(
        &self,
        request: Request<pb::IntrospectTokenRequest>,
    ) -> Answered<pb::IntrospectTokenResponse> {
        let (call, request) = self.0.open(request)?;
        inspect::introspect(&call, request).await.map(Response::new)
    }

    async fn explain_token(
        &self,
        request: Request<pb::ExplainTokenRequest>,
    ) -> Answered<pb::ExplainTokenResponse> {
        let (call, request) = self.0.open(request)?;
        inspect::explain(&call, request).await.map(Response::new)
    }

    async fn get_key_set(&self, request: Request<pb::GetKeySetRequest>) -> Answered<pb::GetKeySetResponse> {
        let (call, request) = self.0.open(request)?;
        inspect::key_set(&call, &request).map(Response::new)
    }
}

/// The tenant of the client; for a caller with its secret, Curfew's own alone.
fn own_place(call: &Call, check: &mut Check, client: &str) -> Result<crate::shared::Place, Status> {
    match &call.caller {
        Caller::Token(_) => call.place(check, "client", client),
        Caller::Secret { .. } | Caller::RootKey => {
            let named = name::tenant_of(client);
            let tenants = &call.loaded.view.tenants;
            let system = tenants.values().find(|tenant| tenant.is_system);
            match system.filter(|system| named.as_deref() == Some(system.name.as_str())) {
                Some(system) => Ok(crate::shared::Place::at(system.clone())),
                None => Err(call.because(
                    Of::Request,
                    Reason::CallerTenant,
                    "an id and secret are good in Curfew's own tenant",
                )),
            }
        }
    }
}

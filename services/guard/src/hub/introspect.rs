//! Asking an authority over gRPC (`IntrospectToken`).

use std::sync::Arc;

use async_trait::async_trait;
use curfew_proto::token::v1::IntrospectTokenRequest;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use super::BearerToken;
use crate::stale::{Introspect, NoAnswer, Question};

/// Asks `TokenService.IntrospectToken`. The issuer entry must tell its `tenant_name`.
#[derive(Clone, Debug)]
pub struct GrpcIntrospect {
    channel: Channel,
    bearer: Option<Arc<dyn BearerToken>>,
}

impl GrpcIntrospect {
    /// Over this channel.
    #[must_use]
    pub const fn new(channel: Channel) -> Self {
        Self {
            channel,
            bearer: None,
        }
    }

    /// With a token for the authority.
    #[must_use]
    pub fn bearer(mut self, bearer: Arc<dyn BearerToken>) -> Self {
        self.bearer = Some(bearer);
        self
    }
}

#[async_trait]
impl Introspect for GrpcIntrospect {
    async fn is_active(&self, question: Question<'_>) -> Result<bool, NoAnswer> {
        let tenant = question
            .tenant_name
            .ok_or_else(|| NoAnswer::new("the issuer entry has no `tenant_name`"))?;
        let mut request = Request::new(IntrospectTokenRequest {
            parent: format!("tenants/{}", tenant.trim_start_matches("tenants/")),
            token: question.token.to_owned(),
            token_type_hint: "access_token".to_owned(),
            audience: String::new(),
        });
        if let Some(bearer) = &self.bearer {
            let value = AsciiMetadataValue::try_from(format!("Bearer {}", bearer.token().await?));
            let mut value = value.map_err(|_| NoAnswer::new("the bearer token is not ASCII"))?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        crate::trace::carry(&mut request);
        let answer = TokenServiceClient::new(self.channel.clone())
            .introspect_token(request)
            .await;
        Ok(answer
            .map_err(|status| NoAnswer::new(status.to_string()))?
            .into_inner()
            .active)
    }
}

//! Talking to a node as its operator: gRPC with one credential in the metadata.

use curfew_proto::token::v1 as token;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::cli::Failure;

/// The channel of the commands and of the demo.
pub(crate) type Calls = tonic::service::interceptor::InterceptedService<Channel, Credential>;

/// What is sent in `authorization`.
#[derive(Clone)]
pub(crate) struct Credential(MetadataValue<Ascii>);

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(..)")
    }
}

impl Credential {
    /// An app-only token of a caller.
    pub(crate) fn bearer(token: &str) -> Result<Self, Failure> {
        Self::of(format!("Bearer {token}"))
    }

    /// Id and secret of a caller: good for fetching a token.
    pub(crate) fn basic(id: &str, secret: &str) -> Result<Self, Failure> {
        use base64::Engine as _;
        Self::of(format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"))
        ))
    }

    /// Proof that the root key is held.
    pub(crate) fn root(proof: [u8; 16]) -> Result<Self, Failure> {
        Self::of(format!("Curfew-Root {:032x}", u128::from_be_bytes(proof)))
    }

    fn of(text: String) -> Result<Self, Failure> {
        let mut value: MetadataValue<Ascii> = text.parse()?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A channel to a node on this machine.
pub(crate) async fn connect(address: &str) -> Result<Channel, Failure> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?;
    let endpoint = endpoint
        .tcp_nodelay(true)
        .connect_timeout(std::time::Duration::from_secs(5));
    Ok(endpoint
        .connect()
        .await
        .map_err(|error| format!("no node answers at {address}: {error}"))?)
}

/// A caller's app-only token, for its id and secret.
pub(crate) async fn token_of(address: &str, caller: &str, secret: &str) -> Result<Credential, Failure> {
    let channel = connect(address).await?;
    let mut tokens = TokenServiceClient::with_interceptor(channel, Credential::basic(caller, secret)?);
    let request = token::IssueAppTokenRequest {
        client: format!("tenants/curfew/clients/{caller}"),
        resource: "tenants/curfew/resources/curfew".to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    let answer = tokens
        .issue_app_token(request)
        .await
        .map_err(|status| status.message().to_owned())?;
    Credential::bearer(&answer.into_inner().tokens.unwrap_or_default().access_token)
}

/// A new request id.
pub(crate) fn request_id() -> String {
    #[expect(clippy::disallowed_methods, reason = "the binary is where chance comes from")]
    let id = uuid::Uuid::new_v4();
    id.to_string()
}

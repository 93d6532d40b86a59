//! Talking to a node as its operator: gRPC with one credential in the metadata.

pub(crate) mod address;
pub(crate) mod connection;

use std::time::Duration;

use curfew_proto::token::v1 as token;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::cli::Failure;
use crate::commands::exit::Exit;
use crate::commands::fault::Fault;
use address::Address;

/// The channel of the commands and of the demo.
pub(crate) type Calls = tonic::service::interceptor::InterceptedService<Channel, Credential>;

/// How long a node may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A node that says nothing for so long is asked whether it is there; a stream may be quiet for hours.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What is sent in `authorization`.
#[derive(Clone)]
pub(crate) struct Credential(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(..)")
    }
}

impl Credential {
    /// None: the connection's certificate says who asks.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

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
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A channel whose calls carry a credential.
pub(crate) fn with(channel: Channel, credential: Credential) -> Calls {
    Calls::new(channel, credential)
}

/// A channel to a node.
pub(crate) async fn dial(
    address: &Address,
    tls: Option<ClientTlsConfig>,
    timeout: Option<Duration>,
) -> Result<Channel, Failure> {
    let mut endpoint = Endpoint::from(address.uri().clone())
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    if let Some(timeout) = timeout {
        endpoint = endpoint.timeout(timeout);
    }
    if let Some(tls) = tls {
        endpoint = endpoint
            .tls_config(tls)
            .map_err(|error| Fault::usage("the files for TLS are of no use").because(error))?;
    }
    let connected = endpoint.connect().await;
    Ok(connected.map_err(|error| {
        Fault::new(Exit::TryAgain, format!("no node answers at {address}"))
            .because(error)
            .fix("start one with `curfew serve`, or say where it is with `--address` or `--data`")
    })?)
}

/// A channel to a node on this machine.
pub(crate) async fn connect(address: &str) -> Result<Channel, Failure> {
    dial(&Address::parse(address, false)?, None, None).await
}

/// A caller's app-only token, for its id and secret, from a node on this machine.
pub(crate) async fn token_of(address: &str, caller: &str, secret: &str) -> Result<Credential, Failure> {
    token_on(connect(address).await?, caller, secret).await
}

/// A caller's app-only token, for its id and secret.
pub(crate) async fn token_on(channel: Channel, caller: &str, secret: &str) -> Result<Credential, Failure> {
    Credential::bearer(&fetch_token(channel, caller, secret).await?)
}

/// The token itself.
pub(crate) async fn fetch_token(channel: Channel, caller: &str, secret: &str) -> Result<String, Failure> {
    let mut tokens = TokenServiceClient::with_interceptor(channel, Credential::basic(caller, secret)?);
    let request = token::IssueAppTokenRequest {
        client: format!("tenants/curfew/clients/{caller}"),
        resource: "tenants/curfew/resources/curfew".to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    let answer = tokens.issue_app_token(request).await?.into_inner();
    Ok(answer.tokens.unwrap_or_default().access_token)
}

/// A new request id.
pub(crate) fn request_id() -> String {
    #[expect(clippy::disallowed_methods, reason = "the binary is where chance comes from")]
    let id = uuid::Uuid::new_v4();
    id.to_string()
}

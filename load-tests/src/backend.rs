//! A back end that calls a node: sessions, tokens and revocations over a few HTTP/2 connections.
//!
//! **Invariant:** a token or secret is in no message and in no `Debug`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use curfew_proto::revocation::v1 as revocation;
use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;
use curfew_proto::revocation::v1::watch_revocations_response::Frame;
use curfew_proto::session::v1 as session;
use curfew_proto::session::v1::session_service_client::SessionServiceClient;
use curfew_proto::token::v1 as token;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::failure::Failure;
use crate::sessions::Session;

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How often the caller's own token is fetched again: far below the shortest life of one.
const TOKEN_AGAIN: Duration = Duration::from_secs(60);

/// Whom the back end speaks for, and with what.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The caller's id and secret.
    pub(crate) caller: String,
    pub(crate) secret: String,
    /// The tenant, the client and the resource, by their ids.
    pub(crate) tenant: String,
    pub(crate) client: String,
    pub(crate) resource: String,
    /// A scope of the resource.
    pub(crate) scope: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({} in {}, ..)", self.caller, self.tenant)
    }
}

/// First tokens of a session.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) access_token: String,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({:?}, ..)", self.session)
    }
}

/// A back end. Clones share its connections and its token.
#[derive(Clone)]
pub(crate) struct Backend(Arc<Inner>);

struct Inner {
    channels: Vec<Channel>,
    next: AtomicUsize,
    bearer: ArcSwap<MetadataValue<Ascii>>,
    parent: String,
    client: String,
    resource: String,
    scopes: Vec<String>,
    identity: Identity,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backend({:?}, ..)", self.0.identity)
    }
}

impl Backend {
    /// Connects to each of some nodes that share their state, and fetches the caller's token.
    pub(crate) async fn connect(
        addresses: &[String],
        identity: Identity,
        channels: usize,
    ) -> Result<Self, Failure> {
        let mut made = Vec::new();
        for _ in 0..channels.max(1) {
            // In turns, so that two requests in a row go to two nodes.
            for address in addresses {
                made.push(channel(address).await?);
            }
        }
        let first = made.first().cloned().ok_or("no connection was made")?;
        let bearer = fetch_token(first, &identity).await?;
        let parent = format!("tenants/{}", identity.tenant);
        Ok(Self(Arc::new(Inner {
            channels: made,
            next: AtomicUsize::new(0),
            bearer: ArcSwap::from_pointee(bearer),
            client: format!("{parent}/clients/{}", identity.client),
            resource: format!("{parent}/resources/{}", identity.resource),
            scopes: vec!["offline_access".to_owned(), identity.scope.clone()],
            parent,
            identity,
        })))
    }

    /// Keeps the caller's token fresh, for as long as it is polled.
    pub(crate) async fn keep_fresh(self) {
        loop {
            tokio::time::sleep(TOKEN_AGAIN).await;
            if let Ok(bearer) = fetch_token(self.channel(), &self.0.identity).await {
                self.0.bearer.store(Arc::new(bearer));
            }
        }
    }

    /// The tenant, by name.
    pub(crate) fn parent(&self) -> &str {
        &self.0.parent
    }

    /// The client, by name.
    pub(crate) fn client(&self) -> &str {
        &self.0.client
    }

    /// The resource, by name.
    pub(crate) fn resource(&self) -> &str {
        &self.0.resource
    }

    /// What a grant is asked for.
    pub(crate) fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The connections take turns.
    pub(crate) fn channel(&self) -> Channel {
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed) % self.0.channels.len();
        // There is at least one, and the turn is below their number.
        self.0.channels.get(turn).cloned().unwrap_or_else(lazy)
    }

    pub(crate) fn authorized<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = MetadataValue::clone(&self.0.bearer.load());
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    /// Opens a session of a subject and issues its first tokens.
    pub(crate) async fn open(&self, subject: &str) -> Result<Opened, String> {
        let request = session::CreateSessionRequest {
            parent: self.0.parent.clone(),
            session: Some(session::Session {
                subject: format!("{}/subjects/{subject}", self.0.parent),
                amr: vec!["pwd".to_owned()],
                ..Default::default()
            }),
            request_id: request_id(),
            correlation_id: String::new(),
        };
        let mut sessions = SessionServiceClient::new(self.channel());
        let made = sessions.create_session(self.authorized(request)).await;
        let name = made
            .map_err(|status| reason(&status))?
            .into_inner()
            .session
            .unwrap_or_default()
            .name;
        let request = token::IssueTokensRequest {
            session: name.clone(),
            client: self.0.client.clone(),
            resource: self.0.resource.clone(),
            scopes: self.0.scopes.clone(),
            request_id: request_id(),
            ..Default::default()
        };
        let mut tokens = TokenServiceClient::new(self.channel());
        let issued = tokens.issue_tokens(self.authorized(request)).await;
        let issued = issued
            .map_err(|status| reason(&status))?
            .into_inner()
            .tokens
            .unwrap_or_default();
        Ok(Opened {
            session: Session {
                name: name.into(),
                refresh_token: issued.refresh_token,
            },
            access_token: issued.access_token,
        })
    }

    /// Refreshes; the successor.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<String, String> {
        let request = token::RefreshTokensRequest {
            refresh_token: refresh_token.to_owned(),
            client: self.0.client.clone(),
            ..Default::default()
        };
        let mut tokens = TokenServiceClient::new(self.channel());
        let answer = tokens.refresh_tokens(self.authorized(request)).await;
        let answer = answer.map_err(|status| reason(&status))?.into_inner();
        let successor = answer.tokens.unwrap_or_default().refresh_token;
        if successor.is_empty() {
            return Err("an answer without a refresh token".to_owned());
        }
        Ok(successor)
    }

    /// Ends a session; answered when the revocation is durable.
    pub(crate) async fn end(&self, name: &str) -> Result<(), String> {
        self.end_at(name).await.map(drop)
    }

    /// The same; where the record lies, by partition and offset.
    pub(crate) async fn end_at(&self, name: &str) -> Result<Vec<(u32, u64)>, String> {
        let request = session::EndSessionRequest {
            name: name.to_owned(),
            cause: "signed_out".to_owned(),
            initiator: curfew_proto::log::v1::Initiator::User.into(),
            request_id: request_id(),
            ..Default::default()
        };
        let mut sessions = SessionServiceClient::new(self.channel());
        let ended = sessions.end_session(self.authorized(request)).await;
        let ended = ended.map_err(|status| reason(&status))?.into_inner();
        let positions = ended.acknowledgement.unwrap_or_default().positions;
        Ok(positions
            .into_iter()
            .map(|position| (position.partition, position.offset))
            .collect())
    }

    /// Follows revocations until the stream ends; why it did.
    pub(crate) async fn watch(
        &self,
        request: revocation::WatchRevocationsRequest,
        mut take: impl FnMut(Frame),
    ) -> String {
        let mut client = RevocationServiceClient::new(self.channel());
        let mut frames = match client.watch_revocations(self.authorized(request)).await {
            Ok(frames) => frames.into_inner(),
            Err(status) => return reason(&status),
        };
        loop {
            match frames.message().await {
                Ok(Some(response)) => response.frame.into_iter().for_each(&mut take),
                Ok(None) => return "the node closed it".to_owned(),
                Err(status) => return reason(&status),
            }
        }
    }

    /// The tenant's public keys, as a JSON Web Key Set.
    pub(crate) async fn key_set(&self) -> Result<Vec<u8>, Failure> {
        let request = token::GetKeySetRequest {
            parent: self.0.parent.clone(),
        };
        let mut tokens = TokenServiceClient::new(self.channel());
        let answer = tokens.get_key_set(self.authorized(request)).await?.into_inner();
        let keys: Vec<_> = answer.keys.into_iter().map(json_of_struct).collect();
        Ok(serde_json::to_vec(&serde_json::json!({ "keys": keys }))?)
    }
}

/// Why the target said no: the reason of the catalogue, or the status code.
pub(crate) fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .filter(|reason| !reason.is_empty())
        .unwrap_or_else(|| format!("{:?}", status.code()))
}

fn endpoint(address: &str) -> Result<Endpoint, Failure> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIME_MAX))
}

async fn channel(address: &str) -> Result<Channel, Failure> {
    endpoint(address)?
        .connect()
        .await
        .map_err(|error| format!("no node answers at {address}: {error}").into())
}

/// A channel that leads nowhere: what is asked of it fails, by name.
fn lazy() -> Channel {
    Endpoint::from_static("http://127.0.0.1:1").connect_lazy()
}

/// A caller's own app-only token, for its id and secret.
async fn fetch_token(channel: Channel, identity: &Identity) -> Result<MetadataValue<Ascii>, Failure> {
    let pair = format!("{}:{}", identity.caller, identity.secret);
    let basic = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut request = Request::new(token::IssueAppTokenRequest {
        client: format!("tenants/curfew/clients/{}", identity.caller),
        resource: "tenants/curfew/resources/curfew".to_owned(),
        request_id: request_id(),
        ..Default::default()
    });
    let mut value: MetadataValue<_> = format!("Basic {basic}").parse()?;
    value.set_sensitive(true);
    request.metadata_mut().insert("authorization", value);
    let answer = TokenServiceClient::new(channel).issue_app_token(request).await;
    let answer =
        answer.map_err(|status| format!("no token for caller {}: {}", identity.caller, reason(&status)))?;
    let token = answer.into_inner().tokens.unwrap_or_default().access_token;
    // Not marked sensitive: as most clients do, HPACK may remember it, and a call costs one byte for it.
    Ok(format!("Bearer {token}").parse()?)
}

/// A version 4 UUID: chance is only there to tell two requests apart.
pub(crate) fn request_id() -> String {
    let bytes = fastrand::u128(..).to_be_bytes();
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

fn json_of_struct(fields: prost_types::Struct) -> serde_json::Value {
    let fields = fields.fields.into_iter();
    fields.map(|(name, value)| (name, json_of(value))).collect()
}

fn json_of(value: prost_types::Value) -> serde_json::Value {
    use prost_types::value::Kind;
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::StructValue(fields)) => json_of_struct(fields),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json_of).collect(),
    }
}

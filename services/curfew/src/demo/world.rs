//! Everybody in the story: the node, its admin, the back end, two guarded APIs, the refused.

use std::sync::Arc;
use std::time::Duration;

use curfew_core::ids::TenantId;
use curfew_guard::{CallerToken, Config, ForeignIssuer, JwksSource, OwnIssuer};
use curfew_proto::admin::v1 as admin;
use curfew_proto::revocation::v1 as revocation;
use curfew_proto::session::v1 as session;
use curfew_proto::token::v1 as token;
use tonic::transport::Channel;

use crate::api::Api;
use crate::apply;
use crate::bootstrap::first_admin;
use crate::cli::Failure;
use crate::client::{Calls, Credential, connect, request_id, token_of};
use crate::config;
use crate::demo::foreign::Provider;
use crate::node::{Node, Start};
use crate::seeds::Seeds;

/// What is seeded: the form that `curfew apply` reads.
const SEEDS: &str = r#"
[[tenant]]
name = "acme"

[[tenant.resource]]
id = "orders"
audience = "https://orders.acme.example"
scopes = ["orders.read"]
guarded = true

[[tenant.resource]]
id = "files"
audience = "https://files.acme.example"
scopes = ["files.read"]
guarded = true

[[tenant.client]]
id = "web"
auth = "secret"
cp1 = true

[[caller]]
id = "backend"
roles = ["sessions.write", "sessions.read", "tokens.issue", "revocations.write"]
tenants = ["acme"]

[[caller]]
id = "guards"
roles = ["revocations.read"]
tenants = ["*"]
"#;

/// The tenant's resource name.
pub(crate) const TENANT: &str = "tenants/acme";
/// The audience of the first API.
pub(crate) const ORDERS: &str = "https://orders.acme.example";

/// A call that was refused, to be explained at the end.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) what: &'static str,
    pub(crate) token: String,
    pub(crate) sent_to: &'static str,
}

/// Issued tokens, as the client holds them.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) id_token: String,
    pub(crate) refresh_token: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) audience: String,
}

/// Everybody.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) provider: Provider,
    pub(crate) sessions: session::session_service_client::SessionServiceClient<Calls>,
    pub(crate) tokens: token::token_service_client::TokenServiceClient<Calls>,
    pub(crate) revocations: revocation::revocation_service_client::RevocationServiceClient<Calls>,
    pub(crate) refused: std::sync::Mutex<Vec<Refused>>,
    channel: Channel,
    web_secret: String,
    http: reqwest::Client,
    apis: Vec<Api>,
    operator: Credential,
    admin: Option<Credential>,
    /// The foreign issuer's resource name.
    pub(crate) provider_name: String,
}

/// The last part of a resource name, shortened for people.
pub(crate) fn short(name: &str) -> String {
    name.rsplit('/')
        .next()
        .unwrap_or_default()
        .chars()
        .take(13)
        .collect()
}

impl World {
    /// A node on an empty directory.
    pub(crate) async fn start(config: config::Config) -> Result<Self, Failure> {
        let root_key = config.root_key.clone();
        let node = Node::start(config, Start::default()).await?;
        let channel = connect(&node.grpc.to_string()).await?;
        let operator = Credential::root(root_key.key()?.proof())?;
        let calls =
            || tonic::service::interceptor::InterceptedService::new(channel.clone(), operator.clone());
        Ok(Self {
            provider: Provider::new()?,
            sessions: session::session_service_client::SessionServiceClient::new(calls()),
            tokens: token::token_service_client::TokenServiceClient::new(calls()),
            revocations: revocation::revocation_service_client::RevocationServiceClient::new(calls()),
            refused: std::sync::Mutex::default(),
            web_secret: String::new(),
            http: reqwest::Client::builder()
                .tcp_nodelay(true)
                .timeout(Duration::from_secs(10))
                .build()?,
            apis: Vec::new(),
            node,
            channel,
            operator,
            admin: None,
            provider_name: String::new(),
        })
    }

    /// Seeds the directory, becomes the back end, and starts the APIs.
    pub(crate) async fn seed(&mut self) -> Result<(), Failure> {
        let address = self.node.grpc.to_string();
        let seeds: Seeds = toml::from_str(SEEDS)?;
        let (admin, secret) = first_admin(&address, self.operator.clone()).await?;
        let secret = secret.ok_or("a new node has an administrator already")?;
        self.admin = Some(token_of(&address, &admin, &secret).await?);
        let applied = apply::apply(&seeds, &address, self.as_admin()?).await?;
        let secret = |name: &str| -> Result<String, Failure> {
            let found = applied
                .iter()
                .find(|applied| applied.name == name)
                .and_then(|applied| applied.secret.clone());
            found.ok_or_else(|| format!("no secret was told for {name}").into())
        };
        self.web_secret = secret("tenants/acme/clients/web")?;
        let entry = self.register_provider().await?;
        let backend = token_of(&address, "backend", &secret("callers/backend")?).await?;
        let calls = tonic::service::interceptor::InterceptedService::new(self.channel.clone(), backend);
        self.sessions = session::session_service_client::SessionServiceClient::new(calls.clone());
        self.tokens = token::token_service_client::TokenServiceClient::new(calls.clone());
        self.revocations = revocation::revocation_service_client::RevocationServiceClient::new(calls);
        let guards = secret("callers/guards")?;
        let tenant = self.tenant_uid().await?;
        for (name, audience, scope) in [
            ("orders", ORDERS, "orders.read"),
            ("files", "https://files.acme.example", "files.read"),
        ] {
            let config = self.guard_config(tenant, entry.parse()?, audience);
            self.apis.push(
                Api::start(
                    config,
                    name,
                    scope,
                    &address,
                    Arc::new(CallerToken::new(self.channel.clone(), "guards", &guards)),
                )
                .await?,
            );
        }
        let ready = async {
            while !self.apis.iter().all(|api| api.guard.is_ready()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ready)
            .await
            .map_err(|_| "the guards did not get ready")?;
        Ok(())
    }

    fn guard_config(&self, tenant: TenantId, entry: curfew_core::ids::IssuerId, audience: &str) -> Config {
        let base = format!("http://{}/acme", self.node.http);
        let keys = JwksSource::Url(format!("http://{}/.well-known/jwks.json", self.node.http));
        let mut config = Config::new([audience]);
        config.bound_ms = self.node.staleness_ms;
        config.own = vec![OwnIssuer {
            authorization_uri: Some(format!("{base}/authorize")),
            tenant_name: Some("acme".to_owned()),
            ..OwnIssuer::new(tenant, base, keys)
        }];
        config.foreign = vec![ForeignIssuer {
            tenant,
            entry,
            spellings: vec![self.provider.issuer().to_owned()],
            keys: JwksSource::Static(self.provider.key_set().into()),
            audiences: vec![audience.to_owned()],
            longest_life_ms: 3_600_000,
            clock_error_ms: 0,
            carries: ["sub".to_owned(), "scp".to_owned()].into(),
            client_ids: Default::default(),
            authorization_uri: None,
            tenant_name: Some("acme".to_owned()),
        }];
        config
    }

    async fn register_provider(&mut self) -> Result<String, Failure> {
        let issuer = admin::Issuer {
            display_name: "The provider of before".to_owned(),
            spellings: vec![self.provider.issuer().to_owned()],
            longest_life: Some(prost_types::Duration {
                seconds: 3_600,
                nanos: 0,
            }),
            claims: vec!["sub".to_owned(), "scp".to_owned()],
            audiences: vec![ORDERS.to_owned()],
            jwks: String::from_utf8(self.provider.key_set())?,
            ..Default::default()
        };
        let mut issuers = admin::issuer_service_client::IssuerServiceClient::with_interceptor(
            self.channel.clone(),
            self.as_admin()?,
        );
        let request = admin::CreateIssuerRequest {
            parent: TENANT.to_owned(),
            issuer_id: request_id(),
            issuer: Some(issuer),
            request_id: request_id(),
            correlation_id: String::new(),
        };
        let made = issuers
            .create_issuer(request)
            .await?
            .into_inner()
            .issuer
            .unwrap_or_default();
        self.provider_name = made.name;
        Ok(made.uid)
    }

    async fn tenant_uid(&self) -> Result<TenantId, Failure> {
        let mut tenants = admin::tenant_service_client::TenantServiceClient::with_interceptor(
            self.channel.clone(),
            self.as_admin()?,
        );
        let request = admin::GetTenantRequest {
            name: TENANT.to_owned(),
        };
        let tenant = tenants
            .get_tenant(request)
            .await?
            .into_inner()
            .tenant
            .unwrap_or_default();
        Ok(tenant.uid.parse()?)
    }

    fn as_admin(&self) -> Result<Credential, Failure> {
        self.admin
            .clone()
            .ok_or_else(|| "there is no administrator yet".into())
    }

    /// Signs a subject in; the session's name.
    pub(crate) async fn sign_in(&mut self, subject: &str) -> Result<String, Failure> {
        let request = session::CreateSessionRequest {
            parent: TENANT.to_owned(),
            session: Some(session::Session {
                subject: format!("{TENANT}/subjects/{subject}"),
                amr: vec!["pwd".to_owned()],
                idp: "https://idp.acme.example".to_owned(),
                ..Default::default()
            }),
            request_id: request_id(),
            correlation_id: String::new(),
        };
        Ok(self
            .sessions
            .create_session(request)
            .await?
            .into_inner()
            .session
            .unwrap_or_default()
            .name)
    }

    /// The web client's first tokens in a session.
    pub(crate) async fn issue(&mut self, session: &str) -> Result<Tokens, Failure> {
        let request = token::IssueTokensRequest {
            session: session.to_owned(),
            client: format!("{TENANT}/clients/web"),
            client_authentication: Some(client_secret(&self.web_secret)),
            resource: format!("{TENANT}/resources/orders"),
            scopes: ["openid", "offline_access", "orders.read"]
                .map(str::to_owned)
                .to_vec(),
            capabilities: vec!["cp1".to_owned()],
            request_id: request_id(),
            ..Default::default()
        };
        Ok(tokens_of(
            self.tokens.issue_tokens(request).await?.into_inner().tokens,
        ))
    }

    /// A refresh by the web client.
    pub(crate) async fn refresh(
        &self,
        refresh_token: &str,
    ) -> Result<(Tokens, token::RefreshCause), tonic::Status> {
        let request = token::RefreshTokensRequest {
            refresh_token: refresh_token.to_owned(),
            client: format!("{TENANT}/clients/web"),
            client_authentication: Some(client_secret(&self.web_secret)),
            ..Default::default()
        };
        let answer = self.tokens.clone().refresh_tokens(request).await?.into_inner();
        let cause = answer.cause();
        Ok((tokens_of(answer.tokens), cause))
    }

    /// Calls the orders API with a token: the status, and what came with it.
    pub(crate) async fn call_orders(&self, token: &str) -> Result<(u16, String), Failure> {
        let Some(api) = self.apis.first() else {
            return Err("no API is running".into());
        };
        let answer = self
            .http
            .get(format!("http://{}/", api.address))
            .bearer_auth(token)
            .send()
            .await?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await?))
    }

    /// Whether the orders API still takes a token; asked in a tight loop.
    pub(crate) async fn is_refused(&self, token: &str) -> Result<bool, Failure> {
        Ok(self.call_orders(token).await?.0 == 401)
    }

    /// Waits until the orders API refuses a token.
    pub(crate) async fn until_refused(&self, token: &str) -> Result<(), Failure> {
        let refused = async {
            while !self.is_refused(token).await? {}
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(10), refused)
            .await
            .map_err(|_| "the API never refused the token")?
    }

    /// Notes a refused call, to be explained at the end.
    pub(crate) fn note(&self, what: &'static str, token: &str, sent_to: &'static str) {
        if let Ok(mut refused) = self.refused.lock() {
            refused.push(Refused {
                what,
                token: token.to_owned(),
                sent_to,
            });
        }
    }

    pub(crate) async fn stop(self) {
        drop(self.apis);
        self.node.stop().await;
    }
}

fn client_secret(secret: &str) -> token::ClientAuthentication {
    token::ClientAuthentication {
        method: Some(token::client_authentication::Method::ClientSecret(
            secret.to_owned(),
        )),
    }
}

fn tokens_of(set: Option<token::TokenSet>) -> Tokens {
    let set = set.unwrap_or_default();
    Tokens {
        access_token: set.access_token,
        id_token: set.id_token,
        refresh_token: set.refresh_token,
        scopes: set.scopes,
        audience: set.audience,
    }
}

/// The reason that a gRPC answer names (`google.rpc.ErrorInfo`).
pub(crate) fn reason_of(status: &tonic::Status) -> String {
    use tonic_types::StatusExt as _;
    status
        .get_details_error_info()
        .map_or_else(|| status.message().to_owned(), |info| info.reason)
}

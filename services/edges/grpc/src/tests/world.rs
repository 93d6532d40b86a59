//! One server on port 0, its authority on the fakes, seeded through its own services.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curfew_authority::{Authority, Config, Parts};
use curfew_core::place::LogIdentity;
use curfew_core::time::Millis;
use curfew_keys::{RootKey, SealingVault};
use curfew_ports::testing::{FakeLog, FakeStore};
use curfew_proto::admin::v1 as admin;
use curfew_proto::admin::v1::caller_service_client::CallerServiceClient;
use curfew_proto::admin::v1::client_service_client::ClientServiceClient;
use curfew_proto::admin::v1::resource_service_client::ResourceServiceClient;
use curfew_proto::admin::v1::tenant_service_client::TenantServiceClient;
use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;
use curfew_proto::session::v1 as session;
use curfew_proto::session::v1::session_service_client::SessionServiceClient;
use curfew_proto::token::v1 as token;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use curfew_testkit::{ManualClock, SeededEntropy};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::{Edge, ServeError, Settings};

pub(super) const ROOT: [u8; 16] = [0xab; 16];
pub(super) const TENANT: &str = "tenants/acme";

/// A server, and who may call it.
pub(super) struct World {
    pub(super) authority: Authority,
    pub(super) clock: Arc<ManualClock>,
    pub(super) log: FakeLog,
    pub(super) store: FakeStore,
    pub(super) address: SocketAddr,
    pub(super) channel: Channel,
    /// Every role, every tenant.
    pub(super) admin: String,
    /// Every role but admin, in `acme` alone.
    pub(super) backend: String,
    /// The secret of the client `web`.
    pub(super) web_secret: String,
    pub(super) stop: Option<oneshot::Sender<()>>,
    pub(super) serving: JoinHandle<Result<(), ServeError>>,
    following: JoinHandle<()>,
    next: AtomicU64,
}

impl Drop for World {
    fn drop(&mut self) {
        self.following.abort();
        self.serving.abort();
    }
}

/// A request with credentials.
pub(super) fn by<T>(authorization: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", authorization.parse().unwrap());
    request
}

/// The reason in an error's details.
pub(super) fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map(|info| {
            assert_eq!(info.domain, "curfew");
            info.reason.clone()
        })
        .unwrap_or_default()
}

/// The faulty fields in an error's details.
pub(super) fn faults(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let bad = details.bad_request().expect("field violations");
    bad.field_violations
        .iter()
        .map(|fault| fault.field.clone())
        .collect()
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(adjust: impl FnOnce(&mut Settings)) -> Self {
        let clock = Arc::new(ManualClock::at(Millis::from_unix_ms(1_800_000_000_000)));
        let identity = LogIdentity::new([7; 16], 4).unwrap();
        let log = FakeLog::new(identity, clock.clone());
        let store = FakeStore::with_log(clock.clone(), log.clone());
        let parts = Parts {
            store: Arc::new(store.clone()),
            log: Arc::new(log.clone()),
            watermarks: Arc::new(curfew_ports::watermarks::Alone),
            vault: Arc::new(SealingVault::new(&RootKey::generate().unwrap()).unwrap()),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
        };
        let authority = Authority::new(parts, Config::embedded("https://id.example", "test"), identity);
        authority.bootstrap().await.unwrap();
        authority.beat_once().await;
        authority.catch_up().await.unwrap();
        let following = {
            let authority = authority.clone();
            tokio::spawn(async move { authority.follow().await })
        };

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = Settings::new("https://id.example/errors");
        settings.root_key_proof = Some(ROOT);
        adjust(&mut settings);
        let edge = Edge::new(authority.clone(), settings);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(edge.serve([listener.into()], async {
            let _ = stopped.await;
        }));
        let channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
        let mut world = Self {
            authority,
            clock,
            log,
            store,
            address,
            channel,
            admin: String::new(),
            backend: String::new(),
            web_secret: String::new(),
            stop: Some(stop),
            serving,
            following,
            next: AtomicU64::new(1),
        };
        world.seed().await;
        world
    }

    async fn seed(&mut self) {
        let root = format!("Curfew-Root {}", "ab".repeat(16));
        let request = admin::CreateCallerRequest {
            caller_id: "admin".to_owned(),
            request_id: self.id(),
            ..Default::default()
        };
        let made = self
            .callers()
            .create_caller(by(&root, request))
            .await
            .unwrap()
            .into_inner();
        self.admin = self.token_of("admin", &made.secret_value).await;

        let request = admin::CreateTenantRequest {
            tenant_id: "acme".to_owned(),
            request_id: self.id(),
            ..Default::default()
        };
        self.tenants()
            .create_tenant(by(&self.admin, request))
            .await
            .unwrap();
        let resource = admin::Resource {
            audience: "https://orders.example".to_owned(),
            scopes: vec!["orders.read".to_owned(), "orders.write".to_owned()],
            roles: vec!["Reader".to_owned()],
            ..Default::default()
        };
        let request = admin::CreateResourceRequest {
            parent: TENANT.to_owned(),
            resource_id: "orders".to_owned(),
            resource: Some(resource),
            request_id: self.id(),
            ..Default::default()
        };
        self.resources()
            .create_resource(by(&self.admin, request))
            .await
            .unwrap();
        let client = admin::Client {
            auth_method: admin::ClientAuthMethod::ClientSecret.into(),
            app_roles: vec![admin::AppRoles {
                resource: format!("{TENANT}/resources/orders"),
                roles: vec!["Reader".to_owned()],
            }],
            ..Default::default()
        };
        let request = admin::CreateClientRequest {
            parent: TENANT.to_owned(),
            client_id: "web".to_owned(),
            client: Some(client),
            request_id: self.id(),
            ..Default::default()
        };
        let made = self
            .clients()
            .create_client(by(&self.admin, request))
            .await
            .unwrap()
            .into_inner();
        self.web_secret = made.secret_value;
        let roles = [
            "sessions.write",
            "sessions.read",
            "tokens.issue",
            "revocations.write",
            "revocations.read",
        ];
        self.backend = self.caller("backend", &roles, &[TENANT]).await;
    }

    /// A fresh UUID.
    pub(super) fn id(&self) -> String {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        format!("00000000-0000-4000-8000-{n:012x}")
    }

    /// Makes a caller and gives its credentials.
    /// The same authority behind another edge; calls go there from now on.
    pub(super) async fn move_to(&mut self, adjust: impl FnOnce(&mut Settings)) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = Settings::new("https://id.example/errors");
        adjust(&mut settings);
        let edge = Edge::new(self.authority.clone(), settings);
        let serving = tokio::spawn(edge.serve([listener.into()], std::future::pending()));
        std::mem::replace(&mut self.serving, serving).abort();
        self.channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
    }

    pub(super) async fn caller(&self, id: &str, roles: &[&str], tenants: &[&str]) -> String {
        let caller = admin::Caller {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            tenants: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(),
            ..Default::default()
        };
        let request = admin::CreateCallerRequest {
            caller_id: id.to_owned(),
            caller: Some(caller),
            request_id: self.id(),
            ..Default::default()
        };
        let made = self
            .callers()
            .create_caller(by(&self.admin, request))
            .await
            .unwrap()
            .into_inner();
        self.token_of(id, &made.secret_value).await
    }

    /// Fetches a caller's token with its secret.
    pub(super) async fn token_of(&self, id: &str, secret: &str) -> String {
        let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        let request = token::IssueAppTokenRequest {
            client: format!("tenants/curfew/clients/{id}"),
            resource: "tenants/curfew/resources/curfew".to_owned(),
            request_id: self.id(),
            ..Default::default()
        };
        let issued = self
            .tokens()
            .issue_app_token(by(&basic, request))
            .await
            .unwrap()
            .into_inner();
        format!("Bearer {}", issued.tokens.unwrap().access_token)
    }

    /// Opens a session; gives its name.
    pub(super) async fn open(&self, subject: &str) -> String {
        let request = session::CreateSessionRequest {
            parent: TENANT.to_owned(),
            session: Some(session::Session {
                subject: format!("{TENANT}/subjects/{subject}"),
                amr: vec!["pwd".to_owned()],
                ..Default::default()
            }),
            request_id: self.id(),
            ..Default::default()
        };
        let opened = self
            .sessions()
            .create_session(by(&self.backend, request))
            .await
            .unwrap()
            .into_inner();
        opened.session.unwrap().name
    }

    pub(super) fn web(&self) -> token::ClientAuthentication {
        token::ClientAuthentication {
            method: Some(token::client_authentication::Method::ClientSecret(
                self.web_secret.clone(),
            )),
        }
    }

    /// A request for tokens of the client `web` in a session.
    pub(super) fn issue_request(&self, session: &str) -> token::IssueTokensRequest {
        token::IssueTokensRequest {
            session: session.to_owned(),
            client: format!("{TENANT}/clients/web"),
            client_authentication: Some(self.web()),
            resource: format!("{TENANT}/resources/orders"),
            scopes: ["openid", "offline_access", "orders.read"]
                .map(str::to_owned)
                .to_vec(),
            request_id: self.id(),
            ..Default::default()
        }
    }

    pub(super) async fn issue(&self, session: &str) -> token::TokenSet {
        let request = self.issue_request(session);
        let issued = self
            .tokens()
            .issue_tokens(by(&self.backend, request))
            .await
            .unwrap()
            .into_inner();
        issued.tokens.unwrap()
    }

    pub(super) async fn refresh(&self, refresh_token: &str) -> Result<token::RefreshTokensResponse, Status> {
        let request = token::RefreshTokensRequest {
            refresh_token: refresh_token.to_owned(),
            client: format!("{TENANT}/clients/web"),
            client_authentication: Some(self.web()),
            ..Default::default()
        };
        let refreshed = self.tokens().refresh_tokens(by(&self.backend, request)).await?;
        Ok(refreshed.into_inner())
    }

    /// One call of SessionService by hand, as no client of tonic's makes it; how it was refused.
    pub(super) async fn raw(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        flag: u8,
        message: &[u8],
    ) -> Status {
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        tokio::spawn(connection);
        let mut frame = vec![flag];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        let mut request = http::Request::post(format!(
            "http://localhost/curfew.session.v1.SessionService/{method}"
        ))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", &self.backend);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = http_body_util::Full::new(hyper::body::Bytes::from(frame));
        let answer = sender.send_request(request.body(body).unwrap()).await.unwrap();
        Status::from_header_map(answer.headers()).expect("a refusal without a message")
    }

    /// Lets time pass, and the log prove it.
    pub(super) async fn advance(&self, ms: i64) {
        self.clock.advance(ms);
        self.authority.beat_once().await;
        // The one that follows applies in the background; this one waits for it.
        while !self.authority.is_fresh() {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel.clone())
    }

    pub(super) fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.channel.clone())
    }

    pub(super) fn revocations(&self) -> RevocationServiceClient<Channel> {
        RevocationServiceClient::new(self.channel.clone())
    }

    pub(super) fn callers(&self) -> CallerServiceClient<Channel> {
        CallerServiceClient::new(self.channel.clone())
    }

    pub(super) fn tenants(&self) -> TenantServiceClient<Channel> {
        TenantServiceClient::new(self.channel.clone())
    }

    pub(super) fn clients(&self) -> ClientServiceClient<Channel> {
        ClientServiceClient::new(self.channel.clone())
    }

    pub(super) fn resources(&self) -> ResourceServiceClient<Channel> {
        ResourceServiceClient::new(self.channel.clone())
    }
}

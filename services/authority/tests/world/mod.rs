//! One authority on the fakes: a tenant, clients, two APIs, a clock of its own.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its part of the world"
)]

use std::sync::Arc;

use curfew_authority::{
    Authority, ClientProof, Config, CreateSessionRequest, IssueRequest, IssuedTokens, Parts, RefreshRequest,
    RefreshedTokens, SessionOpened, operation_of,
};
use curfew_core::decide::Motive;
use curfew_core::directory::{AtCap, Client, ClientAuthMethod, OnReuse, Resource, SecretHash, Tenant};
use curfew_core::ids::{Cause, ClientId, OperationId, ResourceId, Scope, SubjectId, TenantId, TenantName};
use curfew_core::mac::sha256;
use curfew_core::place::LogIdentity;
use curfew_core::record::{Initiator, OperationRef};
use curfew_core::refusal::Refusal;
use curfew_core::session::Proof;
use curfew_core::time::{Clock as _, Millis};
use curfew_keys::{RootKey, SealingVault};
use curfew_ports::testing::{FakeLog, FakeStore};
use curfew_testkit::{ManualClock, SeededEntropy};

pub struct World {
    pub authority: Authority,
    pub clock: Arc<ManualClock>,
    pub store: FakeStore,
    pub log: FakeLog,
    pub tenant: TenantId,
    next: std::sync::atomic::AtomicU8,
}

pub const SECRET: &str = "a secret of the web client";

impl World {
    pub async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Millis::from_unix_ms(1_800_000_000_000)));
        let identity = LogIdentity::new([7; 16], 4).unwrap();
        let log = FakeLog::new(identity, clock.clone());
        let store = FakeStore::with_log(clock.clone(), log.clone());
        let vault = SealingVault::new(&RootKey::generate().unwrap()).unwrap();
        let parts = Parts {
            store: Arc::new(store.clone()),
            log: Arc::new(log.clone()),
            vault: Arc::new(vault),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
        };
        let authority = Authority::new(parts, Config::embedded("https://id.example", "test"), identity);
        authority.bootstrap().await.unwrap();
        let tenant = TenantId::from_bytes([0x11; 16]);
        authority
            .create_tenant(tenant_named(tenant, "acme"), None)
            .await
            .unwrap();
        for name in ["orders", "files"] {
            authority
                .create_resource(resource(tenant, name), None)
                .await
                .unwrap();
        }
        authority
            .create_client(client(tenant, "web", ClientAuthMethod::Secret), None)
            .await
            .unwrap();
        authority
            .create_client(client(tenant, "spa", ClientAuthMethod::None), None)
            .await
            .unwrap();
        authority.beat_once().await;
        authority.catch_up().await.unwrap();
        Self {
            authority,
            clock,
            store,
            log,
            tenant,
            next: 1.into(),
        }
    }

    pub fn operation(&self) -> OperationRef {
        let n = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        operation_of(OperationId::from_bytes([n; 16]), "test", &[n])
    }

    pub fn motive(&self) -> Motive {
        Motive {
            cause: Cause::new("test").unwrap(),
            initiator: Initiator::Admin,
            operation: Some(self.operation()),
            correlation_id: None,
        }
    }

    pub async fn open(&self, subject: &str) -> SessionOpened {
        self.try_open(subject, self.operation()).await.unwrap()
    }

    pub async fn try_open(&self, subject: &str, operation: OperationRef) -> Result<SessionOpened, Refusal> {
        let request = CreateSessionRequest {
            tenant: self.tenant,
            subject: SubjectId::new(subject).unwrap(),
            proof: Proof {
                auth_time: self.clock.now().wall,
                acr: None,
                amr: vec!["pwd".into()],
            },
            idp: None,
            idp_session_id: None,
            device: None,
            claims: Default::default(),
            persistent: false,
            idle_timeout_ms: None,
            max_lifetime_ms: None,
            login_hint_hash: None,
            client_ip: None,
            user_agent: None,
            operation,
        };
        self.authority.create_session(request).await
    }

    pub async fn issue(&self, session: &SessionOpened, client: &str) -> IssuedTokens {
        let request = IssueRequest {
            tenant: self.tenant,
            sid: session.row.sid,
            client: ClientId::new(client).unwrap(),
            proof: proof_of(client),
            key: None,
            resource: Some("orders".into()),
            scopes: vec![Scope::new("openid").unwrap(), Scope::new("orders.read").unwrap()],
            nonce: None,
            authorized_at: None,
            cp1: false,
            operation: self.operation(),
        };
        self.authority.issue_tokens(request).await.unwrap()
    }

    pub async fn refresh(&self, client: &str, token: &str) -> Result<RefreshedTokens, Refusal> {
        let request = RefreshRequest {
            tenant: self.tenant,
            token: token.to_owned(),
            client: ClientId::new(client).unwrap(),
            proof: proof_of(client),
            key: None,
            resource: None,
            scopes: Vec::new(),
            activity: None,
        };
        self.authority.refresh_tokens(request).await
    }

    pub async fn hear(&self) {
        self.authority.beat_once().await;
        self.authority.catch_up().await.unwrap();
    }
}

pub fn proof_of(client: &str) -> ClientProof {
    if client == "web" {
        ClientProof::Secret(SECRET.to_owned())
    } else {
        ClientProof::None
    }
}

pub fn tenant_named(id: TenantId, name: &str) -> Tenant {
    Tenant {
        id,
        name: TenantName::new(name).unwrap(),
        display_name: name.into(),
        issuer_spellings: vec![format!("https://id.example/{name}").into()],
        is_system: false,
        disables: Vec::new(),
        at_cap: AtCap::EndLongestUnused,
        on_reuse: OnReuse::EndGrant,
        idle_timeout_ms: 12 * 3_600_000,
        session_life_max_ms: 90 * 24 * 3_600_000,
        sign_in_frequency_ms: None,
    }
}

pub fn resource(tenant: TenantId, name: &str) -> Resource {
    Resource {
        tenant,
        id: ResourceId::new(name).unwrap(),
        audience: format!("https://{name}.example").into(),
        scopes: vec![
            Scope::new(&format!("{name}.read")).unwrap(),
            Scope::new(&format!("{name}.write")).unwrap(),
        ],
        roles: vec![Scope::new("Reader").unwrap()],
        guarded: false,
        access_token_life_ms: None,
        claims: Default::default(),
    }
}

pub fn client(tenant: TenantId, name: &str, auth_method: ClientAuthMethod) -> Client {
    let secret = SecretHash {
        id: "first".into(),
        sha256: sha256(SECRET.as_bytes()),
        created_at: Millis::ZERO,
        expires_at: None,
    };
    Client {
        tenant,
        id: ClientId::new(name).unwrap(),
        display_name: name.into(),
        auth_method,
        secrets: if auth_method == ClientAuthMethod::Secret {
            vec![secret]
        } else {
            Vec::new()
        },
        jwks: None,
        certificates: Vec::new(),
        disables: Vec::new(),
        window: None,
        late: Default::default(),
        fixed: false,
        cp1: true,
        default_activity: Default::default(),
        grant_life_ms: None,
        scopes: Vec::new(),
        resources: Vec::new(),
        app_roles: [(
            ResourceId::new("orders").unwrap(),
            vec![Scope::new("Reader").unwrap()],
        )]
        .into(),
        redirect_uris: Vec::new(),
    }
}

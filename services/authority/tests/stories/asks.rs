//! Plain requests and records, to be changed where a story needs it.

use curfew_authority::{
    AppTokenRequest, ClientProof, CreateSessionRequest, IssueRequest, IssuedTokens, RefreshRequest,
    RefreshedTokens, RevocationAnswer, RevocationRequest, SessionOpened, Target,
};
use curfew_core::decide::Motive;
use curfew_core::directory::{AtCap, Client, ClientAuthMethod, OnReuse, Resource, SecretHash, Tenant};
use curfew_core::ids::{
    Cause, ClientId, DeviceId, ResourceId, Scope, SessionId, SubjectId, TenantId, TenantName,
};
use curfew_core::mac::sha256;
use curfew_core::record::{Initiator, OperationRef};
use curfew_core::refusal::Refusal;
use curfew_core::session::{Device, Proof};
use curfew_core::time::{Clock as _, Millis};

use crate::world::World;

/// The secret of every client that has one.
pub(crate) const SECRET: &str = "a secret of the web client";

impl World {
    pub(crate) fn motive(&self) -> Motive {
        Motive {
            cause: Cause::new("test").unwrap(),
            initiator: Initiator::Admin,
            operation: Some(self.operation()),
            correlation_id: None,
        }
    }

    pub(crate) async fn open(&self, subject: &str) -> SessionOpened {
        self.try_open(subject, self.operation()).await.unwrap()
    }

    pub(crate) async fn try_open(
        &self,
        subject: &str,
        operation: OperationRef,
    ) -> Result<SessionOpened, Refusal> {
        let request = CreateSessionRequest {
            operation,
            ..self.opening(subject)
        };
        self.authority.create_session(request).await
    }

    /// A plain request to open a session.
    pub(crate) fn opening(&self, subject: &str) -> CreateSessionRequest {
        CreateSessionRequest {
            tenant: self.tenant,
            subject: SubjectId::new(subject).unwrap(),
            proof: Proof {
                auth_time: self.clock.now().wall,
                acr: Some("gold".into()),
                amr: vec!["pwd".into()],
            },
            idp: Some("idp-one".into()),
            idp_session_id: None,
            device: Some(Device {
                id: DeviceId::new("laptop").unwrap(),
                label: None,
                platform: None,
                managed: true,
                compliant: true,
            }),
            claims: Default::default(),
            persistent: false,
            idle_timeout_ms: None,
            max_lifetime_ms: None,
            login_hint_hash: None,
            client_ip: None,
            user_agent: None,
            operation: self.operation(),
        }
    }

    pub(crate) async fn issue(&self, session: &SessionOpened, client: &str) -> IssuedTokens {
        let request = self.issuing(session.row.sid, client);
        self.authority.issue_tokens(request).await.unwrap()
    }

    /// Opens a session and issues tokens to a client in it.
    pub(crate) async fn sign_in(&self, subject: &str, client: &str) -> IssuedTokens {
        self.issue(&self.open(subject).await, client).await
    }

    /// A plain request to issue tokens.
    pub(crate) fn issuing(&self, sid: SessionId, client: &str) -> IssueRequest {
        IssueRequest {
            tenant: self.tenant,
            sid,
            client: ClientId::new(client).unwrap(),
            proof: proof_of(client),
            key: None,
            resource: Some("orders".into()),
            scopes: vec![Scope::new("openid").unwrap(), Scope::new("orders.read").unwrap()],
            nonce: None,
            authorized_at: None,
            cp1: false,
            operation: self.operation(),
        }
    }

    pub(crate) async fn refresh(&self, client: &str, token: &str) -> Result<RefreshedTokens, Refusal> {
        self.authority
            .refresh_tokens(self.refreshing(client, token))
            .await
    }

    /// A plain request to refresh.
    pub(crate) fn refreshing(&self, client: &str, token: &str) -> RefreshRequest {
        RefreshRequest {
            tenant: self.tenant,
            token: token.to_owned(),
            client: ClientId::new(client).unwrap(),
            proof: proof_of(client),
            key: None,
            resource: None,
            scopes: Vec::new(),
            activity: None,
        }
    }

    /// A plain request of a client for a token of its own.
    pub(crate) fn app(&self, client: &str) -> AppTokenRequest {
        AppTokenRequest {
            tenant: self.tenant,
            client: ClientId::new(client).unwrap(),
            proof: proof_of(client),
            key: None,
            resource: Some("orders".into()),
            roles: Vec::new(),
        }
    }

    /// A plain request to revoke.
    pub(crate) fn revoking(&self, target: Target) -> RevocationRequest {
        RevocationRequest {
            tenant: self.tenant,
            issuer: None,
            target,
            add_clock_error: false,
            motive: self.motive(),
        }
    }

    pub(crate) async fn revoke(&self, target: Target) -> Result<RevocationAnswer, Refusal> {
        self.authority.create_revocation(self.revoking(target)).await
    }

    /// Introspects, and answers why the token is not active; `None`: it is.
    pub(crate) async fn why_inactive(&self, token: &str) -> Option<Refusal> {
        let seen = self.authority.introspect(self.tenant, token).await.unwrap();
        assert_eq!(seen.active.is_none(), seen.why.is_some());
        seen.why
    }

    pub(crate) async fn hear(&self) {
        self.authority.beat_once().await;
        self.authority.catch_up().await.unwrap();
    }
}

pub(crate) fn proof_of(client: &str) -> ClientProof {
    if client == "web" {
        ClientProof::Secret(SECRET.to_owned())
    } else {
        ClientProof::None
    }
}

pub(crate) fn tenant_named(id: TenantId, name: &str) -> Tenant {
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

pub(crate) fn resource(tenant: TenantId, name: &str) -> Resource {
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

pub(crate) fn client(tenant: TenantId, name: &str, auth_method: ClientAuthMethod) -> Client {
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

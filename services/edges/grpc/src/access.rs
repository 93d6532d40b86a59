//! Who may call what: the one table, used for enforcement.
//!
//! **Invariant:** every method of every service has one line; the door refuses what has none. A
//! test compares the lines with the descriptor set.

use curfew_core::directory::Role;

/// Where a caller's tenants are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Where {
    /// The tenant in the resource name in this field; the handler resolves and demands it.
    Named(&'static str),
    /// Each tenant named in this list; none named: the answer holds only what the caller's tenants have.
    Each(&'static str),
    /// The answer holds only what the caller's tenants have.
    Own,
    /// Above tenants: the caller must be permitted in all of them. The door demands it.
    All,
    /// No tenant is concerned.
    Nowhere,
}

/// Which credentials are taken beside an app-only token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Also {
    /// None.
    Nothing,
    /// A caller's id and secret, for its own token.
    Secret,
    /// Proof of the root key: for the first admin, and for what a directory that knows nobody must be told.
    RootKey,
}

/// How long a call takes, and whose permits it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// As short as can be.
    Call,
    /// It waits, for as long as it says.
    Wait,
    /// It streams; the handler counts the subscribers.
    Stream,
}

/// What goes first where not everything can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rank {
    /// It ends something, and a reserve is kept for it: what should be dead lives until it gets through.
    Ends,
    /// Users and guards wait for it.
    Tokens,
    /// Lists and administration.
    Reads,
}

/// Which nodes serve it (DESIGN section 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    /// Those that decide and mint.
    Authority,
    /// Those that fan the log out.
    Hub,
    /// Whoever is asked.
    Either,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// `/package.Service/Method`.
    pub(crate) path: &'static str,
    /// One of these roles; none: any caller.
    pub(crate) roles: &'static [Role],
    /// Where.
    pub(crate) tenant: Where,
    /// Other credentials.
    pub(crate) also: Also,
    /// How long.
    pub(crate) pace: Pace,
    /// What it goes before.
    pub(crate) rank: Rank,
    /// Whether this release offers it.
    pub(crate) is_offered: bool,
    /// Whether hubs serve it, which fan the log out; else authorities do, or both.
    pub(crate) by: By,
    /// Whether it may name Curfew's own tenant: its callers are administered as callers, and nothing
    /// that ends or makes what lies there is anybody's to call.
    pub(crate) in_own_tenant: bool,
}

impl Rule {
    /// The line of a path.
    pub(crate) fn of(path: &str) -> Option<&'static Self> {
        TABLE.iter().find(|rule| rule.path == path)
    }

    const fn also(mut self, also: Also) -> Self {
        self.also = also;
        self
    }

    const fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    const fn ends(mut self) -> Self {
        self.rank = Rank::Ends;
        self
    }

    const fn for_tokens(mut self) -> Self {
        self.rank = Rank::Tokens;
        self
    }

    const fn in_own_tenant(mut self) -> Self {
        self.in_own_tenant = true;
        self
    }

    const fn by(mut self, by: By) -> Self {
        self.by = by;
        self
    }

    const fn later(mut self) -> Self {
        self.is_offered = false;
        self
    }
}

const fn rule(path: &'static str, roles: &'static [Role], tenant: Where) -> Rule {
    Rule {
        path,
        roles,
        tenant,
        also: Also::Nothing,
        pace: Pace::Call,
        rank: Rank::Reads,
        is_offered: true,
        by: By::Authority,
        in_own_tenant: false,
    }
}

macro_rules! path {
    ($service:literal, $method:literal) => {
        concat!("/curfew.", $service, "/", $method)
    };
}

const WRITE: &[Role] = &[Role::SessionsWrite];
const READ: &[Role] = &[Role::SessionsRead];
const ISSUE: &[Role] = &[Role::TokensIssue];
const REVOKE: &[Role] = &[Role::RevocationsWrite];
const FOLLOW: &[Role] = &[Role::RevocationsRead];
const INTROSPECT: &[Role] = &[Role::RevocationsRead, Role::TokensIssue];
const ADMIN: &[Role] = &[Role::Admin];
const AUDIT: &[Role] = &[Role::Admin, Role::SessionsRead];
const ANY: &[Role] = &[];

const NAME: Where = Where::Named("name");
const PARENT: Where = Where::Named("parent");
const CLIENT: Where = Where::Named("client");

macro_rules! sessions {
    ($method:literal) => {
        path!("session.v1.SessionService", $method)
    };
}
macro_rules! tokens {
    ($method:literal) => {
        path!("token.v1.TokenService", $method)
    };
}
macro_rules! revocations {
    ($method:literal) => {
        path!("revocation.v1.RevocationService", $method)
    };
}
macro_rules! admin {
    ($service:literal, $method:literal) => {
        concat!("/curfew.admin.v1.", $service, "/", $method)
    };
}

/// Every method. The roles are those that the comments of the `.proto` files promise.
pub(crate) const TABLE: &[Rule] = &[
    rule(sessions!("CreateSession"), WRITE, PARENT).for_tokens(),
    rule(sessions!("GetSession"), READ, NAME),
    rule(sessions!("BatchGetSessions"), READ, PARENT),
    rule(sessions!("ListSessions"), READ, PARENT),
    rule(sessions!("UpdateSession"), WRITE, Where::Named("session.name")).for_tokens(),
    rule(sessions!("StepUpSession"), WRITE, NAME).for_tokens(),
    rule(sessions!("EndSession"), WRITE, NAME).ends(),
    rule(sessions!("EndOtherSessions"), WRITE, NAME).ends(),
    rule(sessions!("ListGrants"), READ, PARENT),
    rule(sessions!("EndGrant"), WRITE, NAME).ends(),
    rule(sessions!("ListDevices"), READ, PARENT),
    rule(tokens!("IssueTokens"), ISSUE, Where::Named("session")).for_tokens(),
    rule(tokens!("RefreshTokens"), ISSUE, CLIENT).for_tokens(),
    // A guard fetches its own token where it follows.
    rule(tokens!("IssueAppToken"), ISSUE, CLIENT)
        .for_tokens()
        .by(By::Either)
        .also(Also::Secret),
    rule(tokens!("ExchangeToken"), ISSUE, CLIENT).for_tokens().later(),
    rule(tokens!("RevokeToken"), ISSUE, CLIENT).ends(),
    rule(tokens!("IntrospectToken"), INTROSPECT, PARENT)
        .for_tokens()
        .in_own_tenant(),
    rule(tokens!("ExplainToken"), READ, PARENT).in_own_tenant(),
    rule(tokens!("GetKeySet"), ANY, Where::Nowhere)
        .for_tokens()
        .by(By::Either),
    rule(revocations!("CreateRevocation"), REVOKE, PARENT).ends(),
    rule(revocations!("BatchCreateRevocations"), REVOKE, PARENT).ends(),
    rule(revocations!("GetRevocation"), FOLLOW, NAME).in_own_tenant(),
    rule(revocations!("ListRevocations"), FOLLOW, PARENT).in_own_tenant(),
    rule(revocations!("WaitRevocation"), FOLLOW, NAME)
        .in_own_tenant()
        .pace(Pace::Wait),
    rule(revocations!("WatchRevocations"), FOLLOW, Where::Each("tenants"))
        .in_own_tenant()
        .by(By::Hub)
        .pace(Pace::Stream),
    rule(revocations!("ReportProgress"), FOLLOW, Where::Each("tenants"))
        .for_tokens()
        .by(By::Hub)
        .in_own_tenant(),
    rule(revocations!("ListSubscribers"), FOLLOW, Where::Own).by(By::Hub),
    rule(admin!("ServerService", "GetServerInfo"), ANY, Where::Nowhere).by(By::Either),
    rule(admin!("TenantService", "CreateTenant"), ADMIN, Where::All),
    rule(admin!("TenantService", "GetTenant"), ADMIN, NAME).in_own_tenant(),
    rule(admin!("TenantService", "ListTenants"), ADMIN, Where::Own),
    rule(
        admin!("TenantService", "UpdateTenant"),
        ADMIN,
        Where::Named("tenant.name"),
    )
    .later(),
    rule(admin!("TenantService", "DeleteTenant"), ADMIN, Where::All)
        .ends()
        .later(),
    rule(admin!("TenantService", "DisableTenant"), ADMIN, Where::All)
        .ends()
        .later(),
    rule(admin!("TenantService", "EnableTenant"), ADMIN, Where::All).later(),
    rule(admin!("ClientService", "CreateClient"), ADMIN, PARENT),
    rule(admin!("ClientService", "GetClient"), ADMIN, NAME).in_own_tenant(),
    rule(admin!("ClientService", "ListClients"), ADMIN, PARENT).in_own_tenant(),
    rule(
        admin!("ClientService", "UpdateClient"),
        ADMIN,
        Where::Named("client.name"),
    )
    .later(),
    rule(admin!("ClientService", "DeleteClient"), ADMIN, NAME)
        .ends()
        .later(),
    rule(admin!("ClientService", "DisableClient"), ADMIN, NAME)
        .ends()
        .later(),
    rule(admin!("ClientService", "EnableClient"), ADMIN, NAME).later(),
    rule(admin!("ClientService", "CreateClientSecret"), ADMIN, NAME).later(),
    rule(admin!("ClientService", "EndClientSecret"), ADMIN, NAME)
        .ends()
        .later(),
    rule(admin!("ResourceService", "CreateResource"), ADMIN, PARENT),
    rule(admin!("ResourceService", "GetResource"), ADMIN, NAME).in_own_tenant(),
    rule(admin!("ResourceService", "ListResources"), ADMIN, PARENT).in_own_tenant(),
    rule(
        admin!("ResourceService", "UpdateResource"),
        ADMIN,
        Where::Named("resource.name"),
    )
    .later(),
    rule(admin!("ResourceService", "DeleteResource"), ADMIN, NAME)
        .ends()
        .later(),
    rule(admin!("ResourceService", "DisableResource"), ADMIN, NAME)
        .ends()
        .later(),
    rule(admin!("ResourceService", "EnableResource"), ADMIN, NAME).later(),
    rule(admin!("IssuerService", "CreateIssuer"), ADMIN, PARENT),
    rule(admin!("IssuerService", "GetIssuer"), ADMIN, NAME),
    rule(admin!("IssuerService", "ListIssuers"), ADMIN, PARENT),
    rule(
        admin!("IssuerService", "UpdateIssuer"),
        ADMIN,
        Where::Named("issuer.name"),
    )
    .later(),
    rule(admin!("IssuerService", "DeleteIssuer"), ADMIN, NAME)
        .ends()
        .later(),
    rule(admin!("IssuerService", "DisableIssuer"), ADMIN, NAME)
        .ends()
        .later(),
    rule(admin!("IssuerService", "EnableIssuer"), ADMIN, NAME).later(),
    rule(admin!("CallerService", "CreateCaller"), ADMIN, Where::All).also(Also::RootKey),
    rule(admin!("CallerService", "GetCaller"), ADMIN, Where::All),
    rule(admin!("CallerService", "ListCallers"), ADMIN, Where::All),
    rule(admin!("CallerService", "UpdateCaller"), ADMIN, Where::All).later(),
    rule(admin!("CallerService", "DeleteCaller"), ADMIN, Where::All)
        .ends()
        .later(),
    rule(admin!("CallerService", "DisableCaller"), ADMIN, Where::All)
        .ends()
        .later(),
    rule(admin!("CallerService", "EnableCaller"), ADMIN, Where::All).later(),
    rule(admin!("CallerService", "CreateCallerSecret"), ADMIN, Where::All).later(),
    rule(admin!("CallerService", "EndCallerSecret"), ADMIN, Where::All)
        .ends()
        .later(),
    rule(admin!("KeyService", "GetKey"), ADMIN, Where::All),
    rule(admin!("KeyService", "ListKeys"), ADMIN, Where::All),
    rule(admin!("KeyService", "RotateKey"), ADMIN, Where::All),
    rule(admin!("KeyService", "RevokeKey"), ADMIN, Where::All).ends(),
    rule(admin!("RecoveryService", "GetRecoveryState"), ADMIN, Where::All)
        .by(By::Either)
        .also(Also::RootKey),
    rule(admin!("RecoveryService", "SkipRecord"), ADMIN, Where::All)
        .by(By::Either)
        .also(Also::RootKey),
    rule(admin!("RecoveryService", "OpenPartitions"), ADMIN, Where::All)
        .also(Also::RootKey)
        .pace(Pace::Wait),
    rule(admin!("RecoveryService", "AdoptLog"), ADMIN, Where::All)
        .also(Also::RootKey)
        .pace(Pace::Wait),
    rule(admin!("SubjectService", "GetSubject"), ADMIN, NAME).in_own_tenant(),
    rule(admin!("SubjectService", "DeleteSubject"), ADMIN, NAME).ends(),
    rule(admin!("SubjectService", "DisableSubject"), ADMIN, NAME).ends(),
    rule(admin!("SubjectService", "EnableSubject"), ADMIN, NAME),
    rule(admin!("AuditService", "GetAuditEvent"), AUDIT, NAME).later(),
    rule(admin!("AuditService", "ListAuditEvents"), AUDIT, PARENT).later(),
];

/// Services that anybody may call: they say nothing of anybody.
const OPEN: &[&str] = &[
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Whether a path is open to anybody.
pub(crate) fn is_open(path: &str) -> bool {
    OPEN.iter().any(|service| path.starts_with(service))
}

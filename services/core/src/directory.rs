//! The directory: tenants, clients, resources, foreign issuers, callers, keys, wide marks, `L`.
//!
//! **Invariant:** these are records in the store; a file only seeds them.

mod keys;
mod lease;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use crate::directory::keys::{KeyRecord, KeyState, KeyUse};
pub use crate::directory::lease::{Lease, RouteBound, StaleRule};
pub use crate::directory::view::DirectoryView;
use crate::ids::{CallerId, ClientId, IssuerId, RecordId, ResourceId, Scope, TenantId, TenantName};
use crate::record::Revocation;
use crate::time::Millis;

/// What to do when a cap is reached (DESIGN section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AtCap {
    /// The one unused longest ends, published and told.
    #[default]
    EndLongestUnused,
    /// The opening is refused.
    Refuse,
}

/// What detected reuse ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnReuse {
    /// The grant.
    #[default]
    EndGrant,
    /// The whole session.
    EndSession,
}

/// A directory with its own issuer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// Permanent.
    pub id: TenantId,
    /// Part of the present issuer.
    pub name: TenantName,
    /// For people.
    pub display_name: Arc<str>,
    /// Every spelling of its issuer, the present one first.
    pub issuer_spellings: Vec<Arc<str>>,
    /// Holds Curfew's own callers.
    pub is_system: bool,
    /// Ids of disables that no enable has lifted.
    pub disables: Vec<RecordId>,
    /// At a cap.
    pub at_cap: AtCap,
    /// On reuse.
    pub on_reuse: OnReuse,
    /// Idle timeout of sessions that name none, ms.
    pub idle_timeout_ms: i64,
    /// Longest life of a session, ms.
    pub session_life_max_ms: i64,
    /// Tokens end this long after `auth_time`; `None`: not limited.
    pub sign_in_frequency_ms: Option<i64>,
}

/// How a client proves itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClientAuthMethod {
    /// It cannot: a public client.
    #[default]
    None,
    /// A secret.
    Secret,
    /// `private_key_jwt` (RFC 7523).
    PrivateKeyJwt,
    /// A certificate (RFC 8705).
    Mtls,
}

/// How long the predecessor of a rotated token is answered with the same successor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// From the first rotation, ms; 0 is strict.
    Time(i64),
    /// Until the successor is first presented (what FAPI 2 demands).
    UntilPresented,
}

/// What a predecessor presented after the window means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Late {
    /// The successor's answer is taken as lost.
    #[default]
    Supersede,
    /// It is theft.
    Reuse,
}

/// What a refresh is that does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Activity {
    /// The user is there.
    #[default]
    User,
    /// A background task.
    Background,
}

/// A stored secret of a client or caller: 256 random bits, so one hash is enough.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretHash {
    /// Names it among the two live ones.
    pub id: Arc<str>,
    /// SHA-256.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created_at: Millis,
    /// When it stops working.
    pub expires_at: Option<Millis>,
}

/// An application.
#[derive(Clone, PartialEq, Debug)]
pub struct Client {
    /// Its tenant.
    pub tenant: TenantId,
    /// `client_id`.
    pub id: ClientId,
    /// For people.
    pub display_name: Arc<str>,
    /// How it proves itself.
    pub auth_method: ClientAuthMethod,
    /// At most two live ones.
    pub secrets: Vec<SecretHash>,
    /// Its public keys (`private_key_jwt`), a JWKS.
    pub jwks: Option<Arc<str>>,
    /// Certificate thumbprints (`x5t#S256`) that it may authenticate with.
    pub certificates: Vec<Arc<str>>,
    /// Ids of disables that no enable has lifted.
    pub disables: Vec<RecordId>,
    /// The replay window; `None`: 30 s for unbound public clients, until presented for others.
    pub window: Option<Window>,
    /// After the window.
    pub late: Late,
    /// No rotation (bound confidential clients only).
    pub fixed: bool,
    /// May declare that it handles claims challenges.
    pub cp1: bool,
    /// What a refresh is that does not say.
    pub default_activity: Activity,
    /// Longest life of a grant, ms; `None`: the session's.
    pub grant_life_ms: Option<i64>,
    /// Scopes that it may ask for; empty: any of the resource's.
    pub scopes: Vec<Scope>,
    /// Resources that it may name; empty: any of its tenant.
    pub resources: Vec<ResourceId>,
    /// App roles that it holds, per resource.
    pub app_roles: BTreeMap<ResourceId, Vec<Scope>>,
    /// Redirection endpoints.
    pub redirect_uris: Vec<Arc<str>>,
}

impl Client {
    /// Whether it proves itself at all.
    #[must_use]
    pub const fn is_confidential(&self) -> bool {
        !matches!(self.auth_method, ClientAuthMethod::None)
    }
}

/// An API, named by its `aud`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its id.
    pub id: ResourceId,
    /// `aud`.
    pub audience: Arc<str>,
    /// Scopes that it knows.
    pub scopes: Vec<Scope>,
    /// App roles that it knows.
    pub roles: Vec<Scope>,
    /// Its owner vouches that no instance runs without a guard.
    pub guarded: bool,
    /// Life of its access tokens, ms; `None`: the ordinary one.
    pub access_token_life_ms: Option<i64>,
    /// Claims of the session to put into its tokens: token claim → session claim.
    pub claims: BTreeMap<Arc<str>, Arc<str>>,
}

/// An issuer that is not ours, whose tokens can be revoked here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignIssuer {
    /// Its tenant here.
    pub tenant: TenantId,
    /// The entry's permanent id.
    pub id: IssuerId,
    /// For people.
    pub display_name: Arc<str>,
    /// Every spelling of `iss`.
    pub spellings: Vec<Arc<str>>,
    /// Its longest token life, ms.
    pub life_ms: i64,
    /// Claims that its tokens carry; a revocation by another is refused.
    pub claims: Vec<Arc<str>>,
    /// Its clock error, ms.
    pub clock_error_ms: i64,
    /// Audiences.
    pub audiences: Vec<Arc<str>>,
    /// Where its keys are.
    pub jwks_uri: Option<Arc<str>>,
    /// Its keys, where they are given.
    pub jwks: Option<Arc<str>>,
}

/// What a caller of Curfew's own services may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Role {
    /// Opens, updates and ends sessions.
    SessionsWrite,
    /// Reads sessions, with the names of initiators.
    SessionsRead,
    /// Issues, refreshes and revokes tokens.
    TokensIssue,
    /// Revokes.
    RevocationsWrite,
    /// Follows the feed.
    RevocationsRead,
    /// The directory.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [
        Self::SessionsWrite,
        Self::SessionsRead,
        Self::TokensIssue,
        Self::RevocationsWrite,
        Self::RevocationsRead,
        Self::Admin,
    ];

    /// The word in `roles`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionsWrite => "sessions.write",
            Self::SessionsRead => "sessions.read",
            Self::TokensIssue => "tokens.issue",
            Self::RevocationsWrite => "revocations.write",
            Self::RevocationsRead => "revocations.read",
            Self::Admin => "admin",
        }
    }

    /// From its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// Which tenants a caller may touch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TenantScope {
    /// All of them, and what lies above tenants.
    All,
    /// These.
    Only(Vec<TenantId>),
}

impl TenantScope {
    /// Whether the caller may touch this tenant.
    #[must_use]
    pub fn permits(&self, tenant: TenantId) -> bool {
        match self {
            Self::All => true,
            Self::Only(tenants) => tenants.contains(&tenant),
        }
    }
}

/// Who may call Curfew's own services.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Its id; also `client_id` and `sub` of its tokens.
    pub id: CallerId,
    /// For people.
    pub display_name: Arc<str>,
    /// At most two live ones.
    pub secrets: Vec<SecretHash>,
    /// Subject alternative names of certificates that mean this caller.
    pub certificate_names: Vec<Arc<str>>,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Where.
    pub tenants: TenantScope,
    /// Ids of disables that no enable has lifted.
    pub disables: Vec<RecordId>,
}

/// `L`, the longest access-token life (DESIGN section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetimes {
    /// What `keep_until` reckons with, ms; rises at once.
    pub keep_ms: i64,
    /// The longest that may be minted from `mint_from` on, ms.
    pub mint_ms: i64,
    /// Before this only the ordinary life is minted.
    pub mint_from: Millis,
}

/// The life of an access token when nothing says otherwise, ms.
pub const ORDINARY_LIFE_MS: i64 = 10 * 60_000;
/// The longest life that needs no declaration of client and resource, ms (DESIGN section 8).
pub const UNDECLARED_LIFE_MAX_MS: i64 = 3_600_000;

impl Lifetimes {
    /// The longest life that may be minted now, ms; never longer than what is kept.
    #[must_use]
    pub fn mintable_ms(&self, now: Millis) -> i64 {
        let mint = if now >= self.mint_from {
            self.mint_ms
        } else {
            self.mint_ms.min(ORDINARY_LIFE_MS)
        };
        mint.min(self.keep_ms)
    }
}

/// A wide mark, kept until nothing that it covers could be refreshed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WideMark {
    /// The record.
    pub record: Revocation,
    /// B + the longest session life.
    pub lives_until: Millis,
    /// When it was appended last.
    pub last_copy_at: Millis,
}

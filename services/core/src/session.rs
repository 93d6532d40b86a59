//! The session row: one sign-in with its grants inline. There is no row per token and no janitor.
//!
//! **Invariant:** what has ended stays ended; no edge leads back.

use std::sync::Arc;

use crate::ids::{
    Cause, ClientId, DeviceId, GrantId, GrantLow, RecordId, ResourceId, Scope, SessionId, SubjectId, TenantId,
};
use crate::mac;
use crate::place::Incarnation;
use crate::secret::{GrantSecret, Salt};
use crate::time::{COLLECT_AFTER_MS, Millis};

/// Live grants of one client in one session (DESIGN section 3).
pub const GRANTS_PER_CLIENT_MAX: usize = 8;
/// Live grants in one session (DESIGN section 3).
pub const GRANTS_MAX: usize = 64;
/// Ended grants of which a row tells how they ended, beside those whose access tokens may be alive.
pub const GRANTS_TOLD_MAX: usize = 8;
/// Grants in one row, ended ones included: at some 300 B each, 77 kB.
pub const GRANTS_KEPT_MAX: usize = 256;
/// Live sessions of one subject (DESIGN section 3).
pub const SESSIONS_MAX: usize = 1_000;
/// The largest `claims` of a session, in bytes of JSON.
pub const CLAIMS_BYTES_MAX: usize = 4_096;

/// Alive, or ended by a record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Life {
    /// Not ended; expiry and marks are judged apart.
    #[default]
    Alive,
    /// Ended.
    Ended(Ending),
}

/// How something ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// When.
    pub at: Millis,
    /// Why.
    pub cause: Cause,
    /// The record that tells it.
    pub record: RecordId,
}

impl Life {
    /// The ending, where there is one.
    #[must_use]
    pub const fn ending(&self) -> Option<&Ending> {
        match self {
            Self::Alive => None,
            Self::Ended(ending) => Some(ending),
        }
    }

    /// Whether it has not been ended.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        matches!(self, Self::Alive)
    }
}

/// What was proven at sign-in, and when.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proof {
    /// When the subject proved itself (`auth_time`).
    pub auth_time: Millis,
    /// Authentication context class reference.
    pub acr: Option<Arc<str>>,
    /// Authentication methods (RFC 8176).
    pub amr: Vec<Arc<str>>,
}

/// The device that a session runs on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// As the identity provider names it.
    pub id: DeviceId,
    /// For people.
    pub label: Option<Arc<str>>,
    /// Operating system or platform.
    pub platform: Option<Arc<str>>,
    /// Under management.
    pub managed: bool,
    /// Compliant with policy.
    pub compliant: bool,
}

/// The key that a grant is bound to.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum KeyBinding {
    /// `cnf.jkt` (RFC 9449): the JWK thumbprint, base64url.
    Dpop(Arc<str>),
    /// `cnf.x5t#S256` (RFC 8705): the certificate thumbprint, base64url.
    Mtls(Arc<str>),
}

/// One sign-in of a subject.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// The session.
    pub sid: SessionId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The whole subject; another one with the same key is refused.
    pub subject: SubjectId,
    /// Alive or ended.
    pub life: Life,
    /// What was proven last; grants keep what they were issued with.
    pub proof: Proof,
    /// The identity provider (`idp`).
    pub idp: Option<Arc<str>>,
    /// The provider's own session, for its logout.
    pub idp_session_id: Option<Arc<str>>,
    /// The device.
    pub device: Option<Device>,
    /// Claims to be mapped into tokens, a JSON object.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Outlives the browser.
    pub persistent: bool,
    /// Idle time after which it is over, ms.
    pub idle_timeout_ms: i64,
    /// The last use that counted as activity.
    pub last_used: Millis,
    /// When it is over whatever happens.
    pub expires_at: Millis,
    /// When it was opened, on the authority's clock.
    pub created_at: Millis,
    /// When this row was last written.
    pub written_at: Millis,
    /// The latest `exp` of any token minted from it.
    pub latest_expiry: Millis,
    /// SHA-256 of the login hint, for look-up by support.
    pub login_hint_hash: Option<[u8; 32]>,
    /// Where the sign-in came from.
    pub client_ip: Option<Arc<str>>,
    /// With which program.
    pub user_agent: Option<Arc<str>>,
    /// Its grants.
    pub grants: Vec<Grant>,
}

impl Row {
    /// When it is over for lack of use.
    #[must_use]
    pub const fn idle_expires_at(&self) -> Millis {
        self.last_used.plus_ms(self.idle_timeout_ms)
    }

    /// Whether time has ended it.
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        now >= self.expires_at || now >= self.idle_expires_at()
    }

    /// The grant of this id.
    #[must_use]
    pub fn grant(&self, gid: GrantId) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.gid == gid)
    }

    /// The grant that a refresh token names.
    #[must_use]
    pub fn grant_by_low(&self, low: GrantLow) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.gid.low() == low)
    }

    /// The same, to be changed.
    pub fn grant_by_low_mut(&mut self, low: GrantLow) -> Option<&mut Grant> {
        self.grants.iter_mut().find(|grant| grant.gid.low() == low)
    }

    /// Grants that have not ended.
    pub fn live_grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(|grant| grant.life.is_alive())
    }

    /// Drops ended grants whose last access token has expired: the row does not grow with use.
    ///
    /// The few that ended last stay for a day, so that whoever holds their tokens is told the cause.
    pub fn forget_ended_grants(&mut self, now: Millis) {
        let mut told: Vec<Millis> = self
            .grants
            .iter()
            .filter_map(|grant| Some(grant.life.ending()?.at))
            .collect();
        told.sort_unstable();
        let newest = told.len().checked_sub(GRANTS_TOLD_MAX).and_then(|n| told.get(n));
        let since = now
            .plus_ms(-COLLECT_AFTER_MS)
            .max(newest.copied().unwrap_or_default());
        self.grants.retain(|grant| {
            let is_told = grant.life.ending().is_none_or(|ending| ending.at >= since);
            is_told || grant.latest_expiry >= now
        });
    }

    /// Drops living grants that time has ended; their tokens ended no later.
    pub fn forget_expired_grants(&mut self, now: Millis) {
        self.grants
            .retain(|grant| !grant.life.is_alive() || grant.expires_at > now);
    }
}

/// One authorization of a client inside a session: its refresh-token family.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The grant.
    pub gid: GrantId,
    /// Its client.
    pub client: ClientId,
    /// The resources that it may name; empty: whatever the client may.
    pub resources: Vec<ResourceId>,
    /// The consented scopes.
    pub scopes: Vec<Scope>,
    /// What had been proven when it was issued; a step-up does not reach it (DESIGN section 3).
    pub proof: Proof,
    /// The key that it is bound to.
    pub binding: Option<KeyBinding>,
    /// Alive or ended.
    pub life: Life,
    /// When it is over whatever happens.
    pub expires_at: Millis,
    /// Every salt comes from it; never sent.
    pub secret: GrantSecret,
    /// G: how often the refresh token has been rotated.
    pub generation: u32,
    /// P: the generation that was rotated last.
    pub presented: Option<u32>,
    /// When `presented` was rotated first.
    pub rotated_at: Millis,
    /// The last use that counted as activity.
    pub last_used: Millis,
    /// The latest `exp` of any of its tokens.
    pub latest_expiry: Millis,
    /// The incarnation of its last write.
    pub incarnation: Incarnation,
    /// Whether the client said that it handles claims challenges (`xms_cc: cp1`).
    pub cp1: bool,
}

impl PartialEq for Grant {
    /// Equal but for the secret, which is compared in constant time.
    fn eq(&self, other: &Self) -> bool {
        let Self {
            gid,
            client,
            resources,
            scopes,
            proof,
            binding,
            life,
            expires_at,
            secret,
            generation,
            presented,
            rotated_at,
            last_used,
            latest_expiry,
            incarnation,
            cp1,
        } = self;
        *gid == other.gid
            && *client == other.client
            && *resources == other.resources
            && *scopes == other.scopes
            && *proof == other.proof
            && *binding == other.binding
            && *life == other.life
            && *expires_at == other.expires_at
            && secret.matches(&other.secret)
            && *generation == other.generation
            && *presented == other.presented
            && *rotated_at == other.rotated_at
            && *last_used == other.last_used
            && *latest_expiry == other.latest_expiry
            && *incarnation == other.incarnation
            && *cp1 == other.cp1
    }
}

impl Grant {
    /// The salt of one of its generations.
    #[must_use]
    pub fn salt(&self, generation: u32) -> Salt {
        mac::salt(&self.secret, generation)
    }
}

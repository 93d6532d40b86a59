//! What an admitted call is told about its caller.
//!
//! **Invariant:** an admission exists only of a token whose signature, issuer, audience, time and
//! kind were right, also in report-only mode: no handler ever sees claims that nobody signed.

use std::sync::Arc;

use curfew_core::ids::{IssuerId, TenantId};
use curfew_core::time::Millis;
use serde_json::{Map, Value};

use crate::refused::Refused;
use crate::token::{self, Kind, Known};

/// Why a call was admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ground {
    /// No mark covers the token, and the view is fresh.
    Fresh,
    /// The view is stale; the token is younger than the age cap.
    Young,
    /// The view is stale; an authority said that the token is active.
    Introspected,
    /// The view is stale, and the route lets everything pass.
    Allowed,
}

/// An admitted call. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission {
    pub(crate) known: Arc<Known>,
    pub(crate) ground: Ground,
    pub(crate) would_refuse: Option<Refused>,
}

impl Admission {
    /// Why it was admitted.
    #[must_use]
    pub const fn ground(&self) -> Ground {
        self.ground
    }

    /// In report-only mode: what it would have been refused for.
    #[must_use]
    pub const fn would_refuse(&self) -> Option<&Refused> {
        self.would_refuse.as_ref()
    }

    /// What kind of token came.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.known.kind
    }

    /// The tenant of the token's issuer entry.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.known.issuer.tenant
    }

    /// The token's issuer entry.
    #[must_use]
    pub fn issuer(&self) -> IssuerId {
        self.known.issuer.entry
    }

    /// All claims.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.known.claims
    }

    /// A claim that is a string.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.known.claims.get(name)?.as_str()
    }

    /// `sub`: who calls, or on whose behalf.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.claim("sub").unwrap_or_default()
    }

    /// `client_id`; of a foreign token also `azp` or `appid`.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        ["client_id", "azp", "appid"]
            .iter()
            .find_map(|name| self.claim(name))
    }

    /// The scopes that the token holds.
    #[must_use]
    pub fn scopes(&self) -> Vec<&str> {
        token::scopes(&self.known.claims).unwrap_or_default()
    }

    /// The roles that the token holds.
    #[must_use]
    pub fn roles(&self) -> Vec<&str> {
        token::texts(&self.known.claims, "roles").unwrap_or_default()
    }

    /// `exp`.
    #[must_use]
    pub fn expires_at(&self) -> Millis {
        self.known.times.expires_at
    }
}

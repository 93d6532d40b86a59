//! What a route asks of a token, and what it does while the view is stale.
//!
//! **Invariant:** `Allow` is written out by whoever wants it; no default and no mistake leads there.

use std::sync::Arc;

use curfew_core::session::KeyBinding;

use crate::config::ConfigError;

/// The longest age cap: a day, ms. Beyond, nothing would be bounded in practice.
const CAP_MAX_MS: i64 = 24 * 3_600_000;

/// What happens to a token that no mark covers while freshness cannot be proven (DESIGN section 7).
///
/// A ladder: what the age cap does not let through is asked for where an
/// [`Introspect`](crate::Introspect) hook is set, and denied otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stale {
    /// Tokens younger than `cap_ms` pass: a covered token is admitted no longer than that.
    AgeCap {
        /// The cap, ms; usually the ordinary life of a token.
        cap_ms: i64,
    },
    /// An authority is asked: the bound is X.
    Introspect,
    /// The call is refused: the bound is X.
    Deny,
    /// The call passes, and every one is logged: there is no bound.
    Allow,
}

impl Stale {
    /// How long after a revocation is durable a covered token may still be admitted, ms; `None`: no bound.
    #[must_use]
    pub fn bound_ms(self, staleness_bound_ms: i64) -> Option<i64> {
        match self {
            Self::AgeCap { cap_ms } => Some(cap_ms.max(staleness_bound_ms)),
            Self::Introspect | Self::Deny => Some(staleness_bound_ms),
            Self::Allow => None,
        }
    }

    pub(crate) fn validate(self) -> Result<(), ConfigError> {
        match self {
            Self::AgeCap { cap_ms } if !(1..=CAP_MAX_MS).contains(&cap_ms) => Err(ConfigError::OutOfRange {
                setting: "cap_ms",
                ms: cap_ms,
                min_ms: 1,
                max_ms: CAP_MAX_MS,
            }),
            Self::AgeCap { .. } | Self::Introspect | Self::Deny | Self::Allow => Ok(()),
        }
    }
}

/// What one route asks. Made once, shared by all its calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Requirements {
    /// What the route is called in reports and metrics; empty: `*`.
    pub name: Arc<str>,
    /// A token must hold all of these scopes …
    pub scopes_all: Vec<String>,
    /// … and one of these, where there are any.
    pub scopes_any: Vec<String>,
    /// A token without the scopes passes with one of these roles: how an application calls for itself.
    pub roles_any: Vec<String>,
    /// The authentication contexts that suffice (RFC 9470); empty: any.
    pub acr_any: Vec<String>,
    /// How long ago the subject may have authenticated, s (RFC 9470); `None`: any time.
    pub auth_age_max_s: Option<i64>,
    /// What happens while the view is stale; `None`: as the guard's configuration says.
    pub stale: Option<Stale>,
    /// Only say what would have been refused.
    pub report_only: bool,
}

impl Requirements {
    /// A route that any valid token of this API may call.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// A route that needs one scope.
    #[must_use]
    pub fn scope(scope: impl Into<String>) -> Self {
        Self {
            scopes_all: vec![scope.into()],
            ..Self::default()
        }
    }

    /// The same, for applications that hold this role as well.
    #[must_use]
    pub fn or_role(mut self, role: impl Into<String>) -> Self {
        self.roles_any.push(role.into());
        self
    }

    /// The same under a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The same with a stale rule of its own.
    #[must_use]
    pub const fn stale(mut self, stale: Stale) -> Self {
        self.stale = Some(stale);
        self
    }

    /// What reports call it.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.name.is_empty() { "*" } else { &self.name }
    }

    /// Whether what a token holds suffices.
    pub(crate) fn are_met_by(&self, scopes: &[&str], roles: &[&str]) -> bool {
        let holds = |held: &[&str], wanted: &String| held.contains(&wanted.as_str());
        let asks_scopes = !self.scopes_all.is_empty() || !self.scopes_any.is_empty();
        let asks_roles = !self.roles_any.is_empty();
        let by_scopes = self.scopes_all.iter().all(|scope| holds(scopes, scope))
            && (self.scopes_any.is_empty() || self.scopes_any.iter().any(|scope| holds(scopes, scope)));
        let by_roles = self.roles_any.iter().any(|role| holds(roles, role));
        match (asks_scopes, asks_roles) {
            (false, false) => true,
            (true, false) => by_scopes,
            (false, true) => by_roles,
            (true, true) => by_scopes || by_roles,
        }
    }
}

/// What came with a call: the token, and the key that its sender proved to hold.
///
/// The proof itself (RFC 9449 section 4.3, the TLS handshake) is checked by whoever terminates the
/// connection; here its key is compared with the token's.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The token, byte for byte.
    pub token: &'a str,
    /// The proven key.
    pub key: Option<&'a KeyBinding>,
}

impl<'a> From<&'a str> for Presented<'a> {
    fn from(token: &'a str) -> Self {
        Self { token, key: None }
    }
}

impl<'a> From<&'a String> for Presented<'a> {
    fn from(token: &'a String) -> Self {
        Self { token, key: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_or_roles_suffice_and_a_route_without_either_takes_any_token() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let route = |all: &[&str], any: &[&str], roles: &[&str]| Requirements {
            scopes_all: texts(all),
            scopes_any: texts(any),
            roles_any: texts(roles),
            ..Requirements::any()
        };
        for (all, any, roles, held_scopes, held_roles, met) in [
            (&[][..], &[][..], &[][..], &[][..], &[][..], true),
            (&["a", "b"], &[], &[], &["b", "a", "c"], &[], true),
            (&["a", "b"], &[], &[], &["a"], &[], false),
            (&["a"], &["x", "y"], &[], &["a", "y"], &[], true),
            (&["a"], &["x", "y"], &[], &["a"], &[], false),
            (&["a"], &[], &["R"], &[], &["R"], true),
            (&["a"], &[], &[], &[], &["a"], false),
            (&[], &[], &["R"], &["R"], &[], false),
            (&["A"], &[], &[], &["a"], &[], false),
        ] {
            assert_eq!(
                route(all, any, roles).are_met_by(held_scopes, held_roles),
                met,
                "{all:?} {any:?} {roles:?}"
            );
        }
    }

    #[test]
    fn the_promise_of_a_route_is_told_by_its_rule() {
        assert_eq!(Stale::AgeCap { cap_ms: 300_000 }.bound_ms(5_000), Some(300_000));
        assert_eq!(Stale::Introspect.bound_ms(5_000), Some(5_000));
        assert_eq!(Stale::Deny.bound_ms(5_000), Some(5_000));
        assert_eq!(Stale::Allow.bound_ms(5_000), None);
    }
}

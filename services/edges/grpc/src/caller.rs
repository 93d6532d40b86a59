//! Who calls, as the door found out, and what the `authorization` metadata says.
//!
//! **Invariant:** an id and secret open IssueAppToken for that caller alone, a proof of the root key
//! the making of the first admin and what an operator decides after a loss, when no caller is known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curfew_authority::{Credentials, Identity};
use curfew_core::directory::{Role, TenantScope};
use curfew_core::ids::{CallerId, TenantId};
use curfew_core::time::Millis;
use curfew_transport::Peer;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// What a caller proved itself by, for a stream to judge again while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Presented(pub(crate) Credentials);

/// A caller that proved itself.
#[derive(Clone)]
pub(crate) enum Caller {
    /// By an app-only token, or by a certificate.
    Token(Identity),
    /// By its id and secret; it has no role.
    Secret {
        /// Who.
        identity: Identity,
        /// The secret, to be proven again as the client's.
        secret: String,
    },
    /// By the root key.
    RootKey,
}

impl Caller {
    /// Its id; whoever holds the root key has none.
    pub(crate) const fn id(&self) -> Option<&CallerId> {
        match self {
            Self::Token(identity) | Self::Secret { identity, .. } => Some(&identity.id),
            Self::RootKey => None,
        }
    }

    /// Whether it has the role.
    pub(crate) fn holds(&self, role: Role) -> bool {
        match self {
            Self::Token(identity) => identity.roles.contains(&role),
            Self::Secret { .. } | Self::RootKey => false,
        }
    }

    /// Whether it may touch the tenant.
    pub(crate) fn may_touch(&self, tenant: TenantId) -> bool {
        match self {
            Self::Token(identity) => identity.tenants.permits(tenant),
            Self::Secret { .. } | Self::RootKey => false,
        }
    }

    /// Whether it may touch every tenant.
    pub(crate) const fn may_touch_all(&self) -> bool {
        match self {
            Self::Token(identity) => matches!(identity.tenants, TenantScope::All),
            Self::Secret { .. } | Self::RootKey => false,
        }
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(identity) => write!(f, "Token({})", identity.id),
            Self::Secret { identity, .. } => write!(f, "Secret({}, ..)", identity.id),
            Self::RootKey => f.write_str("RootKey"),
        }
    }
}

/// The credentials of a request: those in its metadata or, where there are none, the certificate of its
/// connection. `Err`: why there are none.
pub(crate) fn credentials(headers: &HeaderMap, peer: Option<&Peer>) -> Result<Credentials, &'static str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value,
        (None, _) => {
            let certificate = peer.and_then(|peer| peer.certificate.as_ref());
            return certificate
                .map(|certificate| Credentials::Certificate {
                    names: certificate.names().into(),
                    until: Millis::from_unix_ms(certificate.not_after_s.saturating_mul(1_000)),
                })
                .ok_or("neither `authorization` nor a client certificate was sent");
        }
        (Some(_), Some(_)) => return Err("`authorization` is there more than once"),
    };
    let value = value.to_str().map_err(|_| "`authorization` is not printable")?;
    let (scheme, rest) = value.split_once(' ').ok_or("`authorization` has no scheme")?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Credentials::Bearer(rest.to_owned()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(rest).ok_or("`authorization: Basic` is not an id and a secret");
    }
    if scheme.eq_ignore_ascii_case("curfew-root") {
        let proof = root_key(rest).ok_or("`authorization: Curfew-Root` is not 16 bytes of hexadecimal")?;
        return Ok(Credentials::RootKey(proof));
    }
    Err("`authorization` has a scheme that is not known")
}

fn basic(encoded: &str) -> Option<Credentials> {
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some(Credentials::Secret {
        id: id.parse().ok()?,
        secret: secret.to_owned(),
    })
}

fn root_key(hex: &str) -> Option<[u8; 16]> {
    let is_hex = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        return None;
    }
    u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes)
}

//! Who calls, and what they may do. Callers prove themselves by Curfew's own app-only tokens, or by a
//! certificate that the transport verified.
//!
//! **Invariant:** a caller is judged by its record in the directory on every call, token or not: a removed
//! role is gone within the age of the directory view, whatever the tail says (P40).

use std::sync::Arc;

use curfew_core::claims::JsonClaims;
use curfew_core::decide::mint;
use curfew_core::directory::{Role, TenantScope};
use curfew_core::ids::{CallerId, SubjectId, TenantId};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::Key;
use curfew_core::subject::Gate;
use curfew_core::time::Millis;
use subtle::ConstantTimeEq as _;

use crate::answer::Answer;
use crate::client_auth::secret_matches;
use crate::directory::{Loaded, OWN_RESOURCE};
use crate::node::Authority;
use crate::verify::Authentic;

/// What a caller sent to prove itself.
#[derive(Clone)]
pub enum Credentials {
    /// An app-only token whose audience is Curfew.
    Bearer(String),
    /// Id and secret: good for fetching such a token, and for nothing else.
    Secret {
        /// The caller.
        id: CallerId,
        /// Its secret.
        secret: String,
    },
    /// A certificate whose key the peer proved to hold, of an authority that this node trusts.
    Certificate {
        /// Its names, each with its kind: `dns:`, `uri:`, `email:`, `x5t:`.
        names: Arc<[String]>,
        /// When it ends.
        until: Millis,
    },
    /// Proof of the root key: good for making the first admin, and for nothing else.
    RootKey([u8; 16]),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bearer(_) => f.write_str("Bearer(..)"),
            Self::Secret { id, .. } => write!(f, "Secret({id}, ..)"),
            Self::Certificate { names, .. } => f.debug_tuple("Certificate").field(names).finish(),
            Self::RootKey(_) => f.write_str("RootKey(..)"),
        }
    }
}

/// A caller that proved itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Its id.
    pub id: CallerId,
    /// What it may do.
    pub roles: Arc<[Role]>,
    /// Where.
    pub tenants: TenantScope,
}

impl Identity {
    /// Refused unless the caller has the role.
    pub fn demand(&self, role: Role) -> Answer<()> {
        if self.roles.contains(&role) {
            return Ok(());
        }
        Err(Refusal::new(Stage::Request, Reason::CallerRole).about(role.as_str()))
    }

    /// Refused unless the caller may touch this tenant.
    pub fn demand_tenant(&self, tenant: TenantId) -> Answer<()> {
        if self.tenants.permits(tenant) {
            return Ok(());
        }
        Err(Refusal::new(Stage::Request, Reason::CallerTenant))
    }

    /// Refused unless the caller may touch what lies above tenants.
    pub fn demand_all_tenants(&self) -> Answer<()> {
        match self.tenants {
            TenantScope::All => Ok(()),
            TenantScope::Only(_) => Err(Refusal::new(Stage::Request, Reason::CallerTenant)),
        }
    }
}

impl Authority {
    /// Finds out who calls.
    pub async fn authenticate(&self, credentials: &Credentials) -> Answer<Identity> {
        let unknown = || Refusal::new(Stage::Request, Reason::CallerUnknown);
        let loaded = self.known_directory().await?;
        let id = match credentials {
            Credentials::Secret { id, secret } => {
                let secrets = loaded
                    .view
                    .callers
                    .get(id)
                    .map_or(&[][..], |caller| &caller.secrets);
                if !secret_matches(secrets, secret, self.wall()) {
                    return Err(unknown());
                }
                id.clone()
            }
            Credentials::Bearer(token) => {
                let authentic = self.read_own(&loaded, token, Stage::Request)?;
                self.judge_caller_token(&loaded, &authentic).await?
            }
            Credentials::Certificate { names, until } => self
                .judge_certificate(&loaded, names, *until)
                .map_err(|why| unknown().about(why))?,
            Credentials::RootKey(_) => return Err(unknown()),
        };
        let caller = loaded.view.callers.get(&id).ok_or_else(unknown)?;
        if !caller.disables.is_empty() {
            return Err(unknown().about("the caller is disabled"));
        }
        // A secret opens nothing but the door to a token.
        let roles = match credentials {
            Credentials::Bearer(_) | Credentials::Certificate { .. } => caller.roles.clone(),
            Credentials::Secret { .. } | Credentials::RootKey(_) => Vec::new(),
        };
        Ok(Identity {
            id,
            roles: roles.into(),
            tenants: caller.tenants.clone(),
        })
    }

    /// Whether the proof is of this node's root key.
    #[must_use]
    pub fn holds_root_key(expected: &[u8; 16], credentials: &Credentials) -> bool {
        match credentials {
            Credentials::RootKey(proof) => proof.ct_eq(expected).into(),
            Credentials::Bearer(_) | Credentials::Secret { .. } | Credentials::Certificate { .. } => false,
        }
    }

    /// The caller that a certificate means; `Err`: why it means none.
    fn judge_certificate(
        &self,
        loaded: &Loaded,
        names: &[String],
        until: Millis,
    ) -> Result<CallerId, &'static str> {
        // The handshake proved it alive; a connection lives longer than a certificate may.
        if until < self.wall() {
            return Err("the certificate has expired");
        }
        let known = &loaded.view.callers_by_certificate;
        let mut meant = names.iter().filter_map(|name| known.get(name.as_str()));
        let id = meant
            .next()
            .ok_or("no caller is registered for this certificate")?;
        if meant.any(|other| other != id) {
            return Err("the certificate means two callers");
        }
        Ok(id.clone())
    }

    async fn judge_caller_token(&self, loaded: &Loaded, token: &Authentic) -> Answer<CallerId> {
        let refuse = |reason| Refusal::new(Stage::Request, reason);
        if !token.is_access {
            return Err(refuse(Reason::TokenIsIdToken));
        }
        token.judge_time(self.wall(), Stage::Request)?;
        if !token.tenant.is_system || token.text("sid").is_some() {
            return Err(refuse(Reason::AudienceWrong).about("not a token for Curfew's own services"));
        }
        if token.text("aud") != Some(OWN_RESOURCE) {
            return Err(refuse(Reason::AudienceWrong).about("the audience is not `curfew`"));
        }
        if token.jws.claims().contains_key("cnf") {
            // No proof is looked at here, and a bound token is none without it.
            return Err(refuse(Reason::BindingMissing));
        }
        let id: CallerId = token
            .text("client_id")
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| refuse(Reason::ClaimMissing).about("client_id"))?;
        let tenant = token.tenant.id;
        let claims = JsonClaims::own(token.jws.claims(), token.kid())
            .map_err(|error| refuse(Reason::ClaimMalformed).about(error.to_string()))?;
        let subject: SubjectId = id.as_str().parse().map_err(|_| refuse(Reason::CallerUnknown))?;
        let key = loaded.ring.subject_key(tenant, &subject)?;
        let state = self.follower.of(key.partition());
        let is_fresh = state
            .as_ref()
            .is_some_and(|state| state.is_fresh(self.now(), self.config.staleness_ms));
        // A mark on a token that lives is in a fresh index, as it is in a guard's; the store is asked only
        // where this node cannot prove that it has heard of every mark (P40). Absence is no permission.
        let gate = if is_fresh {
            None
        } else {
            let gate = self.gate_of(key).await?;
            let gate = gate.filter(|gate| gate.subject == subject && gate.tenant == tenant);
            Some(gate.ok_or_else(|| refuse(Reason::CallerUnknown))?)
        };
        let wide = &loaded.view.wide_index;
        let own = state.as_ref().map(|state| &state.index);
        match mint::covered_by(tenant, gate.as_deref(), wide, own, &claims, Stage::Request)? {
            Some((by, _)) => Err(refuse(Reason::TokenRevoked).by(by)),
            None if gate.is_some_and(|gate| gate.is_disabled()) => Err(refuse(Reason::SubjectDisabled)),
            None => Ok(id),
        }
    }

    async fn gate_of(&self, key: curfew_core::ids::SubjectKey) -> Answer<Option<Arc<Gate>>> {
        let seen = self.see(key.partition(), &[Key::Gate(key)]).await?;
        Ok(seen.gate(key))
    }
}

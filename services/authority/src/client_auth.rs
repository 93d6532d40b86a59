//! Client authentication (RFC 6749 section 2.3, RFC 8705 section 2), from the directory alone.
//!
//! **Invariant:** comparison is constant-time, and a wrong secret costs no store access.

use std::sync::Arc;

use curfew_core::decide::mint::ProvenClient;
use curfew_core::directory::{Client, ClientAuthMethod, DirectoryView, SecretHash};
use curfew_core::ids::{ClientId, TenantId};
use curfew_core::mac::sha256;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::session::KeyBinding;
use curfew_core::time::Millis;
use subtle::ConstantTimeEq as _;

use crate::answer::Answer;

/// How a client proves itself in this call.
#[derive(Clone, Default)]
pub enum ClientProof {
    /// Not at all: a public client.
    #[default]
    None,
    /// Its secret.
    Secret(String),
    /// A certificate that the transport verified, by its `x5t#S256`.
    Certificate(Arc<str>),
}

impl std::fmt::Debug for ClientProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Secret(_) => "Secret(..)",
            Self::Certificate(_) => "Certificate(..)",
        })
    }
}

/// Whether one of the live secrets is this one; all are compared, in constant time.
pub(crate) fn secret_matches(secrets: &[SecretHash], secret: &str, now: Millis) -> bool {
    let hash = sha256(secret.as_bytes());
    let mut matched = false;
    for stored in secrets {
        let is_live = stored.expires_at.is_none_or(|end| now < end);
        matched |= bool::from(stored.sha256.ct_eq(&hash)) && is_live;
    }
    matched
}

/// Authenticates a client by its method; a public client is merely named.
fn prove_client(
    client: &Client,
    proof: &ClientProof,
    key: Option<KeyBinding>,
    now: Millis,
    stage: Stage,
) -> Answer<ProvenClient> {
    let failed = || Refusal::new(stage, Reason::ClientAuthenticationFailed).about(client.id.to_string());
    let is_authenticated = match (client.auth_method, proof) {
        (ClientAuthMethod::None, ClientProof::None) => false,
        (ClientAuthMethod::Secret, ClientProof::Secret(secret)) => {
            if !secret_matches(&client.secrets, secret, now) {
                return Err(failed());
            }
            true
        }
        (ClientAuthMethod::Mtls, ClientProof::Certificate(thumbprint)) => {
            if !client.certificates.contains(thumbprint) {
                return Err(failed());
            }
            true
        }
        // Another method than the registered one is no proof (RFC 9700 section 2.5).
        (
            ClientAuthMethod::None
            | ClientAuthMethod::Secret
            | ClientAuthMethod::PrivateKeyJwt
            | ClientAuthMethod::Mtls,
            _,
        ) => return Err(failed()),
    };
    Ok(ProvenClient {
        id: client.id.clone(),
        is_authenticated,
        key,
    })
}

/// What a client sent to prove itself, kept for as long as its request is decided.
///
/// A decision may wait for a cut-off to pass, and a secret that was ended together with it must not open
/// anything afterwards (Q5): the client is proven against the very directory that the decision stands on.
pub(crate) struct Claimant {
    tenant: TenantId,
    client: ClientId,
    proof: ClientProof,
    key: Option<KeyBinding>,
    stage: Stage,
}

impl Claimant {
    pub(crate) const fn new(
        tenant: TenantId,
        client: ClientId,
        proof: ClientProof,
        key: Option<KeyBinding>,
        stage: Stage,
    ) -> Self {
        Self {
            tenant,
            client,
            proof,
            key,
            stage,
        }
    }

    /// Proves it against this directory.
    pub(crate) fn prove(&self, directory: &DirectoryView, now: Millis) -> Answer<ProvenClient> {
        let client = directory
            .client(self.tenant, &self.client)
            .ok_or_else(|| unknown_client(&self.client, self.stage))?;
        prove_client(client, &self.proof, self.key.clone(), now, self.stage)
    }
}

/// The id of a client that does not exist is told as such: callers are trusted back ends.
fn unknown_client(id: &ClientId, stage: Stage) -> Refusal {
    Refusal::new(stage, Reason::ClientUnknown).about(id.to_string())
}

impl crate::Authority {
    /// Whether this is a secret of the client now, by the directory as it is loaded: for counting guesses.
    /// The use case proves the client itself, whatever was said here.
    #[must_use]
    pub fn is_client_secret(&self, tenant: TenantId, client: &ClientId, secret: &str) -> bool {
        let loaded = self.directory.loaded();
        let client = loaded.view.client(tenant, client);
        client.is_some_and(|client| secret_matches(&client.secrets, secret, self.wall()))
    }
}

//! A signing key behind the port.
//!
//! **Invariant:** it signs what it is given and tells its `kid`; the private half stays in `curfew-jose`.

use curfew_core::ids::KeyId;
use curfew_jose::SigningKey;
use curfew_ports::keys::{KeyError, Signer};

#[derive(Debug)]
pub(crate) struct JoseSigner {
    kid: KeyId,
    key: SigningKey,
}

impl JoseSigner {
    pub(crate) const fn new(kid: KeyId, key: SigningKey) -> Self {
        Self { kid, key }
    }
}

impl Signer for JoseSigner {
    fn kid(&self) -> &KeyId {
        &self.kid
    }

    fn sign(&self, typ: &str, claims: &[u8]) -> Result<String, KeyError> {
        self.key.sign_compact(typ, claims).map_err(|_| KeyError::Refused {
            what: "signing a token",
        })
    }
}

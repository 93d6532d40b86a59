//! Reads Curfew's own signed tokens: parse, key, signature, issuer, time. Kind is the caller's matter.
//!
//! **Invariant:** nothing is believed before the signature; `exp` and marks are checked on every call.

use std::sync::Arc;

use curfew_core::access_token::TYP_ACCESS;
use curfew_core::directory::Tenant;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::time::{LEEWAY_MS, Millis};
use curfew_jose::{Deviation, Jws, Limits, MalformedToken, SignatureRefused, numeric_date};

use crate::answer::Answer;
use crate::directory::Loaded;
use crate::node::Authority;

/// An authentic token of one of the tenants.
#[derive(Debug)]
pub(crate) struct Authentic {
    pub(crate) jws: Arc<Jws>,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) is_access: bool,
}

impl Authentic {
    pub(crate) fn kid(&self) -> Option<&str> {
        self.jws.kid()
    }

    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.jws.claims().get(claim)?.as_str()
    }

    pub(crate) fn instant(&self, claim: &str) -> Option<Millis> {
        numeric_date(self.jws.claims(), claim)
            .ok()
            .flatten()
            .map(Millis::from_unix_ms)
    }

    /// Whether its time is over, or has not come.
    pub(crate) fn judge_time(&self, now: Millis, stage: Stage) -> Answer<()> {
        let missing = |claim: &str| Refusal::new(stage, Reason::ClaimMissing).about(claim.to_owned());
        let expires_at = self.instant("exp").ok_or_else(|| missing("exp"))?;
        let issued_at = self.instant("iat").ok_or_else(|| missing("iat"))?;
        if now.ms_since(expires_at) >= LEEWAY_MS {
            return Err(Refusal::new(stage, Reason::TokenExpired));
        }
        if issued_at.ms_since(now) > LEEWAY_MS {
            return Err(Refusal::new(stage, Reason::TokenNotYetValid));
        }
        Ok(())
    }
}

impl Authority {
    /// Reads a token of ours; its kind and time are not judged yet.
    pub(crate) fn read_own(&self, loaded: &Loaded, token: &str, stage: Stage) -> Answer<Authentic> {
        let refuse = |reason| Refusal::new(stage, reason);
        let key_of = |jws: &Jws| {
            let kid = jws.kid().ok_or(Unread::NoKeyId)?;
            loaded.ring.key_set().get(kid).ok_or(Unread::KeyUnknown)
        };
        let jws = self
            .tokens
            .read(token, Limits::DEFAULT, key_of)
            .map_err(|unread| unread.told(stage))?;
        let issuer = jws
            .claims()
            .get("iss")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        let tenant = loaded
            .tenant_of_issuer(issuer)
            .ok_or_else(|| refuse(Reason::IssuerUnknown))?;
        let names_tenant =
            jws.claims().get("tid").and_then(serde_json::Value::as_str) == Some(&*tenant.id.to_string());
        if !names_tenant {
            return Err(refuse(Reason::ClaimMissing).about("tid"));
        }
        Ok(Authentic {
            tenant: tenant.clone(),
            is_access: jws.is_typ(TYP_ACCESS),
            jws,
        })
    }
}

/// Why a token could not be read as one of ours.
enum Unread {
    Malformed(MalformedToken),
    NoKeyId,
    KeyUnknown,
    Signature(SignatureRefused),
}

impl From<MalformedToken> for Unread {
    fn from(error: MalformedToken) -> Self {
        Self::Malformed(error)
    }
}

impl From<SignatureRefused> for Unread {
    fn from(refused: SignatureRefused) -> Self {
        Self::Signature(refused)
    }
}

impl Unread {
    fn told(self, stage: Stage) -> Refusal {
        let refuse = |reason| Refusal::new(stage, reason);
        match self {
            Self::Malformed(error) => refuse(reason_of(&error)).about(error.to_string()),
            Self::NoKeyId => refuse(Reason::KeyUnknown).about("no kid"),
            Self::KeyUnknown => refuse(Reason::KeyUnknown),
            Self::Signature(SignatureRefused::WrongAlgorithm(_)) => refuse(Reason::AlgorithmRefused),
            Self::Signature(SignatureRefused::BadSignature) => refuse(Reason::SignatureWrong),
        }
    }
}

const fn reason_of(error: &MalformedToken) -> Reason {
    match error.deviation() {
        Deviation::Critical => Reason::CriticalHeader,
        Deviation::Algorithm => Reason::AlgorithmRefused,
        Deviation::Form => Reason::TokenMalformed,
    }
}

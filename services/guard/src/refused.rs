//! A refusal with what its challenge needs.
//!
//! **Invariant:** nothing of the token's content is in here but whether its client handles challenges;
//! a claim is named, its value never told.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use curfew_core::refusal::{AtResource, Reason, Refusal};
use curfew_core::time::Millis;

/// A refusal, and what a challenge says besides. Reads as the core's [`Refusal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Refused(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    refusal: Refusal,
    more: More,
    /// Where the catalogue is.
    error_pages: Option<Arc<str>>,
}

/// What a challenge says besides the refusal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct More {
    /// The client said `cp1`: only then is a claims challenge sent (Entra's client capability).
    pub(crate) cp1: bool,
    /// A new token must not be older than this: the cut-off, or the decision where there is none.
    pub(crate) not_issued_before: Option<Millis>,
    /// Where a claims challenge points.
    pub(crate) authorization_uri: Option<String>,
    /// The scopes that the route asks for.
    pub(crate) scopes: Vec<String>,
    /// What the subject is to prove (RFC 9470).
    pub(crate) step_up: Option<StepUp>,
    /// When to come again, s.
    pub(crate) retry_after_s: Option<u32>,
}

/// What the subject is to prove before the call is allowed (RFC 9470 section 3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepUp {
    /// Authentication contexts, any of which suffices.
    pub acr_values: Vec<String>,
    /// How long ago it may have been, s.
    pub max_age_s: Option<i64>,
}

impl Refused {
    pub(crate) fn new(refusal: Refusal, more: More) -> Self {
        Self(Box::new(Inner {
            refusal,
            more,
            error_pages: None,
        }))
    }

    /// The refusal itself.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        &self.0.refusal
    }

    /// Whether a repetition with the same token may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.answer() == AtResource::Unavailable
    }

    /// When to come again, s.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        self.0.more.retry_after_s
    }

    /// The word of the RFCs: RFC 6750 section 3.1, RFC 9470 section 3.
    #[must_use]
    pub fn rfc_word(&self) -> &'static str {
        if self.0.more.step_up.is_some() {
            "insufficient_user_authentication"
        } else {
            self.0.refusal.reason.rfc_word()
        }
    }

    /// The catalogue's entry; `None`: this guard does not know where the catalogue is.
    #[must_use]
    pub fn error_uri(&self) -> Option<String> {
        let pages = self.0.error_pages.as_ref()?;
        Some(format!("{pages}/{}", self.0.refusal.reason.code()))
    }

    /// With the place of the catalogue.
    pub(crate) fn explained_at(mut self, error_pages: Option<Arc<str>>) -> Self {
        self.0.error_pages = error_pages;
        self
    }

    pub(crate) fn set_not_issued_before(&mut self, instant: Millis) {
        self.0.more.not_issued_before = Some(instant);
    }

    pub(crate) fn more(&self) -> &More {
        &self.0.more
    }

    pub(crate) fn answer(&self) -> AtResource {
        if self.0.more.step_up.is_some() {
            return AtResource::Unauthenticated;
        }
        self.0.refusal.reason.at_resource()
    }

    /// What the catalogue calls it, without the prefix that a domain says anyway.
    #[must_use]
    pub fn short_code(&self) -> &'static str {
        short_code(self.0.refusal.reason)
    }
}

/// `CURFEW_TOKEN_REVOKED` is `TOKEN_REVOKED` in the domain `curfew`.
pub(crate) fn short_code(reason: Reason) -> &'static str {
    let code = reason.code();
    code.strip_prefix("CURFEW_").unwrap_or(code)
}

impl Deref for Refused {
    type Target = Refusal;

    fn deref(&self) -> &Refusal {
        &self.0.refusal
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal, More::default())
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.refusal, f)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.refusal, f)
    }
}

impl std::error::Error for Refused {}

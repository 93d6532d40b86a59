//! Fields, parsed and bounded; what is wrong is gathered, and told all at once.
//!
//! **Invariant:** nothing reaches a use case whose length was not bounded here.

use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_authority::operation_of;
use curfew_core::decide::Motive;
use curfew_core::ids::{Cause, OperationId, Scope};
use curfew_core::record::{Initiator, OperationRef};
use curfew_core::session::{CLAIMS_BYTES_MAX, KeyBinding};
use curfew_core::time::Millis;
use curfew_proto::revocation::v1::AckLevel;
use prost::Message;
use tonic_types::FieldViolation;

use crate::convert;

/// Bytes of an ordinary text: names, words, ids of others.
pub(crate) const TEXT_MAX: usize = 255;
/// Bytes of a user agent, an address, a distinguished name.
pub(crate) const LONG_TEXT_MAX: usize = 1_024;
/// Bytes of a presented token.
pub(crate) const TOKEN_MAX: usize = 16 << 10;
/// Items of an ordinary list.
pub(crate) const LIST_MAX: usize = 64;

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Check {
    faults: Vec<FieldViolation>,
}

impl Check {
    /// A fault in a field.
    pub(crate) fn fault(&mut self, field: impl Into<String>, why: impl Into<String>) {
        // A list of a thousand wrong items is told by its first hundred.
        if self.faults.len() < 100 {
            self.faults.push(FieldViolation::new(field, why));
        }
    }

    /// The parsed request, or the faults.
    pub(crate) fn done<T>(self, parsed: Option<T>) -> Result<T, Vec<FieldViolation>> {
        match parsed {
            Some(parsed) if self.faults.is_empty() => Ok(parsed),
            Some(_) | None => Err(self.faults),
        }
    }

    /// Why something ends, who began it, and the caller's own marks; a word that is absent has its default.
    pub(crate) fn motive(
        &mut self,
        operation: Option<OperationRef>,
        (cause, cause_absent): (&str, &str),
        (initiator, initiator_absent): (i32, Initiator),
        correlation_id: &str,
    ) -> Option<Motive> {
        let cause = self.cause(cause, cause_absent);
        let initiator = self.initiator(initiator, initiator_absent);
        let correlation_id = self.correlation(correlation_id);
        Some(Motive {
            cause: cause?,
            initiator: initiator?,
            operation,
            correlation_id,
        })
    }

    /// A field that this release does not know what to do with.
    pub(crate) fn unsupported(&mut self, field: &str, is_set: bool) {
        if is_set {
            self.fault(field, "not supported by this release; leave it unset");
        }
    }

    /// An identifier or word that must be there.
    pub(crate) fn id<T>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if text.is_empty() {
            self.fault(field, "required");
            return None;
        }
        match text.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.fault(field, error.to_string());
                None
            }
        }
    }

    /// The same, which may be absent. `None`: a fault.
    pub(crate) fn optional_id<T>(&mut self, field: &str, text: &str) -> Option<Option<T>>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if text.is_empty() {
            return Some(None);
        }
        self.id(field, text).map(Some)
    }

    /// A text of at most `max` bytes without control characters; empty: absent.
    pub(crate) fn text(&mut self, field: &str, text: &str, max: usize) -> Option<Arc<str>> {
        if text.len() > max {
            self.fault(field, format!("longer than {max} bytes"));
            return None;
        }
        if text.chars().any(char::is_control) {
            self.fault(field, "holds a control character");
            return None;
        }
        (!text.is_empty()).then(|| text.into())
    }

    /// A text that must be there.
    pub(crate) fn required(&mut self, field: &str, text: &str, max: usize) -> Option<Arc<str>> {
        if text.is_empty() {
            self.fault(field, "required");
        }
        self.text(field, text, max)
    }

    /// Whether a list is within its bound.
    pub(crate) fn count(&mut self, field: &str, count: usize, max: usize) -> bool {
        if count > max {
            self.fault(field, format!("more than {max} items"));
        }
        count <= max
    }

    /// A list of identifiers or words.
    pub(crate) fn ids<T>(&mut self, field: &str, texts: &[String], max: usize) -> Vec<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if !self.count(field, texts.len(), max) {
            return Vec::new();
        }
        texts
            .iter()
            .enumerate()
            .filter_map(|(i, text)| self.id(&format!("{field}[{i}]"), text))
            .collect()
    }

    /// A list of scopes or roles, each once.
    pub(crate) fn scopes(&mut self, field: &str, texts: &[String]) -> Vec<Scope> {
        let mut scopes: Vec<Scope> = self.ids(field, texts, LIST_MAX);
        let mut seen = std::collections::BTreeSet::new();
        scopes.retain(|scope| seen.insert(scope.clone()));
        scopes
    }

    /// A list of texts, none empty.
    pub(crate) fn texts(
        &mut self,
        field: &str,
        texts: &[String],
        max: usize,
        bytes_max: usize,
    ) -> Vec<Arc<str>> {
        if !self.count(field, texts.len(), max) {
            return Vec::new();
        }
        texts
            .iter()
            .enumerate()
            .filter_map(|(i, text)| self.required(&format!("{field}[{i}]"), text, bytes_max))
            .collect()
    }

    /// An instant that may be absent. The outer `None`: a fault.
    pub(crate) fn instant(
        &mut self,
        field: &str,
        at: Option<prost_types::Timestamp>,
    ) -> Option<Option<Millis>> {
        let Some(at) = at else { return Some(None) };
        match convert::millis(at) {
            Some(at) => Some(Some(at)),
            None => {
                self.fault(field, "not an instant between the years 1970 and 9999");
                None
            }
        }
    }

    /// An instant of the caller's clock that may lie `leeway_ms` ahead of this node's, not more.
    pub(crate) fn passed(&mut self, field: &str, at: Millis, now: Millis, leeway_ms: i64) {
        let ahead = at.as_unix_ms().saturating_sub(now.as_unix_ms());
        if ahead > leeway_ms {
            let seconds = ahead / 1_000;
            self.fault(
                field,
                format!(
                    "{seconds} s in the future by this node's clock: set the clock of whoever calls, \
                     or leave the field out, which means now"
                ),
            );
        }
    }

    /// A time that may be absent, in ms, at least `least`. The outer `None`: a fault.
    pub(crate) fn span_ms(
        &mut self,
        field: &str,
        span: Option<prost_types::Duration>,
        least_ms: i64,
    ) -> Option<Option<i64>> {
        let Some(span) = span else { return Some(None) };
        match convert::span_ms(span).filter(|ms| *ms >= least_ms) {
            Some(ms) => Some(Some(ms)),
            None => {
                self.fault(field, format!("not between {least_ms} ms and 100 years"));
                None
            }
        }
    }

    /// A JSON object of at most 4 KiB.
    pub(crate) fn claims(
        &mut self,
        field: &str,
        claims: Option<prost_types::Struct>,
    ) -> serde_json::Map<String, serde_json::Value> {
        let Some(claims) = claims else {
            return serde_json::Map::new();
        };
        let Some(claims) = convert::json_of_struct(claims) else {
            self.fault(field, "holds a number that JSON cannot, or is nested too deeply");
            return serde_json::Map::new();
        };
        let bytes = serde_json::to_vec(&claims).map_or(usize::MAX, |json| json.len());
        if bytes > CLAIMS_BYTES_MAX {
            self.fault(field, format!("longer than {CLAIMS_BYTES_MAX} bytes as JSON"));
        }
        claims
    }

    /// The caller's operation: its id, and what it is about.
    pub(crate) fn operation<T: Message>(
        &mut self,
        id: &str,
        method: &str,
        request: &T,
    ) -> Option<OperationRef> {
        let id: OperationId = self.id("request_id", id)?;
        Some(operation_of(id, method, &request.encode_to_vec()))
    }

    /// The caller's correlation id.
    pub(crate) fn correlation(&mut self, text: &str) -> Option<Arc<str>> {
        self.text("correlation_id", text, 128)
    }

    /// A cause; empty: the given one.
    pub(crate) fn cause(&mut self, text: &str, otherwise: &str) -> Option<Cause> {
        self.id("cause", if text.is_empty() { otherwise } else { text })
    }

    /// The class of whoever began it; unspecified: the given one.
    pub(crate) fn initiator(&mut self, number: i32, otherwise: Initiator) -> Option<Initiator> {
        match convert::initiator(number) {
            Some(initiator) => Some(initiator.unwrap_or(otherwise)),
            None => {
                self.fault("initiator", "no such value");
                None
            }
        }
    }

    /// The level asked for.
    pub(crate) fn level(&mut self, field: &str, number: i32) -> Option<Asked> {
        match AckLevel::try_from(number) {
            Ok(AckLevel::Unspecified | AckLevel::Durable) => Some(Asked::Durable),
            Ok(AckLevel::Stored) => Some(Asked::Stored),
            Ok(AckLevel::Enforced) => Some(Asked::Enforced),
            Err(_) => {
                self.fault(field, "no such value");
                None
            }
        }
    }

    /// A SHA-256 as base64url.
    pub(crate) fn thumbprint(&mut self, field: &str, text: &str) -> Option<Arc<str>> {
        let is_one = URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32);
        if !is_one {
            self.fault(field, "not a SHA-256 as base64url without padding");
        }
        is_one.then(|| text.into())
    }

    /// The key that a client proved to hold.
    pub(crate) fn key(&mut self, proof: Option<&curfew_proto::token::v1::KeyProof>) -> Option<KeyBinding> {
        use curfew_proto::token::v1::key_proof::Proof;
        match proof?.proof.as_ref() {
            Some(Proof::DpopJkt(jkt)) => self.thumbprint("key_proof.dpop_jkt", jkt).map(KeyBinding::Dpop),
            Some(Proof::X5tS256(x5t)) => self.thumbprint("key_proof.x5t_s256", x5t).map(KeyBinding::Mtls),
            None => {
                self.fault("key_proof.proof", "required where `key_proof` is set");
                None
            }
        }
    }
}

/// A level that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// The store has it.
    Stored,
    /// The log has it.
    Durable,
    /// Whoever must apply it has, or its bound is over.
    Enforced,
}

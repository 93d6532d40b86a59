//! What can be said of a token by its text alone: its kind, its claims, and whether form and time are right.
//!
//! **Invariant:** nothing here is proven: no key is looked for, and a signature is neither checked nor kept to be shown.

use curfew_core::refresh_token::{PREFIX, TEXT_LEN};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::time::{LEEWAY_MS, Millis};
use curfew_jose::{Deviation, Jws, Limits, MalformedToken, numeric_date};
use serde_json::{Map, Value};

/// Claims that providers put into ID tokens (OIDC Core sections 2 and 3.3.2.11).
const ID_TOKEN_CLAIMS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// What a token is, as far as its text tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// An access token of a user.
    Access,
    /// An access token of an application itself.
    App,
    /// An access token that was exchanged for another.
    Exchanged,
    /// An ID token, of whichever issuer.
    Id,
    /// A refresh token of Curfew.
    Refresh,
    /// An access token of another issuer.
    Foreign,
    /// A refresh token of another issuer.
    ForeignRefresh,
    /// A signed token that is for something else.
    Other,
    /// No token that can be read.
    Unreadable,
}

impl Kind {
    /// For programs.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::App => "app",
            Self::Exchanged => "exchanged",
            Self::Id => "id",
            Self::Refresh => "refresh",
            Self::Foreign => "foreign",
            Self::ForeignRefresh => "foreignRefresh",
            Self::Other => "other",
            Self::Unreadable => "unreadable",
        }
    }

    /// For people.
    pub(super) const fn told(self) -> &'static str {
        match self {
            Self::Access => "an access token of a user (RFC 9068)",
            Self::App => "an access token of an application itself (RFC 9068)",
            Self::Exchanged => "an access token that was exchanged for another (RFC 8693)",
            Self::Id => "an ID token: it says who, to a client, and authorizes nothing",
            Self::Refresh => "a refresh token of Curfew: opaque to everybody but the node",
            Self::Foreign => "an access token of another issuer",
            Self::ForeignRefresh => "a refresh token of another issuer",
            Self::Other => "a signed token that is neither an access token nor an ID token",
            Self::Unreadable => "no token that can be read",
        }
    }
}

/// A token, read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) kind: Kind,
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// What is wrong with its form.
    malformed: Option<Refusal>,
}

/// Every token is judged as if an API had been called with it.
pub(super) fn refusal(reason: Reason) -> Refusal {
    Refusal::new(Stage::ResourceCall, reason)
}

impl Read {
    pub(super) fn of(text: &str) -> Self {
        let opaque = |kind, malformed| Self {
            kind,
            header: Map::new(),
            claims: Map::new(),
            malformed,
        };
        if text.starts_with(PREFIX) {
            let length = text.len();
            let malformed = (length != TEXT_LEN).then(|| {
                refusal(Reason::TokenMalformed).about(format!("{length} characters, not {TEXT_LEN}"))
            });
            return opaque(Kind::Refresh, malformed);
        }
        match Jws::parse(text, Limits::DEFAULT) {
            Ok(jws) => Self {
                kind: kind_of(&jws),
                header: jws.header().clone(),
                claims: jws.into_claims(),
                malformed: None,
            },
            Err(malformed) => opaque(Kind::Unreadable, Some(unreadable(&malformed))),
        }
    }

    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Its audiences: a text or a list of texts (RFC 7519 section 4.1.3).
    pub(super) fn audiences(&self) -> Vec<&str> {
        texts(self.claims.get("aud"))
    }

    /// Its scopes: `scp`, or `scope` of issuers that follow RFC 9068 to the letter; a list, or words.
    pub(super) fn scopes(&self) -> Vec<&str> {
        let claim = self.claims.get("scp").or_else(|| self.claims.get("scope"));
        texts(claim).into_iter().flat_map(str::split_whitespace).collect()
    }

    /// Its roles.
    pub(super) fn roles(&self) -> Vec<&str> {
        texts(self.claims.get("roles"))
    }

    /// An instant that it carries.
    pub(super) fn instant(&self, name: &str) -> Option<Millis> {
        let ms = numeric_date(&self.claims, name).ok().flatten();
        ms.map(Millis::from_unix_ms)
    }

    /// Why it is refused whatever anybody else says: it cannot be read, or is of a wrong sort.
    pub(super) fn judge_form(&self) -> Option<Refusal> {
        if self.malformed.is_some() {
            return self.malformed.clone();
        }
        match self.kind {
            Kind::Other => Some(refusal(Reason::TokenTypeUnknown)),
            Kind::Refresh | Kind::ForeignRefresh | Kind::Unreadable => None,
            Kind::Access | Kind::App | Kind::Exchanged | Kind::Id | Kind::Foreign => {
                let lacks = |name: &&str| !self.claims.get(*name).is_some_and(Value::is_string);
                ["iss"].iter().find(|name| lacks(name)).map(|name| missing(name))
            }
        }
    }

    /// Why it would be refused where it was sent to, and now; in the order of a guard's checks.
    pub(super) fn judge(&self, sent_to: Option<&str>, now: Millis) -> Option<Refusal> {
        match (self.kind, sent_to) {
            (Kind::Refresh | Kind::ForeignRefresh, Some(_)) => {
                return Some(refusal(Reason::TokenIsRefreshToken));
            }
            (Kind::Id, Some(_)) => return Some(refusal(Reason::TokenIsIdToken)),
            (Kind::Refresh | Kind::Unreadable | Kind::Other, _) => return None,
            (Kind::Access | Kind::App | Kind::Exchanged | Kind::Foreign, Some(sent_to)) => {
                let audiences = self.audiences();
                if audiences.is_empty() {
                    return Some(missing("aud"));
                }
                if !audiences.contains(&sent_to) {
                    let about = format!("it is for {}, and was sent to {sent_to}", audiences.join(", "));
                    return Some(refusal(Reason::AudienceWrong).about(about));
                }
            }
            (
                Kind::Access | Kind::App | Kind::Exchanged | Kind::Foreign | Kind::Id | Kind::ForeignRefresh,
                None,
            ) => {}
        }
        self.judge_time(now)
    }

    fn judge_time(&self, now: Millis) -> Option<Refusal> {
        for name in ["exp", "nbf", "iat"] {
            if let Err(wrong) = numeric_date(&self.claims, name) {
                return Some(refusal(Reason::ClaimMalformed).about(wrong.to_string()));
            }
        }
        let Some(expires_at) = self.instant("exp") else {
            return Some(missing("exp"));
        };
        if now >= expires_at.plus_ms(LEEWAY_MS) {
            return Some(refusal(Reason::TokenExpired));
        }
        let is_ahead = |name: &&str| self.instant(name).is_some_and(|at| at.ms_since(now) > LEEWAY_MS);
        let ahead = ["nbf", "iat"].into_iter().find(|name| is_ahead(name))?;
        Some(refusal(Reason::TokenNotYetValid).about(format!("claim `{ahead}`")))
    }
}

fn missing(name: &str) -> Refusal {
    refusal(Reason::ClaimMissing).about(format!("claim `{name}`"))
}

fn texts(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

fn kind_of(jws: &Jws) -> Kind {
    let claims = jws.claims();
    let has = |name: &str| claims.contains_key(name);
    let says = |name: &str, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
    if jws.is_typ("at+jwt") {
        // What every access token of Curfew has, and hardly another issuer's.
        let is_own = has("tid") && has("gid");
        return match (is_own, has("chain"), has("sid")) {
            (false, _, _) => Kind::Foreign,
            (true, true, _) => Kind::Exchanged,
            (true, false, true) => Kind::Access,
            (true, false, false) => Kind::App,
        };
    }
    if jws.typ().is_some() && !jws.is_typ("JWT") {
        return Kind::Other;
    }
    // Keycloak says what a token is in the claim `typ`, Cognito in `token_use`.
    if says("typ", "Refresh") || says("typ", "Offline") {
        return Kind::ForeignRefresh;
    }
    let authorizes = ["scp", "scope", "roles"].iter().any(|name| has(name));
    let is_id = says("typ", "ID")
        || says("token_use", "id")
        || ID_TOKEN_CLAIMS.iter().any(|name| has(name))
        || !(authorizes || says("typ", "Bearer") || says("token_use", "access"));
    if is_id { Kind::Id } else { Kind::Foreign }
}

fn unreadable(malformed: &MalformedToken) -> Refusal {
    let reason = match malformed.deviation() {
        Deviation::Critical => Reason::CriticalHeader,
        Deviation::Algorithm => Reason::AlgorithmRefused,
        Deviation::Form => Reason::TokenMalformed,
    };
    // RFC 7516: an encrypted token can be read by whoever it is for, and by nobody else.
    let what = if matches!(malformed, MalformedToken::Segments { found: 5 }) {
        "five segments: an encrypted token (JWE)".to_owned()
    } else if matches!(malformed, MalformedToken::Segments { found: 1 }) {
        "one segment: an opaque token, or none at all".to_owned()
    } else {
        malformed.to_string()
    };
    refusal(reason).about(what)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

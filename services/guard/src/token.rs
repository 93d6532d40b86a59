//! Reading a token: its form, its type, its kind, the claims that its kind must have.
//!
//! Everything here is a function of the token and of the issuer entry; nothing depends on time, so
//! what was read stays true for as long as the token is held.
//!
//! **Invariant:** an ID token or a refresh token never passes for an access token, and is refused by that name.
//! **Invariant:** a claim that is compared is a string; any other type is refused by the claim's name.

use std::sync::Arc;

use curfew_core::claims::{JsonClaims, Malformed};
use curfew_core::ids::{GrantId, SessionId, TokenId};
use curfew_core::place::Partition;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::session::KeyBinding;
use curfew_jose::{Deviation, Jws, Limits};
use serde_json::{Map, Value};

use crate::config::{Foreign, Issuer};
use crate::validity::Times;

/// How a refresh token of Curfew begins (DESIGN section 3).
const REFRESH_PREFIX: &str = "cfr_";
/// `typ` of an access token (RFC 9068 section 2.1).
const ACCESS_TYP: &str = "at+jwt";
/// Claims that providers put into ID tokens (OIDC Core sections 2 and 3.3.2.11).
const ID_TOKEN_CLAIMS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// What kind of access token it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A client acts for a user: `scp`, `sid`.
    Delegated,
    /// A client acts for itself: `roles`, no user and no `sid`.
    AppOnly,
    /// Another provider's.
    Foreign,
}

/// The store partitions whose records may cover a token, usually one, and the ids that name them.
#[derive(Clone, Debug)]
pub(crate) struct Partitions {
    first: Partition,
    others: Vec<Partition>,
    pub(crate) gid: Option<GrantId>,
    pub(crate) sid: Option<SessionId>,
}

impl Partitions {
    const fn one(first: Partition) -> Self {
        Self {
            first,
            others: Vec::new(),
            gid: None,
            sid: None,
        }
    }

    fn add(&mut self, partition: Partition) {
        if partition != self.first && !self.others.contains(&partition) {
            self.others.push(partition);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Partition> + '_ {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }
}

/// A token whose form, type, signature, issuer, audience and kind are right.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) kind: Kind,
    pub(crate) partitions: Partitions,
    pub(crate) times: Times,
    pub(crate) claims: Map<String, Value>,
    pub(crate) kid: Box<str>,
}

pub(crate) fn refusal(reason: Reason) -> Refusal {
    Refusal::new(Stage::ResourceCall, reason)
}

/// Reads the form, before any key is looked for.
pub(crate) fn decode(token: &str) -> Result<Jws, Refusal> {
    if token.is_empty() {
        return Err(refusal(Reason::TokenMissing));
    }
    if token.starts_with(REFRESH_PREFIX) {
        return Err(refusal(Reason::TokenIsRefreshToken));
    }
    Jws::parse(token, Limits::DEFAULT).map_err(|malformed| {
        let reason = match malformed.deviation() {
            Deviation::Critical => Reason::CriticalHeader,
            Deviation::Algorithm => Reason::AlgorithmRefused,
            Deviation::Form => Reason::TokenMalformed,
        };
        // jose names the deviation and never the content.
        refusal(reason).about(malformed.to_string())
    })
}

/// What a token says in `iss`, unverified: good for finding an entry and for nothing else.
pub(crate) fn claimed_issuer(jws: &Jws) -> Result<&str, Refusal> {
    required(jws.claims(), "iss")
}

/// Judges `typ`, so that a token of another sort is refused by its own name.
pub(crate) fn judge_type(jws: &Jws, issuer: &Issuer) -> Result<(), Refusal> {
    match &issuer.foreign {
        None => judge_own_type(jws),
        Some(foreign) => judge_foreign_type(jws, foreign),
    }
}

fn judge_own_type(jws: &Jws) -> Result<(), Refusal> {
    if jws.is_typ(ACCESS_TYP) {
        return Ok(());
    }
    // Curfew's ID tokens are plain JWTs, have an audience that is a client, and authorize nothing.
    let is_plain = jws.typ().is_none() || jws.is_typ("JWT");
    let authorizes = jws.claims().contains_key("scp") || jws.claims().contains_key("roles");
    let says_nonce = jws.claims().contains_key("nonce");
    let reason = if is_plain && (says_nonce || !authorizes) {
        Reason::TokenIsIdToken
    } else {
        Reason::TokenTypeUnknown
    };
    Err(refusal(reason))
}

/// Other providers send `at+jwt`, `JWT` or nothing; what their ID tokens look like is known by signs.
fn judge_foreign_type(jws: &Jws, foreign: &Foreign) -> Result<(), Refusal> {
    if jws.is_typ(ACCESS_TYP) {
        return Ok(());
    }
    if jws.typ().is_some() && !jws.is_typ("JWT") {
        return Err(refusal(Reason::TokenTypeUnknown));
    }
    let claims = jws.claims();
    let says = |name: &str, values: &[&str]| {
        claims
            .get(name)
            .and_then(Value::as_str)
            .is_some_and(|said| values.contains(&said))
    };
    // Keycloak says what a token is in the claim `typ`, Cognito in `token_use`.
    if says("typ", &["Refresh", "Offline"]) {
        return Err(refusal(Reason::TokenIsRefreshToken));
    }
    let by_name = says("typ", &["ID"]) || says("token_use", &["id"]);
    let by_claim = ID_TOKEN_CLAIMS
        .iter()
        .any(|name| claims.contains_key(*name) && !foreign.carries.contains(*name));
    let by_audience = audiences(claims)?.any(|audience| foreign.client_ids.contains(audience))
        && !audiences(claims)?.any(|audience| foreign.audiences.iter().any(|own| own == audience));
    if by_name || by_claim || by_audience {
        return Err(refusal(Reason::TokenIsIdToken));
    }
    Ok(())
}

/// Whether one of the token's audiences is one of these.
pub(crate) fn judge_audience(claims: &Map<String, Value>, own: &[String]) -> Result<(), Refusal> {
    let mut any = false;
    for audience in audiences(claims)? {
        any = true;
        if own.iter().any(|own| own == audience) {
            return Ok(());
        }
    }
    Err(if any {
        refusal(Reason::AudienceWrong)
    } else {
        refusal(Reason::ClaimMissing).about("claim `aud`")
    })
}

/// `aud` is a string or a list of strings (RFC 7519 section 4.1.3).
fn audiences(claims: &Map<String, Value>) -> Result<impl Iterator<Item = &str>, Refusal> {
    let list = match claims.get("aud") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(list)) => list.as_slice(),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(malformed("aud")),
    };
    if list.iter().any(|audience| !audience.is_string()) {
        return Err(malformed("aud"));
    }
    Ok(list.iter().filter_map(Value::as_str))
}

/// The kind, by the claims that each must have (DESIGN section 8), and the partitions that its ids name.
pub(crate) fn judge_kind(
    claims: &Map<String, Value>,
    issuer: &Issuer,
) -> Result<(Kind, Partitions), Refusal> {
    if let Some(foreign) = &issuer.foreign {
        required(claims, "sub")?;
        return Ok((Kind::Foreign, Partitions::one(foreign.partition)));
    }
    for name in ["sub", "client_id"] {
        required(claims, name)?;
    }
    let jti: TokenId = born(claims, "jti")?;
    let gid: GrantId = born(claims, "gid")?;
    if required(claims, "tid")? != issuer.tenant.to_string() {
        return Err(refusal(Reason::IssuerUnknown).about("`tid` is not the tenant of this issuer"));
    }
    let mut partitions = Partitions {
        gid: Some(gid),
        ..Partitions::one(gid.partition())
    };
    partitions.add(jti.partition());
    let has = |name: &str| claims.get(name).is_some_and(|value| !value.is_null());
    let kind = match (has("scp"), has("roles"), has("sid")) {
        (true, false, true) => {
            required(claims, "scp")?;
            required(claims, "oid")?;
            let sid: SessionId = born(claims, "sid")?;
            partitions.add(sid.partition());
            partitions.sid = Some(sid);
            Kind::Delegated
        }
        (false, true, false) => {
            if GrantId::of_token(jti) != gid {
                return Err(mixture("an application's token, whose `gid` is not its `jti`"));
            }
            if has("auth_time") {
                return Err(mixture(
                    "an application's token that says when a user authenticated",
                ));
            }
            texts(claims, "roles")?;
            Kind::AppOnly
        }
        (true, false, false) => return Err(refusal(Reason::ClaimMissing).about("claim `sid`")),
        (false, false, true) => return Err(refusal(Reason::ClaimMissing).about("claim `scp`")),
        (false, false, false) => return Err(refusal(Reason::ClaimMissing).about("claim `scp` or `roles`")),
        (true, true, _) => return Err(mixture("both `scp` and `roles`")),
        (false, true, true) => return Err(mixture("both `roles` and `sid`")),
    };
    // An exchanged token also dies by its links, whose records lie where their ids say (finding Q11).
    for link in curfew_core::claims::Claims::links(&own_claims(claims, None)?) {
        let gid: GrantId = link.gid.parse().map_err(|_| malformed("chain"))?;
        partitions.add(gid.partition());
    }
    Ok((kind, partitions))
}

/// The claims as the coverage function reads them.
pub(crate) fn own_claims<'a>(
    claims: &'a Map<String, Value>,
    kid: Option<&'a str>,
) -> Result<JsonClaims<'a>, Refusal> {
    JsonClaims::own(claims, kid).map_err(|cause| of_malformed(&cause))
}

/// A claim that cannot be compared, as a refusal.
pub(crate) fn of_malformed(malformed: &Malformed) -> Refusal {
    let reason = match malformed {
        Malformed::Claim { .. } | Malformed::Chain => Reason::ClaimMalformed,
        Malformed::TooManyLookUps { .. } => Reason::TooManyLookUps,
    };
    refusal(reason).about(malformed.to_string())
}

/// Compares the token's `cnf` with the key that its sender proved (RFC 9449 section 7.1, RFC 8705 section 3).
pub(crate) fn judge_binding(claims: &Map<String, Value>, proven: Option<&KeyBinding>) -> Result<(), Refusal> {
    let members = match claims.get("cnf") {
        None | Some(Value::Null) => {
            return match proven {
                // Whoever speaks DPoP says that the token is bound; an unbound one is not the one it proved.
                Some(KeyBinding::Dpop(_)) => {
                    Err(refusal(Reason::BindingWrong).about("the token is bound to no key"))
                }
                // A client certificate is a matter of the connection; the token need not know it.
                Some(KeyBinding::Mtls(_)) | None => Ok(()),
            };
        }
        Some(Value::Object(members)) if !members.is_empty() => members,
        Some(_) => return Err(malformed("cnf")),
    };
    for (name, value) in members {
        let expected = value.as_str().ok_or_else(|| malformed("cnf"))?;
        match (name.as_str(), proven) {
            ("jkt", Some(KeyBinding::Dpop(key))) | ("x5t#S256", Some(KeyBinding::Mtls(key))) => {
                if **key != *expected {
                    return Err(refusal(Reason::BindingWrong));
                }
            }
            // Also a confirmation method that is not known here: it cannot have been proven.
            (_, _) => return Err(refusal(Reason::BindingMissing)),
        }
    }
    Ok(())
}

/// The scopes: `scp` as one text or a list, or `scope` (RFC 8693 section 4.2).
pub(crate) fn scopes(claims: &Map<String, Value>) -> Result<Vec<&str>, Refusal> {
    let name = if claims.contains_key("scp") {
        "scp"
    } else {
        "scope"
    };
    Ok(texts(claims, name)?
        .into_iter()
        .flat_map(|text| text.split(' '))
        .filter(|scope| !scope.is_empty())
        .collect())
}

/// A claim that is a string or a list of strings.
pub(crate) fn texts<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Vec<&'a str>, Refusal> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(list)) => list
            .iter()
            .map(|item| item.as_str().ok_or_else(|| malformed(name)))
            .collect(),
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(malformed(name)),
    }
}

/// Whether the client said that it handles claims challenges: `xms_cc` holds `cp1`, in any case.
pub(crate) fn handles_challenges(claims: &Map<String, Value>) -> bool {
    texts(claims, "xms_cc").is_ok_and(|said| said.iter().any(|said| said.eq_ignore_ascii_case("cp1")))
}

/// A claim that must be there and be a string.
pub(crate) fn required<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    match claims.get(name) {
        None | Some(Value::Null) => Err(missing(name)),
        Some(Value::String(text)) if text.is_empty() => Err(missing(name)),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err(malformed(name)),
    }
}

fn born<T: std::str::FromStr>(claims: &Map<String, Value>, name: &str) -> Result<T, Refusal> {
    required(claims, name)?.parse().map_err(|_| malformed(name))
}

pub(crate) fn missing(name: &str) -> Refusal {
    refusal(Reason::ClaimMissing).about(format!("claim `{name}`"))
}

pub(crate) fn malformed(name: &str) -> Refusal {
    refusal(Reason::ClaimMalformed).about(format!("claim `{name}`"))
}

fn mixture(what: &str) -> Refusal {
    refusal(Reason::TokenTypeUnknown).about(what)
}

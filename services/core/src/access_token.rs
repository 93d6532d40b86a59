//! The claims of access and ID tokens (RFC 9068; OpenID Connect Core section 2; DESIGN section 8).
//!
//! **Invariant:** an ID token's audience is a client, an access token's a resource; `typ` differs.
//! Everything that is signed is an output of a decision.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::claims::{Claim, Claims, JOSE_KID, Link, PARTITION_CLAIM};
use crate::ids::{ClientId, DeviceId, GrantId, KeyId, Scope, SessionId, SubjectId, TenantId, TokenId};
use crate::session::{KeyBinding, Proof};
use crate::time::Millis;

/// `typ` of an access token (RFC 9068 section 2.1).
pub const TYP_ACCESS: &str = "at+jwt";
/// `typ` of an ID token.
pub const TYP_ID: &str = "JWT";

/// What an access token authorizes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Authority {
    /// A client acts for a user: `scp`, `sid`.
    Delegated {
        /// The session.
        sid: SessionId,
        /// The granted scopes.
        scopes: Vec<Scope>,
        /// What was proven when the grant was issued.
        proof: Proof,
    },
    /// A client acts for itself: `roles`, no user, no `sid`.
    AppOnly {
        /// The app roles.
        roles: Vec<Scope>,
    },
}

/// The claims of an access token.
#[derive(Clone, PartialEq, Debug)]
pub struct AccessToken {
    /// `iss`.
    pub issuer: Arc<str>,
    /// The key that signs; a header parameter, judged like a claim.
    pub kid: KeyId,
    /// `sub` and `oid`.
    pub subject: SubjectId,
    /// `aud`.
    pub audience: Arc<str>,
    /// `client_id`.
    pub client: ClientId,
    /// `jti`.
    pub jti: TokenId,
    /// `gid`.
    pub gid: GrantId,
    /// `tid`: the tenant's permanent id.
    pub tenant: TenantId,
    /// `iat` and `nbf`; written in seconds, rounded down.
    pub issued_at: Millis,
    /// `exp`; a whole second.
    pub expires_at: Millis,
    /// `scp` or `roles`.
    pub authority: Authority,
    /// `idp`.
    pub idp: Option<Arc<str>>,
    /// `deviceid`.
    pub device: Option<DeviceId>,
    /// `xms_cc: ["cp1"]`.
    pub cp1: bool,
    /// `cnf`.
    pub binding: Option<KeyBinding>,
    /// `chain`.
    pub chain: Vec<Link>,
    /// Claims mapped from the session for this resource.
    pub custom: Map<String, Value>,
}

/// Names that no mapping may write.
pub const RESERVED: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "client_id",
    "jti",
    "iat",
    "nbf",
    "exp",
    "sid",
    "gid",
    "auth_time",
    "acr",
    "amr",
    "idp",
    "scp",
    "scope",
    "roles",
    "tid",
    "oid",
    "deviceid",
    "xms_cc",
    "cnf",
    "act",
    "chain",
    "azp",
    "nonce",
    PARTITION_CLAIM,
    JOSE_KID,
];

impl AccessToken {
    /// The JSON that is signed.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let (user, roles) = match &self.authority {
            Authority::Delegated { sid, scopes, proof } => {
                let user = UserClaims {
                    sid: Shown(sid),
                    scp: Shown(Joined(scopes)),
                    proof: ProofClaims::of(proof),
                };
                (Some(user), None)
            }
            Authority::AppOnly { roles } => (None, Some(roles.iter().map(Scope::as_str).collect())),
        };
        written(&AccessClaims {
            iss: &self.issuer,
            sub: self.subject.as_str(),
            oid: self.subject.as_str(),
            aud: &self.audience,
            client_id: self.client.as_str(),
            jti: Shown(self.jti),
            gid: Shown(self.gid),
            tid: Shown(self.tenant),
            iat: self.issued_at.seconds_floor(),
            nbf: self.issued_at.seconds_floor(),
            exp: self.expires_at.seconds_floor(),
            user,
            roles,
            idp: self.idp.as_deref(),
            deviceid: self.device.as_ref().map(DeviceId::as_str),
            xms_cc: self.cp1.then_some(["cp1"]),
            cnf: self.binding.as_ref().map(Confirmation::of),
            chain: self.chain.iter().map(LinkClaims::of).collect(),
            custom: Custom(&self.custom),
        })
    }
}

/// The claims of an access token, as they are written.
#[derive(Serialize)]
struct AccessClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    oid: &'a str,
    aud: &'a str,
    client_id: &'a str,
    jti: Shown<TokenId>,
    gid: Shown<GrantId>,
    tid: Shown<TenantId>,
    iat: i64,
    nbf: i64,
    exp: i64,
    #[serde(flatten)]
    user: Option<UserClaims<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deviceid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xms_cc: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chain: Vec<LinkClaims<'a>>,
    #[serde(flatten)]
    custom: Custom<'a>,
}

/// What an access token says of a user.
#[derive(Serialize)]
struct UserClaims<'a> {
    sid: Shown<&'a SessionId>,
    scp: Shown<Joined<'a>>,
    #[serde(flatten)]
    proof: ProofClaims<'a>,
}

#[derive(Serialize)]
struct ProofClaims<'a> {
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    amr: Vec<&'a str>,
}

impl<'a> ProofClaims<'a> {
    fn of(proof: &'a Proof) -> Self {
        Self {
            auth_time: proof.auth_time.seconds_floor(),
            acr: proof.acr.as_deref(),
            amr: proof.amr.iter().map(|amr| &**amr).collect(),
        }
    }
}

/// RFC 7800 section 3: the key that a token is bound to.
#[derive(Serialize)]
enum Confirmation<'a> {
    #[serde(rename = "jkt")]
    Dpop(&'a str),
    #[serde(rename = "x5t#S256")]
    Mtls(&'a str),
}

impl<'a> Confirmation<'a> {
    fn of(binding: &'a KeyBinding) -> Self {
        match binding {
            KeyBinding::Dpop(jkt) => Self::Dpop(jkt),
            KeyBinding::Mtls(x5t) => Self::Mtls(x5t),
        }
    }
}

#[derive(Serialize)]
struct LinkClaims<'a> {
    client_id: &'a str,
    gid: &'a str,
}

impl<'a> LinkClaims<'a> {
    fn of(link: &'a Link) -> Self {
        Self {
            client_id: &link.client_id,
            gid: &link.gid,
        }
    }
}

/// Mapped claims; none that is reserved.
struct Custom<'a>(&'a Map<String, Value>);

impl Serialize for Custom<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let permitted = self.0.iter();
        serializer.collect_map(permitted.filter(|(name, _)| !RESERVED.contains(&name.as_str())))
    }
}

/// Written as it is shown.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Scopes with a space between them (RFC 6749 section 3.3).
struct Joined<'a>(&'a [Scope]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[expect(
    clippy::expect_used,
    reason = "texts and numbers under text names always have a JSON"
)]
fn written(claims: &impl Serialize) -> Vec<u8> {
    // The usual length; JSON that is longer grows it.
    let mut json = Vec::with_capacity(768);
    serde_json::to_writer(&mut json, claims).expect("claims have a JSON");
    json
}

fn owned(text: impl ToString) -> Option<Claim<'static>> {
    Some(Claim::Text(text.to_string().into()))
}

impl Claims for AccessToken {
    fn claim(&self, name: &str) -> Option<Claim<'_>> {
        match (name, &self.authority) {
            (JOSE_KID, _) => Some(Claim::text(self.kid.as_str())),
            ("iss", _) => Some(Claim::text(&self.issuer)),
            ("sub" | "oid", _) => Some(Claim::text(self.subject.as_str())),
            ("aud", _) => Some(Claim::text(&self.audience)),
            ("client_id", _) => Some(Claim::text(self.client.as_str())),
            ("jti", _) => owned(self.jti),
            ("gid", _) => owned(self.gid),
            ("tid", _) => owned(self.tenant),
            ("iat" | "nbf", _) => Some(Claim::Integer(self.issued_at.seconds_floor().into())),
            ("exp", _) => Some(Claim::Integer(self.expires_at.seconds_floor().into())),
            ("sid", Authority::Delegated { sid, .. }) => owned(sid),
            ("scp", Authority::Delegated { scopes, .. }) => owned(Joined(scopes)),
            ("auth_time", Authority::Delegated { proof, .. }) => {
                Some(Claim::Integer(proof.auth_time.seconds_floor().into()))
            }
            ("acr", Authority::Delegated { proof, .. }) => proof.acr.as_deref().map(Claim::text),
            ("amr", Authority::Delegated { proof, .. }) => Some(Claim::list(&proof.amr)),
            ("roles", Authority::AppOnly { roles }) => Some(Claim::List(
                roles.iter().map(|role| Claim::text(role.as_str())).collect(),
            )),
            ("idp", _) => self.idp.as_deref().map(Claim::text),
            ("deviceid", _) => self.device.as_ref().map(|device| Claim::text(device.as_str())),
            ("xms_cc", _) => self.cp1.then(|| Claim::List(vec![Claim::text("cp1")])),
            ("sid" | "scp" | "auth_time" | "acr" | "amr", Authority::AppOnly { .. })
            | ("roles", Authority::Delegated { .. }) => None,
            ("cnf", _) => self.binding.as_ref().map(|_| Claim::Other),
            (name, _) if RESERVED.contains(&name) => None,
            (name, _) => self.custom.get(name).map(Claim::of_json),
        }
    }

    fn links(&self) -> &[Link] {
        &self.chain
    }
}

/// The claims of an ID token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdToken {
    /// `iss`.
    pub issuer: Arc<str>,
    /// `sub` and `oid`.
    pub subject: SubjectId,
    /// `aud`: the client.
    pub client: ClientId,
    /// `sid`.
    pub sid: SessionId,
    /// `tid`.
    pub tenant: TenantId,
    /// `iat`.
    pub issued_at: Millis,
    /// `exp`.
    pub expires_at: Millis,
    /// What was proven when the grant was issued.
    pub proof: Proof,
    /// `nonce`, echoed at issuance; a refreshed ID token has none.
    pub nonce: Option<Arc<str>>,
    /// `idp`.
    pub idp: Option<Arc<str>>,
}

impl IdToken {
    /// The JSON that is signed.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        written(&IdClaims {
            iss: &self.issuer,
            sub: self.subject.as_str(),
            oid: self.subject.as_str(),
            aud: self.client.as_str(),
            sid: Shown(self.sid),
            tid: Shown(self.tenant),
            iat: self.issued_at.seconds_floor(),
            exp: self.expires_at.seconds_floor(),
            proof: ProofClaims::of(&self.proof),
            nonce: self.nonce.as_deref(),
            idp: self.idp.as_deref(),
        })
    }
}

/// The claims of an ID token, as they are written.
#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    oid: &'a str,
    aud: &'a str,
    sid: Shown<SessionId>,
    tid: Shown<TenantId>,
    iat: i64,
    exp: i64,
    #[serde(flatten)]
    proof: ProofClaims<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idp: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::JsonClaims;
    use crate::place::Partition;

    fn token(authority: Authority) -> AccessToken {
        let at = Millis::from_unix_ms(1_700_000_000_250);
        AccessToken {
            issuer: "https://issuer.example/acme".into(),
            kid: KeyId::new("k1").unwrap(),
            subject: SubjectId::new("alice").unwrap(),
            audience: "https://api.example".into(),
            client: ClientId::new("web").unwrap(),
            jti: TokenId::new(at, Partition::DIRECTORY, [1; 8]),
            gid: GrantId::new(at, Partition::DIRECTORY, [2; 8]),
            tenant: TenantId::from_bytes([4; 16]),
            issued_at: at,
            expires_at: at.plus_ms(600_000),
            authority,
            idp: Some("https://idp.example".into()),
            device: Some(DeviceId::new("d1").unwrap()),
            cp1: true,
            binding: Some(KeyBinding::Dpop("jkt".into())),
            chain: vec![Link {
                client_id: "front".into(),
                gid: "g".into(),
            }],
            custom: serde_json::from_str(r#"{"dept":"sales","sub":"mallory"}"#).unwrap(),
        }
    }

    #[test]
    fn what_is_judged_before_minting_is_what_a_guard_reads_afterwards() {
        let sid = SessionId::new(Millis::from_unix_ms(5), Partition::DIRECTORY, [3; 8]);
        let scopes = vec![Scope::new("read").unwrap(), Scope::new("write").unwrap()];
        let proof = Proof {
            auth_time: Millis::from_unix_ms(9_000),
            acr: Some("mfa".into()),
            amr: vec!["pwd".into()],
        };
        let roles = vec![Scope::new("Orders.Read").unwrap()];
        for token in [
            token(Authority::Delegated { sid, scopes, proof }),
            token(Authority::AppOnly { roles }),
        ] {
            let json: Map<String, Value> = serde_json::from_slice(&token.to_json()).unwrap();
            let read = JsonClaims::own(&json, Some("k1")).unwrap();
            for name in RESERVED.iter().chain(&["dept", "absent"]) {
                if !matches!(*name, "cnf" | "chain") {
                    assert_eq!(token.claim(name), read.claim(name), "{name}");
                }
            }
            assert_eq!(token.links(), read.links());
            assert_eq!(json["sub"], "alice", "no mapping writes a reserved claim");
        }
    }
}

//! The claims of access and ID tokens (RFC 9068; OpenID Connect Core section 2; DESIGN section 8).
//!
//! **Invariant:** an ID token's audience is a client, an access token's a resource; `typ` differs.
//! Everything that is signed is an output of a decision.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::claims::{Claim, Claims, JOSE_KID, Link};
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
    JOSE_KID,
];

impl AccessToken {
    /// The JSON that is signed.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut claims = Map::new();
        for (name, value) in &self.custom {
            if !RESERVED.contains(&name.as_str()) {
                claims.insert(name.clone(), value.clone());
            }
        }
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", json!(&*self.issuer));
        put("sub", json!(self.subject.as_str()));
        put("aud", json!(&*self.audience));
        put("client_id", json!(self.client.as_str()));
        put("jti", json!(self.jti.to_string()));
        put("gid", json!(self.gid.to_string()));
        put("tid", json!(self.tenant.to_string()));
        put("iat", json!(self.issued_at.seconds_floor()));
        put("nbf", json!(self.issued_at.seconds_floor()));
        put("exp", json!(self.expires_at.seconds_floor()));
        match &self.authority {
            Authority::Delegated { sid, scopes, proof } => {
                put("sid", json!(sid.to_string()));
                put("oid", json!(self.subject.as_str()));
                put("scp", json!(join(scopes)));
                put("auth_time", json!(proof.auth_time.seconds_floor()));
                if let Some(acr) = &proof.acr {
                    put("acr", json!(&**acr));
                }
                put(
                    "amr",
                    json!(proof.amr.iter().map(|amr| &**amr).collect::<Vec<_>>()),
                );
            }
            Authority::AppOnly { roles } => {
                put("oid", json!(self.subject.as_str()));
                put(
                    "roles",
                    json!(roles.iter().map(Scope::as_str).collect::<Vec<_>>()),
                );
            }
        }
        if let Some(idp) = &self.idp {
            put("idp", json!(&**idp));
        }
        if let Some(device) = &self.device {
            put("deviceid", json!(device.as_str()));
        }
        if self.cp1 {
            put("xms_cc", json!(["cp1"]));
        }
        match &self.binding {
            Some(KeyBinding::Dpop(jkt)) => drop(put("cnf", json!({"jkt": &**jkt}))),
            Some(KeyBinding::Mtls(x5t)) => drop(put("cnf", json!({"x5t#S256": &**x5t}))),
            None => {}
        }
        if !self.chain.is_empty() {
            let link = |link: &Link| json!({"client_id": link.client_id, "gid": link.gid});
            put("chain", self.chain.iter().map(link).collect());
        }
        Value::Object(claims).to_string().into_bytes()
    }
}

fn join(scopes: &[Scope]) -> String {
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
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
            ("scp", Authority::Delegated { scopes, .. }) => owned(join(scopes)),
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
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", json!(&*self.issuer));
        put("sub", json!(self.subject.as_str()));
        put("aud", json!(self.client.as_str()));
        put("sid", json!(self.sid.to_string()));
        put("tid", json!(self.tenant.to_string()));
        put("oid", json!(self.subject.as_str()));
        put("iat", json!(self.issued_at.seconds_floor()));
        put("exp", json!(self.expires_at.seconds_floor()));
        put("auth_time", json!(self.proof.auth_time.seconds_floor()));
        put(
            "amr",
            json!(self.proof.amr.iter().map(|amr| &**amr).collect::<Vec<_>>()),
        );
        if let Some(acr) = &self.proof.acr {
            put("acr", json!(&**acr));
        }
        if let Some(nonce) = &self.nonce {
            put("nonce", json!(&**nonce));
        }
        if let Some(idp) = &self.idp {
            put("idp", json!(&**idp));
        }
        Value::Object(claims).to_string().into_bytes()
    }
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

//! A session as the coverage function sees it, before any token of it is minted.
//!
//! **Invariant:** what is judged is what a token minted now would say; the client is not known yet.

use crate::claims::{Claim, Claims};
use crate::ids::{DeviceId, GrantId, SessionId, SubjectId, TenantId};
use crate::session::{Proof, Row};
use crate::time::Millis;

/// The claims of a session that its tokens will share.
#[derive(Clone, Copy, Debug)]
pub struct SessionClaims<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The session.
    pub sid: SessionId,
    /// The subject.
    pub subject: &'a SubjectId,
    /// The identity provider.
    pub idp: Option<&'a str>,
    /// The device.
    pub device: Option<&'a DeviceId>,
    /// What was proven.
    pub proof: &'a Proof,
    /// When its next grant would be born and its next token be minted.
    pub now: Millis,
}

impl<'a> SessionClaims<'a> {
    /// Those of a stored session.
    #[must_use]
    pub fn of_row(row: &'a Row, now: Millis) -> Self {
        Self {
            tenant: row.tenant,
            sid: row.sid,
            subject: &row.subject,
            idp: row.idp.as_deref(),
            device: row.device.as_ref().map(|device| &device.id),
            proof: &row.proof,
            now,
        }
    }
}

impl Claims for SessionClaims<'_> {
    fn claim(&self, name: &str) -> Option<Claim<'_>> {
        match name {
            "sid" => Some(Claim::Text(self.sid.to_string().into())),
            "sub" | "oid" => Some(Claim::text(self.subject.as_str())),
            "tid" => Some(Claim::Text(self.tenant.to_string().into())),
            "idp" => self.idp.map(Claim::text),
            "deviceid" => self.device.map(|device| Claim::text(device.as_str())),
            "acr" => self.proof.acr.as_deref().map(Claim::text),
            "amr" => Some(Claim::list(&self.proof.amr)),
            "auth_time" => Some(Claim::Integer(self.proof.auth_time.seconds_floor().into())),
            // A grant that is not there yet has an instant all the same: what is absent would count as older
            // than every cut-off, and a device whose grants were cut off could never sign in again.
            "gid" => {
                let birth = self.now.max(self.sid.birth());
                let gid = GrantId::new(birth, self.sid.partition(), [0; 8]);
                Some(Claim::Text(gid.to_string().into()))
            }
            "iat" => Some(Claim::Integer(self.now.seconds_floor().into())),
            _ => None,
        }
    }
}

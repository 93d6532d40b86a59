//! The session row with its grants.
//!
//! **Invariant:** a grant without its secret, or a claim that is not JSON, is refused.

use std::sync::Arc;

use curfew_core::ids::{RecordId, TenantId};
use curfew_core::secret::GrantSecret;
use curfew_core::session::{Device, Ending, Grant, KeyBinding, Life, Proof, Row};
use curfew_proto::row::v1 as row;
use curfew_proto::row::v1::key_binding::Thumbprint;

use super::{SCHEMA, own_schema};
use crate::error::DecodeError;
use crate::field::{
    Decoded, displayed, each, fixed, free_texts, grant_id, id, incarnation, ms, optional, optional_message,
    optional_text, session_id, string_of, strings, text, texts,
};

/// What a client declares that handles claims challenges (Entra's word).
const CP1: &str = "cp1";

pub(super) fn encode_session(session: &Row) -> row::Session {
    row::Session {
        schema: SCHEMA,
        tenant: session.tenant.as_bytes().to_vec(),
        subject: session.subject.to_string(),
        sid: session.sid.as_bytes().to_vec(),
        ending: encode_life(&session.life),
        amr: strings(&session.proof.amr),
        acr: string_of(session.proof.acr.as_ref()),
        auth_time_ms: session.proof.auth_time.as_unix_ms(),
        idp: string_of(session.idp.as_ref()),
        idp_session_id: string_of(session.idp_session_id.as_ref()),
        device: session.device.as_ref().map(|device| row::Device {
            id: device.id.to_string(),
            label: string_of(device.label.as_ref()),
            platform: string_of(device.platform.as_ref()),
            managed: Some(device.managed),
            compliant: Some(device.compliant),
        }),
        // JSON as text: a protobuf `Struct` would turn integers beyond 2^53 into other ones.
        claims_json: encode_claims(&session.claims),
        persistent: session.persistent,
        idle_timeout_ms: session.idle_timeout_ms,
        idle_expires_at_ms: session.idle_expires_at().as_unix_ms(),
        expires_at_ms: session.expires_at.as_unix_ms(),
        last_used_ms: session.last_used.as_unix_ms(),
        written_at_ms: session.written_at.as_unix_ms(),
        latest_expiry_ms: session.latest_expiry.as_unix_ms(),
        grants: session.grants.iter().map(encode_grant).collect(),
        opened_at_ms: session.created_at.as_unix_ms(),
        client_ip: string_of(session.client_ip.as_ref()),
        user_agent: string_of(session.user_agent.as_ref()),
        login_hint_hash: session
            .login_hint_hash
            .map(|hash| hash.to_vec())
            .unwrap_or_default(),
        ..Default::default()
    }
}

pub(super) fn decode_session(session: row::Session) -> Decoded<Row> {
    own_schema(session.schema)?;
    Ok(Row {
        sid: session_id(&session.sid, "sid")?,
        tenant: id(&session.tenant, "tenant", TenantId::from_bytes)?,
        subject: text(&session.subject, "subject")?,
        life: decode_life(session.ending)?,
        proof: decode_proof(session.auth_time_ms, session.acr, session.amr),
        idp: optional_text(session.idp),
        idp_session_id: optional_text(session.idp_session_id),
        device: optional_message(session.device, "device", |device| {
            Ok(Device {
                id: text(&device.id, "id")?,
                label: optional_text(device.label),
                platform: optional_text(device.platform),
                // Not known is not vouched for.
                managed: device.managed.unwrap_or(false),
                compliant: device.compliant.unwrap_or(false),
            })
        })?,
        claims: decode_claims(&session.claims_json)?,
        persistent: session.persistent,
        idle_timeout_ms: session.idle_timeout_ms,
        last_used: ms(session.last_used_ms),
        expires_at: ms(session.expires_at_ms),
        created_at: ms(session.opened_at_ms),
        written_at: ms(session.written_at_ms),
        latest_expiry: ms(session.latest_expiry_ms),
        login_hint_hash: optional(&session.login_hint_hash, "login_hint_hash")?,
        client_ip: optional_text(session.client_ip),
        user_agent: optional_text(session.user_agent),
        grants: each(session.grants, "grants", decode_grant)?,
    })
}

fn encode_claims(claims: &serde_json::Map<String, serde_json::Value>) -> Vec<u8> {
    if claims.is_empty() {
        return Vec::new();
    }
    // A map with text keys always has a JSON text; were it not so, an unreadable row is the safe end.
    serde_json::to_vec(claims).unwrap_or_else(|_| b"!".to_vec())
}

fn decode_claims(json: &[u8]) -> Decoded<serde_json::Map<String, serde_json::Value>> {
    if json.is_empty() {
        return Ok(serde_json::Map::new());
    }
    serde_json::from_slice(json).map_err(|_| DecodeError::invalid("claims_json", "not a JSON object"))
}

fn encode_life(life: &Life) -> Option<row::Ending> {
    life.ending().map(|ending| row::Ending {
        ended_at_ms: ending.at.as_unix_ms(),
        cause: ending.cause.to_string(),
        record_id: ending.record.as_bytes().to_vec(),
        ..Default::default()
    })
}

fn decode_life(ending: Option<row::Ending>) -> Decoded<Life> {
    let ending = optional_message(ending, "ending", |ending| {
        Ok(Ending {
            at: ms(ending.ended_at_ms),
            cause: text(&ending.cause, "cause")?,
            record: id(&ending.record_id, "record_id", RecordId::from_bytes)?,
        })
    })?;
    Ok(ending.map_or(Life::Alive, Life::Ended))
}

fn decode_proof(auth_time_ms: i64, acr: String, amr: Vec<String>) -> Proof {
    Proof {
        auth_time: ms(auth_time_ms),
        acr: optional_text(acr),
        amr: free_texts(amr),
    }
}

fn encode_grant(grant: &Grant) -> row::Grant {
    row::Grant {
        gid: grant.gid.as_bytes().to_vec(),
        client: grant.client.to_string(),
        resources: displayed(&grant.resources),
        scopes: displayed(&grant.scopes),
        auth_time_ms: grant.proof.auth_time.as_unix_ms(),
        acr: string_of(grant.proof.acr.as_ref()),
        amr: strings(&grant.proof.amr),
        key: grant.binding.as_ref().map(encode_binding),
        ending: encode_life(&grant.life),
        expires_at_ms: grant.expires_at.as_unix_ms(),
        secret: grant.secret.expose_bytes().to_vec(),
        generation: grant.generation,
        presented: grant.presented,
        rotated_at_ms: grant.rotated_at.as_unix_ms(),
        latest_expiry_ms: grant.latest_expiry.as_unix_ms(),
        incarnation: grant.incarnation.0.to_vec(),
        refreshable: true,
        capabilities: if grant.cp1 {
            vec![CP1.to_owned()]
        } else {
            Vec::new()
        },
        last_used_ms: grant.last_used.as_unix_ms(),
        ..Default::default()
    }
}

fn decode_grant(grant: row::Grant) -> Decoded<Grant> {
    Ok(Grant {
        gid: grant_id(&grant.gid, "gid")?,
        client: text(&grant.client, "client")?,
        resources: texts(&grant.resources, "resources")?,
        scopes: texts(&grant.scopes, "scopes")?,
        proof: decode_proof(grant.auth_time_ms, grant.acr, grant.amr),
        binding: optional_message(grant.key, "key", decode_binding)?,
        life: decode_life(grant.ending)?,
        expires_at: ms(grant.expires_at_ms),
        secret: GrantSecret::new(fixed(&grant.secret, "secret")?),
        generation: grant.generation,
        presented: grant.presented,
        rotated_at: ms(grant.rotated_at_ms),
        last_used: ms(grant.last_used_ms),
        latest_expiry: ms(grant.latest_expiry_ms),
        incarnation: incarnation(&grant.incarnation, "incarnation")?,
        cp1: grant.capabilities.iter().any(|capability| capability == CP1),
    })
}

fn encode_binding(binding: &KeyBinding) -> row::KeyBinding {
    let thumbprint = match binding {
        KeyBinding::Dpop(text) => Thumbprint::JktText(text.to_string()),
        KeyBinding::Mtls(text) => Thumbprint::X5tS256Text(text.to_string()),
    };
    row::KeyBinding {
        thumbprint: Some(thumbprint),
    }
}

/// A binding without a thumbprint is refused: it must not become no binding.
fn decode_binding(key: row::KeyBinding) -> Decoded<KeyBinding> {
    let some = |text: String, path: &str| -> Decoded<Arc<str>> {
        optional_text(text).ok_or_else(|| DecodeError::missing(path))
    };
    match key.thumbprint.ok_or_else(|| DecodeError::missing("thumbprint"))? {
        Thumbprint::JktText(text) => some(text, "jkt_text").map(KeyBinding::Dpop),
        Thumbprint::X5tS256Text(text) => some(text, "x5t_s256_text").map(KeyBinding::Mtls),
        Thumbprint::Jkt(_) => Err(DecodeError::unknown("jkt", "binary thumbprint")),
        Thumbprint::X5tS256(_) => Err(DecodeError::unknown("x5t_s256", "binary thumbprint")),
    }
}

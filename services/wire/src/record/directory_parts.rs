//! Callers, keys, wide marks and `L`, and the parts that directory records share.
//!
//! **Invariant:** a role, use or state that this version does not know is refused by name.

use curfew_core::directory::{
    Caller, KeyRecord, KeyState, KeyUse, Lifetimes, Role, SecretHash, TenantScope, WideMark,
};
use curfew_core::ids::{RecordId, TenantId};
use curfew_proto::row::v1 as row;

use crate::error::DecodeError;
use crate::field::{
    Decoded, each, fixed, free_texts, id, ids, limit_of_ms, message, ms, optional_ms, optional_text,
    string_of, strings, text,
};
use crate::revocation::{decode_revocation, encode_revocation};

pub(super) fn encode_switch(disables: &[RecordId]) -> Option<row::Switch> {
    let encode = |id: &RecordId| row::SwitchDisable {
        id: id.as_bytes().to_vec(),
        ..Default::default()
    };
    (!disables.is_empty()).then(|| row::Switch {
        disables: disables.iter().map(encode).collect(),
        lifts: Vec::new(),
    })
}

pub(super) fn decode_switch(state: Option<row::Switch>) -> Decoded<Vec<RecordId>> {
    let state = state.unwrap_or_default();
    let disables = each(state.disables, "state.disables", |d| {
        id(&d.id, "id", RecordId::from_bytes)
    })?;
    let lifts = ids(&state.lifts, "state.lifts", RecordId::from_bytes)?;
    Ok(disables
        .into_iter()
        .filter(|disable| !lifts.contains(disable))
        .collect())
}

pub(super) fn encode_secret(secret: &SecretHash) -> row::Secret {
    row::Secret {
        id: secret.id.to_string(),
        sha256: secret.sha256.to_vec(),
        created_at_ms: secret.created_at.as_unix_ms(),
        expires_at_ms: limit_of_ms(secret.expires_at),
        ..Default::default()
    }
}

pub(super) fn decode_secret(secret: row::Secret) -> Decoded<SecretHash> {
    Ok(SecretHash {
        id: secret.id.into(),
        sha256: fixed(&secret.sha256, "sha256")?,
        created_at: ms(secret.created_at_ms),
        expires_at: optional_ms(secret.expires_at_ms),
    })
}

pub(super) fn encode_lifetimes(lifetimes: &Lifetimes) -> row::Lifetimes {
    row::Lifetimes {
        keep_ms: lifetimes.keep_ms,
        mint_ms: lifetimes.mint_ms,
        mint_from_ms: lifetimes.mint_from.as_unix_ms(),
        ..Default::default()
    }
}

pub(super) fn decode_lifetimes(lifetimes: row::Lifetimes) -> Decoded<Lifetimes> {
    if lifetimes.keep_ms <= 0 {
        return Err(DecodeError::missing("keep_ms"));
    }
    Ok(Lifetimes {
        keep_ms: lifetimes.keep_ms,
        mint_ms: lifetimes.mint_ms,
        mint_from: ms(lifetimes.mint_from_ms),
    })
}

pub(super) fn encode_wide_mark(mark: &WideMark) -> row::WideMark {
    row::WideMark {
        record: Some(encode_revocation(&mark.record)),
        lives_until_ms: mark.lives_until.as_unix_ms(),
        last_copy_at_ms: mark.last_copy_at.as_unix_ms(),
    }
}

pub(super) fn decode_wide_mark(mark: row::WideMark) -> Decoded<WideMark> {
    Ok(WideMark {
        record: message(mark.record, "record", decode_revocation)?,
        lives_until: ms(mark.lives_until_ms),
        last_copy_at: ms(mark.last_copy_at_ms),
    })
}

pub(super) fn encode_caller(caller: &Caller) -> row::Caller {
    let tenant_ids = match &caller.tenants {
        TenantScope::All => Vec::new(),
        TenantScope::Only(tenants) => tenants.iter().map(|tenant| tenant.as_bytes().to_vec()).collect(),
    };
    row::Caller {
        id: caller.id.to_string(),
        display_name: caller.display_name.to_string(),
        secrets: caller.secrets.iter().map(encode_secret).collect(),
        roles: caller.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        state: encode_switch(&caller.disables),
        certificate_names: strings(&caller.certificate_names),
        tenant_ids,
        all_tenants: matches!(caller.tenants, TenantScope::All),
        ..Default::default()
    }
}

pub(super) fn decode_caller(caller: row::Caller) -> Decoded<Caller> {
    Ok(Caller {
        id: text(&caller.id, "id")?,
        display_name: caller.display_name.into(),
        secrets: each(caller.secrets, "secrets", decode_secret)?,
        certificate_names: free_texts(caller.certificate_names),
        roles: each(caller.roles, "roles", |role| {
            Role::parse(&role).ok_or_else(|| DecodeError::unknown("", &role))
        })?,
        tenants: if caller.all_tenants {
            TenantScope::All
        } else {
            TenantScope::Only(ids(&caller.tenant_ids, "tenant_ids", TenantId::from_bytes)?)
        },
        disables: decode_switch(caller.state)?,
    })
}

pub(super) fn encode_key(key: &KeyRecord) -> row::Key {
    row::Key {
        kid: key.kid.to_string(),
        r#use: match key.key_use {
            KeyUse::Sign => row::KeyUse::Sign,
            KeyUse::Mac => row::KeyUse::Mac,
            KeyUse::Page => row::KeyUse::Page,
            KeyUse::Subject => row::KeyUse::Subject,
        }
        .into(),
        alg: key.algorithm.to_string(),
        state: match key.state {
            KeyState::Standby => row::KeyState::Standby,
            KeyState::Active => row::KeyState::Active,
            KeyState::VerifyOnly => row::KeyState::VerifyOnly,
            KeyState::Revoked => row::KeyState::Revoked,
        }
        .into(),
        created_at_ms: key.created_at.as_unix_ms(),
        published_at_ms: key.published_at.as_unix_ms(),
        durable_at_ms: limit_of_ms(key.durable_at),
        activated_at_ms: limit_of_ms(key.activated_at),
        retired_at_ms: limit_of_ms(key.retired_at),
        sealed: key.sealed.to_vec(),
        public_jwk: string_of(key.public_jwk.as_ref()),
        mac_key_id: key.mac_key_id.map(u32::from),
        ..Default::default()
    }
}

pub(super) fn decode_key(key: row::Key) -> Decoded<KeyRecord> {
    if key.alg.is_empty() {
        return Err(DecodeError::missing("alg"));
    }
    Ok(KeyRecord {
        kid: text(&key.kid, "kid")?,
        key_use: match row::KeyUse::try_from(key.r#use) {
            Ok(row::KeyUse::Sign) => KeyUse::Sign,
            Ok(row::KeyUse::Mac) => KeyUse::Mac,
            Ok(row::KeyUse::Page) => KeyUse::Page,
            Ok(row::KeyUse::Subject) => KeyUse::Subject,
            Ok(row::KeyUse::Unspecified) => return Err(DecodeError::missing("use")),
            Err(_) => return Err(DecodeError::unknown("use", key.r#use)),
        },
        algorithm: key.alg.into(),
        state: match row::KeyState::try_from(key.state) {
            Ok(row::KeyState::Standby) => KeyState::Standby,
            Ok(row::KeyState::Active) => KeyState::Active,
            Ok(row::KeyState::VerifyOnly) => KeyState::VerifyOnly,
            Ok(row::KeyState::Revoked) => KeyState::Revoked,
            Ok(row::KeyState::Unspecified) => return Err(DecodeError::missing("state")),
            Err(_) => return Err(DecodeError::unknown("state", key.state)),
        },
        created_at: ms(key.created_at_ms),
        published_at: ms(key.published_at_ms),
        durable_at: optional_ms(key.durable_at_ms),
        activated_at: optional_ms(key.activated_at_ms),
        retired_at: optional_ms(key.retired_at_ms),
        sealed: key.sealed.into(),
        public_jwk: optional_text(key.public_jwk),
        mac_key_id: key
            .mac_key_id
            .map(|id| u8::try_from(id).map_err(|_| DecodeError::invalid("mac_key_id", "more than a byte")))
            .transpose()?,
    })
}

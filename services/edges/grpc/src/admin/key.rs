//! KeyService: the ring without its secrets; rotation and emergency revocation.

use std::sync::Arc;

use curfew_core::decide::Motive;
use curfew_core::directory::{KeyRecord, KeyState, KeyUse};
use curfew_core::ids::KeyId;
use curfew_core::record::Initiator;
use curfew_core::refusal::Reason;
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::key_service_server::KeyService;
use tonic::{Request, Response};

use super::Answered;
use crate::check::Check;
use crate::convert::{struct_of_json, timestamp};
use crate::name;
use crate::page::Paged;
use crate::published::Told;
use crate::shared::{Call, Shared};
use crate::status::Of;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Keys(pub(crate) Arc<Shared>);

fn encode(call: &Call, key: &KeyRecord) -> pb::Key {
    let key_use = match key.key_use {
        KeyUse::Sign => pb::KeyUse::Sign,
        KeyUse::Mac => pb::KeyUse::Mac,
        KeyUse::Page => pb::KeyUse::Page,
        KeyUse::Subject => pb::KeyUse::Subject,
    };
    let state = match key.state {
        KeyState::Standby => pb::KeyState::Standby,
        KeyState::Active => pb::KeyState::Active,
        KeyState::VerifyOnly => pb::KeyState::VerifyOnly,
        KeyState::Revoked => pb::KeyState::Revoked,
    };
    let jwk = key
        .public_jwk
        .as_deref()
        .and_then(|jwk| serde_json::from_str(jwk).ok());
    let age_ms = call.authority().config().key_set_age_ms;
    let waits = key.key_use == KeyUse::Sign && key.state == KeyState::Standby;
    pb::Key {
        name: name::top("keys", &key.kid),
        r#use: key_use.into(),
        alg: key.algorithm.to_string(),
        state: state.into(),
        public_jwk: jwk.as_ref().map(struct_of_json),
        create_time: Some(timestamp(key.created_at)),
        publish_time: key.public_jwk.is_some().then(|| timestamp(key.published_at)),
        durable_time: key.durable_at.map(timestamp),
        activate_time: key.activated_at.map(timestamp),
        retire_time: key.retired_at.map(timestamp),
        mac_key_id: key.mac_key_id.unwrap_or(0).into(),
        usable_time: waits.then(|| timestamp(key.published_at.plus_ms(age_ms))),
        ..Default::default()
    }
}

/// A use that was named. The outer `None`: a fault; the inner: unspecified.
fn key_use(check: &mut Check, number: i32) -> Option<Option<KeyUse>> {
    match pb::KeyUse::try_from(number) {
        Ok(pb::KeyUse::Unspecified) => Some(None),
        Ok(pb::KeyUse::Sign) => Some(Some(KeyUse::Sign)),
        Ok(pb::KeyUse::Mac) => Some(Some(KeyUse::Mac)),
        Ok(pb::KeyUse::Page) => Some(Some(KeyUse::Page)),
        Ok(pb::KeyUse::Subject) => Some(Some(KeyUse::Subject)),
        Err(_) => {
            check.fault("use", "no such value");
            None
        }
    }
}

fn kid(check: &mut Check, text: &str) -> Option<KeyId> {
    let Some([kid]) = name::ids(text, ["keys"]) else {
        check.fault("name", "not of the form `keys/{kid}`");
        return None;
    };
    check.id("name", &kid)
}

#[tonic::async_trait]
impl KeyService for Keys {
    async fn get_key(&self, request: Request<pb::GetKeyRequest>) -> Answered<pb::GetKeyResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let kid = kid(&mut check, &request.name);
        let kid = call.done(check, kid)?;
        let key = call
            .loaded
            .view
            .keys
            .get(&kid)
            .ok_or_else(|| call.because(Of::Named, Reason::NotFound, kid.to_string()))?;
        Ok(Response::new(pb::GetKeyResponse {
            key: Some(encode(&call, key)),
        }))
    }

    async fn list_keys(&self, request: Request<pb::ListKeysRequest>) -> Answered<pb::ListKeysResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let wanted = key_use(&mut check, request.r#use);
        let filter = request.r#use.to_be_bytes().to_vec();
        let paged = Paged::of(
            &mut check,
            request.page_size,
            &request.page_token,
            "ListKeys",
            filter,
        );
        let (wanted, paged) = call.done(check, wanted.zip(paged))?;
        let keys = call
            .loaded
            .view
            .keys
            .values()
            .filter(|key| wanted.is_none_or(|wanted| key.key_use == wanted))
            .map(|key| (key.kid.as_str().as_bytes().to_vec(), key));
        let (keys, next_page_token) = paged.take(&call, keys).await?;
        Ok(Response::new(pb::ListKeysResponse {
            keys: keys.into_iter().map(|key| encode(&call, key)).collect(),
            next_page_token,
        }))
    }

    async fn rotate_key(&self, request: Request<pb::RotateKeyRequest>) -> Answered<pb::RotateKeyResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        // The use case keeps no operations: a repeat while the new standby is young is refused as too early.
        check.operation(&request.request_id, "RotateKey", &request);
        check.correlation(&request.correlation_id);
        check.unsupported("alg", !request.alg.is_empty());
        check.unsupported("tenant", !request.tenant.is_empty());
        check.unsupported("force", request.force);
        let wanted = match key_use(&mut check, request.r#use) {
            Some(Some(KeyUse::Sign)) => Some(KeyUse::Sign),
            Some(Some(KeyUse::Mac)) => Some(KeyUse::Mac),
            Some(Some(KeyUse::Page)) => {
                check.unsupported("use", true);
                None
            }
            Some(Some(KeyUse::Subject)) => {
                check.fault("use", "the subject key is permanent");
                None
            }
            Some(None) => {
                check.fault("use", "required");
                None
            }
            None => None,
        };
        let wanted = call.done(check, wanted)?;
        let changed = call
            .authority()
            .rotate(wanted)
            .await
            .map_err(call.refuse(Of::Request))?;
        let loaded = call.authority().directory().loaded();
        let in_state = |state| {
            let mut keys = changed.iter().filter_map(|kid| loaded.view.keys.get(kid));
            keys.find(|key| key.state == state).map(|key| encode(&call, key))
        };
        Ok(Response::new(pb::RotateKeyResponse {
            active: in_state(KeyState::Active),
            standby: in_state(KeyState::Standby),
            retired: in_state(KeyState::VerifyOnly),
        }))
    }

    async fn revoke_key(&self, request: Request<pb::RevokeKeyRequest>) -> Answered<pb::RevokeKeyResponse> {
        let (call, request) = self.0.open(request)?;
        let mut check = Check::default();
        let operation = check.operation(&request.request_id, "RevokeKey", &request);
        let kid = kid(&mut check, &request.name);
        let cause = check.cause(&request.cause, "key_compromised");
        let level = check.level("ack_level", request.ack_level);
        let correlation_id = check.correlation(&request.correlation_id);
        let key = kid.as_ref().and_then(|kid| call.loaded.view.keys.get(kid));
        match key.map(|key| key.key_use) {
            Some(KeyUse::Subject) => check.fault("name", "the subject key is permanent"),
            Some(KeyUse::Mac | KeyUse::Page) => {
                check.fault("name", "this release revokes signing keys alone")
            }
            Some(KeyUse::Sign) | None => {}
        }
        let (kid, (cause, level)) = call.done(check, kid.zip(cause.zip(level)))?;
        if !call.loaded.view.keys.contains_key(&kid) {
            return Err(call.because(Of::Named, Reason::NotFound, kid.to_string()));
        }
        let motive = Motive {
            cause,
            initiator: Initiator::Admin,
            operation,
            correlation_id,
        };
        let before = call.loaded.ring.signing_key().cloned();
        let published = call
            .authority()
            .revoke_key(&kid, &motive)
            .await
            .map_err(call.refuse(Of::Named))?;
        let loaded = call.authority().directory().loaded();
        let key = loaded.view.keys.get(&kid).map(|key| encode(&call, key));
        let active = loaded
            .ring
            .signing_key()
            .filter(|_| before.as_ref() == Some(&kid));
        let active = active
            .and_then(|kid| loaded.view.keys.get(kid))
            .map(|key| encode(&call, key));
        let mut acknowledgements = Vec::with_capacity(published.len());
        for one in &published {
            // Which tenant a record is of, the log tells; the system's where it has not been heard yet.
            let heard = call.authority().journal().get(one.id);
            let tenant = match &heard {
                Some(entry) => loaded.view.tenants.get(&entry.revocation.tenant),
                None => loaded.view.tenants.values().find(|tenant| tenant.is_system),
            };
            if let Some(tenant) = tenant {
                let told = Told {
                    revocation: heard.as_ref().map(|entry| &*entry.revocation),
                    ..Told::narrow(tenant, one.id, &published, None)
                };
                acknowledgements.push(told.acknowledge(&call, level).await);
            }
        }
        Ok(Response::new(pb::RevokeKeyResponse {
            key,
            active,
            acknowledgements,
        }))
    }
}

//! The inverse of `Key::to_bytes`.
//!
//! **Invariant:** what this accepts encodes to the same bytes again.

use curfew_core::ids::{
    CallerId, ClientId, IssuerId, KeyId, OperationId, RecordId, ResourceId, SessionId, SubjectKey, TenantId,
};
use curfew_core::stored::{Key, SingleUseKind};

/// The key of these bytes; `None` where they are none that this version knows.
#[must_use]
pub fn decode_key(bytes: &[u8]) -> Option<Key> {
    let (letter, rest) = bytes.split_first()?;
    match (letter, rest) {
        (b'p', []) => Some(Key::Partition),
        (b'q', []) => Some(Key::Sequence),
        (b'k', []) => Some(Key::Checkpoint),
        (b's', _) => SessionId::from_bytes(rest.try_into().ok()?)
            .ok()
            .map(Key::Session),
        (b'g', _) => rest.try_into().ok().map(|key| Key::Gate(SubjectKey(key))),
        (b'l', _) => rest.try_into().ok().map(|key| Key::Ledger(SubjectKey(key))),
        (b't', _) => SessionId::from_bytes(rest.try_into().ok()?)
            .ok()
            .map(Key::Tombstone),
        (b'o', _) => {
            let (tenant, id) = tenant_and(rest)?;
            Some(Key::Operation(
                tenant,
                OperationId::from_bytes(id.try_into().ok()?),
            ))
        }
        (b'u', [kind, hash @ ..]) => Some(Key::SingleUse(single_use_kind(*kind)?, hash.try_into().ok()?)),
        (b'x', _) => rest
            .try_into()
            .ok()
            .map(|id| Key::Outbox(RecordId::from_bytes(id))),
        (b'd', [kind, rest @ ..]) => directory_key(*kind, rest),
        _ => None,
    }
}

fn directory_key(kind: u8, rest: &[u8]) -> Option<Key> {
    match (kind, rest) {
        (b'v', []) => Some(Key::DirectoryVersion),
        (b'i', []) => Some(Key::LogIdentity),
        (b'l', []) => Some(Key::Lifetimes),
        (b'w', _) => rest
            .try_into()
            .ok()
            .map(|id| Key::WideMark(RecordId::from_bytes(id))),
        (b't', _) => rest
            .try_into()
            .ok()
            .map(|id| Key::Tenant(TenantId::from_bytes(id))),
        (b'c', _) => {
            let (tenant, id) = tenant_and(rest)?;
            ClientId::new(text(id)?).ok().map(|id| Key::Client(tenant, id))
        }
        (b'r', _) => {
            let (tenant, id) = tenant_and(rest)?;
            ResourceId::new(text(id)?)
                .ok()
                .map(|id| Key::Resource(tenant, id))
        }
        (b'f', _) => {
            let (tenant, id) = tenant_and(rest)?;
            Some(Key::Issuer(tenant, IssuerId::from_bytes(id.try_into().ok()?)))
        }
        (b'a', _) => CallerId::new(text(rest)?).ok().map(Key::Caller),
        (b'k', _) => KeyId::new(text(rest)?).ok().map(Key::RingKey),
        (b'e', _) => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (name, replica) = rest.split_at_checked(length)?;
            Some(Key::Lease(text(name)?.into(), text(replica)?.into()))
        }
        _ => None,
    }
}

fn tenant_and(bytes: &[u8]) -> Option<(TenantId, &[u8])> {
    let (tenant, rest) = bytes.split_first_chunk::<16>()?;
    Some((TenantId::from_bytes(*tenant), rest))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

const fn single_use_kind(number: u8) -> Option<SingleUseKind> {
    match number {
        1 => Some(SingleUseKind::Code),
        2 => Some(SingleUseKind::RequestUri),
        3 => Some(SingleUseKind::AssertionId),
        4 => Some(SingleUseKind::LoginChallenge),
        5 => Some(SingleUseKind::DeviceCode),
        _ => None,
    }
}

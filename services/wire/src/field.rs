//! The small steps that every message shares.
//!
//! **Invariant:** a length, number or text that the core's type refuses is refused by the field's name.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use curfew_core::ids::OperationId;
use curfew_core::ids::{GrantId, InvalidId, SessionId};
use curfew_core::place::{Incarnation, LogIdentity, PARTITIONS, Partition};
use curfew_core::record::OperationRef;
use curfew_core::time::Millis;

use crate::error::{DecodeError, Why};

pub(crate) type Decoded<T> = Result<T, DecodeError>;

/// Exactly `K` bytes.
pub(crate) fn fixed<const K: usize>(bytes: &[u8], path: &str) -> Decoded<[u8; K]> {
    if bytes.is_empty() {
        return Err(DecodeError::missing(path));
    }
    let wrong = Why::Length {
        expected: K,
        found: bytes.len(),
    };
    bytes.try_into().map_err(|_| DecodeError::new(path, wrong))
}

/// `K` bytes, or none.
pub(crate) fn optional<const K: usize>(bytes: &[u8], path: &str) -> Decoded<Option<[u8; K]>> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        fixed(bytes, path).map(Some)
    }
}

/// A repeated field; its place is spelt out for an error alone.
pub(crate) fn each<T, U>(
    items: impl IntoIterator<Item = T>,
    path: &str,
    decode: impl Fn(T) -> Decoded<U>,
) -> Decoded<Vec<U>> {
    items
        .into_iter()
        .enumerate()
        .map(|(n, item)| decode(item).map_err(|error| error.under(&format!("{path}[{n}]"))))
        .collect()
}

/// A message that must be there.
pub(crate) fn message<T, U>(item: Option<T>, path: &str, decode: impl FnOnce(T) -> Decoded<U>) -> Decoded<U> {
    let item = item.ok_or_else(|| DecodeError::missing(path))?;
    decode(item).map_err(|error| error.under(path))
}

/// A message that may be there.
pub(crate) fn optional_message<T, U>(
    item: Option<T>,
    path: &str,
    decode: impl FnOnce(T) -> Decoded<U>,
) -> Decoded<Option<U>> {
    item.map(|item| decode(item).map_err(|error| error.under(path)))
        .transpose()
}

/// A 16-byte random id.
pub(crate) fn id<T>(bytes: &[u8], path: &str, make: impl Fn([u8; 16]) -> T) -> Decoded<T> {
    fixed(bytes, path).map(make)
}

pub(crate) fn ids<T>(items: &[Vec<u8>], path: &str, make: impl Fn([u8; 16]) -> T) -> Decoded<Vec<T>> {
    each(items, path, |bytes| id(bytes, "", &make))
}

fn born<T>(bytes: &[u8], path: &str, make: fn([u8; 16]) -> Result<T, InvalidId>) -> Decoded<T> {
    make(fixed(bytes, path)?).map_err(|error| DecodeError::invalid(path, error))
}

pub(crate) fn session_id(bytes: &[u8], path: &str) -> Decoded<SessionId> {
    born(bytes, path, SessionId::from_bytes)
}

pub(crate) fn grant_id(bytes: &[u8], path: &str) -> Decoded<GrantId> {
    born(bytes, path, GrantId::from_bytes)
}

/// A text that its type checks; empty is missing.
pub(crate) fn text<T>(text: &str, path: &str) -> Decoded<T>
where
    T: FromStr,
    T::Err: Display,
{
    if text.is_empty() {
        return Err(DecodeError::missing(path));
    }
    text.parse().map_err(|error| DecodeError::invalid(path, error))
}

pub(crate) fn texts<T>(items: &[String], path: &str) -> Decoded<Vec<T>>
where
    T: FromStr,
    T::Err: Display,
{
    each(items, path, |item| text(item, ""))
}

/// A text without rules of its own; empty is absent.
pub(crate) fn optional_text(text: String) -> Option<Arc<str>> {
    if text.is_empty() { None } else { Some(text.into()) }
}

pub(crate) fn free_texts(items: Vec<String>) -> Vec<Arc<str>> {
    items.into_iter().map(Into::into).collect()
}

pub(crate) fn strings(items: &[Arc<str>]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

pub(crate) fn displayed<T: Display>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

pub(crate) fn string_of(text: Option<&Arc<str>>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

pub(crate) const fn ms(ms: i64) -> Millis {
    Millis::from_unix_ms(ms)
}

/// 0 is absent, on the wire.
pub(crate) fn optional_ms(value: i64) -> Option<Millis> {
    (value != 0).then_some(ms(value))
}

/// A limit of nothing at all must not become no limit: it is kept as the smallest one there is.
pub(crate) fn limit_of(limit: Option<i64>) -> i64 {
    limit.map_or(0, |value| if value == 0 { 1 } else { value })
}

pub(crate) fn limit_of_ms(limit: Option<Millis>) -> i64 {
    limit_of(limit.map(Millis::as_unix_ms))
}

pub(crate) fn incarnation(bytes: &[u8], path: &str) -> Decoded<Incarnation> {
    fixed(bytes, path).map(Incarnation)
}

pub(crate) fn optional_incarnation(bytes: &[u8], path: &str) -> Decoded<Option<Incarnation>> {
    optional(bytes, path).map(|bytes| bytes.map(Incarnation))
}

pub(crate) fn bytes_of(incarnation: Option<Incarnation>) -> Vec<u8> {
    incarnation
        .map(|incarnation| incarnation.0.to_vec())
        .unwrap_or_default()
}

pub(crate) fn partition(number: u32, path: &str) -> Decoded<Partition> {
    let partition = u16::try_from(number).ok().and_then(Partition::new);
    partition.ok_or_else(|| DecodeError::invalid(path, format_args!("{number} is not below {PARTITIONS}")))
}

pub(crate) fn log_partition(number: u32, path: &str) -> Decoded<u16> {
    u16::try_from(number)
        .ok()
        .filter(|number| *number < PARTITIONS)
        .ok_or_else(|| DecodeError::invalid(path, format_args!("{number} is no log partition")))
}

/// Log id, M and N; another N is another world.
pub(crate) fn log_identity(log_id: &[u8], m: u32, n: Option<u32>, names: [&str; 3]) -> Decoded<LogIdentity> {
    let [log_id_name, m_name, n_name] = names;
    if n.is_some_and(|n| n != u32::from(PARTITIONS)) {
        return Err(DecodeError::invalid(n_name, format_args!("not {PARTITIONS}")));
    }
    let log_id = fixed(log_id, log_id_name)?;
    u16::try_from(m)
        .ok()
        .and_then(|m| LogIdentity::new(log_id, m))
        .ok_or_else(|| DecodeError::invalid(m_name, format_args!("{m} does not divide {PARTITIONS}")))
}

pub(crate) fn operation(id: &[u8], hash: &[u8]) -> Decoded<Option<OperationRef>> {
    let id = optional(id, "operation_id")?.map(OperationId::from_bytes);
    match (id, optional(hash, "request_hash")?) {
        (None, None) => Ok(None),
        (Some(id), Some(request_hash)) => Ok(Some(OperationRef { id, request_hash })),
        (Some(_), None) => Err(DecodeError::missing("request_hash")),
        (None, Some(_)) => Err(DecodeError::missing("operation_id")),
    }
}

pub(crate) fn operation_bytes(operation: Option<&OperationRef>) -> (Vec<u8>, Vec<u8>) {
    operation
        .map(|o| (o.id.as_bytes().to_vec(), o.request_hash.to_vec()))
        .unwrap_or_default()
}

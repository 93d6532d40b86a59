//! Instants, times, JSON and small enums between the wire and the core.

use curfew_core::ids::RecordId;
use curfew_core::record::Initiator;
use curfew_core::refusal::Stage;
use curfew_core::session::KeyBinding;
use curfew_core::time::Millis;
use curfew_proto::log::v1 as log;
use curfew_proto::session::v1 as session;
use curfew_proto::token::v1 as token;
use prost_types::value::Kind;
use prost_types::{Duration, ListValue, Struct, Timestamp};
use serde_json::{Map, Value};

/// The end of the year 9999: what a `Timestamp` may say.
const INSTANT_MAX_MS: i64 = 253_402_300_799_999;
/// A hundred years: no life of anything is longer.
const SPAN_MAX_MS: i64 = 100 * 366 * 24 * 3_600_000;
/// How deeply JSON may be nested.
const DEPTH_MAX: usize = 16;

/// An instant on the wire.
pub(crate) fn timestamp(at: Millis) -> Timestamp {
    let ms = at.as_unix_ms().clamp(0, INSTANT_MAX_MS);
    Timestamp {
        seconds: ms / 1_000,
        nanos: i32::try_from(ms % 1_000).unwrap_or(0) * 1_000_000,
    }
}

/// An instant from the wire; fractions of a millisecond are dropped.
pub(crate) fn millis(at: Timestamp) -> Option<Millis> {
    let nanos = u32::try_from(at.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    let ms = at
        .seconds
        .checked_mul(1_000)?
        .checked_add(i64::from(nanos / 1_000_000))?;
    (0..=INSTANT_MAX_MS)
        .contains(&ms)
        .then(|| Millis::from_unix_ms(ms))
}

/// A time on the wire.
pub(crate) fn duration(ms: i64) -> Duration {
    Duration {
        seconds: ms / 1_000,
        nanos: i32::try_from(ms % 1_000).unwrap_or(0) * 1_000_000,
    }
}

/// A time from the wire, never negative.
pub(crate) fn span_ms(span: Duration) -> Option<i64> {
    let nanos = u32::try_from(span.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    let ms = span
        .seconds
        .checked_mul(1_000)?
        .checked_add(i64::from(nanos / 1_000_000))?;
    (0..=SPAN_MAX_MS).contains(&ms).then_some(ms)
}

/// The initiator; `Some(None)`: not told, `None`: no such value.
pub(crate) fn initiator(number: i32) -> Option<Option<Initiator>> {
    match log::Initiator::try_from(number).ok()? {
        log::Initiator::Unspecified => Some(None),
        log::Initiator::User => Some(Some(Initiator::User)),
        log::Initiator::Admin => Some(Some(Initiator::Admin)),
        log::Initiator::Policy => Some(Some(Initiator::Policy)),
        log::Initiator::System => Some(Some(Initiator::System)),
    }
}

/// The initiator on the wire.
pub(crate) fn initiator_number(initiator: Initiator) -> i32 {
    match initiator {
        Initiator::User => log::Initiator::User,
        Initiator::Admin => log::Initiator::Admin,
        Initiator::Policy => log::Initiator::Policy,
        Initiator::System => log::Initiator::System,
    }
    .into()
}

/// The stage on the wire.
pub(crate) fn stage_number(stage: Stage) -> i32 {
    match stage {
        Stage::Request => token::Stage::Request,
        Stage::PrimaryAuthentication => token::Stage::PrimaryAuthentication,
        Stage::ConditionalAccess => token::Stage::ConditionalAccess,
        Stage::AdditionalControls => token::Stage::AdditionalControls,
        Stage::Code => token::Stage::Code,
        Stage::Issuance => token::Stage::Issuance,
        Stage::ResourceCall => token::Stage::ResourceCall,
        Stage::SilentRenewal => token::Stage::SilentRenewal,
    }
    .into()
}

/// How a grant is bound, on the wire.
pub(crate) fn binding_number(binding: Option<&KeyBinding>) -> i32 {
    match binding {
        None => session::KeyBinding::None,
        Some(KeyBinding::Dpop(_)) => session::KeyBinding::Dpop,
        Some(KeyBinding::Mtls(_)) => session::KeyBinding::Mtls,
    }
    .into()
}

/// Ids of disables, as they are told.
pub(crate) fn disabling(disables: &[RecordId]) -> Vec<curfew_proto::admin::v1::Disabling> {
    disables
        .iter()
        .map(|id| curfew_proto::admin::v1::Disabling {
            id: id.to_string(),
            ..Default::default()
        })
        .collect()
}

/// Whether something may be used, on the wire.
pub(crate) fn state_number(disables: &[RecordId]) -> i32 {
    if disables.is_empty() {
        curfew_proto::admin::v1::State::Active.into()
    } else {
        curfew_proto::admin::v1::State::Disabled.into()
    }
}

/// A JSON object on the wire.
pub(crate) fn struct_of_json(object: &Map<String, Value>) -> Struct {
    Struct {
        fields: object
            .iter()
            .map(|(name, value)| (name.clone(), value_of_json(value)))
            .collect(),
    }
}

fn value_of_json(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(is) => Kind::BoolValue(*is),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(value_of_json).collect(),
        }),
        Value::Object(object) => Kind::StructValue(struct_of_json(object)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// A JSON object from the wire; `None`: a number that is none, or nested too deeply.
pub(crate) fn json_of_struct(object: Struct) -> Option<Map<String, Value>> {
    object_at(object, DEPTH_MAX)
}

fn object_at(object: Struct, depth: usize) -> Option<Map<String, Value>> {
    let depth = depth.checked_sub(1)?;
    object
        .fields
        .into_iter()
        .map(|(name, value)| Some((name, json_at(value, depth)?)))
        .collect()
}

fn json_at(value: prost_types::Value, depth: usize) -> Option<Value> {
    Some(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(is)) => Value::Bool(is),
        Some(Kind::NumberValue(number)) => json_number(number)?,
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => {
            let depth = depth.checked_sub(1)?;
            let items: Option<_> = list.values.into_iter().map(|item| json_at(item, depth)).collect();
            Value::Array(items?)
        }
        Some(Kind::StructValue(object)) => Value::Object(object_at(object, depth)?),
    })
}

/// `Struct` knows only doubles; what is whole and exact there is an integer here.
fn json_number(number: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        // Within 2^53 both ways, so the text of the double is that integer.
        return format!("{number:.0}").parse::<i64>().ok().map(Value::from);
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

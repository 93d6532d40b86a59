//! JSON objects read strictly: what two readers could read differently is refused (RFC 8725 section 2.4).
//!
//! Refused at every depth: a member that occurs twice (also when one spelling is escaped), nesting beyond a bound,
//! a number outside −2⁶³ … 2⁶⁴−1, anything behind the object.
//!
//! **Invariant:** an error says what and where, never which name or value.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// The nesting that serde_json itself admits is 128; no bound of ours may reach it.
const DEPTH_CEILING: usize = 100;
/// The first integers that no longer fit: 2⁶⁴ and −2⁶³ (−2⁶³ itself arrives as an `i64`, never as an `f64`).
const ABOVE_U64: f64 = 18_446_744_073_709_551_616.0;
const BELOW_I64: f64 = -9_223_372_036_854_775_808.0;

/// What was wrong with a JSON text, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at line {line} column {column}")]
pub struct JsonError {
    /// What was wrong.
    pub fault: JsonFault,
    /// The line, from 1; 0 if the whole text is meant.
    pub line: usize,
    /// The column in bytes, from 1; 0 at a line's very beginning.
    pub column: usize,
}

/// What can be wrong with a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON, not UTF-8, or something behind the value (RFC 8259).
    #[error("not well-formed JSON")]
    Syntax,
    /// JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// A member name occurs twice in one object (RFC 7515 section 5.2 step 4, RFC 7519 section 4).
    #[error("duplicate member")]
    DuplicateMember,
    /// Objects and arrays nested beyond the bound.
    #[error("nested too deep")]
    TooDeep,
    /// A number outside −2⁶³ … 2⁶⁴−1: an integer that a reader would have to round (RFC 7493 section 2.2).
    #[error("number out of range")]
    NumberOutOfRange,
}

/// Reads one object; its own braces are depth 1.
pub(crate) fn read_object(text: &[u8], depth_max: usize) -> Result<Map<String, Value>, JsonError> {
    let found = Cell::new(None);
    let strict = Strict {
        found: &found,
        depth: 0,
        depth_max: depth_max.min(DEPTH_CEILING),
    };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = strict
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| JsonError {
            fault: found.get().unwrap_or_else(|| fault_of(&error)),
            line: error.line(),
            column: error.column(),
        })?;
    match value {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonError {
                fault: JsonFault::NotAnObject,
                line: 0,
                column: 0,
            })
        }
    }
}

/// serde_json does not say in a type that `1e400` is no syntax error, only in words.
fn fault_of(error: &serde_json::Error) -> JsonFault {
    if error.to_string().starts_with("number out of range") {
        JsonFault::NumberOutOfRange
    } else {
        JsonFault::Syntax
    }
}

/// Reads one value; what it finds wrong goes into `found`, because serde's error type carries only words.
#[derive(Clone, Copy)]
struct Strict<'a> {
    found: &'a Cell<Option<JsonFault>>,
    depth: usize,
    depth_max: usize,
}

impl Strict<'_> {
    fn refuse<E: serde::de::Error>(&self, fault: JsonFault) -> E {
        self.found.set(Some(fault));
        E::custom("refused")
    }

    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= self.depth_max {
            return Err(self.refuse(JsonFault::TooDeep));
        }
        Ok(Self {
            depth: self.depth.saturating_add(1),
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let fits = value < ABOVE_U64 && value > BELOW_I64;
        match Number::from_f64(value) {
            Some(number) if fits => Ok(Value::Number(number)),
            Some(_) | None => Err(self.refuse(JsonFault::NumberOutOfRange)),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(inside)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match object.entry(name) {
                Entry::Occupied(_) => return Err(self.refuse(JsonFault::DuplicateMember)),
                Entry::Vacant(place) => {
                    place.insert(members.next_value_seed(inside)?);
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn refused(text: &str, fault: JsonFault) {
        assert_eq!(
            read_object(text.as_bytes(), 16).map_err(|error| error.fault),
            Err(fault),
            "{text}"
        );
    }

    #[test]
    fn an_object_reads_as_serde_json_reads_it() {
        let text = r#"{"a":[1,-2,0.5,1e9,true,null,"\u00e9",{"b":{}}],"c":18446744073709551615,"d":-9223372036854775808}"#;
        let read = Value::Object(read_object(text.as_bytes(), 16).unwrap());
        assert_eq!(read, serde_json::from_str::<Value>(text).unwrap());
        // Fails when somebody switches `arbitrary_precision` on for the whole build: numbers would arrive as objects.
        assert_eq!(read["a"][0], json!(1));
    }

    #[test]
    fn a_member_twice_is_refused_at_every_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"c":2,"b":3}}"#,
            r#"{"a":[[{"b":1,"b":1}]]}"#,
            r#"{"exp":1,"\u0065xp":2}"#,
            r#"{"a":{},"a":{}}"#,
        ] {
            refused(text, JsonFault::DuplicateMember);
        }
        assert!(read_object(br#"{"a":{"a":1},"b":{"a":1}}"#, 16).is_ok());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(read_object(nested(16).as_bytes(), 16).is_ok());
        refused(&nested(17), JsonFault::TooDeep);
        refused(&nested(10_000), JsonFault::TooDeep);
        assert_eq!(
            read_object(nested(10_000).as_bytes(), usize::MAX)
                .unwrap_err()
                .fault,
            JsonFault::TooDeep
        );
    }

    #[test]
    fn numbers_that_nobody_can_hold_are_refused() {
        for number in [
            "1e400",
            "-1e400",
            "18446744073709551616",
            "-9223372036854775809",
            "1e30",
            "1e20",
        ] {
            refused(
                &format!("{{\"a\":{{\"b\":[{number}]}}}}"),
                JsonFault::NumberOutOfRange,
            );
        }
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in [
            "",
            "{",
            "{}{}",
            "{} x",
            "{\"a\":01}",
            "{a:1}",
            "{\"a\":1,}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":NaN}",
        ] {
            refused(text, JsonFault::Syntax);
        }
        for text in ["[]", "1", "null", "\"a\"", "true"] {
            refused(text, JsonFault::NotAnObject);
        }
        assert_eq!(
            read_object(b"{\"\xff\":1}", 16).unwrap_err().fault,
            JsonFault::Syntax
        );
    }

    #[test]
    fn an_error_tells_the_place_but_not_the_content() {
        let error = read_object(br#"{"secret":1,"secret":2}"#, 16).unwrap_err();
        assert_eq!(error.line, 1);
        assert!(error.column >= 19, "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

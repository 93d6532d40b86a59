//! NumericDate (RFC 7519 section 2): a number of seconds, read as whole milliseconds.
//!
//! **Invariant:** no clock and no judgement: 0 is a date like any other, it simply lies long ago.

use serde_json::{Map, Value};

/// A claim is there and is no date. Carries the claim's name as the reader asked for it, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANumericDate {
    /// A string, a boolean, null, a list or an object.
    #[error("claim {claim} is a {found}, not a number")]
    NotANumber {
        /// The claim.
        claim: String,
        /// The JSON type that stood there.
        found: &'static str,
    },
    /// A number below zero.
    #[error("claim {claim} is negative")]
    Negative {
        /// The claim.
        claim: String,
    },
    /// A number whose milliseconds do not fit 63 bits.
    #[error("claim {claim} is out of range")]
    OutOfRange {
        /// The claim.
        claim: String,
    },
}

/// The claim's instant in milliseconds since the epoch, rounded down; `None` if the claim is absent.
///
/// Any JSON number from 0 on is a date, also a fraction (`1.5`) and an exponential (`1e9`).
///
/// # Errors
/// The claim is present and is no number (null included), is negative, or does not fit.
pub fn numeric_date(claims: &Map<String, Value>, claim: &str) -> Result<Option<i64>, NotANumericDate> {
    let named = || claim.to_owned();
    let wrong = |found| {
        Err(NotANumericDate::NotANumber {
            claim: named(),
            found,
        })
    };
    let number = match claims.get(claim) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(Value::Null) => return wrong("null"),
        Some(Value::Bool(_)) => return wrong("boolean"),
        Some(Value::String(_)) => return wrong("string"),
        Some(Value::Array(_)) => return wrong("list"),
        Some(Value::Object(_)) => return wrong("object"),
    };
    let instant_ms = if let Some(seconds) = number.as_u64() {
        i64::try_from(seconds)
            .ok()
            .and_then(|seconds| seconds.checked_mul(1000))
    } else {
        match number.as_f64() {
            Some(seconds) if seconds < 0.0 => return Err(NotANumericDate::Negative { claim: named() }),
            Some(seconds) => whole_ms(seconds),
            None => None,
        }
    };
    instant_ms
        .map(Some)
        .ok_or_else(|| NotANumericDate::OutOfRange { claim: named() })
}

/// 2⁶³ is the first `f64` that no `i64` holds; NaN fails the comparison.
fn whole_ms(seconds: f64) -> Option<i64> {
    let instant_ms = (seconds * 1000.0).floor();
    (instant_ms < 9_223_372_036_854_775_808.0).then_some(instant_ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{JsonFault, read_object};

    fn read(exp: &str) -> Result<Option<i64>, NotANumericDate> {
        let claims = read_object(format!("{{\"exp\":{exp}}}").as_bytes(), 16).unwrap();
        numeric_date(&claims, "exp")
    }

    #[test]
    fn any_number_from_zero_on_is_a_date() {
        for (exp, expected_ms) in [
            ("0", 0),
            ("-0", 0),
            ("0.0", 0),
            ("1", 1000),
            ("1.5", 1500),
            ("0.0009", 0),
            ("1.9999", 1999),
            ("1e9", 1_000_000_000_000),
            ("1.7E+9", 1_700_000_000_000),
            ("1700000000", 1_700_000_000_000),
            ("9223372036854775", 9_223_372_036_854_775_000),
        ] {
            assert_eq!(read(exp), Ok(Some(expected_ms)), "{exp}");
        }
    }

    #[test]
    fn an_absent_claim_is_none() {
        assert_eq!(numeric_date(&Map::new(), "exp"), Ok(None));
    }

    #[test]
    fn negative_numbers_are_refused_by_name() {
        for exp in ["-1", "-0.5", "-1e9", "-9223372036854775808"] {
            assert_eq!(
                read(exp),
                Err(NotANumericDate::Negative { claim: "exp".into() }),
                "{exp}"
            );
        }
    }

    #[test]
    fn numbers_without_milliseconds_in_63_bits_are_refused_by_name() {
        for exp in [
            "9223372036854776",
            "9223372036854775807",
            "18446744073709551615",
            "1e16",
            "1.5e19",
        ] {
            assert_eq!(
                read(exp),
                Err(NotANumericDate::OutOfRange { claim: "exp".into() }),
                "{exp}"
            );
        }
    }

    #[test]
    fn overflowing_numbers_never_get_this_far() {
        for exp in ["1e400", "18446744073709551616"] {
            let error = read_object(format!("{{\"exp\":{exp}}}").as_bytes(), 16).unwrap_err();
            assert_eq!(error.fault, JsonFault::NumberOutOfRange, "{exp}");
        }
    }

    #[test]
    fn other_types_are_refused_by_name() {
        for (exp, found) in [
            ("\"1\"", "string"),
            ("true", "boolean"),
            ("null", "null"),
            ("{}", "object"),
            ("[1]", "list"),
        ] {
            assert_eq!(
                read(exp),
                Err(NotANumericDate::NotANumber {
                    claim: "exp".into(),
                    found
                }),
                "{exp}"
            );
        }
    }
}

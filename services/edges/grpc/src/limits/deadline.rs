//! How long the caller will wait, as it says in `grpc-timeout`.
//!
//! **Invariant:** what cannot be read is a fault by name, never a call without a deadline.

use std::time::Duration;

use http::HeaderMap;

const HEADER: &str = "grpc-timeout";
/// At most so many digits (the gRPC protocol over HTTP/2, `TimeoutValue`).
const DIGITS_MAX: usize = 8;

/// The caller's patience; `None`: it said nothing. `Err`: what is wrong with it.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Duration>, &'static str> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    let fault = "not 1 to 8 digits and one of H, M, S, m, u, n";
    let text = value.to_str().map_err(|_| fault)?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(fault)?;
    let is_number = (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number {
        return Err(fault);
    }
    let n: u64 = digits.parse().map_err(|_| fault)?;
    Ok(Some(match unit {
        "H" => Duration::from_secs(n.saturating_mul(3_600)),
        "M" => Duration::from_secs(n.saturating_mul(60)),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return Err(fault),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Duration>, &'static str> {
        of(&HeaderMap::from_iter([(
            http::HeaderName::from_static(HEADER),
            text.parse().unwrap(),
        )]))
    }

    #[test]
    fn a_deadline_is_read_in_every_unit_and_nothing_else_is_one() {
        assert_eq!(of(&HeaderMap::new()), Ok(None));
        for (text, expected) in [
            ("2H", Duration::from_secs(7_200)),
            ("3M", Duration::from_secs(180)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("250m", Duration::from_millis(250)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(read(text), Ok(Some(expected)), "{text}");
        }
        for wrong in ["", "m", "12", "1 m", "-1m", "+1m", "123456789m", "1.5S", "5s"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

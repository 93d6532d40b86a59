//! Instants and spans, as people write and read them.

use std::time::Duration;

use curfew_clock::SystemClock;
use curfew_core::time::{Clock as _, Millis};
use jiff::SignedDuration;

/// A span: `10s`, `2m 30s`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = text
        .parse()
        .map_err(|_| format!("`{text}` is not a span such as `10s` or `2m 30s`"))?;
    Duration::try_from(span).map_err(|_| format!("`{text}` is negative"))
}

/// An instant: `2026-01-31T12:00:00Z`.
pub(crate) fn instant(text: &str) -> Result<prost_types::Timestamp, String> {
    let instant: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("`{text}` is not an instant such as `2026-01-31T12:00:00Z`"))?;
    Ok(prost_types::Timestamp {
        seconds: instant.as_second(),
        nanos: instant.subsec_nanosecond(),
    })
}

/// The present instant.
pub(crate) fn now() -> Millis {
    SystemClock.now().wall
}

/// An instant, to the second; empty where there is none.
pub(crate) fn at(instant: Option<prost_types::Timestamp>) -> String {
    instant
        .map(|instant| iso(instant.seconds.saturating_mul(1_000)))
        .unwrap_or_default()
}

/// An instant and how far away it is.
pub(crate) fn near(instant: Option<prost_types::Timestamp>, now: Millis) -> String {
    instant
        .map(|instant| of_ms(instant.seconds.saturating_mul(1_000), now))
        .unwrap_or_default()
}

/// An instant in milliseconds, and how far away it is.
pub(crate) fn of_ms(unix_ms: i64, now: Millis) -> String {
    format!("{} ({})", iso(unix_ms), away(unix_ms, now))
}

/// An instant in milliseconds, to the second.
pub(crate) fn iso(unix_ms: i64) -> String {
    let at = jiff::Timestamp::from_second(unix_ms.div_euclid(1_000));
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// How far an instant is away, in one or two units.
pub(crate) fn away(unix_ms: i64, now: Millis) -> String {
    let ms = Millis::from_unix_ms(unix_ms).ms_since(now);
    let seconds = ms.saturating_abs() / 1_000;
    // Of a span of days nobody wants the seconds.
    let unit = match seconds {
        0..3_600 => 1,
        3_600..172_800 => 60,
        _ => 3_600,
    };
    let span = SignedDuration::from_secs(seconds - seconds % unit);
    if ms >= 0 {
        format!("in {span:#}")
    } else {
        format!("{span:#} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::from_unix_seconds(1_800_000_000);

    #[test]
    fn spans_and_instants_are_read_as_they_are_written() {
        assert_eq!(span("2m 30s"), Ok(Duration::from_secs(150)));
        assert!(span("-1s").is_err() && span("soon").is_err());
        assert_eq!(instant("1970-01-01T00:00:01Z").map(|at| at.seconds), Ok(1));
        assert!(instant("yesterday").is_err());
    }

    #[test]
    fn how_far_away_is_told_in_few_units() {
        assert_eq!(away(1_800_000_598_000, NOW), "in 9m 58s");
        assert_eq!(away(1_799_999_700_000, NOW), "5m ago");
        assert_eq!(away(1_800_090_061_000, NOW), "in 25h 1m");
    }
}

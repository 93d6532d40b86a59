//! What nodes tell one another of their followers, as `curfew.log.v1.Watermarks`.

use curfew_core::watermark::{Mark, Watermarks};
use curfew_proto::log::v1 as log;
use prost::Message as _;

use crate::error::{DecodeError, Why};
use crate::field::{fixed, ms};

/// The bytes of a message.
#[must_use]
pub fn encode_watermarks(watermarks: &Watermarks) -> Vec<u8> {
    let mark = |mark: &Mark| log::FollowerMark {
        name: mark.name.to_string(),
        replica: mark.replica.to_string(),
        seen_ms: mark.seen.as_unix_ms(),
        next_offsets: mark.positions.clone(),
        left: mark.has_left,
    };
    log::Watermarks {
        log_id: watermarks.log_id.to_vec(),
        node: watermarks.node.to_string(),
        marks: watermarks.marks.iter().map(mark).collect(),
    }
    .encode_to_vec()
}

/// The message that these bytes are.
pub fn decode_watermarks(bytes: &[u8]) -> Result<Watermarks, DecodeError> {
    let told = log::Watermarks::decode(bytes).map_err(|_| DecodeError::new("", Why::NotAMessage))?;
    let mark = |mark: log::FollowerMark| Mark {
        name: mark.name.into(),
        replica: mark.replica.into(),
        seen: ms(mark.seen_ms),
        positions: mark.next_offsets,
        has_left: mark.left,
    };
    Ok(Watermarks {
        log_id: fixed(&told.log_id, "log_id")?,
        node: told.node.into(),
        marks: told.marks.into_iter().map(mark).collect(),
    })
}

#[cfg(test)]
mod tests {
    use curfew_core::time::Millis;

    use super::*;

    #[test]
    fn what_was_told_is_what_is_heard() {
        let mark = |replica: &str, positions: &[u64], has_left| Mark {
            name: "orders".into(),
            replica: replica.into(),
            seen: Millis::from_unix_ms(1_800_000_000_000),
            positions: positions.to_vec(),
            has_left,
        };
        let told = Watermarks {
            log_id: [7; 16],
            node: "127.0.0.1:7400".into(),
            marks: vec![mark("r1", &[0, 1, u64::MAX], false), mark("r2", &[], true)],
        };
        assert_eq!(decode_watermarks(&encode_watermarks(&told)).unwrap(), told);
    }

    #[test]
    fn what_is_none_is_refused_by_the_name_of_its_field() {
        let refused = decode_watermarks(&[]).unwrap_err();
        assert_eq!(refused.to_string(), "field `log_id` is missing");
        let refused = decode_watermarks(&[0xff]).unwrap_err();
        assert_eq!(refused.why, Why::NotAMessage);
    }
}

//! `curfew admin skip`: one record that nobody can read is stepped over.

use clap::Args;
use curfew_proto::admin::v1 as pb;

use super::Service;
use crate::cli::Failure;
use crate::client::request_id;
use crate::commands::{Common, json, print};

/// Steps over a record that nobody can read.
#[derive(Args, Clone, Debug)]
pub(super) struct Skip {
    /// The log partition, as `curfew admin partitions` tells it.
    #[arg(long, value_name = "NUMBER")]
    partition: u32,
    /// Where the record lies.
    #[arg(long, value_name = "OFFSET")]
    offset: u64,
    /// SHA-256 of the record, in hexadecimal: nothing else is stepped over.
    #[arg(long, value_name = "HEX", value_parser = hash)]
    hash: [u8; 32],
    /// Why it may be stepped over; it lies on the log for whoever asks later.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let wrong = || format!("`{text}` is not a SHA-256 in hexadecimal, which has 64 digits");
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(hash)
}

pub(super) async fn run(common: &Common, mut service: Service, skip: Skip) -> Result<(), Failure> {
    let request = pb::SkipRecordRequest {
        log_partition: skip.partition,
        offset: skip.offset,
        record_hash: skip.hash.to_vec(),
        reason: skip.reason,
        request_id: request_id(),
    };
    let answer = service.skip_record(request).await?.into_inner();
    common.show(
        || json::of(&answer),
        || {
            print::fields([
                (
                    "skipped",
                    format!("log partition {} offset {}", skip.partition, skip.offset),
                ),
                ("the skip lies at", format!("offset {}", answer.skip_offset)),
                (
                    "records that still freeze it",
                    answer.frozen_records.len().to_string(),
                ),
            ])
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_64_digits() {
        assert_eq!(hash(&"0f".repeat(32)), Ok([15; 32]));
        for wrong in ["", "0f", &"0g".repeat(32), &"ä".repeat(32)] {
            assert!(hash(wrong).unwrap_err().contains("64 digits"), "{wrong}");
        }
    }
}

//! The keys of a run by kind, and what each kind weighs.
//!
//! **Invariant:** every key of the prefix is counted; what it weighs is asked of a sample, by Redis's own count.

use std::collections::BTreeMap;

use redis::Connection;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Keys of one step of the scan.
const PAGE: usize = 5_000;
/// Keys of each kind that are weighed: weights of one kind differ by a few bytes.
const WEIGHED_MAX: usize = 2_000;

/// Keys of one kind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Kind {
    /// The letter that its keys have behind the partition.
    pub(crate) letter: String,
    pub(crate) keys: u64,
    /// Of one of them, by `MEMORY USAGE`: entry, key, value.
    pub(crate) bytes_each: f64,
    /// Of its key and its value, as they are sent.
    pub(crate) key_bytes: f64,
    pub(crate) value_bytes: f64,
}

#[derive(Default)]
struct Tally {
    keys: u64,
    sample: Vec<Vec<u8>>,
}

/// Scans what begins with `prefix`.
pub(crate) fn kinds(connection: &mut Connection, prefix: &str) -> Result<Vec<Kind>, Failure> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut cursor = 0_u64;
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}{{*"))
            .arg("COUNT")
            .arg(PAGE)
            .query(connection)?;
        for key in keys {
            let tally = tallies.entry(letter_of(&key)).or_default();
            tally.keys += 1;
            if tally.sample.len() < WEIGHED_MAX {
                tally.sample.push(key);
            }
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let weighed = tallies
        .into_iter()
        .map(|(letter, tally)| weigh(connection, letter, &tally));
    weighed.collect()
}

fn weigh(connection: &mut Connection, letter: String, tally: &Tally) -> Result<Kind, Failure> {
    let (mut bytes, mut key_bytes, mut value_bytes) = (0_u64, 0, 0);
    for key in &tally.sample {
        // A key that was collected meanwhile weighs nothing.
        let weight: Option<u64> = redis::cmd("MEMORY").arg("USAGE").arg(key).query(connection)?;
        bytes += weight.unwrap_or(0);
        // A list has no length of this kind.
        value_bytes += redis::cmd("STRLEN")
            .arg(key)
            .query::<usize>(connection)
            .unwrap_or(0);
        key_bytes += key.len();
    }
    let each = |sum: f64| sum / tally.sample.len().max(1) as f64;
    Ok(Kind {
        letter,
        keys: tally.keys,
        bytes_each: each(bytes as f64),
        key_bytes: each(key_bytes as f64),
        value_bytes: each(value_bytes as f64),
    })
}

/// `prefix{3ff}s…`: the letter behind the brace; of an index, both.
fn letter_of(key: &[u8]) -> String {
    let behind = key.split(|byte| *byte == b'}').nth(1).unwrap_or_default();
    let letters = match behind {
        [b'i', kind, ..] => vec![b'i', *kind],
        [letter, ..] => vec![*letter],
        [] => Vec::new(),
    };
    String::from_utf8_lossy(&letters).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_kind() {
        for (key, letter) in [
            (&b"curfew{3ff}s\x01\x02}"[..], "s"),
            (b"curfew{000}p", "p"),
            (b"curfew{000}id", "id"),
            (b"stranger", ""),
        ] {
            assert_eq!(letter_of(key), letter);
        }
    }
}

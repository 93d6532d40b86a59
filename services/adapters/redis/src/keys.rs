//! Where records lie: one hash tag for each partition, so that a partition's keys share one slot.
//!
//! **Invariant:** the place of a record never changes for one prefix; another prefix is another store.

use curfew_core::place::Partition;
use curfew_core::stored::{Key, Listed};

/// Slots of a Redis Cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// Three digits and the braces around them.
const TAG_BYTES: usize = 5;

/// The places of one store.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// `prefix{3ff}`, three hexadecimal digits, then the key's bytes: with the default prefix a session's
    /// key has 28 bytes, the most that fit the allocator's class of 32.
    pub(crate) fn place_of(&self, partition: Partition, key: &Key) -> Vec<u8> {
        self.place_of_bytes(partition, &key.to_bytes())
    }

    pub(crate) fn place_of_bytes(&self, partition: Partition, key: &[u8]) -> Vec<u8> {
        // By hand: every refresh makes eleven of these, and `format!` costs as much as all the rest.
        let mut place = Vec::with_capacity(self.prefix.len() + TAG_BYTES + key.len());
        place.extend_from_slice(self.prefix.as_bytes());
        place.push(b'{');
        place.extend_from_slice(&digits_of(partition));
        place.push(b'}');
        place.extend_from_slice(key);
        place
    }

    /// The sorted set of all keys of one list: `i` is no kind of record.
    pub(crate) fn index_of(&self, partition: Partition, listed: Listed) -> Vec<u8> {
        let name: &[u8] = match listed {
            Listed::Directory => b"id",
            Listed::Leases => b"ie",
            Listed::Outbox => b"ix",
        };
        self.place_of_bytes(partition, name)
    }

    /// The slot of all keys of a partition: what lies between the braces decides.
    pub(crate) fn slot_of(partition: Partition) -> u16 {
        crc16(&digits_of(partition)) % SLOTS
    }
}

/// Three hexadecimal digits.
fn digits_of(partition: Partition) -> [u8; 3] {
    [8, 4, 0].map(|shift| match partition.number() >> shift & 0xf {
        // Below 16: what is behind the digit fits a byte.
        digit @ 0..=9 => b'0' + digit as u8,
        digit => b'a' + (digit as u8 - 10),
    })
}

/// CRC-16/XMODEM, as the Cluster specification's appendix has it. Computed 1,024 times per refresh of
/// the slot map, so no table.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_what_the_specification_says() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn keys_of_a_partition_share_a_tag_and_differ_otherwise() {
        let keys = Keys::new("curfew");
        let partition = Partition::new(1_023).unwrap();
        assert_eq!(keys.place_of(partition, &Key::Partition), b"curfew{3ff}p");
        assert_eq!(keys.index_of(partition, Listed::Outbox), b"curfew{3ff}ix");
        for number in 0..1_024 {
            let place = keys.place_of(Partition::new(number).unwrap(), &Key::Partition);
            assert_eq!(place, format!("curfew{{{number:03x}}}p").into_bytes());
        }
    }
}

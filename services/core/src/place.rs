//! Where things lie: partitions of the store and of the log, positions, incarnations, versions.
//!
//! **Invariant:** N is 1,024 everywhere and for ever; M divides N and is fixed when the log is made.

use std::fmt;

use serde::{Deserialize, Serialize};

/// N, the number of store partitions.
pub const PARTITIONS: u16 = 1_024;

/// A partition of the store: a slice of subjects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition(u16);

impl Partition {
    /// The fixed partition that also holds the directory: tenants, clients, keys, wide marks.
    pub const DIRECTORY: Self = Self(0);

    /// `None` where `number` is not below N.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < PARTITIONS {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The partition named by the first ten bits of `bytes`.
    #[must_use]
    pub const fn from_first_bits(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes) >> 6)
    }

    /// The partition's number, below N.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// All partitions, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// A partition of the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogPartition(pub u16);

impl LogPartition {
    /// The index of this partition in a list of all of them.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Debug for LogPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l{}", self.0)
    }
}

/// Which log this is: its id and its number of partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct LogIdentity {
    /// New with every log that is made, and after a lost one.
    pub log_id: [u8; 16],
    /// M.
    pub partitions: u16,
}

impl LogIdentity {
    /// `None` unless `partitions` divides N.
    #[must_use]
    pub const fn new(log_id: [u8; 16], partitions: u16) -> Option<Self> {
        if partitions == 0 || !PARTITIONS.is_multiple_of(partitions) {
            return None;
        }
        Some(Self { log_id, partitions })
    }

    /// The log partition of a store partition: `p mod M`.
    #[must_use]
    pub const fn home_of(self, partition: Partition) -> LogPartition {
        LogPartition(partition.0 % self.partitions)
    }

    /// All log partitions, in order.
    pub fn all(self) -> impl Iterator<Item = LogPartition> {
        (0..self.partitions).map(LogPartition)
    }
}

/// A record's place in the log. There is no order between partitions, so none is derived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The log partition.
    pub partition: LogPartition,
    /// The offset in it, from 0.
    pub offset: u64,
}

/// Which history of the store we talk to. Equal or not; nothing else is known of two of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Incarnation(pub [u8; 8]);

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The version of one stored record: the incarnation of the commit and 8 random bytes, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version(pub [u8; 16]);

impl Version {
    /// The version that a commit of `incarnation` with this nonce gives to what it writes.
    #[must_use]
    pub fn new(incarnation: Incarnation, nonce: [u8; 8]) -> Self {
        let mut bytes = [0; 16];
        let (left, right) = bytes.split_at_mut(8);
        left.copy_from_slice(&incarnation.0);
        right.copy_from_slice(&nonce);
        Self(bytes)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p39_a_log_has_as_many_partitions_as_divide_n() {
        assert!(LogIdentity::new([0; 16], 0).is_none());
        assert!(LogIdentity::new([0; 16], 3).is_none());
        let log = LogIdentity::new([0; 16], 8).unwrap();
        assert_eq!(log.home_of(Partition::new(1_023).unwrap()), LogPartition(7));
        assert!(Partition::new(1_024).is_none());
    }
}

//! Identifiers: one macro a family, distinct types, one strict text form each.
//!
//! Born ids (`sid`, `gid`, `jti`) are UUIDv7 (RFC 9562 section 5.7): the millisecond field is the
//! logical birth, the low ten bits of `rand_a` are the partition, its other two bits are zero and
//! checked (DESIGN section 4).
//!
//! **Invariant:** no id is a secret, and no id opens anything.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::place::Partition;
use crate::time::Millis;

/// Why a text is no identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidId {
    /// Not the lower-case hyphenated form.
    #[error("not a lower-case hyphenated UUID")]
    NotAUuid,
    /// Not version 7, or reserved bits are set.
    #[error("not an identifier of a session, grant or token: wrong version or reserved bits")]
    NotBorn,
    /// Empty.
    #[error("empty")]
    Empty,
    /// Too long.
    #[error("longer than {max} bytes")]
    TooLong {
        /// The longest permitted, in bytes.
        max: usize,
    },
    /// A character that the identifier may not hold.
    #[error("holds a character that is not permitted there")]
    Character,
}

fn parse_uuid(text: &str) -> Result<Uuid, InvalidId> {
    let canonical = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
    if !canonical {
        return Err(InvalidId::NotAUuid);
    }
    Uuid::try_parse(text).map_err(|_| InvalidId::NotAUuid)
}

macro_rules! text_form {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

mod names;

pub use crate::ids::names::{
    CallerId, Cause, ClientId, DeviceId, KeyId, ResourceId, Scope, SubjectId, TenantName,
};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// From its 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// A random (version 4) id from 16 bytes of entropy.
            #[must_use]
            pub fn from_random(random: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(random).into_uuid().into_bytes())
            }

            /// Its 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&Uuid::from_bytes(self.0).hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_uuid(text).map(|uuid| Self(uuid.into_bytes()))
            }
        }

        text_form!($name);
    };
}

uuid_id!(
    /// The permanent id of a tenant; it survives every renaming.
    TenantId
);
uuid_id!(
    /// The permanent id of an issuer entry. A tenant's own entry has the tenant's id.
    IssuerId
);
uuid_id!(
    /// The id of one log record: revocations, subject states, directory records.
    RecordId
);
uuid_id!(
    /// The id that a caller gave one operation (`request_id`).
    OperationId
);

impl TenantId {
    /// The entry under which the tenant's own tokens are judged.
    #[must_use]
    pub const fn own_issuer(self) -> IssuerId {
        IssuerId(self.0)
    }
}

macro_rules! born_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id born at `birth` in `partition`; 62 of the 64 random bits are used.
            #[must_use]
            pub fn new(birth: Millis, partition: Partition, random: [u8; 8]) -> Self {
                Self(born(birth, partition, random))
            }

            /// From its 16 bytes, checked.
            pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, InvalidId> {
                if is_born(&bytes) { Ok(Self(bytes)) } else { Err(InvalidId::NotBorn) }
            }

            /// Its 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The logical instant of birth (DESIGN section 4).
            #[must_use]
            pub fn birth(&self) -> Millis {
                birth_of(&self.0)
            }

            /// The partition that this id names.
            #[must_use]
            pub fn partition(&self) -> Partition {
                partition_of(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&Uuid::from_bytes(self.0).hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_uuid(text).and_then(|uuid| Self::from_bytes(uuid.into_bytes()))
            }
        }

        text_form!($name);
    };
}

born_id!(
    /// `sid`: one session. Public; it opens nothing.
    SessionId
);
born_id!(
    /// `gid`: one grant, or one app-only or exchanged token.
    GrantId
);
born_id!(
    /// `jti`: one access token.
    TokenId
);

impl GrantId {
    /// The low half, which a refresh token carries (DESIGN section 3).
    #[must_use]
    pub fn low(&self) -> GrantLow {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        GrantLow([a, b, c, d, e, f, g, h])
    }

    /// An app-only or exchanged token's `gid` is its `jti` (DESIGN section 8).
    #[must_use]
    pub const fn of_token(token: TokenId) -> Self {
        Self(token.0)
    }
}

/// The low half of a `gid`: 62 random bits that tell the grants of one session apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct GrantLow(pub [u8; 8]);

fn born(birth: Millis, partition: Partition, random: [u8; 8]) -> [u8; 16] {
    // Births are bounded by the store's clock; a negative one can only be a caller's mistake and becomes 0.
    let ms = u64::try_from(birth.as_unix_ms()).unwrap_or(0).to_be_bytes();
    let [_, _, t0, t1, t2, t3, t4, t5] = ms;
    let [p0, p1] = partition.number().to_be_bytes();
    let [r0, r1, r2, r3, r4, r5, r6, r7] = random;
    [
        t0,
        t1,
        t2,
        t3,
        t4,
        t5,
        0x70 | p0,
        p1,
        0x80 | (r0 & 0x3f),
        r1,
        r2,
        r3,
        r4,
        r5,
        r6,
        r7,
    ]
}

fn is_born(bytes: &[u8; 16]) -> bool {
    let [_, _, _, _, _, _, version, _, variant, ..] = bytes;
    // The high nibble is the version, the next two bits are the zero bits of `rand_a`.
    version & 0xfc == 0x70 && variant & 0xc0 == 0x80
}

/// The birth that a UUID names in its first 48 bits; `None` where it is not one of ours.
#[must_use]
pub fn birth_in(text: &str) -> Option<Millis> {
    let bytes = parse_uuid(text).ok()?.into_bytes();
    is_born(&bytes).then(|| birth_of(&bytes))
}

/// The partition that a UUID names; `None` where it is not one of ours.
#[must_use]
pub fn partition_in(text: &str) -> Option<Partition> {
    let bytes = parse_uuid(text).ok()?.into_bytes();
    is_born(&bytes).then(|| partition_of(&bytes))
}

fn birth_of(bytes: &[u8; 16]) -> Millis {
    let [a, b, c, d, e, f, ..] = *bytes;
    let ms = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    Millis::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn partition_of(bytes: &[u8; 16]) -> Partition {
    let [_, _, _, _, _, _, high, low, ..] = *bytes;
    // Ten bits: two of the high byte, eight of the low one.
    Partition::from_first_bits([(high & 0x03) << 6 | low >> 2, low << 6])
}

/// A keyed hash of (tenant, subject); its first ten bits are the partition (DESIGN section 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubjectKey(pub [u8; 8]);

impl SubjectKey {
    /// The partition that holds the subject.
    #[must_use]
    pub const fn partition(self) -> Partition {
        let [a, b, ..] = self.0;
        Partition::from_first_bits([a, b])
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{:016x}", u64::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests;

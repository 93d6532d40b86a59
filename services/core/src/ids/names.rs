//! Ids that people or clients choose: bounded texts of the characters that their place permits.
//!
//! **Invariant:** what was accepted once prints as the same bytes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $max:expr, $permitted:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest permitted text, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// From its text, checked.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                if text.is_empty() {
                    return Err(InvalidId::Empty);
                }
                if text.len() > Self::MAX_BYTES {
                    return Err(InvalidId::TooLong { max: Self::MAX_BYTES });
                }
                let permitted: fn(char) -> bool = $permitted;
                if !text.chars().all(permitted) {
                    return Err(InvalidId::Character);
                }
                Ok(Self(text.into()))
            }

            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        text_form!($name);
    };
}

fn slug(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_' || c == '.'
}

fn vschar_without_slash(c: char) -> bool {
    // RFC 6749 appendix A.1: VSCHAR. A slash would break resource names.
    ('\u{21}'..='\u{7e}').contains(&c) && c != '/'
}

fn printable(c: char) -> bool {
    !c.is_control()
}

name_id!(
    /// A tenant's name: part of its issuer and of resource names. It may change; [`TenantId`] does not.
    TenantName,
    64,
    slug
);
name_id!(
    /// `sub` and `oid`: a user or a workload, one id space in a tenant.
    SubjectId,
    255,
    printable
);
name_id!(
    /// `client_id` (RFC 6749 section 2.2).
    ClientId,
    128,
    vschar_without_slash
);
name_id!(
    /// The id of a resource in its tenant; its `aud` is a field of the record.
    ResourceId,
    128,
    vschar_without_slash
);
name_id!(
    /// A caller of Curfew's own services.
    CallerId,
    128,
    vschar_without_slash
);
name_id!(
    /// `kid`: a key of the ring (RFC 7517 section 4.5).
    KeyId,
    128,
    vschar_without_slash
);
name_id!(
    /// A scope token (RFC 6749 section 3.3) or an app role.
    Scope,
    128,
    |c| ('\u{21}'..='\u{7e}').contains(&c) && c != '"' && c != '\\'
);
name_id!(
    /// Why something was revoked or ended: a stable lower-case word.
    Cause,
    64,
    slug
);
name_id!(
    /// A device, as the identity provider names it (`deviceid`).
    DeviceId,
    255,
    printable
);

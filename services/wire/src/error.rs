//! Why bytes are not the message that they should be.
//!
//! **Invariant:** every failure names its field by path, and never holds the field's content.

use std::fmt;

/// A field that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("field `{path}` {why}")]
pub struct DecodeError {
    /// The field, from the message's root: `session.grants[2].secret`.
    pub path: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// It must be there.
    Missing,
    /// It is no encoded message at all.
    NotAMessage,
    /// It has another length, in bytes.
    Length {
        /// The only permitted one.
        expected: usize,
        /// What was found.
        found: usize,
    },
    /// A number, kind or word that this version does not know.
    Unknown {
        /// The number or word.
        value: String,
    },
    /// A value that the core's type refuses.
    Invalid {
        /// As the type says it.
        reason: String,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::NotAMessage => f.write_str("is no encoded message"),
            Self::Length { expected, found } => write!(f, "has {found} bytes, expected {expected}"),
            Self::Unknown { value } => write!(f, "has the unknown value {value}"),
            Self::Invalid { reason } => write!(f, "is invalid: {reason}"),
        }
    }
}

impl DecodeError {
    pub(crate) fn new(path: &str, why: Why) -> Self {
        Self {
            path: path.to_owned(),
            why,
        }
    }

    pub(crate) fn missing(path: &str) -> Self {
        Self::new(path, Why::Missing)
    }

    pub(crate) fn unknown(path: &str, value: impl fmt::Display) -> Self {
        Self::new(
            path,
            Why::Unknown {
                value: value.to_string(),
            },
        )
    }

    pub(crate) fn invalid(path: &str, reason: impl fmt::Display) -> Self {
        Self::new(
            path,
            Why::Invalid {
                reason: reason.to_string(),
            },
        )
    }

    /// The same failure, seen from the message that holds this one; an empty path is the parent itself.
    pub(crate) fn under(mut self, parent: &str) -> Self {
        self.path = match self.path.is_empty() {
            true => parent.to_owned(),
            false => format!("{parent}.{}", self.path),
        };
        self
    }
}

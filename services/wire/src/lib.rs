//! Total translation between the core's types and the stored and logged messages.
//!
//! Encoding cannot fail; decoding is strict and names the field that it refuses. An empty text or
//! byte string of an optional field is an absent one.
//!
//! **Invariant:** no rule of the protocol is decided here; what cannot be read is refused or, on
//! the log, kept as bytes, and never guessed.

mod error;
mod field;
mod key;
mod log;
mod record;
mod revocation;
mod snapshot;
#[cfg(test)]
mod strategies;
mod watermarks;

pub use error::{DecodeError, Why};
pub use key::decode_key;
pub use log::{decode_log, encode_log};
pub use record::{decode_record, encode_record};
pub use snapshot::{SnapshotSum, decode_entry, encode_entry};
pub use watermarks::{decode_watermarks, encode_watermarks};

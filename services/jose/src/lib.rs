//! Signed compact tokens and key sets, strictly read, on ring.
//!
//! A token is read once, by [`Jws::parse`], into something that can be judged; its signature is judged by a
//! [`VerifyingKey`] out of a [`KeySet`], or made by a [`SigningKey`]. That is all of JOSE that Curfew speaks:
//! JWS compact serialization (RFC 7515 section 7.1) with asymmetric signatures (RFC 7518 section 3.1, RFC 8037).
//!
//! **Invariant:** no claim is judged here, and time never appears: whether a token is *acceptable* is its reader's rule.
//! **Invariant:** no HMAC and no `none`: a public key can never be taken for a secret (RFC 8725 section 2.1).
//! **Invariant:** no error, no `Debug` and no log line carries a token's content or a private key.

// Tests may panic: a panic is how a test speaks.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a panic is how a test speaks"
    )
)]

mod algorithm;
mod json;
mod jwk;
mod jws;
mod key_set;
mod numeric_date;
pub mod provider;
mod signature_cache;
mod signing_key;
#[cfg(test)]
mod testing;
mod token_cache;
mod verifying_key;

pub use algorithm::{Algorithm, SignatureAlgorithm, UnknownAlgorithm};
pub use json::{JsonError, JsonFault};
pub use jwk::{NoThumbprint, serialize_key_set, thumbprint};
pub use jws::{Deviation, Jws, Limits, MalformedToken, Part};
pub use key_set::{KeySet, KeySetRefused, Skipped};
pub use numeric_date::{NotANumericDate, numeric_date};
pub use provider::KeyRejected;
pub use signature_cache::SignatureCache;
pub use signing_key::{SigningFailed, SigningKey};
pub use token_cache::TokenCache;
pub use verifying_key::{KeyUnusable, SignatureRefused, VerifyingKey};

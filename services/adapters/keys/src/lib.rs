//! The keys port: key material made, sealed under a root key, and used.
//!
//! A [`RootKey`] is what a node gets from its environment or, embedded, from a file of its own; a [`SealingVault`]
//! makes keys, seals them and records under it, and opens them again. [`SystemEntropy`] is the chance of decisions.
//!
//! **Invariant:** key material is in memory, wiped when dropped, or sealed; never in a text, an error or a `Debug`.
//! **Invariant:** what was sealed as one thing (this `kid`, this use, this record's name) never opens as another.

mod entropy;
mod provider;
mod root_key;
mod signer;
mod vault;

pub use entropy::SystemEntropy;
pub use root_key::{NotARootKey, RootKey, RootKeyError};
pub use vault::SealingVault;

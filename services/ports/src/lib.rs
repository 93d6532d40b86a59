//! The seams of Curfew: what the authority asks of a store, a log, a vault, of chance, and of other nodes.
//!
//! **Invariant:** a port speaks the domain, is atomic, and says what `Err` means: not knowing.
//! The clock's port is [`curfew_core::time::Clock`], since guards take one too.

pub mod entropy;
pub mod keys;
pub mod log;
pub mod store;
pub mod watermarks;

#[cfg(feature = "testing")]
pub mod testing;

//! The laws of the store, one function each. Run them with [`store_contract!`](crate::store_contract).
//!
//! **Invariant:** each law stands alone on an empty store, and a law of the protocol is none of these.

mod atomicity;
mod clock;
mod draft;
mod fence;
mod kinds;
mod limits;
mod listing;
mod publishing;
mod race;
mod versions;

pub use atomicity::*;
pub use clock::*;
pub use fence::*;
pub use kinds::*;
pub use limits::*;
pub use listing::*;
pub use publishing::*;
pub use race::*;
pub use versions::*;

#[cfg(test)]
pub(in crate::testing) use draft::{Draft, HERE, commit, committed, read_one, tombstone};

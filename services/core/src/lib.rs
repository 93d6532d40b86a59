//! Every protocol decision of Curfew, as pure functions.
//!
//! `decide(records read, request, now, entropy) -> Decision { outcome, writes, records }`: the same
//! function serves every store, the model checker, the property tests and the simulator.
//!
//! **Invariant:** no I/O, no async, no clock, no randomness; instants and entropy arrive as arguments.

pub mod access_token;
pub mod claims;
pub mod cutoff;
pub mod decide;
pub mod directory;
pub mod enforced;
pub mod follow;
pub mod ids;
pub mod index;
pub mod mac;
pub mod place;
pub mod record;
pub mod refresh_token;
pub mod refusal;
pub mod secret;
pub mod session;
pub mod stored;
pub mod subject;
pub mod time;
pub mod watermark;

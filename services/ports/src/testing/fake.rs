//! The fake: a store and a log in memory that lose, delay, refuse and repeat on demand.
//!
//! **Invariant:** undisturbed, both pass the contract suites.

mod held;
mod log;
mod state;
mod store;
mod tail;
mod watermarks;

pub use held::Held;
pub use log::{FakeLog, LogCounts};
pub use store::{FakeStore, StoreCounts};
pub use watermarks::FakeWatermarks;

use std::error::Error;

/// Why a fake did not answer.
fn because(why: &'static str) -> Box<dyn Error + Send + Sync> {
    why.into()
}

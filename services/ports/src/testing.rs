//! What adapters and use cases are tested with: the contract suites, the samples and the fake.
//!
//! An adapter of the store or of the log calls [`store_contract!`](crate::store_contract) or
//! [`log_contract!`](crate::log_contract) with a factory of empty ones and gets one test per law.
//! [`FakeStore`] and [`FakeLog`] pass the same suites, and lose, delay and refuse on demand.
//!
//! **Invariant:** no law sleeps, none reads a clock but the store's, and none is skipped silently:
//! an adapter lists by name what it cannot run, with the reason.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "laws and fakes fail by panicking: they are compiled for tests only"
)]

mod clock;
mod contract;
mod fake;
pub mod log_laws;
pub mod samples;
pub mod store_laws;

pub use clock::StillClock;
#[doc(hidden)]
pub use contract::check_listed;
pub use contract::{ClockCheck, Lacks, Law, LogUnderTest, StoreUnderTest, judge};
pub use fake::{FakeLog, FakeStore, FakeWatermarks, Held, LogCounts, StoreCounts};
pub use samples::{sample_log_records, sample_records};

#[cfg(test)]
mod tests;

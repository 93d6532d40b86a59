//! Builders, a virtual clock and seeded entropy for tests.
//!
//! **Invariant:** nothing here reads the machine's clock or draws its chance: a failed test replays from its seed.

mod clock;
mod entropy;

pub use clock::ManualClock;
pub use entropy::SeededEntropy;

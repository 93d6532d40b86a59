//! Builders, a virtual clock and seeded entropy for tests.

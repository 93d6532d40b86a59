//! The seams of Curfew: store, log, keys, clock, entropy, with the contract each adapter must pass.

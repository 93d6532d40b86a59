//! Chance that repeats: the same seed, the same draws.

use std::sync::atomic::{AtomicU64, Ordering};

use curfew_core::mac::sha256;
use curfew_ports::entropy::EntropySource;

/// Entropy that follows from a seed. `Debug` prints the seed, so a failed assertion can name it.
///
/// Draws are numbered: with one thread a seed gives one sequence; with several it gives one set,
/// handed out in the order in which they ask.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededEntropy {
    /// The entropy of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            drawn: AtomicU64::new(0),
        }
    }

    /// The seed, to replay from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How many draws were made.
    #[must_use]
    pub fn drawn(&self) -> u64 {
        self.drawn.load(Ordering::SeqCst)
    }

    /// Prints the seed to standard error, which a test runner shows when the test fails.
    pub fn print_seed(&self) {
        eprintln!("seed: {}", self.seed);
    }
}

impl EntropySource for SeededEntropy {
    fn draw(&self) -> [u8; 32] {
        let number = self.drawn.fetch_add(1, Ordering::SeqCst);
        let mut input = b"curfew/testkit/entropy/v1".to_vec();
        input.extend_from_slice(&self.seed.to_be_bytes());
        input.extend_from_slice(&number.to_be_bytes());
        sha256(&input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_draws_and_no_draw_repeats() {
        let (a, b) = (SeededEntropy::new(7), SeededEntropy::new(7));
        let draws: Vec<_> = (0..100).map(|_| a.draw()).collect();
        assert!(draws.iter().all(|draw| *draw == b.draw()));
        assert_eq!(draws.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
        assert_ne!(draws.first(), Some(&SeededEntropy::new(8).draw()));
        assert_eq!((a.seed(), a.drawn()), (7, 100));
        assert_eq!(format!("{a:?}"), "SeededEntropy { seed: 7, drawn: 100 }");
    }
}

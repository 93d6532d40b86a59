//! Counts tests by the runner's own words.
//!
//! **Invariant:** only lines that begin with `test result:` count; nothing is guessed.

use std::fmt;

/// What the runner reported so far. `Display` is the total line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Takes one line of the runner's output.
    pub(crate) fn line(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        // `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
        for part in counts.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(word), None) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let Ok(count) = count.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed = self.passed.saturating_add(count),
                "failed" => self.failed = self.failed.saturating_add(count),
                "ignored" => self.skipped = self.skipped.saturating_add(count),
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_lines_are_added_up_and_all_others_are_not() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            " test result: ok. 100 passed; 100 failed",
            "test result: FAILED. 2 passed; 4 failed; 0 ignored; 7 measured; 9 filtered out; finished in 1.50s",
        ] {
            tally.line(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 5,
                failed: 4,
                skipped: 1
            }
        );
        assert_eq!(tally.to_string(), "5 passed, 4 failed, 1 skipped");
        assert_eq!(Tally { skipped: 0, ..tally }.to_string(), "5 passed, 4 failed");
    }
}

//! A wall clock that goes wrong, for tests of nodes with such a clock: compiled only with the feature `skewed`, which
//! nothing that ships has. A library that is preloaded is not everywhere, and a kernel can shift only the other clock.
//!
//! The file that [`VARIABLE`] names holds by how many milliseconds the clock is ahead, now: a test writes another
//! number there, and the clock jumps.
//!
//! **Invariant:** without that word in the environment the clock is right.

use std::path::PathBuf;
use std::sync::LazyLock;

use curfew_core::time::Millis;

/// A node of a build without the feature does not know the word, and refuses to start with it.
const VARIABLE: &str = "CURFEW_TEST_CLOCK_FILE";

static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| std::env::var_os(VARIABLE).map(PathBuf::from));

/// What this clock shows when it is so late.
pub(crate) fn of(wall: Millis) -> Millis {
    let Some(file) = FILE.as_ref() else {
        return wall;
    };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let ahead_ms: i64 = text.trim().parse().unwrap_or(0);
    Millis::from_unix_ms(wall.as_unix_ms().saturating_add(ahead_ms))
}

//! The chance of decisions: the operating system's.
//!
//! **Invariant:** no draw is predictable: where the operating system refuses, the process ends instead.

use curfew_ports::entropy::EntropySource;

use crate::provider;

/// The operating system's random bytes.
///
/// A refusal (no `getrandom` and no `/dev/urandom`: a broken sandbox) ends the process with a message.
/// It cannot pass, `draw` has no error to return, and an id or a grant's secret that somebody can guess is worse
/// than a node that is down. A panic would not do: it ends a task, and the next request would try again.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl EntropySource for SystemEntropy {
    fn draw(&self) -> [u8; 32] {
        provider::random().unwrap_or_else(|provider::Refused| {
            eprintln!("curfew: the operating system gives no random bytes; a node without them must not run");
            std::process::abort()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_draw_repeats() {
        let draws: std::collections::BTreeSet<_> = (0..1_000).map(|_| SystemEntropy.draw()).collect();
        assert_eq!(draws.len(), 1_000);
    }
}

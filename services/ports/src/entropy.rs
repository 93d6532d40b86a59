//! Chance, as an argument.

use std::fmt::Debug;

/// Where unpredictable bytes come from; tests seed theirs.
pub trait EntropySource: Send + Sync + Debug + 'static {
    /// 32 bytes that nobody can predict and that nobody gets twice.
    fn draw(&self) -> [u8; 32];
}

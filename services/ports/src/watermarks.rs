//! What nodes tell one another of their followers, so that each can say when a revocation is ENFORCED.
//!
//! Nothing stands on it: a message that is lost is made up for by the registrations in the store, later.
//!
//! **Invariant:** it never holds anybody up: what cannot be told now is told with what comes next.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use curfew_core::watermark::Watermarks as Told;

/// It was not told, or may not have been; or nothing can be heard now. Go on: the next message says what is true then.
#[derive(Debug, thiserror::Error)]
#[error("followers' places cannot be exchanged now: {what}")]
pub struct WatermarkError {
    /// What was being done.
    pub what: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Tells other nodes, and hears them.
#[async_trait]
pub trait Watermarks: Send + Sync + Debug + 'static {
    /// Tells all nodes, this one too.
    async fn tell(&self, told: &Told) -> Result<(), WatermarkError>;

    /// Hears what is told from now on, by any node.
    async fn hear(&self) -> Result<Box<dyn Hearing>, WatermarkError>;
}

/// Hears one message after the other.
#[async_trait]
pub trait Hearing: Send + Debug {
    /// The next message; waits until there is one. Dropping the future loses nothing. After an error it may be asked
    /// again.
    async fn next(&mut self) -> Result<Arc<Told>, WatermarkError>;
}

/// For a node that has its state to itself: there is nobody to tell, and nobody is heard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

#[async_trait]
impl Watermarks for Alone {
    async fn tell(&self, _: &Told) -> Result<(), WatermarkError> {
        Ok(())
    }

    async fn hear(&self) -> Result<Box<dyn Hearing>, WatermarkError> {
        Ok(Box::new(Self))
    }
}

#[async_trait]
impl Hearing for Alone {
    async fn next(&mut self) -> Result<Arc<Told>, WatermarkError> {
        std::future::pending().await
    }
}

//! A call that stands still until the test lets it go on.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// One call that will be held. Dropping it lets the call go on, so that no test hangs on it.
#[derive(Debug)]
pub struct Held(Arc<Stop>);

impl Held {
    /// Waits until the call stands still.
    ///
    /// # Panics
    ///
    /// Never: the semaphore is never closed.
    pub async fn arrived(&self) {
        self.0.arrived.acquire().await.expect("never closed").forget();
    }

    /// Lets the call go on.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.released.add_permits(1);
    }
}

/// The side of the call that is held.
#[derive(Debug)]
pub(super) struct Stop {
    arrived: Semaphore,
    released: Semaphore,
}

impl Stop {
    /// A stop and the test's hold on it.
    pub(super) fn new() -> (Arc<Self>, Held) {
        let stop = Arc::new(Self {
            arrived: Semaphore::new(0),
            released: Semaphore::new(0),
        });
        (stop.clone(), Held(stop))
    }

    /// Stands still until released.
    pub(super) async fn stand(&self) {
        self.arrived.add_permits(1);
        self.released.acquire().await.expect("never closed").forget();
    }
}

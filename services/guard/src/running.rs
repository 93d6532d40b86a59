//! What runs beside the calls: sources, key sets, collection.
//!
//! **Invariant:** whoever drops [`Running`] ends all of it; nothing is left behind.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::feed::Source;
use crate::guard::Guard;

/// How often marks that are over are dropped: a collection copies the index, 15 MB for 100,000 marks.
const COLLECT_EVERY: Duration = Duration::from_secs(60);

/// A guard's background work. Dropping it ends the work.
#[derive(Debug)]
#[must_use = "dropping it ends the guard's background work"]
pub struct Running {
    tasks: JoinSet<()>,
}

impl Guard {
    /// Starts fetching key sets, collecting, and following these sources. Call it inside a tokio runtime.
    ///
    /// One source at a time feeds a guard; a second one takes over from the first.
    pub fn start(&self, sources: impl IntoIterator<Item = Box<dyn Source>>) -> Running {
        let mut tasks = JoinSet::new();
        for (_, ring) in &self.0.issuers {
            tasks.spawn(ring.clone().keep(self.0.clock.clone()));
        }
        for source in sources {
            tasks.spawn(source.run(self.clone()));
        }
        let guard = self.clone();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(COLLECT_EVERY).await;
                guard.collect();
            }
        });
        Running { tasks }
    }
}

impl Running {
    /// Ends the work and waits until it has ended.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

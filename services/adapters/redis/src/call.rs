//! One call: to the node that decides, in bounded time, and again where that is safe.
//!
//! **Invariant:** what may have happened is repeated only where repeating changes nothing.

use std::time::Duration;

use curfew_core::place::Partition;
use tokio::time::Instant;

use crate::Redis;
use crate::fault::{Effect, Fault};
use crate::wire::Wire;

/// Between two tries of one call: a failover takes seconds, a new connection a millisecond.
const PAUSE: Duration = Duration::from_millis(50);
/// Tries where nobody else can take over: the connection that was dead, and a new one.
const TRIES_MAX_ALONE: u32 = 2;

/// What is asked of a node.
pub(crate) trait Ask: Sync {
    type Answer: Send;
    /// Whether repeating it after an unknown outcome changes nothing.
    const IS_HARMLESS: bool;
    /// How long after the first try another one still makes sense.
    const PATIENCE: Duration;

    fn ask(&self, wire: &Wire) -> impl Future<Output = Result<Self::Answer, Fault>> + Send;
}

impl Redis {
    /// Asks the node of a partition.
    pub(crate) async fn call<A: Ask>(&self, partition: Partition, ask: &A) -> Result<A::Answer, Fault> {
        let Ok(_permit) = self.inner.calls.try_acquire() else {
            return Err(Fault::new(
                Effect::Nothing,
                "as many calls as permitted are under way",
            ));
        };
        let mut last = None;
        let trying = self.tried(partition, ask, &mut last);
        match tokio::time::timeout(self.inner.call_timeout, trying).await {
            Ok(answer) => answer,
            // What was under way when the time ended may have happened, whatever the tries before it said.
            Err(_) => {
                let why = last.map_or_else(|| "no answer in time".to_owned(), |fault| fault.to_string());
                Err(Fault::new(Effect::Silent, why))
            }
        }
    }

    /// Where others may take over, until the call's time is over.
    async fn tried<A: Ask>(
        &self,
        partition: Partition,
        ask: &A,
        last: &mut Option<Fault>,
    ) -> Result<A::Answer, Fault> {
        let since = Instant::now();
        let mut tries = 0;
        loop {
            let fault = match self.attempt(partition, ask).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            tries += 1;
            let is_worth_it = (self.inner.route.fails_over() || tries < TRIES_MAX_ALONE)
                && since.elapsed() + PAUSE < A::PATIENCE;
            if !is_worth_it || !is_repeatable(fault.effect, A::IS_HARMLESS) {
                return Err(fault);
            }
            *last = Some(fault);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt<A: Ask>(&self, partition: Partition, ask: &A) -> Result<A::Answer, Fault> {
        let route = &self.inner.route;
        let link = route.link_of(partition).await?;
        let live = link.live().await.inspect_err(|fault| route.blame(&link, fault))?;
        ask.ask(live.wire()?).await.inspect_err(|fault| {
            link.blame(&live, fault);
            route.blame(&link, fault);
        })
    }
}

const fn is_repeatable(effect: Effect, is_harmless: bool) -> bool {
    match effect {
        Effect::Nothing | Effect::Demoted | Effect::Moved => true,
        Effect::Broken | Effect::Silent => is_harmless,
        Effect::NoScript | Effect::Refused | Effect::Full => false,
    }
}

//! Watching an admitted token for as long as a stream lasts.
//!
//! A [`Watch`] ends with the refusal that the token would now be given: a later record covers it, it
//! expired, or the view went stale and the route's rule denies. A stream on a route that asks an
//! authority ends when the view goes stale; the client comes again and is asked for then.
//!
//! **Invariant:** one watch costs at most one judgement in 20 ms, however many records arrive.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch::Receiver;

use crate::admission::Admission;
use crate::guard::Guard;
use crate::refused::Refused;
use crate::route::{Presented, Requirements};
use crate::token::Known;

/// The least time between two judgements of one watch.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest that a watch sleeps without looking at time and freshness, as a part of X.
const LOOKS_PER_BOUND: i64 = 4;

/// Ends when the token is no longer good for its route. Drop it to stop watching.
pub struct Watch(Pin<Box<dyn Future<Output = Refused> + Send>>);

impl Guard {
    /// Checks a token and watches it.
    ///
    /// # Errors
    /// As [`Guard::check`].
    pub fn watch<'a>(
        &self,
        presented: impl Into<Presented<'a>>,
        route: &Arc<Requirements>,
    ) -> Result<Watch, Refused> {
        let admission = self.check(presented, route)?;
        Ok(self.watch_admitted(&admission, route))
    }

    /// Watches a token that was admitted.
    #[must_use]
    pub fn watch_admitted(&self, admission: &Admission, route: &Arc<Requirements>) -> Watch {
        // Subscribed before the first judgement, so that nothing falls between.
        let wakes = admission
            .known
            .partitions
            .iter()
            .filter_map(|partition| self.wakes_of(partition))
            .collect();
        Watch(Box::pin(watch(
            self.clone(),
            admission.known.clone(),
            route.clone(),
            wakes,
        )))
    }
}

async fn watch(
    guard: Guard,
    known: Arc<Known>,
    route: Arc<Requirements>,
    mut wakes: Vec<Receiver<u64>>,
) -> Refused {
    loop {
        for wake in &mut wakes {
            wake.mark_unchanged();
        }
        if let Err(refused) = guard.judge_again(&known, &route) {
            if guard.only_reports(&route) {
                // Told once; the stream goes on.
                return std::future::pending().await;
            }
            return refused;
        }
        tokio::time::sleep(PAUSE).await;
        let look = Duration::from_millis(next_look_ms(&guard, &known).unsigned_abs());
        tokio::select! {
            () = any_changed(&mut wakes) => {}
            () = tokio::time::sleep(look) => {}
        }
    }
}

/// Until the token may have expired, and often enough that a stale view is seen within X and a quarter.
fn next_look_ms(guard: &Guard, known: &Known) -> i64 {
    let now = guard.judged_at(guard.now());
    let left_ms = known
        .times
        .expires_at
        .plus_ms(curfew_core::time::LEEWAY_MS)
        .ms_since(now);
    left_ms.min(guard.bound_ms() / LOOKS_PER_BOUND).max(1)
}

async fn any_changed(wakes: &mut [Receiver<u64>]) {
    if wakes.is_empty() {
        return std::future::pending().await;
    }
    let changes = wakes.iter_mut().map(|wake| Box::pin(wake.changed()));
    let (changed, _, _) = futures_util::future::select_all(changes).await;
    if changed.is_err() {
        // The guard holds the senders and this watch holds the guard.
        std::future::pending::<()>().await;
    }
}

impl Future for Watch {
    type Output = Refused;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Refused> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use curfew_core::refusal::Reason;

    fn route() -> Arc<Requirements> {
        Arc::new(Requirements::any())
    }

    /// Whether the watch ends within a second of tokio's paused clock.
    async fn fires(watch: &mut Watch) -> Option<Reason> {
        tokio::time::timeout(Duration::from_secs(1), watch)
            .await
            .ok()
            .map(|refused| refused.reason)
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_fires_when_a_later_record_covers_its_token_and_not_before() {
        let bench = Bench::new();
        let mut watch = bench.guard.watch(&bench.token(), &route()).unwrap();
        assert_eq!(fires(&mut watch).await, None);
        bench.revoke(revocation("sub", "bob"));
        assert_eq!(fires(&mut watch).await, None);
        bench.revoke(revocation("sub", "alice"));
        assert_eq!(fires(&mut watch).await, Some(Reason::TokenRevoked));
        assert_eq!(
            bench.guard.watch(&bench.token(), &route()).unwrap_err().reason,
            Reason::TokenRevoked
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_between_admission_and_watch_is_not_missed() {
        let bench = Bench::new();
        let admission = bench.admitted(&bench.token());
        bench.revoke(revocation("sub", "alice"));
        let mut watch = bench.guard.watch_admitted(&admission, &route());
        assert_eq!(fires(&mut watch).await, Some(Reason::TokenRevoked));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_fires_when_its_token_expires_or_its_view_goes_stale() {
        let bench = Bench::new();
        let mut watch = bench.guard.watch(&bench.token(), &route()).unwrap();
        assert_eq!(fires(&mut watch).await, None);
        bench.clock.advance(600_000);
        bench.beat();
        assert_eq!(
            tokio::time::timeout(Duration::from_secs(2), &mut watch)
                .await
                .unwrap()
                .reason,
            Reason::TokenExpired
        );

        let bench = Bench::new();
        let mut watch = bench.guard.watch(&bench.token(), &route()).unwrap();
        assert_eq!(fires(&mut watch).await, None);
        bench.clock.advance(BOUND_MS);
        assert_eq!(
            tokio::time::timeout(Duration::from_secs(2), &mut watch)
                .await
                .unwrap()
                .reason,
            Reason::FreshnessStale
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_records_costs_few_judgements() {
        let bench = Bench::new();
        let mut watch = bench.guard.watch(&bench.token(), &route()).unwrap();
        for n in 0..1_000 {
            bench.revoke(revocation("sub", &format!("user-{n}")));
            let polled =
                std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut watch).poll(context))).await;
            assert!(polled.is_pending());
        }
        bench.revoke(revocation("sub", "alice"));
        assert_eq!(fires(&mut watch).await, Some(Reason::TokenRevoked));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_in_report_only_mode_tells_and_goes_on() {
        let bench = Bench::with(|config| config.report_only = true);
        let mut watch = bench.guard.watch(&bench.token(), &route()).unwrap();
        bench.revoke(revocation("sub", "alice"));
        assert_eq!(fires(&mut watch).await, None);
        assert_eq!(bench.guard.metrics().refused(Reason::TokenRevoked), 1);
    }
}

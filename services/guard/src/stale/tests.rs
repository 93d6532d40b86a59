//! The question to an authority, and its breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::testing::*;
use crate::{Ground, Requirements};
use curfew_core::refusal::Reason;

#[derive(Debug, Default)]
struct Told {
    asked: AtomicU32,
    /// 0: active, 1: not active, 2: no answer, 3: silence.
    answer: AtomicU32,
}

#[async_trait]
impl Introspect for Told {
    async fn is_active(&self, question: Question<'_>) -> Result<bool, NoAnswer> {
        assert_eq!(question.tenant, tenant());
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.answer.load(Ordering::Relaxed) {
            0 => Ok(true),
            1 => Ok(false),
            2 => Err(NoAnswer::new("its own tail is stale")),
            _ => std::future::pending().await,
        }
    }
}

fn bench() -> (Bench, Arc<Told>) {
    let told = Arc::new(Told::default());
    let authority = told.clone();
    (
        Bench::build(|_| {}, |builder| builder.introspect(authority)),
        told,
    )
}

async fn ask(bench: &Bench, rule: Stale) -> Result<Ground, Reason> {
    let route = Requirements::any().stale(rule);
    let asked = bench.guard.check_asking(&bench.token(), &route).await;
    asked
        .map(|admission| admission.ground())
        .map_err(|refused| refused.reason)
}

#[tokio::test(start_paused = true)]
async fn an_authority_is_asked_only_while_the_view_is_stale() {
    let (bench, told) = bench();
    assert_eq!(ask(&bench, Stale::Introspect).await, Ok(Ground::Fresh));
    bench.clock.advance(BOUND_MS);
    assert_eq!(ask(&bench, Stale::Deny).await, Err(Reason::FreshnessStale));
    assert_eq!(told.asked.load(Ordering::Relaxed), 0);
    assert_eq!(ask(&bench, Stale::Introspect).await, Ok(Ground::Introspected));
    // What the cap does not let through is asked for.
    assert_eq!(
        ask(&bench, Stale::AgeCap { cap_ms: 1 }).await,
        Ok(Ground::Introspected)
    );
    assert_eq!(
        ask(&bench, Stale::AgeCap { cap_ms: 600_000 }).await,
        Ok(Ground::Young)
    );
    told.answer.store(1, Ordering::Relaxed);
    assert_eq!(ask(&bench, Stale::Introspect).await, Err(Reason::TokenRevoked));
    told.answer.store(2, Ordering::Relaxed);
    assert_eq!(ask(&bench, Stale::Introspect).await, Err(Reason::FreshnessStale));
    assert_eq!(told.asked.load(Ordering::Relaxed), 4);
    // The synchronous check asks nobody.
    let route = Requirements::any().stale(Stale::Introspect);
    assert_eq!(
        bench.guard.check(&bench.token(), &route).unwrap_err().reason,
        Reason::FreshnessStale
    );
    assert_eq!(told.asked.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_does_not_answer_is_left_alone_for_a_while() {
    let (bench, told) = bench();
    bench.clock.advance(BOUND_MS);
    told.answer.store(3, Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(ask(&bench, Stale::Introspect).await, Err(Reason::FreshnessStale));
    }
    assert_eq!(told.asked.load(Ordering::Relaxed), FAILURES_MAX);
    // After a while one question tries, and opens the way where it is answered.
    bench.clock.advance(OPEN_MS);
    assert_eq!(ask(&bench, Stale::Introspect).await, Err(Reason::FreshnessStale));
    assert_eq!(ask(&bench, Stale::Introspect).await, Err(Reason::FreshnessStale));
    assert_eq!(told.asked.load(Ordering::Relaxed), FAILURES_MAX + 1);
    told.answer.store(0, Ordering::Relaxed);
    bench.clock.advance(OPEN_MS);
    for _ in 0..3 {
        assert_eq!(ask(&bench, Stale::Introspect).await, Ok(Ground::Introspected));
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_questions_are_in_flight_than_permitted() {
    let (bench, told) = bench();
    bench.clock.advance(BOUND_MS);
    told.answer.store(3, Ordering::Relaxed);
    let all = (0..IN_FLIGHT_MAX * 2).map(|_| ask(&bench, Stale::Introspect));
    futures_util::future::join_all(all).await;
    assert_eq!(told.asked.load(Ordering::Relaxed) as usize, IN_FLIGHT_MAX);
}

//! What caused the work of this task: the `traceparent` that goes with the records that it writes.
//!
//! **Invariant:** it is told once, where a call comes in, and known only within that call.

use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    static CAUSE: Arc<str>;
}

/// Runs this as caused by a `traceparent`, where there is one.
pub async fn caused_by<F: Future>(traceparent: Option<Arc<str>>, work: F) -> F::Output {
    match traceparent {
        Some(traceparent) => CAUSE.scope(traceparent, work).await,
        None => work.await,
    }
}

/// What caused the work of this task.
#[must_use]
pub fn cause() -> Option<Arc<str>> {
    CAUSE.try_with(Arc::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cause_is_known_within_its_call_and_nowhere_else() {
        assert_eq!(cause(), None);
        let seen = caused_by(Some("00-aa".into()), async { cause() }).await;
        assert_eq!(seen.as_deref(), Some("00-aa"));
        assert_eq!(caused_by(None, async { cause() }).await, None);
    }
}

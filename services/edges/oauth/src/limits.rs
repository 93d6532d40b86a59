//! What one peer may cost: paths, bodies, answers in progress, time.
//!
//! The transport bounds the headers, and the time that a peer takes to send them.
//!
//! **Invariant:** no request's body is read.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

/// The longest path, bytes: an issuer's name and a well-known suffix.
const PATH_MAX: usize = 512;
/// How long one answer may take; each is a look into memory.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Answers in progress of one router.
pub(crate) const ANSWERS_MAX: usize = 1_024;

/// Refuses what is too long, and gives up what takes too long.
pub(crate) async fn bounded(request: Request, next: Next) -> Response {
    if request.uri().path().len() > PATH_MAX {
        return (StatusCode::URI_TOO_LONG, "the path is too long").into_response();
    }
    match tokio::time::timeout(ANSWER_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no answer in time").into_response(),
    }
}

//! What one peer may cost: paths, bodies, answers in progress, time.
//!
//! The transport bounds the headers, and the time that a peer takes to send them.
//!
//! **Invariant:** no request's body is read.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use curfew_core::refusal::Reason;
use http::StatusCode;

use crate::refuse;

/// The longest path, bytes: an issuer's name and a well-known suffix.
const PATH_MAX: usize = 512;
/// How long one answer may take; each is a look into memory.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Answers in progress of one router.
pub(crate) const ANSWERS_MAX: usize = 1_024;

/// Refuses what is too long, and gives up what takes too long.
pub(crate) async fn bounded(request: Request, next: Next) -> Response {
    if request.uri().path().len() > PATH_MAX {
        let about = format!("the path is longer than {PATH_MAX} bytes");
        return refuse::because(StatusCode::URI_TOO_LONG, Reason::FieldInvalid, &about);
    }
    match tokio::time::timeout(ANSWER_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refuse::because(
            StatusCode::SERVICE_UNAVAILABLE,
            Reason::Overloaded,
            "no answer in time",
        ),
    }
}

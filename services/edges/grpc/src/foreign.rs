//! What the transport refuses, in our words: too long, compressed, or no message at all.
//!
//! tonic answers for itself before a handler sees a request. Its code for a message that is too long is
//! OUT_OF_RANGE and for one that cannot be read INTERNAL, without a reason; a caller of ours gets the code,
//! the reason and the page that every other fault of a request has.
//!
//! **Invariant:** what a handler said is not touched: it carries details, and what the transport says none.

use curfew_core::refusal::{Reason, Refusal, Stage};
use http::header::CONTENT_TYPE;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::FieldViolation;

use crate::status::{self, Of, Words};

const DETAILS: &str = "grpc-status-details-bin";
const ENCODING: &str = "grpc-encoding";
/// What a fault of the message as a whole is said of.
const MESSAGE: &str = "(message)";

/// How a request was compressed, where it was.
pub(crate) fn encoding<B>(request: &http::Request<B>) -> Option<String> {
    let value = request.headers().get(ENCODING)?.to_str().ok()?;
    (value != "identity").then(|| value.chars().take(32).collect())
}

/// A request that is compressed: inflating it would cost what it unpacks to, and not what it weighs.
pub(crate) fn compressed(encoding: &str, words: Words<'_>) -> Status {
    let about = format!("messages compressed with `{encoding}` are not taken: send them as they are");
    let refusal = Refusal::new(Stage::Request, Reason::NotImplemented).about(about);
    status::status_of(&refusal, Of::Request, words)
}

/// The same answer, or ours in place of the transport's.
pub(crate) fn translated(response: http::Response<Body>, words: Words<'_>) -> http::Response<Body> {
    let headers = response.headers();
    if headers.contains_key(DETAILS) || !headers.contains_key(CONTENT_TYPE) {
        return response;
    }
    let Some(told) = Status::from_header_map(headers) else {
        return response;
    };
    let description = match told.code() {
        Code::OutOfRange => told.message().trim_start_matches("Error, ").to_owned(),
        Code::Internal => format!("not the message of this method: {}", told.message()),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unimplemented
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => return response,
    };
    let fault = FieldViolation::new(MESSAGE, description);
    status::violations(vec![fault], words).into_http()
}

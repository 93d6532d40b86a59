//! How this edge refuses: a status, and a JSON body that links to the catalogue (RFC 6749 section 5.2).

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use curfew_core::refusal::{Class, Reason, Stage};
use http::StatusCode;
use http::header::{LINK, RETRY_AFTER};
use serde_json::json;

use crate::catalogue::PLACE;

/// When to come again after a hiccup, s.
const SOON_S: &str = "1";

/// A refusal of the request itself. The link is relative: the catalogue is on this server, whatever its name.
pub(crate) fn because(status: StatusCode, reason: Reason, about: &str) -> Response {
    let page = format!("{PLACE}/{}", reason.code());
    let link = [(LINK, format!("<{page}>; rel=\"help\""))];
    let body = json!({
        "error": reason.rfc_word(),
        "error_description": format!("{} ({about})", reason.what()),
        "error_uri": page,
        "code": reason.code(),
        "stage": Stage::Request.as_str(),
        "help": reason.fix(),
    });
    let mut response = (status, link, Json(body)).into_response();
    if matches!(reason.class(), Class::Retry | Class::Limit) {
        let soon = http::HeaderValue::from_static(SOON_S);
        response.headers_mut().insert(RETRY_AFTER, soon);
    }
    response
}

/// No endpoint has this path.
pub(crate) async fn unknown_path() -> Response {
    because(
        StatusCode::NOT_FOUND,
        Reason::NotFound,
        "there is no such path here",
    )
}

/// Everything here is read.
pub(crate) async fn other_method() -> Response {
    because(
        StatusCode::METHOD_NOT_ALLOWED,
        Reason::NotImplemented,
        "everything here is answered to GET and HEAD",
    )
}

/// No such tenant.
pub(crate) fn unknown_tenant() -> Response {
    because(
        StatusCode::NOT_FOUND,
        Reason::TenantUnknown,
        "the path names its issuer",
    )
}

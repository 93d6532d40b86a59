//! The error catalogue over HTTP, made from the enum that the code uses.
//!
//! HTML for people; Markdown for whoever asks for it, which is also the page in the repository.

mod content;
mod html;
mod markdown;
mod page;

use axum::extract::Path;
use axum::response::{Html, IntoResponse as _, Response};
use curfew_core::refusal::Reason;
use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, StatusCode};

use crate::refuse;
use page::Page;

/// Where the catalogue is, seen from this server.
pub(crate) const PLACE: &str = "/errors";

/// The decision tree, and every reason.
pub(crate) async fn all(headers: HeaderMap) -> Response {
    answer(&headers, &content::whole())
}

/// One reason, by its code.
pub(crate) async fn one(Path(code): Path<String>, headers: HeaderMap) -> Response {
    let named =
        |reason: &&Reason| reason.code() == code || reason.code().strip_prefix("CURFEW_") == Some(&*code);
    match Reason::ALL.iter().find(named) {
        Some(reason) => answer(&headers, &content::single(*reason)),
        None => refuse::because(StatusCode::NOT_FOUND, Reason::NotFound, "no reason has this code"),
    }
}

fn answer(headers: &HeaderMap, page: &Page) -> Response {
    let wants_markdown = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/markdown"));
    let vary = [(VARY, "accept")];
    if wants_markdown {
        let kind = [(CONTENT_TYPE, "text/markdown; charset=utf-8")];
        (vary, kind, markdown::render(page)).into_response()
    } else {
        (vary, Html(html::render(page))).into_response()
    }
}

#[cfg(test)]
mod tests;

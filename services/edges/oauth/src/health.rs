//! Health: live, and ready. A stale node lives and is not ready; they are told apart.

use axum::Json;
use axum::extract::State;
use curfew_authority::Authority;
use curfew_core::refusal::Reason;
use curfew_core::time::DIRECTORY_AGE_MAX_MS;
use http::StatusCode;
use serde_json::{Value, json};

use crate::catalogue::PLACE;

/// The process answers.
pub(crate) async fn live() -> StatusCode {
    StatusCode::OK
}

/// It can decide: the directory was read lately, every partition of its tail is younger than X, a key signs.
pub(crate) async fn ready(State(authority): State<Authority>) -> (StatusCode, Json<Value>) {
    let now = authority.now().wall;
    let directory = now.ms_since(authority.directory().read_at()).abs() <= DIRECTORY_AGE_MAX_MS;
    let tail = authority.is_fresh();
    let key = authority.directory().loaded().ring.signing_key().is_some();
    let is_ready = directory && tail && key;
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let lacking = [
        (directory, Reason::DirectoryStale),
        (tail, Reason::FreshnessStale),
        (key, Reason::KeyUnavailable),
    ];
    let lacking = lacking.into_iter().filter(|(is_well, _)| !is_well);
    let pages: Vec<_> = lacking
        .map(|(_, reason)| format!("{PLACE}/{}", reason.code()))
        .collect();
    (
        status,
        Json(json!({"ready": is_ready, "directory": directory, "tail": tail, "key": key, "help": pages})),
    )
}

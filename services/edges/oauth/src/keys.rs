//! `/.well-known/jwks.json`: the published keys (RFC 7517 section 5), of one ring for all tenants.
//!
//! **Invariant:** what is cached is younger than the age at which a published key may sign, so a
//! rotation fails no verification.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use curfew_authority::Authority;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::refuse;

/// The key set.
pub(crate) async fn of_all(State(authority): State<Authority>) -> impl IntoResponse {
    // Half the age leaves room for a cache that serves what it has while it asks again.
    let max_age = authority.config().key_set_age_ms / 2_000;
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json".to_owned()),
        (CACHE_CONTROL, format!("public, max-age={max_age}")),
    ];
    (
        headers,
        authority.directory().loaded().ring.key_set_json().to_vec(),
    )
}

/// The same, found under a tenant's issuer.
pub(crate) async fn of_tenant(state: State<Authority>, Path(tenant): Path<String>) -> impl IntoResponse {
    let is_known = state.directory().loaded().view.tenant_by_name(&tenant).is_some();
    if is_known {
        of_all(state).await.into_response()
    } else {
        refuse::unknown_tenant()
    }
}

//! A tenant's metadata (RFC 8414; OpenID Connect Discovery 1.0), as far as this release has endpoints.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use curfew_authority::Authority;
use serde_json::{Value, json};

use crate::refuse;

/// `/{tenant}/.well-known/openid-configuration`: appended to the issuer.
pub(crate) async fn openid(state: State<Authority>, path: Path<String>) -> Result<Json<Value>, Response> {
    oauth(state, path).await
}

/// `/.well-known/oauth-authorization-server/{tenant}`: inserted before the issuer's path (RFC 8414 section 3.1).
pub(crate) async fn oauth(
    State(authority): State<Authority>,
    Path(tenant): Path<String>,
) -> Result<Json<Value>, Response> {
    let loaded = authority.directory().loaded();
    let tenant = loaded
        .view
        .tenant_by_name(&tenant)
        .ok_or_else(refuse::unknown_tenant)?;
    let issuer = tenant
        .issuer_spellings
        .first()
        .map(|issuer| issuer.to_string())
        .unwrap_or_default();
    let algorithms: Vec<&str> = loaded
        .view
        .keys
        .values()
        .filter(|key| key.key_use == curfew_core::directory::KeyUse::Sign)
        .map(|key| &*key.algorithm)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    Ok(Json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "grant_types_supported": [],
        "response_types_supported": [],
        "scopes_supported": ["openid", "offline_access"],
        // What guards need to judge: the permanent id of the tenant, which is also its issuer entry.
        "curfew_tenant_id": tenant.id.to_string(),
    })))
}

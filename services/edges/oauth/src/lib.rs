//! The HTTP edge: published keys, metadata, health and the error catalogue.
//!
//! One file per endpoint. Everything here is public, and answered from memory.
//!
//! **Invariant:** metadata says only what is true of this release.

mod catalogue;
mod health;
mod keys;
mod limits;
mod metadata;
mod refuse;

use std::future::Future;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use curfew_authority::Authority;
use curfew_transport::{Listener, Protocol};
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use tower::ServiceExt as _;
use tower::limit::GlobalConcurrencyLimitLayer;

/// The HTTP face of one authority.
pub fn router(authority: Authority) -> Router {
    let gateway = Router::new()
        .route("/.well-known/jwks.json", get(keys::of_all))
        .route("/{tenant}/.well-known/jwks.json", get(keys::of_tenant))
        .route(
            "/{tenant}/.well-known/openid-configuration",
            get(metadata::openid),
        )
        .route(
            "/.well-known/oauth-authorization-server/{tenant}",
            get(metadata::oauth),
        )
        .route("/errors", get(catalogue::all))
        .route("/errors/{code}", get(catalogue::one));
    bounded(gateway.merge(health_routes()), authority)
}

/// What a node without the role `gateway` says over HTTP: whether it lives and is ready.
pub fn health(authority: Authority) -> Router {
    bounded(health_routes(), authority)
}

fn health_routes() -> Router<Authority> {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
}

fn bounded(face: Router<Authority>, authority: Authority) -> Router {
    face.fallback(refuse::unknown_path)
        .method_not_allowed_fallback(refuse::other_method)
        .layer(DefaultBodyLimit::max(0))
        .layer(axum::middleware::from_fn(limits::bounded))
        .layer(GlobalConcurrencyLimitLayer::new(limits::ANSWERS_MAX))
        .layer(axum::middleware::map_response(with_headers))
        .with_state(authority)
}

/// Serves this face, and what stands beside it, until `shutdown`, and drains.
pub async fn serve(
    face: Router,
    listener: Listener,
    bounds: curfew_transport::Settings,
    shutdown: impl Future<Output = ()> + Send,
) {
    let service = face.map_request(|request: http::Request<hyper::body::Incoming>| request.map(Body::new));
    curfew_transport::serve(listener, Protocol::Http, service, bounds, shutdown).await;
}

/// Nothing here is ever framed, sniffed or a source of scripts.
async fn with_headers<B>(mut response: http::Response<B>) -> http::Response<B> {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

#[cfg(test)]
mod tests;

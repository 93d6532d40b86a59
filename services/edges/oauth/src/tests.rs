use std::sync::Arc;

use axum::body::Body;
use curfew_authority::{Config, Parts};
use curfew_core::place::LogIdentity;
use curfew_core::time::Millis;
use curfew_keys::{RootKey, SealingVault};
use curfew_ports::testing::{FakeLog, FakeStore};
use curfew_testkit::{ManualClock, SeededEntropy};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;

pub(crate) async fn world() -> (Authority, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Millis::from_unix_ms(1_800_000_000_000)));
    let identity = LogIdentity::new([7; 16], 2).unwrap();
    let log = FakeLog::new(identity, clock.clone());
    let parts = Parts {
        store: Arc::new(FakeStore::with_log(clock.clone(), log.clone())),
        log: Arc::new(log),
        watermarks: Arc::new(curfew_ports::watermarks::Alone),
        vault: Arc::new(SealingVault::new(&RootKey::generate().unwrap()).unwrap()),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(1)),
    };
    let authority = Authority::new(parts, Config::embedded("https://id.example", "test"), identity);
    authority.bootstrap().await.unwrap();
    authority.beat_once().await;
    authority.catch_up().await.unwrap();
    (authority, clock)
}

pub(crate) async fn get(authority: &Authority, path: &str) -> (StatusCode, http::HeaderMap, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router(authority.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn the_key_set_holds_the_signing_key_and_its_standby_and_no_private_member() {
    let (authority, _) = world().await;
    for path in ["/.well-known/jwks.json", "/curfew/.well-known/jwks.json"] {
        let (status, headers, body) = get(&authority, path).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "application/jwk-set+json");
        assert_eq!(
            headers["cache-control"], "public, max-age=300",
            "less than the age at which a key signs"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let set: serde_json::Value = serde_json::from_str(&body).unwrap();
        let keys = set["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2);
        assert!(keys.iter().all(|key| key.get("d").is_none()));
    }
    assert_eq!(
        get(&authority, "/nobody/.well-known/jwks.json").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn both_forms_of_metadata_name_the_issuer_that_tokens_name() {
    let (authority, _) = world().await;
    for path in [
        "/curfew/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/curfew",
    ] {
        let (_, _, body) = get(&authority, path).await;
        let metadata: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(metadata["issuer"], "https://id.example/curfew");
        assert_eq!(
            metadata["id_token_signing_alg_values_supported"],
            serde_json::json!(["ES256"])
        );
    }
}

#[tokio::test]
async fn a_node_whose_tail_is_stale_lives_and_is_not_ready() {
    let (authority, clock) = world().await;
    assert_eq!(get(&authority, "/health/ready").await.0, StatusCode::OK);
    clock.advance(6_000);
    assert_eq!(get(&authority, "/health/live").await.0, StatusCode::OK);
    let (status, _, body) = get(&authority, "/health/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("\"tail\":false"), "{body}");
    assert!(body.contains("/errors/CURFEW_FRESHNESS_STALE"), "{body}");
}

#[tokio::test]
async fn a_request_that_is_too_long_or_of_another_method_is_refused() {
    let (authority, _) = world().await;
    let (status, headers, _) = get(&authority, &format!("/{}", "a".repeat(600))).await;
    assert_eq!(status, StatusCode::URI_TOO_LONG);
    assert_eq!(
        headers["x-content-type-options"], "nosniff",
        "whatever is answered"
    );
    let request = Request::post("/.well-known/jwks.json")
        .body(Body::from("x"))
        .unwrap();
    let response = router(authority).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn every_refusal_of_this_edge_links_to_an_entry_of_the_catalogue() {
    let (authority, _) = world().await;
    for (path, code) in [
        ("/nobody/.well-known/jwks.json", "CURFEW_TENANT_UNKNOWN"),
        (
            "/nobody/.well-known/openid-configuration",
            "CURFEW_TENANT_UNKNOWN",
        ),
        (
            "/.well-known/oauth-authorization-server/nobody",
            "CURFEW_TENANT_UNKNOWN",
        ),
        ("/no/such/path", "CURFEW_NOT_FOUND"),
        ("/errors/NONE", "CURFEW_NOT_FOUND"),
        (&*format!("/{}", "a".repeat(600)), "CURFEW_FIELD_INVALID"),
    ] {
        let (status, headers, body) = get(&authority, path).await;
        assert!(status.is_client_error(), "{path}: {status}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], code, "{path}");
        let page = body["error_uri"].as_str().unwrap();
        assert_eq!(headers["link"], format!("<{page}>; rel=\"help\""));
        assert_eq!(get(&authority, page).await.0, StatusCode::OK, "{page}");
    }
    let request = Request::delete("/errors").body(Body::empty()).unwrap();
    let response = router(authority).oneshot(request).await.unwrap();
    assert_eq!(
        response.headers()["link"],
        "</errors/CURFEW_NOT_IMPLEMENTED>; rel=\"help\""
    );
}

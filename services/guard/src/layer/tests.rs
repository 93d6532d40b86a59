//! Both layers before a service that says whom it saw.

use std::convert::Infallible;

use curfew_core::session::KeyBinding;
use curfew_jose::Algorithm;
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;
use tower::{Layer as _, Service as _, service_fn};

use super::*;
use crate::testing::*;
use crate::{Admission, Stale};

type Body = Full<bytes::Bytes>;

async fn seen(request: Request<()>) -> Result<Response<Body>, Infallible> {
    let extensions = request.extensions();
    let text = match (extensions.get::<Admission>(), extensions.get::<WouldRefuse>()) {
        (Some(admission), _) => admission.subject().to_owned(),
        (None, Some(would)) => format!("would refuse: {}", would.0.reason.code()),
        (None, None) => "nobody".to_owned(),
    };
    Ok(Response::new(text.into()))
}

async fn call(layer: &GuardLayer, request: Request<()>) -> (StatusCode, http::HeaderMap, String) {
    let response = layer.layer(service_fn(seen)).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, parts.headers, body)
}

fn get(path: &str, authorization: &[&str]) -> Request<()> {
    let mut request = Request::builder().uri(path);
    for field in authorization {
        request = request.header(AUTHORIZATION, *field);
    }
    request.body(()).unwrap()
}

#[tokio::test]
async fn a_handler_sees_the_admission_and_a_refused_call_never_reaches_it() {
    let bench = Bench::new();
    let layer = GuardLayer::new(bench.guard.clone(), Requirements::scope("read"));
    let token = bench.token();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let (status, _, body) = call(&layer, get("/", &[&format!("{scheme} {token}")])).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "alice"));
    }
    let (status, headers, body) = call(&layer, get("/", &[])).await;
    assert_eq!(
        (status, headers[WWW_AUTHENTICATE].to_str().unwrap()),
        (StatusCode::UNAUTHORIZED, "Bearer")
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["code"], "CURFEW_TOKEN_MISSING");

    let (status, headers, body) = call(
        &layer,
        get("/", &[&format!("Bearer {}", bench.token_with("scp", json!("x")))]),
    )
    .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(
        headers[WWW_AUTHENTICATE]
            .to_str()
            .unwrap()
            .contains(r#"error="insufficient_scope""#)
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body,
        json!({
            "error": "insufficient_scope",
            "code": "CURFEW_SCOPE_INSUFFICIENT",
            "stage": "resource_call",
            "description": "the token lacks a scope or role that this call needs",
            "help": "ask for a token with that scope",
            "error_uri": "https://login.example/errors/CURFEW_SCOPE_INSUFFICIENT",
        })
    );

    bench.clock.advance(BOUND_MS);
    let (status, headers, _) = call(&layer, get("/", &[&format!("Bearer {token}")])).await;
    assert_eq!(
        (status, headers[RETRY_AFTER].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, "5")
    );
    assert!(!headers.contains_key(WWW_AUTHENTICATE));
}

#[tokio::test]
async fn there_is_one_token_in_the_header_or_none() {
    let bench = Bench::new();
    let layer = GuardLayer::new(bench.guard.clone(), Requirements::any());
    let token = bench.token();
    let bearer = format!("Bearer {token}");
    for (fields, code) in [
        (vec!["Basic YTpi"], "CURFEW_TOKEN_MISSING"),
        (vec!["Bearer"], "CURFEW_TOKEN_MISSING"),
        (vec!["Bearer "], "CURFEW_TOKEN_MISSING"),
        (vec![&*token], "CURFEW_TOKEN_MISSING"),
        (vec![&*bearer, &*bearer], "CURFEW_TOKEN_MALFORMED"),
        (vec!["Bearer cfr_abc"], "CURFEW_TOKEN_IS_REFRESH_TOKEN"),
        (vec!["DPoP abc"], "CURFEW_BINDING_MISSING"),
    ] {
        let (status, _, body) = call(&layer, get("/", &fields)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(body.contains(code), "{fields:?}: {body}");
    }
}

#[tokio::test]
async fn a_bound_token_passes_with_the_key_that_the_connection_proved() {
    let bench = Bench::new();
    let layer = GuardLayer::new(bench.guard.clone(), Requirements::any());
    let token = bench.token_with("cnf", json!({"jkt": "thumb"}));
    for (scheme, proven, status) in [
        ("DPoP", Some("thumb"), StatusCode::OK),
        ("DPoP", Some("other"), StatusCode::UNAUTHORIZED),
        ("DPoP", None, StatusCode::UNAUTHORIZED),
        // A bound token as a bearer's, even beside a proof (RFC 9449 section 7.1).
        ("Bearer", Some("thumb"), StatusCode::UNAUTHORIZED),
    ] {
        let mut request = get("/", &[&format!("{scheme} {token}")]);
        if let Some(proven) = proven {
            request.extensions_mut().insert(KeyBinding::Dpop(proven.into()));
        }
        assert_eq!(call(&layer, request).await.0, status, "{scheme} {proven:?}");
    }
}

#[tokio::test]
async fn requirements_depend_on_the_route() {
    let bench = Bench::new();
    let admin = Arc::new(Requirements::scope("admin"));
    let layer = GuardLayer::by_route(bench.guard.clone(), move |method, path| match (method, path) {
        (&Method::GET, "/health") => Access::Open,
        (&Method::GET, "/admin") => Access::Guarded(admin.clone()),
        _ => Access::Guarded(Arc::default()),
    });
    let bearer = format!("Bearer {}", bench.token());
    assert_eq!(call(&layer, get("/health", &[])).await.2, "nobody");
    assert_eq!(
        call(&layer, get("/admin", &[&bearer])).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(call(&layer, get("/orders", &[&bearer])).await.2, "alice");
}

#[tokio::test]
async fn report_only_lets_everything_pass_and_tells_the_handler() {
    let bench = Bench::with(|config| config.report_only = true);
    let layer = GuardLayer::new(bench.guard.clone(), Requirements::any());
    let forged = sign(&key(Algorithm::Es256, "k1"), "at+jwt", &delegated());
    let (status, _, body) = call(&layer, get("/", &[&format!("Bearer {forged}")])).await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::OK, "would refuse: CURFEW_SIGNATURE_WRONG")
    );
    assert_eq!(
        call(&layer, get("/", &[])).await.2,
        "would refuse: CURFEW_TOKEN_MISSING"
    );
}

#[tokio::test]
async fn grpc_callers_get_a_status_with_the_same_words() {
    let bench = Bench::new();
    let layer = GrpcGuardLayer::new(
        bench.guard.clone(),
        Requirements::scope("read").stale(Stale::Deny),
    );
    let call = async |token: &str| {
        let request = get("/orders.v1.Orders/Get", &[&format!("Bearer {token}")]);
        let response = layer.layer(service_fn(seen)).call(request).await.unwrap();
        tonic::Status::from_header_map(response.headers())
    };
    assert!(call(&bench.token()).await.is_none());
    let status = call(&bench.token_with("scp", json!("x"))).await.unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
    bench.revoke(revocation("sub", "alice"));
    let status = call(&bench.token_with("xms_cc", json!(["cp1"]))).await.unwrap();
    assert_eq!(status.code(), Code::Unauthenticated);
    let challenge = status
        .metadata()
        .get("www-authenticate")
        .unwrap()
        .to_str()
        .unwrap();
    assert!(
        challenge.contains("insufficient_claims") && challenge.contains("invalid_token"),
        "{challenge}"
    );
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("TOKEN_REVOKED", "curfew")
    );
    assert_eq!(info.metadata["stage"], "resource_call");
    assert_eq!(info.metadata["initiator"], "user");
    bench.clock.advance(BOUND_MS);
    let status = call(&bench.sign(&app_only())).await.unwrap();
    assert_eq!(
        status.code(),
        Code::PermissionDenied,
        "scopes come before freshness"
    );
    let status = call(&bench.token_with("sub", json!("carol"))).await.unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    let details = status.get_error_details();
    assert_eq!(
        details.retry_info().unwrap().retry_delay,
        Some(std::time::Duration::from_secs(5))
    );
    assert_eq!(details.error_info().unwrap().reason, "FRESHNESS_STALE");
    assert_eq!(
        details.help().unwrap().links[0].url,
        "https://login.example/errors/CURFEW_FRESHNESS_STALE"
    );
}

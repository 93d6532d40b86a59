//! An API on axum behind a guard that follows a local `curfew serve`.
//!
//! `cargo run -p curfew-guard --example axum_api -- <tenant id> <caller> <secret>`, then
//! `curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/orders`.

use std::error::Error;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use curfew_clock::SystemClock;
use curfew_guard::{
    Admission, BOUND_EMBEDDED_MS, CallerToken, Config, Guard, GuardLayer, HubSource, JwksSource, OwnIssuer,
    Requirements, Stale, connect,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tenant, caller, secret] = arguments.as_slice() else {
        return Err("usage: <tenant id> <caller> <secret>".into());
    };
    let (issuer, hub) = ("http://127.0.0.1:7480/acme", "http://127.0.0.1:7400");

    let mut config = Config::new(["https://orders.acme.example"]);
    config.bound_ms = BOUND_EMBEDDED_MS;
    let keys = JwksSource::of_url(format!("{issuer}/.well-known/jwks.json"));
    config.own.push(OwnIssuer::new(tenant.parse()?, issuer, keys));

    let guard = Guard::new(config, Arc::new(SystemClock))?;
    let bearer = CallerToken::new(connect(hub)?, caller, secret);
    let source = HubSource::connect(hub, "orders", "orders-1")?.bearer(Arc::new(bearer));
    let _running = guard.start([source.boxed()]);

    // Young tokens may read on without the hub for a while; paying may not.
    let read = Requirements::scope("orders.read")
        .or_role("Orders.Read")
        .named("read");
    let pay = Requirements::scope("orders.pay").named("pay").stale(Stale::Deny);
    let app = Router::new()
        .route("/orders", get(orders).layer(GuardLayer::new(guard.clone(), read)))
        .route("/pay", get(orders).layer(GuardLayer::new(guard.clone(), pay)))
        .route("/ready", get(ready))
        .with_state(guard);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, app).await?;
    Ok(())
}

async fn orders(Extension(admission): Extension<Admission>) -> String {
    format!("orders of {} by {:?}\n", admission.subject(), admission.client())
}

/// What a load balancer asks: a guard that has not heard of every revocation gets no traffic.
async fn ready(State(guard): State<Guard>) -> StatusCode {
    if guard.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

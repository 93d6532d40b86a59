//! An API on axum behind a guard that follows a local `curfew serve`.
//!
//! `CURFEW_SECRET=… cargo run -p curfew-guard --example axum_api -- --tenant-id <UUID>`, then
//! `curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/orders`.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use clap::Parser;
use curfew_clock::SystemClock;
use curfew_guard::{
    Admission, BOUND_EMBEDDED_MS, CallerToken, Config, Guard, GuardLayer, HubSource, JwksSource, OwnIssuer,
    Requirements, Stale, connect,
};

/// An API behind a guard.
#[derive(Debug, Parser)]
struct Arguments {
    /// The tenant's permanent id, a UUID: `tid` in its tokens.
    #[arg(long, env = "TENANT_ID", value_name = "UUID")]
    tenant_id: String,
    /// The tenant's issuer, `iss` in its tokens.
    #[arg(
        long,
        env = "ISSUER",
        value_name = "URL",
        default_value = "http://127.0.0.1:7480/acme"
    )]
    issuer: String,
    /// What this API is called in tokens: their `aud`.
    #[arg(
        long,
        env = "AUDIENCE",
        value_name = "URL",
        default_value = "https://orders.acme.example"
    )]
    audience: String,
    /// The node whose revocations are followed.
    #[arg(
        long,
        env = "HUB",
        value_name = "URL",
        default_value = "http://127.0.0.1:7400"
    )]
    hub: String,
    /// Who follows: a caller with the role `revocations.read`. Its secret comes from the environment as
    /// CURFEW_SECRET: arguments show in lists of processes.
    #[arg(long, env = "CURFEW_CALLER", value_name = "ID", default_value = "guards")]
    caller: String,
    /// Where to listen.
    #[arg(
        long,
        env = "LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    #[expect(clippy::disallowed_methods, reason = "a program reads its environment")]
    let secret =
        std::env::var("CURFEW_SECRET").map_err(|_| "CURFEW_SECRET is not set: the caller's secret")?;
    let (issuer, hub) = (arguments.issuer.as_str(), arguments.hub.as_str());

    let mut config = Config::new([arguments.audience.as_str()]);
    config.bound_ms = BOUND_EMBEDDED_MS;
    let keys = JwksSource::of_url(format!("{issuer}/.well-known/jwks.json"));
    config
        .own
        .push(OwnIssuer::new(arguments.tenant_id.parse()?, issuer, keys));

    let guard = Guard::new(config, Arc::new(SystemClock))?;
    let bearer = CallerToken::new(connect(hub)?, &arguments.caller, &secret);
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
    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
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

//! A gRPC service behind a guard, and a stream that ends when its token is revoked.
//!
//! `cargo run -p curfew-guard --example tonic_api -- <tenant id> <caller> <secret>`; the service is
//! gRPC health, so that the example needs no `.proto` of its own.

use std::error::Error;
use std::sync::Arc;

use curfew_clock::SystemClock;
use curfew_guard::{
    Access, Admission, BOUND_EMBEDDED_MS, CallerToken, Config, GrpcGuardLayer, GrpcIntrospect, Guard,
    HubSource, JwksSource, OwnIssuer, Requirements, Stale, connect,
};
use tonic::transport::Server;

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
    let own = OwnIssuer {
        tenant_name: Some("acme".to_owned()),
        ..OwnIssuer::new(tenant.parse()?, issuer, keys)
    };
    config.own.push(own);

    // While the view is stale an authority is asked, over the same address here.
    let bearer = Arc::new(CallerToken::new(connect(hub)?, caller, secret));
    let authority = GrpcIntrospect::new(connect(hub)?).bearer(bearer.clone());
    let guard = Guard::builder(config, Arc::new(SystemClock))
        .introspect(Arc::new(authority))
        .build()?;
    let _running = guard.start([HubSource::connect(hub, "orders", "orders-1")?
        .bearer(bearer)
        .boxed()]);

    let watch = Arc::new(
        Requirements::scope("orders.watch")
            .named("watch")
            .stale(Stale::Introspect),
    );
    let layer = GrpcGuardLayer::by_method(guard, move |path| match path {
        "/grpc.health.v1.Health/Watch" => Access::Guarded(watch.clone()),
        _ => Access::Open,
    });
    let (_reporter, health) = tonic_health::server::health_reporter();
    Server::builder()
        .layer(layer)
        .add_service(health)
        .serve("127.0.0.1:8081".parse()?)
        .await?;
    Ok(())
}

/// How a handler ends a stream: the layer put `Admission` and `Arc<Requirements>` into the request's extensions.
#[expect(
    dead_code,
    reason = "gRPC health has a handler of its own; this is how yours would look"
)]
async fn stream(
    guard: Guard,
    request: tonic::Request<()>,
    mut items: tokio::sync::mpsc::Receiver<String>,
    client: tokio::sync::mpsc::Sender<Result<String, tonic::Status>>,
) {
    let extensions = request.extensions();
    let (Some(admission), Some(route)) = (
        extensions.get::<Admission>(),
        extensions.get::<Arc<Requirements>>(),
    ) else {
        return;
    };
    let mut watch = guard.watch_admitted(admission, route);
    loop {
        let next = tokio::select! {
            refused = &mut watch => Err(refused.to_status()),
            item = items.recv() => match item {
                Some(item) => Ok(item),
                None => return,
            },
        };
        let is_over = next.is_err();
        if client.send(next).await.is_err() || is_over {
            return;
        }
    }
}

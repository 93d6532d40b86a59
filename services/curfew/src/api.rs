//! A guarded API, as small as one can be: a separate axum server behind the guard.
//!
//! The demonstration calls it over a socket of its own; it knows nothing of the node but the hub's
//! address and the issuers that its owner trusts.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use curfew_clock::SystemClock;
use curfew_guard::{
    Admission, BearerToken, Config, Guard, GuardLayer, HubSource, Requirements, Running, Stale,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cli::Failure;

/// A running API.
#[derive(Debug)]
pub(crate) struct Api {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its guard.
    pub(crate) guard: Guard,
    server: JoinHandle<()>,
    _running: Running,
}

impl Api {
    /// Starts an API of this name, whose one route needs `scope`.
    pub(crate) async fn start(
        config: Config,
        name: &str,
        scope: &str,
        hub: &str,
        bearer: Arc<dyn BearerToken>,
    ) -> Result<Self, Failure> {
        let guard = Guard::new(config, Arc::new(SystemClock))?;
        let source = HubSource::connect(&format!("http://{hub}"), name, "1")?.bearer(bearer);
        let running = guard.start([source.boxed()]);
        // A person at work waits for no age cap here: what cannot be proven fresh is denied.
        let route = Requirements::scope(scope).named("GET /").stale(Stale::Deny);
        let app = Router::new()
            .route("/", get(hello))
            .layer(GuardLayer::new(guard.clone(), route));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the API stopped");
            }
        });
        Ok(Self {
            address,
            guard,
            server,
            _running: running,
        })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn hello(Extension(admission): Extension<Admission>) -> String {
    format!("hello {}", admission.subject())
}

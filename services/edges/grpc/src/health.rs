//! Health (grpc.health.v1): `live` while the process answers, `ready` while it may decide.
//!
//! **Invariant:** whoever is not ready still answers: readiness steers balancers, it refuses nobody.

use std::sync::Arc;
use std::time::Duration;

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::shared::Shared;

/// How often readiness is looked at: the directory's key is polled at the same pace.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps what health answers up to date, until dropped.
pub(crate) async fn keep(reporter: HealthReporter, shared: Arc<Shared>) {
    reporter.set_service_status("live", ServingStatus::Serving).await;
    let mut draining = shared.draining.clone();
    loop {
        let is_ready = !*draining.borrow_and_update() && shared.authority.is_ready().await;
        let status = if is_ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        // The empty name is the server as a whole: what balancers ask for by default.
        for name in ["", "ready"] {
            reporter.set_service_status(name, status).await;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            changed = draining.changed() => if changed.is_err() {
                // The server is gone, and its health with it.
                std::future::pending::<()>().await;
            },
        }
    }
}

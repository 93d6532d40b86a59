//! Tower layers: the guard before a service.
//!
//! [`GuardLayer`] speaks HTTP (axum, hyper), [`GrpcGuardLayer`] speaks gRPC (tonic). A handler finds
//! the [`Admission`](crate::Admission) among the request's extensions.
//!
//! A layer takes the sender's proven key from the extensions, as a [`KeyBinding`]: whoever checks
//! DPoP proofs or terminates TLS puts it there, before this layer.
//!
//! **Invariant:** a request that is refused never reaches the service, but in report-only mode, where
//! it does so without an admission and with a [`WouldRefuse`].

mod grpc;
mod http_service;

use std::fmt;
use std::sync::Arc;

use curfew_core::refusal::Reason;
use curfew_core::session::KeyBinding;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::guard::Guard;
use crate::refused::Refused;
use crate::route::{Presented, Requirements};
use crate::token::refusal;

pub use grpc::{GrpcGuardLayer, GrpcGuardService};
pub use http_service::{GuardLayer, GuardService};

/// In report-only mode: what a request that has no admission would have been refused for.
#[derive(Clone, Debug)]
pub struct WouldRefuse(pub Refused);

/// Whether a route is guarded.
#[derive(Clone, Debug)]
pub enum Access {
    /// Anybody may call; no token is looked at.
    Open,
    /// What a token must hold.
    Guarded(Arc<Requirements>),
}

/// Which route a request is: by method and path; of a gRPC call the path is `/package.Service/Method`.
type Routes = Arc<dyn Fn(&http::Method, &str) -> Access + Send + Sync>;

/// What both layers have in common.
#[derive(Clone)]
struct Gate {
    guard: Guard,
    routes: Routes,
}

impl Gate {
    fn new(guard: Guard, requirements: Requirements) -> Self {
        let requirements = Arc::new(requirements);
        Self {
            guard,
            routes: Arc::new(move |_, _| Access::Guarded(requirements.clone())),
        }
    }

    /// Lets the request pass, with what the handler may know among its extensions, or says why not.
    async fn pass(&self, parts: &mut Parts) -> Result<(), Refused> {
        let route = match (self.routes)(&parts.method, parts.uri.path()) {
            Access::Open => return Ok(()),
            Access::Guarded(route) => route,
        };
        let checked = match presented(parts) {
            Ok(presented) => self.guard.check_asking(presented, &route).await,
            Err(refused) => {
                let refused = self.guard.explained(refused);
                self.guard.note_refusal(None, &refused, &route, self.guard.now());
                Err(refused)
            }
        };
        match checked {
            Ok(admission) => {
                parts.extensions.insert(admission);
                parts.extensions.insert(route);
                Ok(())
            }
            Err(refused) if self.guard.only_reports(&route) => {
                parts.extensions.insert(WouldRefuse(refused));
                Ok(())
            }
            Err(refused) => Err(refused),
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

/// Finds the one token of a request (RFC 6750 section 2.1, RFC 9449 section 7.1): in the header, nowhere else.
fn presented(parts: &Parts) -> Result<Presented<'_>, Refused> {
    let mut fields = parts.headers.get_all(AUTHORIZATION).iter();
    let field = fields.next().ok_or_else(|| refusal(Reason::TokenMissing))?;
    if fields.next().is_some() {
        return Err(refusal(Reason::TokenMalformed)
            .about("more than one `Authorization` field")
            .into());
    }
    let text = field
        .to_str()
        .map_err(|_| refusal(Reason::TokenMalformed).about("`Authorization` is not ASCII"))?;
    let (scheme, token) = text
        .split_once(' ')
        .ok_or_else(|| refusal(Reason::TokenMissing))?;
    let proven = parts.extensions.get::<KeyBinding>();
    let key = if scheme.eq_ignore_ascii_case("Bearer") {
        // A bound token sent as a bearer's is refused, whatever proof lies beside it.
        proven.filter(|key| matches!(key, KeyBinding::Mtls(_)))
    } else if scheme.eq_ignore_ascii_case("DPoP") {
        let is_dpop = |key: &&KeyBinding| matches!(key, KeyBinding::Dpop(_));
        Some(
            proven
                .filter(is_dpop)
                .ok_or_else(|| refusal(Reason::BindingMissing))?,
        )
    } else {
        return Err(refusal(Reason::TokenMissing).into());
    };
    Ok(Presented {
        token: token.trim_start_matches(' '),
        key,
    })
}

#[cfg(test)]
mod tests;

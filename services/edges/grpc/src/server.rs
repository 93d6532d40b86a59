//! The server: listener, limits, services, drain.
//!
//! **Invariant:** no wait without an end: hyper itself waits for a silent peer for ever.

use std::future::Future;
use std::sync::Arc;

use curfew_authority::Authority;
use curfew_proto::admin::v1::audit_service_server::AuditServiceServer;
use curfew_proto::admin::v1::caller_service_server::CallerServiceServer;
use curfew_proto::admin::v1::client_service_server::ClientServiceServer;
use curfew_proto::admin::v1::issuer_service_server::IssuerServiceServer;
use curfew_proto::admin::v1::key_service_server::KeyServiceServer;
use curfew_proto::admin::v1::recovery_service_server::RecoveryServiceServer;
use curfew_proto::admin::v1::resource_service_server::ResourceServiceServer;
use curfew_proto::admin::v1::server_service_server::ServerServiceServer;
use curfew_proto::admin::v1::subject_service_server::SubjectServiceServer;
use curfew_proto::admin::v1::tenant_service_server::TenantServiceServer;
use curfew_proto::revocation::v1::revocation_service_server::RevocationServiceServer;
use curfew_proto::session::v1::session_service_server::SessionServiceServer;
use curfew_proto::token::v1::token_service_server::TokenServiceServer;
use curfew_transport::{Listener, Protocol};
use tokio::sync::watch;
use tonic::service::Routes;
use tower_layer::Layer as _;

use tonic::body::Body;
use tower::ServiceExt as _;

use crate::admin;
use crate::door::DoorLayer;
use crate::health;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::observe::ObserveLayer;
use crate::revocation::Revocations;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::token::Tokens;
use crate::watch::Reports;

/// What a feed's frame may exceed its bound by: one record that is larger than a frame.
const FRAME_SLACK: usize = 64 << 10;

/// Why the server ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptor set cannot be served.
    #[error("the descriptor set cannot be reflected")]
    Reflection(#[source] tonic_reflection::server::Error),
}

/// The gRPC edge of one authority.
#[derive(Debug)]
pub struct Edge {
    shared: Arc<Shared>,
    drain: watch::Sender<bool>,
}

macro_rules! bounded {
    ($server:ident, $service:expr, $settings:expr) => {
        $server::new($service)
            .max_decoding_message_size($settings.request_bytes_max)
            .max_encoding_message_size($settings.response_bytes_max)
    };
}

impl Edge {
    /// The edge of this authority, not listening yet.
    #[must_use]
    pub fn new(authority: Authority, settings: Settings) -> Self {
        let (drain, draining) = watch::channel(false);
        let limits = Limits::new(&settings, &authority);
        let shared = Shared {
            authority,
            limits,
            settings,
            draining,
            reports: Reports::default(),
            counters: Arc::default(),
        };
        Self {
            shared: Arc::new(shared),
            drain,
        }
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics(self.shared.clone())
    }

    /// Serves on every listener until `shutdown`, then drains: streams are told where to go on, calls in
    /// progress end.
    pub async fn serve(
        self,
        listeners: impl IntoIterator<Item = Listener>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let Self { shared, drain } = self;
        let settings = &shared.settings;
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(curfew_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // So that tools can print the details of an error.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let revocations = RevocationServiceServer::new(Revocations(shared.clone()))
            .max_decoding_message_size(settings.report_bytes_max)
            .max_encoding_message_size(
                settings.frame_bytes_max.max(settings.response_bytes_max) + FRAME_SLACK,
            );
        let one = || shared.clone();
        let routes = Routes::new(health)
            .add_service(reflection().build_v1().map_err(ServeError::Reflection)?)
            .add_service(reflection().build_v1alpha().map_err(ServeError::Reflection)?)
            .add_service(bounded!(SessionServiceServer, Sessions(one()), settings))
            .add_service(bounded!(TokenServiceServer, Tokens(one()), settings))
            .add_service(revocations)
            .add_service(bounded!(
                ServerServiceServer,
                admin::server::Info(one()),
                settings
            ))
            .add_service(bounded!(
                TenantServiceServer,
                admin::tenant::Tenants(one()),
                settings
            ))
            .add_service(bounded!(
                ClientServiceServer,
                admin::client::Clients(one()),
                settings
            ))
            .add_service(bounded!(
                ResourceServiceServer,
                admin::resource::Resources(one()),
                settings
            ))
            .add_service(bounded!(
                IssuerServiceServer,
                admin::issuer::Issuers(one()),
                settings
            ))
            .add_service(bounded!(
                CallerServiceServer,
                admin::caller::Callers(one()),
                settings
            ))
            .add_service(bounded!(KeyServiceServer, admin::key::Keys(one()), settings))
            .add_service(bounded!(
                RecoveryServiceServer,
                admin::recovery::Recovery(one()),
                settings
            ))
            .add_service(bounded!(
                SubjectServiceServer,
                admin::subject::Subjects(one()),
                settings
            ))
            .add_service(bounded!(AuditServiceServer, admin::audit::Audit(one()), settings));
        let service = DoorLayer(shared.clone()).layer(routes.prepare());
        let service = ObserveLayer(shared.clone()).layer(service);
        let service =
            service.map_request(|request: http::Request<hyper::body::Incoming>| request.map(Body::new));
        let stop = async {
            shutdown.await;
            drain.send_replace(true);
        };
        let served = listeners.into_iter().map(|listener| {
            let drained = shared.drained();
            curfew_transport::serve(
                listener,
                Protocol::Grpc,
                service.clone(),
                settings.transport,
                drained,
            )
        });
        tokio::select! {
            _ = futures_util::future::join(stop, futures_util::future::join_all(served)) => {}
            () = health::keep(reporter, shared.clone()) => {}
            () = shared.limits.keep() => {}
        }
        Ok(())
    }
}

//! The way to one node: the caller's token goes with each call, and which method was called is noted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use curfew_proto::admin::v1::caller_service_client::CallerServiceClient;
use curfew_proto::admin::v1::client_service_client::ClientServiceClient;
use curfew_proto::admin::v1::issuer_service_client::IssuerServiceClient;
use curfew_proto::admin::v1::key_service_client::KeyServiceClient;
use curfew_proto::admin::v1::recovery_service_client::RecoveryServiceClient;
use curfew_proto::admin::v1::resource_service_client::ResourceServiceClient;
use curfew_proto::admin::v1::server_service_client::ServerServiceClient;
use curfew_proto::admin::v1::subject_service_client::SubjectServiceClient;
use curfew_proto::admin::v1::tenant_service_client::TenantServiceClient;
use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;
use curfew_proto::session::v1::session_service_client::SessionServiceClient;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::Channel;

#[derive(Clone)]
pub(crate) struct Way {
    channel: Channel,
    bearer: Arc<Mutex<String>>,
    called: Arc<Mutex<BTreeSet<String>>>,
}

impl Way {
    pub(super) fn new(channel: Channel, called: &Arc<Mutex<BTreeSet<String>>>) -> Self {
        Self {
            channel,
            bearer: Arc::default(),
            called: called.clone(),
        }
    }

    pub(super) fn bear(&self, token: &str) {
        *self.bearer.lock().unwrap() = format!("Bearer {token}");
    }

    pub(super) fn sessions(&self) -> SessionServiceClient<Self> {
        SessionServiceClient::new(self.clone())
    }

    pub(super) fn tokens(&self) -> TokenServiceClient<Self> {
        TokenServiceClient::new(self.clone())
    }

    pub(super) fn recovery(&self) -> RecoveryServiceClient<Self> {
        RecoveryServiceClient::new(self.clone())
    }

    pub(super) fn revocations(&self) -> RevocationServiceClient<Self> {
        RevocationServiceClient::new(self.clone())
    }

    pub(super) fn callers(&self) -> CallerServiceClient<Self> {
        CallerServiceClient::new(self.clone())
    }

    pub(super) fn clients(&self) -> ClientServiceClient<Self> {
        ClientServiceClient::new(self.clone())
    }

    pub(super) fn issuers(&self) -> IssuerServiceClient<Self> {
        IssuerServiceClient::new(self.clone())
    }

    pub(super) fn keys(&self) -> KeyServiceClient<Self> {
        KeyServiceClient::new(self.clone())
    }

    pub(super) fn resources(&self) -> ResourceServiceClient<Self> {
        ResourceServiceClient::new(self.clone())
    }

    pub(super) fn server(&self) -> ServerServiceClient<Self> {
        ServerServiceClient::new(self.clone())
    }

    pub(super) fn subjects(&self) -> SubjectServiceClient<Self> {
        SubjectServiceClient::new(self.clone())
    }

    pub(super) fn tenants(&self) -> TenantServiceClient<Self> {
        TenantServiceClient::new(self.clone())
    }
}

impl Service<http::Request<Body>> for Way {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        self.called
            .lock()
            .unwrap()
            .insert(request.uri().path().to_owned());
        let bearer = self.bearer.lock().unwrap().parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        self.channel.call(request)
    }
}

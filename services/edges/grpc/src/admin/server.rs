//! ServerService: what this server is and what it can do.

use std::sync::Arc;

use curfew_core::claims::CHAIN_LINKS_MAX;
use curfew_core::index::{LOOK_UPS_MAX, SHAPES_MAX};
use curfew_core::place::PARTITIONS;
use curfew_core::record::{CRITERIA_MAX, EXCEPT_MAX, READER};
use curfew_core::session::{CLAIMS_BYTES_MAX, GRANTS_MAX, GRANTS_PER_CLIENT_MAX, SESSIONS_MAX};
use curfew_core::time::{CUTOFF_AHEAD_MAX_MS, DELTA_MS, OPERATION_LIFE_MS, WIDE_AHEAD_MS};
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::server_service_server::ServerService;
use tonic::{Request, Response};

use super::Answered;
use crate::convert::{duration, timestamp};
use crate::shared::Shared;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Info(pub(crate) Arc<Shared>);

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[tonic::async_trait]
impl ServerService for Info {
    async fn get_server_info(
        &self,
        request: Request<pb::GetServerInfoRequest>,
    ) -> Answered<pb::GetServerInfoResponse> {
        let (call, _) = self.0.open(request)?;
        let authority = call.authority();
        let config = authority.config();
        let log = authority.follower().log();
        let settings = &self.0.settings;
        let limits = pb::Limits {
            sessions_per_subject: count(SESSIONS_MAX),
            grants_per_session: count(GRANTS_MAX),
            grants_per_client: count(GRANTS_PER_CLIENT_MAX),
            claims_per_revocation: count(CRITERIA_MAX),
            exceptions_per_revocation: count(EXCEPT_MAX),
            shapes_per_tenant: count(SHAPES_MAX),
            look_ups_per_token: count(LOOK_UPS_MAX),
            session_claims_bytes: count(CLAIMS_BYTES_MAX),
            request_bytes: count(settings.request_bytes_max),
            page_size_max: count(crate::page::MAX),
            batch_size_max: 100,
            chain_links: count(CHAIN_LINKS_MAX),
            request_id_life: Some(duration(OPERATION_LIFE_MS)),
            cut_off_ahead_max: Some(duration(CUTOFF_AHEAD_MAX_MS)),
            wide_cut_off_ahead: Some(duration(WIDE_AHEAD_MS)),
        };
        let packages = ["session", "token", "revocation", "admin"];
        Ok(Response::new(pb::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            features: [
                "dpop",
                "mtls",
                "revocation.durable",
                "revocation.enforced",
                "revocation.foreign",
            ]
            .map(str::to_owned)
            .to_vec(),
            limits: Some(limits),
            store_partitions: PARTITIONS.into(),
            log_partitions: log.partitions.into(),
            staleness_bound: Some(duration(config.staleness_ms)),
            log_id: log.log_id.to_vec(),
            longest_token_life: call
                .loaded
                .view
                .lifetimes
                .map(|lifetimes| duration(lifetimes.mint_ms)),
            server_time: Some(timestamp(authority.now().wall)),
            store_engine: authority.store().kind().to_owned(),
            log_engine: authority.log().kind().to_owned(),
            roles: settings.roles.clone(),
            issuer_base: config.base_url.clone(),
            log_format: READER,
            clock_error_max: Some(duration(DELTA_MS)),
            packages: packages.map(|package| format!("curfew.{package}.v1")).to_vec(),
        }))
    }
}

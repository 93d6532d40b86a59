//! `curfew server`: what the node is and what it can do.

use clap::{Args, Subcommand};
use curfew_proto::admin::v1 as admin;
use curfew_proto::admin::v1::server_service_client::ServerServiceClient;

use super::print::fields;
use super::{Common, json, time};
use crate::cli::Failure;

/// Asks a node what it is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Server {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Say which version answers, what it can do, and within which limits.
    Info,
}

pub(crate) async fn run(args: Server) -> Result<(), Failure> {
    match args.verb {
        Verb::Info => {}
    }
    let mut server = ServerServiceClient::new(args.common.connection.open().await?);
    let info = server
        .get_server_info(admin::GetServerInfoRequest {})
        .await?
        .into_inner();
    args.common.show(|| json::of(&info), || table(&info))
}

fn table(info: &admin::GetServerInfoResponse) -> String {
    let span = |span: Option<prost_types::Duration>| span.map(|span| span.to_string()).unwrap_or_default();
    let limits = info.limits.unwrap_or_default();
    let mut text = fields([
        ("version", info.version.clone()),
        ("roles", info.roles.join(" ")),
        ("store", info.store_engine.clone()),
        ("log", info.log_engine.clone()),
        ("issuers", format!("{}/{{tenant}}", info.issuer_base)),
        ("features", info.features.join(" ")),
        ("packages", info.packages.join(" ")),
        ("clock", time::at(info.server_time)),
        ("staleness bound", span(info.staleness_bound)),
        ("longest token life", span(info.longest_token_life)),
        ("store partitions", info.store_partitions.to_string()),
        ("log partitions", info.log_partitions.to_string()),
    ]);
    text.push_str("\nLimits:\n");
    text.push_str(&fields([
        ("sessions of a subject", limits.sessions_per_subject.to_string()),
        ("grants of a session", limits.grants_per_session.to_string()),
        (
            "grants of a client in a session",
            limits.grants_per_client.to_string(),
        ),
        ("claims of a revocation", limits.claims_per_revocation.to_string()),
        (
            "sessions a revocation spares",
            limits.exceptions_per_revocation.to_string(),
        ),
        (
            "bytes of a session's claims",
            limits.session_claims_bytes.to_string(),
        ),
        ("bytes of a request", limits.request_bytes.to_string()),
        ("items of a page", limits.page_size_max.to_string()),
        ("items of a batch", limits.batch_size_max.to_string()),
    ]));
    text
}

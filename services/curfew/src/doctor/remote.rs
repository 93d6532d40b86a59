//! A node elsewhere: whether it answers, is ready, and what its clock says.

use curfew_clock::SystemClock;
use curfew_core::time::Clock as _;
use curfew_proto::admin::v1 as admin;
use curfew_proto::admin::v1::server_service_client::ServerServiceClient;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::finding::{Findings, words};
use crate::cli::Failure;
use crate::client::connection::Reach;

/// A clock that differs more costs trust in times, and not yet calls.
const CLOCK_WARNING_MS: i64 = 1_000;
/// The skew that verifiers permit: beyond it fresh tokens are not valid yet, or over.
const CLOCK_FAULT_MS: i64 = 60_000;

pub(super) async fn look(reach: &Reach, findings: &mut Findings) -> Result<(), Failure> {
    let address = reach.address()?;
    let shown = address.to_string();
    let channel = match reach.dial(&address).await {
        Ok(channel) => channel,
        Err(error) => {
            findings.fault(
                "reach",
                format!("{shown}: {}", words(&*error)),
                "compare the address, the port, the firewall and, for https, `--ca`",
            );
            return Ok(());
        }
    };
    health(channel, &shown, findings).await;
    match reach.open(&address).await {
        Ok(calls) => {
            let asked_ms = SystemClock.now().wall.as_unix_ms();
            let info = ServerServiceClient::new(calls)
                .get_server_info(admin::GetServerInfoRequest {})
                .await;
            match info {
                Ok(info) => told(&info.into_inner(), asked_ms, findings),
                Err(status) => findings.fault("caller", status.message(), "see `curfew server info`"),
            }
        }
        Err(error) => findings.warning(
            "caller",
            format!("nothing more can be asked: {}", words(&*error)),
            "give `--caller` and its secret (CURFEW_SECRET, `--secret-file`) or a certificate",
        ),
    }
    Ok(())
}

/// Whether it lives, and whether it is ready.
pub(super) async fn health(channel: Channel, address: &str, findings: &mut Findings) {
    let check = "node";
    let mut health = HealthClient::new(channel);
    let mut ask = async |service: &str| {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await;
        answer.map(|answer| answer.into_inner().status() == ServingStatus::Serving)
    };
    match (ask("live").await, ask("ready").await) {
        (Ok(true), Ok(true)) => findings.well(check, format!("{address} lives and is ready")),
        (Ok(true), Ok(false)) => findings.fault(
            check,
            format!("{address} lives and is not ready: it is stale, draining, or has no key that signs"),
            "GET /health/ready of its HTTP address says which",
        ),
        (Ok(false) | Err(_), _) | (_, Err(_)) => findings.fault(
            check,
            format!("{address} does not answer as Curfew"),
            "look at what listens there",
        ),
    }
}

fn told(info: &admin::GetServerInfoResponse, asked_ms: i64, findings: &mut Findings) {
    findings.well(
        "server",
        format!(
            "version {}, store {}, log {}",
            info.version, info.store_engine, info.log_engine
        ),
    );
    let Some(theirs) = info.server_time else { return };
    let theirs_ms = theirs
        .seconds
        .saturating_mul(1_000)
        .saturating_add(i64::from(theirs.nanos) / 1_000_000);
    let now_ms = SystemClock.now().wall.as_unix_ms();
    // Somewhere between the question and the answer.
    let error_ms = (asked_ms.saturating_sub(theirs_ms))
        .max(theirs_ms.saturating_sub(now_ms))
        .max(0);
    clock(error_ms, "the node's", findings);
}

/// How far this clock and another are apart.
pub(super) fn clock(error_ms: i64, whose: &str, findings: &mut Findings) {
    let what = format!("{error_ms} ms or less between this clock and {whose}");
    if error_ms > CLOCK_FAULT_MS {
        findings.fault(
            "clock",
            what,
            "set the wrong one (NTP): fresh tokens are refused as not yet valid",
        );
    } else if error_ms > CLOCK_WARNING_MS {
        findings.warning("clock", what, "set the wrong one (NTP)");
    } else {
        findings.well("clock", what);
    }
}

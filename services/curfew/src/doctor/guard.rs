//! A guard's settings: what the guard itself would say of them, and whether what they name is there.
//!
//! The file is what `deploy/guard.toml` shows; a program that builds its guard in code writes the same down.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use curfew_clock::SystemClock;
use curfew_core::ids::TenantId;
use curfew_core::time::Clock as _;
use curfew_guard::{Config, FixedToken, Guard, HubSource, JwksSource, OwnIssuer, Stale};
use curfew_proto::admin::v1 as admin;
use curfew_proto::admin::v1::resource_service_client::ResourceServiceClient;
use curfew_proto::admin::v1::server_service_client::ServerServiceClient;
use serde::Deserialize;
use serde_json::Value;

use super::finding::{Findings, words};
use super::remote;
use crate::cli::Failure;
use crate::client::connection::Reach;

/// A guard is ready when a heartbeat came that is younger than its registration: one each X/5.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long one document may take.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// The largest document that is looked at.
const DOCUMENT_MAX: usize = 256 << 10;

/// Which settings.
#[derive(Args, Clone, Debug)]
pub(super) struct GuardArgs {
    /// The guard's settings (TOML), as `deploy/guard.toml` shows them.
    file: PathBuf,
    #[command(flatten)]
    reach: Reach,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The settings, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The service that is protected.
    name: String,
    /// The hub's address; `--address` comes before it.
    hub: String,
    audiences: Vec<String>,
    /// X, seconds.
    #[serde(default = "fifteen")]
    bound_s: i64,
    #[serde(default)]
    stale: StaleWord,
    /// Of `age_cap`, seconds.
    #[serde(default = "hour")]
    cap_s: i64,
    #[serde(rename = "issuer", default)]
    issuers: Vec<WrittenIssuer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenIssuer {
    /// The tenant's permanent id.
    tenant_id: WrittenTenant,
    /// What `iss` says.
    issuer: String,
    /// By default the issuer's own.
    jwks_uri: Option<String>,
}

/// An id as text, with the words of its own parser.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct WrittenTenant(TenantId);

impl TryFrom<String> for WrittenTenant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error| format!("`{text}`: {error}"))
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum StaleWord {
    #[default]
    AgeCap,
    Introspect,
    Deny,
    Allow,
}

const fn fifteen() -> i64 {
    15
}

const fn hour() -> i64 {
    3_600
}

impl Written {
    fn stale(&self) -> Stale {
        match self.stale {
            StaleWord::AgeCap => Stale::AgeCap {
                cap_ms: self.cap_s.saturating_mul(1_000),
            },
            StaleWord::Introspect => Stale::Introspect,
            StaleWord::Deny => Stale::Deny,
            StaleWord::Allow => Stale::Allow,
        }
    }
}

pub(super) async fn look(args: &GuardArgs, findings: &mut Findings) -> Result<(), Failure> {
    let Some(written) = read(&args.file, findings) else {
        return Ok(());
    };
    let mut config = Config::new(written.audiences.clone());
    config.bound_ms = written.bound_s.saturating_mul(1_000);
    config.stale = written.stale();
    for issuer in &written.issuers {
        let keys = JwksSource::of_url(jwks_uri(issuer));
        config
            .own
            .push(OwnIssuer::new(issuer.tenant_id.0, issuer.issuer.clone(), keys));
    }
    let guard = match Guard::new(config, Arc::new(SystemClock)) {
        Ok(guard) => guard,
        Err(error) => {
            findings.fault(
                "settings",
                words(&error),
                format!("change it in {}", args.file.display()),
            );
            return Ok(());
        }
    };
    findings.well("settings", format!("{} can be used", args.file.display()));
    stale(&written, findings);
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(FETCH_WITHIN)
        .build()?;
    for issuer in &written.issuers {
        metadata(&http, issuer, findings).await;
        keys(&http, issuer, findings).await;
    }
    hub(args, &written, guard, findings).await
}

fn read(file: &Path, findings: &mut Findings) -> Option<Written> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            findings.fault(
                "settings",
                format!("{}: {error}", file.display()),
                "name the guard's file",
            );
            return None;
        }
    };
    match toml::from_str(&text) {
        Ok(written) => Some(written),
        Err(error) => {
            let what = format!("{}: {}", file.display(), error.to_string().trim());
            findings.fault("settings", what, "compare it with deploy/guard.toml");
            None
        }
    }
}

/// What a revocation may cost while the guard cannot hear of it.
fn stale(written: &Written, findings: &mut Findings) {
    let check = "stale rule";
    match written.stale().bound_ms(written.bound_s.saturating_mul(1_000)) {
        Some(ms) => findings.well(
            check,
            format!("a revoked token passes for {} s at the most", ms / 1_000),
        ),
        None => findings.warning(
            check,
            "`allow`: while the hub is away revoked tokens pass, and nothing bounds for how long",
            "stale = \"age_cap\", unless availability is worth more here",
        ),
    }
}

fn jwks_uri(issuer: &WrittenIssuer) -> String {
    issuer
        .jwks_uri
        .clone()
        .unwrap_or_else(|| format!("{}/.well-known/jwks.json", issuer.issuer))
}

/// What an address answers, and how far its clock is off; `Err`: why there is no answer.
async fn fetch(http: &reqwest::Client, url: &str) -> Result<(Value, Option<i64>), String> {
    let asked_ms = SystemClock.now().wall.as_unix_ms();
    let mut response = http.get(url).send().await.map_err(|error| words(&error))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("status {}", response.status().as_u16()));
    }
    let date = response.headers().get("date").and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let error_ms = theirs.map(|theirs| {
        let now_ms = SystemClock.now().wall.as_unix_ms();
        let theirs_ms = theirs.timestamp().as_millisecond();
        // The header counts whole seconds.
        let early = asked_ms.saturating_sub(theirs_ms.saturating_add(1_000));
        early.max(theirs_ms.saturating_sub(now_ms)).max(0)
    });
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| words(&error))? {
        if document.len().saturating_add(chunk.len()) > DOCUMENT_MAX {
            return Err(format!("more than {DOCUMENT_MAX} bytes"));
        }
        document.extend_from_slice(&chunk);
    }
    let json = serde_json::from_slice(&document).map_err(|error| format!("not JSON: {error}"))?;
    Ok((json, error_ms))
}

async fn metadata(http: &reqwest::Client, issuer: &WrittenIssuer, findings: &mut Findings) {
    let check = "issuer";
    let url = format!("{}/.well-known/openid-configuration", issuer.issuer);
    let (document, error_ms) = match fetch(http, &url).await {
        Ok(fetched) => fetched,
        // Many run with a base address that their guards do not reach; the keys are what counts.
        Err(why) => {
            return findings.warning(
                check,
                format!("{url}: {why}"),
                "compare `issuer` with what `iss` of a token says",
            );
        }
    };
    if let Some(error_ms) = error_ms {
        remote::clock(error_ms, "the issuer's", findings);
    }
    let told = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
    if told != issuer.issuer {
        return findings.fault(
            check,
            format!("{url} says that the issuer is `{told}`"),
            format!("issuer = \"{told}\""),
        );
    }
    let tenant = document
        .get("curfew_tenant_id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if tenant != issuer.tenant_id.0.to_string() {
        return findings.fault(
            check,
            format!("{url} says that the tenant is `{tenant}`: every token would be refused"),
            format!("tenant_id = \"{tenant}\""),
        );
    }
    findings.well(check, format!("{told} is the tenant's"));
}

async fn keys(http: &reqwest::Client, issuer: &WrittenIssuer, findings: &mut Findings) {
    let check = "key set";
    let url = jwks_uri(issuer);
    let document = match fetch(http, &url).await {
        Ok((document, _)) => document,
        Err(why) => {
            return findings.fault(
                check,
                format!("{url}: {why}"),
                "set `jwks_uri` to where this guard reaches the keys",
            );
        }
    };
    let bytes = document.to_string();
    match curfew_jose::KeySet::parse(bytes.as_bytes()) {
        Ok(set) if !set.is_empty() => {
            findings.well(
                check,
                format!(
                    "{url}: {} keys that can be used, {} that cannot",
                    set.len(),
                    set.skipped().total()
                ),
            );
        }
        Ok(_) => findings.fault(
            check,
            format!("{url}: no key of it can be used"),
            "look at the key ring: curfew key list",
        ),
        Err(error) => findings.fault(
            check,
            format!("{url}: {}", words(&error)),
            "set `jwks_uri` to a JWK set (RFC 7517)",
        ),
    }
}

async fn hub(
    args: &GuardArgs,
    written: &Written,
    guard: Guard,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let mut reach = args.reach.clone();
    let hub = reach.address.get_or_insert_with(|| written.hub.clone()).clone();
    let address = reach.address()?;
    let calls = match reach.open(&address).await {
        Ok(calls) => calls,
        Err(error) => {
            findings.fault(
                "hub",
                format!("{hub}: {}", words(&*error)),
                "compare `hub`, `--caller` and its secret (CURFEW_SECRET), and for https `--ca`",
            );
            return Ok(());
        }
    };
    match ServerServiceClient::new(calls.clone())
        .get_server_info(admin::GetServerInfoRequest {})
        .await
    {
        Ok(info) => {
            let least_s = info.into_inner().staleness_bound.map_or(0, |bound| bound.seconds);
            if written.bound_s < least_s {
                findings.fault(
                    "bound",
                    format!("{} s is less than the {least_s} s that the node promises: every partition is stale at times", written.bound_s),
                    format!("bound_s = {least_s}"),
                );
            } else {
                findings.well(
                    "bound",
                    format!("{} s; the node promises {least_s}", written.bound_s),
                );
            }
        }
        Err(status) => findings.fault(
            "hub",
            format!("{hub}: {}", status.message()),
            "give the caller a secret that is its own",
        ),
    }
    audiences(calls, written, findings).await;
    follow(&reach, written, guard, findings).await
}

/// Whether the audiences are registered; only an administrator may see.
async fn audiences(calls: crate::client::Calls, written: &Written, findings: &mut Findings) {
    let check = "audience";
    let mut known = Vec::new();
    for issuer in &written.issuers {
        let tenant = issuer.issuer.rsplit('/').next().unwrap_or_default();
        let request = admin::ListResourcesRequest {
            parent: format!("tenants/{tenant}"),
            page_size: 500,
            ..Default::default()
        };
        match ResourceServiceClient::new(calls.clone())
            .list_resources(request)
            .await
        {
            Ok(listed) => known.extend(listed.into_inner().resources.into_iter().map(|one| one.audience)),
            Err(_) => {
                return findings.well(
                    check,
                    format!(
                        "{}; whether it is registered only an administrator may ask (`--caller admin`)",
                        written.audiences.join(", ")
                    ),
                );
            }
        }
    }
    for audience in &written.audiences {
        if known.contains(audience) {
            findings.well(check, format!("{audience} is a resource's"));
        } else {
            findings.fault(
                check,
                format!("{audience} is no resource's: no token is ever issued for it"),
                format!("one of: {}", known.join(", ")),
            );
        }
    }
}

/// Follows the stream as the guard would, until it is ready.
async fn follow(
    reach: &Reach,
    written: &Written,
    guard: Guard,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let check = "stream";
    let channel = reach.dial(&reach.address()?).await?;
    let mut source = HubSource::new(channel, written.name.clone(), "doctor");
    if let Some(token) = reach.token().await? {
        source = source.bearer(Arc::new(FixedToken(token)));
    }
    let running = guard.start([source.boxed()]);
    let ready = async {
        while !guard.is_ready() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let is_ready = tokio::time::timeout(READY_WITHIN, ready).await.is_ok();
    let frozen = guard.frozen();
    if !is_ready {
        findings.fault(
            check,
            format!("no proof of freshness within {} s", READY_WITHIN.as_secs()),
            "the caller needs the role revocations.read for the tenants of its issuers; and look at the node: curfew doctor --address",
        );
    } else if frozen.is_empty() {
        findings.well(
            check,
            format!(
                "ready; {} revocations known, proof of freshness {} ms old",
                guard.index_len(),
                guard.freshness_age_ms().unwrap_or_default()
            ),
        );
    } else {
        findings.fault(
            check,
            format!(
                "{} log partitions hold a record that this guard cannot read",
                frozen.len()
            ),
            "upgrade the guard",
        );
    }
    running.stop().await;
    Ok(())
}

//! `limits`: what the machine itself allows, measured beside a node: bare commits with fsync, one
//! signature, one empty gRPC call; of servers that nodes share, the bare script and the bare log.
//!
//! **Invariant:** each limit is measured in a process of its own, with the machine to itself and the
//! same generator.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Identity};
use crate::cli::LimitsArgs;
use crate::failure::Failure;
use crate::measure::{Ceiling, Stand};
use crate::part::limits::Found;
use crate::part::{self, Part};
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::bare_log::BareLog;
use crate::scenario::stage::{deliver, runtime};
use crate::sessions::{Session, Sessions};
use crate::shared::Shared;
use crate::usage::Sampler;
use crate::workload::{Mix, Workload};

/// Callers at once: enough to fill the engine's batches, a quarter of what a node of defaults lets in.
pub(crate) const CALLERS: usize = 256;
/// What is left of a part's time when its measuring is over: making its rows, say.
const AROUND: Duration = Duration::from_secs(60);
/// Connections to the echo, as many as to a node.
const CHANNELS: usize = 4;

/// What the machine allows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Bare commits of the engine and one signature.
    #[serde(flatten)]
    pub(crate) bare: Found,
    /// Empty gRPC calls, one after another.
    pub(crate) echo_alone: Ceiling,
    /// Empty gRPC calls, many at once.
    pub(crate) echo_together: Ceiling,
    /// Of the servers that nodes share.
    #[serde(default)]
    pub(crate) shared: Option<OfShared>,
}

/// What a Redis and a Kafka allow.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct OfShared {
    /// The bare script and its read.
    pub(crate) script: part::script::Found,
    /// Bare produce→consume.
    pub(crate) log: part::pipe::Found,
}

/// Records a second of bare produce→consume: as many as revocations in `revoke-to-reject`.
const RECORDS_RATE: u32 = 20;

pub(crate) fn run(args: &LimitsArgs) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let mut report = Report::begin("limits", None);
    let sampler = Sampler::start();
    sampler.add("generator", vec![std::process::id()]);
    let stand = Stand {
        runtime: runtime.handle(),
        pids: Vec::new(),
        servers: None,
        progress: &Progress::new(),
    };
    let home = match &args.data {
        Some(data) => tempfile::tempdir_in(data)?,
        None => tempfile::tempdir()?,
    };
    report.limits = Some(measure(
        &stand,
        &sampler,
        home.path(),
        Duration::from_secs(args.seconds),
        args.shared.fresh().as_ref(),
    )?);
    report.parts = sampler.stop();
    deliver(&report, &args.output)
}

/// Measures them, `length` for each. `home` is to lie on the disk that the node's data lies on.
pub(crate) fn measure(
    stand: &Stand<'_>,
    sampler: &Sampler,
    home: &Path,
    length: Duration,
    shared: Option<&Shared>,
) -> Result<Limits, Failure> {
    let shown = stand.progress.wait("limits: commits and signatures");
    let data = home.join("limits").display().to_string();
    let (ms, callers) = (length.as_millis().to_string(), CALLERS.to_string());
    let measuring = ["bare-limits", "--data", &data, "--ms", &ms, "--callers", &callers];
    let (_, line) = Part::hear_first(&measuring, length * 3 + AROUND)?;
    let bare = serde_json::from_str(&line)?;
    shown.finish();
    let of_shared = shared
        .map(|shared| of_shared(stand, shared, length))
        .transpose()?;

    let (echo, address) = Part::hear_first(&["echo"], AROUND)?;
    sampler.add("echo", vec![echo.pid()]);
    let stand = Stand {
        pids: vec![echo.pid()],
        servers: None,
        ..*stand
    };
    let backend = stand
        .runtime
        .block_on(Backend::connect(&[address], nobody(), CHANNELS))?;
    let loop_of = |name: &str, callers: usize| {
        let sessions = (0..callers).map(|n| Session {
            name: format!("tenants/acme/sessions/{n}").into(),
            refresh_token: "a".repeat(REFRESH_TOKEN_BYTES),
        });
        let workload = Workload::new(backend.clone(), Sessions::of(sessions), Mix::REFRESH, 1);
        stand.closed_loop(name, workload, callers, length)
    };
    Ok(Limits {
        bare,
        echo_alone: loop_of("gRPC echo, one at a time", 1),
        echo_together: loop_of("gRPC echo, many at once", CALLERS),
        shared: of_shared,
    })
}

/// Measures what nodes share, `length` for each: the script below a prefix of its own, records through a
/// topic of its own.
fn of_shared(stand: &Stand<'_>, shared: &Shared, length: Duration) -> Result<OfShared, Failure> {
    let shown = stand.progress.wait("limits: the bare script");
    let (ms, callers) = (length.as_millis().to_string(), CALLERS.to_string());
    let mut measuring = vec!["bare-script", "--ms", &ms, "--callers", &callers];
    measuring.extend(["--redis", &shared.redis, "--kafka", &shared.kafka]);
    let (_, line) = Part::hear_first(&measuring, length * 4 + AROUND)?;
    let script = serde_json::from_str(&line)?;
    shown.finish();

    let shown = stand.progress.wait("limits: bare produce→consume");
    let records = RECORDS_RATE.saturating_mul(u32::try_from(length.as_secs())?);
    let mut log = BareLog::start(shared, f64::from(RECORDS_RATE), records)?;
    log.begin(log.earliest())?;
    let log = log.found()?;
    shown.finish();
    Ok(OfShared { script, log })
}

/// A refresh token of a node is about that long.
const REFRESH_TOKEN_BYTES: usize = 170;

/// An echo asks nobody who they are.
fn nobody() -> Identity {
    let text = str::to_owned;
    Identity {
        caller: text("backend"),
        secret: text("none"),
        tenant: text("acme"),
        client: text("web"),
        resource: text("orders"),
        scope: text("orders.read"),
    }
}

//! The command line: what can be measured, against which node, and where the report goes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

use crate::compare;
use crate::failure::Failure;
use crate::faults::fault::{Fault, Topology};
use crate::open_loop::Bounds;
use crate::part;
use crate::scenario;
use crate::schedule::{Schedule, Shape};
use crate::shared::SharedArgs;

/// Measures a Curfew node: open loop, latency from the intended time, physical limits beside it.
#[derive(Debug, Parser)]
#[command(name = "curfew-load", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Refreshes, by a schedule.
    Refresh(LoadArgs),
    /// 100 refreshes to 10 openings to 1 revocation, by a schedule.
    Mixed(LoadArgs),
    /// From the intended send of a revocation to the first refused request at each guard.
    RevokeToReject(RevokeArgs),
    /// What the machine itself allows: bare commits with fsync, one signature, empty gRPC calls.
    Limits(LimitsArgs),
    /// One node feeds many streams: what they cost it, and when a revocation is on each.
    Streams(StreamsArgs),
    /// What many sessions cost in memory, on disk, and at the start of the node.
    Capacity(CapacityArgs),
    /// Most of these, short: the limits, refreshes at the most, at three tenths and at half of it, a mixed
    /// load, and revocations to guards.
    Quick(QuickArgs),
    /// Injects random faults into real servers and nodes under a mixed load, and checks what is promised after each.
    Faults(FaultsArgs),
    /// Two reports side by side, with the ratio of each figure.
    Compare(CompareArgs),
    /// Commits and signatures in a process of their own; `limits` starts it.
    #[command(hide = true)]
    BareLimits {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        ms: u64,
        #[arg(long)]
        callers: u64,
    },
    /// The bare script on a Redis in a process of its own; `limits` starts it.
    #[command(hide = true)]
    BareScript {
        #[command(flatten)]
        shared: SharedArgs,
        #[arg(long)]
        ms: u64,
        #[arg(long)]
        callers: u64,
    },
    /// Bare records through a Kafka in a process of its own; `limits` and `revoke-to-reject` start it.
    #[command(hide = true)]
    BareLog {
        #[arg(long)]
        bootstrap: String,
        #[arg(long)]
        topic: String,
        #[arg(long)]
        rate: f64,
        #[arg(long)]
        records: u32,
    },
    /// A server that answers at once; `limits` starts it.
    #[command(hide = true)]
    Echo,
    /// One guard, told what to do on standard input; the former start it.
    #[command(hide = true)]
    Guard,
}

/// Which node.
#[derive(Args, Clone, Debug)]
pub(crate) struct NodeArgs {
    /// The `curfew` to start; by default the one beside this program.
    #[arg(long)]
    pub(crate) curfew: Option<PathBuf>,
    /// Where its data goes; must not hold a node yet. By default a temporary directory.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shared: SharedArgs,
    /// So many nodes on one Redis and one Kafka; sessions are spread over all.
    #[arg(long, default_value_t = 1, value_parser = nodes)]
    pub(crate) nodes: usize,
    /// A node that runs already: its gRPC address. Nothing is started then.
    #[arg(long, conflicts_with_all = ["curfew", "data", "redis", "kafka"], requires = "caller")]
    pub(crate) address: Option<String>,
    /// Who calls such a node; its roles: sessions.write, tokens.issue, revocations.write, revocations.read.
    #[arg(long, env = "CURFEW_CALLER")]
    pub(crate) caller: Option<String>,
    /// Its secret; an argument would show in process lists, so the environment gives it.
    #[arg(
        long = "secret-from-environment",
        env = "CURFEW_SECRET",
        hide = true,
        hide_env_values = true
    )]
    pub(crate) secret: Option<Secret>,
    /// The tenant's id there.
    #[arg(long, default_value = "acme")]
    pub(crate) tenant: String,
    /// The id of a public client there.
    #[arg(long, default_value = "web")]
    pub(crate) client: String,
    /// The id of a resource there.
    #[arg(long, default_value = "orders")]
    pub(crate) resource: String,
    /// A scope of that resource.
    #[arg(long, default_value = "orders.read")]
    pub(crate) scope: String,
}

/// A caller's secret: it is not printed.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is sent, and when.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Measure the physical limits first, so many seconds each, and tell every figure as a ratio to them.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) limits: Option<u64>,
    /// Requests a second; of a step schedule, of its last stair.
    #[arg(long, default_value_t = 1_000.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// How arrivals lie in time.
    #[arg(long, value_enum, default_value_t = Shape::Poisson)]
    pub(crate) schedule: Shape,
    /// Stairs of a step schedule.
    #[arg(long, default_value_t = 5)]
    pub(crate) stairs: u32,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Seconds before them that are not.
    #[arg(long, default_value_t = 3)]
    pub(crate) warm_up: u64,
    /// Sessions, one grant each, opened before.
    #[arg(long, default_value_t = 4_000)]
    pub(crate) sessions: u64,
    /// Requests under way at once; what exceeds it is not sent and counts as the time-out. A node of
    /// defaults lets in 1,024.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) in_flight: usize,
    /// Seconds after which a request is given up.
    #[arg(long, default_value_t = 10)]
    pub(crate) time_out: u64,
    /// HTTP/2 connections.
    #[arg(long, default_value_t = 4)]
    pub(crate) channels: usize,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl LoadArgs {
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            shape: self.schedule,
            rate: self.rate,
            length: Duration::from_secs(self.warm_up.saturating_add(self.seconds)),
            seed: self.seed,
            stairs: self.stairs,
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            in_flight_max: self.in_flight,
            time_out: Duration::from_secs(self.time_out),
            warm_up: Duration::from_secs(self.warm_up),
        }
    }
}

/// What is revoked, and who is to refuse it.
#[derive(Args, Clone, Debug)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Measure the physical limits first, so many seconds each, and tell every figure as a ratio to them.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) limits: Option<u64>,
    /// Guards, each a process of its own; several numbers are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,10", value_parser = guards)]
    pub(crate) guards: Vec<usize>,
    /// What guards follow; several are measured one after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "hub")]
    pub(crate) source: Vec<Source>,
    /// Revocations, each of another session.
    #[arg(long, default_value_t = 200)]
    pub(crate) revocations: u32,
    /// Revocations a second.
    #[arg(long, default_value_t = 20.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Seconds after which a guard that did not refuse never will; longer than the staleness bound.
    #[arg(long, default_value_t = 10)]
    pub(crate) time_out: u64,
    /// HTTP/2 connections of the back end.
    #[arg(long, default_value_t = 1)]
    pub(crate) channels: usize,
}

/// What a guard follows.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// A node's stream.
    #[default]
    Hub,
    /// The topic on Kafka itself; needs --kafka.
    Kafka,
}

/// How the physical limits are measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct LimitsArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) shared: SharedArgs,
    /// Seconds for each of them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// A directory on the disk that is measured; by default the one for temporary files.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
}

/// How long everything takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct QuickArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Sessions, one grant each, opened before.
    #[arg(long, default_value_t = 4_000)]
    pub(crate) sessions: u64,
    /// Seconds that are measured of each load; a fifth of them, at least one, is warm-up before.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Seconds for each physical limit.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) limits: u64,
    /// Loads, as parts of the most that the node does in a closed loop.
    #[arg(long, value_delimiter = ',', default_value = "0.3,0.5", value_parser = rate)]
    pub(crate) loads: Vec<f64>,
    /// Guards, each a process of its own; several numbers are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,10", value_parser = guards)]
    pub(crate) guards: Vec<usize>,
    /// Revocations for each number of guards.
    #[arg(long, default_value_t = 60)]
    pub(crate) revocations: u32,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How many streams.
#[derive(Args, Clone, Debug)]
pub(crate) struct StreamsArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Streams of one node, all in this process.
    #[arg(long, default_value = "1000", value_parser = streams)]
    pub(crate) streams: usize,
    /// Revocations, each of another session.
    #[arg(long, default_value_t = 60)]
    pub(crate) revocations: u32,
    /// Revocations a second.
    #[arg(long, default_value_t = 3.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Seconds after which a record that did not arrive never will.
    #[arg(long, default_value_t = 10)]
    pub(crate) time_out: u64,
    /// HTTP/2 connections.
    #[arg(long, default_value_t = 20)]
    pub(crate) channels: usize,
}

/// How many sessions.
#[derive(Args, Clone, Debug)]
pub(crate) struct CapacityArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Sessions, one grant each, of as many subjects.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) sessions: u64,
    /// HTTP/2 connections.
    #[arg(long, default_value_t = 4)]
    pub(crate) channels: usize,
}

/// Which faults, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct FaultsArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// No fault begins after so many minutes.
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    pub(crate) minutes: f64,
    /// And none after so many.
    #[arg(long)]
    pub(crate) faults_max: Option<u64>,
    /// Where chance begins: the same seed injects the same faults in the same order.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Layouts of the store, one after the other; by default all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) stores: Vec<Topology>,
    /// Faults to choose from; by default all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) faults: Vec<Fault>,
    /// Nodes on the store.
    #[arg(long, default_value_t = 2, value_parser = nodes)]
    pub(crate) nodes: usize,
    /// Faults before the next layout comes.
    #[arg(long, default_value_t = 8)]
    pub(crate) faults_each: u64,
    /// The `curfew` to start; by default the one beside this program.
    #[arg(long)]
    pub(crate) curfew: Option<PathBuf>,
}

/// Which reports.
#[derive(Args, Clone, Debug)]
pub(crate) struct CompareArgs {
    /// The JSON of the earlier run.
    pub(crate) a: PathBuf,
    /// The JSON of the later run.
    pub(crate) b: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// One to 64 nodes: each is a process of its own, on this machine.
fn nodes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=64) => Ok(count),
        Ok(_) | Err(_) => Err("a number of nodes from 1 to 64".to_owned()),
    }
}

/// One to 500 guards: a node lets in 512 subscribers of one caller.
fn guards(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=500) => Ok(count),
        Ok(_) | Err(_) => Err("a number of guards from 1 to 500".to_owned()),
    }
}

/// One to 10,000 streams: beyond, this process measures itself.
fn streams(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=10_000) => Ok(count),
        Ok(_) | Err(_) => Err("a number of streams from 1 to 10000".to_owned()),
    }
}

/// A rate that can be kept.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        Ok(_) | Err(_) => Err("a number above 0, at most 1000000".to_owned()),
    }
}

/// Where the result goes.
#[derive(Args, Clone, Debug)]
pub(crate) struct OutputArgs {
    /// Print the result as JSON; everything else goes to standard error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the result into this directory: JSON, and one HTML page that opens without a network.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
}

impl OutputArgs {
    /// Nowhere: the result becomes part of a larger one.
    pub(crate) const fn none() -> Self {
        Self {
            json: false,
            report: None,
        }
    }
}

/// Runs a command. A void run is no success: exit code 2.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Refresh(args) => scenario::load::refresh(&args),
        Command::Mixed(args) => scenario::load::mixed(&args),
        Command::RevokeToReject(args) => scenario::revoke::run(&args),
        Command::Limits(args) => scenario::limits::run(&args),
        Command::Streams(args) => scenario::streams::run(&args),
        Command::Capacity(args) => scenario::capacity::run(&args),
        Command::Quick(args) => scenario::quick::run(&args),
        Command::Faults(args) => scenario::faults::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::BareLimits { data, ms, callers } => {
            part::limits::run(&data, Duration::from_millis(ms), callers).map(|()| ExitCode::SUCCESS)
        }
        Command::BareScript { shared, ms, callers } => {
            let shared = shared
                .fresh()
                .ok_or("name the Redis with --redis, the Kafka with --kafka")?;
            part::script::run(&shared, Duration::from_millis(ms), callers).map(|()| ExitCode::SUCCESS)
        }
        Command::BareLog {
            bootstrap,
            topic,
            rate,
            records,
        } => {
            let order = part::pipe::Order {
                bootstrap,
                topic,
                rate,
                records,
            };
            part::pipe::run(&order).map(|()| ExitCode::SUCCESS)
        }
        Command::Echo => part::echo::run().map(|()| ExitCode::SUCCESS),
        Command::Guard => part::guard::run().map(|()| ExitCode::SUCCESS),
    }
}

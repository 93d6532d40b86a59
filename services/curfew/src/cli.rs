//! The command line: what can be asked, and how it ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{apply, bootstrap, demo, serve};

/// Where a node listens for HTTP, and so what its issuers are called, where nothing else is said.
pub(crate) const HTTP_DEFAULT: &str = "127.0.0.1:7480";

/// Whatever goes wrong below the command line.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sessions, refresh tokens and revocations that kill live access tokens.
#[derive(Debug, Parser)]
#[command(name = "curfew", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell the whole story with real tokens over real sockets, in a temporary directory.
    Demo {
        /// One JSON object a line; the last is the summary.
        #[arg(long)]
        json: bool,
    },
    /// Start a durable node.
    Serve(ServeArgs),
    /// Make the first administrator, if there is none, and print its secret once.
    Bootstrap {
        #[command(flatten)]
        data: DataArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Create what a file names, where it is not there yet; nothing is overwritten.
    Apply {
        /// The file (TOML).
        file: PathBuf,
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        caller: CallerArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Where a node keeps its data.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataArgs {
    /// The data directory; made 0700, its keys 0600.
    #[arg(long, env = "CURFEW_DATA", default_value = "./curfew-data")]
    pub(crate) data: PathBuf,
    /// The base address of the issuers that are made, a tenant's is `{base}/{name}`; it stays with
    /// them. By default the HTTP address.
    #[arg(long, env = "CURFEW_BASE_URL")]
    pub(crate) base_url: Option<String>,
}

/// Who asks: a caller with the role `admin`.
#[derive(Args, Clone)]
pub(crate) struct CallerArgs {
    /// The caller's id.
    #[arg(long, env = "CURFEW_CALLER", default_value = "admin")]
    pub(crate) caller: String,
    /// Its secret; an argument would show in process lists, so the environment gives it.
    #[arg(
        long = "secret-from-environment",
        env = "CURFEW_SECRET",
        hide = true,
        hide_env_values = true
    )]
    pub(crate) secret: String,
}

impl std::fmt::Debug for CallerArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CallerArgs({}, ..)", self.caller)
    }
}

/// How a node is started.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The gRPC address; plain text, so loopback only.
    #[arg(long, env = "CURFEW_GRPC", default_value = "127.0.0.1:7400")]
    pub(crate) grpc: SocketAddr,
    /// The HTTP address (keys, metadata, health, error catalogue); plain text, so loopback only.
    #[arg(long, env = "CURFEW_HTTP", default_value = HTTP_DEFAULT)]
    pub(crate) http: SocketAddr,
    /// The algorithm of new signing keys.
    #[arg(long, env = "CURFEW_SIGNING_ALGORITHM", default_value = "ES256", value_parser = ["ES256", "EdDSA"])]
    pub(crate) signing_algorithm: String,
    /// At the first start, make the first administrator and create what this file names.
    #[arg(long)]
    pub(crate) seed: Option<PathBuf>,
    /// Take this clock as right although the newest commit is stamped later.
    #[arg(long)]
    pub(crate) accept_clock: bool,
}

impl Cli {
    /// What is logged where `CURFEW_LOG` says nothing.
    pub(crate) const fn default_log(&self) -> &'static str {
        match self.command {
            Command::Serve(_) => "info",
            // People and programs read standard output there; what must wake somebody up still shows.
            Command::Demo { .. } => "off",
            Command::Bootstrap { .. } | Command::Apply { .. } => "warn",
        }
    }
}

/// Runs a command; its exit code tells.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Demo { json } => demo::run(json).await,
        Command::Serve(args) => serve::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Bootstrap { data, json } => bootstrap::run(&data, json).await.map(|()| ExitCode::SUCCESS),
        Command::Apply {
            file,
            data,
            caller,
            json,
        } => apply::run(&file, &data, &caller, json)
            .await
            .map(|()| ExitCode::SUCCESS),
    }
}

/// Prints an error with all its causes; the exit code of a command that failed.
pub(crate) fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprint!("curfew: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprint!(": {cause}");
        source = cause.source();
    }
    eprintln!();
    ExitCode::FAILURE
}

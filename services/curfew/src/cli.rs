//! The command line: what can be asked, and how it ends.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, ConfigArgs, ConfigCommand};
use crate::{apply, bootstrap, demo, serve};

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
        node: ConfigArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Judge or show what a node is told.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Create what a file names, where it is not there yet; nothing is overwritten.
    Apply {
        /// The file (TOML).
        file: PathBuf,
        #[command(flatten)]
        node: ConfigArgs,
        #[command(flatten)]
        caller: CallerArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
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
    pub(crate) node: ConfigArgs,
    /// The gRPC address (`grpc.listen`).
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) grpc: Option<String>,
    /// The HTTP address: keys, metadata, health, error catalogue (`http.listen`).
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<String>,
    /// The algorithm of new signing keys (`keys.signing_algorithm`).
    #[arg(long, value_name = "ALGORITHM")]
    pub(crate) signing_algorithm: Option<String>,
    /// At the first start, make the first administrator and create what this file names.
    #[arg(long, value_name = "FILE")]
    pub(crate) seed: Option<PathBuf>,
    /// Take this clock as right although the newest commit is stamped later.
    #[arg(long)]
    pub(crate) accept_clock: bool,
}

impl Cli {
    /// How it logs: a node as it is told, commands what must be known, where the environment says nothing else.
    pub(crate) fn log(&self) -> config::Log {
        let quiet = match &self.command {
            Command::Serve(args) => return config::log(&args.node),
            // People and programs read standard output there.
            Command::Demo { .. } => "off",
            Command::Bootstrap { .. } | Command::Apply { .. } | Command::Config(_) => "warn",
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the binary is what reads its environment"
        )]
        let said = std::env::var("CURFEW_LOG_FILTER");
        config::Log {
            filter: said.unwrap_or_else(|_| quiet.to_owned()),
            ..config::Log::default()
        }
    }
}

/// Runs a command; its exit code tells.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Demo { json } => demo::run(json).await,
        Command::Serve(args) => serve::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Config(command) => config::run(&command),
        Command::Bootstrap { node, json } => bootstrap::run(&node, json).await.map(|()| ExitCode::SUCCESS),
        Command::Apply {
            file,
            node,
            caller,
            json,
        } => apply::run(&file, &node, &caller, json)
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

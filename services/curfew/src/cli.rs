//! The command line: what can be asked, and how it ends.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::exit::Exit;
use crate::commands::{admin, fault, key, revoke, server, session, shell, token, watch};
use crate::config::{self, ConfigArgs, ConfigCommand};
use crate::{apply, bootstrap, demo, doctor, restore, serve};

/// Whatever goes wrong below the command line.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What `curfew --help` gathers under which heading; what stands nowhere comes last, under one of its own.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Run a node", &["demo", "serve", "config", "doctor"]),
    ("Set it up", &["bootstrap", "apply"]),
    (
        "Operate it",
        &["session", "token", "revoke", "watch", "key", "server"],
    ),
    ("After a loss", &["admin", "restore"]),
    ("For your shell", &["completions", "man", "help"]),
];

/// Sessions, refresh tokens and revocations that kill live access tokens.
#[derive(Debug, Parser)]
#[command(name = "curfew", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell the whole story with real tokens over real sockets, in a temporary directory.
    Demo {
        #[command(flatten)]
        servers: config::Servers,
        /// Print one JSON object a line; the last is the summary.
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
    /// Look for what is wrong with a node, or with a guard's settings, and say what mends it.
    Doctor(Box<doctor::Doctor>),
    /// Create what a file names, where it is not there yet; nothing is overwritten.
    Apply(apply::Apply),
    /// Look sessions up, and end them.
    Session(session::Session),
    /// Take tokens apart and say why they live or not; issue, renew and revoke them.
    Token(Box<token::Token>),
    /// End live tokens by any scope, and show how far that is.
    Revoke(Box<revoke::Revoke>),
    /// Follow revocations: those in force first, then each as it happens, until Ctrl-C.
    Watch(watch::Watch),
    /// Look at the keys that sign and tag tokens, rotate and revoke them.
    Key(key::Key),
    /// Ask a node what it is.
    Server(server::Server),
    /// Decide after a loss what no node may decide by itself.
    Admin(Box<admin::Admin>),
    /// Make a data directory of a copy: nothing from before is renewed, and nothing that was ended comes back.
    Restore(restore::Restore),
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page of `curfew`, or write those of all commands.
    Man {
        /// Write one page for each command into this directory; it is made where it is not there.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
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
    /// What this node does, with commas between: authority, hub, gateway, relay (`roles`).
    #[arg(long, value_name = "ROLES")]
    pub(crate) roles: Option<String>,
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
    pub(crate) fn telemetry(&self) -> curfew_telemetry::Settings {
        let quiet = match &self.command {
            Command::Serve(args) => return config::telemetry(&args.node),
            // People and programs read standard output there.
            Command::Demo { .. } => "off",
            Command::Bootstrap { .. } | Command::Apply(_) | Command::Config(_) => "warn",
            // What the guard would log is among the findings.
            Command::Doctor(_) => "off",
            Command::Session(_)
            | Command::Token(_)
            | Command::Revoke(_)
            | Command::Watch(_)
            | Command::Key(_)
            | Command::Admin(_)
            | Command::Restore(_)
            | Command::Server(_) => "off",
            Command::Completions { .. } | Command::Man { .. } => "off",
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the binary is what reads its environment"
        )]
        let said = std::env::var("CURFEW_LOG_FILTER");
        curfew_telemetry::Settings {
            log_filter: said.unwrap_or_else(|_| quiet.to_owned()),
            log_format: curfew_telemetry::LogFormat::Text,
            otlp: None,
        }
    }

    /// Whether errors are told as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match &self.command {
            Command::Demo { json, .. } | Command::Bootstrap { json, .. } => *json,
            Command::Config(command) => command.wants_json(),
            Command::Doctor(args) => args.wants_json(),
            Command::Apply(args) => args.json,
            Command::Session(args) => args.common.json,
            Command::Token(args) => args.common.json,
            Command::Revoke(args) => args.common.json,
            Command::Watch(args) => args.common.json,
            Command::Key(args) => args.common.json,
            Command::Server(args) => args.common.json,
            Command::Admin(args) => args.common.json,
            Command::Restore(args) => args.json,
            Command::Serve(_) | Command::Completions { .. } | Command::Man { .. } => false,
        }
    }
}

/// The command line as clap knows it, with the commands gathered under headings.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let help = grouped(&command);
    command.after_help(Exit::table()).help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{help}Options:\n{{options}}{{after-help}}"
    ))
}

fn grouped(command: &clap::Command) -> String {
    let commands: Vec<_> = command
        .get_subcommands()
        .filter(|one| !one.is_hide_set())
        .collect();
    let width = commands
        .iter()
        .map(|one| one.get_name().len())
        .max()
        .unwrap_or_default();
    let line = |one: &clap::Command| {
        let about = one.get_about().map(ToString::to_string).unwrap_or_default();
        format!("  {:<width$}  {about}\n", one.get_name())
    };
    let mut text = String::new();
    let mut group = |heading: &str, lines: String| {
        if !lines.is_empty() {
            text.push_str(&format!("{heading}:\n{lines}\n"));
        }
    };
    for (heading, names) in GROUPS {
        let of = |name: &&str| commands.iter().find(|one| one.get_name() == *name);
        group(
            heading,
            names.iter().filter_map(of).map(|one| line(one)).collect(),
        );
    }
    let is_elsewhere =
        |one: &&&clap::Command| GROUPS.iter().any(|(_, names)| names.contains(&one.get_name()));
    let others = commands.iter().filter(|one| !is_elsewhere(one));
    group("Other", others.map(|one| line(one)).collect());
    text
}

/// Reads the command line; a mistake in it ends the process, with 2.
pub(crate) fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Runs a command; its exit code tells.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        Command::Demo { servers, json } => demo::run(&servers, json).await,
        Command::Serve(args) => serve::run(args).await.map(done),
        Command::Bootstrap { node, json } => bootstrap::run(&node, json).await.map(done),
        Command::Config(command) => config::run(&command),
        Command::Doctor(args) => doctor::run(*args).await,
        Command::Apply(args) => apply::run(args).await.map(done),
        Command::Session(args) => session::run(args).await.map(done),
        Command::Token(args) => token::run(*args).await.map(ExitCode::from),
        Command::Revoke(args) => revoke::run(*args).await.map(done),
        Command::Watch(args) => watch::run(args).await.map(done),
        Command::Key(args) => key::run(args).await.map(done),
        Command::Server(args) => server::run(args).await.map(done),
        Command::Admin(args) => admin::run(*args).await.map(done),
        Command::Restore(args) => restore::run(args).await.map(done),
        Command::Completions { shell } => shell::completions(shell).map(done),
        Command::Man { out } => shell::man(out).map(done),
    }
}

/// Prints an error with what to do about it; the exit code of a command that failed.
pub(crate) fn fail(error: &(dyn std::error::Error + 'static), json: bool) -> ExitCode {
    fault::Told::of(error).print(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn no_argument_has_the_id_of_one_that_its_group_shares() {
        fn walk(command: &clap::Command, shared: &[String]) {
            let ids = |is_global: bool| {
                let all = command.get_arguments();
                let all = all.filter(move |arg| arg.is_global_set() == is_global);
                all.map(|arg| arg.get_id().to_string())
            };
            for id in ids(false) {
                assert!(!shared.contains(&id), "{} {id}", command.get_name());
            }
            let shared: Vec<_> = ids(true).chain(shared.iter().cloned()).collect();
            command.get_subcommands().for_each(|one| walk(one, &shared));
        }
        walk(&command(), &[]);
    }

    #[test]
    fn every_command_stands_in_the_help_once_and_every_option_is_explained() {
        fn walk(command: &clap::Command) {
            assert!(
                command.get_about().is_some(),
                "{} says nothing",
                command.get_name()
            );
            for arg in command.get_arguments() {
                assert!(
                    arg.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    arg.get_id()
                );
            }
            command.get_subcommands().for_each(walk);
        }
        let command = command();
        let help = grouped(&command);
        for one in command.get_subcommands() {
            let start = format!("  {} ", one.get_name());
            let lines = help.lines().filter(|line| line.starts_with(&start)).count();
            assert_eq!(lines, 1, "{}", one.get_name());
        }
        walk(&command);
    }
}

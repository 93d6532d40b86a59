//! `curfew doctor`: what is wrong with a node, or with a guard's settings, and the line that mends it.
//!
//! **Invariant:** it looks and changes nothing: no key is made, no file and no record is left, nobody is told a
//! secret.

mod finding;
mod guard;
mod local;
mod remote;
mod shared;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::Failure;
use crate::client::connection::Reach;
use crate::commands::exit::Exit;
use crate::commands::print;
use crate::config::ConfigArgs;
use finding::{Findings, State};

/// Looks at a node on this machine, at one elsewhere, or at a guard's settings.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Doctor {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    node: ConfigArgs,
    #[command(flatten)]
    reach: Reach,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Look at a guard's settings: issuers, key sets, audience, clock, hub, stale rule.
    Guard(guard::GuardArgs),
}

impl Doctor {
    /// Whether errors are told as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match &self.what {
            Some(What::Guard(args)) => args.json,
            None => self.json,
        }
    }
}

/// Looks; a fault ends it with 1.
pub(crate) async fn run(args: Doctor) -> Result<ExitCode, Failure> {
    let json = args.wants_json();
    let mut findings = Findings::default();
    match args.what {
        Some(What::Guard(guard)) => guard::look(&guard, &mut findings).await?,
        // Somebody else's node: nothing of this machine is meant. Servers that are named come before a node that
        // the environment names.
        None if args.reach.address.is_some() && args.node.servers.named().is_none() => {
            remote::look(&args.reach, &mut findings).await?
        }
        None => local::look(&args.node, &mut findings).await?,
    }
    if json {
        print::json(&findings.json())?;
    } else {
        print::text(&findings.text())?;
    }
    Ok(if findings.has(State::Fault) {
        Exit::Failed.into()
    } else {
        ExitCode::SUCCESS
    })
}

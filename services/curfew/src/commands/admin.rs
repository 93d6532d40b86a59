//! `curfew admin`: what only an operator may decide after a loss.
//!
//! A directory that is fenced knows no caller: with `--by-root-key` a command proves to hold the root key instead.

mod adopt_log;
mod open_partition;
mod partitions;
mod skip;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::recovery_service_client::RecoveryServiceClient;

use super::exit::Exit;
use super::fault::Fault;
use super::{Common, word};
use crate::cli::Failure;
use crate::client::{Calls, Credential, with};
use crate::config::{self, ConfigArgs, RootKeySource};

/// Decides what no node may decide by itself.
#[derive(Args, Clone, Debug)]
pub(crate) struct Admin {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Prove to hold the root key instead of naming a caller: it is taken as a node takes it, from
    /// CURFEW_KEYS_ROOT_KEY, from `keys.root_key_file` of `--config`, or from the data directory.
    #[arg(long, global = true, help_heading = "Connection")]
    by_root_key: bool,
    /// The node's configuration file, to find the root key with.
    #[arg(
        long,
        env = "CURFEW_CONFIG",
        global = true,
        value_name = "FILE",
        help_heading = "Connection"
    )]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List the partitions that do not serve, and the records that freeze freshness, with what to do about each.
    Partitions,
    /// Step over a record that nobody can read.
    Skip(skip::Skip),
    /// Open partitions of which something is lost, with a floor.
    OpenPartition(open_partition::OpenPartition),
    /// Take the topic that is there as the log, after the one before was lost.
    AdoptLog(adopt_log::AdoptLog),
}

pub(crate) async fn run(args: Admin) -> Result<(), Failure> {
    let service = args.open().await?;
    let common = &args.common;
    match args.verb {
        Verb::Partitions => partitions::run(common, service).await,
        Verb::Skip(skip) => skip::run(common, service, skip).await,
        Verb::OpenPartition(open) => open_partition::run(common, service, open).await,
        Verb::AdoptLog(adopt) => adopt_log::run(common, service, adopt).await,
    }
}

type Service = RecoveryServiceClient<Calls>;

impl Admin {
    async fn open(&self) -> Result<Service, Failure> {
        if !self.by_root_key {
            return Ok(RecoveryServiceClient::new(self.common.connection.open().await?));
        }
        let node = ConfigArgs {
            config: self.config.clone(),
            data: self
                .common
                .connection
                .data()
                .map(|data| data.display().to_string()),
            ..ConfigArgs::default()
        };
        let source = config::load(&node, &[])?.root_key;
        if let RootKeySource::FileOrNew(file) = &source
            && !file.exists()
        {
            let what = format!("there is no root key in {}", file.display());
            let fix = "say `--data`, or set CURFEW_KEYS_ROOT_KEY to the key that the nodes have";
            return Err(Fault::new(Exit::Unauthenticated, what).fix(fix).into());
        }
        let proof = source.key()?.proof();
        let address = self.common.connection.address()?;
        address.may_carry_credentials()?;
        let channel = self.common.connection.reach.dial(&address).await?;
        Ok(RecoveryServiceClient::new(with(
            channel,
            Credential::root(proof)?,
        )))
    }
}

/// A state, as people write it.
fn state(trouble: &pb::PartitionTrouble) -> String {
    word(trouble.state().as_str_name(), "PARTITION_STATE_")
}

/// Bytes as people copy them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The partitions as people write them: `3, 5-9`.
fn ranges(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.saturating_add(1) == number => *last = number,
            Some(_) | None => ranges.push((number, number)),
        }
    }
    let told = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_in_a_row_are_told_by_their_ends() {
        assert_eq!(ranges([]), "");
        assert_eq!(ranges([3, 5, 6, 7, 9, 10]), "3, 5-7, 9-10");
    }
}

//! `cargo xtask deps`: a real Redis and a real Kafka that stay until they are told to go.
//!
//! **Invariant:** what runs is asked of the system, not of our file: a server is there if its process is.

mod install;
mod state;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use curfew_servers::{
    ClusterOptions, Kafka, KafkaOptions, Redis, RedisCluster, RedisOptions, SentinelOptions, Sentinels,
    kill_all_in, running_in,
};
use indicatif::ProgressBar;

use crate::error::Failed;
use crate::workspace::Workspace;
use state::{Held, State, Topology};

/// How often the sign of life moves.
const TICK: Duration = Duration::from_millis(100);

#[derive(Args, Debug)]
pub(crate) struct Deps {
    /// Where they keep their files; `deps` in the build directory if not given.
    #[arg(long, global = true)]
    directory: Option<PathBuf>,
    /// Prints JSON to standard output; everything else goes to standard error.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Starts a Redis and a Kafka on free ports of 127.0.0.1; installs what is missing.
    Up {
        /// Six nodes of a Redis Cluster and three brokers instead of one and one.
        #[arg(long)]
        cluster: bool,
        /// A master, two replicas and three Sentinels instead of one Redis.
        #[arg(long, conflicts_with = "cluster")]
        sentinel: bool,
    },
    /// Kills them and removes their data.
    Down,
    /// Tells what runs.
    Status,
}

pub(crate) fn run(workspace: &Workspace, deps: &Deps) -> Result<(), Failed> {
    let directory = deps
        .directory
        .clone()
        .unwrap_or_else(|| workspace.target.join("deps"));
    let held = Held::take(&directory)?;
    match deps.command {
        Command::Up { cluster, sentinel } => up(&held, Topology::of(cluster, sentinel), deps.json),
        Command::Down => down(&held, deps.json),
        Command::Status => status(&held, deps.json),
    }
}

fn up(held: &Held, topology: Topology, json: bool) -> Result<(), Failed> {
    let running = running_in(held.path())?;
    if let Some(state) = held.state()? {
        let missing = state.missing(&running);
        if missing.is_empty() {
            if state.topology != topology {
                return Err(Failed::Said(
                    "something else runs: `cargo xtask deps down` first".to_owned(),
                ));
            }
            eprintln!("runs already; `cargo xtask deps down` ends it");
            return state.print(json);
        }
        if !running.is_empty() {
            return Err(Failed::Said(format!(
                "gone: {}; `cargo xtask deps down` removes the rest",
                missing.join(", ")
            )));
        }
        eprintln!("none of what was started runs any more: starting afresh");
    }
    // Of a start that was interrupted, or of a machine that was switched off.
    kill_all_in(held.path())?;
    held.clear()?;
    install::what_is_missing()?;
    let state = match start(held.path(), topology) {
        Ok(state) => state,
        Err(failed) => {
            kill_all_in(held.path())?;
            held.clear()?;
            return Err(failed);
        }
    };
    held.write(&state)?;
    state.print(json)
}

fn start(directory: &Path, topology: Topology) -> Result<State, Failed> {
    let mut state = State::new(topology);
    let place = |name: &str| Some(directory.join(name));
    waiting("starting Redis", || {
        match topology {
            Topology::Single => {
                let redis = Redis::start_with(&RedisOptions {
                    stays_in: place("redis"),
                    ..RedisOptions::default()
                })?;
                state.redis = vec![redis.url()];
                state.servers.push(redis.leave());
            }
            Topology::Cluster => {
                let cluster = RedisCluster::start_with(&ClusterOptions {
                    stays_in: place("cluster"),
                    ..ClusterOptions::default()
                })?;
                state.redis = cluster.urls();
                state.servers.extend(cluster.leave());
            }
            Topology::Sentinel => {
                let sentinels = Sentinels::start_with(&SentinelOptions {
                    stays_in: place("sentinel"),
                    ..SentinelOptions::default()
                })?;
                state.redis = vec![sentinels.redis(sentinels.master()?)?.url()];
                state.master = Some(sentinels.name().to_owned());
                state.sentinels = sentinels.urls();
                state.servers.extend(sentinels.leave());
            }
        }
        Ok(())
    })?;
    waiting("starting Kafka (44 MB are fetched the first time)", || {
        let kafka = Kafka::start_with(&KafkaOptions {
            brokers: topology.brokers(),
            stays_in: place("kafka"),
            ..KafkaOptions::default()
        })?;
        state.kafka = kafka.bootstrap();
        state.servers.extend(kafka.leave());
        Ok(())
    })?;
    Ok(state)
}

/// One of each, that end when they are dropped.
pub(crate) fn for_a_while() -> Result<(Redis, Kafka), Failed> {
    install::what_is_missing()?;
    let redis = waiting("starting Redis", || Ok(Redis::start()?))?;
    let kafka = waiting("starting Kafka (44 MB are fetched the first time)", || {
        Ok(Kafka::start()?)
    })?;
    Ok((redis, kafka))
}

/// What real servers need, where it is not there yet.
pub(crate) fn install_what_is_missing() -> Result<(), Failed> {
    install::what_is_missing()
}

fn down(held: &Held, json: bool) -> Result<(), Failed> {
    let ended = kill_all_in(held.path())?;
    held.clear()?;
    if json {
        println!("{}", serde_json::json!({ "ended": ended }));
    } else {
        println!("{ended} servers ended, their data is removed");
    }
    Ok(())
}

fn status(held: &Held, json: bool) -> Result<(), Failed> {
    let running = running_in(held.path())?;
    let Some(state) = held.state()? else {
        // What an interrupted start left behind is told too.
        if json {
            println!("{}", serde_json::json!({ "running": false, "strays": running }));
        } else if running.is_empty() {
            println!("nothing runs; `cargo xtask deps up` starts a Redis and a Kafka");
        } else {
            println!("a start was interrupted: `cargo xtask deps down` ends what it left");
        }
        return Ok(());
    };
    state.print_with(&running, json)?;
    let missing = state.missing(&running);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failed::Said(format!("gone: {}", missing.join(", "))))
}

/// Does it with a sign of life on the terminal; a pipe or a file gets none of it.
fn waiting<T>(what: &'static str, work: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(TICK);
    let done = work();
    spinner.finish_and_clear();
    done
}

/// Removes a directory that may not be there.
fn remove(directory: &Path) -> Result<(), Failed> {
    match fs::remove_dir_all(directory) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Failed::Write {
            path: directory.to_owned(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

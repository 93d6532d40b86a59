//! `capacity`: what so many sessions, one grant each, cost a node in memory, on disk, and at its start.
//!
//! **Invariant:** disk is what the file system gave, not what a file says of its length; the node that is
//! started again is the same one, after an orderly stop.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::cli::CapacityArgs;
use crate::clock::Mono;
use crate::failure::Failure;
use crate::fill::fill;
use crate::node::Node;
use crate::scenario::stage::Stage;
use crate::servers::{Kind, RedisLook};
use crate::usage::Usage;

/// What was found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Capacity {
    pub(crate) sessions: u64,
    /// Sessions opened a second, two calls each.
    pub(crate) opened_per_s: f64,
    /// Memory of a node that nobody has asked anything yet.
    pub(crate) rss_idle_mib: f64,
    /// Memory after all sessions were opened.
    pub(crate) rss_full_mib: f64,
    /// Memory after the start with all sessions.
    pub(crate) rss_started_mib: f64,
    pub(crate) disk_empty_bytes: u64,
    pub(crate) disk_full_bytes: u64,
    /// The difference, for each session.
    pub(crate) disk_each_bytes: f64,
    /// From the start of the process until it was ready: without a session, and with all of them.
    pub(crate) start_empty_s: f64,
    pub(crate) start_full_s: f64,
    /// In Redis, where nodes share their state.
    #[serde(default)]
    pub(crate) redis: Option<Held>,
}

/// What lies in Redis.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    /// `used_memory` without a session, and with all of them.
    pub(crate) empty_bytes: f64,
    pub(crate) full_bytes: f64,
    /// The difference, for each session.
    pub(crate) each_bytes: f64,
    /// Of the process at the end.
    pub(crate) rss_bytes: f64,
    /// Where the bytes are.
    pub(crate) kinds: Vec<Kind>,
}

impl Held {
    fn of(empty: &RedisLook, full: &RedisLook, sessions: u64, kinds: Vec<Kind>) -> Self {
        let (empty_bytes, full_bytes) = (empty.used_memory_bytes, full.used_memory_bytes);
        Self {
            empty_bytes,
            full_bytes,
            each_bytes: (full_bytes - empty_bytes) / sessions.max(1) as f64,
            rss_bytes: full.rss_bytes,
            kinds,
        }
    }
}

pub(crate) fn run(args: &CapacityArgs) -> Result<ExitCode, Failure> {
    let mut stage = Stage::set("capacity", &args.node, args.channels)?;
    let (Some(node), Some(setup)) = (stage.nodes.pop(), stage.setup.clone()) else {
        return Err("`capacity` stops and starts the node: it needs one of its own, not --address".into());
    };
    if !stage.nodes.is_empty() {
        return Err("`capacity` looks at one node: leave --nodes out".into());
    }
    let data = setup.data.clone();
    let memory = |node: &Node| Usage::of(node.pid()).map_or(0.0, |usage| usage.rss_mib);
    let (rss_idle_mib, start_empty_s) = (memory(&node), node.start_up.as_secs_f64());
    let disk_empty_bytes = disk_bytes(&data)?;
    let look = |stage: &Stage| stage.servers.as_ref().and_then(|servers| servers.redis());
    let redis_empty = look(&stage);

    let shown = stage.progress.count("open sessions", args.sessions);
    let begun = Mono::now();
    let filling = fill(&stage.backend, args.sessions, shown.counter(), |_| ());
    stage.runtime.block_on(filling)?;
    let seconds = Mono::now().since(begun).as_secs_f64();
    shown.finish();
    let rss_full_mib = memory(&node);
    let redis = match (redis_empty, look(&stage), &stage.servers) {
        (Some(empty), Some(full), Some(servers)) => {
            Some(Held::of(&empty, &full, args.sessions, servers.kinds()?))
        }
        (_, _, _) => None,
    };
    node.stop();
    let disk_full_bytes = disk_bytes(&data)?;

    let node = setup.start(1)?;
    stage.sampler.add("node, started again", vec![node.pid()]);
    stage.report.capacity = Some(Capacity {
        sessions: args.sessions,
        opened_per_s: args.sessions as f64 / seconds,
        rss_idle_mib,
        rss_full_mib,
        rss_started_mib: memory(&node),
        disk_empty_bytes,
        disk_full_bytes,
        disk_each_bytes: disk_full_bytes.saturating_sub(disk_empty_bytes) as f64 / args.sessions as f64,
        start_empty_s,
        start_full_s: node.start_up.as_secs_f64(),
        redis,
    });
    stage.nodes.push(node);
    stage.end(&args.output)
}

/// What a directory's files take, and those of directories in it.
fn disk_bytes(directory: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            // Of 512 bytes, whatever the file system's own are.
            metadata.blocks() * 512
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_is_counted_through_directories_and_a_hole_costs_nothing() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("in")).unwrap();
        std::fs::write(home.path().join("in/file"), vec![7; 1 << 16]).unwrap();
        let hole = std::fs::File::create(home.path().join("hole")).unwrap();
        hole.set_len(1 << 30).unwrap();
        let bytes = disk_bytes(home.path()).unwrap();
        assert!(((1 << 16)..(1 << 20)).contains(&bytes), "{bytes}");
    }
}

//! What was started, in a file beside it.
//!
//! **Invariant:** one command at a time works in the directory: it is held by a lock.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use curfew_servers::Left;
use serde::{Deserialize, Serialize};

use super::remove;
use crate::error::Failed;

/// What is started together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Topology {
    Single,
    Cluster,
    Sentinel,
}

impl Topology {
    pub(super) fn of(cluster: bool, sentinel: bool) -> Self {
        match (cluster, sentinel) {
            (true, _) => Self::Cluster,
            (false, true) => Self::Sentinel,
            (false, false) => Self::Single,
        }
    }

    pub(super) fn brokers(self) -> usize {
        match self {
            Self::Single | Self::Sentinel => 1,
            Self::Cluster => 3,
        }
    }
}

/// What was started.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) topology: Topology,
    /// The Redis; the master of Sentinels; every node of a cluster.
    pub(super) redis: Vec<String>,
    /// The name by which Sentinels know the master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) master: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sentinels: Vec<String>,
    /// With commas between three.
    pub(super) kafka: String,
    pub(super) servers: Vec<Left>,
}

impl State {
    pub(super) fn new(topology: Topology) -> Self {
        Self {
            topology,
            redis: Vec::new(),
            master: None,
            sentinels: Vec::new(),
            kafka: String::new(),
            servers: Vec::new(),
        }
    }

    /// Those of which no process runs, in words.
    pub(super) fn missing(&self, running: &[u32]) -> Vec<String> {
        let gone = self
            .servers
            .iter()
            .filter(|server| !running.contains(&server.pid));
        gone.map(|server| format!("{} on port {}", server.name, server.port))
            .collect()
    }

    /// Where they are, a line each.
    pub(super) fn print(&self, json: bool) -> Result<(), Failed> {
        if json {
            return self.print_json(None);
        }
        self.print_addresses();
        Ok(())
    }

    /// Where they are, and each process.
    pub(super) fn print_with(&self, running: &[u32], json: bool) -> Result<(), Failed> {
        if json {
            return self.print_json(Some(self.missing(running).is_empty()));
        }
        self.print_addresses();
        for server in &self.servers {
            let runs = if running.contains(&server.pid) {
                "runs"
            } else {
                "GONE"
            };
            println!(
                "{runs}  pid {:<8} port {:<6} {}",
                server.pid, server.port, server.name
            );
        }
        Ok(())
    }

    fn print_addresses(&self) {
        for url in &self.redis {
            println!("{url}");
        }
        if let Some(master) = &self.master {
            let addresses: Vec<_> = self
                .sentinels
                .iter()
                .map(|url| url.trim_start_matches("redis://"))
                .collect();
            println!("sentinel {} master {master}", addresses.join(","));
        }
        println!("kafka {}", self.kafka);
    }

    fn print_json(&self, running: Option<bool>) -> Result<(), Failed> {
        let malformed = |error: serde_json::Error| Failed::Said(format!("cannot write JSON: {error}"));
        let mut value = serde_json::to_value(self).map_err(malformed)?;
        if let (Some(running), Some(fields)) = (running, value.as_object_mut()) {
            fields.insert("running".to_owned(), running.into());
        }
        println!("{value}");
        Ok(())
    }
}

/// The directory, ours until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    /// As processes name it: absolute, without links.
    directory: PathBuf,
    _lock: File,
}

impl Held {
    pub(super) fn take(directory: &Path) -> Result<Self, Failed> {
        let wrong = |source| Failed::Write {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(wrong)?;
        let directory = directory.canonicalize().map_err(wrong)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("lock"))
            .map_err(wrong)?;
        if lock.try_lock().is_err() {
            return Err(Failed::Said(
                "another `cargo xtask deps` is at work: wait for it".to_owned(),
            ));
        }
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// What was started here, where something was.
    pub(super) fn state(&self) -> Result<Option<State>, Failed> {
        let path = self.file();
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|source| Failed::Read {
            path: path.clone(),
            source,
        })?;
        let state = serde_json::from_str(&text).map_err(|error| Failed::Malformed {
            path,
            what: format!("{error}; `cargo xtask deps down` removes it"),
        })?;
        Ok(Some(state))
    }

    pub(super) fn write(&self, state: &State) -> Result<(), Failed> {
        let path = self.file();
        let text = serde_json::to_string_pretty(state)
            .map_err(|error| Failed::Said(format!("cannot write JSON: {error}")))?;
        fs::write(&path, text).map_err(|source| Failed::Write { path, source })
    }

    /// Removes what servers left, and the file.
    pub(super) fn clear(&self) -> Result<(), Failed> {
        for name in ["redis", "cluster", "sentinel", "kafka"] {
            remove(&self.directory.join(name))?;
        }
        let path = self.file();
        if path.exists() {
            fs::remove_file(&path).map_err(|source| Failed::Write { path, source })?;
        }
        Ok(())
    }

    fn file(&self) -> PathBuf {
        self.directory.join("state.json")
    }
}

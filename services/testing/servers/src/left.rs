//! Servers that were left running, found again by the directory that they keep their files in.
//!
//! **Invariant:** a process is ours only if it is a server of ours *and* its command line names our directory:
//! its number alone may be somebody else's by now.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::clock::Deadline;
use crate::error::Error;
use crate::program::{JAVA, REDIS_SERVER};

/// Where Linux shows its processes.
const PROCESSES: &str = "/proc";
/// A killed process is gone when its memory is; a broker has little.
const GONE_LIMIT: Duration = Duration::from_secs(30);

/// A server that runs on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Left {
    /// What it is.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

/// The processes of servers of ours that keep their files in this directory.
///
/// # Errors
/// This system does not show its processes.
pub fn running_in(directory: &Path) -> Result<Vec<u32>, Error> {
    let entries = fs::read_dir(PROCESSES).map_err(Error::file("read", PROCESSES))?;
    let mut running = Vec::new();
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // It may have ended since it was listed; then it does not run.
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if let Some(pid) = pid
            && is_ours(&String::from_utf8_lossy(&command), directory)
        {
            running.push(pid);
        }
    }
    Ok(running)
}

/// Kills them all, and waits until they are gone; how many there were.
///
/// # Errors
/// This system does not show its processes, or one could not be killed.
pub fn kill_all_in(directory: &Path) -> Result<usize, Error> {
    let running = running_in(directory)?;
    for pid in &running {
        // Each leads a group of its own, with the children that it started.
        if let Some(group) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    let deadline = Deadline::after(GONE_LIMIT);
    while !running.iter().all(|pid| has_ended(*pid)) {
        if !deadline.pause() {
            return Err(Error::Options(
                "a server of ours cannot be killed: it is somebody else's",
            ));
        }
    }
    Ok(running.len())
}

/// Whether it is gone, or dead and only not yet asked for by its parent: its ports are free by then.
///
/// A killed process loses its command line first, then its first thread dies, and its last thread gives up the ports.
fn has_ended(pid: u32) -> bool {
    let process = Path::new(PROCESSES).join(pid.to_string());
    let Ok(stat) = fs::read_to_string(process.join("stat")) else {
        return true;
    };
    // `12345 (java) Z 1 …`; a name may have blanks and brackets, and what follows the last bracket is the state.
    let state = stat.rsplit(") ").next().unwrap_or_default();
    let threads = fs::read_dir(process.join("task")).map_or(0, Iterator::count);
    state.starts_with(['Z', 'X']) && threads <= 1
}

/// Words end with a zero byte.
fn is_ours(command: &str, directory: &Path) -> bool {
    let mut words = command.split('\0');
    let program = words.next().and_then(|word| Path::new(word).file_name());
    let is_server = [REDIS_SERVER, JAVA]
        .iter()
        .any(|server| program.is_some_and(|program| program == server.name));
    is_server && words.any(|word| Path::new(word).starts_with(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_names_the_directory_is_ours() {
        let directory = Path::new("/a/deps");
        for (command, ours) in [
            ("redis-server\0/a/deps/redis/redis.conf\0", true),
            (
                "/usr/bin/java\0-cp\0x\0kafka.Kafka\0/a/deps/kafka/broker-1/server.properties\0",
                true,
            ),
            ("redis-server\0/a/deps-of-another/redis.conf\0", false),
            ("redis-server\0*:6379\0", false),
            ("vi\0/a/deps/redis/redis.conf\0", false),
            ("", false),
        ] {
            assert_eq!(is_ours(command, directory), ours, "{command}");
        }
    }
}

//! Which processes of this machine listen at an address.
//!
//! **Invariant:** a server elsewhere has no process here, whatever listens on the same port.

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs as _};

use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
use procfs::process::{FDTarget, all_processes};

/// The processes that listen at any of `host:port`, with commas between; none where they cannot be seen.
pub(super) fn pids(addresses: &str) -> Vec<u32> {
    let ports: BTreeSet<u16> = addresses.split(',').filter_map(local_port).collect();
    let sockets: BTreeSet<u64> = [tcp(), tcp6()]
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry: &TcpNetEntry| {
            entry.state == TcpState::Listen && ports.contains(&entry.local_address.port())
        })
        .map(|entry| entry.inode)
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let processes = all_processes().into_iter().flatten().flatten();
    let listening = processes.filter(|process| {
        let files = process.fd().into_iter().flatten().flatten();
        files
            .into_iter()
            .any(|file| matches!(file.target, FDTarget::Socket(inode) if sockets.contains(&inode)))
    });
    listening
        .filter_map(|process| u32::try_from(process.pid).ok())
        .collect()
}

/// The port, where the host is this machine's loopback.
fn local_port(address: &str) -> Option<u16> {
    // A database number may follow.
    let address = address.split('/').next()?;
    let mut found = address.to_socket_addrs().ok()?;
    found
        .find(|found| match found.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        })
        .map(|found| found.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_is_found_and_a_server_elsewhere_is_not_looked_for() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(pids(&format!("127.0.0.1:{port}/0")), [std::process::id()]);
        assert_eq!(pids(&format!("192.0.2.1:{port}")), Vec::<u32>::new());
        assert_eq!(pids("no address"), Vec::<u32>::new());
    }
}

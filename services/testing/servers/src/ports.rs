//! Ports that nobody else takes while we hold them.
//!
//! A port that was bound and let go again could be given to somebody before the server binds it.
//! So ports are taken below those that the system gives out by itself, and each is held by a lock on a file.
//!
//! **Invariant:** two leases of one user never name the same port, in whichever processes they are.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};

use crate::cache;
use crate::error::Error;

/// Below 32,768, where Linux begins to give ports to outgoing connections; above what services are known by.
const FIRST: u16 = 12_000;
const LAST: u16 = 31_999;

/// A port on 127.0.0.1, ours until this is dropped: a server may be killed and bind it again.
#[derive(Debug)]
pub struct Lease {
    port: u16,
    /// Locked; the system lets go of it with the process.
    _lock: File,
}

impl Lease {
    /// Takes one that is free.
    ///
    /// # Errors
    /// None is.
    pub fn take() -> Result<Self, Error> {
        let locks = cache::directory("ports")?;
        let span = LAST.saturating_sub(FIRST).saturating_add(1);
        // From a place by chance, so that those who start together do not all try the same.
        let start = fastrand::u16(0..span);
        for step in 0..span {
            let offset = (u32::from(start) + u32::from(step)) % u32::from(span);
            let port = FIRST.saturating_add(u16::try_from(offset).unwrap_or(0));
            let path = locks.join(port.to_string());
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(Error::file("open", &path))?;
            if lock.try_lock().is_ok() && is_free(port) {
                return Ok(Self { port, _lock: lock });
            }
        }
        Err(Error::NoPort {
            first: FIRST,
            last: LAST,
        })
    }

    /// Its number.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_leased_once() {
        let leases: Vec<_> = (0..200).map(|_| Lease::take().unwrap()).collect();
        let mut ports: Vec<_> = leases.iter().map(Lease::port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), leases.len());
        assert!(ports.iter().all(|port| (FIRST..=LAST).contains(port)));
    }

    #[test]
    fn a_leased_port_can_be_bound_by_its_server() {
        let lease = Lease::take().unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, lease.port())).unwrap();
    }
}

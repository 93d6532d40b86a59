//! A TCP proxy before one Redis that can keep some of its peers from it: a network that fails, without its rights.
//!
//! Who connects is seen from what he says first: a replica wants to follow, a Sentinel gives its name; all others are
//! clients. So one port, the one that everybody is told, can be open to clients while it is dead to replicas.
//! Only plain text can be seen.
//!
//! **Invariant:** what is held is delivered late or never, and never in another order; a cut drops what was held.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;

use crate::error::Error;
use crate::ports::Lease;

/// Whoever says nothing of himself in so many reads is a client.
const LOOKS_MAX: usize = 16;
/// Of one read.
const CHUNK: usize = 64 * 1024;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Whoever is nothing else.
    Client,
    /// A replica that follows this Redis.
    Replica,
    /// A Sentinel that watches it.
    Sentinel,
}

impl Peer {
    const ALL: [Self; 3] = [Self::Client, Self::Replica, Self::Sentinel];

    const fn index(self) -> u8 {
        match self {
            Self::Client => 0,
            Self::Replica => 1,
            Self::Sentinel => 2,
        }
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the peer to the Redis.
    ToServer,
    /// From the Redis to the peer.
    FromServer,
}

/// What happens to the bytes of one kind of peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Gate {
    holds_to_server: bool,
    holds_from_server: bool,
    is_cut: bool,
}

/// A proxy on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    lease: Lease,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    target: OnceLock<u16>,
    gates: Mutex<[Gate; 3]>,
    changed: Condvar,
    open: Mutex<Vec<Weak<Connection>>>,
    is_over: AtomicBool,
}

#[derive(Debug)]
struct Connection {
    near: TcpStream,
    far: TcpStream,
    peer: AtomicU8,
}

impl Proxy {
    /// On a free port of 127.0.0.1, before nothing yet.
    pub(crate) fn start() -> Result<Self, Error> {
        let lease = Lease::take()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lease.port())).map_err(broken)?;
        let shared = Arc::new(Shared::default());
        let serving = shared.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                if serving.is_over.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(near) = near {
                    let serving = serving.clone();
                    // Whoever cannot be led on is let go.
                    thread::spawn(move || serving.lead(near).ok());
                }
            }
        });
        Ok(Self { lease, shared })
    }

    /// Before a server that listens there.
    ///
    /// # Errors
    /// No port is free.
    pub fn before(port: u16) -> Result<Self, Error> {
        let proxy = Self::start()?;
        proxy.lead_to(port);
        Ok(proxy)
    }

    /// Where it leads, once; connections before that are closed.
    pub(crate) fn lead_to(&self, port: u16) {
        // It is said once, by whoever started the server.
        let _ = self.shared.target.set(port);
    }

    /// Where to connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.lease.port()
    }

    /// Bytes of these peers in this direction wait from now on; connections stay.
    pub fn hold(&self, peer: Peer, direction: Direction) {
        self.shared.change(peer, |gate| match direction {
            Direction::ToServer => gate.holds_to_server = true,
            Direction::FromServer => gate.holds_from_server = true,
        });
    }

    /// Connections of these peers are closed, new ones too; what was held for them is lost.
    pub fn cut(&self, peer: Peer) {
        self.shared.change(peer, |gate| gate.is_cut = true);
        for connection in self.shared.connections() {
            if connection.peer.load(Ordering::Relaxed) == peer.index() {
                connection.close();
            }
        }
    }

    /// Everybody passes again.
    pub fn mend(&self) {
        for peer in Peer::ALL {
            self.shared.change(peer, |gate| *gate = Gate::default());
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for peer in Peer::ALL {
            self.cut(peer);
        }
        // Wakes the listener, which sees that it is over.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())));
    }
}

impl Shared {
    fn gates(&self) -> MutexGuard<'_, [Gate; 3]> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, peer: Peer, change: impl FnOnce(&mut Gate)) {
        if let Some(gate) = self.gates().get_mut(usize::from(peer.index())) {
            change(gate);
        }
        self.changed.notify_all();
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let living: Vec<_> = open.iter().filter_map(Weak::upgrade).collect();
        *open = living.iter().map(Arc::downgrade).collect();
        living
    }

    /// Leads one connection on until either end closes it.
    fn lead(self: Arc<Self>, near: TcpStream) -> io::Result<()> {
        let port = *self.target.get().ok_or(io::ErrorKind::NotConnected)?;
        let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let connection = Arc::new(Connection {
            near,
            far,
            peer: AtomicU8::new(Peer::Client.index()),
        });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(Arc::downgrade(&connection));
        drop(open);
        let (shared, answering) = (self.clone(), connection.clone());
        thread::spawn(move || shared.pump(&answering, Direction::FromServer));
        self.pump(&connection, Direction::ToServer);
        Ok(())
    }

    fn pump(&self, connection: &Connection, direction: Direction) {
        let (mut from, mut to) = match direction {
            Direction::ToServer => (&connection.near, &connection.far),
            Direction::FromServer => (&connection.far, &connection.near),
        };
        let mut buffer = vec![0; CHUNK];
        let mut looks = 0;
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let chunk = buffer.get(..length).unwrap_or_default();
            if direction == Direction::ToServer && looks < LOOKS_MAX {
                looks = looks.saturating_add(1);
                if let Some(peer) = peer_that_says(chunk) {
                    connection.peer.store(peer.index(), Ordering::Relaxed);
                }
            }
            if !self.passes(connection, direction) || to.write_all(chunk).is_err() {
                break;
            }
        }
        // Nor does the end of a connection come through while it is held.
        let _ = self.passes(connection, direction);
        connection.close();
    }

    /// Waits for as long as bytes of this connection are held; `false`: it is cut.
    fn passes(&self, connection: &Connection, direction: Direction) -> bool {
        let mut gates = self.gates();
        loop {
            let index = usize::from(connection.peer.load(Ordering::Relaxed));
            let gate = gates.get(index).copied().unwrap_or_default();
            let is_held = match direction {
                Direction::ToServer => gate.holds_to_server,
                Direction::FromServer => gate.holds_from_server,
            };
            if gate.is_cut || self.is_over.load(Ordering::Relaxed) {
                return false;
            }
            if !is_held {
                return true;
            }
            gates = self.changed.wait(gates).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Connection {
    /// The other pump ends too: both ends are gone.
    fn close(&self) {
        // Either may be closed already.
        let _ = self.near.shutdown(Shutdown::Both);
        let _ = self.far.shutdown(Shutdown::Both);
    }
}

fn peer_that_says(chunk: &[u8]) -> Option<Peer> {
    let says = |word: &[u8]| chunk.windows(word.len()).any(|at| at.eq_ignore_ascii_case(word));
    if says(b"REPLCONF") || says(b"PSYNC") {
        return Some(Peer::Replica);
    }
    // `CLIENT SETNAME sentinel-0123abcd-cmd`
    says(b"sentinel-").then_some(Peer::Sentinel)
}

fn broken(source: io::Error) -> Error {
    Error::Start {
        program: "a proxy".to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Sends back whatever comes.
    fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || io::copy(&mut &stream, &mut &stream).ok());
            }
        });
        port
    }

    fn connect(proxy: &Proxy, hello: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        stream.write_all(hello).unwrap();
        stream
    }

    fn hear(stream: &mut TcpStream, length: usize) -> Option<Vec<u8>> {
        let mut heard = vec![0; length];
        stream.read_exact(&mut heard).ok().map(|()| heard)
    }

    /// Nothing arrives for a while; it cannot be told from a slow machine, and only makes the test weaker there.
    fn is_silent(stream: &mut TcpStream) -> bool {
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let silent = hear(stream, 1).is_none();
        stream.set_read_timeout(None).unwrap();
        silent
    }

    #[test]
    fn what_is_held_for_replicas_arrives_late_and_clients_notice_nothing() {
        let proxy = Proxy::before(echo()).unwrap();
        let mut replica = connect(&proxy, b"PSYNC");
        assert_eq!(hear(&mut replica, 5).unwrap(), b"PSYNC");
        proxy.hold(Peer::Replica, Direction::FromServer);
        let mut client = connect(&proxy, b"GET");
        assert_eq!(hear(&mut client, 3).unwrap(), b"GET");
        replica.write_all(b"ack").unwrap();
        assert!(is_silent(&mut replica));
        proxy.mend();
        assert_eq!(hear(&mut replica, 3).unwrap(), b"ack");
    }

    #[test]
    fn a_cut_drops_what_was_held_and_refuses_whoever_comes_again() {
        let proxy = Proxy::before(echo()).unwrap();
        let mut sentinel = connect(&proxy, b"CLIENT SETNAME sentinel-1-cmd");
        assert_eq!(hear(&mut sentinel, 29).unwrap().len(), 29);
        proxy.hold(Peer::Sentinel, Direction::FromServer);
        sentinel.write_all(b"PING").unwrap();
        proxy.cut(Peer::Sentinel);
        assert_eq!(hear(&mut sentinel, 4), None, "closed, and nothing came");
        let mut again = connect(&proxy, b"CLIENT SETNAME sentinel-1-cmd");
        assert_eq!(hear(&mut again, 1), None);
        proxy.mend();
        let mut again = connect(&proxy, b"CLIENT SETNAME sentinel-1-cmd");
        assert_eq!(hear(&mut again, 29).unwrap().len(), 29);
    }
}

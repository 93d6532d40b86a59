//! A bound socket, and how its connections are secured.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::tls::Tls;

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process has the port.
    #[error("{name} {address}: the port is in use by another process; stop it, or choose another address")]
    InUse {
        /// The setting.
        name: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something else.
    #[error("{name} {address}: cannot listen there")]
    Bind {
        /// The setting.
        name: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Binds `address`, which the setting `name` gave; `tls`: how connections are secured.
    ///
    /// # Errors
    /// The port is in use, or may not be had; the message names the setting.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        tls: Option<Arc<Tls>>,
    ) -> Result<Self, ListenError> {
        match TcpListener::bind(address).await {
            Ok(tcp) => Ok(Self { tcp, tls }),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => Err(ListenError::InUse {
                name,
                address,
                source,
            }),
            Err(source) => Err(ListenError::Bind {
                name,
                address,
                source,
            }),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// How connections are secured.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Whether connections are secured.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.tls.is_some()
    }
}

impl From<TcpListener> for Listener {
    /// A socket in plain text.
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}

//! Who is at the other end of a connection: an extension of every request.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::certificate::Certificate;

/// The other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The certificate that it proved to hold and that leads to a trusted authority.
    pub certificate: Option<Arc<Certificate>>,
}

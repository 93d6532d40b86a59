//! The accept loop: handshake, bounds, service, drain.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::{Service, ServiceExt as _};

use crate::certificate::Certificate;
use crate::first_bytes::FirstBytes;
use crate::listener::Listener;
use crate::peer::Peer;
use crate::settings::{Protocol, Settings};
use crate::tls::Tls;

/// Why a connection ended otherwise than in good order; nobody but the log is told.
type Ended = Box<dyn StdError + Send + Sync>;

/// Serves until `shutdown`; then no connection is accepted, those that are there end their calls, and
/// what is left after the drain's time is dropped. Every request carries a [`Peer`].
pub async fn serve<S, B>(
    listener: Listener,
    protocol: Protocol,
    service: S,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Ended>,
{
    let Listener { tcp, tls } = listener;
    let house = Arc::new(Semaphore::new(settings.connections_max));
    let (drain, draining) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    let mut chance = 0_u32;
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = tcp.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_peer(&error) => continue,
            Err(error) => {
                // Out of descriptors or memory: those that end make room, and nothing is won by haste.
                tracing::error!(%error, "connections cannot be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = house.clone().try_acquire_owned() else {
            tracing::warn!(%address, "too many connections; one was closed");
            continue;
        };
        // A walk with a stride prime to 1,024 spreads the ages of neighbours: no randomness is needed.
        chance = chance.wrapping_add(397);
        let connection = Connection {
            peer: Peer {
                address,
                certificate: None,
            },
            protocol,
            service: service.clone(),
            settings,
            age: settings.age_of(chance),
            draining: draining.clone(),
            _permit: permit,
        };
        let tls = tls.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.accept(stream, tls.as_deref()).await {
                tracing::debug!(%address, error = &*error as &dyn StdError, "connection ended");
            }
        });
    }
    // Nobody can connect any more: a balancer hears of it at once.
    drop(tcp);
    drain.send_replace(true);
    drop(draining);
    if tokio::time::timeout(settings.drain_time_max, drain.closed())
        .await
        .is_err()
    {
        tracing::warn!("peers did not leave in time; their connections are closed");
    }
}

/// Whether an error of `accept` is about the one connection, and says nothing of the next.
fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

struct Connection<S> {
    peer: Peer,
    protocol: Protocol,
    service: S,
    settings: Settings,
    age: Option<std::time::Duration>,
    draining: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl<S, B> Connection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Ended>,
{
    async fn accept(mut self, stream: TcpStream, tls: Option<&Tls>) -> Result<(), Ended> {
        // Delayed acknowledgements cost 40 ms at the 99th percentile where this is off.
        stream.set_nodelay(true)?;
        let Some(tls) = tls else {
            let is_http2 = self.protocol == Protocol::Grpc;
            return self.run(stream, is_http2).await;
        };
        let acceptor = tokio_rustls::TlsAcceptor::from(tls.config());
        let mut draining = self.draining.clone();
        let stream = tokio::select! {
            stream = tokio::time::timeout(self.settings.handshake_time_max, acceptor.accept(stream)) => {
                stream.map_err(|_| "the TLS handshake took too long")??
            }
            _ = draining.wait_for(|is_draining| *is_draining) => return Ok(()),
        };
        let (_, session) = stream.get_ref();
        if let Some(own) = session.peer_certificates().and_then(<[_]>::first) {
            self.peer.certificate = Some(Arc::new(Certificate::read(own)?));
        }
        let is_http2 = self.protocol == Protocol::Grpc || session.alpn_protocol() == Some(b"h2");
        self.run(stream, is_http2).await
    }

    async fn run<IO>(self, io: IO, is_http2: bool) -> Result<(), Ended>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            peer,
            service,
            settings,
            age,
            draining,
            ..
        } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            service.clone().oneshot(request)
        });
        macro_rules! watched {
            ($connection:expr) => {{
                let mut connection = pin!($connection);
                tokio::select! {
                    ended = connection.as_mut() => return Ok(ended?),
                    () = told_to_go(age, draining) => connection.as_mut().graceful_shutdown(),
                }
                tokio::time::timeout(settings.connection_age_grace, connection)
                    .await
                    .map_err(|_| "the calls of a connection that was told to go did not end in time")??;
                Ok(())
            }};
        }
        if is_http2 {
            let io = TokioIo::new(FirstBytes::within(io, settings.header_time_max));
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(settings.keepalive_interval)
                .keep_alive_timeout(settings.keepalive_timeout)
                .max_concurrent_streams(settings.streams_max)
                .max_header_list_size(settings.headers_bytes_max)
                .max_pending_accept_reset_streams(settings.resets_pending_max)
                .max_local_error_reset_streams(settings.faults_max);
            watched!(builder.serve_connection(io, service))
        } else {
            let io = TokioIo::new(FirstBytes::unbounded(io));
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(settings.header_time_max)
                .max_header_size(usize::try_from(settings.headers_bytes_max)?);
            watched!(builder.serve_connection(io, service))
        }
    }
}

/// Waits until a connection is old enough, or the server drains.
async fn told_to_go(age: Option<std::time::Duration>, mut draining: watch::Receiver<bool>) {
    let old = async {
        match age {
            Some(age) => tokio::time::sleep(age).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = old => {}
        // A server that is gone has drained as well.
        _ = draining.wait_for(|is_draining| *is_draining) => {}
    }
}

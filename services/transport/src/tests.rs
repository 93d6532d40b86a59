mod bounds;
mod files;
mod secured;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// 2027, within the certificates' life.
const NOW_S: i64 = 1_800_000_000;

/// An authority, and what it issued, as files.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate of these alternative names, and its key.
    fn issue(&self, names: Vec<SanType>, last_year: i32) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn for_localhost(&self) -> (String, String) {
        self.issue(vec![SanType::DnsName("localhost".try_into().unwrap())], 2_090)
    }
}

fn write(file: &Path, text: &str, mode: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
    file.to_owned()
}

/// A server's files in a directory.
fn files(dir: &Path, (certificate, key): &(String, String)) -> TlsFiles {
    TlsFiles {
        certificate: write(&dir.join("tls.pem"), certificate, 0o644),
        key: write(&dir.join("tls.key"), key, 0o600),
        client_ca: None,
        client_certificates: ClientCertificates::None,
    }
}

/// Answers with what it knows of its peer.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let peer = request.extensions().get::<Peer>().unwrap().clone();
    let names = peer.certificate.map_or_else(
        || "nobody".to_owned(),
        |certificate| certificate.names().join(" "),
    );
    Ok(Response::new(Full::new(Bytes::from(names))))
}

/// A server in this process.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(protocol: Protocol, tls: Option<Arc<Tls>>, settings: Settings) -> Self {
        let listener = Listener::bind("test", "127.0.0.1:0".parse().unwrap(), tls)
            .await
            .unwrap();
        let address = listener.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let service = tower::service_fn(answer);
        let served = tokio::spawn(serve(listener, protocol, service, settings, shutdown));
        Self {
            address,
            stop,
            served,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) {
        drop(self.stop);
        self.served.await.unwrap();
    }
}

/// One request over HTTP/2; `Err`: the connection does not serve.
async fn ask<IO>(io: IO) -> Result<String, hyper::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await?;
    tokio::spawn(connection);
    let request = Request::get("http://localhost/")
        .body(Full::<Bytes>::default())
        .unwrap();
    let body = sender.send_request(request).await?.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

/// Short bounds: what is awaited is the bound, never a guess of how long something takes.
fn short() -> Settings {
    let soon = Duration::from_millis(200);
    Settings {
        handshake_time_max: soon,
        header_time_max: soon,
        keepalive_interval: soon,
        keepalive_timeout: soon,
        connection_age_max: None,
        connection_age_grace: soon,
        drain_time_max: soon,
        ..Settings::default()
    }
}

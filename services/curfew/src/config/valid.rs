//! The settings as the node takes them: addresses, times and files, in combinations that make sense.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use curfew_grpc::Rate;
use curfew_keys::{RootKey, RootKeyError};
use curfew_transport::{ClientCertificates, TlsFiles};

use super::Faulty;
use super::layers::Layers;
use super::raw::{self, Raw};
use super::shared::{self, Roles, Shared};
use super::watched;

/// A day, in seconds: the longest time of any setting.
const DAY_S: i64 = 24 * 3_600;
/// The most bytes of any one message: what a node could hold of a thousand at once.
const BYTES_MAX: i64 = 64 << 20;

/// The file of the root key in the data directory, where nothing else is said.
const ROOT_KEY: &str = "root.key";

/// What a node is told.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) base_url: Option<String>,
    pub(crate) signing_algorithm: String,
    pub(crate) roles: Roles,
    /// `None`: the state is the node's own.
    pub(crate) shared: Option<Shared>,
    pub(crate) root_key: RootKeySource,
    pub(crate) grpc: Listening,
    pub(crate) http: Listening,
    pub(crate) connections: curfew_transport::Settings,
    pub(crate) limits: Limits,
    pub(crate) log: raw::Log,
    /// Where metrics are read, where that is a listener of their own.
    pub(crate) metrics: Option<Listening>,
    pub(crate) otlp: Option<curfew_telemetry::Otlp>,
}

/// A listener.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<TlsFiles>,
}

/// Where the root key comes from.
#[derive(Clone, Debug)]
pub(crate) enum RootKeySource {
    /// A file of mode 0600, made where there is none.
    FileOrNew(PathBuf),
    /// A file of mode 0600 that must be there: nodes that share their state share the key.
    File(PathBuf),
    /// The environment.
    Given(Arc<RootKey>),
}

impl RootKeySource {
    /// The key.
    pub(crate) fn key(&self) -> Result<Arc<RootKey>, RootKeyError> {
        match self {
            Self::FileOrNew(file) => RootKey::from_file_or_create(file).map(Arc::new),
            Self::File(file) => RootKey::from_file(file).map(Arc::new),
            Self::Given(key) => Ok(key.clone()),
        }
    }
}

/// Limits of the gRPC edge.
#[derive(Clone, Debug)]
pub(crate) struct Limits(raw::Limits);

impl Config {
    /// The same node on free ports of loopback, without TLS: for a command that starts one for itself.
    pub(crate) fn on_free_ports(mut self) -> Self {
        // What is made now keeps its issuer, so it must not be called after a port of this moment.
        self.base_url = Some(self.base_url());
        let free = Listening {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
        };
        (self.grpc, self.http) = (free.clone(), free);
        self
    }

    /// The base address of issuers.
    pub(crate) fn base_url(&self) -> String {
        let scheme = if self.http.tls.is_some() { "https" } else { "http" };
        self.base_url
            .clone()
            .unwrap_or_else(|| format!("{scheme}://{}", self.http.address))
    }
}

impl Limits {
    /// Sets them; they were judged.
    pub(crate) fn apply(&self, edge: &mut curfew_grpc::Settings) {
        let limits = &self.0;
        edge.metadata_bytes_max = size(limits.metadata_bytes_max);
        edge.request_bytes_max = size(limits.request_bytes_max);
        edge.report_bytes_max = size(limits.report_bytes_max);
        edge.response_bytes_max = size(limits.response_bytes_max);
        edge.frame_bytes_max = size(limits.frame_bytes_max);
        edge.calls_max = size(limits.calls_max);
        edge.call_wait_max = millis(limits.call_wait_ms);
        edge.call_time_target = millis(limits.call_target_ms);
        edge.caller_rate = Rate::per_second(amount(limits.caller_calls_per_s));
        edge.client_rate = Rate::per_second(amount(limits.client_calls_per_s));
        edge.guess_rate = Rate {
            burst: amount(limits.guesses_burst),
            ..Rate::per_second(amount(limits.guesses_per_s))
        };
        edge.waits_max = size(limits.waits_max);
        edge.subscribers_max = size(limits.subscribers_max);
        edge.subscriber_queue_bytes = size(limits.subscriber_queue_bytes);
        edge.subscriber_wait = seconds(limits.subscriber_wait_s);
        edge.call_time_max = seconds(limits.call_s);
    }
}

fn size(count: i64) -> usize {
    usize::try_from(count).unwrap_or(0)
}

fn amount(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn seconds(s: i64) -> Duration {
    Duration::from_secs(u64::try_from(s).unwrap_or(0))
}

/// Judges everything; every fault is told.
pub(crate) fn judge(mut layers: Layers, raw: Raw) -> Result<Config, Faulty> {
    let grpc = listening(&mut layers, "grpc", &raw.grpc);
    let http = listening(&mut layers, "http", &raw.http);
    if let (Some(grpc), Some(http)) = (&grpc, &http)
        && grpc.address == http.address
        && grpc.address.port() != 0
    {
        layers.fault("http.listen", "the same address as `grpc.listen`");
    }
    let metrics = match raw.metrics.listen {
        Some(_) => listening(&mut layers, "metrics", &raw.metrics),
        None => None,
    };
    let otlp = watched::otlp(&mut layers, &raw.otlp);
    if raw.data.is_empty() {
        layers.fault("data", "names no directory");
    }
    let data = PathBuf::from(&raw.data);
    base_url(&mut layers, raw.base_url.as_deref());
    choice(
        &mut layers,
        "keys.signing_algorithm",
        &raw.keys.signing_algorithm,
        &["ES256", "EdDSA"],
    );
    choice(&mut layers, "log.format", &raw.log.format, &["text", "json"]);
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&raw.log.filter) {
        layers.fault("log.filter", error);
    }
    let before = layers.faults.len();
    let shared = shared::shared(&mut layers, &raw.redis, &raw.kafka);
    let is_shared = shared.is_some() || layers.faults.len() > before;
    let roles = shared::roles(&mut layers, &raw.roles, is_shared);
    let root_key = root_key(&mut layers, &data, &raw.keys, is_shared);
    limits(&mut layers, &raw.limits);
    let connections = connections(&mut layers, &raw.connections);
    match (grpc, http, root_key) {
        (Some(grpc), Some(http), Some(root_key)) if layers.faults.is_empty() => Ok(Config {
            data,
            base_url: raw.base_url,
            signing_algorithm: raw.keys.signing_algorithm,
            roles,
            shared,
            root_key,
            grpc,
            http,
            connections,
            limits: Limits(raw.limits),
            log: raw.log,
            metrics,
            otlp,
        }),
        (_, _, _) => Err(Faulty {
            faults: layers.faults,
        }),
    }
}

fn choice(layers: &mut Layers, path: &str, word: &str, words: &[&str]) {
    if !words.contains(&word) {
        layers.fault(path, format!("`{word}` is none of {}", words.join(", ")));
    }
}

fn within(layers: &mut Layers, path: &str, value: i64, least: i64, most: i64) {
    if !(least..=most).contains(&value) {
        layers.fault(path, format!("{value} is not between {least} and {most}"));
    }
}

fn listening(layers: &mut Layers, table: &str, raw: &raw::Listen) -> Option<Listening> {
    let path = format!("{table}.listen");
    let text = raw.listen.as_deref().unwrap_or_default();
    let Ok(address) = text.parse::<SocketAddr>() else {
        layers.fault(
            &path,
            format!("`{text}` is not an address and a port, as `127.0.0.1:7400` or `[::]:7400`"),
        );
        return None;
    };
    let tls = tls(layers, table, &raw.tls)?;
    if tls.is_none() && !raw.allow_plaintext && !address.ip().is_loopback() {
        layers.fault(
            &path,
            format!(
                "plain text beyond loopback: set `{table}.tls.cert_file` and `{table}.tls.key_file`, or \
                 `{table}.allow_plaintext = true` where a proxy in front speaks TLS"
            ),
        );
    }
    Some(Listening { address, tls })
}

/// The outer `None`: a fault.
fn tls(layers: &mut Layers, table: &str, raw: &raw::Tls) -> Option<Option<TlsFiles>> {
    let path = |key: &str| format!("{table}.tls.{key}");
    let before = layers.faults.len();
    let client_certificates = match raw.client_certificates.as_str() {
        "none" => ClientCertificates::None,
        "optional" => ClientCertificates::Optional,
        "required" => ClientCertificates::Required,
        word => {
            layers.fault(
                &path("client_certificates"),
                format!("`{word}` is none of none, optional, required"),
            );
            ClientCertificates::None
        }
    };
    let asks = client_certificates != ClientCertificates::None;
    match (asks, &raw.client_ca_file) {
        (true, None) => layers.fault(
            &path("client_certificates"),
            format!(
                "needs `{}`: the authorities of those certificates",
                path("client_ca_file")
            ),
        ),
        (false, Some(_)) => layers.fault(
            &path("client_ca_file"),
            format!("is of no use while `{}` is none", path("client_certificates")),
        ),
        (true, Some(_)) | (false, None) => {}
    }
    let files = match (&raw.cert_file, &raw.key_file) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: certificate.into(),
            key: key.into(),
            client_ca: raw.client_ca_file.as_ref().map(PathBuf::from),
            client_certificates,
        }),
        (None, None) => {
            if asks {
                layers.fault(
                    &path("client_certificates"),
                    format!(
                        "needs TLS: set `{}` and `{}`",
                        path("cert_file"),
                        path("key_file")
                    ),
                );
            }
            None
        }
        (Some(_), None) => {
            layers.fault(&path("cert_file"), format!("needs `{}`", path("key_file")));
            None
        }
        (None, Some(_)) => {
            layers.fault(&path("key_file"), format!("needs `{}`", path("cert_file")));
            None
        }
    };
    (layers.faults.len() == before).then_some(files)
}

fn base_url(layers: &mut Layers, text: Option<&str>) {
    let Some(text) = text else { return };
    let uri = text.parse::<http::Uri>();
    let is_base = uri.as_ref().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some() && uri.query().is_none()
    });
    if !is_base || text.contains('#') || text.ends_with('/') {
        layers.fault(
            "base_url",
            format!("`{text}` is not `https://host` with neither query, fragment nor a slash at its end"),
        );
    }
}

fn root_key(layers: &mut Layers, data: &Path, raw: &raw::Keys, is_shared: bool) -> Option<RootKeySource> {
    match (&raw.root_key, &raw.root_key_file) {
        (None, None) if is_shared => {
            layers.fault(
                "keys.root_key",
                "nodes that share their state share the root key: set CURFEW_KEYS_ROOT_KEY or \
                 `keys.root_key_file` (`openssl rand -base64 32` makes one); each would make another by itself",
            );
            None
        }
        (None, Some(file)) if is_shared => Some(RootKeySource::File(file.into())),
        (Some(_), Some(_)) => {
            layers.fault("keys.root_key_file", "and `keys.root_key` are both set; keep one");
            None
        }
        (Some(text), None) => match RootKey::from_base64(text) {
            Ok(key) => Some(RootKeySource::Given(Arc::new(key))),
            Err(error) => {
                layers.fault("keys.root_key", error);
                None
            }
        },
        (None, file) => Some(RootKeySource::FileOrNew(
            file.as_ref().map_or_else(|| data.join(ROOT_KEY), PathBuf::from),
        )),
    }
}

fn limits(layers: &mut Layers, raw: &raw::Limits) {
    let bytes = [
        ("limits.metadata_bytes_max", raw.metadata_bytes_max),
        ("limits.request_bytes_max", raw.request_bytes_max),
        ("limits.report_bytes_max", raw.report_bytes_max),
        ("limits.response_bytes_max", raw.response_bytes_max),
        ("limits.frame_bytes_max", raw.frame_bytes_max),
        ("limits.subscriber_queue_bytes", raw.subscriber_queue_bytes),
    ];
    for (path, value) in bytes {
        within(layers, path, value, 4 << 10, BYTES_MAX);
    }
    let counts = [
        ("limits.calls_max", raw.calls_max),
        ("limits.waits_max", raw.waits_max),
        ("limits.subscribers_max", raw.subscribers_max),
    ];
    for (path, value) in counts {
        within(layers, path, value, 1, 1_000_000);
    }
    within(layers, "limits.subscriber_wait_s", raw.subscriber_wait_s, 1, 600);
    within(layers, "limits.call_s", raw.call_s, 1, 600);
    within(layers, "limits.call_wait_ms", raw.call_wait_ms, 0, 60_000);
    within(layers, "limits.call_target_ms", raw.call_target_ms, 1, 60_000);
    // Zero is no limit.
    let rates = [
        ("limits.caller_calls_per_s", raw.caller_calls_per_s),
        ("limits.client_calls_per_s", raw.client_calls_per_s),
        ("limits.guesses_per_s", raw.guesses_per_s),
    ];
    for (path, value) in rates {
        within(layers, path, value, 0, 10_000_000);
    }
    within(layers, "limits.guesses_burst", raw.guesses_burst, 1, 10_000_000);
    if raw.subscriber_queue_bytes < raw.frame_bytes_max {
        layers.fault(
            "limits.subscriber_queue_bytes",
            "is smaller than `limits.frame_bytes_max`: no frame of that size could be sent",
        );
    }
}

fn connections(layers: &mut Layers, raw: &raw::Connections) -> curfew_transport::Settings {
    within(layers, "connections.max", raw.max, 1, 1_000_000);
    within(layers, "connections.streams_max", raw.streams_max, 1, 100_000);
    within(
        layers,
        "connections.headers_bytes_max",
        raw.headers_bytes_max,
        8 << 10,
        1 << 20,
    );
    let times = [
        ("connections.handshake_s", raw.handshake_s),
        ("connections.headers_s", raw.headers_s),
        ("connections.keepalive_interval_s", raw.keepalive_interval_s),
        ("connections.keepalive_timeout_s", raw.keepalive_timeout_s),
        ("connections.age_grace_s", raw.age_grace_s),
        ("connections.drain_s", raw.drain_s),
    ];
    for (path, value) in times {
        within(layers, path, value, 1, 3_600);
    }
    within(layers, "connections.age_max_s", raw.age_max_s, 0, DAY_S);
    curfew_transport::Settings {
        connections_max: size(raw.max),
        handshake_time_max: seconds(raw.handshake_s),
        header_time_max: seconds(raw.headers_s),
        keepalive_interval: seconds(raw.keepalive_interval_s),
        keepalive_timeout: seconds(raw.keepalive_timeout_s),
        connection_age_max: (raw.age_max_s > 0).then(|| seconds(raw.age_max_s)),
        connection_age_grace: seconds(raw.age_grace_s),
        drain_time_max: seconds(raw.drain_s),
        streams_max: u32::try_from(raw.streams_max).unwrap_or(1),
        headers_bytes_max: u32::try_from(raw.headers_bytes_max).unwrap_or(8 << 10),
        ..curfew_transport::Settings::default()
    }
}

//! One node: its state, the key ring, the authority and what it does all day.
//!
//! `bind` before `start`: addresses are known before anything runs, so port 0 works everywhere.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use curfew_authority::{AdoptRequest, Authority, Parts};
use curfew_clock::SystemClock;
use curfew_core::time::Clock as _;
use curfew_grpc::Serves;
use curfew_keys::{SealingVault, SystemEntropy};
use curfew_ports::entropy::EntropySource as _;
use curfew_telemetry::Sources;
use curfew_transport::{Listener, Protocol, Tls};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::Failure;
use crate::config::{Config, Listening};
use crate::state::State;

/// Where the running node listens, for the commands that talk to it.
const ADDRESS: &str = "grpc.address";
/// A node that could open no key would answer no call, and nobody would know why.
const OTHER_ROOT_KEY: &str = "`keys.root_key`: the key ring that is there was sealed under another root key, and none \
    of its keys can be opened; give this node the root key that the ring was made with (CURFEW_KEYS_ROOT_KEY or \
    `keys.root_key_file`), which all nodes share";
/// How often the outboxes are looked at: it is the crash net under handlers, who append themselves.
const RELAY_EVERY: Duration = Duration::from_secs(5);
/// How often the ring is looked at.
const ROTATE_EVERY: Duration = Duration::from_secs(60);
/// How often certificates are looked at: whoever rotates them leaves the old one valid for much longer.
const RELOAD_EVERY: Duration = Duration::from_secs(10);
/// What a drain may take beyond the connections' own time: the engine's last commit, and closing it.
const DRAIN_SLACK: Duration = Duration::from_secs(10);

/// What leaving the list of followers may take: a read and a commit.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// What an operator says when a node is started, beside its settings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    /// Take the clock as right although the newest commit is stamped later.
    pub(crate) accept_clock: bool,
    /// Take the topic that is there as the log, though the directory names another.
    pub(crate) adopt_log: bool,
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) authority: Authority,
    /// Where its state lies, for people.
    pub(crate) state: String,
    /// X of its guards, ms.
    pub(crate) staleness_ms: i64,
    pub(crate) grpc: SocketAddr,
    pub(crate) is_grpc_secure: bool,
    pub(crate) http: SocketAddr,
    /// Where metrics are read, where that is a listener of their own.
    pub(crate) metrics: Option<SocketAddr>,
    is_http_secure: bool,
    /// Where the operator's commands on this machine talk to it: gRPC in plain text on loopback.
    pub(crate) operator: SocketAddr,
    certificates: Vec<Arc<Tls>>,
    drain_max: Duration,
    /// Where commands on this machine find it, where it has a directory of its own.
    address: Option<PathBuf>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Where the node of a data directory listens.
pub(crate) fn address_of(data: &Path) -> Result<String, Failure> {
    let file = data.join(ADDRESS);
    std::fs::read_to_string(&file)
        .map(|text| text.trim().to_owned())
        .map_err(|error| {
            format!(
                "no node is running on {} ({}: {error}); start one with `curfew serve`",
                data.display(),
                file.display()
            )
            .into()
        })
}

/// Whether a node could not be started because another one has the data.
pub(crate) fn is_in_use(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(
        error.downcast_ref::<curfew_embedded::OpenError>(),
        Some(curfew_embedded::OpenError::InUse { .. })
    )
}

impl Node {
    /// Opens the data, finds or makes what a directory must have, and listens.
    pub(crate) async fn start(config: Config, start: Start) -> Result<Self, Failure> {
        let clock = Arc::new(SystemClock);
        let entropy = Arc::new(SystemEntropy);
        let state = State::open(&config, start, clock.clone(), entropy.clone()).await?;
        // The state is ours: what is written there is of a node that is gone, and its port may be another's.
        let address = state.is_ours_alone.then(|| config.data.join(ADDRESS));
        if let Some(address) = address.as_ref().filter(|address| address.exists()) {
            std::fs::remove_file(address)?;
        }
        let root = config.root_key.key()?;
        let proof = root.proof();
        let vault = Arc::new(SealingVault::new(&root)?);

        let grpc = listen("grpc.listen", &config.grpc, Protocol::Grpc).await?;
        let http = listen("http.listen", &config.http, Protocol::Http).await?;
        let (grpc_address, http_address) = (grpc.address()?, http.address()?);
        let (is_grpc_secure, is_http_secure) = (grpc.is_secure(), http.is_secure());
        let metrics = match &config.metrics {
            Some(wanted) => Some(listen("metrics.listen", wanted, Protocol::Http).await?),
            None => None,
        };
        let of_metrics = metrics.as_ref().and_then(Listener::tls);
        let certificates: Vec<_> = [grpc.tls(), http.tls(), of_metrics]
            .into_iter()
            .flatten()
            .collect();
        let metrics_address = metrics.as_ref().map(Listener::address).transpose()?;
        let mut listeners = vec![grpc];
        let mut operator = grpc_address;
        if is_grpc_secure || !grpc_address.ip().is_loopback() {
            // The operator's commands have no certificate of the node's to trust, and need none on loopback.
            let own = Listener::bind("operator", SocketAddr::from(([127, 0, 0, 1], 0)), None).await?;
            operator = own.address()?;
            listeners.push(own);
        }
        let base_url = config
            .base_url
            .clone()
            .unwrap_or_else(|| url(is_http_secure, http_address));
        let mut settings = curfew_authority::Config::embedded(&base_url, &format!("{grpc_address}"));
        settings.signing_algorithm = config.signing_algorithm.clone();
        settings.staleness_ms = state.staleness_ms;
        let is_ours_alone = state.is_ours_alone;
        if !is_ours_alone {
            // Nodes may listen at the same address, each on its own machine; and one that is started anew is another.
            settings.replica = format!("{grpc_address} {}", random_word(&entropy));
        }

        let parts = Parts {
            store: state.store,
            log: state.log,
            watermarks: state.watermarks,
            vault,
            clock,
            entropy,
        };
        let authority = Authority::new(parts, settings, state.identity);
        if start.adopt_log {
            adopt_log(&authority).await?;
        }
        if !is_ours_alone {
            // Before the directory names the log: whoever finds one without the other knows that something was lost.
            authority
                .catch_up()
                .await
                .map_err(|refusal| refusal.to_string())?;
            authority.beat_once().await;
            // The store may have become another history while no node ran; an empty one has nothing to recover.
            // What comes onto the log meanwhile is read as well: a recovery waits for the log's end.
            let follow = authority.clone();
            let following = tokio::spawn(async move { follow.follow().await });
            let recovered = authority.round(true).await;
            following.abort();
            recovered.map_err(|refusal| refusal.to_string())?;
        }
        let made = authority
            .bootstrap()
            .await
            .map_err(|refusal| refusal.to_string())?;
        if authority.directory().loaded().ring.is_sealed_otherwise() {
            return Err(OTHER_ROOT_KEY.into());
        }
        authority
            .catch_up()
            .await
            .map_err(|refusal| refusal.to_string())?;
        authority.beat_once().await;
        if config.roles.authority {
            // Before anybody is answered: whoever asks for ENFORCED is to wait for this one as well.
            authority
                .register_self()
                .await
                .map_err(|refusal| refusal.to_string())?;
        }
        tracing::info!(
            partitions = made.partitions,
            ring = made.ring,
            "directory is ready"
        );

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        all_day(&mut tasks, &authority, &stopped);
        if config.roles.authority {
            rotate_all_day(&mut tasks, &authority, &stopped);
        }
        if config.roles.authority && !is_ours_alone {
            let merge = authority.clone();
            spawn(&mut tasks, &stopped, async move { merge.keep_merged().await });
        }
        if config.roles.relay && !is_ours_alone {
            relay_all_day(&mut tasks, &authority, &stopped);
        }
        let mut edge = curfew_grpc::Settings::new(&format!("{base_url}/errors"));
        config.limits.apply(&mut edge);
        edge.transport = config.connections;
        edge.root_key_proof = Some(proof);
        edge.serves = Serves {
            authority: config.roles.authority,
            hub: config.roles.hub,
        };
        let edge = serve_grpc(&mut tasks, &authority, listeners, edge, stopped.clone());
        let watched = Sources {
            authority: authority.clone(),
            edge,
            gauges: state.gauges,
        };
        let mut face = match config.roles.gateway {
            true => curfew_oauth::router(authority.clone()),
            false => curfew_oauth::health(authority.clone()),
        };
        match metrics {
            Some(metrics) => {
                let own = curfew_telemetry::router(watched);
                serve_http(&mut tasks, own, metrics, config.connections, stopped.clone());
            }
            // How busy a node is and what goes wrong on it is nothing for the public.
            None if http_address.ip().is_loopback() => {
                face = face.merge(curfew_telemetry::router(watched));
            }
            None => {}
        }
        serve_http(&mut tasks, face, http, config.connections, stopped.clone());
        reload_all_day(&mut tasks, &stopped, &certificates);
        if let Some(address) = &address {
            std::fs::write(address, operator.to_string())?;
        }
        Ok(Self {
            authority,
            state: state.told,
            staleness_ms: state.staleness_ms,
            grpc: grpc_address,
            is_grpc_secure,
            http: http_address,
            metrics: metrics_address,
            is_http_secure,
            operator,
            certificates,
            drain_max: config.connections.drain_time_max + DRAIN_SLACK,
            address,
            stop,
            tasks,
        })
    }

    /// The address of its HTTP face.
    pub(crate) fn http_url(&self) -> String {
        url(self.is_http_secure, self.http)
    }

    /// Reads certificates again where their files changed.
    pub(crate) fn reload_certificates(&self) {
        reload(&self.certificates);
    }

    /// Drains: streams are told where to resume, calls end, the engine closes.
    pub(crate) async fn stop(mut self) {
        // Best effort: the next start removes it as well.
        if let Some(address) = &self.address {
            drop(std::fs::remove_file(address));
        }
        self.stop.send_replace(true);
        let drained = tokio::time::timeout(self.drain_max, async {
            while self.tasks.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!("drain took too long; what is left is dropped");
        }
        // It answers nobody any more. Where that cannot be said now, the registration lapses.
        drop(tokio::time::timeout(LEAVE_MAX, self.authority.unregister_self()).await);
    }
}

/// Eight hexadecimal digits that no other process has drawn.
fn random_word(entropy: &SystemEntropy) -> String {
    let drawn = entropy.draw();
    let first = drawn.first_chunk::<4>().copied().unwrap_or_default();
    format!("{:08x}", u32::from_be_bytes(first))
}

/// Makes the topic that is there the log, where nobody is left who knows what the one before said.
async fn adopt_log(authority: &Authority) -> Result<(), Failure> {
    let request = AdoptRequest {
        force: true,
        validate_only: false,
        nobody_knows: true,
        by: "curfew serve --adopt-log".into(),
    };
    let read = authority.poll_directory().await;
    read.map_err(|refusal| refusal.to_string())?;
    let adopted = authority.adopt_log(&request).await;
    adopted.map(drop).map_err(|refusal| refusal.to_string().into())
}

fn url(is_secure: bool, address: SocketAddr) -> String {
    let scheme = if is_secure { "https" } else { "http" };
    format!("{scheme}://{address}")
}

async fn listen(name: &'static str, wanted: &Listening, protocol: Protocol) -> Result<Listener, Failure> {
    let tls = match &wanted.tls {
        Some(files) => Some(Arc::new(Tls::load(files.clone(), protocol, now_s())?)),
        None => None,
    };
    Ok(Listener::bind(name, wanted.address, tls).await?)
}

fn now_s() -> i64 {
    SystemClock.now().wall.as_unix_ms() / 1_000
}

fn reload(certificates: &[Arc<Tls>]) {
    for tls in certificates {
        let file = tls.files().certificate.display();
        match tls.reload(now_s()) {
            Ok(true) => tracing::info!(%file, "certificate was read again"),
            Ok(false) => {}
            Err(error) => tracing::error!(
                %file,
                error = &error as &dyn std::error::Error,
                "certificate cannot be used; the one before stays in use"
            ),
        }
    }
}

fn reload_all_day(tasks: &mut JoinSet<()>, stopped: &watch::Receiver<bool>, certificates: &[Arc<Tls>]) {
    if certificates.is_empty() {
        return;
    }
    let certificates = certificates.to_vec();
    spawn(tasks, stopped, async move {
        every(RELOAD_EVERY, || async {
            reload(&certificates);
            Ok(())
        })
        .await;
    });
}

fn all_day(tasks: &mut JoinSet<()>, authority: &Authority, stopped: &watch::Receiver<bool>) {
    let follow = authority.clone();
    spawn(tasks, stopped, async move { follow.follow().await });
    let beat = authority.clone();
    spawn(tasks, stopped, async move { beat.beat().await });
    let keep = authority.clone();
    spawn(tasks, stopped, async move { keep.keep_directory().await });
    let adopt = authority.clone();
    spawn(tasks, stopped, async move { adopt.follow_adoptions().await });
    let leases = authority.clone();
    spawn(tasks, stopped, async move { leases.keep_leases().await });
    let hear = authority.clone();
    spawn(tasks, stopped, async move { hear.hear_watermarks().await });
}

fn rotate_all_day(tasks: &mut JoinSet<()>, authority: &Authority, stopped: &watch::Receiver<bool>) {
    let rotate = authority.clone();
    spawn(tasks, stopped, async move {
        every(ROTATE_EVERY, || async {
            rotate.rotate_due_keys().await.map(drop)
        })
        .await;
    });
}

fn relay_all_day(tasks: &mut JoinSet<()>, authority: &Authority, stopped: &watch::Receiver<bool>) {
    let relay = authority.clone();
    spawn(tasks, stopped, async move {
        every(RELAY_EVERY, || async {
            let relayed = relay.relay_all().await?;
            if relayed > 0 {
                tracing::info!(relayed, "entries left the outbox: the log has them");
            }
            Ok(())
        })
        .await;
    });
}

fn spawn(
    tasks: &mut JoinSet<()>,
    stopped: &watch::Receiver<bool>,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let mut stopped = stopped.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = work => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    });
}

async fn every<F>(period: Duration, mut work: impl FnMut() -> F)
where
    F: Future<Output = curfew_authority::Answer<()>>,
{
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(refusal) = work().await {
            tracing::warn!(%refusal, "periodic work failed");
        }
    }
}

fn serve_grpc(
    tasks: &mut JoinSet<()>,
    authority: &Authority,
    listeners: Vec<Listener>,
    settings: curfew_grpc::Settings,
    mut stopped: watch::Receiver<bool>,
) -> curfew_grpc::Metrics {
    let edge = curfew_grpc::Edge::new(authority.clone(), settings);
    let metrics = edge.metrics();
    tasks.spawn(async move {
        let shutdown = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
        if let Err(error) = edge.serve(listeners, shutdown).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the gRPC server stopped"
            );
        }
    });
    metrics
}

fn serve_http(
    tasks: &mut JoinSet<()>,
    face: axum::Router,
    listener: Listener,
    bounds: curfew_transport::Settings,
    mut stopped: watch::Receiver<bool>,
) {
    tasks.spawn(async move {
        let shutdown = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
        curfew_oauth::serve(face, listener, bounds, shutdown).await;
    });
}

//! One node: the embedded engine, the key ring, the authority and what it does all day.
//!
//! `bind` before `start`: addresses are known before anything runs, so port 0 works everywhere.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use curfew_authority::{Authority, Config, Parts};
use curfew_clock::SystemClock;
use curfew_embedded::{Embedded, Options};
use curfew_keys::{RootKey, SealingVault, SystemEntropy};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::Failure;

/// The file of the root key, in the data directory.
const ROOT_KEY: &str = "root.key";
/// Where the running node listens, for the commands that talk to it.
const ADDRESS: &str = "grpc.address";
/// How often the directory's version is read.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How often the ring is looked at.
const ROTATE_EVERY: Duration = Duration::from_secs(60);
/// How long a drain may take: streams end at once, and no call lasts longer than its deadline.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// How a node is made.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) base_url: Option<String>,
    pub(crate) signing_algorithm: String,
    pub(crate) accept_clock: bool,
}

impl Settings {
    /// On free ports of loopback.
    pub(crate) fn on_free_ports(data: &Path) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            data: data.to_owned(),
            grpc: any,
            http: any,
            base_url: None,
            signing_algorithm: "ES256".to_owned(),
            accept_clock: false,
        }
    }
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) authority: Authority,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    address: PathBuf,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Reads the root key of a data directory.
pub(crate) fn root_key(data: &Path) -> Result<RootKey, Failure> {
    Ok(RootKey::from_file_or_create(&data.join(ROOT_KEY))?)
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
    pub(crate) async fn start(settings: Settings) -> Result<Self, Failure> {
        refuse_plain_text_beyond_loopback(&settings)?;
        let clock = Arc::new(SystemClock);
        let entropy = Arc::new(SystemEntropy);
        let options = Options {
            accept_clock: settings.accept_clock,
            ..Options::new(clock.clone(), entropy.clone())
        };
        let engine = Embedded::open(&settings.data, options)?;
        // The engine is ours: what is written there is of a node that is gone, and its port may be another's.
        let address = settings.data.join(ADDRESS);
        if address.exists() {
            std::fs::remove_file(&address)?;
        }
        let root = root_key(&settings.data)?;
        let proof = root.proof();
        let vault = Arc::new(SealingVault::new(&root)?);

        let grpc = TcpListener::bind(settings.grpc).await?;
        let http = TcpListener::bind(settings.http).await?;
        let (grpc_address, http_address) = (grpc.local_addr()?, http.local_addr()?);
        let base_url = settings
            .base_url
            .clone()
            .unwrap_or_else(|| format!("http://{http_address}"));
        let mut config = Config::embedded(&base_url, &format!("{grpc_address}"));
        config.signing_algorithm = settings.signing_algorithm.clone();

        let parts = Parts {
            store: Arc::new(engine.clone()),
            log: Arc::new(engine.clone()),
            vault,
            clock,
            entropy,
        };
        let authority = Authority::new(parts, config, engine.log_identity());
        let made = authority
            .bootstrap()
            .await
            .map_err(|refusal| refusal.to_string())?;
        authority
            .catch_up()
            .await
            .map_err(|refusal| refusal.to_string())?;
        authority.beat_once().await;
        tracing::info!(
            partitions = made.partitions,
            ring = made.ring,
            "directory is ready"
        );

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        all_day(&mut tasks, &authority, &stopped);
        serve_grpc(&mut tasks, &authority, grpc, proof, http_address, stopped.clone());
        serve_http(&mut tasks, &authority, http, stopped);
        std::fs::write(&address, grpc_address.to_string())?;
        Ok(Self {
            authority,
            grpc: grpc_address,
            http: http_address,
            address,
            stop,
            tasks,
        })
    }

    /// Drains: streams are told where to resume, calls end, the engine closes.
    pub(crate) async fn stop(mut self) {
        // Best effort: the next start removes it as well.
        drop(std::fs::remove_file(&self.address));
        self.stop.send_replace(true);
        let drained = tokio::time::timeout(DRAIN_MAX, async {
            while self.tasks.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!("drain took too long; what is left is dropped");
        }
    }
}

fn refuse_plain_text_beyond_loopback(settings: &Settings) -> Result<(), Failure> {
    for (name, address) in [("--grpc", settings.grpc), ("--http", settings.http)] {
        if !address.ip().is_loopback() {
            return Err(format!(
                "{name} {address}: plain text is for loopback only, and TLS is not offered yet"
            )
            .into());
        }
    }
    Ok(())
}

fn all_day(tasks: &mut JoinSet<()>, authority: &Authority, stopped: &watch::Receiver<bool>) {
    let follow = authority.clone();
    spawn(tasks, stopped, async move { follow.follow().await });
    let beat = authority.clone();
    spawn(tasks, stopped, async move { beat.beat().await });
    let poll = authority.clone();
    spawn(tasks, stopped, async move {
        every(POLL_EVERY, || async { poll.poll_directory().await.map(drop) }).await;
    });
    let rotate = authority.clone();
    spawn(tasks, stopped, async move {
        every(ROTATE_EVERY, || async {
            rotate.rotate_due_keys().await.map(drop)
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
    listener: TcpListener,
    proof: [u8; 16],
    http: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) {
    let mut settings = curfew_grpc::Settings::new(&format!("http://{http}/errors"));
    settings.root_key_proof = Some(proof);
    let edge = curfew_grpc::Edge::new(authority.clone(), settings);
    tasks.spawn(async move {
        let shutdown = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
        if let Err(error) = edge.serve(listener, shutdown).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the gRPC server stopped"
            );
        }
    });
}

fn serve_http(
    tasks: &mut JoinSet<()>,
    authority: &Authority,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
) {
    let app = curfew_oauth::router(authority.clone());
    tasks.spawn(async move {
        let shutdown = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(shutdown).await {
            tracing::error!(%error, "the HTTP server stopped");
        }
    });
}

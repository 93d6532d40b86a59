//! What every scenario needs: a runtime, a node with sessions, eyes on all parts, and a report at the end.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::backend::{Backend, Identity};
use crate::cli::{NodeArgs, OutputArgs};
use crate::failure::Failure;
use crate::fill::fill;
use crate::measure::Stand;
use crate::node::{self, Node, Setup};
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::limits;
use crate::servers::Servers;
use crate::sessions::Sessions;
use crate::summary;
use crate::usage::Sampler;

/// Everything that stands while a scenario runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) backend: Backend,
    /// Where the nodes answer.
    pub(crate) addresses: Vec<String>,
    pub(crate) progress: Progress,
    pub(crate) report: Report,
    pub(crate) sampler: Sampler,
    /// Ours; none where one was named.
    pub(crate) nodes: Vec<Node>,
    pub(crate) setup: Option<Setup>,
    /// What they share.
    pub(crate) servers: Option<Servers>,
    // Last: it goes when nobody needs it any more.
    pub(crate) runtime: Runtime,
    _temporary: tempfile::TempDir,
}

/// The runtime of a generator: one thread, so that two cores are not shared by three busy ones.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(1).enable_all().build()?)
}

impl Stage {
    /// Finds or starts the nodes.
    pub(crate) fn set(what: &str, args: &NodeArgs, channels: usize) -> Result<Self, Failure> {
        Self::set_with(what, args, channels, &[])
    }

    /// The same; nodes that are started have these in their environment as well.
    pub(crate) fn set_with(
        what: &str,
        args: &NodeArgs,
        channels: usize,
        more: &[(&'static str, String)],
    ) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let progress = Progress::new();
        let shared = args.shared.fresh();
        if args.nodes > 1 && shared.is_none() {
            return Err("nodes that share their state need --redis and --kafka".into());
        }
        let temporary = tempfile::tempdir()?;
        let servers = shared.map(Servers::find).transpose()?;
        let (mut nodes, mut setup) = (Vec::new(), None);
        let (addresses, identity) = match &args.address {
            Some(address) => (vec![address.clone()], named(args)?),
            None => {
                let setup = setup.insert(setup_of(args, temporary.path(), servers.as_ref())?);
                setup.environment.extend_from_slice(more);
                let identity = setup.seed()?;
                for number in 1..=args.nodes {
                    nodes.push(setup.start(number)?);
                }
                (nodes.iter().map(|node| node.grpc.clone()).collect(), identity)
            }
        };
        let mut report = Report::begin(what, setup.as_ref().map(|setup| setup.curfew.as_path()));
        report.start_up_s = nodes.first().map(|node| node.start_up.as_secs_f64());
        report.nodes = nodes.len();
        let backend = runtime.block_on(Backend::connect(&addresses, identity, channels))?;
        runtime.spawn(backend.clone().keep_fresh());
        let sampler = Sampler::start();
        if !nodes.is_empty() {
            let name = if nodes.len() == 1 { "node" } else { "nodes" };
            sampler.add(name, nodes.iter().map(Node::pid).collect());
        }
        sampler.add("generator", vec![std::process::id()]);
        if let Some(servers) = &servers {
            servers.sample(&sampler);
        }
        Ok(Self {
            backend,
            addresses,
            progress,
            report,
            sampler,
            nodes,
            setup,
            servers,
            runtime,
            _temporary: temporary,
        })
    }

    /// Opens sessions, one grant each.
    pub(crate) fn fill(&self, count: u64) -> Result<Sessions, Failure> {
        let shown = self.progress.count("open sessions", count);
        let opened = self
            .runtime
            .block_on(fill(&self.backend, count, shown.counter(), |opened| {
                opened.session
            }))?;
        shown.finish();
        Ok(Sessions::of(opened))
    }

    /// Measures the physical limits, so many seconds each, on the disk that the node writes to.
    pub(crate) fn limits(&mut self, seconds: Option<u64>) -> Result<(), Failure> {
        let Some(seconds) = seconds else {
            return Ok(());
        };
        let beside = self.setup.as_ref().and_then(|setup| setup.data.parent());
        let home = match beside {
            Some(beside) => tempfile::tempdir_in(beside)?,
            None => tempfile::tempdir()?,
        };
        let length = Duration::from_secs(seconds);
        let shared = self.servers.as_ref().map(|servers| &servers.shared);
        let limits = limits::measure(&self.stand(), &self.sampler, home.path(), length, shared)?;
        self.report.limits = Some(limits);
        Ok(())
    }

    pub(crate) fn stand(&self) -> Stand<'_> {
        Stand {
            runtime: self.runtime.handle(),
            pids: self.nodes.iter().map(Node::pid).collect(),
            servers: self.servers.as_ref(),
            progress: &self.progress,
        }
    }

    /// Stops the node and tells what was found.
    pub(crate) fn end(self, output: &OutputArgs) -> Result<ExitCode, Failure> {
        let Self {
            mut report,
            sampler,
            nodes,
            ..
        } = self;
        report.parts = sampler.stop();
        nodes.into_iter().for_each(Node::stop);
        deliver(&report, output)
    }
}

/// Prints and writes a report.
pub(crate) fn deliver(report: &Report, output: &OutputArgs) -> Result<ExitCode, Failure> {
    if let Some(directory) = &output.report {
        for path in report.write(directory)? {
            eprintln!("report: {}", path.display());
        }
    }
    if output.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{}", summary::text(report));
    }
    Ok(if report.has_void() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

/// Where nodes of ours live, with a state of their own or on the servers.
fn setup_of(args: &NodeArgs, home: &Path, servers: Option<&Servers>) -> Result<Setup, Failure> {
    let data = args.data.clone();
    Ok(Setup {
        curfew: args.curfew.clone().map_or_else(node::beside, Ok)?,
        data: data.unwrap_or_else(|| home.join("data")),
        environment: match servers {
            Some(servers) => servers.shared.environment(home)?,
            None => Vec::new(),
        },
    })
}

fn named(args: &NodeArgs) -> Result<Identity, Failure> {
    let caller = args.caller.clone().ok_or("name the caller with --caller")?;
    let secret = args
        .secret
        .clone()
        .ok_or("give the caller's secret in CURFEW_SECRET")?;
    Ok(Identity {
        caller,
        secret: secret.0,
        tenant: args.tenant.clone(),
        client: args.client.clone(),
        resource: args.resource.clone(),
        scope: args.scope.clone(),
    })
}

//! What every scenario needs: a runtime, a node with sessions, eyes on all parts, and a report at the end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::backend::{Backend, Identity};
use crate::cli::{NodeArgs, OutputArgs};
use crate::failure::Failure;
use crate::fill::fill;
use crate::measure::Stand;
use crate::node::{self, Node};
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::limits;
use crate::sessions::Sessions;
use crate::summary;
use crate::usage::Sampler;

/// Everything that stands while a scenario runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) backend: Backend,
    /// Where the node answers.
    pub(crate) address: String,
    pub(crate) progress: Progress,
    pub(crate) report: Report,
    pub(crate) sampler: Sampler,
    pub(crate) node: Option<Node>,
    /// The binary that was started.
    pub(crate) curfew: Option<PathBuf>,
    // Last: it goes when nobody needs it any more.
    pub(crate) runtime: Runtime,
    _temporary: Option<tempfile::TempDir>,
}

/// The runtime of a generator: one thread, so that two cores are not shared by three busy ones.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(1).enable_all().build()?)
}

impl Stage {
    /// Finds or starts the node.
    pub(crate) fn set(what: &str, args: &NodeArgs, channels: usize) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let progress = Progress::new();
        let (mut node, mut temporary, mut curfew) = (None, None, None);
        let (address, identity) = match &args.address {
            Some(address) => (address.clone(), named(args)?),
            None => {
                let binary = args.curfew.clone().map_or_else(node::beside, Ok)?;
                let data = match &args.data {
                    Some(data) => data.clone(),
                    None => temporary.insert(tempfile::tempdir()?).path().join("data"),
                };
                let identity = node::seed(&binary, &data)?;
                let started = node.insert(Node::start(&binary, &data)?);
                curfew = Some(binary);
                (started.grpc.clone(), identity)
            }
        };
        let mut report = Report::begin(what, curfew.as_deref());
        report.start_up_s = node.as_ref().map(|node: &Node| node.start_up.as_secs_f64());
        let backend = runtime.block_on(Backend::connect(&address, identity, channels))?;
        runtime.spawn(backend.clone().keep_fresh());
        let sampler = Sampler::start();
        if let Some(node) = &node {
            sampler.add("node", vec![node.pid()]);
        }
        sampler.add("generator", vec![std::process::id()]);
        Ok(Self {
            backend,
            address,
            progress,
            report,
            sampler,
            node,
            curfew,
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
        let beside = self.node.as_ref().and_then(|node| node.data.parent());
        let home = match beside {
            Some(beside) => tempfile::tempdir_in(beside)?,
            None => tempfile::tempdir()?,
        };
        let length = Duration::from_secs(seconds);
        let limits = limits::measure(&self.stand(), &self.sampler, home.path(), length)?;
        self.report.limits = Some(limits);
        Ok(())
    }

    pub(crate) fn stand(&self) -> Stand<'_> {
        Stand {
            runtime: self.runtime.handle(),
            pid: self.node.as_ref().map(Node::pid),
            progress: &self.progress,
        }
    }

    /// Stops the node and tells what was found.
    pub(crate) fn end(self, output: &OutputArgs) -> Result<ExitCode, Failure> {
        let Self {
            mut report,
            sampler,
            node,
            ..
        } = self;
        report.parts = sampler.stop();
        if let Some(node) = node {
            node.stop();
        }
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

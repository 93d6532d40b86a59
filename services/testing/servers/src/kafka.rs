//! A Kafka of one or three brokers, each broker its own controller too (KRaft).
//!
//! Clients have a listener of their own, secured as the test wants it.
//! Brokers and we use another that is always plain, so that no setting can lock us out.

pub(crate) mod jars;
mod properties;
mod tools;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::directory::Directory;
use crate::error::Error;
use crate::left::Left;
use crate::ports::Lease;
use crate::process::{Process, Start};
use crate::program::{JAVA, KCAT};

use jars::Jars;
use properties::Node;
pub use properties::{KafkaSasl, KafkaTls};

/// A broker answers after two seconds on an idle machine, three after six; the rest is for a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(120);
/// It gives up its leaderships and writes 50 MB.
const END_LIMIT: Duration = Duration::from_secs(60);
/// kcat gives up by itself after a second; it asks on loopback.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// A broker that is small and starts soon: it is used for a minute.
const JVM: [&str; 3] = [
    "-Xms64m",
    "-Xmx256m",
    // Nothing that is well: the log is read when a start failed.
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

/// How a Kafka is started.
#[derive(Clone)]
pub struct KafkaOptions {
    /// 1, or 3 with factors of 3.
    pub brokers: usize,
    /// More lines of every broker's `server.properties`; of two that say the same, the last holds.
    pub lines: Vec<String>,
    /// TLS on the clients' listener.
    pub tls: Option<KafkaTls>,
    /// SASL on the clients' listener.
    pub sasl: Option<KafkaSasl>,
    /// Whether nobody may anything that no ACL permits; [`Kafka::tool`] may everything.
    pub acls: bool,
    /// A directory for its files that stays, and with it the brokers, once [`Kafka::leave`] was called. Without one,
    /// it has a temporary directory, and ends with the process that started it.
    pub stays_in: Option<PathBuf>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: 1,
            lines: Vec::new(),
            tls: None,
            sasl: None,
            acls: false,
            stays_in: None,
        }
    }
}

/// Passwords do not get into a log this way.
impl std::fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("brokers", &self.brokers)
            .field("lines", &self.lines.len())
            .field("tls", &self.tls)
            .field("sasl", &self.sasl)
            .field("acls", &self.acls)
            .field("stays_in", &self.stays_in)
            .finish()
    }
}

/// One or three `kafka.Kafka` processes.
#[derive(Debug)]
pub struct Kafka {
    jars: Jars,
    brokers: Vec<Broker>,
    stays: bool,
    // After the brokers: they are gone before it is.
    _directory: Directory,
}

/// One of them. Its fields are dropped in this order: the process before its directory and its ports.
#[derive(Debug)]
struct Broker {
    process: Process,
    directory: Directory,
    ports: Ports,
}

#[derive(Debug)]
struct Ports {
    clients: Lease,
    internal: Lease,
    controller: Lease,
}

impl Ports {
    fn take() -> Result<Self, Error> {
        Ok(Self {
            clients: Lease::take()?,
            internal: Lease::take()?,
            controller: Lease::take()?,
        })
    }

    fn node(&self, id: usize) -> Node {
        Node {
            id,
            clients: self.clients.port(),
            internal: self.internal.port(),
            controller: self.controller.port(),
        }
    }
}

impl Kafka {
    /// Starts one broker.
    ///
    /// # Errors
    /// Java, Maven or kcat is not installed, Kafka cannot be fetched, or does not answer.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&KafkaOptions::default())
    }

    /// Starts one or three, with more settings.
    ///
    /// # Errors
    /// As [`Kafka::start`]; the error has the end of the broker's log.
    pub fn start_with(options: &KafkaOptions) -> Result<Self, Error> {
        if !matches!(options.brokers, 1 | 3) {
            return Err(Error::Options("a Kafka has 1 broker or 3"));
        }
        let jars = Jars::get(archive)?;
        Self::start_of(jars, options, &[])
    }

    fn start_of(jars: Jars, options: &KafkaOptions, java: &[String]) -> Result<Self, Error> {
        let directory = Directory::new(options.stays_in.as_deref())?;
        let ports: Vec<_> = (0..options.brokers)
            .map(|_| Ports::take())
            .collect::<Result<_, _>>()?;
        let nodes: Vec<_> = (1..).zip(&ports).map(|(id, ports)| ports.node(id)).collect();
        let stays = options.stays_in.is_some();
        let mut brokers = Vec::new();
        for (node, ports) in nodes.iter().zip(ports) {
            let place = directory.path().join(format!("broker-{}", node.id));
            let own = Directory::new(Some(&place))?;
            let text = properties::of(options, node, &nodes, own.path());
            let config = own.write("server.properties", &text)?;
            tools::format(&jars, &config, options.sasl.as_ref())?;
            brokers.push(Broker {
                process: process(&jars, java, node, &own, stays)?,
                directory: own,
                ports,
            });
        }
        let mut kafka = Self {
            jars,
            brokers,
            stays,
            _directory: directory,
        };
        for index in 0..kafka.brokers.len() {
            kafka.wait(index)?;
        }
        Ok(kafka)
    }

    /// What a client is given: `127.0.0.1:PORT`, three of them with commas between for three brokers.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses = self.brokers.iter().map(|broker| address(&broker.ports.clients));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The process id of each broker.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.brokers.iter().map(|broker| broker.process.pid()).collect()
    }

    /// SIGKILL to the broker of this index (from 0), and waits until it is gone. Its ports stay ours.
    pub fn kill(&mut self, broker: usize) {
        if let Some(broker) = self.brokers.get_mut(broker) {
            broker.process.kill();
        }
    }

    /// Starts it again, on the same ports and in the same directory; kills it first where it lives.
    ///
    /// # Errors
    /// There is no such broker, or it does not answer.
    pub fn restart(&mut self, broker: usize) -> Result<(), Error> {
        let index = broker;
        let Some(broker) = self.brokers.get_mut(index) else {
            return Err(Error::Options("there is no broker of this index"));
        };
        broker.process.kill();
        let node = broker.ports.node(index.saturating_add(1));
        broker.process = process(&self.jars, &[], &node, &broker.directory, self.stays)?;
        self.wait(index)
    }

    /// Starts every broker that is dead again. None of them answers before most of them run.
    ///
    /// # Errors
    /// One does not answer.
    pub fn restart_all(&mut self) -> Result<(), Error> {
        let mut started = Vec::new();
        for (index, broker) in self.brokers.iter_mut().enumerate() {
            if broker.process.ended()?.is_some() {
                let node = broker.ports.node(index.saturating_add(1));
                broker.process = process(&self.jars, &[], &node, &broker.directory, self.stays)?;
                started.push(index);
            }
        }
        started.into_iter().try_for_each(|index| self.wait(index))
    }

    /// SIGSTOP to one broker: connections stay, and nothing is answered.
    pub fn stop_the_clock(&self, broker: usize) {
        if let Some(broker) = self.brokers.get(broker) {
            broker.process.stop_the_clock();
        }
    }

    /// SIGCONT.
    pub fn go_on(&self, broker: usize) {
        if let Some(broker) = self.brokers.get(broker) {
            broker.process.go_on();
        }
    }

    /// The disk of one broker is full: every write to a file fails, which ends it, as Kafka wants it.
    ///
    /// # Errors
    /// There is no such broker, or this system does not let us.
    pub fn fill_disk(&self, broker: usize) -> Result<(), Error> {
        let Some(broker) = self.brokers.get(broker) else {
            return Err(Error::Options("there is no broker of this index"));
        };
        broker.process.limit_files(Some(1))
    }

    /// Whether the broker of this index runs.
    ///
    /// # Errors
    /// There is no such broker.
    pub fn is_running(&mut self, broker: usize) -> Result<bool, Error> {
        let Some(broker) = self.brokers.get_mut(broker) else {
            return Err(Error::Options("there is no broker of this index"));
        };
        Ok(broker.process.ended()?.is_none())
    }

    /// Runs one of Kafka's own tools, `kafka-topics` or `kafka-acls` or `kafka-configs`, as one who may everything,
    /// and gives back what it prints.
    ///
    /// # Errors
    /// There is no such tool, or it failed.
    pub fn tool(&self, tool: &str, arguments: &[&str]) -> Result<String, Error> {
        tools::run(&self.jars, &self.internal(), tool, arguments)
    }

    /// Lets all brokers run on; who they are. They must have been started with [`KafkaOptions::stays_in`].
    #[must_use]
    pub fn leave(mut self) -> Vec<Left> {
        let left = self.brokers.iter_mut().map(|broker| {
            broker.process.leave();
            Left {
                name: "kafka".to_owned(),
                pid: broker.process.pid(),
                port: broker.ports.clients.port(),
            }
        });
        left.collect()
    }

    /// Where we ask: always plain.
    fn internal(&self) -> String {
        let addresses = self.brokers.iter().map(|broker| address(&broker.ports.internal));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Until this broker itself says that every living broker is there.
    fn wait(&mut self, index: usize) -> Result<(), Error> {
        let mut living = 0;
        for broker in &mut self.brokers {
            living += usize::from(broker.process.ended()?.is_none());
        }
        let Some(broker) = self.brokers.get_mut(index) else {
            return Ok(());
        };
        let (internal, id) = (address(&broker.ports.internal), index.saturating_add(1));
        let what = format!("metadata with {living} brokers");
        broker.process.ready(START_LIMIT, &what, || {
            let known = known_brokers(&internal)?;
            Ok(known.len() >= living && known.contains(&id))
        })
    }
}

fn address(lease: &Lease) -> String {
    format!("127.0.0.1:{}", lease.port())
}

/// Writes the archive of the classes that a broker loads: as it ends, when it was told so as it began.
fn archive(jars: &Jars, to: &Path) -> Result<(), Error> {
    let java = format!("-XX:ArchiveClassesAtExit={}", to.display());
    let mut kafka = Kafka::start_of(jars.clone(), &KafkaOptions::default(), &[java])?;
    for broker in &mut kafka.brokers {
        broker.process.end(END_LIMIT)?;
    }
    Ok(())
}

fn process(
    jars: &Jars,
    java: &[String],
    node: &Node,
    directory: &Directory,
    stays: bool,
) -> Result<Process, Error> {
    let config = directory.path().join("server.properties");
    let mut arguments = jars.arguments();
    arguments.extend(JVM.map(str::to_owned));
    arguments.extend_from_slice(java);
    arguments.extend(["kafka.Kafka".to_owned(), config.display().to_string()]);
    Process::start(Start {
        program: JAVA,
        name: format!("kafka broker {} on port {}", node.id, node.clients),
        arguments,
        directory: directory.path(),
        stays,
    })
}

/// The brokers that this one knows; none where it does not answer yet.
fn known_brokers(address: &str) -> Result<Vec<usize>, Error> {
    // Metadata as JSON, within a second.
    let output = KCAT.output(ASK_LIMIT, |kcat| {
        kcat.args(["-b", address, "-L", "-J", "-m", "1"]);
    })?;
    if !output.status.success() {
        return Ok(Vec::new());
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let brokers = answer.get("brokers").and_then(serde_json::Value::as_array);
    let ids = brokers
        .into_iter()
        .flatten()
        .filter_map(|broker| broker.get("id")?.as_u64());
    Ok(ids.filter_map(|id| usize::try_from(id).ok()).collect())
}

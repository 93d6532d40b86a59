//! The node under test: the real binary as a process of its own, seeded, on free ports.
//!
//! **Invariant:** a node that this started is stopped when it is dropped; one that ran before is left alone.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::backend::Identity;
use crate::clock::Mono;
use crate::failure::Failure;

/// How long a node may take until it says that it is ready: opening a large directory after a crash included.
const READY_TIME_MAX: Duration = Duration::from_secs(120);
/// How long it may take to drain.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);
/// Issuers are called after it; nobody fetches anything from there.
const BASE_URL: &str = "https://id.example";

/// What a node is seeded with.
const SEEDS: &str = r#"
[[tenant]]
name = "acme"

[[tenant.resource]]
id = "orders"
audience = "https://orders.acme.example"
scopes = ["orders.read"]
guarded = true

[[tenant.client]]
id = "web"
auth = "none"

[[caller]]
id = "backend"
roles = ["sessions.write", "sessions.read", "tokens.issue", "revocations.write", "revocations.read"]
tenants = ["*"]
"#;

/// Which binary, and what every process of it is told.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) curfew: PathBuf,
    /// The directory of a node that keeps its state itself; what nodes log lies there too.
    pub(crate) data: PathBuf,
    /// Variables of the environment.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// A running node of ours.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    pub(crate) grpc: String,
    log: PathBuf,
    /// From the start of the process until it said that it is ready.
    pub(crate) start_up: Duration,
}

/// The `curfew` that is measured where none is named: the one beside this program.
pub(crate) fn beside() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let directory = own.parent().ok_or("this program lies nowhere")?;
    // Test binaries lie one level below.
    let candidates = [directory.join("curfew"), directory.join("../curfew")];
    let found = candidates.iter().find(|path| path.is_file());
    found.cloned().ok_or_else(|| {
        format!(
            "there is no `curfew` beside {}; build it (`cargo build --release -p curfew`) or name it with --curfew",
            own.display()
        )
        .into()
    })
}

impl Setup {
    /// Makes and seeds a state; who may call it.
    pub(crate) fn seed(&self) -> Result<Identity, Failure> {
        let base: [&OsStr; 3] = ["--json".as_ref(), "--base-url".as_ref(), BASE_URL.as_ref()];
        let made = self.run("", "bootstrap", &base)?;
        let made: serde_json::Value = serde_json::from_str(made.trim())?;
        let admin = made.get("secret").and_then(serde_json::Value::as_str);
        let admin = admin.ok_or_else(|| {
            format!(
                "{} has an administrator already; give a directory that is empty, or CURFEW_REDIS_PREFIX another name",
                self.data.display()
            )
        })?;
        // A node whose state lies elsewhere makes no directory.
        std::fs::create_dir_all(&self.data)?;
        let file = self.data.join("load-seeds.toml");
        std::fs::write(&file, SEEDS)?;
        let arguments = [[file.as_os_str()].as_slice(), &base].concat();
        let applied = self.run(admin, "apply", &arguments)?;
        let lines = applied
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let is_backend =
            |line: &serde_json::Value| line.get("name").is_some_and(|name| name == "callers/backend");
        let secret = lines
            .filter(is_backend)
            .find_map(|line| line.get("secret")?.as_str().map(str::to_owned));
        Ok(Identity {
            caller: "backend".to_owned(),
            secret: secret.ok_or("`curfew apply` told no secret of callers/backend")?,
            tenant: "acme".to_owned(),
            client: "web".to_owned(),
            resource: "orders".to_owned(),
            scope: "orders.read".to_owned(),
        })
    }

    fn run(&self, secret: &str, command: &str, arguments: &[&OsStr]) -> Result<String, Failure> {
        let output = self
            .command(command)
            .args(arguments)
            .env("CURFEW_SECRET", secret)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.not_started(&error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`curfew {command}` failed ({}): {}", output.status, said.trim()).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, command: &str) -> Command {
        let mut made = Command::new(&self.curfew);
        made.arg(command).arg("--data").arg(&self.data);
        made.envs(self.environment.iter().map(|(name, value)| (name, value)));
        made
    }

    fn not_started(&self, error: &std::io::Error) -> Failure {
        format!("cannot start {}: {error}", self.curfew.display()).into()
    }

    /// Starts the `number`th node on a state that was seeded, and waits until it is ready.
    pub(crate) fn start(&self, number: usize) -> Result<Node, Failure> {
        self.start_at(number, 0)
    }

    /// The same, with gRPC on this port of the loopback.
    pub(crate) fn start_at(&self, number: usize, port: u16) -> Result<Node, Failure> {
        // What it logs is kept beside its data, not mixed into our output; of a node that is started again all.
        let log = self.data.join(format!("load-node-{number}.log"));
        let begun = Mono::now();
        let mut child = self
            .command("serve")
            .args(["--grpc", &format!("127.0.0.1:{port}"), "--http", "127.0.0.1:0"])
            .args(["--base-url", BASE_URL])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::options().create(true).append(true).open(&log)?)
            .spawn()
            .map_err(|error| self.not_started(&error))?;
        let told = child.stdout.take().map(until_ready);
        let mut node = Node {
            child,
            grpc: String::new(),
            log,
            start_up: Mono::now().since(begun),
        };
        match told.and_then(|told| told) {
            Some(address) => {
                node.grpc = address;
                Ok(node)
            }
            None => Err(format!("the node did not get ready; it logged: {}", node.logged()).into()),
        }
    }
}

impl Node {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no drain, no goodbye.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// SIGSTOP: it is there, and does nothing.
    pub(crate) fn stop_the_clock(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok();
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // One that is gone already needs no signal.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// The last that it logged.
    pub(crate) fn logged(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    /// Asks it to drain, and waits until it is gone; kills it where that takes too long.
    pub(crate) fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let until = Mono::now().plus(STOP_TIME_MAX);
        while Mono::now() < until {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads what `serve` prints until it is ready: its gRPC address. `None`: it ended, or took too long.
fn until_ready(stdout: std::process::ChildStdout) -> Option<String> {
    let (tell, told) = mpsc::channel();
    // Goes on reading for as long as the node lives, so that it never blocks on a full pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            drop(tell.send(line));
        }
    });
    let until = Mono::now().plus(READY_TIME_MAX);
    let mut address = None;
    loop {
        let line = told.recv_timeout(until.since(Mono::now())).ok()?;
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("grpc"), Some(told)) => address = Some(told.to_owned()),
            (Some("ready"), _) => return address,
            (_, _) => {}
        }
    }
}

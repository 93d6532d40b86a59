//! One server process with its log.
//!
//! **Invariant:** it is killed, with its children, when this is dropped; it ends with the process that started it.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, prlimit};

use crate::clock::Deadline;
use crate::error::Error;
use crate::program::{Program, is_on_path, pid_of};

/// As much of a log as a person reads in an error.
const LAST_LINES: usize = 20;

/// What a server process is started with.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) program: Program,
    /// For messages: `redis on port 12345`.
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    /// Its working directory; its log lies there too.
    pub(crate) directory: &'a Path,
    /// Whether it outlives whoever started it.
    pub(crate) stays: bool,
}

/// A server process, alive or dead.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Somebody else kills it.
    is_left: bool,
}

impl Process {
    /// Starts it; whether it answers is another question.
    pub(crate) fn start(start: Start<'_>) -> Result<Self, Error> {
        let log = start.directory.join("log");
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(Error::file("open", &log))?;
        let err = out.try_clone().map_err(Error::file("open", &log))?;
        let arrange = |command: &mut Command| {
            command
                .args(&start.arguments)
                .current_dir(start.directory)
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(err)
                // A group of its own: a Ctrl-C at our terminal is not meant for it, and its children are found.
                .process_group(0);
        };
        let mut command = Command::new(start.program.name);
        if !start.stays && *CAN_BIND_LIVES {
            // Fails like the program itself when that is missing, but without telling it from other failures.
            if !start.program.is_on_path() {
                return Err(start.program.not_started(io::ErrorKind::NotFound.into()));
            }
            command = Command::new(BIND_LIVES.0);
            command.args(BIND_LIVES.1).args(IGNORING).arg(start.program.name);
        }
        arrange(&mut command);
        let child = spawn(command).map_err(|source| start.program.not_started(source))?;
        Ok(Self {
            name: start.name,
            child,
            log,
            is_left: false,
        })
    }

    /// Waits until `answers` says so; `what` is what it is waited for.
    pub(crate) fn ready(
        &mut self,
        limit: Duration,
        what: &str,
        mut answers: impl FnMut() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let deadline = Deadline::after(limit);
        loop {
            if let Some(status) = self.ended()? {
                return Err(Error::Ended {
                    server: self.name.clone(),
                    status,
                    last_lines: self.last_lines(),
                });
            }
            if answers()? {
                return Ok(());
            }
            if !deadline.pause() {
                return Err(Error::Silent {
                    server: self.name.clone(),
                    waited_s: limit.as_secs(),
                    what: what.to_owned(),
                    last_lines: self.last_lines(),
                });
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, where it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(|source| Error::Start {
            program: self.name.clone(),
            source,
        })
    }

    /// SIGKILL to it and its children, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        if let Some(pid) = pid_of(&self.child) {
            // It may have ended by itself just now.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits until it has ended as it wants to.
    pub(crate) fn end(&mut self, limit: Duration) -> Result<(), Error> {
        self.signal(Signal::TERM);
        let deadline = Deadline::after(limit);
        while self.ended()?.is_none() {
            if !deadline.pause() {
                return Err(Error::Silent {
                    server: self.name.clone(),
                    waited_s: limit.as_secs(),
                    what: "its end".to_owned(),
                    last_lines: self.last_lines(),
                });
            }
        }
        Ok(())
    }

    /// SIGSTOP: it is there, and does nothing.
    pub(crate) fn stop_the_clock(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// From now on no file of it may become longer than this: every write beyond fails, as on a full disk, and needs
    /// no right that a test does not have. `None`: as long as it likes.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) -> Result<(), Error> {
        let failed = |source: rustix::io::Errno| Error::Start {
            program: self.name.clone(),
            source: source.into(),
        };
        let pid = pid_of(&self.child);
        let maximum = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit {
            current: bytes.or(maximum),
            maximum,
        };
        prlimit(pid, Resource::Fsize, limit).map(drop).map_err(failed)
    }

    /// It outlives us.
    pub(crate) fn leave(&mut self) {
        self.is_left = true;
    }

    /// The end of its log.
    pub(crate) fn last_lines(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = pid_of(&self.child) {
            // A process that is gone needs no signal.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_left {
            self.kill();
        }
    }
}

/// Lets a program die with the thread that started it (util-linux).
const BIND_LIVES: (&str, [&str; 3]) = ("setpriv", ["--pdeathsig", "KILL", "--"]);

/// A write beyond [`Process::limit_files`] is to be an error, as on a full disk, and not the end of the program.
const IGNORING: [&str; 4] = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];

/// Whether there is such a thing; elsewhere than on Linux a killed test leaves its servers behind.
static CAN_BIND_LIVES: LazyLock<bool> = LazyLock::new(|| is_on_path(BIND_LIVES.0));

/// A command to start, and where the child goes.
type Order = (Command, SyncSender<io::Result<Child>>);

/// The one thread that starts servers: lives are bound to a *thread*, and tests run in threads that end before
/// the servers that they share.
static STARTER: LazyLock<Mutex<SyncSender<Order>>> = LazyLock::new(|| {
    // One at a time: starting takes a millisecond.
    let (order, orders) = mpsc::sync_channel::<Order>(1);
    thread::spawn(move || {
        for (mut command, reply) in orders {
            // Whoever asked waits for it.
            let _ = reply.send(command.spawn());
        }
    });
    Mutex::new(order)
});

fn spawn(command: Command) -> io::Result<Child> {
    let gone = || io::Error::other("the thread that starts servers is gone");
    let (reply, replied) = mpsc::sync_channel(1);
    let order = STARTER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    order.send((command, reply)).map_err(|_| gone())?;
    replied.recv().map_err(|_| gone())?
}

//! A terminal: one bash in which blocks are run one after the other, and everything that it prints.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// One block: the first run installs packages and a busy machine is slow, but nothing waits for ever.
const SILENCE: Duration = Duration::from_secs(300);
/// Stands in a line of its own, before the exit code.
const END: &str = "the block has ended with";

/// Why a block did not do what it should, and what it printed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) what: String,
    pub(crate) printed: String,
}

/// One bash with all that it started; killed when dropped.
pub(crate) struct Terminal {
    bash: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    block: PathBuf,
}

impl Terminal {
    pub(crate) fn open(directory: &Path, environment: &[(String, String)]) -> Self {
        let mut command = Command::new("bash");
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("CURFEW_")) {
            command.env_remove(name);
        }
        let mut bash = command
            .args(["--noprofile", "--norc"])
            .current_dir(directory)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut input = bash.stdin.take().unwrap();
        // A block that fails half-way has failed.
        let trap = format!("trap 'code=$?; echo; echo {END} $code' EXIT");
        writeln!(input, "exec 2>&1; set -eo pipefail; {trap}").unwrap();
        let output = BufReader::new(bash.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = output.split(b'\n').map_while(Result::ok);
            for line in lines.map(|line| String::from_utf8_lossy(&line).into_owned()) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let block = directory.join(format!(".block-{}.sh", bash.id()));
        Self {
            bash,
            input,
            lines,
            block,
        }
    }

    /// Runs a block to its end.
    pub(crate) fn run(&mut self, text: &str) -> Result<String, Failed> {
        self.begin(text);
        let printed = self.read_until(|line| line.contains(END))?;
        ended(printed)
    }

    /// Runs a block that stays, until it prints this line.
    pub(crate) fn run_until(&mut self, text: &str, line: &str) -> Result<String, Failed> {
        self.begin(text);
        let printed = self.read_until(|printed| printed == line || printed.contains(END))?;
        if printed.contains(END) {
            return ended(printed).and_then(|printed| {
                let what = "it did not stay".to_owned();
                Err(Failed { what, printed })
            });
        }
        Ok(printed)
    }

    fn begin(&mut self, text: &str) {
        std::fs::write(&self.block, text).unwrap();
        // Sourced, so that what it defines stays; without input, so that nothing eats the next block.
        let block = self.block.display();
        writeln!(self.input, "source {block} < /dev/null; echo; echo {END} 0").unwrap();
    }

    fn read_until(&mut self, is_last: impl Fn(&str) -> bool) -> Result<String, Failed> {
        let mut printed = String::new();
        loop {
            let what = match self.lines.recv_timeout(SILENCE) {
                Ok(line) => {
                    printed.push_str(&line);
                    printed.push('\n');
                    if is_last(&line) {
                        return Ok(printed);
                    }
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => "it says nothing any more".to_owned(),
                Err(RecvTimeoutError::Disconnected) => "its terminal was closed".to_owned(),
            };
            return Err(Failed { what, printed });
        }
    }
}

/// What was printed before the mark, if the block ended well.
fn ended(mut printed: String) -> Result<String, Failed> {
    let code = printed.split_off(printed.rfind(END).unwrap());
    match code.trim_start_matches(END).trim() {
        "0" => Ok(printed),
        code => Err(Failed {
            what: format!("it ended with {code}"),
            printed,
        }),
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The whole group: servers that it left in the background as well.
        let group = format!("-{}", self.bash.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.bash.wait();
    }
}

#[test]
fn what_a_block_defines_stays_and_a_failure_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(directory.path(), &[]);
    assert_eq!(terminal.run("a() { printf %s \"$1\"; }\n").unwrap(), "\n");
    assert_eq!(terminal.run("a one; cat\n").unwrap(), "one\n");
    assert_eq!(
        terminal.run_until("a two; echo; sleep 600\n", "two").unwrap(),
        "two\n"
    );
    let mut terminal = Terminal::open(directory.path(), &[]);
    assert_eq!(
        terminal.run_until("echo\n", "x").unwrap_err().what,
        "it did not stay"
    );
    let failed = terminal.run("echo before; false; echo after\n").unwrap_err();
    assert_eq!(
        (failed.what.as_str(), failed.printed.as_str()),
        ("it ended with 1", "before\n\n")
    );
}

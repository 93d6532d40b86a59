//! An operator's desk: a node, its callers' secrets, and the binary.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Output, Server, curfew, curfew_as};

const SEEDS: &str = r#"
[[tenant]]
name = "acme"

[[tenant.resource]]
id = "orders"
audience = "https://orders.acme.example"
scopes = ["orders.read"]

[[tenant.client]]
id = "web"

[[tenant.client]]
id = "phone"

[[tenant.issuer]]
id = "01890a5d-ac96-774b-bcce-b302099a8057"
spellings = ["https://login.before.example/"]
longest_life_s = 3600
clock_error_s = 5
claims = ["sub", "client_id"]
audiences = ["https://orders.acme.example"]
jwks_uri = "https://login.before.example/keys"

[[caller]]
id = "desk"
roles = ["sessions.write", "sessions.read", "tokens.issue", "revocations.write", "revocations.read", "admin"]
tenants = ["*"]

[[caller]]
id = "watcher"
roles = ["revocations.read"]
tenants = ["acme"]
certificates = ["uri:spiffe://acme.example/watcher"]
"#;

/// A node with a directory in it, and the secrets of its callers.
pub(crate) struct Desk {
    pub(crate) dir: TempDir,
    pub(crate) server: Server,
    pub(crate) secret: String,
    pub(crate) watcher: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(|_| Vec::new())
    }

    /// A node that is started with what this says of its directory.
    pub(crate) fn with(settings: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let file = dir.path().join("seeds.toml");
        std::fs::write(&file, SEEDS).unwrap();
        let (data_text, file) = (data.to_str().unwrap(), file.to_str().unwrap());
        let made = curfew(&["bootstrap", "--data", data_text, "--json"]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        let made: Value = serde_json::from_str(&made.stdout).unwrap();
        let admin = made["secret"].as_str().unwrap();
        let applied = curfew_as(admin, &["apply", file, "--data", data_text, "--json"]);
        assert_eq!(applied.code, 0, "{}", applied.stderr);
        let secret = |name: &str| {
            let lines = applied.stdout.lines();
            let mut lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
            let line = lines.find(|line| line["name"] == name).unwrap();
            line["secret"].as_str().unwrap().to_owned()
        };
        let settings = settings(dir.path());
        let set = settings.iter().flat_map(|setting| ["--set", setting]);
        Self {
            secret: secret("callers/desk"),
            watcher: secret("callers/watcher"),
            server: Server::start_with(&data, &set.collect::<Vec<_>>()),
            dir,
        }
    }

    /// The binary, as a caller with its secret, pointed at the node.
    pub(crate) fn command(&self, caller: &str, secret: &str, args: &[&str]) -> Command {
        let mut command = bare(args);
        command
            .env("CURFEW_ADDRESS", &self.server.grpc)
            .env("CURFEW_TENANT", "acme")
            .env("CURFEW_CALLER", caller)
            .env("CURFEW_SECRET", secret);
        command
    }

    /// Runs a command as the caller that may do everything.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let output = finish(&mut self.command("desk", &self.secret, args), "");
        self.says_no_secret(&output);
        output
    }

    /// Runs a command that is to go well, and gives what it printed.
    #[track_caller]
    pub(crate) fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.code, 0, "{args:?}: {}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Runs a command that is to go well, with `--json`.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.text(&[args, &["--json"]].concat());
        assert_eq!(text.lines().count(), 1, "one value on one line: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Opens a session; its full name.
    #[track_caller]
    pub(crate) fn session(&self, subject: &str) -> String {
        let made = self.json(&["session", "create", "--subject", subject]);
        made["session"]["name"].as_str().unwrap().to_owned()
    }

    /// No output has a caller's secret in it.
    #[track_caller]
    fn says_no_secret(&self, output: &Output) {
        for secret in [&self.secret, &self.watcher] {
            assert!(
                !output.stdout.contains(secret.as_str()),
                "a secret in {}",
                output.stdout
            );
            assert!(
                !output.stderr.contains(secret.as_str()),
                "a secret in {}",
                output.stderr
            );
        }
    }
}

/// The binary with nothing of this environment.
pub(crate) fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    command.args(args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CURFEW_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end, with this on its standard input.
pub(crate) fn finish(command: &mut Command, input: &str) -> Output {
    use std::io::Write as _;
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A command that does not read its input may have ended before.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The error that a command told as JSON.
#[track_caller]
pub(crate) fn error(output: &Output) -> Value {
    let told: Value = serde_json::from_str(&output.stderr).unwrap_or_else(|_| panic!("{}", output.stderr));
    assert_eq!(told["error"]["exitCode"], output.code);
    told["error"].clone()
}

/// A file with this mode.
pub(crate) fn file(dir: &Path, name: &str, content: &str, mode: u32) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

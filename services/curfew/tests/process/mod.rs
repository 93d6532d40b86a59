//! The real binary as a process, and a back end that talks to it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;
use curfew_proto::session::v1 as session;
use curfew_proto::session::v1::session_service_client::SessionServiceClient;
use curfew_proto::token::v1 as token;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

pub const TENANT: &str = "tenants/acme";

pub const SEEDS: &str = r#"
[[tenant]]
name = "acme"

[[tenant.resource]]
id = "orders"
audience = "https://orders.acme.example"
scopes = ["orders.read"]

[[tenant.client]]
id = "web"
auth = "none"

[[caller]]
id = "backend"
roles = ["sessions.write", "sessions.read", "tokens.issue", "revocations.write", "revocations.read"]
tenants = ["*"]
"#;

/// What a finished command printed.
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `curfew` to its end.
pub fn curfew(args: &[&str]) -> Output {
    curfew_as("", args)
}

/// Runs `curfew` to its end, with the first administrator's secret.
pub fn curfew_as(secret: &str, args: &[&str]) -> Output {
    curfew_in(&[("CURFEW_SECRET", secret)], args)
}

/// Runs `curfew` to its end, with this in its environment.
pub fn curfew_in(environment: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    let output = command
        .args(args)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running `curfew serve`, killed when dropped.
pub struct Server {
    child: Child,
    pub grpc: String,
    pub http: String,
    pub told: Vec<String>,
}

impl Server {
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// With further arguments.
    pub fn start_with(data: &Path, more: &[&str]) -> Self {
        Self::start_in(data, more, &[])
    }

    /// With further arguments, in this environment as well.
    pub fn start_in(data: &Path, more: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let into = Stdio::from(log.reopen().unwrap());
        let started = std::panic::catch_unwind(|| Self::start_into(data, more, environment, into));
        started.unwrap_or_else(|failed| {
            // Why a node does not start stands in its log alone.
            eprintln!("{}", std::fs::read_to_string(log.path()).unwrap_or_default());
            std::panic::resume_unwind(failed)
        })
    }

    /// The same, with its log going there.
    pub fn start_into(data: &Path, more: &[&str], environment: &[(&str, &str)], log: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_curfew"))
            .args([
                "serve",
                "--grpc",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
                "--base-url",
                "http://id.example",
            ])
            .arg("--data")
            .arg(data)
            .args(more)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut told = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let is_ready = line == "ready";
            told.push(line);
            if is_ready {
                break;
            }
        }
        let find = |name: &str| {
            let line = told.iter().find(|line| line.starts_with(name));
            line.unwrap_or_else(|| panic!("no {name} in {told:?}"))
                .split_whitespace()
                .nth(1)
                .unwrap()
                .to_owned()
        };
        Self {
            grpc: find("grpc"),
            http: find("http"),
            child,
            told,
        }
    }

    /// SIGKILL: no drain, no goodbye.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP: it is there, and does nothing.
    pub fn stop_the_clock(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(mut self) -> i32 {
        self.signal("-TERM");
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Authorized = InterceptedService<Channel, Bearer>;

#[derive(Clone)]
pub struct Bearer(pub String);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
        let value: MetadataValue<_> = self.0.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// A back end with a caller's token.
#[derive(Clone)]
pub struct Backend {
    pub sessions: SessionServiceClient<Authorized>,
    pub tokens: TokenServiceClient<Authorized>,
    pub revocations: RevocationServiceClient<Authorized>,
    /// Its token.
    pub token: String,
}

/// A connection to this address.
pub async fn channel(address: &str) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

/// A caller's own token, for its id and secret.
pub async fn caller_token(channel: Channel, id: &str, secret: &str) -> Result<String, tonic::Status> {
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    let mut tokens = TokenServiceClient::with_interceptor(channel, Bearer(format!("Basic {basic}")));
    let request = token::IssueAppTokenRequest {
        client: format!("tenants/curfew/clients/{id}"),
        resource: "tenants/curfew/resources/curfew".into(),
        request_id: request_id(),
        ..Default::default()
    };
    let answer = tokens.issue_app_token(request).await?.into_inner();
    Ok(answer.tokens.unwrap().access_token)
}

pub fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl Backend {
    pub async fn new(server: &Server, secret: &str) -> Self {
        Self::known(server, secret).await.unwrap()
    }

    /// The same, where the node may not have read yet that there is such a caller.
    pub async fn known(server: &Server, secret: &str) -> Result<Self, tonic::Status> {
        let channel = channel(&server.grpc).await;
        let token = caller_token(channel.clone(), "backend", secret).await?;
        Ok(Self::with(channel, token))
    }

    /// With a token that was fetched before.
    pub fn with(channel: Channel, token: String) -> Self {
        let bearer = Bearer(format!("Bearer {token}"));
        Self {
            sessions: SessionServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            tokens: TokenServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            revocations: RevocationServiceClient::with_interceptor(channel, bearer),
            token,
        }
    }

    pub async fn sign_in(&self, subject: &str) -> Result<String, tonic::Status> {
        let request = session::CreateSessionRequest {
            parent: TENANT.into(),
            session: Some(session::Session {
                subject: format!("{TENANT}/subjects/{subject}"),
                amr: vec!["pwd".into()],
                ..Default::default()
            }),
            request_id: request_id(),
            correlation_id: String::new(),
        };
        Ok(self
            .sessions
            .clone()
            .create_session(request)
            .await?
            .into_inner()
            .session
            .unwrap()
            .name)
    }

    pub async fn issue(&self, session: &str) -> Result<token::TokenSet, tonic::Status> {
        let request = token::IssueTokensRequest {
            session: session.into(),
            client: format!("{TENANT}/clients/web"),
            resource: format!("{TENANT}/resources/orders"),
            scopes: vec!["offline_access".into(), "orders.read".into()],
            request_id: request_id(),
            ..Default::default()
        };
        Ok(self
            .tokens
            .clone()
            .issue_tokens(request)
            .await?
            .into_inner()
            .tokens
            .unwrap())
    }

    pub async fn refresh(&self, token: &str) -> Result<token::TokenSet, tonic::Status> {
        let request = token::RefreshTokensRequest {
            refresh_token: token.into(),
            client: format!("{TENANT}/clients/web"),
            ..Default::default()
        };
        Ok(self
            .tokens
            .clone()
            .refresh_tokens(request)
            .await?
            .into_inner()
            .tokens
            .unwrap())
    }

    /// Ends a session; the name of the revocation that tells it.
    pub async fn end(&self, session: &str) -> Result<String, tonic::Status> {
        let request = session::EndSessionRequest {
            name: session.into(),
            cause: "signed_out".into(),
            initiator: curfew_proto::log::v1::Initiator::User.into(),
            request_id: request_id(),
            ..Default::default()
        };
        let answer = self.sessions.clone().end_session(request).await?.into_inner();
        Ok(answer
            .session
            .and_then(|session| session.ending)
            .map(|ending| ending.revocation)
            .unwrap_or_default())
    }
}

/// A seeded data directory, and the secrets of its admin and its back end.
pub fn seeded(dir: &Path) -> (String, String) {
    let file = dir.join("seeds.toml");
    std::fs::write(&file, SEEDS).unwrap();
    let data = dir.join("data");
    let made = curfew(&["bootstrap", "--data", data.to_str().unwrap(), "--json"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let made: serde_json::Value = serde_json::from_str(made.stdout.trim()).unwrap();
    let admin = made["secret"].as_str().unwrap().to_owned();
    let applied = apply(&admin, &file, &data);
    (admin, secret_in(&applied, "callers/backend"))
}

/// Applies a file, as this administrator, to a data directory.
pub fn apply(admin: &str, file: &Path, data: &Path) -> Output {
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    curfew_as(admin, &["apply", file, "--data", data, "--json"])
}

/// The secret that was made with a record when it was applied.
pub fn secret_in(applied: &Output, name: &str) -> String {
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    let mut lines = applied
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let made = lines.find(|line| line["name"] == name).unwrap();
    made["secret"].as_str().unwrap().to_owned()
}

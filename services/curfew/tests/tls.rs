//! `curfew serve` with TLS: callers that prove themselves by certificates, and bad files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;

use std::path::{Path, PathBuf};

use curfew_proto::session::v1 as session;
use curfew_proto::session::v1::session_service_client::SessionServiceClient;
use process::{Server, TENANT, curfew, curfew_as, request_id};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

const BACKEND: &str = "spiffe://acme.example/backend";

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate of this name, and its key.
    fn issue(&self, name: SanType) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![name];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn for_uri(&self, uri: &str) -> (String, String) {
        self.issue(SanType::URI(uri.try_into().unwrap()))
    }
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let file = dir.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// A seeded directory whose caller `backend` is known by its certificate, and a secure node on it.
fn secure(dir: &Path, authority: &Authority) -> Server {
    let seeds = format!(
        "[[tenant]]\nname = \"acme\"\n[[caller]]\nid = \"backend\"\nroles = [\"sessions.write\", \"revocations.read\"]\n\
         tenants = [\"acme\"]\ncertificates = [\"uri:{BACKEND}\"]\n"
    );
    let seeds = write(dir, "seeds.toml", &seeds);
    let (certificate, key) = authority.issue(SanType::DnsName("localhost".try_into().unwrap()));
    let config = format!(
        "[grpc.tls]\ncert_file = {:?}\nkey_file = {:?}\nclient_ca_file = {:?}\nclient_certificates = \"optional\"\n",
        write(dir, "tls.crt", &certificate),
        write(dir, "tls.key", &key),
        write(dir, "ca.crt", &authority.pem),
    );
    let config = write(dir, "curfew.toml", &config);
    let more = [
        "--config",
        config.to_str().unwrap(),
        "--seed",
        seeds.to_str().unwrap(),
    ];
    Server::start_with(&dir.join("data"), &more)
}

async fn channel(server: &Server, authority: &Authority, own: Option<&(String, String)>) -> Channel {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&authority.pem))
        .domain_name("localhost");
    if let Some((certificate, key)) = own {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", server.grpc)).unwrap();
    endpoint.tls_config(tls).unwrap().connect_lazy()
}

/// Signs somebody in, with whatever the connection proves.
async fn sign_in(channel: Channel) -> Result<String, tonic::Status> {
    let request = session::CreateSessionRequest {
        parent: TENANT.into(),
        session: Some(session::Session {
            subject: format!("{TENANT}/subjects/alice"),
            amr: vec!["pwd".into()],
            ..Default::default()
        }),
        request_id: request_id(),
        correlation_id: String::new(),
    };
    let made = SessionServiceClient::new(channel).create_session(request).await?;
    Ok(made.into_inner().session.unwrap().name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_proves_itself_by_its_certificate_and_nobody_else_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = secure(dir.path(), &authority);
    assert!(
        server
            .told
            .iter()
            .any(|line| line.starts_with("grpc") && line.ends_with("(TLS)")),
        "{:?}",
        server.told
    );
    let own = authority.for_uri(BACKEND);
    let session = sign_in(channel(&server, &authority, Some(&own)).await)
        .await
        .unwrap();
    assert!(session.starts_with("tenants/acme/sessions/"), "{session}");

    let nobody = sign_in(channel(&server, &authority, None).await)
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    assert!(nobody.message().contains("client certificate"), "{nobody}");

    let other = authority.for_uri("spiffe://acme.example/other");
    let other = sign_in(channel(&server, &authority, Some(&other)).await)
        .await
        .unwrap_err();
    assert_eq!(other.code(), Code::Unauthenticated);
    assert!(other.message().contains("no caller is registered"), "{other}");

    let stranger = Authority::new().for_uri(BACKEND);
    assert!(
        sign_in(channel(&server, &authority, Some(&stranger)).await)
            .await
            .is_err()
    );

    // A guard follows the hub over the same connection.
    let own = authority.for_uri(BACKEND);
    let mut config = curfew_guard::Config::new(["https://orders.acme.example"]);
    config.own = vec![curfew_guard::OwnIssuer::new(
        curfew_core::ids::TenantId::from_bytes([1; 16]),
        "http://id.example/acme",
        curfew_guard::JwksSource::of_url(format!("{}/.well-known/jwks.json", server.http)),
    )];
    let guard = curfew_guard::Guard::new(config, std::sync::Arc::new(curfew_clock::SystemClock)).unwrap();
    let followed = channel(&server, &authority, Some(&own)).await;
    let _running = guard.start([curfew_guard::HubSource::new(followed, "orders", "1").boxed()]);
    let ready = async {
        while !guard.is_ready() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), ready)
        .await
        .expect("the guard is ready");

    // The operator's own commands need no certificate: they have the directory.
    let data = dir.path().join("data");
    let again = curfew(&["bootstrap", "--data", data.to_str().unwrap(), "--json"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stdout.contains("\"created\":false"), "{}", again.stdout);
    assert_eq!(server.terminate(), 0);
}

#[test]
fn bad_files_and_ports_are_named_before_anything_listens() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let authority = Authority::new();
    let localhost = || authority.issue(SanType::DnsName("localhost".try_into().unwrap()));
    let certificate = write(dir.path(), "tls.crt", &localhost().0);
    let key = write(dir.path(), "other.key", &localhost().1);
    let serve = |more: &[&str]| {
        let mut args = vec!["serve", "--data", data.to_str().unwrap(), "--http", "127.0.0.1:0"];
        args.extend_from_slice(more);
        let ended = curfew_as("", &args);
        assert_eq!(ended.code, 1, "{}", ended.stdout);
        ended.stderr
    };
    let cert = format!("grpc.tls.cert_file={}", certificate.display());
    let other = format!("grpc.tls.key_file={}", key.display());
    let mismatch = serve(&["--grpc", "127.0.0.1:0", "--set", &cert, "--set", &other]);
    assert!(
        mismatch.contains("other.key") && mismatch.contains("not the private key"),
        "{mismatch}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let in_use = serve(&["--grpc", &address]);
    assert!(
        in_use.contains(&format!("grpc.listen {address}")) && in_use.contains("in use"),
        "{in_use}"
    );

    let open = serve(&["--grpc", "0.0.0.0:0"]);
    assert!(open.contains("grpc.allow_plaintext"), "{open}");
}

#[test]
fn a_configuration_is_checked_and_shown_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "curfew.toml", "[grpc]\nlistn = \"x\"\n");
    let checked = curfew(&["config", "check", file.to_str().unwrap(), "--json"]);
    assert_eq!(checked.code, 1);
    let told: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(told["ok"], false);
    assert!(
        told["faults"][0]
            .as_str()
            .unwrap()
            .contains("did you mean `grpc.listen`?"),
        "{told}"
    );

    let sample = curfew(&["config", "sample"]).stdout;
    let file = write(dir.path(), "sample.toml", &sample);
    assert_eq!(curfew(&["config", "check", file.to_str().unwrap()]).code, 0);

    let secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";
    let shown = std::process::Command::new(env!("CARGO_BIN_EXE_curfew"))
        .args(["config", "show", "--data", "/elsewhere"])
        .env("CURFEW_KEYS_ROOT_KEY", secret)
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains(secret) && shown.contains("********"), "{shown}");
    let data = shown.lines().find(|line| line.starts_with("data ")).unwrap();
    assert!(data.contains("/elsewhere") && data.ends_with("--data"), "{data}");
}

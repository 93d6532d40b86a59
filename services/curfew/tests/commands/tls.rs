//! A node that speaks TLS, and callers that are known by their certificates.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use crate::desk::{Desk, bare, error, file, finish};
use crate::process::Output;

/// An authority, and what it issued.
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

    fn issue(&self, name: SanType) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![name];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A node on TLS that takes certificates of its callers.
fn secured(authority: &Authority) -> Desk {
    let (certificate, key) = authority.issue(SanType::DnsName("localhost".try_into().unwrap()));
    Desk::with(|dir| {
        vec![
            format!("grpc.tls.cert_file={}", file(dir, "tls.pem", &certificate, 0o644)),
            format!("grpc.tls.key_file={}", file(dir, "tls.key", &key, 0o600)),
            format!(
                "grpc.tls.client_ca_file={}",
                file(dir, "ca.pem", &authority.pem, 0o644)
            ),
            "grpc.tls.client_certificates=optional".to_owned(),
        ]
    })
}

fn ask(desk: &Desk, secret: &str, args: &[&str]) -> Output {
    let port = desk.server.grpc.rsplit(':').next().unwrap();
    let address = format!("localhost:{port}");
    let mut command = bare(&[args, &["--caller", "desk", "--address", &address, "--json"]].concat());
    finish(command.env("CURFEW_SECRET", secret), "")
}

#[test]
fn a_node_on_tls_is_asked_where_its_authority_is_trusted_and_nowhere_else() {
    let authority = Authority::new();
    let desk = secured(&authority);
    let ca = desk.dir.path().join("ca.pem");
    let info = ["server", "info", "--ca", ca.to_str().unwrap()];
    let told = ask(&desk, &desk.secret, &info);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stdout.contains("storeEngine"), "{}", told.stdout);

    let other = file(desk.dir.path(), "other.pem", &Authority::new().pem, 0o644);
    let told = ask(&desk, &desk.secret, &["server", "info", "--ca", &other]);
    assert_eq!(told.code, 5, "{}", told.stderr);
    let said = error(&told)["message"].as_str().unwrap().to_owned();
    assert!(
        said.contains("certificate") && said.contains("https://localhost"),
        "what and where: {said}"
    );
    assert!(!said.contains(&desk.secret));

    // Its own operator needs no certificate: there is a door on loopback, told in the directory.
    let data = desk.dir.path().join("data");
    let mut command = bare(&[
        "server",
        "info",
        "--caller",
        "desk",
        "--data",
        data.to_str().unwrap(),
    ]);
    let told = finish(command.env("CURFEW_SECRET", &desk.secret), "");
    assert_eq!(told.code, 0, "{}", told.stderr);
}

#[test]
fn a_caller_is_known_by_its_certificate_alone() {
    let authority = Authority::new();
    let desk = secured(&authority);
    let dir = desk.dir.path();
    let uri = SanType::URI("spiffe://acme.example/watcher".try_into().unwrap());
    let (certificate, key) = authority.issue(uri);
    let ca = dir.join("ca.pem");
    let tls = [
        "--ca",
        ca.to_str().unwrap(),
        "--cert",
        &file(dir, "own.pem", &certificate, 0o644),
        "--key",
        &file(dir, "own.key", &key, 0o600),
    ];
    let told = ask(&desk, "", &[&["server", "info"][..], &tls].concat());
    assert_eq!(told.code, 0, "{}", told.stderr);
    let denied = ask(
        &desk,
        "",
        &[&["session", "list", "--tenant", "acme"][..], &tls].concat(),
    );
    assert_eq!(
        (denied.code, &error(&denied)["reason"]),
        (3, &"CALLER_ROLE".into())
    );
    // Trusted, and nobody's.
    let (certificate, key) =
        authority.issue(SanType::URI("spiffe://acme.example/nobody".try_into().unwrap()));
    let tls = [
        "--ca",
        ca.to_str().unwrap(),
        "--cert",
        &file(dir, "nobody.pem", &certificate, 0o644),
        "--key",
        &file(dir, "nobody.key", &key, 0o600),
    ];
    let told = ask(&desk, "", &[&["server", "info"][..], &tls].concat());
    assert_eq!(told.code, 4, "{}", told.stderr);
}

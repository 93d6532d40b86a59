use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::client::TlsStream;

use super::*;

/// A client that trusts `authority`, and presents `own`.
async fn connect(
    server: &Server,
    authority: &Authority,
    own: Option<&(String, String)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector
        .connect(ServerName::try_from("localhost").unwrap(), server.connect().await)
        .await
}

fn mutual(dir: &Path, authority: &Authority, wanted: ClientCertificates) -> Arc<Tls> {
    let mut files = files(dir, &authority.for_localhost());
    files.client_ca = Some(write(&dir.join("ca.pem"), &authority.pem, 0o644));
    files.client_certificates = wanted;
    Arc::new(Tls::load(files, Protocol::Grpc, NOW_S).unwrap())
}

/// What a server that wants certificates answers; `None`: nothing.
async fn answer_to(wanted: ClientCertificates, own: Option<(&Authority, SanType)>) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = mutual(dir.path(), &authority, wanted);
    let server = Server::start(Protocol::Grpc, Some(tls), Settings::default()).await;
    let own = own.map(|(other, name)| other.issue(vec![name], 2_090));
    let stream = connect(&server, &authority, own.as_ref()).await.ok()?;
    ask(stream).await.ok()
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_is_told_by_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = mutual(dir.path(), &authority, ClientCertificates::Required);
    let server = Server::start(Protocol::Grpc, Some(tls), Settings::default()).await;
    let name = SanType::URI("spiffe://acme/backend".try_into().unwrap());
    let own = authority.issue(vec![name], 2_090);
    let stream = connect(&server, &authority, Some(&own)).await.unwrap();
    let names = ask(stream).await.unwrap();
    assert!(names.contains("uri:spiffe://acme/backend"), "{names}");
    assert!(names.starts_with("x5t:"), "{names}");
    server.stop().await;
}

#[tokio::test]
async fn whoever_has_no_certificate_is_let_in_only_where_it_is_optional() {
    assert_eq!(
        answer_to(ClientCertificates::Optional, None).await.as_deref(),
        Some("nobody")
    );
    assert_eq!(answer_to(ClientCertificates::Required, None).await, None);
}

#[tokio::test]
async fn a_certificate_of_a_stranger_lets_nobody_in() {
    let stranger = Authority::new();
    for wanted in [ClientCertificates::Optional, ClientCertificates::Required] {
        let name = SanType::URI("spiffe://acme/backend".try_into().unwrap());
        assert_eq!(
            answer_to(wanted, Some((&stranger, name))).await,
            None,
            "{wanted:?}"
        );
    }
}

#[tokio::test]
async fn a_new_certificate_is_presented_to_new_connections_while_old_ones_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = Arc::new(
        Tls::load(
            files(dir.path(), &authority.for_localhost()),
            Protocol::Grpc,
            NOW_S,
        )
        .unwrap(),
    );
    let server = Server::start(Protocol::Grpc, Some(tls.clone()), Settings::default()).await;
    let presented =
        |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let old = connect(&server, &authority, None).await.unwrap();
    let next = authority.for_localhost();
    write(&tls.files().key, &next.1, 0o600);
    write(&tls.files().certificate, &next.0, 0o644);
    assert!(tls.reload(NOW_S).unwrap());
    let new = connect(&server, &authority, None).await.unwrap();
    assert_ne!(presented(&old), presented(&new));
    assert_eq!(
        presented(&new),
        CertificateDer::from_pem_slice(next.0.as_bytes()).unwrap()
    );
    assert_eq!(ask(old).await.unwrap(), "nobody");
    assert_eq!(ask(new).await.unwrap(), "nobody");
}

#[tokio::test]
async fn plain_text_to_a_secure_port_is_answered_by_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = mutual(dir.path(), &authority, ClientCertificates::None);
    let server = Server::start(Protocol::Grpc, Some(tls), Settings::default()).await;
    assert!(ask(server.connect().await).await.is_err());
}

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Reads until the server closes: it returns at all only because there is a bound.
async fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // A reset closes as well.
    drop(stream.read_to_end(&mut read).await);
    read
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A SETTINGS frame without settings (RFC 9113 section 6.5).
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The type of a PING frame.
const PING: u8 = 6;
/// The type of a GOAWAY frame.
const GOAWAY: u8 = 7;

/// The types of the frames in what a server sent.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while bytes.len() >= 9 {
        types.push(bytes[3]);
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    types
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed_in_time_whatever_is_spoken() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let server = Server::start(protocol, None, short()).await;
        let silent = server.connect().await;
        until_closed(silent).await;
    }
}

#[tokio::test]
async fn a_preface_that_comes_by_the_byte_is_not_waited_for() {
    let server = Server::start(Protocol::Grpc, None, short()).await;
    let mut slow = server.connect().await;
    slow.write_all(&PREFACE[..23]).await.unwrap();
    let read = until_closed(slow).await;
    assert!(!frames(&read).contains(&PING));
}

#[tokio::test]
async fn headers_that_come_by_the_byte_are_not_waited_for() {
    let server = Server::start(Protocol::Http, None, short()).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
        .await
        .unwrap();
    until_closed(slow).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), &Authority::new().for_localhost());
    let tls = Arc::new(Tls::load(files, Protocol::Http, NOW_S).unwrap());
    let server = Server::start(Protocol::Http, Some(tls), short()).await;
    until_closed(server.connect().await).await;
}

#[tokio::test]
async fn a_half_open_peer_is_asked_once_and_closed() {
    let server = Server::start(Protocol::Grpc, None, short()).await;
    let mut dead = server.connect().await;
    dead.write_all(PREFACE).await.unwrap();
    dead.write_all(SETTINGS).await.unwrap();
    let read = until_closed(dead).await;
    assert!(frames(&read).contains(&PING), "{read:?}");
}

#[tokio::test]
async fn an_old_connection_is_told_to_go() {
    let settings = Settings {
        connection_age_max: Some(Duration::from_millis(500)),
        keepalive_interval: Duration::from_secs(60),
        ..short()
    };
    let server = Server::start(Protocol::Grpc, None, settings).await;
    let mut stream = server.connect().await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(SETTINGS).await.unwrap();
    let read = until_closed(stream).await;
    assert!(frames(&read).contains(&GOAWAY), "{read:?}");
}

#[test]
fn what_came_together_does_not_leave_together() {
    let settings = Settings::default();
    let age = settings.connection_age_max.unwrap();
    let mut ages: Vec<_> = (0..1_024_u32)
        .map(|n| settings.age_of(n.wrapping_mul(397)).unwrap())
        .collect();
    ages.sort_unstable();
    ages.dedup();
    assert_eq!(ages.len(), 1_024);
    assert!(ages[0] >= age.mul_f64(0.89) && ages[1_023] <= age.mul_f64(1.11));
    let none = Settings {
        connection_age_max: None,
        ..settings
    };
    assert_eq!(none.age_of(7), None);
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_the_others_are_served() {
    let settings = Settings {
        connections_max: 1,
        keepalive_interval: Duration::from_secs(60),
        header_time_max: Duration::from_secs(60),
        ..short()
    };
    let server = Server::start(Protocol::Grpc, None, settings).await;
    let first = server.connect().await;
    assert!(until_closed(server.connect().await).await.is_empty());
    assert_eq!(ask(first).await.unwrap(), "nobody");
}

#[tokio::test]
async fn a_drain_waits_for_no_silent_peer_and_frees_the_port() {
    let settings = Settings {
        header_time_max: Duration::from_secs(60),
        ..short()
    };
    let server = Server::start(Protocol::Grpc, None, settings).await;
    let address = server.address;
    let _silent = server.connect().await;
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let server = Server::start(Protocol::Grpc, None, short()).await;
    let error = Listener::bind("grpc.listen", server.address, None)
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with(&format!("grpc.listen {}", server.address)) && said.contains("in use"),
        "{said}"
    );
}

//! No secret and no whole token in anything that a node says: its log at the finest level, its spans, its
//! metrics, its answers, what commands print.
//!
//! The test makes the secrets, uses every one of them, rightly and wrongly, and looks for them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curfew_proto::admin::v1::caller_service_client::CallerServiceClient;
use curfew_proto::token::v1 as token;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use process::{Backend, Bearer, Server, TENANT, apply, curfew_as, request_id, secret_in, seeded};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// What must be nowhere, and what was said.
#[derive(Default)]
struct Scan {
    secrets: Vec<(String, String)>,
    said: Vec<(&'static str, String)>,
}

impl Scan {
    fn secret(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= 16, "{what} is too short to be looked for");
        self.secrets.push((what.to_owned(), secret.to_owned()));
    }

    /// A token: the whole, and the part without which it is worth nothing.
    fn token(&mut self, what: &str, token: &str) {
        self.secret(what, token);
        let tail = match token.rsplit_once('.') {
            Some((_, signature)) => signature,
            // Salt and tag of a refresh token are its last 32 bytes.
            None => &token[token.len() - 40..],
        };
        self.secret(&format!("the proof of {what}"), tail);
    }

    fn said(&mut self, by: &'static str, text: impl Into<String>) {
        self.said.push((by, text.into()));
    }

    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for (by, text) in &self.said {
            for (what, secret) in &self.secrets {
                if let Some(at) = text.find(secret.as_str()) {
                    let before: String = text[..at].chars().rev().take(120).collect();
                    leaks.push(format!(
                        "{what} in {by} after …{}",
                        before.chars().rev().collect::<String>()
                    ));
                }
            }
        }
        leaks
    }
}

/// A collector that keeps everything as text.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<String>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0
            .lock()
            .unwrap()
            .push_str(&format!("{:?}", request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collect() -> (Collector, String) {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = TraceServiceServer::new(collector.clone());
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    (collector, address)
}

fn told(status: &Status) -> String {
    format!("{status:?} {}", String::from_utf8_lossy(status.details()))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_node_says_holds_a_secret_or_a_whole_token() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (admin, secret) = seeded(dir.path());
    let log = dir.path().join("log");
    let (collector, endpoint) = collect().await;
    let headers = "x-api-key=the-collectors-own-secret";
    let environment = [
        ("CURFEW_LOG_FILTER", "trace"),
        ("CURFEW_LOG_FORMAT", "json"),
        ("CURFEW_OTLP_ENDPOINT", &*endpoint),
        ("CURFEW_OTLP_HEADERS", headers),
    ];
    let file = std::fs::File::create(&log).unwrap();
    let server = Server::start_into(&data, &[], &environment, file.into());
    let mut scan = Scan::default();
    scan.secret("the admin's secret", &admin);
    scan.secret("the back end's secret", &secret);
    scan.secret("the collector's key", "the-collectors-own-secret");
    scan.secret(
        "the back end's Basic",
        &STANDARD.encode(format!("backend:{secret}")),
    );
    let root = std::fs::read_to_string(data.join("root.key")).unwrap();
    scan.secret("the root key", root.trim());

    // A confidential client.
    let seeds = dir.path().join("more.toml");
    let more = "[[tenant]]\nname = \"acme\"\n[[tenant.client]]\nid = \"shop\"\nauth = \"secret\"\n";
    std::fs::write(&seeds, more).unwrap();
    let applied = apply(&admin, &seeds, &data);
    let shop = secret_in(&applied, "tenants/acme/clients/shop");
    scan.secret("the client's secret", &shop);

    // Everything as it should be.
    let backend = Backend::new(&server, &secret).await;
    scan.token("the caller's token", &backend.token);
    let session = backend.sign_in("alice").await.unwrap();
    let first = backend.issue(&session).await.unwrap();
    let second = backend.refresh(&first.refresh_token).await.unwrap();
    for (what, tokens) in [("the first", &first), ("the second", &second)] {
        scan.token(&format!("{what} access token"), &tokens.access_token);
        scan.token(&format!("{what} refresh token"), &tokens.refresh_token);
    }

    // And as it should not: every secret where it has no business.
    let channel = Channel::from_shared(format!("http://{}", server.grpc))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let all: Vec<String> = scan.secrets.iter().map(|(_, secret)| secret.clone()).collect();
    for secret in &all {
        for credential in [
            format!("Bearer {secret}"),
            format!("Basic {}", STANDARD.encode(format!("backend:{secret}x"))),
            format!("Basic {secret}"),
            format!("Curfew-Root {secret}"),
            secret.clone(),
        ] {
            let mut callers = CallerServiceClient::with_interceptor(channel.clone(), Bearer(credential));
            let refused = callers
                .create_caller(curfew_proto::admin::v1::CreateCallerRequest::default())
                .await;
            scan.said("an answer to a credential", told(&refused.unwrap_err()));
        }
        // Misplaced in every field that takes a text.
        for request in [
            token::RefreshTokensRequest {
                refresh_token: secret.clone(),
                client: format!("{TENANT}/clients/shop"),
                ..Default::default()
            },
            token::RefreshTokensRequest {
                refresh_token: format!("{secret}x"),
                client: format!("{TENANT}/clients/web"),
                ..Default::default()
            },
        ] {
            if let Err(refused) = backend.tokens.clone().refresh_tokens(request).await {
                scan.said("an answer to a refresh", told(&refused));
            }
        }
        let request = token::IntrospectTokenRequest {
            parent: TENANT.into(),
            token: secret.clone(),
            ..Default::default()
        };
        match backend.tokens.clone().introspect_token(request).await {
            Ok(answer) => scan.said("an introspection", format!("{answer:?}")),
            Err(refused) => scan.said("an answer to an introspection", told(&refused)),
        }
        let request = token::ExplainTokenRequest {
            parent: TENANT.into(),
            token: format!("{secret}x"),
            ..Default::default()
        };
        match backend.tokens.clone().explain_token(request).await {
            Ok(answer) => scan.said("an explanation", format!("{answer:?}")),
            Err(refused) => scan.said("an answer to an explanation", told(&refused)),
        }
    }
    let mut wrong =
        TokenServiceClient::with_interceptor(channel, Bearer(format!("Bearer {}", backend.token)));
    let request = token::IssueTokensRequest {
        session: session.clone(),
        client: format!("{TENANT}/clients/shop"),
        client_authentication: Some(token::ClientAuthentication {
            method: Some(token::client_authentication::Method::ClientSecret(format!(
                "{shop}x"
            ))),
        }),
        request_id: request_id(),
        ..Default::default()
    };
    scan.said(
        "an answer to a client",
        told(&wrong.issue_tokens(request).await.unwrap_err()),
    );
    // The commands: a token is read from standard input, and inspected.
    let inspected = curfew_as(
        &secret,
        &[
            "token",
            "inspect",
            &second.access_token,
            "--address",
            &server.grpc,
            "--caller",
            "backend",
        ],
    );
    scan.said("a command", format!("{}{}", inspected.stdout, inspected.stderr));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let metrics = reqwest::get(format!("{}/metrics", server.http)).await.unwrap();
    scan.said("metrics", metrics.text().await.unwrap());
    backend.end(&session).await.unwrap();
    scan.said("standard output", server.told.join("\n"));
    assert_eq!(server.terminate(), 0);
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.contains("\"TRACE\""), "the log is at its finest");
    scan.said("the log", logged);
    let spans = collector.0.lock().unwrap().clone();
    assert!(spans.contains("RefreshTokens"), "spans were exported");
    scan.said("spans", spans);

    let leaks = scan.leaks();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));

    // And the search itself finds what is there.
    scan.said("a planted line", format!("token={}", second.refresh_token));
    assert_eq!(scan.leaks().len(), 2, "the whole and its proof");
}

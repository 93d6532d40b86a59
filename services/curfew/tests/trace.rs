//! One trace from a caller through rpc, store, log and hub to a guard in another process, seen by a
//! collector that the test plays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use curfew_clock::SystemClock;
use curfew_core::ids::TenantId;
use curfew_guard::{Config, FixedToken, Guard, HubSource, JwksSource, OwnIssuer};
use curfew_proto::log::v1::Initiator;
use curfew_proto::session::v1::EndSessionRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use process::{Backend, Server, request_id, seeded};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID: &str = "b7ad6b7169203331";
const METHOD: &str = "curfew.session.v1.SessionService/EndSession";

/// A collector that keeps every span, and who sent it.
#[derive(Clone, Default)]
struct Collector(Arc<(Mutex<Vec<Kept>>, Notify)>);

/// Who sent a span, and the span.
type Kept = (String, Span);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        // What a collector may demand, and what must never be in a log.
        assert_eq!(request.metadata().get("x-api-key").unwrap(), "of the collector");
        for resource in request.into_inner().resource_spans {
            let of = resource.resource.unwrap_or_default().attributes;
            let service = of.iter().find(|pair| pair.key == "service.name").unwrap();
            let service = text(service.value.as_ref().and_then(|value| value.value.as_ref()));
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let mut kept = self.0.0.lock().unwrap();
            kept.extend(spans.map(|span| (service.clone(), span)));
        }
        self.0.1.notify_waiters();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = TraceServiceServer::new(collector.clone());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        (collector, address)
    }

    /// The spans of the trace, by name.
    fn of_trace(&self) -> BTreeMap<String, Span> {
        let kept = self.0.0.lock().unwrap();
        let ours = kept.iter().filter(|(_, span)| hex(&span.trace_id) == TRACE_ID);
        ours.map(|(_, span)| (span.name.clone(), span.clone())).collect()
    }

    /// Waits until the trace has a span of each of these names.
    async fn wait_for(&self, names: &[&str]) -> BTreeMap<String, Span> {
        let whole = async {
            loop {
                let more = self.0.1.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                let spans = self.of_trace();
                if names.iter().all(|name| spans.contains_key(*name)) {
                    return spans;
                }
                more.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), whole).await;
        waited.unwrap_or_else(|_| panic!("not all of {names:?} in {:?}", self.of_trace().keys()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn check(span: &Span, key: &str, expected: &str) {
    let pair = span.attributes.iter().find(|pair| pair.key == key);
    let pair = pair.unwrap_or_else(|| panic!("{} has no {key}: {:?}", span.name, span.attributes));
    let found = text(pair.value.as_ref().and_then(|value| value.value.as_ref()));
    assert_eq!(found, expected, "{key} of {}", span.name);
}

fn guard(server: &Server) -> Guard {
    let mut config = Config::new(["https://orders.acme.example"]);
    let keys = JwksSource::Url(format!("{}/.well-known/jwks.json", server.http));
    config.own = vec![OwnIssuer::new(
        TenantId::from_bytes([1; 16]),
        "http://id.example/acme",
        keys,
    )];
    Guard::new(config, Arc::new(SystemClock)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_caller_to_the_guard() {
    let (collector, endpoint) = Collector::start().await;
    // The guarded program exports its own spans: here, the test is that program.
    let installed = curfew_telemetry::install(&curfew_telemetry::Settings {
        log_filter: "off".to_owned(),
        log_format: curfew_telemetry::LogFormat::Text,
        otlp: Some(curfew_telemetry::Otlp {
            endpoint: endpoint.clone(),
            sample_ratio: 1.0,
            headers: vec![("x-api-key".to_owned(), "of the collector".to_owned())],
            timeout: Duration::from_secs(5),
            instance: "guard".to_owned(),
        }),
    })
    .unwrap();

    let dir = tempfile::tempdir().unwrap();
    let (_, secret) = seeded(dir.path());
    let environment = [
        ("CURFEW_OTLP_ENDPOINT", endpoint.as_str()),
        ("CURFEW_OTLP_HEADERS", "x-api-key=of the collector"),
        // What begins at the node itself is not of interest; what a caller decided is.
        ("CURFEW_OTLP_SAMPLE_RATIO", "0"),
    ];
    let server = Server::start_in(&dir.path().join("data"), &[], &environment);
    let backend = Backend::new(&server, &secret).await;
    let session = backend.sign_in("alice").await.unwrap();

    let guard = guard(&server);
    let source = HubSource::connect(&format!("http://{}", server.grpc), "orders", "1").unwrap();
    let bearer = FixedToken(backend.token.clone());
    let _running = guard.start([source.bearer(Arc::new(bearer)).boxed()]);
    let ready = async {
        while !guard.is_ready() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ready)
        .await
        .unwrap();

    let mut request = Request::new(EndSessionRequest {
        name: session,
        cause: "signed_out".into(),
        initiator: Initiator::User.into(),
        request_id: request_id(),
        ..Default::default()
    });
    let traceparent = format!("00-{TRACE_ID}-{SPAN_ID}-01");
    request
        .metadata_mut()
        .insert("traceparent", traceparent.parse().unwrap());
    backend.sessions.clone().end_session(request).await.unwrap();

    let spans = collector
        .wait_for(&[
            METHOD,
            "curfew.transact",
            "read",
            "commit",
            "curfew.log.append",
            "curfew.follower.apply",
            "curfew.hub.send",
            "curfew.guard.apply",
        ])
        .await;
    let call = &spans[METHOD];
    assert_eq!(
        hex(&call.parent_span_id),
        SPAN_ID,
        "the caller's span is the parent"
    );
    assert_eq!(call.kind, SpanKind::Server as i32);
    check(call, "rpc.system.name", "grpc");
    check(call, "rpc.method", METHOD);
    check(call, "rpc.response.status_code", "OK");
    check(call, "curfew.caller", "backend");
    let transact = &spans["curfew.transact"];
    assert_eq!(transact.parent_span_id, call.span_id);
    for operation in ["read", "commit"] {
        let span = &spans[operation];
        assert_eq!(span.kind, SpanKind::Client as i32);
        check(span, "db.system.name", "embedded");
        check(span, "db.operation.name", operation);
    }
    assert_eq!(spans["commit"].parent_span_id, transact.span_id);
    check(&spans["commit"], "curfew.commit.outcome", "committed");
    let append = &spans["curfew.log.append"];
    check(append, "messaging.system", "embedded");
    // Whoever applies the record elsewhere knows of the call alone.
    for (name, kind) in [
        ("curfew.follower.apply", SpanKind::Consumer),
        ("curfew.hub.send", SpanKind::Producer),
        ("curfew.guard.apply", SpanKind::Consumer),
    ] {
        let span = &spans[name];
        assert_eq!(span.parent_span_id, call.span_id, "{name}");
        assert_eq!(span.kind, kind as i32, "{name}");
        let id = append
            .attributes
            .iter()
            .find(|pair| pair.key == "messaging.message.id");
        assert!(
            span.attributes.contains(id.unwrap()),
            "{name} is of the same record"
        );
    }
    assert_eq!(server.terminate(), 0);

    let kept = collector.0.0.lock().unwrap().clone();
    let began_there = kept
        .iter()
        .filter(|(_, span)| span.name.ends_with("CreateSession"));
    assert_eq!(
        began_there.count(),
        0,
        "a ratio of 0 exports nothing that begins here"
    );
    drop(kept);
    tokio::task::spawn_blocking(|| installed.stop()).await.unwrap();
}

//! A hub on a socket: cold start, tail, a broken stream, reports.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;

use curfew_proto::revocation::v1::revocation_service_server::{RevocationService, RevocationServiceServer};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Response;

use super::*;

type Frames = mpsc::Receiver<Result<pb::WatchRevocationsResponse, Status>>;
type Asked = (pb::WatchRevocationsRequest, Option<String>);

#[derive(Clone, Default)]
struct FakeHub {
    streams: Arc<Mutex<VecDeque<Frames>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    reports: Arc<Mutex<Vec<pb::ReportProgressRequest>>>,
}

macro_rules! unused {
    ($($name:ident $request:ident $response:ident)*) => {
        #[async_trait]
        impl RevocationService for FakeHub {
            $(
                async fn $name(&self, _: Request<pb::$request>) -> Result<Response<pb::$response>, Status> {
                    Err(Status::unimplemented("not this one"))
                }
            )*

            type WatchRevocationsStream =
                Pin<Box<dyn Stream<Item = Result<pb::WatchRevocationsResponse, Status>> + Send>>;

            async fn watch_revocations(
                &self,
                request: Request<pb::WatchRevocationsRequest>,
            ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
                let token = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
                self.asked.lock().unwrap().push((request.into_inner(), token));
                let mut frames = self.streams.lock().unwrap().pop_front().ok_or_else(|| Status::unavailable("none"))?;
                let stream = futures_util::stream::poll_fn(move |context| frames.poll_recv(context));
                Ok(Response::new(Box::pin(stream)))
            }

            async fn report_progress(
                &self,
                request: Request<pb::ReportProgressRequest>,
            ) -> Result<Response<pb::ReportProgressResponse>, Status> {
                self.reports.lock().unwrap().push(request.into_inner());
                let report_interval = Some(duration(200));
                Ok(Response::new(pb::ReportProgressResponse { report_interval, ..Default::default() }))
            }
        }
    };
}

unused! {
    create_revocation CreateRevocationRequest CreateRevocationResponse
    batch_create_revocations BatchCreateRevocationsRequest BatchCreateRevocationsResponse
    get_revocation GetRevocationRequest GetRevocationResponse
    list_revocations ListRevocationsRequest ListRevocationsResponse
    wait_revocation WaitRevocationRequest WaitRevocationResponse
    list_subscribers ListSubscribersRequest ListSubscribersResponse
}

impl FakeHub {
    /// The next stream that the hub will serve.
    fn stream(&self) -> mpsc::Sender<Result<pb::WatchRevocationsResponse, Status>> {
        let (sender, frames) = mpsc::channel(64);
        self.streams.lock().unwrap().push_back(frames);
        sender
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let seen = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), seen).await.is_ok(),
        "never: {what}"
    );
}

#[tokio::test]
async fn a_guard_follows_a_hub_through_a_broken_stream_and_reports() {
    let hub = FakeHub::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(RevocationServiceServer::new(hub.clone()));
    let _server = tokio::task::JoinSet::from_iter([async { server.serve_with_incoming(incoming).await }]);

    let bench = Bench::with(|config| config.bound_ms = 60_000);
    let (first, second) = (hub.stream(), hub.stream());
    let send = async |stream: &mpsc::Sender<_>, frames: Vec<Frame>| {
        for frame in frames {
            stream.send(Ok(response(frame))).await.unwrap();
        }
    };
    let source = HubSource::connect(&address, "orders", "orders-1").unwrap();
    let source = source
        .bearer(Arc::new(FixedToken("secret".into())))
        .routes([Requirements::any().named("pay")]);
    let running = bench.guard.start([source.boxed()]);
    send(&first, vec![begin(false)]).await;
    send(&first, snapshot(&[revocation("sid", &sid(2).to_string())], &[])).await;
    send(&first, beats(10, NOW.plus_ms(1))).await;
    until("ready", || bench.guard.is_ready()).await;
    bench.admitted(&bench.token());
    send(&first, vec![record(11, &revocation("sub", "alice"))]).await;
    until("revoked", || bench.check(&bench.token()).is_err()).await;
    bench.refused(&bench.token(), Reason::TokenRevoked);

    // The stream breaks; the guard comes again from where it was.
    drop(first);
    until("a second stream", || hub.asked.lock().unwrap().len() == 2).await;
    send(&second, vec![begin(true)]).await;
    send(&second, vec![record(12, &revocation("sub", "carol"))]).await;
    let carol = bench.token_with("sub", serde_json::json!("carol"));
    until("revoked", || bench.check(&carol).is_err()).await;
    assert!(bench.guard.is_ready(), "resumed without a reload");
    {
        let asked = hub.asked.lock().unwrap();
        assert_eq!(asked[0].1.as_deref(), Some("Bearer secret"));
        assert!(asked[0].0.positions.is_empty());
        assert_eq!(
            asked[1].0.positions[usize::from(LOG.home_of(partition()).0)].next_offset,
            12
        );
        let subscriber = asked[1].0.subscriber.as_ref().unwrap();
        assert_eq!(
            (subscriber.name.as_str(), subscriber.replica.as_str()),
            ("orders", "orders-1")
        );
        let routes: Vec<_> = subscriber
            .routes
            .iter()
            .map(|route| route.route.as_str())
            .collect();
        assert_eq!(routes, ["*", "pay"]);
        assert_eq!(subscriber.routes[0].bound, Some(duration(60_000)));
    }
    // Soon after a revocation was applied: how far the guard is, and nothing else.
    until("a report", || !hub.reports.lock().unwrap().is_empty()).await;
    let soon = hub.reports.lock().unwrap()[0].clone();
    let place = usize::from(LOG.home_of(partition()).0);
    assert!(soon.positions[place].next_offset >= 12 && soon.refusals.is_empty());
    // Now and then: what it saw.
    let is_whole = |report: &&pb::ReportProgressRequest| !report.refusals.is_empty();
    let whole = || hub.reports.lock().unwrap().iter().find(is_whole).cloned();
    until("a whole report", || whole().is_some()).await;
    let report = whole().unwrap();
    assert_eq!(report.log_id, LOG.log_id);
    assert!(report.health.unwrap().ready);
    let refusals = report
        .refusals
        .iter()
        .find(|refusal| refusal.reason == "TOKEN_REVOKED")
        .unwrap();
    assert!(refusals.count >= 2 && !refusals.samples.is_empty());
    assert_eq!(report.activity.len(), 1);
    assert_eq!(report.activity[0].gid, gid(1).to_string());
    running.stop().await;
}

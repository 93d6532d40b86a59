//! ENFORCED over the wire: who is waited for, who confirms, what is told when the time is over.

use std::time::Duration;

use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use tonic::Request;

use super::world::{TENANT, World, by};

/// X of the guards here, s.
const X: i64 = 5;

fn subscriber(replica: &str, rule: pb::StaleRule, bound_s: Option<i64>) -> pb::Subscriber {
    pb::Subscriber {
        name: "orders".to_owned(),
        replica: replica.to_owned(),
        source: pb::FollowerSource::Hub.into(),
        audiences: vec!["https://orders.example".to_owned()],
        routes: vec![pb::RouteBound {
            route: "*".to_owned(),
            stale_rule: rule.into(),
            bound: bound_s.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            report_only: false,
        }],
        min_reader: 1,
        ..Default::default()
    }
}

impl World {
    /// A guard that is as far as the node itself, or so many records further.
    async fn report(&self, subscriber: pb::Subscriber, further: u64) {
        let follower = self.authority.follower();
        let next = follower.positions().unwrap();
        let positions = (0..).zip(next).map(|(partition, next)| pb::Watermark {
            partition,
            next_offset: next + further,
        });
        let report = pb::ReportProgressRequest {
            subscriber: Some(subscriber),
            log_id: follower.log().log_id.to_vec(),
            positions: positions.collect(),
            report_id: self.id(),
            ..Default::default()
        };
        let told = self
            .revocations()
            .report_progress(by(&self.backend, report))
            .await;
        assert!(!told.unwrap().into_inner().reload);
    }

    fn revoking(&self, scope: Scope) -> Request<pb::CreateRevocationRequest> {
        let request = pb::CreateRevocationRequest {
            parent: TENANT.to_owned(),
            scope: Some(scope),
            ack_level: pb::AckLevel::Enforced.into(),
            request_id: self.id(),
            ..Default::default()
        };
        by(&self.backend, request)
    }

    async fn waiting(&self, revocation: &str, timeout_s: i64) -> pb::WaitRevocationResponse {
        let wait = pb::WaitRevocationRequest {
            name: revocation.to_owned(),
            level: pb::AckLevel::Enforced.into(),
            timeout: Some(prost_types::Duration {
                seconds: timeout_s,
                nanos: 0,
            }),
        };
        let waited = self.revocations().wait_revocation(by(&self.backend, wait)).await;
        waited.unwrap().into_inner()
    }
}

fn alice() -> Scope {
    Scope::Subject(pb::SubjectScope {
        subject: format!("{TENANT}/subjects/alice"),
        except: Vec::new(),
    })
}

fn replicas(list: &[pb::FollowerStatus]) -> Vec<&str> {
    list.iter().map(|status| &*status.replica).collect()
}

#[tokio::test]
async fn a_revocation_is_enforced_once_every_guard_has_reported_past_it() {
    let world = World::new().await;
    world.open("alice").await;
    for replica in ["r1", "r2"] {
        let guard = subscriber(replica, pb::StaleRule::Deny, Some(X));
        world.report(guard, 0).await;
    }
    let mut revocations = world.revocations();
    let revoking = revocations.create_revocation(world.revoking(alice()));
    let reporting = async {
        // One after the other: the answer is not told before the second one.
        for replica in ["r1", "r2"] {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let guard = subscriber(replica, pb::StaleRule::Deny, Some(X));
            world.report(guard, 1).await;
        }
    };
    let (answer, ()) = tokio::join!(revoking, reporting);
    let told = answer.unwrap().into_inner().acknowledgement.unwrap();
    assert_eq!(told.level(), pb::AckLevel::Enforced);
    assert_eq!(replicas(&told.confirmed), ["r1", "r2"]);
    assert_eq!(told.confirmed[0].bound.unwrap().seconds, X);
    assert!(told.pending.is_empty() && told.waited_out.is_empty() && told.unbounded.is_empty());
}

#[tokio::test]
async fn a_guard_that_says_nothing_is_told_as_pending_and_waited_out_after_its_bound() {
    let world = World::new().await;
    world.open("alice").await;
    world
        .report(subscriber("silent", pb::StaleRule::Deny, Some(X)), 0)
        .await;
    world
        .report(subscriber("capped", pb::StaleRule::AgeCap, Some(600)), 0)
        .await;
    let mut request = world.revoking(alice());
    request.set_timeout(Duration::from_secs(2));
    let answer = world.revocations().create_revocation(request).await.unwrap();
    let told = answer.into_inner().acknowledgement.unwrap();
    assert_eq!(told.level(), pb::AckLevel::Durable, "told in time, as what it is");
    assert_eq!(replicas(&told.pending), ["capped", "silent"]);
    let until = |replica: &str| {
        let one = told.pending.iter().find(|one| one.replica == replica).unwrap();
        one.time.unwrap().seconds
    };
    assert_eq!(until("capped") - until("silent"), 600 - X);

    world.advance(7_000).await;
    let waited = world.waiting(&told.revocation, 0).await;
    assert!(!waited.reached);
    let told = waited.acknowledgement.unwrap();
    assert_eq!(told.level(), pb::AckLevel::Durable);
    assert_eq!(replicas(&told.waited_out), ["silent"]);
    assert_eq!(replicas(&told.pending), ["capped"]);

    world
        .report(subscriber("capped", pb::StaleRule::AgeCap, Some(600)), 0)
        .await;
    let waited = world.waiting(&told.revocation, 10).await;
    assert!(waited.reached);
    let told = waited.acknowledgement.unwrap();
    assert_eq!(told.level(), pb::AckLevel::Enforced);
    assert_eq!(replicas(&told.confirmed), ["capped"]);
    assert_eq!(replicas(&told.waited_out), ["silent"]);
}

#[tokio::test]
async fn a_guard_without_a_bound_is_told_and_not_waited_for() {
    let world = World::new().await;
    world.open("alice").await;
    world
        .report(subscriber("open", pb::StaleRule::Allow, None), 0)
        .await;
    let answer = world
        .revocations()
        .create_revocation(world.revoking(alice()))
        .await
        .unwrap();
    let told = answer.into_inner().acknowledgement.unwrap();
    assert_eq!(told.level(), pb::AckLevel::Enforced);
    assert_eq!(replicas(&told.unbounded), ["open"]);
    assert!(told.unbounded[0].bound.is_none());
}

#[tokio::test]
async fn a_wide_revocation_is_enforced_once_it_is_applied_in_every_partition() {
    let world = World::new().await;
    let whole = Scope::Tenant(pb::TenantScope {});
    let guard = || subscriber("r1", pb::StaleRule::Deny, Some(X));
    world.report(guard(), 0).await;
    let mut request = world.revoking(whole);
    request.set_timeout(Duration::from_secs(1));
    let answer = world.revocations().create_revocation(request).await.unwrap();
    let told = answer.into_inner().acknowledgement.unwrap();
    assert_eq!(told.positions.len(), 4);
    assert_eq!(replicas(&told.pending), ["r1"]);

    let lagging = &told.positions[1];
    let positions = told.positions.iter().map(|position| pb::Watermark {
        partition: position.partition,
        next_offset: position.offset + u64::from(position != lagging),
    });
    let mut report = pb::ReportProgressRequest {
        subscriber: Some(guard()),
        log_id: told.log_id.clone(),
        positions: positions.collect(),
        report_id: world.id(),
        ..Default::default()
    };
    let mut revocations = world.revocations();
    let sent = revocations
        .report_progress(by(&world.backend, report.clone()))
        .await;
    sent.unwrap();
    assert!(!world.waiting(&told.revocation, 0).await.reached);
    report.positions[1].next_offset += 1;
    report.report_id = world.id();
    revocations
        .report_progress(by(&world.backend, report))
        .await
        .unwrap();
    assert!(world.waiting(&told.revocation, 10).await.reached);
}

#[tokio::test]
async fn a_guard_is_in_the_store_before_it_is_ready_and_stays_there_for_others() {
    let world = World::new().await;
    let request = pb::WatchRevocationsRequest {
        subscriber: Some(subscriber("r1", pb::StaleRule::Deny, Some(X))),
        ..Default::default()
    };
    let mut revocations = world.revocations();
    let frames = revocations.watch_revocations(by(&world.backend, request));
    let mut frames = frames.await.unwrap().into_inner();
    frames.message().await.unwrap().expect("it begins");
    use curfew_core::place::Partition;
    use curfew_core::stored::{Key, Record};
    use curfew_ports::store::Store as _;
    let key = Key::Lease("orders".into(), "r1".into());
    let read = world.store.read(Partition::DIRECTORY, &[key]).await.unwrap();
    let stored = read.values[0].as_ref().expect("registered");
    let Record::Lease(lease) = &stored.record else {
        panic!("{stored:?}")
    };
    assert_eq!(&*lease.caller, "backend");
    assert_eq!(lease.bound_ms, Some(X * 1_000));
    assert_eq!(lease.counts_until.ms_since(lease.seen), 35_000);
}

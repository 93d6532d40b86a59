//! The feed: snapshot and tail, resume, a peer that does not read, drain, what is withheld; reports.

use std::time::Duration;

use curfew_core::place::LogPartition;
use curfew_core::record::{Heartbeat, LogRecord, Skip, UnknownRecord};
use curfew_ports::log::Log as _;
use curfew_proto::admin::v1 as admin;
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;
use curfew_proto::revocation::v1::watch_revocations_response::Frame;
use curfew_wire::{SnapshotSum, decode_entry, decode_log};
use tonic::{Code, Streaming};

use super::world::{TENANT, World, by, faults, reason};

type Frames = Streaming<pb::WatchRevocationsResponse>;

async fn next(frames: &mut Frames) -> Option<Frame> {
    let wait = tokio::time::timeout(Duration::from_secs(20), frames.message());
    wait.await
        .expect("a frame comes")
        .unwrap()
        .map(|response| response.frame.expect("a frame"))
}

/// What a reader has of a stream.
#[derive(Debug, Default)]
struct Read {
    begin: pb::Begin,
    entries: usize,
    raw: Vec<pb::TailRecord>,
    positions: Vec<u64>,
}

impl Read {
    /// Reads until the snapshot is complete, and checks that it is.
    async fn snapshot(frames: &mut Frames) -> Self {
        let Some(Frame::Begin(begin)) = next(frames).await else {
            panic!("no begin")
        };
        let mut read = Self {
            positions: begin
                .snapshot_positions
                .iter()
                .map(|mark| mark.next_offset)
                .collect(),
            begin,
            ..Self::default()
        };
        if read.begin.resumed {
            return read;
        }
        let mut sum = SnapshotSum::default();
        loop {
            match next(frames).await {
                Some(Frame::Snapshot(snapshot)) => {
                    for entry in snapshot.entries {
                        let entry = decode_entry(entry).unwrap();
                        sum.entry(entry.winner.id, entry.keep_until);
                        read.entries += 1;
                    }
                }
                Some(Frame::Raw(raw)) => {
                    for record in raw.records {
                        sum.raw(&record.envelope);
                        read.raw.push(record);
                    }
                }
                Some(Frame::SnapshotEnd(end)) => {
                    assert_eq!(
                        (end.count, end.checksum),
                        (sum.clone().end().0, sum.end().1.to_vec())
                    );
                    return read;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Takes one place of the tail, which must be the next of its partition.
    fn take(&mut self, position: &pb::Position) {
        let next = &mut self.positions[position.partition as usize];
        assert_eq!(position.offset, *next, "in order, without a gap");
        *next += 1;
    }

    /// Reads the tail until this many records with bytes came; gives them and how many were withheld.
    async fn tail(&mut self, frames: &mut Frames, shown: usize) -> (Vec<LogRecord>, usize) {
        let (mut records, mut withheld) = (Vec::new(), 0);
        while records.len() < shown {
            match next(frames).await {
                Some(Frame::Records(batch)) => {
                    for record in batch.records {
                        self.take(&record.position.unwrap());
                        if record.envelope.is_empty() {
                            withheld += 1;
                        } else {
                            records.push(decode_log(&record.envelope));
                        }
                    }
                }
                Some(Frame::Heartbeat(beat)) => self.take(&beat.position.unwrap()),
                Some(Frame::Frozen(_) | Frame::IssuerChanges(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        (records, withheld)
    }

    fn watermarks(&self) -> Vec<pb::Watermark> {
        (0..)
            .zip(&self.positions)
            .map(|(partition, next_offset)| pb::Watermark {
                partition,
                next_offset: *next_offset,
            })
            .collect()
    }
}

impl World {
    async fn watch(&self, token: &str, request: pb::WatchRevocationsRequest) -> Frames {
        self.revocations()
            .watch_revocations(by(token, request))
            .await
            .unwrap()
            .into_inner()
    }

    /// Watches as soon as there is a place.
    async fn watch_patiently(&self, request: &pb::WatchRevocationsRequest) -> Frames {
        loop {
            match self
                .revocations()
                .watch_revocations(by(&self.admin, request.clone()))
                .await
            {
                Ok(frames) => return frames.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
            }
        }
    }

    async fn revoke_device(&self, parent: &str, device: &str) {
        let request = pb::CreateRevocationRequest {
            parent: parent.to_owned(),
            scope: Some(Scope::Device(pb::DeviceScope {
                device: device.to_owned(),
            })),
            request_id: self.id(),
            ..Default::default()
        };
        self.revocations()
            .create_revocation(by(&self.admin, request))
            .await
            .unwrap();
    }

    async fn revoke_subject(&self, parent: &str, subject: &str) {
        let request = pb::CreateRevocationRequest {
            parent: parent.to_owned(),
            scope: Some(Scope::Subject(pb::SubjectScope {
                subject: format!("{parent}/subjects/{subject}"),
                except: Vec::new(),
            })),
            request_id: self.id(),
            ..Default::default()
        };
        self.revocations()
            .create_revocation(by(&self.admin, request))
            .await
            .unwrap();
    }

    /// Another tenant.
    async fn other_tenant(&self) -> String {
        let request = admin::CreateTenantRequest {
            tenant_id: "other".to_owned(),
            request_id: self.id(),
            ..Default::default()
        };
        self.tenants()
            .create_tenant(by(&self.admin, request))
            .await
            .unwrap();
        "tenants/other".to_owned()
    }

    /// Waits until the node has read the whole log.
    async fn heard(&self) {
        let ends: Vec<u64> = self
            .log
            .bounds()
            .await
            .unwrap()
            .iter()
            .map(|bounds| bounds.end)
            .collect();
        while self
            .authority
            .follower()
            .positions()
            .is_none_or(|positions| positions < ends)
        {
            tokio::task::yield_now().await;
        }
    }
}

fn is_of_device(record: &LogRecord, device: &str) -> bool {
    matches!(record, LogRecord::Revocation(revocation)
        if revocation.all_of.iter().any(|one| &*one.claim == "deviceid" && &*one.value == device))
}

#[tokio::test]
async fn a_snapshot_is_followed_by_the_tail_without_a_gap_and_a_stream_resumes_where_it_was() {
    let world = World::new().await;
    world.revoke_device(TENANT, "before").await;
    world.heard().await;
    let mut frames = world.watch(&world.admin, Default::default()).await;
    let mut read = Read::snapshot(&mut frames).await;
    assert_eq!(read.entries, 4, "a wide mark is in every partition's index");
    assert_eq!((read.begin.partitions, read.begin.store_partitions), (4, 1_024));
    assert!(read.begin.issuers.iter().any(|entry| {
        entry.tenant_name == TENANT && entry.jwks_uri == "https://id.example/acme/.well-known/jwks.json"
    }));
    world.revoke_device(TENANT, "after").await;
    let (records, withheld) = read.tail(&mut frames, 4).await;
    assert!(
        records.iter().all(|record| is_of_device(record, "after")),
        "{records:?}"
    );
    assert_eq!(withheld, 0);
    world.advance(2_000).await;
    let Some(Frame::Heartbeat(beat)) = next(&mut frames).await else {
        panic!("no heartbeat")
    };
    read.take(&beat.position.unwrap());
    let LogRecord::Heartbeat(Heartbeat { stamp, .. }) = decode_log(&beat.envelope) else {
        panic!("{beat:?}")
    };
    assert_eq!(stamp, world.authority.now().wall, "as it was stamped");
    drop(frames);

    world.revoke_device(TENANT, "meanwhile").await;
    let resume = pb::WatchRevocationsRequest {
        positions: read.watermarks(),
        log_id: read.begin.log_id.clone(),
        ..Default::default()
    };
    let mut frames = world.watch(&world.admin, resume.clone()).await;
    let mut again = Read::snapshot(&mut frames).await;
    assert!(again.begin.resumed);
    let (records, _) = again.tail(&mut frames, 4).await;
    assert!(records.iter().all(|record| is_of_device(record, "meanwhile")));

    let mut other_log = resume.clone();
    other_log.log_id = vec![9; 16];
    let mut frames = world.watch(&world.admin, other_log).await;
    let Some(Frame::Resume(told)) = next(&mut frames).await else {
        panic!("no resume")
    };
    assert_eq!(
        (told.reason(), told.positions.len()),
        (pb::ResumeReason::OtherLog, 0)
    );
    assert_eq!(next(&mut frames).await, None);

    // The log no longer has what comes next for it; this node does.
    world.log.trim(LogPartition(0), read.positions[0] + 1);
    let mut frames = world.watch(&world.admin, resume.clone()).await;
    let mut again = Read::snapshot(&mut frames).await;
    assert!(again.begin.resumed);
    let (records, _) = again.tail(&mut frames, 4).await;
    assert!(records.iter().all(|record| is_of_device(record, "meanwhile")));

    // What neither has is told, never skipped.
    let oldest = read.watermarks().into_iter().map(|watermark| pb::Watermark {
        next_offset: 0,
        ..watermark
    });
    let too_old = pb::WatchRevocationsRequest {
        positions: oldest.collect(),
        ..resume
    };
    let mut frames = world.watch(&world.admin, too_old).await;
    let Some(Frame::Resume(told)) = next(&mut frames).await else {
        panic!("no resume")
    };
    assert_eq!(
        (told.reason(), told.positions.len()),
        (pb::ResumeReason::OutOfRange, 0)
    );
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_told_where_it_was_and_loses_nothing() {
    let world = World::with(|settings| {
        settings.subscriber_queue_bytes = 16 << 10;
        settings.subscriber_wait = Duration::from_millis(500);
        settings.subscribers_max = 1;
    })
    .await;
    // Small windows, so that the transport swallows little before the queue fills.
    let narrow = tonic::transport::Endpoint::from_shared(format!("http://{}", world.address))
        .unwrap()
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(64 << 10);
    let mut narrow = RevocationServiceClient::new(narrow.connect().await.unwrap());
    let watch = by(&world.admin, pb::WatchRevocationsRequest::default());
    let mut frames = narrow.watch_revocations(watch).await.unwrap().into_inner();
    let mut read = Read::snapshot(&mut frames).await;
    let mut written = 0;
    for _ in 0..6 {
        let requests = (0..100).map(|i| pb::CreateRevocationRequest {
            scope: Some(Scope::Subject(pb::SubjectScope {
                subject: format!("{TENANT}/subjects/{i}-{}", "x".repeat(200)),
                except: Vec::new(),
            })),
            request_id: world.id(),
            ..Default::default()
        });
        let batch = pb::BatchCreateRevocationsRequest {
            parent: TENANT.to_owned(),
            requests: requests.collect(),
        };
        let made = world
            .revocations()
            .batch_create_revocations(by(&world.admin, batch))
            .await
            .unwrap();
        written += made.into_inner().results.len();
    }
    // Its place is free once it was given up: only then is anything read.
    drop(world.watch_patiently(&Default::default()).await);
    let mut seen = 0;
    let resume = loop {
        match next(&mut frames).await.expect("a typed end") {
            Frame::Records(batch) => {
                for record in batch.records {
                    read.take(&record.position.unwrap());
                    seen += 1;
                }
            }
            Frame::Heartbeat(beat) => read.take(&beat.position.unwrap()),
            Frame::IssuerChanges(_) => {}
            Frame::Resume(resume) => break resume,
            Frame::Begin(_)
            | Frame::Snapshot(_)
            | Frame::Raw(_)
            | Frame::SnapshotEnd(_)
            | Frame::Frozen(_) => {
                panic!("a frame out of order")
            }
        }
    };
    assert_eq!(resume.reason(), pb::ResumeReason::Slow);
    assert_eq!(resume.positions, read.watermarks(), "exactly what it took");
    assert!(seen < written, "{seen} of {written}: it was not slow");
    assert_eq!(next(&mut frames).await, None);
    let request = pb::WatchRevocationsRequest {
        positions: resume.positions,
        log_id: read.begin.log_id.clone(),
        ..Default::default()
    };
    let mut frames = world.watch_patiently(&request).await;
    let mut again = Read::snapshot(&mut frames).await;
    let (records, _) = again.tail(&mut frames, written - seen).await;
    assert_eq!(records.len(), written - seen);
}

#[tokio::test]
async fn a_drain_ends_every_stream_with_its_positions() {
    let mut world = World::new().await;
    world.revoke_device(TENANT, "d").await;
    world.heard().await;
    let mut frames = world.watch(&world.admin, Default::default()).await;
    let read = Read::snapshot(&mut frames).await;
    world.stop.take().unwrap().send(()).unwrap();
    let Some(Frame::Resume(resume)) = next(&mut frames).await else {
        panic!("no resume")
    };
    assert_eq!(
        (resume.reason(), resume.positions),
        (pb::ResumeReason::Draining, read.watermarks())
    );
    assert_eq!(next(&mut frames).await, None);
    (&mut world.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn another_tenants_records_are_withheld_but_their_places_are_kept() {
    let world = World::new().await;
    let other = world.other_tenant().await;
    world.revoke_device(&other, "theirs-before").await;
    world.revoke_device(TENANT, "ours-before").await;
    world.heard().await;
    let mut frames = world.watch(&world.backend, Default::default()).await;
    let mut read = Read::snapshot(&mut frames).await;
    assert_eq!(read.entries, 4, "ours alone");
    assert!(read.begin.issuers.iter().all(|entry| entry.tenant_name == TENANT));
    world.revoke_device(&other, "theirs").await;
    world.revoke_subject(&other, "alice").await;
    world.revoke_device(TENANT, "ours").await;
    let (records, withheld) = read.tail(&mut frames, 4).await;
    assert!(
        records.iter().all(|record| is_of_device(record, "ours")),
        "{records:?}"
    );
    // Four copies of the device's record, one of the subject's; sealed directory records are none of ours either.
    assert!(withheld >= 5, "{withheld}");

    // The other tenant is not to be asked for; one's own may be narrowed to an issuer.
    let ask = pb::WatchRevocationsRequest {
        tenants: vec![other],
        ..Default::default()
    };
    let refused = world
        .revocations()
        .watch_revocations(by(&world.backend, ask))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "CALLER_TENANT")
    );
    let ask = pb::WatchRevocationsRequest {
        issuers: vec![format!("{TENANT}/issuers/{}", world.id())],
        ..Default::default()
    };
    let refused = world
        .revocations()
        .watch_revocations(by(&world.backend, ask))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "ISSUER_ENTRY_UNKNOWN")
    );
}

#[tokio::test]
async fn a_record_that_nobody_here_can_read_freezes_its_partition_and_goes_on_as_bytes() {
    let world = World::new().await;
    let mut frames = world.watch(&world.admin, Default::default()).await;
    let mut read = Read::snapshot(&mut frames).await;
    let raw: std::sync::Arc<[u8]> = [8, 99, 16, 99].as_slice().into();
    let unknown = LogRecord::Unknown(UnknownRecord {
        raw: raw.clone(),
        why: "of the future".into(),
    });
    world.log.append(LogPartition(2), &unknown).await.unwrap();
    let (records, _) = read.tail(&mut frames, 1).await;
    assert!(matches!(&records[0], LogRecord::Unknown(unknown) if unknown.raw == raw));
    let Some(Frame::Frozen(frozen)) = next(&mut frames).await else {
        panic!("not told")
    };
    assert_eq!(frozen.partition, 2);
    // A second one: each must be skipped by its own hash.
    world.log.append(LogPartition(2), &unknown).await.unwrap();
    let (records, _) = read.tail(&mut frames, 1).await;
    assert_eq!(records.len(), 1);
    let Some(Frame::Frozen(second)) = next(&mut frames).await else {
        panic!("not told")
    };
    let beat = || async {
        world.heard().await;
        let records = world.log.records(LogPartition(2));
        let beat = records
            .into_iter()
            .find(|record| matches!(record, LogRecord::Heartbeat(_)));
        world.log.append(LogPartition(2), &beat.unwrap()).await.unwrap();
    };
    beat().await;
    world.revoke_device(TENANT, "still").await;
    let (records, withheld) = read.tail(&mut frames, 4).await;
    assert_eq!(
        (records.len(), withheld),
        (4, 1),
        "the heartbeat's place, not the heartbeat"
    );
    world.heard().await;
    let mut tailing = frames;
    let mut frames = world.watch(&world.admin, Default::default()).await;
    let read = Read::snapshot(&mut frames).await;
    assert_eq!((read.raw.len(), read.raw[0].envelope.as_ref()), (2, &*raw));
    assert_eq!(read.raw[0].position.unwrap().partition, 2);
    assert!(!read.begin.freshness[2].frozen_reason.is_empty());
    let skip = |frozen: &pb::Frozen| {
        LogRecord::Skip(Skip {
            log: world.authority.follower().log(),
            partition: LogPartition(2),
            offset: frozen.position.unwrap().offset,
            record_hash: frozen.record_hash.as_slice().try_into().unwrap(),
            by: "operator".into(),
            reason: "test".into(),
        })
    };
    for (frozen, is_forwarded) in [(&frozen, false), (&second, true)] {
        world.log.append(LogPartition(2), &skip(frozen)).await.unwrap();
        beat().await;
        let found = loop {
            match next(&mut tailing).await {
                Some(Frame::Heartbeat(_)) => break true,
                Some(Frame::Records(batch))
                    if batch.records.iter().any(|record| record.envelope.is_empty()) =>
                {
                    break false;
                }
                Some(Frame::Records(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(found, is_forwarded);
    }
}

#[tokio::test]
async fn followers_register_report_are_listed_and_leave() {
    let world = World::new().await;
    let subscriber = pb::Subscriber {
        name: "orders".to_owned(),
        replica: "r1".to_owned(),
        source: pb::FollowerSource::Hub.into(),
        audiences: vec!["https://orders.example".to_owned()],
        routes: vec![pb::RouteBound {
            route: "*".to_owned(),
            stale_rule: pb::StaleRule::Deny.into(),
            bound: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
            report_only: false,
        }],
        min_reader: 1,
        ..Default::default()
    };
    let request = pb::WatchRevocationsRequest {
        subscriber: Some(subscriber.clone()),
        ..Default::default()
    };
    let mut frames = world.watch(&world.backend, request).await;
    let read = Read::snapshot(&mut frames).await;
    let mut report = pb::ReportProgressRequest {
        subscriber: Some(subscriber),
        log_id: read.begin.log_id.clone(),
        positions: read.watermarks(),
        report_id: world.id(),
        ..Default::default()
    };
    let mut revocations = world.revocations();
    let told = revocations
        .report_progress(by(&world.backend, report.clone()))
        .await
        .unwrap()
        .into_inner();
    assert!(!told.reload && told.registered_time.is_some());
    let list = pb::ListSubscribersRequest {
        audience: "https://orders.example".to_owned(),
        ..Default::default()
    };
    let listed = revocations
        .list_subscribers(by(&world.backend, list.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.subscribers.len(), 1);
    let lease = &listed.subscribers[0];
    assert_eq!(
        (lease.caller.as_str(), &lease.positions),
        ("callers/backend", &read.watermarks())
    );
    assert_eq!(lease.largest_bound.unwrap().seconds, 5);
    let stranger = world.caller("stranger", &["revocations.read"], &[TENANT]).await;
    let unseen = revocations
        .list_subscribers(by(&stranger, list.clone()))
        .await
        .unwrap()
        .into_inner();
    assert!(
        unseen.subscribers.is_empty(),
        "a caller of some tenants sees its own followers"
    );

    let mut of_another = report.clone();
    of_another.log_id = vec![9; 16];
    let told = revocations
        .report_progress(by(&world.backend, of_another))
        .await
        .unwrap()
        .into_inner();
    assert!(told.reload && told.lease_expire_time.is_none());
    let mut bad = report.clone();
    bad.positions.pop();
    bad.refusals = vec![pb::RefusalReport::default(); 257];
    let refused = revocations
        .report_progress(by(&world.backend, bad))
        .await
        .unwrap_err();
    assert_eq!(faults(&refused), ["refusals", "positions"]);
    report.leaving = true;
    report.report_id = world.id();
    // A stranger speaks for nobody's guard but its own, and takes none off the list.
    let refused = revocations
        .report_progress(by(&stranger, report.clone()))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "ALREADY_EXISTS");
    revocations
        .report_progress(by(&world.backend, report))
        .await
        .unwrap();
    let listed = revocations
        .list_subscribers(by(&world.admin, list))
        .await
        .unwrap()
        .into_inner();
    assert!(listed.subscribers.is_empty());
}

#[tokio::test]
async fn subscribers_are_counted_and_too_many_are_shed() {
    let world = World::with(|settings| settings.subscribers_max = 1).await;
    let mut frames = world.watch(&world.admin, Default::default()).await;
    Read::snapshot(&mut frames).await;
    let refused = world
        .revocations()
        .watch_revocations(by(&world.admin, Default::default()))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "OVERLOADED")
    );
    drop(frames);
    // The place is free as soon as the server has noticed.
    world.watch_patiently(&Default::default()).await;
}

#[tokio::test]
async fn a_stream_does_not_outlive_the_token_that_opened_it() {
    let world = World::new().await;
    let token = world.caller("follower", &["revocations.read"], &["*"]).await;
    let mut frames = world.watch(&token, pb::WatchRevocationsRequest::default()).await;
    Read::snapshot(&mut frames).await;
    // It lives for ten minutes, and guards allow one of skew.
    world.advance(12 * 60_000).await;
    loop {
        match next(&mut frames).await {
            Some(Frame::Resume(resume)) => {
                assert_eq!(resume.reason(), pb::ResumeReason::NotAllowed);
                return;
            }
            Some(Frame::Heartbeat(_) | Frame::Records(_) | Frame::IssuerChanges(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

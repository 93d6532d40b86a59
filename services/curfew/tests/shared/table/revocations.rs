//! Revocations, and those who follow them.

use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::create_revocation_request::Scope;

use super::Pair;
use crate::process::{TENANT, request_id};
use crate::servers::until;

fn of_device(device: &str) -> pb::CreateRevocationRequest {
    pb::CreateRevocationRequest {
        parent: TENANT.to_owned(),
        scope: Some(Scope::Device(pb::DeviceScope {
            device: device.to_owned(),
        })),
        request_id: request_id(),
        ..Default::default()
    }
}

/// Made here, waited for, read and listed there; followers of either node hear it.
pub(super) async fn revocations_made_here_are_heard_there(pair: &Pair) {
    // A stream is of the node that it is opened at.
    let request = pb::WatchRevocationsRequest {
        tenants: vec![TENANT.to_owned()],
        ..Default::default()
    };
    let mut frames = pair
        .there
        .revocations()
        .watch_revocations(request)
        .await
        .unwrap()
        .into_inner();
    let first = frames.message().await.unwrap().unwrap().frame;
    let Some(pb::watch_revocations_response::Frame::Begin(begin)) = first else {
        panic!("{first:?}")
    };

    let request = of_device("first");
    let made = pair
        .twice(async |way| {
            let made = way
                .revocations()
                .create_revocation(request.clone())
                .await?
                .into_inner();
            Ok(made.revocation.unwrap())
        })
        .await;
    let wait = pb::WaitRevocationRequest {
        name: made.name.clone(),
        level: pb::AckLevel::Durable.into(),
        ..Default::default()
    };
    let waited = pair
        .there
        .revocations()
        .wait_revocation(wait)
        .await
        .unwrap()
        .into_inner();
    assert!(waited.reached);
    let get = pb::GetRevocationRequest {
        name: made.name.clone(),
    };
    let found = pair
        .there
        .revocations()
        .get_revocation(get)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.revocation.unwrap(), made);
    until("the stream of the other node has it", async || {
        let frame = frames.message().await.unwrap().unwrap().frame;
        match frame {
            Some(pb::watch_revocations_response::Frame::Records(records)) => {
                let text = format!("{records:?}");
                text.contains("first").then_some(())
            }
            _ => None,
        }
    })
    .await;

    let batch = pb::BatchCreateRevocationsRequest {
        parent: TENANT.to_owned(),
        requests: vec![of_device("second"), of_device("third")],
    };
    let names = pair
        .twice(async |way| {
            let made = way
                .revocations()
                .batch_create_revocations(batch.clone())
                .await?
                .into_inner();
            let names = made
                .results
                .into_iter()
                .map(|result| match result.result.unwrap() {
                    pb::batch_result::Result::Response(made) => made.revocation.unwrap().name,
                    pb::batch_result::Result::Failure(failure) => panic!("{failure:?}"),
                });
            Ok(names.collect::<Vec<_>>())
        })
        .await;
    for name in names {
        for way in [&pair.here, &pair.there] {
            let wait = pb::WaitRevocationRequest {
                name: name.clone(),
                ..Default::default()
            };
            assert!(
                way.revocations()
                    .wait_revocation(wait)
                    .await
                    .unwrap()
                    .into_inner()
                    .reached
            );
        }
    }
    listed(pair).await;
    followers(pair, begin.log_id).await;
}

async fn listed(pair: &Pair) {
    let listed = pair.pages(async |way, page_token| {
        let request = pb::ListRevocationsRequest {
            parent: TENANT.to_owned(),
            page_size: 1,
            page_token,
            filter: Some(pb::RevocationFilter {
                scope: "device".to_owned(),
                ..Default::default()
            }),
        };
        let page = way.revocations().list_revocations(request).await?.into_inner();
        Ok((page.revocations, page.next_page_token))
    });
    assert_eq!(listed.await.len(), 3);
}

/// Who reports to a node is listed by every node.
async fn followers(pair: &Pair, log_id: Vec<u8>) {
    let report = pb::ReportProgressRequest {
        subscriber: Some(pb::Subscriber {
            name: "orders".to_owned(),
            replica: "1".to_owned(),
            source: pb::FollowerSource::Hub.into(),
            ..Default::default()
        }),
        log_id,
        positions: (0..8)
            .map(|partition| pb::Watermark {
                partition,
                next_offset: 0,
            })
            .collect(),
        report_id: request_id(),
        tenants: vec![TENANT.to_owned()],
        ..Default::default()
    };
    for way in [&pair.here, &pair.there] {
        let told = way
            .revocations()
            .report_progress(report.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(!told.reload && told.registered_time.is_some());
    }
    // Whichever node is asked, and whichever took the report.
    for way in [&pair.here, &pair.there] {
        let named = pb::ListSubscribersRequest {
            name: "orders".to_owned(),
            ..Default::default()
        };
        let listed = way.revocations().list_subscribers(named).await;
        assert_eq!(listed.unwrap().into_inner().subscribers.len(), 1);
    }
}

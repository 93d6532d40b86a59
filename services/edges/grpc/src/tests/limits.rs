//! What the server bears: too much, too large, too long; health, reflection, drain.

use std::time::Duration;

use curfew_proto::session::v1 as session;
use tokio_stream_next::next;
use tonic::{Code, Request};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

use super::world::{TENANT, World, by, faults, reason};

mod tokio_stream_next {
    //! The next message of a stream that must have one.

    pub(super) async fn next<T>(stream: &mut tonic::Streaming<T>) -> T {
        stream.message().await.unwrap().expect("a message")
    }
}

fn get(name: &str) -> session::GetSessionRequest {
    session::GetSessionRequest {
        name: name.to_owned(),
    }
}

#[tokio::test]
async fn a_full_house_sheds_calls_and_looks_neither_dead_nor_like_nobody() {
    let world = World::with(|settings| settings.calls_max = 1).await;
    let session = world.open("alice").await;
    let end = session::EndSessionRequest {
        name: session.clone(),
        request_id: world.id(),
        ..Default::default()
    };
    let held = world.store.delay_next();
    let mut sessions = world.sessions();
    let token = world.backend.clone();
    let ending = tokio::spawn(async move { sessions.end_session(by(&token, end)).await });
    held.arrived().await;
    let refused = world
        .sessions()
        .get_session(by(&world.backend, get(&session)))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "OVERLOADED")
    );
    assert!(refused.get_error_details().retry_info().is_some());
    held.release();
    ending.await.unwrap().unwrap();
    world
        .sessions()
        .get_session(by(&world.backend, get(&session)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_call_that_takes_too_long_has_an_outcome_that_is_not_known() {
    let world = World::with(|settings| settings.call_time_max = Duration::from_millis(300)).await;
    let session = world.open("alice").await;
    let held = world.store.delay_next();
    let end = session::EndSessionRequest {
        name: session.clone(),
        request_id: world.id(),
        ..Default::default()
    };
    let refused = world
        .sessions()
        .end_session(by(&world.backend, end.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "STORE_UNAVAILABLE")
    );
    assert!(refused.get_error_details().retry_info().is_some());
    held.release();
    // The same arguments again: it converges, whatever became of the first try.
    world
        .sessions()
        .end_session(by(&world.backend, end))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_call_is_not_worked_on_for_longer_than_its_caller_waits() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let held = world.store.delay_next();
    let end = session::EndSessionRequest {
        name: session,
        request_id: world.id(),
        ..Default::default()
    };
    // Without tonic's client, which would give up by itself.
    let message = prost::Message::encode_to_vec(&end);
    let refused = world
        .raw("EndSession", &[("grpc-timeout", "300m")], 0, &message)
        .await;
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    // A tenth is for the way back.
    assert!(refused.message().contains("within 270ms"), "{refused}");
    held.release();
}

#[tokio::test]
async fn a_compressed_bomb_is_refused_by_name_and_never_unpacked() {
    let world = World::new().await;
    // 100 MB of zeros, as `gzip -9` makes them: 97 KB. What is in it does not matter, because nobody looks.
    let bomb = vec![0x1f; 97 << 10];
    let refused = world
        .raw("EndSession", &[("grpc-encoding", "gzip")], 1, &bomb)
        .await;
    assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
    assert_eq!(reason(&refused), "NOT_IMPLEMENTED", "{refused:?}");
    assert!(refused.message().contains("compressed with `gzip`"), "{refused}");
    // The mark of compression alone, without its name.
    let refused = world.raw("EndSession", &[], 1, &bomb).await;
    assert_eq!(faults(&refused), ["(message)"]);
    assert!(refused.message().contains("compressed-flag"), "{refused}");
    let session = world.open("alice").await;
    let got = world
        .sessions()
        .get_session(by(&world.backend, get(&session)))
        .await;
    assert!(got.is_ok(), "and the others are served");
}

#[tokio::test]
async fn metadata_over_the_limit_names_both_sizes() {
    let world = World::new().await;
    let large = "x".repeat(20 << 10);
    let refused = world.raw("EndSession", &[("x-large", &large)], 0, &[]).await;
    assert_eq!(faults(&refused), ["(metadata)"]);
    assert!(refused.message().contains("16384"), "{refused}");
}

#[tokio::test]
async fn a_store_that_is_away_is_unavailable_and_nothing_else() {
    let world = World::new().await;
    let session = world.open("alice").await;
    world.store.go_down();
    let refused = world
        .sessions()
        .get_session(by(&world.backend, get(&session)))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    world.store.come_up();
    world
        .sessions()
        .get_session(by(&world.backend, get(&session)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_connection_lives() {
    let world = World::new().await;
    let refused = world
        .sessions()
        .get_session(by(&world.backend, get(&"a".repeat(300 << 10))))
        .await
        .unwrap_err();
    assert_eq!(super::world::faults(&refused), ["(message)"]);
    assert_eq!(reason(&refused), "FIELD_INVALID");
    assert!(
        refused.message().contains("the limit is: 262144 bytes"),
        "{refused:?}"
    );
    let refused = world
        .sessions()
        .get_session(by(&world.backend, get("x")))
        .await
        .unwrap_err();
    assert_eq!(faults(&refused), ["name"]);
}

#[tokio::test]
async fn health_needs_no_caller_and_tells_ready_from_live() {
    let world = World::new().await;
    let mut health = HealthClient::new(world.channel.clone());
    for service in ["live", "ready", ""] {
        let mut watched = health
            .watch(HealthCheckRequest {
                service: service.to_owned(),
            })
            .await
            .unwrap()
            .into_inner();
        // The first look happens as soon as the server runs.
        while next(&mut watched).await.status() != ServingStatus::Serving {}
    }
    let mut watched = health
        .watch(HealthCheckRequest {
            service: "ready".to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(next(&mut watched).await.status(), ServingStatus::Serving);
    world.clock.advance(6_000);
    assert_eq!(
        next(&mut watched).await.status(),
        ServingStatus::NotServing,
        "the tail is stale"
    );
    let live = health
        .check(HealthCheckRequest {
            service: "live".to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(live.status(), ServingStatus::Serving);
}

#[tokio::test]
async fn reflection_lists_every_service_to_anybody() {
    let world = World::new().await;
    let mut reflection = ServerReflectionClient::new(world.channel.clone());
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = futures_util::stream::iter([ask]);
    let mut answers = reflection
        .server_reflection_info(Request::new(asked))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = next(&mut answers).await.message_response else {
        panic!("another answer");
    };
    let found: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    let pool = prost_reflect::DescriptorPool::decode(curfew_proto::FILE_DESCRIPTOR_SET).unwrap();
    for service in pool
        .services()
        .filter(|service| service.package_name().starts_with("curfew."))
    {
        assert!(
            found.iter().any(|name| name == service.full_name()),
            "{}",
            service.full_name()
        );
    }
    assert!(found.iter().any(|name| name == "grpc.health.v1.Health"));
}

#[tokio::test]
async fn a_silent_peer_does_not_hold_up_the_drain() {
    let mut world =
        World::with(|settings| settings.transport.drain_time_max = Duration::from_millis(200)).await;
    // Connects, and never says a word: hyper alone would wait for its preface for ever.
    let silent = tokio::net::TcpStream::connect(world.address).await.unwrap();
    world.stop.take().unwrap().send(()).unwrap();
    let served = tokio::time::timeout(Duration::from_secs(10), &mut world.serving).await;
    served.expect("the drain ends").unwrap().unwrap();
    drop(silent);
}

#[tokio::test]
async fn an_unknown_session_is_not_found_where_it_is_named_and_dead_where_it_is_used() {
    let world = World::new().await;
    let real = world.open("alice").await;
    // Another id of the same partition: only the random bits differ.
    let mut name = real.clone();
    let last = if name.pop() == Some('0') { '1' } else { '0' };
    name.push(last);
    let refused = world
        .sessions()
        .get_session(by(&world.backend, get(&name)))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "NOT_FOUND")
    );
    let request = world.issue_request(&name);
    let refused = world
        .tokens()
        .issue_tokens(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "SESSION_UNKNOWN")
    );
    assert!(name.starts_with(TENANT));
}

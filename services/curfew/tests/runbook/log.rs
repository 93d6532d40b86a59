//! A record that nobody can read; the topic is lost: the log's pages.

use std::io::Write as _;
use std::process::{Command, Stdio};

use curfew_proto::revocation::v1 as revocation;
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::session::v1 as session;

use super::process::{Backend, TENANT, request_id};
use super::servers::{self, Servers, backend, guard, readiness, until};
use super::{Following, admits, refuses};

const TOPIC: &str = "curfew.revocations.v1";

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_nobody_can_read_is_skipped_as_the_page_says() {
    let servers = Servers::start();
    let ([node], secrets) = servers.seeded_nodes::<1>();
    let asked = backend(&node, &secrets.backend).await;
    let session = asked.sign_in("alice").await.unwrap();
    let tokens = asked.issue(&session).await.unwrap();
    let (guard, _running) = guard(&node, &asked, &tokens.access_token).await;
    admits(&guard, &tokens.access_token).await;

    let mut kcat = Command::new("kcat")
        .args(["-P", "-b", &servers.kafka.bootstrap(), "-t", TOPIC, "-p", "3"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat is missing: apt-get install kcat");
    kcat.stdin.take().unwrap().write_all(b"hi").unwrap();
    assert!(kcat.wait().unwrap().success());
    until("the guard is frozen", async || {
        (!guard.frozen().is_empty()).then_some(())
    })
    .await;

    let directory = tempfile::tempdir().unwrap();
    let environment = [
        ("CURFEW_ADDRESS", node.grpc.as_str()),
        ("CURFEW_SECRET", secrets.admin.as_str()),
    ];
    let mut page = Following::page("A record that nobody can read", directory.path(), &environment);
    page.next();
    page.next();
    until("the guard thaws", async || {
        guard.frozen().is_empty().then_some(())
    })
    .await;
    until("the node thaws", async || readiness(&node).await.0.then_some(())).await;
    page.next();
    page.end();
    admits(&guard, &tokens.access_token).await;
}

async fn sign_in_on(backend: &Backend, subject: &str, device: &str) -> String {
    let request = session::CreateSessionRequest {
        parent: TENANT.into(),
        session: Some(session::Session {
            subject: format!("{TENANT}/subjects/{subject}"),
            amr: vec!["pwd".into()],
            device: Some(session::Device {
                id: device.into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        request_id: request_id(),
        correlation_id: String::new(),
    };
    let made = backend.sessions.clone().create_session(request).await.unwrap();
    made.into_inner().session.unwrap().name
}

async fn revoke_device(backend: &Backend, device: &str) {
    let request = revocation::CreateRevocationRequest {
        parent: TENANT.into(),
        scope: Some(Scope::Device(revocation::DeviceScope {
            device: device.into(),
        })),
        request_id: request_id(),
        ..Default::default()
    };
    backend
        .revocations
        .clone()
        .create_revocation(request)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_topic_is_replaced_as_the_page_says_and_nobody_is_signed_out() {
    let servers = Servers::start();
    let ([node, other], secrets) = servers.seeded_nodes::<2>();
    let asked = backend(&node, &secrets.backend).await;
    let ended = asked.sign_in("alice").await.unwrap();
    let of_ended = asked.issue(&ended).await.unwrap();
    let on_phone = sign_in_on(&asked, "carol", "phone-1").await;
    let of_phone = asked.issue(&on_phone).await.unwrap();
    let alive = asked.sign_in("bob").await.unwrap();
    let alive = asked.issue(&alive).await.unwrap();
    let (guard, _running) = guard(&node, &asked, &alive.access_token).await;
    asked.end(&ended).await.unwrap();
    revoke_device(&asked, "phone-1").await;
    refuses(&guard, &of_ended.access_token).await;
    refuses(&guard, &of_phone.access_token).await;

    servers
        .kafka
        .tool("kafka-topics", &["--delete", "--topic", TOPIC])
        .unwrap();
    let settings = [
        "cleanup.policy=delete",
        "message.timestamp.type=LogAppendTime",
        "retention.ms=604800000",
        "retention.bytes=-1",
        "unclean.leader.election.enable=false",
    ];
    let mut made = vec![
        "--create",
        "--topic",
        TOPIC,
        "--partitions",
        "8",
        "--replication-factor",
        "1",
    ];
    made.extend(settings.iter().flat_map(|setting| ["--config", setting]));
    until("the topic is made again", async || {
        servers.kafka.tool("kafka-topics", &made).ok()
    })
    .await;
    for node in [&node, &other] {
        until("the node notices", async || {
            (!readiness(node).await.0).then_some(())
        })
        .await;
    }

    let directory = tempfile::tempdir().unwrap();
    let environment = [
        ("CURFEW_ADDRESS", node.grpc.as_str()),
        ("CURFEW_SECRET", secrets.admin.as_str()),
    ];
    until("the loss is told", async || {
        let told = super::process::curfew_in(
            &[("CURFEW_SECRET", &secrets.admin)],
            &["admin", "partitions", "--json", "--address", &node.grpc],
        );
        let told: serde_json::Value = serde_json::from_str(&told.stdout).ok()?;
        (told["logLost"] == true).then_some(())
    })
    .await;
    let mut page = Following::page("The topic is lost", directory.path(), &environment);
    page.next();
    page.next();
    page.next();
    page.end();

    for node in [&node, &other] {
        until("the node is ready", async || {
            readiness(node).await.0.then_some(())
        })
        .await;
        let asked = backend(node, &secrets.backend).await;
        for tokens in [&of_ended, &of_phone] {
            let refused = asked.refresh(&tokens.refresh_token).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
        }
    }
    until("the guard is fresh again", async || {
        (!guard.is_stale()).then_some(())
    })
    .await;
    for tokens in [&of_ended, &of_phone] {
        refuses(&guard, &tokens.access_token).await;
    }
    admits(&guard, &alive.access_token).await;
    let renewed = asked.refresh(&alive.refresh_token).await.unwrap();

    // A node, and a guard, that know the new log alone.
    let third = servers.node();
    let asked = backend(&third, &secrets.backend).await;
    let (fresh, _running) = servers::guard(&third, &asked, &renewed.access_token).await;
    admits(&fresh, &renewed.access_token).await;
    for tokens in [&of_ended, &of_phone] {
        refuses(&fresh, &tokens.access_token).await;
    }
}

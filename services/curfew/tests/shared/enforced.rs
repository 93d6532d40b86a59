//! ENFORCED on real servers: two nodes, a guard on a hub's stream, one on Kafka itself.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_clock::SystemClock;
use curfew_guard::{
    Config, FixedToken, Guard, HubSource, JwksSource, OwnIssuer, Reporter, Requirements, Running, Source,
    Stale,
};
use curfew_guard_kafka::{KafkaSource, options};
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::create_revocation_request::Scope;

use super::process::{Backend, Server, TENANT, curfew_in, request_id};
use super::servers::{Servers, backend, until};

/// A guard of the orders API, ready.
async fn guard(server: &Server, access_token: &str, source: Box<dyn Source>) -> (Guard, Running) {
    let claims = URL_SAFE_NO_PAD
        .decode(access_token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    let mut config = Config::new(["https://orders.acme.example"]);
    config.stale = Stale::Deny;
    config.own = vec![OwnIssuer::new(
        claims["tid"].as_str().unwrap().parse().unwrap(),
        claims["iss"].as_str().unwrap(),
        JwksSource::Url(format!("{}/.well-known/jwks.json", server.http)),
    )];
    let guard = Guard::new(config, Arc::new(SystemClock)).unwrap();
    let running = guard.start([source]);
    until("the guard is ready", async || guard.is_ready().then_some(())).await;
    (guard, running)
}

fn hub(server: &Server, backend: &Backend, replica: &str) -> HubSource {
    let hub = HubSource::connect(&format!("http://{}", server.grpc), "orders", replica).unwrap();
    hub.bearer(Arc::new(FixedToken(backend.token.clone())))
}

fn names(list: &[pb::FollowerStatus]) -> Vec<String> {
    let mut names: Vec<_> = list
        .iter()
        .map(|status| match &*status.name {
            // Their replicas have a word that no other process has drawn.
            "authority" => status.name.clone(),
            name => format!("{name} {}", status.replica),
        })
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_took_no_report_says_when_guards_on_a_hub_and_on_kafka_enforce() {
    let servers = Servers::start();
    let ([here, there], secrets) = servers.seeded_nodes();
    let on_here = backend(&here, &secrets.backend).await;
    let on_there = backend(&there, &secrets.backend).await;
    let session = on_here.sign_in("alice").await.unwrap();
    let tokens = on_here.issue(&session).await.unwrap();
    let of_hub = hub(&here, &on_here, "hub").boxed();
    let of_kafka = KafkaSource::new(options(&servers.kafka.bootstrap())).unwrap();
    let of_kafka = of_kafka
        .reporting(Reporter::to(hub(&here, &on_here, "kafka")))
        .boxed();
    let (of_hub, _hub) = guard(&here, &tokens.access_token, of_hub).await;
    let (of_kafka, _kafka) = guard(&here, &tokens.access_token, of_kafka).await;
    let refuses = |guard: &Guard| {
        guard
            .check(tokens.access_token.as_str(), &Requirements::any())
            .is_err()
    };
    assert!(!refuses(&of_hub) && !refuses(&of_kafka));

    for (subject, wide) in [("alice", false), ("bob", true)] {
        let scope = match wide {
            false => Scope::Subject(pb::SubjectScope {
                subject: format!("{TENANT}/subjects/{subject}"),
                ..Default::default()
            }),
            // In every log partition.
            true => Scope::Client(pb::ClientScope {
                client: format!("{TENANT}/clients/web"),
            }),
        };
        let request = pb::CreateRevocationRequest {
            parent: TENANT.to_owned(),
            scope: Some(scope),
            ack_level: pb::AckLevel::Enforced.into(),
            request_id: request_id(),
            ..Default::default()
        };
        let answer = on_there.revocations.clone().create_revocation(request).await;
        let told = answer.unwrap().into_inner().acknowledgement.unwrap();
        assert_eq!(told.level(), pb::AckLevel::Enforced, "{told:?}");
        assert_eq!(told.positions.len() > 1, wide);
        assert_eq!(
            names(&told.confirmed),
            ["authority", "authority", "orders hub", "orders kafka"],
            "by report, nobody by time: {told:?}"
        );
        assert!(
            refuses(&of_hub) && refuses(&of_kafka),
            "what is ENFORCED is refused"
        );
    }

    // Both nodes list everybody, with where each reads from.
    for node in [&here, &there] {
        let told = curfew_in(
            &[("CURFEW_SECRET", &secrets.backend)],
            &["guards", "--address", &node.grpc, "--caller", "backend", "--json"],
        );
        assert_eq!(told.code, 0, "{}", told.stderr);
        let told: serde_json::Value = serde_json::from_str(told.stdout.trim()).unwrap();
        let mut sources: Vec<_> = told["subscribers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|lease| lease["subscriber"]["source"].as_str().unwrap().to_owned())
            .collect();
        sources.sort();
        assert!(
            sources.contains(&"FOLLOWER_SOURCE_HUB".to_owned())
                && sources.contains(&"FOLLOWER_SOURCE_LOG".to_owned()),
            "{sources:?}"
        );
    }
}

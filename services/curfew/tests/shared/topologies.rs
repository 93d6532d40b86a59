//! The same story on a Redis Cluster and on Sentinels, with three brokers.

use curfew_servers::{ClusterOptions, Kafka, KafkaOptions, RedisCluster, SentinelOptions, Sentinels};

use super::process::{SEEDS, Server, curfew_in};
use super::servers::{ROOT_KEY, backend};

/// What a primary with replicas must be set to.
fn lines() -> Vec<String> {
    ["min-replicas-to-write 1", "min-replicas-max-lag 10"]
        .map(str::to_owned)
        .into()
}

fn addresses(urls: &[String]) -> String {
    let addresses = urls.iter().map(|url| url.trim_start_matches("redis://"));
    addresses.collect::<Vec<_>>().join(",")
}

/// The demo, and two nodes that are one service.
async fn is_one_service(environment: &[(&str, &str)], kafka: &str) {
    let told = curfew_in(environment, &["demo", "--json", "--kafka", kafka]);
    let last = told.stdout.lines().last().unwrap_or_default();
    assert_eq!(told.code, 0, "{last} {}", told.stderr);
    let summary: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(
        (&summary["ok"], &summary["store"], &summary["log"]),
        (&true.into(), &"redis".into(), &"kafka".into())
    );

    let dir = tempfile::tempdir().unwrap();
    let seeds = dir.path().join("seeds.toml");
    std::fs::write(&seeds, SEEDS).unwrap();
    let mut environment = environment.to_vec();
    environment.push(("CURFEW_KEYS_ROOT_KEY", ROOT_KEY));
    let unused = dir.path().join("unused");
    let flags = ["--kafka", kafka, "--seed", seeds.to_str().unwrap()];
    let first = Server::start_in(&unused, &flags, &environment);
    let second = Server::start_in(&unused, &flags[..2], &environment);
    let secrets = first.told.iter();
    let mut secrets = secrets.filter_map(|line| line.trim().strip_prefix("callers/backend: "));
    let secret = secrets.next().unwrap().to_owned();
    let (first, second) = (backend(&first, &secret).await, backend(&second, &secret).await);

    for subject in ["alice", "bob", "carol", "dave"] {
        let session = first.sign_in(subject).await.unwrap();
        let tokens = second.issue(&session).await.unwrap();
        let tokens = first.refresh(&tokens.refresh_token).await.unwrap();
        second.end(&session).await.unwrap();
        let refused = first.refresh(&tokens.refresh_token).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_a_cluster_or_on_sentinels_and_three_brokers_are_one_service() {
    let kafka = Kafka::start_with(&KafkaOptions {
        brokers: 3,
        ..KafkaOptions::default()
    })
    .unwrap();
    let bootstrap = kafka.bootstrap();

    let cluster = RedisCluster::start_with(&ClusterOptions {
        lines: lines(),
        ..ClusterOptions::default()
    })
    .unwrap();
    cluster.wait_until_well().unwrap();
    let seeds = addresses(&cluster.urls());
    is_one_service(
        &[
            ("CURFEW_REDIS_CLUSTER", &seeds),
            ("CURFEW_KAFKA_PREFIX", "cluster."),
        ],
        &bootstrap,
    )
    .await;
    drop(cluster);

    let group = Sentinels::start_with(&SentinelOptions {
        lines: lines(),
        ..SentinelOptions::default()
    })
    .unwrap();
    let sentinels = addresses(&group.urls());
    is_one_service(
        &[
            ("CURFEW_REDIS_SENTINELS", &sentinels),
            ("CURFEW_REDIS_MASTER", group.name()),
            ("CURFEW_KAFKA_PREFIX", "sentinels."),
        ],
        &bootstrap,
    )
    .await;
}

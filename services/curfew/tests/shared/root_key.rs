//! The key ring of nodes that share their state: sealed under the root key that each is given, and one for all.

use curfew_core::directory::KeyUse;
use curfew_core::place::Partition;
use curfew_core::stored::{Listed, Record};
use curfew_keys::{RootKey, SealingVault};
use curfew_ports::keys::Vault as _;
use curfew_ports::store::{PAGE_MAX, Store as _};

use super::process::{SEEDS, curfew_in};
use super::servers::{ROOT_KEY, Servers, backend, line};

/// Another 32 bytes of no value.
const OTHER_KEY: &str = "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

#[tokio::test(flavor = "multi_thread")]
async fn the_ring_is_sealed_under_the_root_key_and_a_node_with_another_one_refuses_to_start() {
    let servers = Servers::start();
    let first = servers.node();
    let flags = servers.flags();
    let mut args = vec!["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    args.extend(flags.iter().map(String::as_str));
    for (environment, words) in [
        (
            &[][..],
            &["`keys.root_key`", "CURFEW_KEYS_ROOT_KEY", "openssl rand"][..],
        ),
        (
            &[("CURFEW_KEYS_ROOT_KEY", OTHER_KEY)],
            &["`keys.root_key`", "CURFEW_KEYS_ROOT_KEY", "another root key"],
        ),
    ] {
        let refused = curfew_in(environment, &args);
        assert_ne!(refused.code, 0, "{}", refused.stdout);
        assert!(!refused.stdout.contains("ready"), "{}", refused.stdout);
        for word in words {
            assert!(refused.stderr.contains(word), "{word} in {}", refused.stderr);
        }
        assert!(
            !refused.stderr.contains(OTHER_KEY),
            "a root key is nobody's to read"
        );
    }

    let options = curfew_redis::Options::from_url(&servers.redis.url()).unwrap();
    let store = curfew_redis::Redis::open(&options).await.unwrap();
    let listed = store.list(Partition::DIRECTORY, Listed::Directory, None, PAGE_MAX);
    let keys: Vec<_> = listed
        .await
        .unwrap()
        .records
        .into_iter()
        .filter_map(|(_, value)| {
            if let Record::RingKey(key) = value.record {
                Some(key)
            } else {
                None
            }
        })
        .collect();
    let vault = |key: &str| SealingVault::new(&RootKey::from_base64(key).unwrap()).unwrap();
    let (ours, theirs) = (vault(ROOT_KEY), vault(OTHER_KEY));
    assert_eq!(keys.len(), 6, "and nobody added to it");
    for key in keys {
        let opens = |vault: &SealingVault| match key.key_use {
            KeyUse::Sign => vault.signer(&key).is_ok(),
            KeyUse::Mac | KeyUse::Page | KeyUse::Subject => vault.mac_key(&key).is_ok(),
        };
        assert!(opens(&ours) && !opens(&theirs), "{:?}", key.key_use);
    }

    let signing = line(&first, "key ring").to_owned();
    first.kill();
    assert_eq!(
        line(&servers.node(), "key ring"),
        signing,
        "the ring outlives its maker"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_and_seed_an_empty_store_print_each_secret_once() {
    let servers = Servers::start();
    let seeds = servers.file("together.toml", SEEDS);
    let more = ["--seed", seeds.to_str().unwrap()];
    let nodes: [_; 3] = servers.nodes_with(&more);
    for node in &nodes {
        assert_eq!(line(node, "key ring"), line(&nodes[0], "key ring"), "one ring");
    }
    let printed: Vec<_> = nodes.iter().flat_map(|node| &node.told).collect();
    for caller in ["callers/admin", "callers/backend"] {
        let of_it = printed.iter().filter(|line| line.contains(caller));
        assert_eq!(of_it.count(), 1, "{caller} in {printed:?}");
    }
    let secret = printed
        .iter()
        .find_map(|line| line.trim().strip_prefix("callers/backend: "));
    for node in &nodes {
        let backend = backend(node, secret.unwrap()).await;
        backend.sign_in("alice").await.unwrap();
    }
}

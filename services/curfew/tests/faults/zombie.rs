//! A primary that its replicas and the Sentinels do not reach any more, and clients do.

use std::time::Duration;

use curfew_core::place::Partition;
use curfew_core::stored::Key;
use curfew_ports::store::{Commit, CommitOutcome, Store as _};
use curfew_servers::{Direction, Kafka, Peer};
use tokio::time::Instant;

use super::ask::{ended, opened, refresh_once, refreshed, refused};
use super::group::{Group, sentinels};
use super::servers::{backend, until};

/// As the primaries are set, in whole seconds, and they look once a second; the third one is for a busy machine.
const MAX_LAG: Duration = Duration::from_secs(10 + 1 + 1 + 1);
/// How long after a DURABLE revocation a refresh may still succeed across histories: the staleness bound of an
/// authority, and a second for the machine.
const BOUND: Duration = Duration::from_secs(16);

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_primary_answers_no_commit_and_whoever_stands_on_it_lets_nobody_in_for_longer_than_the_bound()
 {
    let group = Group::of(sentinels(), Kafka::start().unwrap());
    let ([first, _second], secret) = group.nodes();
    let on_first = backend(&first, &secret).await;
    let old = group.store.master().unwrap();
    // A node that asks no Sentinel: it stands on the zombie for ever.
    let url = group.store.redis(old).unwrap().url();
    let stuck = group.node_alone(&url);
    let on_stuck = backend(&stuck, &secret).await;
    let kept = opened(&on_first, "alice").await;
    let doomed = opened(&on_first, "bob").await;
    group.store.redis(old).unwrap().command(&["PING"]).unwrap();

    for peer in [Peer::Replica, Peer::Sentinel] {
        for direction in [Direction::ToServer, Direction::FromServer] {
            group.store.proxy(old).unwrap().hold(peer, direction);
        }
    }
    let cut = Instant::now();
    let new = group.store.wait_for_master_other_than(old).unwrap();
    assert_ne!(new, old);
    // Both say that they are the primary.
    for index in [old, new] {
        let role = group.store.redis(index).unwrap().command(&["ROLE"]).unwrap();
        assert!(role.starts_with("master"), "{role}");
    }
    ended(&on_first, &doomed.session).await;
    let durable = Instant::now();
    // Whatever the stuck node does meanwhile, it does it within the bound.
    until("the stuck node refuses", async || {
        let asked = Instant::now();
        match refresh_once(&on_stuck, &doomed).await {
            Ok(_) => {
                let late = asked.saturating_duration_since(durable);
                assert!(late <= BOUND, "refreshed {late:?} after its revocation");
                None
            }
            Err(status) => Some(status),
        }
    })
    .await;

    tokio::time::sleep_until(cut + MAX_LAG).await;
    let options = curfew_redis::Options::from_url(&url).unwrap();
    let store = curfew_redis::Redis::open(&options).await;
    if let Ok(store) = store {
        let mut asked = 0;
        for partition in Partition::all().step_by(128) {
            let Ok(view) = store.read(partition, &[Key::Partition]).await else {
                continue;
            };
            asked += 1;
            let outcome = store
                .commit(Commit {
                    partition,
                    incarnation: view.incarnation,
                    now: view.store_time,
                    nonce: [7; 8],
                    expected: Vec::new(),
                    writes: Vec::new(),
                    publish: Vec::new(),
                })
                .await;
            assert!(
                !matches!(outcome, Ok(CommitOutcome::Committed(_))),
                "it answered a commit without writes: {outcome:?}"
            );
        }
        println!("{asked} partitions of the zombie were asked");
    }
    for held in [&kept, &doomed] {
        let refused = refresh_once(&on_stuck, held).await;
        assert!(refused.is_err(), "a token from a zombie");
    }

    group.store.proxy(old).unwrap().cut(Peer::Replica);
    group.store.proxy(old).unwrap().cut(Peer::Sentinel);
    group.store.proxy(old).unwrap().mend();
    group.store.wait_for_replica(old).unwrap();
    refreshed(&on_first, &kept).await.unwrap();
    assert_eq!(refused(&on_first, &doomed).await, "SESSION_ENDED");
}

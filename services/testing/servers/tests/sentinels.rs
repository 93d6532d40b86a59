//! Three real Sentinels over three real Redis.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use curfew_servers::{Direction, Peer, SentinelOptions, Sentinels};

#[test]
fn a_killed_master_is_replaced_and_follows_when_it_comes_back() {
    let mut sentinels = Sentinels::start().unwrap();
    assert_eq!(sentinels.urls().len(), 3);
    let old = sentinels.master().unwrap();
    assert_eq!(old, 0);
    let master = sentinels.redis_mut(old).unwrap();
    master.command(&["SET", "a", "1"]).unwrap();
    master.wait_for_replicas(2).unwrap();
    master.kill();
    let new = sentinels.wait_for_master_other_than(old).unwrap();
    assert_ne!(new, old);
    let master = sentinels.redis(new).unwrap();
    assert_eq!(master.command(&["GET", "a"]).unwrap(), "1");
    assert_eq!(master.command(&["SET", "a", "2"]).unwrap(), "OK");

    sentinels.redis_mut(old).unwrap().restart().unwrap();
    sentinels.wait_for_replica(old).unwrap();
    let back = sentinels.redis(old).unwrap();
    assert_eq!(back.command(&["GET", "a"]).unwrap(), "2");
    assert!(
        back.command(&["SET", "a", "3"])
            .unwrap_err()
            .to_string()
            .contains("READONLY")
    );
}

#[test]
fn a_failover_that_is_ordered_comes_about_again_and_again() {
    let sentinels = Sentinels::start().unwrap();
    sentinels.redis(0).unwrap().command(&["SET", "a", "1"]).unwrap();
    let mut master = 0;
    // The second is ordered while the first is still being told to the other Sentinels.
    for _ in 0..2 {
        let next = sentinels.fail_over().unwrap();
        assert_ne!(next, master);
        assert_eq!(sentinels.master().unwrap(), next);
        sentinels.wait_for_replica(master).unwrap();
        master = next;
    }
}

fn proxied() -> Sentinels {
    Sentinels::start_with(&SentinelOptions {
        lines: ["min-replicas-to-write 1", "min-replicas-max-lag 10"]
            .map(str::to_owned)
            .into(),
        proxied: true,
        ..SentinelOptions::default()
    })
    .unwrap()
}

#[test]
fn what_a_replica_was_held_back_from_is_lost_with_its_master_though_it_was_acknowledged() {
    let mut sentinels = proxied();
    let master = sentinels.redis_mut(0).unwrap();
    master.command(&["SET", "kept", "1"]).unwrap();
    master.wait_for_replicas(2).unwrap();
    sentinels
        .proxy(0)
        .unwrap()
        .hold(Peer::Replica, Direction::FromServer);
    let master = sentinels.redis_mut(0).unwrap();
    // Its replicas still say that they are there.
    assert_eq!(master.command(&["SET", "lost", "1"]).unwrap(), "OK");
    master.kill();
    sentinels.proxy(0).unwrap().cut(Peer::Replica);
    let new = sentinels.wait_for_master_other_than(0).unwrap();
    let promoted = sentinels.redis(new).unwrap();
    assert_eq!(promoted.command(&["EXISTS", "kept", "lost"]).unwrap(), "1");
    sentinels.proxy(0).unwrap().mend();
    sentinels.redis_mut(0).unwrap().restart().unwrap();
    sentinels.wait_for_replica(0).unwrap();
    let back = sentinels.redis(0).unwrap();
    assert_eq!(back.command(&["EXISTS", "kept", "lost"]).unwrap(), "1");
}

#[test]
fn a_master_that_only_clients_reach_is_replaced_and_still_answers_them() {
    let sentinels = proxied();
    for peer in [Peer::Replica, Peer::Sentinel] {
        sentinels.proxy(0).unwrap().cut(peer);
    }
    let new = sentinels.wait_for_master_other_than(0).unwrap();
    let roles = [0, new].map(|index| sentinels.redis(index).unwrap().command(&["ROLE"]).unwrap());
    assert!(roles.iter().all(|role| role.starts_with("master")), "{roles:?}");
    // Without replicas it takes no write.
    let refused = sentinels
        .redis(0)
        .unwrap()
        .command(&["SET", "a", "1"])
        .unwrap_err();
    assert!(refused.to_string().contains("NOREPLICAS"), "{refused}");
    sentinels.proxy(0).unwrap().mend();
    sentinels.wait_for_replica(0).unwrap();
}

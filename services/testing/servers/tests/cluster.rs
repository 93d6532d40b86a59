//! A real Redis Cluster.

use curfew_servers::{ClusterOptions, Direction, Failover, Peer, RedisCluster};

#[test]
fn a_killed_master_of_a_slot_is_replaced_by_its_replica() {
    let mut cluster = RedisCluster::start().unwrap();
    assert_eq!(cluster.urls().len(), 6);
    let keys = ["a", "b", "c", "{0}x", "{1}x"];
    for key in keys {
        assert_eq!(cluster.command(&["SET", key, "1"]).unwrap(), "OK");
    }
    let old = cluster.master_of("a").unwrap();
    let node = cluster.node_mut(old).unwrap();
    assert_eq!(node.command(&["SET", "a", "2"]).unwrap(), "OK");
    node.wait_for_replicas(1).unwrap();
    node.kill();
    cluster.wait_for_master_other_than(old, "a").unwrap();
    assert_eq!(cluster.command(&["GET", "a"]).unwrap(), "2");

    cluster.node_mut(old).unwrap().restart().unwrap();
    cluster.wait_until_well().unwrap();
    for key in keys {
        assert_ne!(cluster.master_of(key).unwrap(), old, "it has become a replica");
    }
}

#[test]
fn a_replica_takes_over_when_it_is_told_with_its_master_or_without() {
    let mut cluster = RedisCluster::start().unwrap();
    cluster.command(&["SET", "a", "1"]).unwrap();
    let mut old = cluster.master_of("a").unwrap();
    for failover in [Failover::Agreed, Failover::Forced, Failover::TakenOver] {
        let new = cluster.fail_over("a", failover).unwrap();
        assert_ne!(new, old, "{failover:?}");
        assert_eq!(cluster.master_of("a").unwrap(), new, "{failover:?}");
        cluster.wait_until_well().unwrap();
        old = new;
    }
    // Nor does it matter that the master is dead.
    let node = cluster.node_mut(old).unwrap();
    node.wait_for_replicas(1).unwrap();
    node.kill();
    assert_ne!(cluster.fail_over("a", Failover::TakenOver).unwrap(), old);
    assert_eq!(cluster.command(&["GET", "a"]).unwrap(), "1");
}

#[test]
fn what_the_replica_was_held_back_from_is_lost_when_it_takes_over() {
    let mut cluster = RedisCluster::start_with(&ClusterOptions {
        proxied: true,
        ..ClusterOptions::default()
    })
    .unwrap();
    let old = cluster.master_of("a").unwrap();
    let node = cluster.node_mut(old).unwrap();
    node.command(&["SET", "a", "kept"]).unwrap();
    node.wait_for_replicas(1).unwrap();
    cluster
        .proxy(old)
        .unwrap()
        .hold(Peer::Replica, Direction::FromServer);
    let node = cluster.node_mut(old).unwrap();
    assert_eq!(node.command(&["SET", "a", "lost"]).unwrap(), "OK");
    node.kill();
    cluster.proxy(old).unwrap().cut(Peer::Replica);
    let new = cluster.fail_over("a", Failover::Forced).unwrap();
    cluster.wait_until_well().unwrap();
    assert_eq!(cluster.node(new).unwrap().command(&["GET", "a"]).unwrap(), "kept");
}

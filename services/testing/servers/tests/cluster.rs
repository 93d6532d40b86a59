//! A real Redis Cluster.

use curfew_servers::RedisCluster;

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

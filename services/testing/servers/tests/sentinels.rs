//! Three real Sentinels over three real Redis.

use curfew_servers::Sentinels;

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

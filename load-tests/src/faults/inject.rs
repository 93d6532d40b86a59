//! How each fault is done to the servers and nodes, and undone.
//!
//! **Invariant:** when [`inject`] returns, every server and every node runs again and is as it was before, roles apart.

use std::time::Duration;

use curfew_servers::{Direction, Failover, Kafka, Peer, RedisCluster, Sentinels};
use fastrand::Rng;

use super::fault::Fault;
use super::ground::{DEAF_MAX_S, Ground, Store};
use super::world::World;
use super::zombie;
use crate::clock::Mono;
use crate::failure::Failure;

/// What a store may lose that dies: a second of an append-only file and what its replicas had not been sent yet; the
/// rest is for a machine that is busy.
const MAY_LOSE: Duration = Duration::from_secs(3);
/// Two promotions come to the same replica at times.
const TURNS_MAX: usize = 6;
/// A broker without a disk ends as soon as it has something to write.
const DISK_LOOKS_MAX: usize = 300;
const DISK_LOOK: Duration = Duration::from_millis(100);

/// When service could be back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injected {
    /// From here on recovery is counted: the primary was gone, or whoever was away was there again.
    pub(crate) from: Mono,
    /// How long the servers themselves took to have a primary again; of outages nothing.
    pub(crate) servers: Duration,
}

/// Those whom faults are done to.
pub(crate) struct Victims<'a> {
    pub(crate) ground: &'a mut Ground,
    pub(crate) kafka: &'a mut Kafka,
    pub(crate) world: &'a World,
}

/// Does it, waits while it lasts, and undoes it.
pub(crate) fn inject(
    victims: &mut Victims<'_>,
    fault: Fault,
    lasts: Duration,
    rng: &mut Rng,
) -> Result<Injected, Failure> {
    let began = Mono::now();
    let of_brokers = rng.usize(0..3);
    let of_nodes = rng.usize(0..victims.ground.places.len().max(1));
    // By the hash tag of a partition's keys.
    let key = format!("{}{{{:03x}}}", victims.ground.prefix, rng.u16(0..1_024));
    if fault.changes_history() {
        victims.world.history_changes(began.minus(MAY_LOSE));
    }
    let injected = match (fault, &mut victims.ground.store) {
        (Fault::RedisKilled, Store::Single(redis)) => {
            redis.kill();
            redis.restart()?;
            Ok(since(began))
        }
        (Fault::RedisHangs, Store::Single(redis)) => {
            redis.stop_the_clock();
            std::thread::sleep(lasts);
            redis.go_on();
            Ok(from_now())
        }
        (Fault::RedisDiskFull, Store::Single(redis)) => {
            redis.fill_disk()?;
            std::thread::sleep(lasts);
            redis.free_disk()?;
            Ok(from_now())
        }
        (Fault::FailoverOrdered, Store::Sentinel(sentinels)) => {
            let old = sentinels.master()?;
            sentinels.fail_over()?;
            let injected = since(began);
            sentinels.wait_for_replica(old)?;
            Ok(injected)
        }
        (Fault::DemotedAndBack, Store::Sentinel(sentinels)) => demoted_and_back(sentinels, began),
        (Fault::FailoverLossy, Store::Sentinel(sentinels)) => {
            let old = sentinels.master()?;
            sentinels.proxy(old)?.hold(Peer::Replica, Direction::FromServer);
            std::thread::sleep(lasts);
            killed(sentinels, old)
        }
        (Fault::PrimaryKilled, Store::Sentinel(sentinels)) => {
            let old = sentinels.master()?;
            killed(sentinels, old)
        }
        (Fault::PrimaryHangs, Store::Sentinel(sentinels)) => {
            let old = sentinels.master()?;
            sentinels.redis(old)?.stop_the_clock();
            let waited = sentinels.wait_for_master_other_than(old);
            sentinels.redis(old)?.go_on();
            waited?;
            let injected = since(began);
            sentinels.wait_for_replica(old)?;
            Ok(injected)
        }
        (Fault::ZombiePrimary, Store::Sentinel(sentinels)) => {
            zombie_primary(sentinels, &victims.ground.prefix, victims.world)
        }
        (Fault::FailoverOrdered, Store::Cluster(cluster)) => {
            cluster.fail_over(&key, Failover::Agreed)?;
            let injected = since(began);
            cluster.wait_until_well()?;
            Ok(injected)
        }
        (Fault::FailoverForced, Store::Cluster(cluster)) => {
            cluster.fail_over(&key, Failover::Forced)?;
            let injected = since(began);
            cluster.wait_until_well()?;
            Ok(injected)
        }
        (Fault::TakeoverLossy, Store::Cluster(cluster)) => {
            let old = cluster.master_of(&key)?;
            cluster.proxy(old)?.hold(Peer::Replica, Direction::FromServer);
            std::thread::sleep(lasts);
            let ordered = Mono::now();
            cluster.fail_over(&key, Failover::TakenOver)?;
            let injected = since(ordered);
            cluster.proxy(old)?.cut(Peer::Replica);
            cluster.proxy(old)?.mend();
            cluster.wait_until_well()?;
            Ok(injected)
        }
        (Fault::FailoverLossy, Store::Cluster(cluster)) => {
            let old = cluster.master_of(&key)?;
            cluster.proxy(old)?.hold(Peer::Replica, Direction::FromServer);
            std::thread::sleep(lasts);
            killed_in_cluster(cluster, old, &key)
        }
        (Fault::PrimaryKilled, Store::Cluster(cluster)) => {
            let old = cluster.master_of(&key)?;
            killed_in_cluster(cluster, old, &key)
        }
        (Fault::BrokerKilled, _) => {
            victims.kafka.kill(of_brokers);
            std::thread::sleep(lasts);
            victims.kafka.restart(of_brokers)?;
            Ok(from_now())
        }
        (Fault::BrokerHangs, _) => {
            victims.kafka.stop_the_clock(of_brokers);
            std::thread::sleep(lasts);
            victims.kafka.go_on(of_brokers);
            Ok(from_now())
        }
        (Fault::BrokerDiskFull, _) => {
            victims.kafka.fill_disk(of_brokers)?;
            for _ in 0..DISK_LOOKS_MAX {
                if !victims.kafka.is_running(of_brokers)? {
                    break;
                }
                std::thread::sleep(DISK_LOOK);
            }
            victims.kafka.restart(of_brokers)?;
            Ok(from_now())
        }
        (Fault::AllBrokersKilled, _) => {
            (0..3).for_each(|broker| victims.kafka.kill(broker));
            std::thread::sleep(lasts);
            victims.kafka.restart_all()?;
            Ok(from_now())
        }
        (Fault::NodeKilled, _) => {
            victims.ground.kill_node(of_nodes);
            victims.ground.start_node(of_nodes)?;
            Ok(from_now())
        }
        (Fault::NodeHangs, _) => {
            let place = victims.ground.places.get(of_nodes);
            let node = place
                .and_then(|place| place.node.as_ref())
                .ok_or("a node is dead")?;
            node.stop_the_clock();
            std::thread::sleep(lasts);
            node.go_on();
            Ok(from_now())
        }
        (
            Fault::RedisKilled
            | Fault::RedisHangs
            | Fault::RedisDiskFull
            | Fault::FailoverOrdered
            | Fault::FailoverForced
            | Fault::FailoverLossy
            | Fault::PrimaryKilled
            | Fault::PrimaryHangs
            | Fault::TakeoverLossy
            | Fault::DemotedAndBack
            | Fault::ZombiePrimary,
            Store::Single(_) | Store::Sentinel(_) | Store::Cluster(_),
        ) => Err(format!("there is no {fault:?} in this layout of the store").into()),
    };
    victims.world.history_changed(Mono::now());
    injected
}

fn from_now() -> Injected {
    Injected {
        from: Mono::now(),
        servers: Duration::ZERO,
    }
}

fn since(from: Mono) -> Injected {
    Injected {
        from,
        servers: Mono::now().since(from),
    }
}

/// Kills the primary, with whatever is held for its replicas; it comes back as a replica.
fn killed(sentinels: &mut Sentinels, old: usize) -> Result<Injected, Failure> {
    let from = Mono::now();
    sentinels.redis_mut(old)?.kill();
    // What was held for them is lost with it.
    sentinels.proxy(old)?.cut(Peer::Replica);
    sentinels.wait_for_master_other_than(old)?;
    let injected = since(from);
    sentinels.proxy(old)?.mend();
    sentinels.redis_mut(old)?.restart()?;
    sentinels.wait_for_replica(old)?;
    Ok(injected)
}

/// The same in a cluster, where the new primary takes no write before it has a replica.
fn killed_in_cluster(cluster: &mut RedisCluster, old: usize, key: &str) -> Result<Injected, Failure> {
    let from = Mono::now();
    cluster.node_mut(old)?.kill();
    cluster.proxy(old)?.cut(Peer::Replica);
    cluster.wait_for_master_other_than(old, key)?;
    cluster.proxy(old)?.mend();
    cluster.node_mut(old)?.restart()?;
    let injected = since(from);
    cluster.wait_until_well()?;
    Ok(injected)
}

fn demoted_and_back(sentinels: &mut Sentinels, began: Mono) -> Result<Injected, Failure> {
    let first = sentinels.master()?;
    let mut master = first;
    // One of the other two is not to be promoted, so that it is soon the first one's turn again.
    let third = (first + 2) % 3;
    let priority = |value| {
        sentinels
            .redis(third)?
            .command(&["CONFIG", "SET", "replica-priority", value])
    };
    priority("0")?;
    for _ in 0..TURNS_MAX {
        let next = sentinels.fail_over()?;
        sentinels.wait_for_replica(master)?;
        master = next;
        if master == first {
            break;
        }
    }
    priority("100")?;
    // Where Sentinels heard of it late it is not the first one again; that one was demoted all the same.
    Ok(since(began))
}

/// Its replicas and the Sentinels hear nothing of it any more, nor it of them; clients do.
fn zombie_primary(sentinels: &mut Sentinels, prefix: &str, world: &World) -> Result<Injected, Failure> {
    let old = sentinels.master()?;
    let from = Mono::now();
    for peer in [Peer::Replica, Peer::Sentinel] {
        for direction in [Direction::ToServer, Direction::FromServer] {
            sentinels.proxy(old)?.hold(peer, direction);
        }
    }
    sentinels.wait_for_master_other_than(old)?;
    let injected = since(from);
    // From then on it must answer nothing, not even to whoever is still connected to it.
    let dead = from.plus(Duration::from_secs(DEAF_MAX_S));
    crate::clock::sleep_until(dead);
    let asked = world
        .runtime
        .block_on(zombie::asked(sentinels.redis(old)?.port(), prefix));
    if let Some(answered) = asked {
        world.zombie_answered(&answered);
    }
    for peer in [Peer::Replica, Peer::Sentinel] {
        sentinels.proxy(old)?.cut(peer);
    }
    sentinels.proxy(old)?.mend();
    sentinels.wait_for_replica(old)?;
    Ok(injected)
}
